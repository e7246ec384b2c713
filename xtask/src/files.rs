//! Writing files so that a reader, or the next run after a kill, never sees half of one.

use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use anyhow::{Context as _, Result};

/// Writes a file with its folders; permissions are exact, whatever the umask.
pub(crate) fn write_new(path: &Path, content: &[u8], mode: u32) -> Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
    }
    let what = || format!("cannot write {}", path.display());
    let mut options = OpenOptions::new();
    let mut file =
        options.write(true).create(true).truncate(true).mode(mode).open(path).with_context(what)?;
    file.write_all(content).with_context(what)?;
    file.set_permissions(fs::Permissions::from_mode(mode)).with_context(what)
}

/// Replaces a file whole: written beside it, synced, renamed over it.
pub(crate) fn replace_file(path: &Path, content: &str) -> Result<()> {
    replace_bytes(path, content.as_bytes(), 0o644)
}

/// The same for bytes, with permissions.
pub(crate) fn replace_bytes(path: &Path, content: &[u8], mode: u32) -> Result<()> {
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let beside = path.with_file_name(format!(".{name}.new"));
    write_new(&beside, content, mode)?;
    let synced = File::open(&beside).and_then(|file| file.sync_all());
    synced.with_context(|| format!("cannot sync {}", beside.display()))?;
    fs::rename(&beside, path)
        .with_context(|| format!("cannot rename {} to {}", beside.display(), path.display()))?;
    if let Some(folder) = path.parent() {
        let synced = File::open(folder).and_then(|folder| folder.sync_all());
        synced.with_context(|| format!("cannot sync {}", folder.display()))?;
    }
    Ok(())
}

/// Removes a file or a folder with all that is in it; one that is not there is as good.
pub(crate) fn remove(path: &Path) -> Result<()> {
    let removed = match path.symlink_metadata() {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => Err(error),
        Ok(found) if found.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
    };
    removed.with_context(|| format!("cannot remove {}", path.display()))
}
