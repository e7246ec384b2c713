//! `cargo xtask check`: everything that can be wrong with the checkout's own statements, all problems at once.

mod generated;
mod lock;

use anyhow::{Context as _, Result};
use serde::Serialize;

use crate::artifact::release_toml::release_toml;
use crate::edit::Edits;
use crate::manifest::{self, Manifest};
use crate::workspace::Workspace;
use crate::{Refused, ui, workflows};

pub(crate) use generated::{Generated, Mode, apply_and_tell};

/// Checks the manifest, its schema, the versions, app.lock and every generated file.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Write what is generated: schema, release.toml, configuration reference, workflows.
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
    let mut problems = Vec::new();
    let mut generated = vec![
        Generated { path: "packaging/mathesar.schema.json", text: manifest::schema_json(), help: WRITE },
        Generated {
            path: "docs/configuration.md",
            text: mathesar::config::reference_markdown(),
            help: WRITE,
        },
    ];
    match manifest::load(workspace, &workspace.manifest()) {
        Ok(package) => {
            let manifest = &package.manifest;
            generated.push(Generated {
                path: "launcher/release.toml",
                text: release_toml(&manifest.app),
                help: WRITE,
            });
            generated.extend(workflows::generated(manifest)?);
            problems.extend(versions(workspace, manifest)?);
            problems.extend(lock::check(workspace, &manifest.app)?);
        }
        Err(error) => problems.push(Problem::error("packaging/mathesar.toml", format!("{error:#}"), None)),
    }
    let mut written = Vec::new();
    match args.write {
        true => written = generated::write(workspace, &generated)?,
        false => problems.extend(generated::drift(workspace, &generated)?),
    }
    tell(args, &problems, &written)
}

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

/// Cargo's version against the manifest's, in both of Cargo's files.
fn versions(workspace: &Workspace, manifest: &Manifest) -> Result<Vec<Problem>> {
    let wanted = &manifest.package.version;
    let read = |path: &str| {
        let path = workspace.root.join(path);
        std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))
    };
    let help = format!("cargo xtask pin {wanted} (or set it by hand)");
    let mut problems = Vec::new();
    let cargo: toml::Table = read("Cargo.toml")?.parse().context("cannot read Cargo.toml as TOML")?;
    let version = cargo
        .get("workspace")
        .and_then(|workspace| workspace.get("package")?.get("version")?.as_str())
        .unwrap_or("none");
    if version != wanted {
        let message = format!("workspace.package.version is {version}, the manifest has {wanted}");
        problems.push(Problem::error("Cargo.toml", message, Some(&help)));
    }
    let lock: toml::Table = read("Cargo.lock")?.parse().context("cannot read Cargo.lock as TOML")?;
    let packages = lock.get("package").and_then(|packages| packages.as_array()).into_iter().flatten();
    for package in packages.filter(|package| package.get("source").is_none()) {
        let text = |key: &str| package.get(key).and_then(|value| value.as_str()).unwrap_or("none");
        if text("version") != wanted {
            let message = format!("{} is {}, the manifest has {wanted}", text("name"), text("version"));
            problems.push(Problem::error("Cargo.lock", message, Some("cargo update --workspace")));
        }
    }
    Ok(problems)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_that_differ_are_all_told() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().to_owned();
        std::fs::write(root.join("Cargo.toml"), "[workspace.package]\nversion = \"0.1.0\"\n").unwrap();
        std::fs::write(
            root.join("Cargo.lock"),
            "[[package]]\nname = \"a\"\nversion = \"1.0.0\"\nsource = \"r\"\n\n[[package]]\nname = \"m\"\nversion = \"0.2.0\"\n",
        )
        .unwrap();
        let manifest = crate::pin::parse(include_str!("../../packaging/mathesar.toml")).unwrap();
        let workspace = Workspace { target: root.join("target"), root };
        let problems = versions(&workspace, &manifest).unwrap();
        let files: Vec<&str> = problems.iter().map(|problem| problem.file.as_str()).collect();
        assert_eq!(files, ["Cargo.toml", "Cargo.lock"]);
        assert!(problems[1].message.starts_with("m is 0.2.0"), "{problems:?}");
    }
}
