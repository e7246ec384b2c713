//! The Flatpak manifest, in Flathub's form: everything from source, nothing fetched while it is built.

mod crates;
mod wheels;

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use serde::Serialize;

use super::{Channel, Context};
use crate::digest;
use crate::manifest::Package;
use crate::template;

const TEMPLATE: &str = include_str!("../../../../flatpak/manifest.yml.hbs");
const CARGO_LOCK: &str = "Cargo.lock";

pub(crate) const CHANNEL: Channel =
    Channel { name: "flatpak", needs: &["tarball"], by_name: false, reads, unavailable: |_| None, build };

fn reads(package: &Package) -> Vec<String> {
    let mut paths = vec![CARGO_LOCK.to_owned()];
    if package.root.join(wheels::SIDECAR).is_file() {
        paths.push(wheels::SIDECAR.to_owned());
    }
    paths
}

fn build(context: &Context<'_>) -> Result<()> {
    let package = context.package;
    let tarball = source_tarball(package, context.needed)?;
    let lock = read(&package.root.join(CARGO_LOCK))?;
    let crates = crates::sources(&lock, package.name())?;
    let sidecar = package.root.join(wheels::SIDECAR);
    let sidecar = sidecar.is_file().then(|| read(&sidecar)).transpose()?;
    let wheels = wheels::sources(package.lock.as_deref(), sidecar.as_deref())?;

    let folder = context.out.join("flatpak");
    std::fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let manifest = render(package, &tarball, wheels.as_ref().err().copied())?;
    write(&folder.join(format!("{}.yml", package.manifest.flatpak.app_id)), &manifest)?;
    write(&folder.join("cargo-sources.json"), &json(&crates)?)?;
    if let Ok(wheels) = wheels {
        write(&folder.join("python-sources.json"), &json(&wheels)?)?;
    }
    Ok(())
}

/// An archive by address and digest.
#[derive(Debug, Serialize)]
pub(super) struct Source {
    pub url: String,
    pub sha256: String,
}

/// Looks for the source tarball in the folders of the channels that were needed, and takes its digest.
pub(super) fn source_tarball(package: &Package, needed: &[PathBuf]) -> Result<Source> {
    let name = format!("{}.tar.gz", package.source_stem());
    let Some(path) = needed.iter().map(|folder| folder.join(&name)).find(|path| path.is_file()) else {
        bail!("the channel `tarball` made no {name}");
    };
    Ok(Source { url: package.asset_url(&name), sha256: digest::file(&path)? })
}

#[derive(Serialize)]
struct Manifest<'a> {
    display_name: &'a str,
    summary: &'a str,
    app_id: &'a str,
    runtime_version: &'a str,
    command: &'a str,
    finish_args: &'a [String],
    postgresql: Source,
    cargo_home: String,
    source: &'a Source,
    app: Source,
    /// How the pinned release is called below share/mathesar/app.
    app_file: String,
    python_sources: bool,
    without_python: &'a str,
}

/// The manifest; `without_python` is why Python dependencies cannot be carried, if so.
fn render(package: &Package, source: &Source, without_python: Option<&str>) -> Result<String> {
    let manifest = &package.manifest;
    let data = Manifest {
        display_name: &manifest.package.display_name,
        summary: &manifest.package.summary,
        app_id: &manifest.flatpak.app_id,
        runtime_version: &manifest.flatpak.runtime_version,
        command: &manifest.package.name,
        finish_args: &manifest.flatpak.finish_args,
        postgresql: Source {
            url: manifest.flatpak.postgresql.url.clone(),
            sha256: manifest.flatpak.postgresql.sha256.clone(),
        },
        // flatpak-builder's own folder for a module's build.
        cargo_home: format!("/run/build/{}/cargo", manifest.package.name),
        source,
        app: Source { url: manifest.app.url.clone(), sha256: manifest.app.sha256.clone() },
        app_file: format!("mathesar-{}.tar.gz", manifest.app.version),
        python_sources: without_python.is_none(),
        without_python: without_python.unwrap_or_default(),
    };
    template::render("flatpak/manifest.yml.hbs", TEMPLATE, &data)
}

fn json(value: &impl Serialize) -> Result<String> {
    let mut text = serde_json::to_string_pretty(value).context("cannot write JSON")?;
    text.push('\n');
    Ok(text)
}

fn read(path: &Path) -> Result<String> {
    std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}

fn write(path: &Path, text: &str) -> Result<()> {
    std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
pub(super) mod tests;
