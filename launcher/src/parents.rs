//! Who else could put another folder in the place of one of ours: whoever can write in a folder above it.

use std::fmt;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// Whoever is unknown in this user namespace, as in a sandbox: nothing can be told about them.
pub(crate) const OVERFLOW: u32 = 65534;

/// A folder above one of ours, in which somebody else may rename and remove.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Weak {
    pub folder: PathBuf,
    pub why: Why,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Why {
    Owner(u32),
    /// Its mode.
    Everybody(u32),
    Group {
        gid: u32,
        mode: u32,
    },
}

impl fmt::Display for Weak {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let folder = self.folder.display();
        match self.why {
            Why::Owner(uid) => write!(f, "{folder} belongs to user {uid}"),
            Why::Everybody(mode) => write!(f, "everybody can write in {folder} (mode {mode:o})"),
            Why::Group { gid, mode } => write!(f, "the group {gid} can write in {folder} (mode {mode:o})"),
        }
    }
}

impl Weak {
    /// One sentence: who can write there, and what follows for `what`.
    pub fn may_exchange(&self, what: &str) -> String {
        match self.why {
            Why::Owner(_) => format!("{self}, who may exchange {what}"),
            Why::Everybody(_) | Why::Group { .. } => format!("{self}, and may exchange {what}"),
        }
    }

    pub fn cure(&self, uid: u32) -> String {
        let folder = crate::cure::path(&self.folder);
        match self.why {
            Why::Owner(_) => format!("`sudo chown {uid} {folder}`, or choose another place for it"),
            Why::Everybody(_) => format!("`chmod o-w {folder}`, or choose another place for it"),
            Why::Group { .. } => format!("`chmod g-w {folder}`, or choose another place for it"),
        }
    }
}

/// The first folder above this path in which others than root, this user and their own group may exchange what lies there.
/// Sticky ones, as /tmp, let nobody but the owner.
pub(crate) fn weak(path: &Path, uid: u32) -> Option<Weak> {
    let gid = rustix::process::getegid().as_raw();
    let mut folders = Vec::new();
    if let Some(weak) = links(path, uid, 0, &mut folders) {
        return Some(weak);
    }
    let real = path.ancestors().find_map(|there| std::fs::canonicalize(there).ok())?;
    // Where the path itself is still to be made, the folder in which it will lie counts as well.
    folders.push(if path.exists() { real.parent()?.to_owned() } else { real });
    folders.iter().flat_map(|folder| folder.ancestors()).find_map(|folder| {
        let found = std::fs::metadata(folder).ok()?;
        let why = judge(found.uid(), found.gid(), found.mode() & 0o7777, (uid, gid))?;
        Some(Weak { folder: folder.to_owned(), why })
    })
}

/// The folders of links on the way, and of those in their targets: whoever can exchange a link leads elsewhere. Returned at
/// once: one that belongs to somebody else, who can do so also in a sticky folder.
fn links(path: &Path, uid: u32, depth: u32, folders: &mut Vec<PathBuf>) -> Option<Weak> {
    /// As the kernel's own limit.
    const DEEPEST: u32 = 40;
    path.ancestors().find_map(|there| {
        let target = std::fs::read_link(there).ok().filter(|_| depth < DEEPEST)?;
        let folder = there.parent()?;
        folders.extend(std::fs::canonicalize(folder).ok());
        let owner = std::fs::symlink_metadata(there).ok()?.uid();
        if judge(owner, 0, 0o755, (uid, 0)).is_some() {
            return Some(Weak { folder: there.to_owned(), why: Why::Owner(owner) });
        }
        links(&folder.join(target), uid, depth + 1, folders)
    })
}

fn judge(owner: u32, group: u32, mode: u32, (uid, gid): (u32, u32)) -> Option<Why> {
    let sticky = mode & 0o1000 != 0;
    match () {
        () if owner != 0 && owner != uid && owner != OVERFLOW => Some(Why::Owner(owner)),
        () if mode & 0o002 != 0 && !sticky => Some(Why::Everybody(mode)),
        // A group of one's own, as many systems make it, has one member; root's and its like is trusted as root is.
        () if mode & 0o020 != 0 && !sticky && ![0, gid, OVERFLOW].contains(&group) => {
            Some(Why::Group { gid: group, mode })
        }
        () => None,
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn it_is_told_in_one_sentence() {
        let told = |why| Weak { folder: "/a".into(), why }.may_exchange("/a/b");
        assert_eq!(told(Why::Owner(8)), "/a belongs to user 8, who may exchange /a/b");
        let all = "everybody can write in /a (mode 777), and may exchange /a/b";
        assert_eq!(told(Why::Everybody(0o777)), all);
    }

    #[test]
    fn who_can_exchange_what_lies_there() {
        let us = (7, 7);
        for (owner, group, mode, why) in [
            (0, 0, 0o755, None),
            (7, 7, 0o775, None),
            (0, 0, 0o1777, None),
            (0, 0, 0o775, None),
            (OVERFLOW, OVERFLOW, 0o755, None),
            (0, 0, 0o777, Some(Why::Everybody(0o777))),
            (7, 100, 0o775, Some(Why::Group { gid: 100, mode: 0o775 })),
            (8, 8, 0o755, Some(Why::Owner(8))),
            // Its owner may, also where it is sticky.
            (8, 8, 0o1777, Some(Why::Owner(8))),
        ] {
            assert_eq!(judge(owner, group, mode, us), why, "{owner} {group} {mode:o}");
        }
    }

    #[test]
    fn the_folders_above_count_and_not_the_folder_itself() {
        let folder = tempfile::tempdir().unwrap();
        let uid = rustix::process::geteuid().as_raw();
        let above = folder.path().join("above");
        std::fs::create_dir_all(above.join("home/state")).unwrap();
        let mode = |path: &Path, mode| {
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
        };
        mode(&above.join("home"), 0o777);
        assert_eq!(weak(&above.join("home"), uid), None);
        // Not there yet: where it will lie counts.
        let found = weak(&above.join("home/new/state"), uid).unwrap();
        assert_eq!(found.folder, std::fs::canonicalize(above.join("home")).unwrap());
        mode(&above.join("home"), 0o755);
        mode(&above, 0o777);
        let found = weak(&above.join("home/state"), uid).unwrap();
        assert_eq!(
            (found.folder.file_name().unwrap().to_str(), found.why),
            (Some("above"), Why::Everybody(0o777))
        );
        std::os::unix::fs::symlink(above.join("home"), folder.path().join("link")).unwrap();
        assert!(weak(&folder.path().join("link/state"), uid).is_some());
        // A link that can be exchanged, to where all is well.
        mode(&above, 0o755);
        assert_eq!(weak(&folder.path().join("link/state"), uid), None);
        let open = folder.path().join("open");
        std::fs::create_dir(&open).unwrap();
        mode(&open, 0o777);
        std::os::unix::fs::symlink("../link", open.join("second")).unwrap();
        for path in ["second/state", "second/not/yet"] {
            let found = weak(&open.join(path), uid).unwrap();
            assert_eq!(found.folder, std::fs::canonicalize(&open).unwrap());
        }
        // One that leads nowhere but to itself.
        std::os::unix::fs::symlink("round", folder.path().join("round")).unwrap();
        weak(&folder.path().join("round/state"), uid);
    }
}
