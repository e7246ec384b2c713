//! Several files changed as one. Whoever is killed midway leaves the old files, or a journal from which the next command
//! completes the new ones; never a mixture that stays.
//!
//! The order: take the lock; write every new text into the journal (beside, fsync, rename: this is the decision); then, a
//! file at a time, write beside the target, fsync, rename; sync the folders; remove the journal. Before the decision no
//! file of the checkout has been touched, after it [`Edits::begin`] of any later command goes on where it stopped.

#[cfg(test)]
mod tests;
mod text;

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use serde::{Deserialize, Serialize};

pub(crate) use text::{
    NewApp, newer, put_app, put_cargo_lock, put_cargo_version, put_changelog, put_version, today,
};

use crate::digest;
use crate::workspace::Workspace;

/// Changes that are decided together.
pub(crate) struct Edits {
    root: PathBuf,
    folder: PathBuf,
    changes: Vec<Change>,
    /// Held until the end; the system releases it when the process dies.
    _lock: File,
}

#[derive(Debug, Serialize, Deserialize)]
struct Change {
    /// Below the root.
    path: String,
    /// SHA-256 of the text that was there; none where there was no file.
    before: Option<String>,
    text: String,
}

impl Edits {
    /// Takes the lock, and completes what a killed command had decided.
    pub(crate) fn begin(workspace: &Workspace) -> Result<Edits> {
        let folder = workspace.target.join("xtask");
        fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
        let path = folder.join("edit.lock");
        let lock = File::create(&path).with_context(|| format!("cannot create {}", path.display()))?;
        lock.lock().with_context(|| format!("cannot lock {}", path.display()))?;
        let edits = Edits { root: workspace.root.clone(), folder, changes: Vec::new(), _lock: lock };
        edits.complete()?;
        Ok(edits)
    }

    /// The text of a file, as changed so far.
    pub(crate) fn read(&self, path: &str) -> Result<String> {
        match self.changes.iter().find(|change| change.path == path) {
            Some(change) => Ok(change.text.clone()),
            None => {
                let path = self.root.join(path);
                fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))
            }
        }
    }

    /// Sets the text of a file below the root; nothing is written before [`Edits::commit`].
    pub(crate) fn set(&mut self, path: &str, text: String) -> Result<()> {
        if let Some(change) = self.changes.iter_mut().find(|change| change.path == path) {
            change.text = text;
            return Ok(());
        }
        let before = read_if_there(&self.root.join(path))?.map(|bytes| digest::bytes(&bytes));
        self.changes.push(Change { path: path.to_owned(), before, text });
        Ok(())
    }

    /// Writes everything, and returns the paths that changed.
    pub(crate) fn commit(mut self) -> Result<Vec<String>> {
        self.changes
            .retain(|change| change.before.as_deref() != Some(&digest::bytes(change.text.as_bytes())));
        if self.changes.is_empty() {
            return Ok(Vec::new());
        }
        let text = serde_json::to_string(&self.changes).context("cannot serialise the journal")?;
        write_atomically(&self.journal(), &text)?;
        sync_folder(&self.folder)?;
        self.complete()?;
        Ok(self.changes.into_iter().map(|change| change.path).collect())
    }

    fn journal(&self) -> PathBuf {
        self.folder.join("edit.journal.json")
    }

    /// Brings every file of the journal, if there is one, to its new text.
    fn complete(&self) -> Result<()> {
        let journal = self.journal();
        let Some(bytes) = read_if_there(&journal)? else {
            // A journal that was never decided on.
            let undecided = beside(&journal)?;
            return match fs::remove_file(&undecided) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    Err(error).with_context(|| format!("cannot remove {}", undecided.display()))
                }
                _ => Ok(()),
            };
        };
        let changes: Vec<Change> = serde_json::from_slice(&bytes)
            .with_context(|| format!("cannot read the journal {}", journal.display()))?;
        let mut pending = Vec::new();
        for change in &changes {
            let path = self.root.join(&change.path);
            let now = read_if_there(&path)?.map(|bytes| digest::bytes(&bytes));
            if now.as_deref() == Some(&digest::bytes(change.text.as_bytes())) {
                continue;
            }
            if now != change.before {
                bail!(
                    "{} was changed by hand after a killed command had decided to rewrite it\n\
                     help: rm {} (keeps the files as they are), then `cargo xtask check`",
                    path.display(),
                    journal.display()
                );
            }
            pending.push((path, &change.text));
        }
        for (path, text) in pending {
            write_atomically(&path, text)?;
            if let Some(folder) = path.parent() {
                sync_folder(folder)?;
            }
        }
        step("remove the journal")?;
        fs::remove_file(&journal).with_context(|| format!("cannot remove {}", journal.display()))?;
        sync_folder(&self.folder)
    }
}

/// A fixed name: what a killed command left is overwritten by the one that completes its work.
fn beside(path: &Path) -> Result<PathBuf> {
    let name = path.file_name().with_context(|| format!("{} has no name", path.display()))?;
    Ok(path.with_file_name(format!(".{}.xtask-new", name.to_string_lossy())))
}

/// Writes beside `path`, syncs, renames over it, keeping its permissions.
fn write_atomically(path: &Path, text: &str) -> Result<()> {
    let folder = path.parent().with_context(|| format!("{} is in no folder", path.display()))?;
    fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
    let beside = beside(path)?;
    step("write beside")?;
    let mut file = File::create(&beside).with_context(|| format!("cannot create {}", beside.display()))?;
    let half = text.len() / 2;
    let write = |file: &mut File, bytes: &[u8]| {
        file.write_all(bytes).with_context(|| format!("cannot write {}", beside.display()))
    };
    write(&mut file, &text.as_bytes()[..half])?;
    step("half written")?;
    write(&mut file, &text.as_bytes()[half..])?;
    if let Ok(metadata) = fs::metadata(path) {
        file.set_permissions(metadata.permissions())
            .with_context(|| format!("cannot set the mode of {}", beside.display()))?;
    }
    file.sync_all().with_context(|| format!("cannot sync {}", beside.display()))?;
    step("rename")?;
    fs::rename(&beside, path)
        .with_context(|| format!("cannot rename {} to {}", beside.display(), path.display()))
}

fn sync_folder(folder: &Path) -> Result<()> {
    File::open(folder)
        .and_then(|folder| folder.sync_all())
        .with_context(|| format!("cannot sync {}", folder.display()))
}

fn read_if_there(path: &Path) -> Result<Option<Vec<u8>>> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
    }
}

#[cfg(not(test))]
#[expect(clippy::unnecessary_wraps, reason = "in tests it fails where a kill would end the process")]
fn step(_: &str) -> Result<()> {
    Ok(())
}

#[cfg(test)]
use tests::step;
