//! Copies of what a package installs, with the mode that it is to have and one time stamp: neither the umask nor the age
//! of a checkout reaches a package that is made from them.

use std::fs::{File, Permissions};
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result};

use crate::manifest::Installed;

/// Copies `files` below `root`, each to its own destination.
pub(crate) fn stage(files: &[Installed], root: &Path, epoch: u64) -> Result<()> {
    for file in files {
        put(&root.join(file.relative()), &read(&file.source)?, file.mode, epoch)?;
    }
    Ok(())
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
