//! Reading: the digest alone, the manifest alone, or everything into a folder; nothing outside of it, whatever the archive says.

use std::cell::Cell;
use std::fs::{DirBuilder, File};
use std::io::{self, BufReader, Read};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;
use std::rc::Rc;

use tar::{Archive, EntryType};
use zstd::stream::read::Decoder;

use super::trailer::{self, damaged};
use super::unpacking::Unpacking;
use super::{MANIFEST, MANIFEST_MOST};
use crate::app::digest::Hasher;
use crate::app::{files, unpack as release};
use crate::backup::manifest::Manifest;
use crate::failure::Failure;
use crate::progress::Progress;

/// What may stand between two contents: headers and long names, which `tar` keeps in memory.
const HEADERS: u64 = 1 << 20;

/// The manifest, from the first few kB; whether the rest is whole is not looked at.
pub fn read_manifest(path: &Path) -> Result<Manifest, Failure> {
    let mut archive = Archive::new(open(path, None)?.0);
    let mut entries = archive.entries().map_err(|cause| unreadable(path, cause))?;
    let mut entry = first(entries.next(), path)?;
    Ok(manifest(&mut entry, path)?.0)
}

/// The digest that the archive says it has, which names it.
pub fn claimed(path: &Path) -> Result<String, Failure> {
    let file = File::open(path).map_err(|cause| Failure::io("open", path, cause))?;
    Ok(trailer::read(&file, path)?.1)
}

/// Reads all of it; the digest, where it is the one that the archive says.
pub fn check(path: &Path, progress: &dyn Progress) -> Result<String, Failure> {
    let file = File::open(path).map_err(|cause| Failure::io("open", path, cause))?;
    let (length, claimed) = trailer::read(&file, path)?;
    let mut packed =
        Packed { file, left: length, hasher: Hasher::default(), progress: Some(progress), length };
    io::copy(&mut packed, &mut io::sink()).map_err(|cause| Failure::io("read", path, cause))?;
    confirm(packed, &claimed, path)?;
    Ok(claimed)
}

/// What came out of an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unpacked {
    pub manifest: Manifest,
    /// Of what was read, and not of what lies at that path by now.
    pub digest: String,
}

/// Unpacks those entries that `what` wants into the folder `into`, which must not exist: all of them, or nothing is left. The
/// digest is known at the end alone, so whatever is unpacked counts only after this has returned.
pub fn unpack(
    path: &Path,
    into: &Path,
    what: &dyn Fn(&str) -> bool,
    progress: &dyn Progress,
) -> Result<Unpacked, Failure> {
    let (plain, claimed) = open(path, Some(progress))?;
    DirBuilder::new().mode(0o700).create(into).map_err(|cause| Failure::io("create", into, cause))?;
    let unpacked = read(plain, &claimed, path, into, what).and_then(|manifest| {
        release::sync(into)?;
        Ok(Unpacked { manifest, digest: claimed })
    });
    if unpacked.is_err() {
        let _ = files::remove_tree(into);
    }
    unpacked
}

fn open<'a>(path: &Path, progress: Option<&'a dyn Progress>) -> Result<(Plain<'a>, String), Failure> {
    let file = File::open(path).map_err(|cause| Failure::io("open", path, cause))?;
    let (length, claimed) = trailer::read(&file, path)?;
    let packed = Packed { file, left: length, hasher: Hasher::default(), progress, length };
    let from = Decoder::with_buffer(BufReader::with_capacity(128 * 1024, packed))
        .map_err(|cause| Failure::io("read", path, cause))?
        .single_frame();
    Ok((
        Plain { from, position: Rc::default(), allowed: Rc::new(Cell::new(HEADERS + MANIFEST_MOST)) },
        claimed,
    ))
}

