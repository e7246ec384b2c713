//! `cargo xtask workflows`: the workflows of GitHub Actions, made from the manifest.

#[cfg(test)]
mod act;
mod facts;
#[cfg(test)]
mod rules;

use anyhow::{Context as _, Result};

use crate::check::{self, Generated, Mode};
use crate::edit::Edits;
use crate::manifest::Manifest;
use crate::template;
use crate::workspace::Workspace;

use facts::Facts;

/// Generates .github/workflows from the manifest.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Write nothing; tell what differs, and end with exit code 4 if anything does.
    #[arg(long)]
    check: bool,
}

pub(crate) fn run(args: &Args, workspace: &Workspace) -> Result<()> {
    // Completes what a killed `pin` or `bump` had decided.
    drop(Edits::begin(workspace)?);
    let path = workspace.manifest();
    let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let manifest = crate::pin::parse(&text)?;
    let mode = if args.check { Mode::Check } else { Mode::Write };
    check::apply_and_tell(workspace, &generated(&manifest)?, mode)
}

/// A workflow: where it is written, and its template with that one's name.
struct Workflow {
    path: &'static str,
    name: &'static str,
    template: &'static str,
}

macro_rules! workflow {
    ($name:literal) => {
        Workflow {
            path: concat!(".github/workflows/", $name, ".yml"),
            name: concat!("xtask/src/workflows/", $name, ".yml.hbs"),
            template: include_str!(concat!("workflows/", $name, ".yml.hbs")),
        }
    };
}

const ALL: &[Workflow] = &[
    workflow!("ci"),
    workflow!("release"),
    workflow!("yank"),
    workflow!("sign"),
    workflow!("drift"),
    workflow!("pin"),
];

/// Every workflow.
pub(crate) fn generated(manifest: &Manifest) -> Result<Vec<Generated>> {
    let facts = Facts::of(manifest)?;
    let render = |workflow: &Workflow| {
        let text = template::render(workflow.name, workflow.template, &facts)?;
        Ok(Generated { path: workflow.path, text, help: "cargo xtask check --write" })
    };
    ALL.iter().map(render).collect()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(crate) fn rendered() -> Vec<Generated> {
        generated(&crate::pin::parse(include_str!("testdata/mathesar.toml")).unwrap()).unwrap()
    }

    fn of(name: &str, text: &str) -> String {
        let manifest = crate::pin::parse(text).unwrap();
        let all = generated(&manifest).unwrap();
        all.into_iter().find(|file| file.path.ends_with(name)).unwrap().text
    }

    #[test]
    fn ci_renders() {
        insta::assert_snapshot!(of("/ci.yml", include_str!("testdata/mathesar.toml")));
    }

    #[test]
    fn the_aurs_key_is_asked_for_only_where_the_aur_takes_pushes() {
        let manifest = include_str!("testdata/mathesar.toml");
        assert!(!of("/release.yml", manifest).contains("AUR_KEY"));
        let open: String = manifest.lines().take_while(|line| !line.starts_with("[release.paused")).fold(
            String::new(),
            |mut text, line| {
                text.push_str(line);
                text.push('\n');
                text
            },
        );
        assert!(of("/release.yml", &open).contains("secrets.AUR_KEY"));
    }

    #[test]
    fn one_target_is_enough() {
        let manifest =
            include_str!("testdata/mathesar.toml").replace(", \"aarch64-unknown-linux-gnu\"]", "]");
        let release = of("/release.yml", &manifest);
        assert!(!release.contains("aarch64") && release.contains("build-x86_64"), "{release}");
    }
}
