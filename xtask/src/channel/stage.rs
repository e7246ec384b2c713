//! Copies of what a package installs, with the mode that it is to have and one time stamp: neither the umask nor the age
//! of a checkout reaches a package that is made from them.

use std::fs::{File, Permissions};
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result};
use flate2::{Compression, GzBuilder};

use crate::manifest::{Installed, Kind};

/// Manual pages with `.gz` at their destination: Debian, Fedora and openSUSE have them compressed. cargo-generate-rpm
/// compresses nothing; cargo-deb would, by zopfli, which takes ten times the rest of the work to save a thousandth.
pub(crate) fn with_compressed_pages(mut files: Vec<Installed>) -> Vec<Installed> {
    for file in files.iter_mut().filter(|file| file.kind == Kind::Man && !file.dest.ends_with(".gz")) {
        file.dest.push_str(".gz");
    }
    files
}

/// Copies `files` below `root`, each to its own destination; compressed where only the destination ends in `.gz`.
pub(crate) fn stage(files: &[Installed], root: &Path, epoch: u64) -> Result<()> {
    for file in files {
        let mut content = read(&file.source)?;
        if file.dest.ends_with(".gz") && file.source.extension().is_none_or(|end| end != "gz") {
            content = gzip(&content).with_context(|| format!("cannot compress {}", file.source.display()))?;
        }
        put(&root.join(file.relative()), &content, file.mode, epoch)?;
    }
    Ok(())
}

/// As `gzip -9n`: no name, no time.
fn gzip(content: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut encoder = GzBuilder::new().mtime(0).write(Vec::new(), Compression::best());
    encoder.write_all(content)?;
    encoder.finish()
}

/// Reads a file, with its path in the error.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))
}

/// Writes one file and the directories above it.
pub(crate) fn put(path: &Path, content: &[u8], mode: u32, epoch: u64) -> Result<()> {
    let write = || -> std::io::Result<()> {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        let mut file = File::create(path)?;
        file.write_all(content)?;
        file.set_permissions(Permissions::from_mode(mode))?;
        file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(epoch))
    };
    write().with_context(|| format!("cannot write {}", path.display()))
}