fn read(
    plain: Plain<'_>,
    claimed: &str,
    path: &Path,
    into: &Path,
    what: &dyn Fn(&str) -> bool,
) -> Result<Manifest, Failure> {
    let (position, allowed) = (Rc::clone(&plain.position), Rc::clone(&plain.allowed));
    let mut archive = Archive::new(plain);
    let mut entries = archive.entries().map_err(|cause| unreadable(path, cause))?;
    let mut entry = first(entries.next(), path)?;
    let (manifest, text) = manifest(&mut entry, path)?;
    let mut unpacking = Unpacking::new(path, into, &manifest);
    if what(MANIFEST) {
        unpacking.manifest(&text)?;
    }
    for entry in entries {
        let mut entry = entry.map_err(|cause| unreadable(path, cause))?;
        let room = unpacking.room(entry.size())?;
        allowed.set(position.get().saturating_add(room).saturating_add(HEADERS));
        unpacking.entry(&mut entry, what)?;
    }
    unpacking.finish()?;
    // What follows the tar's end, to the last byte, belongs to the digest too.
    let mut plain = archive.into_inner();
    io::copy(&mut plain, &mut io::sink()).map_err(|cause| unreadable(path, cause))?;
    let mut rest = plain.from.finish();
    let more = io::copy(&mut rest, &mut io::sink()).map_err(|cause| unreadable(path, cause))?;
    confirm(rest.into_inner(), claimed, path)?;
    if more > 0 {
        return Err(damaged(path, "something stands between its content and its digest"));
    }
    Ok(manifest)
}

fn confirm(packed: Packed<'_>, claimed: &str, path: &Path) -> Result<(), Failure> {
    let found = packed.hasher.finish();
    match packed.left == 0 && found == claimed {
        true => Ok(()),
        false => Err(damaged(path, format!("its SHA-256 is {found}, and was {claimed} when it was made"))),
    }
}

fn first<'a, R: Read>(
    entry: Option<io::Result<tar::Entry<'a, R>>>,
    path: &Path,
) -> Result<tar::Entry<'a, R>, Failure> {
    let entry = entry.transpose().map_err(|cause| unreadable(path, cause))?;
    entry
        .filter(|entry| entry.path_bytes() == MANIFEST.as_bytes())
        .filter(|entry| entry.header().entry_type() == EntryType::Regular && entry.size() <= MANIFEST_MOST)
        .ok_or_else(|| damaged(path, format!("it does not begin with `{MANIFEST}`")))
}

fn manifest<R: Read>(entry: &mut tar::Entry<'_, R>, path: &Path) -> Result<(Manifest, Vec<u8>), Failure> {
    let mut text = Vec::new();
    entry.read_to_end(&mut text).map_err(|cause| unreadable(path, cause))?;
    Ok((Manifest::parse(&text, path)?, text))
}

/// Something in it cannot be understood; what the disk itself says stays that.
pub(super) fn unreadable(path: &Path, cause: io::Error) -> Failure {
    match cause.downcast::<Failure>() {
        Ok(failure) => failure,
        Err(cause) => damaged(path, cause.to_string()),
    }
}

/// The file as it lies there, without its trailer, digested.
struct Packed<'a> {
    file: File,
    left: u64,
    hasher: Hasher,
    progress: Option<&'a dyn Progress>,
    length: u64,
}

impl Read for Packed<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left).map_or(buffer.len(), |left| left.min(buffer.len()));
        let count = match self.file.read(&mut buffer[..most]) {
            Err(cause) if cause.kind() != io::ErrorKind::Interrupted => {
                return Err(io::Error::other(Failure::new("cannot read the backup").cause(cause)));
            }
            other => other?,
        };
        self.hasher.update(&buffer[..count]);
        self.left -= count as u64;
        if let Some(progress) = self.progress {
            progress.bytes(self.length - self.left, Some(self.length));
        }
        Ok(count)
    }
}

/// What is in it, as far as it was allowed: each entry allows its own size, so that nothing grows without bounds.
struct Plain<'a> {
    from: Decoder<'static, BufReader<Packed<'a>>>,
    position: Rc<Cell<u64>>,
    allowed: Rc<Cell<u64>>,
}

impl Read for Plain<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.from.read(buffer)?;
        self.position.set(self.position.get() + count as u64);
        match self.position.get() > self.allowed.get() {
            true => Err(io::Error::other("it unpacks to far more than it says")),
            false => Ok(count),
        }
    }
}
