//! A release's tarball into a folder: nothing outside of it, nothing that is more than files, folders and links, no bombs.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Component, Path, PathBuf};
use std::rc::Rc;

use flate2::read::MultiGzDecoder;
use tar::{Archive, EntryType};

use super::digest::Hasher;
use super::files;
use crate::failure::{Exit, Failure};
use crate::progress::Progress;

/// What a release may be at most; 0.10's are 320 entries and 12 MB.
#[derive(Debug, Clone)]
pub struct Limits {
    pub total: u64,
    pub single: u64,
    pub entries: u64,
    pub path: usize,
    /// Unpacked bytes a packed one, past the first `RATIO_FROM`.
    pub ratio: u64,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { total: 512 << 20, single: 128 << 20, entries: 20_000, path: 512, ratio: 100 }
    }
}

const RATIO_FROM: u64 = 4 << 20;

/// What came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unpacked {
    pub files: u64,
    pub bytes: u64,
}

/// Unpacks `tarball`, whose digest is checked once more on the way, into `into`, which must not exist: whole or not at all.
pub fn unpack(
    tarball: &Path,
    sha256: &str,
    into: &Path,
    limits: &Limits,
    progress: &dyn Progress,
) -> Result<Unpacked, Failure> {
    let new = files::beside(into, "new");
    files::remove_tree(&new)?;
    files::create_folder(&new)?;
    let unpacked = read(tarball, sha256, &new, limits, progress).and_then(|unpacked| {
        sync(&new)?;
        files::rename(&new, into)?;
        Ok(unpacked)
    });
    if unpacked.is_err() {
        let _ = files::remove_tree(&new);
    }
    unpacked
}

fn read(
    tarball: &Path,
    sha256: &str,
    into: &Path,
    limits: &Limits,
    progress: &dyn Progress,
) -> Result<Unpacked, Failure> {
    let file = File::open(tarball).map_err(|cause| Failure::io("open", tarball, cause))?;
    let size = file.metadata().ok().map(|found| found.len());
    let packed = Packed { file, hasher: Hasher::default(), read: Rc::default() };
    let read_so_far = Rc::clone(&packed.read);
    let plain = Plain { from: MultiGzDecoder::new(packed), read: 0, limits };
    let mut archive = Archive::new(plain);
    let damaged = |cause: io::Error| match cause.downcast::<Failure>() {
        Ok(failure) => failure.exit(Exit::Refused),
        Err(cause) => Failure::io("unpack", tarball, cause),
    };
    let mut unpacking = Unpacking { into, limits, seen: BTreeMap::new(), files: 0, bytes: 0 };
    for entry in archive.entries().map_err(damaged)? {
        let mut entry = entry.map_err(damaged)?;
        progress.bytes(read_so_far.get(), size);
        unpacking.entry(&mut entry).map_err(|problem| match problem {
            Problem::Refused(what, why) => {
                Failure::new(format!("{} is refused: its entry `{what}` {why}", tarball.display()))
                    .exit(Exit::Refused)
            }
            Problem::Failed(path, cause) => match cause.downcast::<Failure>() {
                Ok(failure) => failure.exit(Exit::Refused),
                Err(cause) => Failure::io("write", &path, cause)
                    .help(format!("look for room: `df -h {}`", crate::cure::path(into))),
            },
        })?;
    }
    // What follows the archive's end belongs to the digest too.
    let mut plain = archive.into_inner();
    io::copy(&mut plain, &mut io::sink()).map_err(damaged)?;
    let mut packed = plain.from.into_inner();
    io::copy(&mut packed, &mut io::sink()).map_err(damaged)?;
    let found = packed.hasher.finish();
    if found != sha256 {
        return Err(Failure::new(format!("{} has changed while it was read", tarball.display()))
            .cause(format!("its SHA-256 is {found}, expected {sha256}"))
            .exit(Exit::Refused));
    }
    Ok(Unpacked { files: unpacking.files, bytes: unpacking.bytes })
}

