//! `cargo xtask bump`: the next revision of the packages, or a version for them.

use std::cmp::Ordering;

use anyhow::{Result, bail};

use crate::edit::{self, Edits};
use crate::pin;
use crate::ui;
use crate::workspace::Workspace;

/// Raises the packaging revision, or the version, with an entry in the changelog.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Raise the revision by one: the packages change, Mathesar does not. This is the default.
    #[arg(long, conflicts_with = "version")]
    revision: bool,
    /// Set the version, as `0.12.0`, and begin at revision 1. `cargo xtask pin` does this and pins the release too.
    #[arg(long, value_name = "VERSION")]
    version: Option<String>,
    /// What changed: one item of the changelog; more than one may be given.
    #[arg(short, long = "message", value_name = "TEXT", required = true)]
    messages: Vec<String>,
}

pub(crate) fn run(args: &Args, workspace: &Workspace) -> Result<()> {
    const MANIFEST: &str = "packaging/mathesar.toml";
    let mut edits = Edits::begin(workspace)?;
    let text = edits.read(MANIFEST)?;
    let manifest = pin::parse(&text)?;
    let old = format!("{}-{}", manifest.package.version, manifest.package.revision);
    let (version, revision) = match &args.version {
        None => {
            let Some(revision) = manifest.package.revision.checked_add(1) else {
                bail!("the revision {} cannot be raised", manifest.package.revision);
            };
            (manifest.package.version.clone(), revision)
        }
        Some(version) => match edit::newer(version, &manifest.package.version)? {
            Ordering::Greater => (version.clone(), 1),
            Ordering::Equal => {
                bail!("the version is {version} already\nhelp: cargo xtask bump --revision -m TEXT")
            }
            Ordering::Less => bail!(
                "{version} is older than {}: package managers do not go back by themselves",
                manifest.package.version
            ),
        },
    };
    let new = format!("{version}-{revision}");
    edits.set(MANIFEST, edit::put_version(&text, &version, revision)?)?;
    if version != manifest.package.version {
        pin::set_version(&mut edits, &version)?;
    }
    let changelog = &manifest.package.changelog;
    let before = edits.read(changelog)?;
    let after = edit::put_changelog(&before, &new, edit::today()?, &args.messages)?;
    if after == before {
        bail!("{changelog} has an entry of {new} already\nhelp: write the items into it by hand");
    }
    edits.set(changelog, after)?;
    for path in edits.commit()? {
        ui::verb("Wrote", path);
    }
    ui::verb("Bumped", format!("{old} to {new}"));
    if version != manifest.app.version {
        ui::help(format!("[app] still has {}: cargo xtask pin {version}", manifest.app.version));
    }
    Ok(())
}
