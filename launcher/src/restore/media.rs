//! Uploaded files into a folder of the user's, outside of the state folder: nothing there is removed, and nothing replaced.

use std::fs::Metadata;
use std::path::{Path, PathBuf};

use crate::app::{digest, files};
use crate::failure::Failure;
use crate::progress::Progress;

/// Adds what is not there. May be broken off anywhere and called again; a file that nobody's row names does no harm.
pub(super) fn add(from: &Path, to: &Path, progress: &dyn Progress) -> Result<(), Failure> {
    if !from.is_dir() {
        return Ok(());
    }
    crate::installation::private_folder(to)?;
    let mut all: Vec<(PathBuf, Metadata)> = Vec::new();
    files::walk(from, &mut |path, found| all.push((path.to_owned(), found.clone())))
        .map_err(|cause| Failure::io("read", from, cause))?;
    let (mut others, mut folders) = (0, std::collections::BTreeSet::new());
    for (path, found) in all {
        let target = to.join(path.strip_prefix(from).unwrap_or(&path));
        if let Ok(there) = target.symlink_metadata() {
            let alike = if found.is_dir() {
                target.is_dir()
            } else {
                there.is_file() == found.is_file() && same(&path, &target)
            };
            others += u64::from(!alike);
            continue;
        }
        if found.is_dir() {
            files::create_folder(&target)?;
            folders.insert(target);
            continue;
        }
        if let Some(folder) = target.parent() {
            files::create_folder(folder)?;
            folders.insert(folder.to_owned());
        }
        let beside = files::beside(&target, "new");
        let copied = if found.is_symlink() {
            std::fs::read_link(&path).and_then(|link| std::os::unix::fs::symlink(link, &beside))
        } else {
            std::fs::copy(&path, &beside).and_then(|_| std::fs::File::open(&beside)?.sync_all())
        };
        let copied = copied.and_then(|()| std::fs::rename(&beside, &target));
        if let Err(cause) = copied {
            let _ = std::fs::remove_file(&beside);
            return Err(Failure::io("write", &target, cause)
                .help(format!("look for room: `df -h {}`", crate::cure::path(to))));
        }
    }
    for folder in folders {
        files::sync_folder(&folder)?;
    }
    if others > 0 {
        progress.note(&format!(
            "{others} files in {} are others than those of the same names in the backup, and stay as they are",
            to.display()
        ));
    }
    Ok(())
}

/// Whether nothing lies in a folder but what a backup's has.
pub(super) fn is_of(folder: &Path, backup: &Path) -> bool {
    let Ok(entries) = std::fs::read_dir(folder) else { return false };
    entries.flatten().all(|entry| backup.join(entry.file_name()).symlink_metadata().is_ok())
}

fn same(one: &Path, other: &Path) -> bool {
    if let Ok(link) = std::fs::read_link(one) {
        return std::fs::read_link(other).is_ok_and(|there| there == link);
    }
    let digest = |path: &Path| digest::of_file(path).ok();
    digest(one).is_some_and(|of_one| digest(other) == Some(of_one))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::progress::Silent;
    use std::fs;

    #[test]
    fn nothing_is_replaced() {
        let root = tempfile::tempdir().unwrap();
        let (from, to) = (root.path().join("from"), root.path().join("to"));
        fs::create_dir_all(from.join("a")).unwrap();
        fs::create_dir(&to).unwrap();
        fs::write(from.join("a/new"), "new").unwrap();
        fs::write(from.join("there"), "backup").unwrap();
        fs::write(to.join("there"), "present").unwrap();
        fs::create_dir(from.join("empty")).unwrap();
        std::os::unix::fs::symlink("there", from.join("link")).unwrap();
        for _ in 0..2 {
            add(&from, &to, &Silent).unwrap();
            assert_eq!(fs::read_to_string(to.join("a/new")).unwrap(), "new");
            assert_eq!(fs::read_to_string(to.join("there")).unwrap(), "present");
            assert!(to.join("empty").is_dir());
            assert_eq!(fs::read_link(to.join("link")).unwrap(), Path::new("there"));
        }
        add(&root.path().join("nothing"), &to, &Silent).unwrap();
    }
}
