//! `cargo xtask workflows`: the workflows of GitHub Actions, made from the manifest.

use anyhow::{Context as _, Result};
use serde::Serialize;

use crate::check::{self, Generated, Mode};
use crate::edit::Edits;
use crate::manifest::{Manifest, Target};
use crate::template;
use crate::workspace::Workspace;

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

/// Every workflow.
pub(crate) fn generated(manifest: &Manifest) -> Result<Vec<Generated>> {
    Ok(vec![Generated {
        path: ".github/workflows/ci.yml",
        text: ci(manifest)?,
        help: "cargo xtask check --write",
    }])
}

/// An action at one commit, and the tag that names it.
#[derive(Serialize)]
struct Action {
    uses: &'static str,
    tag: &'static str,
}

const CHECKOUT: Action =
    Action { uses: "actions/checkout@3d3c42e5aac5ba805825da76410c181273ba90b1", tag: "v7.0.1" };

#[derive(Serialize)]
struct Ci {
    runners: Vec<Runner>,
    checkout: Action,
}

#[derive(Serialize)]
struct Runner {
    cpu: &'static str,
    image: &'static str,
}

fn ci(manifest: &Manifest) -> Result<String> {
    let runner = |target: &Target| Runner {
        cpu: target.cpu(),
        image: match target {
            Target::X86_64Gnu => "ubuntu-24.04",
            Target::Aarch64Gnu => "ubuntu-24.04-arm",
        },
    };
    let data = Ci { runners: manifest.package.targets.iter().map(runner).collect(), checkout: CHECKOUT };
    template::render("xtask/src/workflows/ci.yml.hbs", include_str!("workflows/ci.yml.hbs"), &data)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest() -> Manifest {
        crate::pin::parse(include_str!("testdata/mathesar.toml")).unwrap()
    }

    #[test]
    fn ci_renders() {
        let text = ci(&manifest()).unwrap();
        insta::assert_snapshot!(text);
        let pinned = |line: &&str| {
            let at = line.split_once('@').map(|(_, rest)| rest.split(' ').next().unwrap_or_default());
            at.is_some_and(|sha| sha.len() == 40 && sha.bytes().all(|byte| byte.is_ascii_hexdigit()))
        };
        assert!(text.lines().filter(|line| line.contains("uses:")).all(|line| pinned(&line)));
        let runs: Vec<&str> = text.lines().filter(|line| line.contains("run:")).collect();
        assert!(!runs.is_empty() && runs.iter().all(|line| !line.contains("${{")), "{runs:?}");
    }
}
