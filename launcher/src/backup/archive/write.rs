//! Packing, as a stream: tar, zstd with several threads, digest, file.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use tar::{EntryType, Header};
use zstd::stream::write::Encoder;

use super::{ENTRIES, MANIFEST, trailer};
use crate::app::digest::Hasher;
use crate::app::unpack;
use crate::backup::manifest::Manifest;
use crate::failure::Failure;
use crate::progress::Progress;

/// More threads help a disk no further.
const THREADS: usize = 8;

/// An archive that is being packed; dropped before `finish`, it is none.
pub struct Writer {
    to: Encoder<'static, Digesting>,
    entries: u64,
    bytes: u64,
    most: Option<u64>,
}

/// Whether somebody may write them meanwhile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Files {
    Resting,
    Living,
}

/// A finished one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sealed {
    /// Of everything before the digest itself; names the backup.
    pub digest: String,
    /// Of the whole file.
    pub bytes: u64,
}

struct Digesting {
    file: File,
    hasher: Hasher,
    bytes: u64,
}

impl Write for Digesting {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let count = self.file.write(buffer)?;
        self.hasher.update(&buffer[..count]);
        self.bytes += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Writer {
    /// Packs into an empty file, at zstd's level 1 to 19.
    pub fn new(to: File, level: i32) -> Result<Writer, Failure> {
        let threads = std::thread::available_parallelism().map_or(1, usize::from).min(THREADS);
        let digesting = Digesting { file: to, hasher: Hasher::default(), bytes: 0 };
        let encoder = || {
            let mut encoder = Encoder::new(digesting, level)?;
            encoder.include_checksum(true)?;
            encoder.multithread(if threads > 1 { threads as u32 } else { 0 })?;
            Ok(encoder)
        };
        Ok(Writer { to: encoder().map_err(failed)?, entries: 0, bytes: 0, most: None })
    }

    /// A file that is in memory. The first one has to be the manifest, which bounds the rest.
    pub fn bytes(&mut self, name: &str, mode: u32, content: &[u8]) -> Result<(), Failure> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        if self.entries == 0 && name == MANIFEST {
            self.most = Some(Manifest::parse(content, Path::new(name))?.most());
        }
        self.head(name.as_bytes(), EntryType::Regular, mode, now, content.len() as u64, None)?;
        self.to.write_all(content).map_err(failed)?;
        self.pad(content.len() as u64)?;
        match name {
            // In a block of its own: whoever lists archives reads no more of it.
            MANIFEST => self.to.flush().map_err(failed),
            _ => Ok(()),
        }
    }

    /// A file, or what a link of this name leads to. One that grows or shrinks meanwhile is an error.
    pub fn file(&mut self, name: &str, path: &Path) -> Result<(), Failure> {
        let file = File::open(path).map_err(|cause| Failure::io("read", path, cause))?;
        self.opened(name.as_bytes(), &file, path, Files::Resting, &mut |_| {})
    }

    /// A folder with all in it, below `prefix`. Sockets, pipes and devices are left out, and links that lead out of the folder:
    /// a note names each.
    pub fn tree(&mut self, prefix: &str, folder: &Path, progress: &dyn Progress) -> Result<(), Failure> {
        self.folder(prefix, folder, Files::Resting, progress)
    }

    /// The same where others write meanwhile: what a file has become longer by is left out, and one that has become shorter is
    /// filled with zeros.
    pub fn living_tree(
        &mut self,
        prefix: &str,
        folder: &Path,
        progress: &dyn Progress,
    ) -> Result<(), Failure> {
        self.folder(prefix, folder, Files::Living, progress)
    }

    fn folder(
        &mut self,
        prefix: &str,
        folder: &Path,
        files: Files,
        progress: &dyn Progress,
    ) -> Result<(), Failure> {
        let top = folder.canonicalize().map_err(|cause| Failure::io("read", folder, cause))?;
        let mut found: Vec<(PathBuf, Metadata)> = Vec::new();
        crate::app::files::walk(&top, &mut |path, meta| found.push((path.to_owned(), meta.clone())))
            .map_err(|cause| Failure::io("read", folder, cause))?;
        let total = found.iter().map(|(_, meta)| if meta.is_file() { meta.len() } else { 0 }).sum();
        let mut done = 0;
        for (path, meta) in found {
            let below = path.strip_prefix(&top).unwrap_or(&path);
            let name = Path::new(prefix).join(below);
            let name = name.as_os_str().as_bytes().strip_suffix(b"/").unwrap_or(name.as_os_str().as_bytes());
            let time = u64::try_from(meta.mtime()).unwrap_or(0);
            let left_out = |why: &str| progress.note(&format!("{} is left out: {why}", path.display()));
            if meta.is_dir() {
                self.head(name, EntryType::Directory, meta.mode(), time, 0, None)?;
            } else if meta.is_symlink() {
                let target = fs::read_link(&path).map_err(|cause| Failure::io("read", &path, cause))?;
                if unpack::stays_inside(below, &target) {
                    self.head(name, EntryType::Symlink, 0o777, time, 0, Some(&target))?;
                } else {
                    left_out(&format!("it is a link out of the folder, to {}", target.display()));
                }
            } else if meta.is_file() {
                // Not what has been put in its place since.
                let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
                match OpenOptions::new().read(true).custom_flags(flags.bits() as i32).open(&path) {
                    Ok(file) => {
                        let mut tell = |count| {
                            done += count;
                            progress.bytes(done, Some(total));
                        };
                        self.opened(name, &file, &path, files, &mut tell)?;
                    }
                    Err(cause) if cause.kind() == io::ErrorKind::NotFound => {
                        left_out("it has been removed meanwhile");
                    }
                    Err(cause) => return Err(Failure::io("read", &path, cause)),
                }
            } else {
                let kind = meta.file_type();
                left_out(match (kind.is_socket(), kind.is_fifo()) {
                    (true, _) => "it is a socket",
                    (_, true) => "it is a named pipe",
                    _ => "it is a device",
                });
            }
        }
        Ok(())
    }

