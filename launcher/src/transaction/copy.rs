//! A copy of a data directory to the last byte: most of it while the server runs, the rest once it has ended.
//!
//! The first pass copies everything, torn or not, and remembers what each file looked like before. The second, with nobody
//! writing any more, copies again what does not look the same, as rsync would do it; a file that was changed so shortly before
//! it was looked at that its times could not tell is copied again as well. So nothing hangs on the clock's going forward.

use std::collections::BTreeMap;
use std::fs::{self, File, Metadata};
use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use crate::failure::Failure;
use crate::progress::Progress;
use crate::supervise::Cancel;

/// Coarser than any file system's times.
const RACY: Duration = Duration::from_secs(2);

/// Not part of a cluster that does not run.
const TRANSIENT: &[&str] = &["postmaster.pid"];

#[derive(Debug, Clone, PartialEq, Eq)]
struct Look {
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
    inode: u64,
    /// Its times may not tell the next change.
    racy: bool,
}

impl Look {
    fn of(found: &Metadata) -> Look {
        let now = SystemTime::now();
        let old = |time: std::io::Result<SystemTime>| {
            time.ok().and_then(|time| now.duration_since(time).ok()).is_some_and(|age| age > RACY)
        };
        Look {
            size: found.len(),
            modified: (found.mtime(), found.mtime_nsec()),
            changed: (found.ctime(), found.ctime_nsec()),
            inode: found.ino(),
            racy: !old(found.modified()),
        }
    }

    fn same(&self, other: &Look) -> bool {
        !self.racy
            && (self.size, self.modified, self.changed, self.inode)
                == (other.size, other.modified, other.changed, other.inode)
    }
}

/// What the source looked like when it was copied.
#[derive(Debug, Default)]
pub struct Seen(BTreeMap<PathBuf, Look>);

/// What a pass has copied.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Copied {
    pub files: u64,
    pub bytes: u64,
}

/// The first pass; files come and go meanwhile.
pub fn begin(
    from: &Path,
    to: &Path,
    cancel: &Cancel,
    progress: &dyn Progress,
) -> Result<(Seen, Copied), Failure> {
    let mut pass =
        Pass { from, to, seen: Seen::default(), copied: Copied::default(), live: true, cancel, progress };
    pass.folder(Path::new(""), None)?;
    sync(to)?;
    Ok((pass.seen, pass.copied))
}

/// The second pass, on a source that nobody writes to: afterwards the copy is the same to the byte, and on the disk.
pub fn complete(
    from: &Path,
    to: &Path,
    seen: &Seen,
    cancel: &Cancel,
    progress: &dyn Progress,
) -> Result<Copied, Failure> {
    let mut pass =
        Pass { from, to, seen: Seen::default(), copied: Copied::default(), live: false, cancel, progress };
    pass.folder(Path::new(""), Some(seen))?;
    pass.remove_others(Path::new(""))?;
    sync(to)?;
    Ok(pass.copied)
}

/// Moves a folder of ours: a rename, or a copy where that is another disk.
pub fn relocate(from: &Path, to: &Path) -> Result<(), Failure> {
    use crate::app::files;
    match fs::rename(from, to) {
        Ok(()) => to.parent().map_or(Ok(()), files::sync_folder),
        Err(cause) if cause.kind() == ErrorKind::CrossesDevices => {
            let half = files::beside(to, "new");
            files::remove_tree(&half)?;
            begin(from, &half, &Cancel::default(), &crate::progress::Silent)?;
            files::rename(&half, to)?;
            files::remove_tree(from)
        }
        Err(cause) => Err(Failure::io("move", from, cause)),
    }
}

/// Bytes of what would be copied.
pub fn size(from: &Path) -> u64 {
    crate::app::files::size(from)
}

struct Pass<'a> {
    from: &'a Path,
    to: &'a Path,
    seen: Seen,
    copied: Copied,
    /// The server runs: files vanish.
    live: bool,
    cancel: &'a Cancel,
    progress: &'a dyn Progress,
}

