//! `cargo xtask pin`: makes another release of Mathesar the one that the packages install.

mod evidence;
mod fetch;
pub(crate) mod lock;
mod tarball;
#[cfg(test)]
mod tests;
mod wheels;

use std::cmp::Ordering;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

use crate::artifact::release_toml::release_toml;
use crate::edit::{self, Edits, NewApp};
use crate::manifest::{App, Manifest};
use crate::tools::Tools;
use crate::ui;
use crate::workspace::Workspace;

/// Pins a release of Mathesar: fetches it, checks it, and writes the manifest, the versions, the changelog, the launcher's
/// release.toml and packaging/app.lock, all or nothing.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The version, as `0.12.0`.
    version: String,
    /// Take this release tarball instead of fetching it.
    #[arg(long, value_name = "FILE")]
    from: Option<PathBuf>,
    /// The SHA-256 that the tarball has to have, from a source that you trust.
    #[arg(long, value_name = "DIGEST", value_parser = digest_argument)]
    sha256: Option<String>,
    /// Use no network: the tarball is a file or was fetched before, uv takes what its cache has.
    #[arg(long)]
    offline: bool,
}

fn digest_argument(text: &str) -> Result<String, String> {
    let text = text.strip_prefix("sha256:").unwrap_or(text).to_ascii_lowercase();
    match text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        true => Ok(text),
        false => Err("expected 64 hexadecimal digits".into()),
    }
}

pub(crate) fn run(args: &Args, workspace: &Workspace) -> Result<()> {
    run_with(args, workspace, &Tools::new(workspace))
}

fn run_with(args: &Args, workspace: &Workspace, tools: &Tools) -> Result<()> {
    // Completes what a killed command left, before anything is read.
    drop(Edits::begin(workspace)?);
    let path = workspace.manifest();
    let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let present = parse(&text)?;
    if edit::newer(&args.version, &present.app.version)? == Ordering::Less {
        bail!(
            "{} is older than the pinned {}: package managers do not go back by themselves\n\
             help: git revert the commit that pinned {}, or `cargo xtask dist --manifest FILE` for a test",
            args.version,
            present.app.version,
            present.app.version
        );
    }
    let url = address(&present.app, &args.version)?;
    let folder = workspace.target.join("xtask/pin");
    std::fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;

    let reported = match args.offline {
        true => evidence::Reported::NotAsked,
        false => fetch::reported(&url, &args.version),
    };
    let pinned = (present.app.version == args.version).then_some(present.app.sha256.as_str());
    let expected = args.sha256.as_deref().or(reported.digest()).or(pinned);
    let file = fetch::obtain(args.from.as_deref(), &folder, &args.version, &url, expected, args.offline)?;
    ui::verb("Reading", file.display());
    let release = tarball::read(&file)?;
    if release.version != args.version {
        bail!("{} is Mathesar {}, not {}", file.display(), release.version, args.version);
    }
    ui::verb("Digest", format!("sha256:{} ({} bytes)", release.sha256, release.size));
    for note in
        evidence::judge(&args.version, &release.sha256, &present.app, args.sha256.as_deref(), &reported)?
    {
        ui::verb("Digest", note);
    }

    let app = NewApp { version: args.version.clone(), url, sha256: release.sha256, size: release.size };
    let uv = tools.python_tool("uv")?;
    let locked = lock::compile(&lock::Order {
        uv: &uv,
        folder: &folder,
        requirements: &release.requirements,
        app: &app,
        python: &present.app.python,
        glibc: &present.package.glibc,
        offline: args.offline,
    })?;
    for line in &locked.report {
        ui::verb("Note", line);
    }
    for path in write(workspace, &app, &locked)? {
        ui::verb("Wrote", path);
    }
    if app.sha256 != present.app.sha256 {
        ui::help(
            "read the comment above [app] in packaging/mathesar.toml again: it tells where the digest comes from",
        );
    }
    ui::verb("Pinned", format!("Mathesar {}", app.version));
    Ok(())
}

/// Everything that follows from another release, decided at once.
fn write(workspace: &Workspace, app: &NewApp, locked: &lock::Locked) -> Result<Vec<String>> {
    const MANIFEST: &str = "packaging/mathesar.toml";
    let mut edits = Edits::begin(workspace)?;
    let text = edits.read(MANIFEST)?;
    let present = parse(&text)?;
    // The same release again, as for its lock, is no new package.
    let revision = match present.package.version == app.version {
        true => present.package.revision,
        false => 1,
    };
    let text = edit::put_version(&edit::put_app(&text, app)?, &app.version, revision)?;
    let manifest = parse(&text)?;
    edits.set(MANIFEST, text)?;
    edits.set("launcher/release.toml", release_toml(&manifest.app))?;
    set_version(&mut edits, &app.version)?;
    let changelog = &manifest.package.changelog;
    let entry = format!("{}-{revision}", app.version);
    let items = [format!("Mathesar {}.", app.version)];
    let changed = edit::put_changelog(&edits.read(changelog)?, &entry, edit::today()?, &items)?;
    edits.set(changelog, changed)?;
    edits.set(lock::PATH, locked.text.clone())?;
    edits.set(lock::SOURCES, locked.sources.clone())?;
    edits.commit()
}

/// The Cargo workspace's version, and its own entries in Cargo.lock.
pub(crate) fn set_version(edits: &mut Edits, version: &str) -> Result<()> {
    let cargo = edit::put_cargo_version(&edits.read("Cargo.toml")?, version)?;
    edits.set("Cargo.toml", cargo)?;
    let lock = edit::put_cargo_lock(&edits.read("Cargo.lock")?, version)?;
    edits.set("Cargo.lock", lock)
}

/// The manifest's types without the checks: its files may not be there yet, and `check` tells everything else.
pub(crate) fn parse(text: &str) -> Result<Manifest> {
    toml::from_str(text).context("cannot read packaging/mathesar.toml\nhelp: cargo xtask check")
}

/// The pinned address with the other version in it.
fn address(present: &App, version: &str) -> Result<String> {
    if present.version == version {
        return Ok(present.url.clone());
    }
    let address: Vec<&str> =
        present.url.split('/').map(|part| if part == present.version { version } else { part }).collect();
    let address = address.join("/");
    if address == present.url {
        bail!("the address {} does not have its version {} in it", present.url, present.version);
    }
    Ok(address)
}

/// A path as a child's argument.
fn argument(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}
