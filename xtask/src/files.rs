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
    // What a killed run left, or a link that somebody put in the way: neither is written through.
    remove(&beside)?;
    let replaced = write_new(&beside, content, mode).and_then(|()| {
        let synced = File::open(&beside).and_then(|file| file.sync_all());
        synced.with_context(|| format!("cannot sync {}", beside.display()))?;
        fs::rename(&beside, path)
            .with_context(|| format!("cannot rename {} to {}", beside.display(), path.display()))
    });
    if replaced.is_err() {
        // On a full disk half a file would only stand in the way.
        let _ = fs::remove_file(&beside);
    }
    replaced?;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_in_the_way_is_not_written_through() {
        let folder = tempfile::tempdir().unwrap();
        let (victim, path) = (folder.path().join("victim"), folder.path().join("file"));
        fs::write(&victim, "mine").unwrap();
        std::os::unix::fs::symlink(&victim, folder.path().join(".file.new")).unwrap();
        replace_file(&path, "new").unwrap();
        assert_eq!(fs::read_to_string(&victim).unwrap(), "mine");
        assert!(path.symlink_metadata().unwrap().is_file());
        assert_eq!(fs::read_to_string(&path).unwrap(), "new");
    }

    #[test]
    fn what_cannot_be_put_in_its_place_is_not_left_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        fs::create_dir(&path).unwrap();
        assert!(replace_file(&path, "new").is_err());
        assert!(!folder.path().join(".file.new").exists());
    }

    #[test]
    fn permissions_are_exact() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/b");
        write_new(&path, b"long text", 0o600).unwrap();
        write_new(&path, b"x", 0o666).unwrap();
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o666);
        assert_eq!(fs::read(&path).unwrap(), b"x");
    }

    #[test]
    fn a_link_is_removed_and_not_what_it_points_to() {
        let folder = tempfile::tempdir().unwrap();
        let (tree, link) = (folder.path().join("tree"), folder.path().join("link"));
        fs::create_dir(&tree).unwrap();
        std::os::unix::fs::symlink(&tree, &link).unwrap();
        remove(&link).unwrap();
        remove(&link).unwrap();
        assert!(tree.is_dir() && link.symlink_metadata().is_err());
    }
}
