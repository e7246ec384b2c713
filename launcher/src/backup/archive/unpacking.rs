//! Entries into a fresh folder: each is created where nothing was, below folders that were made here, and is a file, folder or link.

use std::collections::BTreeSet;
use std::fs::{self, DirBuilder, OpenOptions, Permissions};
use std::io::{self, Read, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use tar::EntryType;

use super::read::unreadable;
use super::trailer::damaged;
use super::{ENTRIES, MANIFEST};
use crate::app::unpack as release;
use crate::backup::manifest::Manifest;
use crate::backup::room;
use crate::failure::{Exit, Failure};

pub(super) struct Unpacking<'a> {
    archive: &'a Path,
    into: &'a Path,
    left: u64,
    /// Of the room that was looked for before; what comes after needs a look of its own.
    expected: u64,
    entries: u64,
    /// Made here, with the modes that they are to have at last: one that nothing may be written to comes out, too.
    folders: BTreeSet<PathBuf>,
    modes: Vec<(PathBuf, u32)>,
}

/// What an entry's header says of a file.
struct Head {
    size: u64,
    mode: u32,
    time: Option<u64>,
}

impl Unpacking<'_> {
    pub(super) fn new<'a>(archive: &'a Path, into: &'a Path, manifest: &Manifest) -> Unpacking<'a> {
        let (folders, modes) = (BTreeSet::new(), Vec::new());
        let (left, expected) = (manifest.most(), manifest.unpacked_bytes);
        Unpacking { archive, into, left, expected, entries: 0, folders, modes }
    }

    /// Takes what an entry needs from what may come in all.
    pub(super) fn room(&mut self, size: u64) -> Result<u64, Failure> {
        self.entries += 1;
        crate::interrupt::check()?;
        match self.left.checked_sub(size).filter(|_| self.entries <= ENTRIES) {
            Some(left) => self.left = left,
            None => {
                let what =
                    format!("{} is refused: it unpacks to far more than it says", self.archive.display());
                return Err(Failure::new(what).exit(Exit::Refused));
            }
        }
        match self.expected.checked_sub(size) {
            Some(expected) => self.expected = expected,
            None => {
                self.expected = 0;
                room::beyond(self.into, size)?;
            }
        }
        Ok(size)
    }

    pub(super) fn entry<R: Read>(
        &mut self,
        entry: &mut tar::Entry<'_, R>,
        what: &dyn Fn(&str) -> bool,
    ) -> Result<(), Failure> {
        let raw = entry.path_bytes().into_owned();
        let shown = String::from_utf8_lossy(&raw[..raw.len().min(200)]).escape_debug().to_string();
        let refuse = |why: &str| {
            Failure::new(format!("{} is refused: its entry `{shown}` {why}", self.archive.display()))
                .exit(Exit::Refused)
                .help("see which others there are: `mathesar backup list`")
        };
        let path = release::inside(&raw).map_err(refuse)?;
        let kind = entry.header().entry_type();
        let mode = entry.header().mode().map_err(|cause| unreadable(self.archive, cause))?;
        if mode & 0o6000 != 0 {
            return Err(refuse("has a set-user-id or set-group-id bit"));
        }
        let target = match kind {
            EntryType::Regular | EntryType::Directory => None,
            EntryType::Symlink => {
                let raw = entry.link_name_bytes().unwrap_or_default().into_owned();
                let target = PathBuf::from(std::ffi::OsStr::from_bytes(&raw));
                // Out of its own folder of the archive is outside already: that one may be moved elsewhere.
                let below: PathBuf = path.components().skip(1).collect();
                if below.as_os_str().is_empty() || !release::stays_inside(&below, &target) {
                    let why = format!("is a link that leads outside, to `{}`", target.display());
                    return Err(refuse(&why));
                }
                Some(target)
            }
            EntryType::Link => return Err(refuse("is a hard link")),
            EntryType::Char | EntryType::Block => return Err(refuse("is a device")),
            EntryType::Fifo => return Err(refuse("is a named pipe")),
            _ => return Err(refuse("is of a kind that no backup holds")),
        };
        if path.as_os_str().is_empty() {
            return Err(refuse("has no name"));
        }
        if !what(&path.to_string_lossy()) {
            return Ok(());
        }
        let again = || refuse("is there twice, or lies below a file or link");
        // Never through a link: every folder above has been made here.
        let mut above: Vec<&Path> = path.ancestors().skip(1).collect();
        above.reverse();
        for folder in above.into_iter().skip(1) {
            if !self.folders.contains(folder) && !self.folder(folder, 0o700)? {
                return Err(again());
            }
        }
        let to = self.into.join(&path);
        let done = match (kind, target) {
            (EntryType::Directory, _) => self.folder(&path, mode & 0o777)?,
            (_, Some(target)) => fresh(std::os::unix::fs::symlink(target, &to), &to)?.is_some(),
            (_, None) => {
                let time = entry.header().mtime().ok();
                let head = Head { size: entry.size(), mode: mode & 0o777, time };
                self.write(entry, &path, &head)?
            }
        };
        if done { Ok(()) } else { Err(again()) }
    }

    /// False: something is there.
    fn folder(&mut self, path: &Path, mode: u32) -> Result<bool, Failure> {
        let to = self.into.join(path);
        let made = fresh(DirBuilder::new().mode(0o700).create(&to), &to)?.is_some();
        if made {
            self.folders.insert(path.to_owned());
            self.modes.push((to, mode));
        }
        Ok(made)
    }

    /// The first entry, which was read already.
    pub(super) fn manifest(&self, text: &[u8]) -> Result<(), Failure> {
        let head = Head { size: text.len() as u64, mode: 0o600, time: None };
        self.write(&mut &text[..], Path::new(MANIFEST), &head).map(drop)
    }

    /// False: something is there.
    fn write(&self, from: &mut dyn Read, path: &Path, head: &Head) -> Result<bool, Failure> {
        let to = self.into.join(path);
        let opened = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&to);
        let Some(mut file) = fresh(opened, &to)? else { return Ok(false) };
        let failed = |cause| cannot_write(&to, cause);
        let mut buffer = vec![0; 128 * 1024];
        let mut written = 0;
        loop {
            crate::interrupt::check()?;
            match from.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => {
                    file.write_all(&buffer[..count]).map_err(failed)?;
                    written += count as u64;
                }
                Err(cause) if cause.kind() == io::ErrorKind::Interrupted => {}
                Err(cause) => return Err(unreadable(self.archive, cause)),
            }
        }
        if written != head.size {
            return Err(damaged(self.archive, format!("its content ends within `{}`", path.display())));
        }
        file.set_permissions(Permissions::from_mode(head.mode)).map_err(failed)?;
        // When it was uploaded; nothing depends on it.
        let time = head.time.and_then(|time| UNIX_EPOCH.checked_add(Duration::from_secs(time)));
        let _ = time.map(|time| file.set_modified(time));
        Ok(true)
    }

    pub(super) fn finish(&self) -> Result<(), Failure> {
        self.modes.iter().rev().try_for_each(|(path, mode)| {
            fs::set_permissions(path, Permissions::from_mode(*mode))
                .map_err(|cause| cannot_write(path, cause))
        })
    }
}

/// None where something has that name already.
fn fresh<T>(made: io::Result<T>, path: &Path) -> Result<Option<T>, Failure> {
    match made {
        Ok(made) => Ok(Some(made)),
        Err(cause) if cause.kind() == io::ErrorKind::AlreadyExists => Ok(None),
        Err(cause) => Err(cannot_write(path, cause)),
    }
}

fn cannot_write(path: &Path, cause: io::Error) -> Failure {
    let above = path.parent().unwrap_or(path).display();
    Failure::io("write", path, cause).help(format!("look for room: `df -h {above}`"))
}
