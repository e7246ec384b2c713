//! Where an archive goes: written beside its final name, and renamed when it is whole.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use super::archive;
use crate::app::files;
use crate::failure::{Exit, Failure};

const BEGINNING: &str = "mathesar-";
const END: &str = ".tar.zst";
const ANOTHER: &str = "name another folder: `mathesar config set backup.directory DIR`, or for one backup `mathesar backup create --to DIR`";

/// `mathesar-0.12.0-20261125T031500Z`; `moment` is RFC 3339.
pub fn stem(version: &str, moment: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '+' | '-' | '_');
    let version: String = version.chars().filter(|c| plain(*c)).collect();
    let seconds: String =
        moment.split('.').next().unwrap_or_default().chars().filter(char::is_ascii_alphanumeric).collect();
    format!("{BEGINNING}{version}-{}", if seconds.ends_with('Z') { seconds } else { seconds + "Z" })
}

/// An archive that is being written. Dropped before it is placed, it is removed.
#[derive(Debug)]
pub struct Unfinished {
    file: File,
    path: PathBuf,
    folder: PathBuf,
    stem: String,
    placed: bool,
}

impl Unfinished {
    /// Makes the folder where it is missing and its parent is there.
    pub fn new(folder: &Path, stem: &str) -> Result<Unfinished, Failure> {
        if !folder.is_dir() {
            crate::installation::private_folder(folder).map_err(|failure| elsewhere(failure, folder))?;
        }
        sweep(folder);
        let path = files::beside(&folder.join(format!("{stem}{END}")), "new");
        let open = || -> std::io::Result<File> {
            match fs::remove_file(&path) {
                Err(cause) if cause.kind() != std::io::ErrorKind::NotFound => return Err(cause),
                _ => {}
            }
            // As root, a link that somebody has put there is never followed.
            let flags = rustix::fs::OFlags::NOFOLLOW.bits().cast_signed();
            let file = OpenOptions::new()
                .read(true)
                .write(true)
                .create_new(true)
                .mode(0o600)
                .custom_flags(flags)
                .open(&path)?;
            // It says that somebody writes here, on whichever machine; a file system without locks knows no others.
            let _ = file.try_lock();
            Ok(file)
        };
        let file = open().map_err(|cause| elsewhere(Failure::io("write", &path, cause), folder))?;
        Ok(Unfinished { file, path, folder: folder.to_owned(), stem: stem.to_owned(), placed: false })
    }

