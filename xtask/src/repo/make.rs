//! New repositories: put together beside their place, and renamed into it once they are whole. What is there already is never replaced: it
//! knows what was withdrawn, and machines know its files by their names.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use rustix::fs::{FlockOperation, flock};

use super::folder::{Facts, sync_parent};
use super::{Site, add};
use crate::files::remove;

/// Makes `to`, where nothing is, or leaves what is there as it is.
pub(super) fn build(site: &Site<'_>, to: &Path) -> Result<()> {
    // Of a link, where it leads: a folder is not renamed over a link.
    let to = &fs::canonicalize(to).unwrap_or_else(|_| to.to_owned());
    if beside(to, "old")?.symlink_metadata().is_err() {
        refuse_taken(to)?;
    }
    let (fresh, _lock) = locked(to)?;
    let made = make(site, to, &fresh);
    if made.is_err() {
        let _ = remove(&fresh);
    }
    made
}

fn make(site: &Site<'_>, to: &Path, fresh: &Path) -> Result<()> {
    put_back(to)?;
    refuse_taken(to)?;
    empty(fresh)?;
    Facts::new(site).write(fresh)?;
    add(site, fresh)?;
    // Never over what holds anything: rename(2) itself refuses that.
    fs::rename(fresh, to)
        .with_context(|| format!("cannot rename {} to {}", fresh.display(), to.display()))?;
    sync_parent(to)
}

/// Undoes what a killed `repo build` of before had begun: it had moved a repository aside, and put no other one into its place.
pub(super) fn recover(dir: &Path) -> Result<()> {
    if !is_vacant(dir) || dir.file_name().is_none() || Facts::read(&beside(dir, "old")?)?.is_none() {
        return Ok(());
    }
    let (fresh, _lock) = locked(dir)?;
    put_back(dir)?;
    remove(&fresh)
}

fn put_back(dir: &Path) -> Result<()> {
    let old = beside(dir, "old")?;
    if !is_vacant(dir) || Facts::read(&old)?.is_none() {
        return Ok(());
    }
    fs::rename(&old, dir).with_context(|| format!("cannot rename {} to {}", old.display(), dir.display()))?;
    crate::ui::warning(format!("{} is where it was: a killed run had moved it aside", dir.display()));
    sync_parent(dir)
}

pub(super) fn refuse_taken(to: &Path) -> Result<()> {
    if Facts::read(to)?.is_some() {
        bail!(crate::Refused(format!(
            "{} holds repositories already: they are not replaced\nhelp: `cargo xtask repo add {0}`, or remove them by hand",
            to.display()
        )));
    }
    if !is_vacant(to) {
        bail!("{} was not made by `cargo xtask repo build`: it is not replaced", to.display());
    }
    Ok(())
}

/// Nothing is there, or a folder with nothing in it.
fn is_vacant(to: &Path) -> bool {
    match fs::read_dir(to) {
        Ok(mut entries) => entries.next().is_none(),
        Err(cause) => cause.kind() == ErrorKind::NotFound && to.symlink_metadata().is_err(),
    }
}

fn beside(to: &Path, what: &str) -> Result<PathBuf> {
    let name = to.file_name().with_context(|| format!("{} is no folder to make", to.display()))?;
    Ok(to.with_file_name(format!(".{}.{what}", name.to_string_lossy())))
}

/// The folder beside, of which one run at a time is the owner; freed when the other value is dropped, also by a kill.
fn locked(to: &Path) -> Result<(PathBuf, File)> {
    let fresh = beside(to, "new")?;
    loop {
        fs::create_dir_all(&fresh).with_context(|| format!("cannot create {}", fresh.display()))?;
        let what = || format!("cannot lock {}", fresh.display());
        let Ok(folder) = File::open(&fresh) else { continue };
        if flock(&folder, FlockOperation::NonBlockingLockExclusive).is_err() {
            crate::ui::verb("Waiting", format_args!("for whoever else makes {}", to.display()));
            flock(&folder, FlockOperation::LockExclusive).with_context(what)?;
        }
        // Whoever had it may have renamed it meanwhile.
        let held = folder.metadata().with_context(what)?;
        if fresh.symlink_metadata().is_ok_and(|now| (now.dev(), now.ino()) == (held.dev(), held.ino())) {
            return Ok((fresh, folder));
        }
    }
}

/// The folder itself stays: it is what is locked.
fn empty(folder: &Path) -> Result<()> {
    let what = || format!("cannot list {}", folder.display());
    for entry in fs::read_dir(folder).with_context(what)? {
        remove(&entry.with_context(what)?.path())?;
    }
    Ok(())
}
