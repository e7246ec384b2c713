//! `cargo xtask check`: everything that can be wrong with the checkout's own statements, all problems at once.

mod depends_page;
mod generated;
mod lock;

use anyhow::{Context as _, Result};
use serde::Serialize;

use crate::artifact::release_toml::release_toml;
use crate::edit::{self, Edits};
use crate::manifest;
use crate::workspace::Workspace;
use crate::{Refused, ui, workflows};

pub(crate) use generated::{Generated, Mode, apply_and_tell};

/// Checks the manifest, its schema, the versions, app.lock and every generated file.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Write what is generated: schema, release.toml, Cargo's versions, configuration reference, workflows.
    #[arg(long)]
    write: bool,
    /// Print the problems as JSON on standard output.
    #[arg(long)]
    json: bool,
}

/// What is not as it should be.
#[derive(Debug, Serialize)]
struct Problem {
    level: Level,
    /// Below the root.
    file: String,
    message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    help: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Level {
    Error,
    /// True and worth saying; nothing is broken.
    Note,
}

impl Problem {
    fn error(file: &str, message: impl Into<String>, help: Option<&str>) -> Problem {
        Problem {
            level: Level::Error,
            file: file.to_owned(),
            message: message.into(),
            help: help.map(str::to_owned),
        }
    }
}

/// The answer of `--json`.
#[derive(Serialize)]
struct Answer<'a> {
    problems: &'a [Problem],
    written: &'a [String],
}

pub(crate) fn run(args: &Args, workspace: &Workspace) -> Result<()> {
    // Completes what a killed `pin` or `bump` had decided.
    drop(Edits::begin(workspace)?);
    let found = look(workspace)?;
    let mut problems = found.statements;
    let mut written = Vec::new();
    match args.write {
        true => {
            let mut files = found.from_types;
            // A refused manifest is a bad source.
            if !problems.iter().any(|problem| problem.file == MANIFEST) {
                files.extend(found.from_manifest.into_iter().chain(found.versions));
            }
            written = generated::write(workspace, &files)?;
        }
        false => {
            problems.extend(version_problems(workspace, &found.versions)?);
            problems.extend(generated::drift(workspace, &found.from_types)?);
            problems.extend(generated::drift(workspace, &found.from_manifest)?);
        }
    }
    tell(args, &problems, &written)
}

/// What there is to check.
struct Found {
    /// What nobody can write by itself.
    statements: Vec<Problem>,
    /// Made from the types of this program.
    from_types: Vec<Generated>,
    from_manifest: Vec<Generated>,
    /// Cargo's two files with the manifest's version in them.
    versions: Vec<Generated>,
}

fn look(workspace: &Workspace) -> Result<Found> {
    let file = |path, text| Generated { path, text, help: WRITE };
    let mut found = Found {
        statements: Vec::new(),
        from_types: vec![
            file("packaging/mathesar.schema.json", manifest::schema_json()),
            file("docs/configuration.md", mathesar::config::reference_markdown()),
        ],
        from_manifest: Vec::new(),
        versions: Vec::new(),
    };
    let path = workspace.manifest();
    let manifest = match manifest::load(workspace, &path) {
        Ok(package) => Some(package.manifest),
        Err(error) => {
            let message = format!("is refused\n{error:#}");
            found.statements.push(Problem::error(MANIFEST, message, None));
            // Where at least its form is right, the rest can be checked against it as well.
            std::fs::read_to_string(&path).ok().and_then(|text| crate::pin::parse(&text).ok())
        }
    };
    if let Some(manifest) = &manifest {
        found.from_manifest.push(file("launcher/release.toml", release_toml(&manifest.app)));
        found.from_manifest.push(file("docs/dependencies.md", depends_page::page(manifest)));
        found.from_manifest.extend(workflows::generated(manifest)?);
        let version = &manifest.package.version;
        let toml = edit::put_cargo_version(&read(workspace, "Cargo.toml")?, version)?;
        let lock = edit::put_cargo_lock(&read(workspace, "Cargo.lock")?, version)?;
        found.versions = vec![file("Cargo.toml", toml), file("Cargo.lock", lock)];
        found.statements.extend(lock::check(workspace, &manifest.app)?);
    }
    Ok(found)
}