/// What one file of a release holds, read past everything else and written nowhere; none: there is no such file.
pub fn peek(tarball: &Path, wanted: &str) -> Result<Option<String>, Failure> {
    /// It holds a version, and little else.
    const LONGEST: u64 = 64 << 10;
    let limits = Limits::default();
    let file = File::open(tarball).map_err(|cause| Failure::io("open", tarball, cause))?;
    let packed = Packed { file, hasher: Hasher::default(), read: Rc::default() };
    let mut archive = Archive::new(Plain { from: MultiGzDecoder::new(packed), read: 0, limits: &limits });
    let damaged = |cause: io::Error| {
        Failure::new(format!("{} is no release of Mathesar", tarball.display()))
            .exit(Exit::Refused)
            .cause(cause)
            .help("a release is a file like `mathesar-0.11.0.tar.gz`, from Mathesar's releases page")
    };
    for entry in archive.entries().map_err(damaged)? {
        let entry = entry.map_err(damaged)?;
        if inside(&entry.path_bytes()).is_ok_and(|path| path == Path::new(wanted)) {
            let mut text = Vec::new();
            entry.take(LONGEST).read_to_end(&mut text).map_err(damaged)?;
            return Ok(Some(String::from_utf8_lossy(&text).into_owned()));
        }
    }
    Ok(None)
}

/// The file as it lies there, digested.
struct Packed {
    file: File,
    hasher: Hasher,
    read: Rc<Cell<u64>>,
}

impl Read for Packed {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read(buffer)?;
        self.hasher.update(&buffer[..count]);
        self.read.set(self.read.get() + count as u64);
        Ok(count)
    }
}

/// What is in it, as long as there is not too much: `tar` itself keeps long names in memory, so this stands before it.
struct Plain<'a> {
    from: MultiGzDecoder<Packed>,
    read: u64,
    limits: &'a Limits,
}

impl Read for Plain<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.from.read(buffer)?;
        self.read += count as u64;
        // Headers and padding, besides the contents.
        let most = self.limits.total + self.limits.entries * 2048;
        let packed = self.from.get_ref().read.get();
        let too_much =
            self.read > most || self.read > RATIO_FROM.max(packed.saturating_mul(self.limits.ratio));
        if too_much {
            let what = Failure::new("the archive is refused: it unpacks to far more than a release holds")
                .cause(format!("{} bytes from {packed} so far", self.read));
            return Err(io::Error::other(what));
        }
        Ok(count)
    }
}

enum Problem {
    /// An entry, and what it does.
    Refused(String, String),
    Failed(PathBuf, io::Error),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Folder,
    Other,
}

struct Unpacking<'a> {
    into: &'a Path,
    limits: &'a Limits,
    seen: BTreeMap<PathBuf, Kind>,
    files: u64,
    bytes: u64,
}

