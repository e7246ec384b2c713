//! A path that may not be used: which file or folder it is that stands in the way, and the command that opens it.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, access};

use crate::cure;

/// None: the rights of files are not the reason.
pub(crate) fn help(path: &Path) -> Option<String> {
    let culprit = culprit(path)?;
    let found = culprit.metadata().ok()?;
    let shown = cure::path(&culprit);
    let own = rustix::process::geteuid().as_raw();
    let owner = |path: &Path| path.metadata().is_ok_and(|found| found.uid() == own);
    Some(match () {
        () if found.uid() == own && found.is_dir() => {
            format!("make it yours to use again: `chmod u+rwx {shown}`")
        }
        () if found.uid() == own => format!("make it yours to use again: `chmod u+rw {shown}`"),
        // Made by another user in a folder of this one's, as by a command that ran with sudo.
        () if culprit.parent().is_some_and(owner) => {
            format!("it belongs to another user; take it back: `sudo chown -R \"$(id -un)\" {shown}`")
        }
        () => format!("see whose it is: `ls -ld {shown}`"),
    })
}

/// The outermost folder that cannot be passed, else what cannot be read or written.
pub(crate) fn culprit(path: &Path) -> Option<PathBuf> {
    let folders: Vec<&Path> =
        path.ancestors().skip(1).filter(|folder| !folder.as_os_str().is_empty()).collect();
    let closed =
        folders.iter().rev().find(|folder| access(**folder, Access::EXEC_OK).is_err() && folder.is_dir());
    if let Some(closed) = closed {
        return Some(closed.to_path_buf());
    }
    if path.exists() && access(path, Access::READ_OK | Access::WRITE_OK).is_err() {
        return Some(path.to_owned());
    }
    let folder = folders.into_iter().find(|folder| folder.is_dir())?;
    access(folder, Access::WRITE_OK).is_err().then(|| folder.to_owned())
}

/// The same for words that have come from another process: `cannot write PATH: Permission denied (os error 13)`.
pub(crate) fn help_of_words(said: &str) -> Option<String> {
    let (said, _) = said.split_once(": Permission denied")?;
    let path = said.split_once("cannot ")?.1;
    help(Path::new(&path[path.find('/')?..]))
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn the_folder_in_the_way_is_named() {
        if rustix::process::geteuid().is_root() {
            println!("not run: root may do everything; whole/faults does it as an ordinary user");
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        let inner = folder.path().join("it's inner");
        fs::create_dir(&inner).unwrap();
        assert_eq!(help(&inner.join("file")), None);
        fs::set_permissions(&inner, Permissions::from_mode(0o500)).unwrap();
        let cure = format!("`chmod u+rwx {}`", cure::path(&inner));
        assert!(cure.contains(r"it'\''s inner'"), "{cure}");
        assert!(help(&inner.join("file")).unwrap().contains(&cure));
        let said = format!("cannot write {}/file: Permission denied (os error 13)", inner.display());
        assert!(help_of_words(&said).unwrap().contains(&cure));
        fs::set_permissions(&inner, Permissions::from_mode(0o700)).unwrap();
        assert_eq!(help_of_words("gunicorn ended"), None);
    }
}