impl Pass<'_> {
    fn folder(&mut self, name: &Path, known: Option<&Seen>) -> Result<(), Failure> {
        let (from, to) = (self.from.join(name), self.to.join(name));
        let entries = match fs::read_dir(&from) {
            Ok(entries) => entries,
            Err(cause) if self.live && cause.kind() == ErrorKind::NotFound => return Ok(()),
            Err(cause) => return Err(Failure::io("read", &from, cause)),
        };
        make_folder(&to)?;
        for entry in entries {
            if self.cancel.cancelled() {
                return Err(Failure::new("the copy of the data was given up"));
            }
            let entry = entry.map_err(|cause| Failure::io("read", &from, cause))?;
            let name = name.join(entry.file_name());
            if TRANSIENT.iter().any(|transient| name == Path::new(transient)) {
                continue;
            }
            // A link to a folder (pg_wal on another disk) is followed: the copy must not share what it points to.
            let found = match fs::metadata(entry.path()) {
                Ok(found) => found,
                Err(cause) if self.live && cause.kind() == ErrorKind::NotFound => continue,
                Err(cause) => return Err(Failure::io("read", &entry.path(), cause)),
            };
            if found.is_dir() {
                self.folder(&name, known)?;
            } else if found.is_file() {
                self.file(name, &found, known)?;
            }
        }
        Ok(())
    }

    fn file(&mut self, name: PathBuf, found: &Metadata, known: Option<&Seen>) -> Result<(), Failure> {
        let look = Look::of(found);
        let (from, to) = (self.from.join(&name), self.to.join(&name));
        let same = known.and_then(|known| known.0.get(&name)).is_some_and(|seen| seen.same(&look));
        if same && fs::symlink_metadata(&to).is_ok_and(|copy| copy.is_file() && copy.len() == look.size) {
            return Ok(());
        }
        let gone = |cause: &std::io::Error| self.live && cause.kind() == ErrorKind::NotFound;
        match copy_file(&from, &to, found) {
            Ok(bytes) => {
                self.copied.files += 1;
                self.copied.bytes += bytes;
                self.progress.bytes(self.copied.bytes, None);
            }
            Err((_, cause)) if gone(&cause) => return Ok(()),
            Err((verb, cause)) if verb == "read" => return Err(Failure::io(verb, &from, cause)),
            Err((verb, cause)) => {
                let failure = Failure::io(verb, &to, cause);
                return Err(match crate::failure::little_room(self.to) {
                    Some(room) => failure.help(format!("make room: {room}")),
                    None => failure,
                });
            }
        }
        self.seen.0.insert(name, look);
        Ok(())
    }

    /// What the copy has and the source has no more.
    fn remove_others(&self, name: &Path) -> Result<(), Failure> {
        let to = self.to.join(name);
        let failed = |cause| Failure::io("read", &to, cause);
        for entry in fs::read_dir(&to).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let name = name.join(entry.file_name());
            let source = fs::metadata(self.from.join(&name)).ok();
            let is_folder = entry.file_type().map_err(failed)?.is_dir();
            match source {
                Some(found) if found.is_dir() && is_folder => self.remove_others(&name)?,
                Some(found) if found.is_file() && !is_folder => {}
                _ => crate::app::files::remove_tree(&entry.path())?,
            }
        }
        Ok(())
    }
}

fn make_folder(path: &Path) -> Result<(), Failure> {
    match fs::DirBuilder::new().mode(0o700).recursive(true).create(path) {
        Err(cause) if cause.kind() != ErrorKind::AlreadyExists => Err(Failure::io("create", path, cause)),
        _ => Ok(()),
    }
}

/// By sharing the blocks where the file system can do that, else by the kernel's own copying.
fn copy_file(from: &Path, to: &Path, found: &Metadata) -> Result<u64, (&'static str, std::io::Error)> {
    let mut source = File::open(from).map_err(|cause| ("read", cause))?;
    let mode = found.permissions().mode() & 0o700;
    let mut target = fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(mode)
        .open(to)
        .map_err(|cause| ("write", cause))?;
    #[cfg(target_os = "linux")]
    if rustix::fs::ioctl_ficlone(&target, &source).is_ok() {
        return Ok(found.len());
    }
    std::io::copy(&mut source, &mut target).map_err(|cause| ("write", cause))
}

