//! What a restore brings besides the data: the backup's settings, and what there is to do on other servers. Done once it is
//! committed, so that there is nothing to take back of it before.

use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use super::copy::relocate;
use super::journal::Journal;
use super::pending::Pending;
use super::swap::Part;
use super::sweep::UNPACKED;
use crate::app::files;
use crate::failure::Failure;
use crate::installation::private_folder;

/// In the state folder: the settings that came with the last backup that was restored.
pub const SETTINGS: &str = "restored-settings";

const MAIN: &str = "mathesar.conf";
const DROP_INS: &str = "conf.d";

/// May be broken off anywhere and called again.
pub(super) fn settle(state: &Path, journal: &Journal) -> Result<(), Failure> {
    let from = Part::Database.aside(state).join(&journal.id).join(UNPACKED).join("config");
    if from.is_dir() {
        if let Some(folder) = &journal.settings {
            put_in_place(&from, folder)?;
        }
        let beside = state.join(SETTINGS);
        files::remove_tree(&beside)?;
        let in_force = journal.settings.as_deref().is_some_and(|folder| are_those(&from, folder));
        // Beside, they would be taken for ones that are yet to be looked at.
        if !in_force {
            relocate(&from, &beside)?;
        }
    }
    // What was known of connected databases was known of the former ones.
    Pending { databases: Vec::new(), others: journal.others }.write(state)
}

/// Whether the settings in a folder are these.
fn are_those(from: &Path, folder: &Path) -> bool {
    let read = |path: PathBuf| fs::read(path).unwrap_or_default();
    let main = folder.join(MAIN).exists() && read(from.join(MAIN)) == read(folder.join(MAIN));
    let same = |path: &PathBuf| {
        path.file_name().is_some_and(|name| read(path.clone()) == read(folder.join(DROP_INS).join(name)))
    };
    main && drop_ins(&from.join(DROP_INS)).iter().all(same)
}

/// The main file comes last: with it everything is there.
fn put_in_place(from: &Path, folder: &Path) -> Result<(), Failure> {
    if folder.join(MAIN).exists() {
        return Ok(());
    }
    private_folder(folder)?;
    for path in drop_ins(&from.join(DROP_INS)) {
        let to = folder.join(DROP_INS);
        private_folder(&to)?;
        if let Some(name) = path.file_name() {
            copy(&path, &to.join(name))?;
        }
    }
    copy(&from.join(MAIN), &folder.join(MAIN))
}

/// The files of settings in such a folder, in their order.
pub(crate) fn drop_ins(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut all: Vec<PathBuf> = entries
        .filter(|path| path.is_file() && path.extension().is_some_and(|ending| ending == "conf"))
        .collect();
    all.sort();
    all
}

/// They may hold passwords.
fn copy(from: &Path, to: &Path) -> Result<(), Failure> {
    let beside = files::beside(to, "new");
    files::remove_tree(&beside)?;
    let written = || -> io::Result<()> {
        let mut options = File::options();
        let mut file = options.write(true).create_new(true).mode(0o600).open(&beside)?;
        match File::open(from) {
            // There was no main file: an empty one says that what stands beside it is all.
            Err(cause) if cause.kind() == ErrorKind::NotFound => {}
            source => drop(io::copy(&mut source?, &mut file)?),
        }
        file.sync_all()
    };
    written().map_err(|cause| Failure::io("write", to, cause))?;
    files::rename(&beside, to)
}

#[cfg(test)]
mod tests {
    use super::super::journal::Kind;
    use super::*;

    #[test]
    fn settings_come_whole_and_never_over_others() {
        let root = tempfile::tempdir().unwrap();
        let (state, config) = (root.path().join("state"), root.path().join("config"));
        let mut journal = Journal::new(&state, Kind::Restore, None, "1-a".into(), Part::ALL.to_vec());
        journal.settings = Some(config.clone());
        let unpacked = Part::Database.aside(&state).join(&journal.id).join(UNPACKED);
        let fill = |text: &str| {
            fs::create_dir_all(unpacked.join("config/conf.d")).unwrap();
            fs::write(unpacked.join("config").join(MAIN), text).unwrap();
            fs::write(unpacked.join("config/conf.d/9.conf"), "nine").unwrap();
            fs::write(unpacked.join("config/conf.d/note"), "").unwrap();
        };
        fill("one");
        // A kill has left a half of it.
        fs::create_dir_all(config.join(DROP_INS)).unwrap();
        fs::write(config.join("conf.d/9.conf"), "ni").unwrap();
        settle(&state, &journal).unwrap();
        let read = |path: &Path| fs::read_to_string(path).unwrap();
        assert_eq!(
            (read(&config.join(MAIN)), read(&config.join("conf.d/9.conf"))),
            ("one".into(), "nine".into())
        );
        assert!(!config.join("conf.d/note").exists() && !state.join(SETTINGS).exists());
        fill("two");
        settle(&state, &journal).unwrap();
        assert_eq!(
            (read(&config.join(MAIN)), read(&state.join(SETTINGS).join(MAIN))),
            ("one".into(), "two".into())
        );
        assert!(state.join(SETTINGS).join("conf.d/note").exists());
        settle(&state, &journal).unwrap();
    }
}