impl Unpacking<'_> {
    fn entry(&mut self, entry: &mut tar::Entry<'_, Plain<'_>>) -> Result<(), Problem> {
        let kind = entry.header().entry_type();
        if kind == EntryType::XGlobalHeader {
            return Ok(());
        }
        let raw = entry.path_bytes();
        let shown = String::from_utf8_lossy(&raw[..raw.len().min(200)]).escape_debug().to_string();
        let refuse = |why: &str| Err(Problem::Refused(shown.clone(), why.to_owned()));
        if raw.len() > self.limits.path {
            return refuse("has too long a name");
        }
        let path = match inside(&raw) {
            Ok(path) => path,
            Err(why) => return refuse(why),
        };
        // People's files, in a backup, may be named as they please.
        if has_control(&raw) {
            return refuse("has a name with a control character");
        }
        let mode = entry.header().mode().map_err(|cause| Problem::Failed(path.clone(), cause))?;
        if mode & 0o6000 != 0 {
            return refuse("has a set-user-id or set-group-id bit");
        }
        if path.as_os_str().is_empty() {
            return if kind.is_dir() { Ok(()) } else { refuse("has no name") };
        }
        self.count(&path, kind, &shown)?;
        let to = self.into.join(&path);
        let failed = |cause| Problem::Failed(to.clone(), cause);
        match kind {
            EntryType::Directory => fs::create_dir(&to).map_err(failed),
            EntryType::Regular | EntryType::Continuous => {
                if entry.size() > self.limits.single {
                    return refuse("is too large");
                }
                if self.bytes + entry.size() > self.limits.total {
                    return refuse("makes it too large");
                }
                self.bytes += entry.size();
                let mode = if mode & 0o100 != 0 { 0o755 } else { 0o644 };
                let mut options = OpenOptions::new();
                let mut file = options.write(true).create_new(true).mode(mode).open(&to).map_err(failed)?;
                let written = io::copy(entry, &mut file).map_err(failed)?;
                if written != entry.size() {
                    return Err(failed(io::Error::from(io::ErrorKind::UnexpectedEof)));
                }
                Ok(())
            }
            EntryType::Symlink => {
                let target = entry.link_name().map_err(failed)?.unwrap_or_default().into_owned();
                if !stays_inside(&path, &target) {
                    let to = target.to_string_lossy().escape_debug().to_string();
                    return refuse(&format!("is a link that leads outside, to `{to}`"));
                }
                if has_control(target.as_os_str().as_bytes()) {
                    return refuse("is a link to a name with a control character");
                }
                std::os::unix::fs::symlink(&target, &to).map_err(failed)
            }
            EntryType::Link => refuse("is a hard link"),
            EntryType::Char | EntryType::Block => refuse("is a device"),
            EntryType::Fifo => refuse("is a named pipe"),
            _ => refuse("is of a kind that no release holds"),
        }
    }

    /// Notes the entry and the folders above, which must be folders of this archive's: never a link that it made.
    fn count(&mut self, path: &Path, kind: EntryType, shown: &str) -> Result<(), Problem> {
        let refuse = |why: &str| Err(Problem::Refused(shown.to_owned(), why.to_owned()));
        let mut above: Vec<&Path> =
            path.ancestors().skip(1).filter(|path| !path.as_os_str().is_empty()).collect();
        above.reverse();
        for folder in above {
            match self.seen.get(folder) {
                Some(Kind::Folder) => {}
                Some(Kind::Other) => return refuse("lies below a file or link"),
                None => {
                    let to = self.into.join(folder);
                    fs::create_dir(&to).map_err(|cause| Problem::Failed(to, cause))?;
                    self.add(folder, Kind::Folder, shown)?;
                }
            }
        }
        if self.seen.contains_key(path) {
            return refuse("is there twice");
        }
        self.add(path, if kind.is_dir() { Kind::Folder } else { Kind::Other }, shown)
    }

    fn add(&mut self, path: &Path, kind: Kind, shown: &str) -> Result<(), Problem> {
        self.seen.insert(path.to_owned(), kind);
        self.files += 1;
        if self.files > self.limits.entries {
            let why = format!("is one of more than {}", self.limits.entries);
            return Err(Problem::Refused(shown.to_owned(), why));
        }
        Ok(())
    }
}

/// The path that an entry's name means, if it is below the folder that is unpacked into; else what is wrong with it.
pub(crate) fn inside(raw: &[u8]) -> Result<PathBuf, &'static str> {
    if raw.contains(&0) {
        return Err("has a name with a zero byte");
    }
    let path = Path::new(std::ffi::OsStr::from_bytes(raw));
    if path.components().any(|part| matches!(part, Component::RootDir | Component::Prefix(_))) {
        return Err("is an absolute path");
    }
    if path.components().any(|part| part == Component::ParentDir) {
        return Err("leads outside, by `..`");
    }
    Ok(path.components().filter(|part| *part != Component::CurDir).collect())
}

/// No release has one, and whoever lists its files would send it to a terminal.
fn has_control(name: &[u8]) -> bool {
    String::from_utf8_lossy(name).chars().any(char::is_control)
}

/// `..` is allowed at the beginning alone, where it means folders that were made here; after a name it would be
/// resolved below whatever that name links to.
pub(crate) fn stays_inside(link: &Path, target: &Path) -> bool {
    let mut depth = link.components().count() - 1;
    let mut named = false;
    for part in target.components() {
        match part {
            Component::ParentDir if named || depth == 0 => return false,
            Component::ParentDir => depth -= 1,
            Component::Normal(_) => named = true,
            Component::CurDir => {}
            Component::RootDir | Component::Prefix(_) => return false,
        }
    }
    !target.as_os_str().is_empty()
}

/// All that was written in one call where the system has one; a release is hundreds of files.
#[cfg(target_os = "linux")]
pub(crate) fn sync(folder: &Path) -> Result<(), Failure> {
    let synced = File::open(folder).and_then(|file| Ok(rustix::fs::syncfs(file)?));
    synced.map_err(|cause| Failure::io("sync", folder, cause))
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn sync(folder: &Path) -> Result<(), Failure> {
    let mut result = Ok(());
    let walked = files::walk(folder, &mut |path, found| {
        if !found.is_symlink() && result.is_ok() {
            result = File::open(path).and_then(|file| file.sync_all());
        }
    });
    walked.and(result).map_err(|cause| Failure::io("sync", folder, cause))
}