/// One call for a whole file system, instead of one for each of a thousand files.
fn sync(folder: &Path) -> Result<(), Failure> {
    let failed = |cause: std::io::Error| Failure::io("sync", folder, cause);
    let open = File::open(folder).map_err(failed)?;
    #[cfg(target_os = "linux")]
    {
        rustix::fs::syncfs(&open).map_err(|cause| failed(cause.into()))
    }
    #[cfg(not(target_os = "linux"))]
    {
        drop(open);
        let mut result = Ok(());
        crate::app::files::walk(folder, &mut |path, _| {
            if let Err(cause) = File::open(path).and_then(|file| file.sync_all()) {
                result = Err(failed(cause));
            }
        })
        .map_err(failed)?;
        result
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::progress::Silent;

    fn tree(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
        let mut all = BTreeMap::new();
        crate::app::files::walk(folder, &mut |path, found| {
            let name = path.strip_prefix(folder).unwrap().to_owned();
            all.insert(name, if found.is_file() { fs::read(path).unwrap() } else { Vec::new() });
        })
        .unwrap();
        all
    }

    #[test]
    fn the_second_pass_makes_it_equal() {
        let root = tempfile::tempdir().unwrap();
        let (from, to) = (root.path().join("from"), root.path().join("to"));
        fs::create_dir_all(from.join("base/1")).unwrap();
        for (name, text) in [("base/1/a", "one"), ("base/1/b", "two"), ("gone", "x"), ("postmaster.pid", "1")]
        {
            fs::write(from.join(name), text).unwrap();
        }
        let elsewhere = root.path().join("wal");
        fs::create_dir(&elsewhere).unwrap();
        fs::write(elsewhere.join("0001"), "log").unwrap();
        std::os::unix::fs::symlink(&elsewhere, from.join("pg_wal")).unwrap();
        let cancel = Cancel::default();
        let (seen, first) = begin(&from, &to, &cancel, &Silent).unwrap();
        assert_eq!(first.files, 4);
        // The same size, and a time that goes back: a clock that was set.
        fs::write(from.join("base/1/a"), "ONE").unwrap();
        let back = SystemTime::now() - Duration::from_secs(100_000);
        File::options().write(true).open(from.join("base/1/a")).unwrap().set_modified(back).unwrap();
        fs::remove_file(from.join("gone")).unwrap();
        fs::create_dir(from.join("base/2")).unwrap();
        fs::write(from.join("base/2/c"), "three").unwrap();
        fs::write(elsewhere.join("0001"), "LOG").unwrap();
        complete(&from, &to, &seen, &cancel, &Silent).unwrap();
        let mut wanted = tree(&from);
        wanted.retain(|name, _| name != Path::new("postmaster.pid"));
        wanted.insert("pg_wal/0001".into(), b"LOG".to_vec());
        assert_eq!(tree(&to), wanted);
        assert!(!to.join("pg_wal").is_symlink());
    }

    #[test]
    fn what_has_not_changed_for_a_while_is_not_copied_twice() {
        let root = tempfile::tempdir().unwrap();
        let (from, to) = (root.path().join("from"), root.path().join("to"));
        fs::create_dir_all(&from).unwrap();
        fs::write(from.join("old"), "one").unwrap();
        let back = SystemTime::now() - Duration::from_secs(60);
        File::options().write(true).open(from.join("old")).unwrap().set_modified(back).unwrap();
        fs::write(from.join("young"), "one").unwrap();
        let cancel = Cancel::default();
        let (seen, _) = begin(&from, &to, &cancel, &Silent).unwrap();
        let again = complete(&from, &to, &seen, &cancel, &Silent).unwrap();
        assert_eq!(again, Copied { files: 1, bytes: 3 });
    }

    #[test]
    fn a_copy_that_is_not_wanted_any_more_ends() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("from")).unwrap();
        fs::write(root.path().join("from/a"), "").unwrap();
        let cancel = Cancel::default();
        cancel.cancel();
        assert!(begin(&root.path().join("from"), &root.path().join("to"), &cancel, &Silent).is_err());
    }
}