    pub fn file(&self) -> Result<File, Failure> {
        self.file.try_clone().map_err(|cause| Failure::io("write", &self.path, cause))
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The name that it gets, if nobody has that by then.
    pub fn first_name(&self) -> PathBuf {
        self.name(1)
    }

    /// Gives it the first of its names that nobody has; it is on the disk then.
    pub fn place(mut self) -> Result<PathBuf, Failure> {
        self.file.sync_all().map_err(|cause| Failure::io("write", &self.path, cause))?;
        for number in 1..1000 {
            let to = self.name(number);
            if rename(&self.path, &to)? {
                self.placed = true;
                files::sync_folder(&self.folder)?;
                return Ok(to);
            }
        }
        Err(Failure::new(format!("{} is full of archives of this second", self.folder.display())))
    }

    /// Sealed, and told by its manifest to lack something.
    pub fn is_incomplete(&self) -> bool {
        archive::claimed(&self.path).is_ok()
            && archive::read_manifest(&self.path).is_ok_and(|manifest| !manifest.lacks.is_empty())
    }

    fn name(&self, number: u32) -> PathBuf {
        let suffix = if number == 1 { String::new() } else { format!("-{number}") };
        self.folder.join(format!("{}{suffix}{END}", self.stem))
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if !self.placed {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// False: somebody has this name.
fn rename(from: &Path, to: &Path) -> Result<bool, Failure> {
    use rustix::fs::{CWD, RenameFlags, renameat_with};
    use rustix::io::Errno;
    match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        Ok(()) => Ok(true),
        Err(Errno::EXIST) => Ok(false),
        // Some file systems of networks cannot; nobody else writes such names there but us.
        Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) if to.symlink_metadata().is_ok() => Ok(false),
        Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => {
            fs::rename(from, to).map(|()| true).map_err(|cause| Failure::io("rename to", to, cause))
        }
        Err(cause) => Err(Failure::io("rename to", to, cause.into())),
    }
}

/// Removes what killed ones have left: whoever still writes holds a lock.
fn sweep(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let ours = name.starts_with(&format!(".{BEGINNING}"))
            && name.contains(&format!("{END}."))
            && name.ends_with(".new");
        let own = entry
            .metadata()
            .is_ok_and(|found| found.is_file() && found.uid() == rustix::process::geteuid().as_raw());
        let flags = rustix::fs::OFlags::NOFOLLOW.bits().cast_signed();
        let open = || OpenOptions::new().read(true).custom_flags(flags).open(entry.path());
        if ours && own && open().is_ok_and(|file| file.try_lock().is_ok()) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// What lies among the data goes with them: into the copies of upgrades and restores, and away with those.
pub fn refuse_inside(folder: &Path, state: &Path) -> Result<(), Failure> {
    let real = |path: &Path| path.canonicalize().ok();
    // One that is not there yet is made in its parent.
    let made = || Some(real(folder.parent()?)?.join(folder.file_name()?));
    let (Some(folder), Some(state)) = (real(folder).or_else(made), real(state)) else { return Ok(()) };
    if !folder.starts_with(&state) || folder.starts_with(state.join("backups")) {
        return Ok(());
    }
    Err(Failure::new(format!("{} is among Mathesar's own data", folder.display()))
        .cause("what lies there is replaced by upgrades and restores")
        .exit(Exit::Refused)
        .help(format!("leave `--to` and `backup.directory` out, for {}", state.join("backups").display()))
        .help(ANOTHER))
}

fn elsewhere(failure: Failure, folder: &Path) -> Failure {
    let root = rustix::process::geteuid().is_root();
    // Of one that is missing, the one that it would be made in.
    let there = folder.ancestors().find(|folder| folder.symlink_metadata().is_ok()).unwrap_or(folder);
    let failure =
        failure.exit(Exit::Refused).help(format!("look at it: `ls -ld {}`", crate::cure::path(there)));
    if root { failure } else { failure.help(ANOTHER) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_say_version_and_second() {
        assert_eq!(stem("0.12.0", "2026-11-25T03:15:00Z"), "mathesar-0.12.0-20261125T031500Z");
        assert_eq!(stem("1/../2", "2026-11-25T03:15:00.5Z"), "mathesar-1..2-20261125T031500Z");
    }

    #[test]
    fn nothing_is_overwritten_and_nothing_half_stays() {
        let folder = tempfile::tempdir().unwrap();
        let make = || Unfinished::new(folder.path(), "mathesar-1-2").unwrap();
        let names = || {
            let mut names: Vec<String> = fs::read_dir(folder.path())
                .unwrap()
                .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                .collect();
            names.sort();
            names
        };
        drop(make());
        assert!(names().is_empty());
        assert_eq!(make().place().unwrap(), folder.path().join("mathesar-1-2.tar.zst"));
        assert_eq!(make().place().unwrap(), folder.path().join("mathesar-1-2-2.tar.zst"));
        fs::write(folder.path().join(".mathesar-0-1.tar.zst.77.new"), "").unwrap();
        fs::write(folder.path().join(".foreign.77.new"), "").unwrap();
        let one = make();
        assert!(!names().contains(&".mathesar-0-1.tar.zst.77.new".to_owned()), "a dead one's");
        sweep(folder.path());
        assert_eq!(names().len(), 4, "who writes is left alone: {:?}", names());
        drop(one);
        assert_eq!(names(), [".foreign.77.new", "mathesar-1-2-2.tar.zst", "mathesar-1-2.tar.zst"]);
    }

    #[test]
    fn a_folder_among_the_data_is_refused() {
        let home = tempfile::tempdir().unwrap();
        let state = home.path().join("state");
        for name in ["state/media/x", "state/backups", "state/database", "elsewhere"] {
            std::fs::create_dir_all(home.path().join(name)).unwrap();
        }
        std::os::unix::fs::symlink(state.join("media"), home.path().join("link")).unwrap();
        for bad in ["state", "state/media", "state/media/x", "state/database/new", "link", "link/new"] {
            let failure = refuse_inside(&home.path().join(bad), &state).unwrap_err();
            assert_eq!(failure.exit, Exit::Refused, "{bad}");
        }
        for good in ["state/backups", "state/backups/mine", "elsewhere", "elsewhere/new", "no/such"] {
            refuse_inside(&home.path().join(good), &state).unwrap();
        }
    }
}