const MANIFEST: &str = "packaging/mathesar.toml";
const WRITE: &str = "cargo xtask check --write";

fn tell(args: &Args, problems: &[Problem], written: &[String]) -> Result<()> {
    let errors = problems.iter().filter(|problem| problem.level == Level::Error).count();
    if args.json {
        let answer = serde_json::to_string_pretty(&Answer { problems, written });
        println!("{}", answer.context("cannot serialise the answer")?);
    } else {
        for path in written {
            ui::verb("Wrote", path);
        }
        let mut helped = Vec::new();
        for problem in problems {
            match problem.level {
                Level::Error => ui::error(&anyhow::anyhow!("{}: {}", problem.file, problem.message)),
                Level::Note => ui::verb("Note", format!("{}: {}", problem.file, problem.message)),
            }
            // The same command cures many; it is told once, after the last of them.
            if let Some(help) = problem.help.as_deref().filter(|help| !helped.contains(help)) {
                helped.push(help);
            }
        }
        helped.iter().for_each(ui::help);
    }
    match errors {
        0 => {
            if !args.json {
                ui::verb("Checked", "manifest, schema, versions, app.lock, generated files");
            }
            Ok(())
        }
        1 => Err(Refused("1 problem".into()).into()),
        many => Err(Refused(format!("{many} problems")).into()),
    }
}

/// Cargo's version against the manifest's; said in other words than a generated file's drift, as the rest is by hand.
fn version_problems(workspace: &Workspace, files: &[Generated]) -> Result<Vec<Problem>> {
    let mut problems = generated::drift(workspace, files)?;
    for problem in &mut problems {
        problem.message =
            problem.message.replace(generated::DIFFERS, "has another version than the manifest");
    }
    Ok(problems)
}

fn read(workspace: &Workspace, path: &str) -> Result<String> {
    let path = workspace.root.join(path);
    std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_checkout_has_no_problem() {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned();
        let workspace = Workspace { target: root.join("target"), root };
        let found = look(&workspace).unwrap();
        let mut problems = found.statements;
        problems.extend(version_problems(&workspace, &found.versions).unwrap());
        problems.extend(generated::drift(&workspace, &found.from_types).unwrap());
        problems.extend(generated::drift(&workspace, &found.from_manifest).unwrap());
        problems.retain(|problem| problem.level == Level::Error);
        assert!(problems.is_empty(), "{problems:#?}\nhelp: {WRITE}");
    }

    #[test]
    fn versions_that_differ_are_all_told() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().to_owned();
        let toml = "[workspace.package]\nversion = \"0.1.0\" # once\n";
        let lock = "[[package]]\nname = \"a\"\nversion = \"1.0.0\"\nsource = \"r\"\n\n[[package]]\nname = \"m\"\nversion = \"0.2.0\"\n";
        std::fs::write(root.join("Cargo.toml"), toml).unwrap();
        std::fs::write(root.join("Cargo.lock"), lock).unwrap();
        let workspace = Workspace { target: root.join("target"), root };
        let file = |path, text| Generated { path, text, help: WRITE };
        let files = [
            file("Cargo.toml", edit::put_cargo_version(toml, "0.2.1").unwrap()),
            file("Cargo.lock", edit::put_cargo_lock(lock, "0.2.1").unwrap()),
        ];
        let problems = version_problems(&workspace, &files).unwrap();
        let all: Vec<String> =
            problems.iter().map(|problem| format!("{}: {}", problem.file, problem.message)).collect();
        insta::assert_snapshot!(all.join("\n"));
        generated::write(&workspace, &files).unwrap();
        assert!(version_problems(&workspace, &files).unwrap().is_empty());
    }
}
