//! Uploaded files as they are at one moment, beside where they are used: for a release whose migrations change or remove them, and fails.
//!
//! Small ones, and all where the file system shares blocks, are copied. Bigger ones get a second name: that keeps what is removed or
//! replaced, and costs neither time nor room; what a migration would write into such a file is not kept.

use std::fs::{self, File, FileTimes, Metadata};
use std::io::{Error, ErrorKind};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::journal::Journal;
use super::swap::Part;
use crate::app::digest::Hasher;
use crate::app::files;
use crate::failure::Failure;

/// In bytes.
const SMALL: u64 = 1 << 20;

/// Nobody writes to `from`; what a killed run has left in `to` is removed.
pub fn keep(from: &Path, to: &Path) -> Result<(), Failure> {
    files::remove_tree(to)?;
    folder(from, to)?;
    to.parent().map_or(Ok(()), files::sync_folder)
}

fn folder(from: &Path, to: &Path) -> Result<(), Failure> {
    let found = from.symlink_metadata().map_err(|cause| Failure::io("read", from, cause))?;
    let parents = fs::DirBuilder::new().recursive(true).mode(0o700).create(to);
    parents.map_err(|cause| Failure::io("create", to, cause))?;
    for entry in fs::read_dir(from).map_err(|cause| Failure::io("read", from, cause))? {
        let entry = entry.map_err(|cause| Failure::io("read", from, cause))?;
        let (one, other) = (entry.path(), to.join(entry.file_name()));
        let found = one.symlink_metadata().map_err(|cause| Failure::io("read", &one, cause))?;
        match found.is_dir() {
            true => folder(&one, &other)?,
            false => file(&one, &other, &found).map_err(|cause| {
                let failure = Failure::io("keep a copy of", &one, cause);
                match crate::failure::little_room(to) {
                    Some(room) => failure.help(format!("make room: {room}")),
                    None => failure,
                }
            })?,
        }
    }
    let kept = fs::set_permissions(to, found.permissions()).and_then(|()| {
        let folder = File::open(to)?;
        folder.set_times(times(&found)?)?;
        folder.sync_all()
    });
    kept.map_err(|cause| Failure::io("write", to, cause))
}

fn file(from: &Path, to: &Path, found: &Metadata) -> Result<(), Error> {
    if found.is_file() && share(from, to, found)? {
        return Ok(());
    }
    // Links, pipes and the like too: the second name is of the thing itself.
    if found.is_file() && found.len() <= SMALL {
        return copy(from, to, found);
    }
    match fs::hard_link(from, to) {
        // Somebody else's file, a mounted folder within, or as many names as the file system has for one.
        Err(_) if found.is_file() => copy(from, to, found),
        other => other,
    }
}

/// Whether the file system could share the blocks.
fn share(from: &Path, to: &Path, found: &Metadata) -> Result<bool, Error> {
    #[cfg(target_os = "linux")]
    {
        let (source, target) = (File::open(from)?, File::create_new(to)?);
        if rustix::fs::ioctl_ficlone(&target, &source).is_ok() {
            return finish(&target, found).map(|()| true);
        }
        fs::remove_file(to)?;
    }
    let _ = (from, to, found);
    Ok(false)
}

fn copy(from: &Path, to: &Path, found: &Metadata) -> Result<(), Error> {
    let (mut source, mut target) = (File::open(from)?, File::create_new(to)?);
    std::io::copy(&mut source, &mut target)?;
    finish(&target, found)
}

fn finish(target: &File, found: &Metadata) -> Result<(), Error> {
    target.set_permissions(fs::Permissions::from_mode(found.mode() & 0o7777))?;
    // A group that was given to the file; who may not do so has not given it either.
    let _ = std::os::unix::fs::fchown(target, None, Some(found.gid()));
    target.set_times(times(found)?)?;
    match target.sync_all() {
        Err(cause) if cause.kind() == ErrorKind::InvalidInput => Ok(()),
        synced => synced,
    }
}

