//! From `target/xtask` to `dist/`: every file written beside its place and renamed; `dist.json` last, so that whoever reads it first
//! never sees a file that is not there.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

use super::index::{Entry, Index};
use super::schedule::{self, Built};
use crate::digest;
use crate::files::{replace_bytes, replace_file};
use crate::manifest::{Package, Target};
use crate::ui;

/// Puts what was built into `dist`, keeps what an earlier run put there of the same state, removes the rest of its files.
pub(crate) fn publish(
    dist: &Path,
    package: &Package,
    target: Target,
    inputs: &BTreeMap<&'static str, String>,
    built: &[Built],
) -> Result<Index> {
    let old = Index::read(dist);
    let new = merged(dist, old.as_ref(), package, target, inputs, built)?;
    for done in built {
        for path in schedule::files(&done.folder)? {
            let entry = new.files.iter().find(|file| file.path == path);
            let place = dist.join(&path);
            if entry.is_some_and(|entry| entry.is_there(dist)) {
                continue;
            }
            if let Some(link) = link_above(dist, &path) {
                bail!(
                    "cannot write {}: {} is a link, and leads out of {}\nhelp: rm '{}'",
                    place.display(),
                    link.display(),
                    dist.display(),
                    link.display()
                );
            }
            let source = done.folder.join(&path);
            let content = fs::read(&source).with_context(|| format!("cannot read {}", source.display()))?;
            replace_bytes(&place, &content, 0o644)?;
        }
    }
    let kept: BTreeSet<&str> = new.files.iter().map(|file| file.path.as_str()).collect();
    for entry in old.iter().flat_map(|old| &old.files).filter(|entry| !kept.contains(entry.path.as_str())) {
        remove_old(dist, entry)?;
    }
    let json = serde_json::to_string_pretty(&new).context("cannot write dist.json as JSON")?;
    for (name, text) in [("SHA256SUMS", new.sums()), (Index::FILE, json + "\n")] {
        if fs::read_to_string(dist.join(name)).ok().as_deref() != Some(&text) {
            replace_file(&dist.join(name), &text)?;
        }
    }
    Ok(new)
}

fn merged(
    dist: &Path,
    old: Option<&Index>,
    package: &Package,
    target: Target,
    inputs: &BTreeMap<&'static str, String>,
    built: &[Built],
) -> Result<Index> {
    let key = |channel: &str| format!("{}/{channel}", target.triple());
    let identity = &package.manifest.package;
    let mut index = Index {
        format: Index::FORMAT,
        name: identity.name.clone(),
        version: identity.version.clone(),
        revision: identity.revision,
        epoch: package.epoch,
        inputs: built.iter().map(|done| (key(done.channel), inputs[done.channel].clone())).collect(),
        files: Vec::new(),
    };
    for done in built {
        for path in schedule::files(&done.folder)? {
            let source = done.folder.join(&path);
            let size =
                fs::metadata(&source).with_context(|| format!("cannot read {}", source.display()))?.len();
            let sha256 = digest::file(&source)?;
            let channel = done.channel.to_owned();
            index.files.push(Entry { path, channel, target: target.triple().to_owned(), size, sha256 });
        }
    }
    for (name, digest) in old
        .iter()
        .flat_map(|old| &old.inputs)
        .filter(|(name, _)| !index.inputs.contains_key(*name))
        .collect::<Vec<_>>()
    {
        let Some((of_target, channel)) = name.split_once('/') else {
            continue;
        };
        let current = match of_target == target.triple() {
            true => inputs.get(channel) == Some(digest),
            // What the other target's channel is made of is not known without building for it.
            false => old.is_some_and(|old| {
                old.epoch == index.epoch && old.version == index.version && old.revision == index.revision
            }),
        };
        let files: Vec<&Entry> = old
            .iter()
            .flat_map(|old| &old.files)
            .filter(|file| file.channel == channel && file.target == of_target)
            .collect();
        let whole = files.iter().all(|file| file.is_there(dist));
        if current && whole {
            index.inputs.insert(name.clone(), digest.clone());
            let present: BTreeSet<String> = index.files.iter().map(|file| file.path.clone()).collect();
            index.files.extend(files.into_iter().filter(|file| !present.contains(&file.path)).cloned());
        } else {
            ui::verb("Removing", format_args!("{channel} of an earlier state"));
        }
    }
    index.files.sort_by(|a, b| a.path.cmp(&b.path));
    if let Some(pair) = index.files.windows(2).find(|pair| pair[0].path == pair[1].path) {
        bail!("{} is made by {} and by {}", pair[0].path, pair[0].channel, pair[1].channel);
    }
    Ok(index)
}

fn remove_old(dist: &Path, entry: &Entry) -> Result<()> {
    let path = dist.join(&entry.path);
    // What is a folder or behind a link is not the file that an earlier run has put there.
    if link_above(dist, &entry.path).is_some() || path.symlink_metadata().is_ok_and(|found| found.is_dir()) {
        return Ok(());
    }
    match fs::remove_file(&path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(error).with_context(|| format!("cannot remove {}", path.display()));
        }
        _ => {}
    }
    // Its folder goes with the last file in it.
    if let Some(folder) = path.parent().filter(|folder| *folder != dist) {
        let _ = fs::remove_dir(folder);
    }
    Ok(())
}

/// A folder on the way from `dist` to a file in it that is a link.
fn link_above(dist: &Path, path: &str) -> Option<PathBuf> {
    let folders = Path::new(path).ancestors().skip(1).filter(|folder| !folder.as_os_str().is_empty());
    folders.map(|folder| dist.join(folder)).find(|folder| folder.is_symlink())
}
