//! What the launcher is made of and what it fetches, as a CycloneDX bill of materials: one file for each target, as the binary's digest, the
//! crates and the pinned tools are a target's own.

mod bom;
mod component;
mod python;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context as _, Result};
use mathesar::app::pins::PINS;

use super::{Channel, Context};
use crate::artifact::crates::{self, Named};
use crate::channel::cargo_lock::{CRATES_IO, Lock};
use crate::digest;
use crate::manifest::Package;
use crate::pin::lock::SOURCES;

pub(crate) const CHANNEL: Channel =
    Channel { name: "sbom", needs: &[], by_name: false, reads, unavailable: |_| None, build };

const CARGO_LOCK: &str = "Cargo.lock";

fn reads(_: &Package) -> Vec<String> {
    // Also what decides which crates are linked, and what is fetched.
    let paths =
        ["Cargo.toml", "launcher/Cargo.toml", "launcher/src/app/pins.rs", "rust-toolchain.toml", SOURCES];
    paths.map(str::to_owned).into()
}

fn build(context: &Context<'_>) -> Result<()> {
    let package = context.package;
    let root = &package.root;
    let sources = root.join(SOURCES);
    let sources = sources.is_file().then(|| read(&sources)).transpose()?;
    let lock = package.lock.as_deref();
    let text = bom::render(&bom::Facts {
        package,
        target: context.target,
        glibc: &context.artifacts.glibc,
        binary: digest::file(&context.artifacts.generated.join("bin").join(package.name()))?,
        rust: crates::rust(root)?,
        linked: &crates::linked(root, context.target)?,
        checksums: &checksums(&read(&root.join(CARGO_LOCK))?)?,
        python: lock.map(|lock| python::packages(lock, sources.as_deref())).transpose()?,
        tools: PINS.iter().filter(|pin| pin.is_for("linux", context.target.cpu())).collect(),
    })?;
    let to = context.out.join(package.sbom_file(context.target));
    std::fs::write(&to, text).with_context(|| format!("cannot write {}", to.display()))
}

fn read(path: &Path) -> Result<String> {
    std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}

/// What Cargo.lock says of each crate of crates.io.
fn checksums(lock: &str) -> Result<BTreeMap<Named, String>> {
    let lock: Lock = toml::from_str(lock).context("cannot read Cargo.lock")?;
    let of_it = lock.package.into_iter().filter(|package| package.source.as_deref() == Some(CRATES_IO));
    Ok(of_it.filter_map(|package| Some(((package.name, package.version), package.checksum?))).collect())
}
