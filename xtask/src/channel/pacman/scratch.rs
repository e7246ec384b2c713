//! A folder of one build by makepkg, which refuses to be root: root's builds are done by `nobody`, in a folder that this user
//! can enter, and so not below the checkout.
//!
//! The name is random, so nobody can stand in the way beforehand, and two builds do not meet. Whoever is killed leaves the folder behind
//! with its lock free; the next build removes it.

use std::fs::{self, DirBuilder, File, Permissions, TryLockError};
use std::io::{self, Read as _};
use std::os::unix::fs::{
    DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, chown,
};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use tempfile::TempDir;
use walkdir::WalkDir;

const PREFIX: &str = "mathesar-makepkg-";
const LOCK: &str = "lock";

/// `nobody` and its group, by the number that every distribution gives them.
const NOBODY: u32 = 65534;

pub(super) struct Scratch {
    top: TempDir,
    _lock: File,
}

impl Scratch {
    pub(super) fn new() -> Result<Scratch> {
        Scratch::below(&base()?)
    }

    fn below(base: &Path) -> Result<Scratch> {
        sweep(base);
        let create = || -> io::Result<Scratch> {
            // Others may pass through, not look.
            let permissions = Permissions::from_mode(0o711);
            let top =
                tempfile::Builder::new().prefix(PREFIX).permissions(permissions.clone()).tempdir_in(base)?;
            fs::set_permissions(top.path(), permissions)?;
            // Under its name only once it is held: whoever finds it free may take it for a left-over.
            let pending = top.path().join("lock.new");
            let lock = File::create_new(&pending)?;
            lock.lock()?;
            fs::rename(&pending, top.path().join(LOCK))?;
            DirBuilder::new().mode(0o700).create(top.path().join("build"))?;
            Ok(Scratch { top, _lock: lock })
        };
        create().with_context(|| format!("cannot make a folder for makepkg in {}", base.display()))
    }

    /// Where the build is done.
    pub(super) fn folder(&self) -> PathBuf {
        self.top.path().join("build")
    }

    /// Gives the folder and what has been put there to the user who builds.
    pub(super) fn hand_over(&self) -> Result<()> {
        if !is_root() {
            return Ok(());
        }
        for item in WalkDir::new(self.folder()).contents_first(true) {
            let item = item.context("cannot list the folder of makepkg")?;
            chown(item.path(), Some(NOBODY), Some(NOBODY))
                .with_context(|| format!("cannot give {} to nobody", item.path().display()))?;
        }
        Ok(())
    }

    /// Lets `command` run as the user who builds.
    pub(super) fn as_builder(&self, command: &mut Command) {
        if is_root() {
            // Supplementary groups are dropped with it.
            command.uid(NOBODY).gid(NOBODY);
        }
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        remove(self.top.path());
    }
}

/// Reads what the build has made; a link there is not followed, as root would read anything for the user who built.
pub(super) fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let no_follow = rustix::fs::OFlags::NOFOLLOW.bits().cast_signed();
    File::options().read(true).custom_flags(no_follow).open(path)?.read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// The first folder for temporary files that the user who builds can reach: TMPDIR may be root's own.
fn base() -> Result<PathBuf> {
    let candidates = [std::env::temp_dir(), PathBuf::from("/tmp"), PathBuf::from("/var/tmp")];
    for candidate in &candidates {
        if let Ok(folder) = candidate.canonicalize()
            && (!is_root() || open_to_all(&folder))
        {
            return Ok(folder);
        }
    }
    bail!(
        "cannot run makepkg: neither TMPDIR nor /tmp nor /var/tmp can be entered by the user nobody\n\
         help: run it as an ordinary user, or with TMPDIR=<folder>"
    )
}

fn open_to_all(folder: &Path) -> bool {
    folder.ancestors().all(|part| part.metadata().is_ok_and(|found| found.mode() & 0o001 != 0))
}

/// Removes what killed builds of this user have left.
fn sweep(base: &Path) {
    let Ok(items) = fs::read_dir(base) else { return };
    let me = rustix::process::geteuid().as_raw();
    for item in items.flatten() {
        let ours = item.file_name().as_encoded_bytes().starts_with(PREFIX.as_bytes())
            && item.metadata().is_ok_and(|found| found.is_dir() && found.uid() == me);
        if !ours {
            continue;
        }
        let Ok(lock) = File::open(item.path().join(LOCK)) else { continue };
        match lock.try_lock() {
            Ok(()) => remove(&item.path()),
            Err(TryLockError::WouldBlock | TryLockError::Error(_)) => {}
        }
    }
}

/// makepkg takes all permissions off `pkg` on the way; killed then, it leaves a folder that its owner cannot empty.
fn remove(folder: &Path) {
    // Root needs no permissions, and must not change any in a folder where another user can put links.
    if fs::remove_dir_all(folder).is_ok() || is_root() {
        return;
    }
    for item in WalkDir::new(folder).into_iter().flatten().filter(|item| item.file_type().is_dir()) {
        // What fails here makes the removal fail, and then the folder stays for the next sweep.
        let _ = fs::set_permissions(item.path(), Permissions::from_mode(0o700));
    }
    let _ = fs::remove_dir_all(folder);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_killed_build_left_is_removed_and_a_running_build_is_not() {
        let base = tempfile::tempdir().unwrap();
        let running = Scratch::below(base.path()).unwrap();
        let left = base.path().join("mathesar-makepkg-left");
        fs::create_dir_all(left.join("build/pkg")).unwrap();
        fs::write(left.join(LOCK), "").unwrap();
        fs::write(left.join("build/pkg/file"), "").unwrap();
        fs::set_permissions(left.join("build/pkg"), Permissions::from_mode(0o111)).unwrap();
        let starting = base.path().join("mathesar-makepkg-starting");
        fs::create_dir(&starting).unwrap();
        let second = Scratch::below(base.path()).unwrap();
        assert!(!left.exists());
        assert!(starting.exists(), "it has no lock yet");
        assert!(running.folder().is_dir());
        assert_ne!(running.folder(), second.folder());
        let (one, two) = (running.folder(), second.folder());
        drop((running, second));
        assert!(!one.exists() && !two.exists());
    }

    #[test]
    fn a_link_is_not_read() {
        let folder = tempfile::tempdir().unwrap();
        let (file, link) = (folder.path().join("file"), folder.path().join("link"));
        fs::write(&file, "x").unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        assert_eq!(read(&file).unwrap(), b"x");
        assert!(read(&link).is_err());
    }

    #[test]
    fn a_folder_that_others_cannot_enter_is_not_taken() {
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), Permissions::from_mode(0o700)).unwrap();
        assert!(!open_to_all(folder.path()));
        fs::set_permissions(folder.path(), Permissions::from_mode(0o711)).unwrap();
        // Where TMPDIR is private, this one is not open either.
        assert_eq!(open_to_all(folder.path()), open_to_all(folder.path().parent().unwrap()));
    }
}
