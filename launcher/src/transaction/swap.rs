//! The renames. Every function may be broken off anywhere and called again.
//!
//! Beside each part there is a folder of the transaction's, with at most: `new` (to be put in its place), `old` (what was
//! there, complete), `absent` (nothing was there), `undone` (what was taken out again).

use std::path::{Path, PathBuf};

use crate::app::files;
use crate::failure::{Exit, Failure};

/// What a transaction can replace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// The private cluster's data directory.
    Database,
    /// Uploaded files, where they are kept in the state folder.
    Media,
    Secrets,
}

impl Part {
    pub const ALL: [Part; 3] = [Part::Database, Part::Media, Part::Secrets];

    pub fn name(self) -> &'static str {
        match self {
            Part::Database => "database",
            Part::Media => "media",
            Part::Secrets => "secrets",
        }
    }

    pub fn parse(name: &str) -> Option<Part> {
        Part::ALL.into_iter().find(|part| part.name() == name)
    }

    /// Where it is used.
    pub fn live(self, state: &Path) -> PathBuf {
        match self {
            Part::Database => state.join("database/data"),
            Part::Media => state.join("media"),
            Part::Secrets => state.join("secrets"),
        }
    }

    /// The folder that holds the folders of all transactions: beside the part, which may be a disk of its own.
    pub fn aside(self, state: &Path) -> PathBuf {
        self.live(state).with_file_name("aside")
    }

    /// The transaction's own.
    pub fn side(self, state: &Path, id: &str) -> PathBuf {
        self.aside(state).join(id).join(self.name())
    }
}

/// Refuses what no rename can move: a mount point, or a link to elsewhere.
pub fn movable(live: &Path) -> Result<(), Failure> {
    use std::os::unix::fs::MetadataExt as _;
    let Ok(found) = live.symlink_metadata() else { return Ok(()) };
    let above = live.parent().and_then(|above| above.metadata().ok());
    let mounted = above.is_some_and(|above| above.dev() != found.dev()) || is_mounted(live);
    if !found.is_symlink() && !mounted {
        return Ok(());
    }
    let what = if found.is_symlink() { "a link" } else { "a mount point" };
    Err(Failure::new(format!("{} is {what}, which cannot be exchanged for another folder", live.display()))
        .exit(Exit::Refused)
        .help(format!(
            "mount, or link to, the folder above it instead: {}",
            live.parent().unwrap_or(live).display()
        )))
}

/// Bind mounts within one file system have its number, so the kernel's list is asked.
fn is_mounted(live: &Path) -> bool {
    let (Ok(live), Ok(list)) = (live.canonicalize(), std::fs::read_to_string("/proc/self/mountinfo")) else {
        return false;
    };
    // The fifth field, with blanks and the like in octal.
    let plain = |field: &str| {
        field.replace("\\040", " ").replace("\\011", "\t").replace("\\012", "\n").replace("\\134", "\\")
    };
    list.lines().filter_map(|line| line.split(' ').nth(4)).any(|place| Path::new(&plain(place)) == live)
}

/// Puts `side/new` in the place of `live`, which is kept as `side/old`.
pub fn swap_in(live: &Path, side: &Path) -> Result<(), Failure> {
    let (new, old, absent) = (side.join("new"), side.join("old"), side.join("absent"));
    if !new.exists() {
        return Ok(());
    }
    match (live.exists(), old.exists() || absent.exists()) {
        (true, false) => rename(live, &old)?,
        (false, false) => files::write(&absent, b"")?,
        _ => {}
    }
    rename(&new, live)
}

/// Puts back what was there before; what is taken out stays as `side/undone`.
pub fn take_back(live: &Path, side: &Path) -> Result<(), Failure> {
    let (old, absent, undone) = (side.join("old"), side.join("absent"), side.join("undone"));
    if old.exists() {
        if live.exists() {
            files::remove_tree(&undone)?;
            rename(live, &undone)?;
        }
        return rename(&old, live);
    }
    if absent.exists() {
        // With `new` still there, nothing was put in its place.
        if live.exists() && !side.join("new").exists() {
            files::remove_tree(&undone)?;
            rename(live, &undone)?;
        }
        return files::remove_tree(&absent);
    }
    Ok(())
}

/// A rename between two folders; a power cut after it finds it done.
fn rename(from: &Path, to: &Path) -> Result<(), Failure> {
    std::fs::rename(from, to).map_err(|cause| {
        Failure::new(format!("cannot move {} to {}", from.display(), to.display())).cause(cause)
    })?;
    for folder in [from.parent(), to.parent()].into_iter().flatten() {
        files::sync_folder(folder)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn folder(path: &Path, text: &str) {
        fs::create_dir_all(path).unwrap();
        fs::write(path.join("what"), text).unwrap();
    }

    fn what(path: &Path) -> Option<String> {
        fs::read_to_string(path.join("what")).ok()
    }

    #[test]
    fn links_and_mounts_are_refused() {
        let root = tempfile::tempdir().unwrap();
        folder(&root.path().join("a"), "x");
        std::os::unix::fs::symlink("a", root.path().join("b")).unwrap();
        assert!(movable(&root.path().join("a")).is_ok());
        assert!(movable(&root.path().join("nothing")).is_ok());
        assert_eq!(movable(&root.path().join("b")).unwrap_err().exit, Exit::Refused);
        if cfg!(target_os = "linux") {
            assert!(is_mounted(Path::new("/proc")));
        }
    }

    #[test]
    fn forth_and_back() {
        let root = tempfile::tempdir().unwrap();
        let (live, side) = (root.path().join("live"), root.path().join("aside/1/database"));
        folder(&live, "before");
        folder(&side.join("new"), "after");
        for _ in 0..2 {
            swap_in(&live, &side).unwrap();
            assert_eq!((what(&live), what(&side.join("old"))), (Some("after".into()), Some("before".into())));
        }
        for _ in 0..2 {
            take_back(&live, &side).unwrap();
            assert_eq!(
                (what(&live), what(&side.join("undone"))),
                (Some("before".into()), Some("after".into()))
            );
            assert!(!side.join("old").exists());
        }
    }

    #[test]
    fn where_nothing_was_nothing_is_again() {
        let root = tempfile::tempdir().unwrap();
        let (live, side) = (root.path().join("live"), root.path().join("aside/1/database"));
        folder(&side.join("new"), "after");
        swap_in(&live, &side).unwrap();
        assert_eq!(what(&live), Some("after".into()));
        take_back(&live, &side).unwrap();
        assert!(!live.exists());
        take_back(&live, &side).unwrap();
        assert!(!live.exists());
    }

    /// All states that a kill between two renames leaves behind.
    #[test]
    fn broken_off_anywhere_it_is_taken_back() {
        let root = tempfile::tempdir().unwrap();
        let cases: &[&[(&str, &str)]] = &[
            &[("live", "before"), ("side/new", "after")],
            &[("side/old", "before"), ("side/new", "after")],
            &[("live", "after"), ("side/old", "before")],
            &[("side/undone", "after"), ("side/old", "before")],
            &[("side/undone", "after"), ("live", "before")],
            &[("live", "after"), ("side/old", "before"), ("side/undone", "of another try")],
        ];
        for (number, case) in cases.iter().enumerate() {
            let here = root.path().join(number.to_string());
            fs::create_dir_all(here.join("side")).unwrap();
            for (place, text) in *case {
                folder(&here.join(place), text);
            }
            take_back(&here.join("live"), &here.join("side")).unwrap();
            assert_eq!(what(&here.join("live")), Some("before".into()), "{case:?}");
        }
    }
}
