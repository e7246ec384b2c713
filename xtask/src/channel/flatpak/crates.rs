//! `cargo-sources.json`: what flatpak-builder has to fetch so that cargo finds every crate without a network.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};

use crate::channel::cargo_lock::{CRATES_IO, Lock, Locked};

/// Read as CARGO_HOME's configuration: the path starts at the folder above CARGO_HOME.
const CONFIG: &str = "\
[source.crates-io]
replace-with = \"vendored-sources\"

[source.vendored-sources]
directory = \"cargo/vendor\"
";

/// The sources for the workspace member `root`: everything that its graph in the lock reaches, for all platforms, with
/// what its own tests need (cargo resolves these too, though it does not build them).
pub(super) fn sources(lock: &str, root: &str) -> Result<Vec<Value>> {
    let lock: Lock = toml::from_str(lock).context("cannot read Cargo.lock")?;
    let mut sources = Vec::new();
    for package in reachable(&lock, root)? {
        let Locked { name, version, .. } = package;
        match package.source.as_deref() {
            None => continue,
            Some(CRATES_IO) => {}
            Some(other) if other.starts_with("git+") => bail!(
                "the crate {name} {version} comes from git ({other}); the Flatpak carries crates of crates.io only"
            ),
            Some(other) => bail!("the crate {name} {version} comes from {other}, not from crates.io"),
        }
        let sha256 = package
            .checksum
            .as_deref()
            .with_context(|| format!("the crate {name} {version} has no checksum in Cargo.lock"))?;
        let dest = format!("cargo/vendor/{name}-{version}");
        sources.push(json!({
            "type": "archive",
            "archive-type": "tar-gzip",
            "url": format!("https://static.crates.io/crates/{name}/{name}-{version}.crate"),
            "sha256": sha256,
            "dest": dest,
        }));
        sources.push(json!({
            "type": "inline",
            "contents": json!({ "package": sha256, "files": {} }).to_string(),
            "dest": dest,
            "dest-filename": ".cargo-checksum.json",
        }));
    }
    sources.push(json!({
        "type": "inline",
        "contents": CONFIG,
        "dest": "cargo",
        "dest-filename": "config.toml",
    }));
    Ok(sources)
}

/// The packages that `root` reaches, itself among them, sorted by name and version as the lock is.
fn reachable<'a>(lock: &'a Lock, root: &str) -> Result<Vec<&'a Locked>> {
    let mut by_name: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (index, package) in lock.package.iter().enumerate() {
        by_name.entry(&package.name).or_default().push(index);
    }
    // `name`, `name version` or `name version (source)`: as much as is needed to tell packages apart.
    let find = |wanted: &str| -> Result<usize> {
        let mut words = wanted.splitn(3, ' ');
        let (name, version, source) = (words.next().unwrap_or_default(), words.next(), words.next());
        let mut found = by_name.get(name).into_iter().flatten().copied().filter(|&index| {
            let package = &lock.package[index];
            let source = source.map(|source| source.trim_matches(['(', ')']));
            version.is_none_or(|version| version == package.version)
                && source.is_none_or(|source| Some(source) == package.source.as_deref())
        });
        match (found.next(), found.next()) {
            (Some(index), None) => Ok(index),
            (None, _) => bail!("Cargo.lock has no package `{wanted}`"),
            (Some(_), Some(_)) => bail!("Cargo.lock has several packages `{wanted}`"),
        }
    };
    let mut seen = BTreeSet::new();
    let mut waiting = vec![find(root)?];
    while let Some(index) = waiting.pop() {
        if seen.insert(index) {
            for dependency in &lock.package[index].dependencies {
                waiting.push(find(dependency)?);
            }
        }
    }
    Ok(seen.into_iter().map(|index| &lock.package[index]).collect())
}

#[cfg(test)]
#[path = "crates_tests.rs"]
mod tests;