    /// The digest after all of it, and all of it on the disk.
    pub fn finish(mut self) -> Result<Sealed, Failure> {
        self.to.write_all(&[0; 1024]).map_err(failed)?;
        let mut digesting = self.to.finish().map_err(failed)?;
        let digest = digesting.hasher.clone().finish();
        digesting.write_all(&trailer::of(&digest)).map_err(failed)?;
        digesting.file.sync_all().map_err(failed)?;
        Ok(Sealed { digest, bytes: digesting.bytes })
    }

    fn opened(
        &mut self,
        name: &[u8],
        mut file: &File,
        path: &Path,
        files: Files,
        tell: &mut dyn FnMut(u64),
    ) -> Result<(), Failure> {
        let unreadable = |cause| Failure::io("read", path, cause);
        let changed = || {
            Failure::new(format!("{} has changed while it was read", path.display()))
                .cause("a backup holds files as they were at one moment")
                .help("make the backup again: `mathesar backup create`")
        };
        let meta = file.metadata().map_err(unreadable)?;
        if !meta.is_file() {
            return Err(Failure::new(format!("{} is no file", path.display())));
        }
        let time = u64::try_from(meta.mtime()).unwrap_or(0);
        self.head(name, EntryType::Regular, meta.mode(), time, meta.len(), None)?;
        let mut left = meta.len();
        let mut buffer = vec![0; 128 * 1024];
        loop {
            crate::interrupt::check()?;
            let count = match file.read(&mut buffer) {
                Ok(count) => count,
                Err(cause) if cause.kind() == io::ErrorKind::Interrupted => continue,
                Err(cause) => return Err(unreadable(cause)),
            };
            left = match (count, left.checked_sub(count as u64)) {
                (0, _) if left == 0 => break,
                (_, None) if files == Files::Living => {
                    // As long as it was when it was opened.
                    let rest = usize::try_from(left).unwrap_or(count);
                    self.to.write_all(&buffer[..rest]).map_err(failed)?;
                    break;
                }
                (0, _) if files == Files::Living => {
                    io::copy(&mut io::repeat(0).take(left), &mut self.to).map_err(failed)?;
                    break;
                }
                (0, _) | (_, None) => return Err(changed()),
                (_, Some(left)) => left,
            };
            self.to.write_all(&buffer[..count]).map_err(failed)?;
            tell(count as u64);
        }
        self.pad(meta.len())
    }

    fn pad(&mut self, size: u64) -> Result<(), Failure> {
        let missing = (size.next_multiple_of(512) - size) as usize;
        self.to.write_all(&[0; 512][..missing]).map_err(failed)
    }

    /// A header as GNU tar writes it: long names stand in entries of their own before, big sizes in binary.
    fn head(
        &mut self,
        name: &[u8],
        kind: EntryType,
        mode: u32,
        time: u64,
        size: u64,
        link: Option<&Path>,
    ) -> Result<(), Failure> {
        self.entries += 1;
        self.bytes = self.bytes.saturating_add(size);
        let Some(most) = self.most else {
            return Err(Failure::new("a backup has to begin with its manifest"));
        };
        if self.bytes > most || self.entries > ENTRIES {
            return Err(Failure::new("the backup has become much larger than it was to be")
                .cause(format!("{} bytes in {} files; it could not be restored", self.bytes, self.entries)));
        }
        let link = link.map(|link| link.as_os_str().as_bytes()).unwrap_or_default();
        for (kind, long) in [(EntryType::GNULongName, name), (EntryType::GNULongLink, link)] {
            if long.len() > 100 {
                let header = header(b"././@LongLink", kind, 0o644, 0, long.len() as u64 + 1, b"");
                self.to.write_all(header.as_bytes()).map_err(failed)?;
                self.to.write_all(long).map_err(failed)?;
                self.to.write_all(&[0]).map_err(failed)?;
                self.pad(long.len() as u64 + 1)?;
            }
        }
        // Bits that unpacking refuses are nobody's wish there.
        let header = header(name, kind, mode & 0o777, time, size, link);
        self.to.write_all(header.as_bytes()).map_err(failed)
    }
}

pub(super) fn header(name: &[u8], kind: EntryType, mode: u32, time: u64, size: u64, link: &[u8]) -> Header {
    let mut header = Header::new_gnu();
    let name = &name[..name.len().min(100)];
    let link = &link[..link.len().min(100)];
    header.as_old_mut().name[..name.len()].copy_from_slice(name);
    header.as_old_mut().linkname[..link.len()].copy_from_slice(link);
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(time);
    header.set_size(size);
    header.set_cksum();
    header
}

fn failed(cause: io::Error) -> Failure {
    let full = cause.kind() == io::ErrorKind::StorageFull;
    let failure = Failure::new("cannot write the backup").cause(cause);
    match full {
        true => failure.help("make room, or take another disk: `mathesar backup create --to DIR`"),
        false => failure,
    }
}