fn times(found: &Metadata) -> Result<FileTimes, Error> {
    Ok(FileTimes::new().set_modified(found.modified()?).set_accessed(found.accessed()?))
}

/// Names, sizes and times, as a digest.
pub fn listing(folder: &Path) -> Result<String, Failure> {
    let mut hasher = Hasher::default();
    let walked = files::walk(folder, &mut |path, found| {
        if !found.is_dir() {
            let line =
                format!("{} {} {} {}\n", path.display(), found.len(), found.mtime(), found.mtime_nsec());
            hasher.update(line.as_bytes());
        }
    });
    match walked {
        Err(cause) if cause.kind() != ErrorKind::NotFound => Err(Failure::io("read", folder, cause)),
        _ => Ok(hasher.finish()),
    }
}

/// Uploaded files as they were at one moment: not all can be put back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    folder: PathBuf,
    listing: String,
}

impl Seen {
    /// None: they cannot be looked at.
    pub fn of(folder: &Path) -> Option<Seen> {
        Some(Seen { folder: folder.to_owned(), listing: listing(folder).ok()? })
    }

    pub(super) fn to_json(&self) -> Option<Value> {
        Some(json!({ "folder": self.folder.to_str()?, "listing": self.listing }))
    }

    pub(super) fn from_json(value: &Value) -> Option<Seen> {
        let folder = value["folder"].as_str()?.into();
        Some(Seen { folder, listing: value["listing"].as_str()?.to_owned() })
    }
}

/// What a transaction that was taken back has changed for good, and why it is not put back.
pub fn changed(state: &Path, journal: &Journal) -> Option<String> {
    let Seen { folder, listing: before } = journal.uploads.as_ref()?;
    if listing(folder).ok().as_ref() == Some(before) {
        return None;
    }
    let why = match journal.parts.contains(&Part::Media) {
        true => "big ones are kept by a second name, and were written into",
        false if *folder == Part::Media.live(state) => "it is a mount point, or a link",
        false => "`media.path` names a folder of yours",
    };
    Some(format!(
        "uploaded files in {} were changed meanwhile and are not put back, as {why}; backups have them: `mathesar backup list`",
        folder.display()
    ))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn what_is_changed_or_removed_is_kept() {
        let root = tempfile::tempdir().unwrap();
        let (from, to) = (root.path().join("media"), root.path().join("aside/copy"));
        fs::create_dir_all(from.join("20261127/empty")).unwrap();
        fs::write(from.join("20261127/f.csv"), "as it was").unwrap();
        fs::set_permissions(from.join("20261127/f.csv"), fs::Permissions::from_mode(0o640)).unwrap();
        fs::write(from.join("big"), vec![7; SMALL as usize + 1]).unwrap();
        fs::write(from.join("odd \n name"), "").unwrap();
        symlink("../elsewhere", from.join("link")).unwrap();
        let look = |folder: &Path| {
            let mut all = Vec::new();
            files::walk(folder, &mut |path, found| {
                let name = path.strip_prefix(folder).unwrap().to_owned();
                all.push((
                    name,
                    found.mode(),
                    found.mtime_nsec(),
                    if found.is_dir() { 0 } else { found.len() },
                ));
            })
            .unwrap();
            all.sort();
            all
        };
        let before = look(&from);
        // Half of it, from a run that was killed.
        fs::create_dir_all(to.join("20261127")).unwrap();
        fs::write(to.join("20261127/stale"), "x").unwrap();
        keep(&from, &to).unwrap();
        assert_eq!(look(&to), before);
        fs::write(from.join("20261127/f.csv"), "another, and longer").unwrap();
        fs::remove_file(from.join("big")).unwrap();
        fs::remove_dir(from.join("20261127/empty")).unwrap();
        assert_eq!(look(&to), before);
        assert_eq!(fs::read_to_string(to.join("20261127/f.csv")).unwrap(), "as it was");
    }
}
