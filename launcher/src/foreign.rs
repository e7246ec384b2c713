//! Places that somebody else has made, or can write in: what lies there decides which programs are run.

use std::fmt;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use crate::config::Problem;
use crate::cure;
use crate::failure::{Exit, Failure};
use crate::layout::{Layout, Scope};
use crate::parents::OVERFLOW;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Foreign {
    what: &'static str,
    path: PathBuf,
    why: Why,
    /// Who ought to own it.
    owner: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Why {
    Owner(u32),
    /// Its mode.
    Everybody(u32),
}

impl fmt::Display for Foreign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Foreign { what, path, .. } = self;
        match self.why {
            Why::Owner(uid) => write!(f, "{what} {} belongs to user {uid}", path.display()),
            Why::Everybody(mode) => {
                write!(f, "everybody can write in {what} {} (mode {mode:o})", path.display())
            }
        }
    }
}

impl Foreign {
    pub(crate) fn refusal(&self) -> Failure {
        Failure::new(self.to_string())
            .cause("who can write there runs programs as Mathesar's user")
            .exit(Exit::Refused)
            .help(self.cure())
    }

    /// The same for `config check`.
    pub(crate) fn problem(&self) -> Problem {
        let help = format!("{}; a start is refused until then", self.cure());
        Problem::error(self.to_string()).help(Some(help)).in_file(&self.path)
    }

    fn cure(&self) -> String {
        let path = cure::path(&self.path);
        match self.why {
            Why::Owner(_) => format!(
                "see what it holds, `ls -lR {path}`; if that is right: `sudo chown -R {} {path}`",
                self.owner
            ),
            Why::Everybody(_) => format!("`chmod o-w {path}`"),
        }
    }
}

/// Refuses what one must not go on with.
pub(crate) fn refuse(layout: &Layout, uid: u32) -> Result<(), Failure> {
    match find(layout, uid) {
        None => Ok(()),
        Some(foreign) => Err(foreign.refusal()),
    }
}

/// The folder of programs that a setting names, and those of them that are run: whose are they, and who may change them?
pub(crate) fn programs(folder: &Path, layout: &Layout, uid: u32) -> Option<Foreign> {
    let service = service(layout, uid);
    let files = PROGRAMS.iter().map(|name| folder.join(name)).filter(|path| path.is_file());
    let of_files = files.map(|path| ("the program", path));
    [("the folder of programs", folder.to_owned())].into_iter().chain(of_files).find_map(|(what, path)| {
        let found = std::fs::metadata(&path).ok()?;
        let why = match (found.uid(), found.mode() & 0o7777) {
            (owner, _) if !is_trusted(owner, uid, service) => Why::Owner(owner),
            // In a sticky folder nobody exchanges what is another's.
            (_, mode)
                if mode & 0o002 != 0 && !(found.is_dir() && mode & 0o1000 != 0) && !is_read_only(&path) =>
            {
                Why::Everybody(mode)
            }
            _ => return None,
        };
        Some(Foreign { what, path, why, owner: service.unwrap_or(uid) })
    })
}

/// What is run of a PostgreSQL server's and its client's.
const PROGRAMS: &[&str] = &[
    "postgres",
    "initdb",
    "psql",
    "pg_basebackup",
    "pg_controldata",
    "pg_dump",
    "pg_isready",
    "pg_restore",
    "pg_verifybackup",
    "pg_waldump",
];

/// Programs of the system's installation run as the service user, whoever starts them.
fn service(layout: &Layout, uid: u32) -> Option<u32> {
    let owner = || std::fs::metadata(&layout.state).ok().map(|found| found.uid());
    (layout.scope == Scope::System && uid == 0).then(owner).flatten()
}

fn is_trusted(owner: u32, uid: u32, service: Option<u32>) -> bool {
    [0, uid, OVERFLOW].contains(&owner) || Some(owner) == service
}

fn find(layout: &Layout, uid: u32) -> Option<Foreign> {
    of_settings(layout, uid).or_else(|| of_folders(layout, uid))
}

fn of_settings(layout: &Layout, uid: u32) -> Option<Foreign> {
    let service = service(layout, uid);
    let drop_ins = std::fs::read_dir(layout.config_drop_ins()).into_iter().flatten().flatten();
    let drop_ins =
        drop_ins.map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|end| end == "conf"));
    let mut settings =
        [layout.config.clone(), layout.config_drop_ins(), layout.config_file()].into_iter().chain(drop_ins);
    settings.find_map(|path| {
        let found = std::fs::metadata(&path).ok()?;
        let why = match (found.uid(), found.mode() & 0o7777) {
            (owner, _) if !is_trusted(owner, uid, service) => Why::Owner(owner),
            // Nothing that is written to /dev/null comes back: a link to it hides a file of the same name.
            _ if !found.is_dir() && !found.is_file() => return None,
            // A file system that nobody writes to shows such modes, as mounted configuration does.
            (_, mode) if mode & 0o002 != 0 && !is_read_only(&path) => Why::Everybody(mode),
            _ => return None,
        };
        let owner = if layout.scope == Scope::System { 0 } else { service.unwrap_or(uid) };
        Some(Foreign { what: "the settings", path, why, owner })
    })
}

fn of_folders(layout: &Layout, uid: u32) -> Option<Foreign> {
    let service = service(layout, uid);
    // In the one of logs, a link of somebody else leads what is written to another file.
    let mut own = [&layout.state, &layout.run, &layout.cache].into_iter().chain(&layout.logs);
    own.find_map(|path| {
        let owner = std::fs::metadata(path).ok()?.uid();
        let foreign = !is_trusted(owner, uid, service);
        let (what, path, why) = ("the folder", path.clone(), Why::Owner(owner));
        foreign.then(|| Foreign { what, path, why, owner: service.unwrap_or(uid) })
    })
}

/// Of the settings alone, as whoever is to run Mathesar would find them: another may ask, as root does.
pub(crate) fn settings(layout: &Layout, asking: u32) -> Option<Foreign> {
    let runner = || std::fs::metadata(&layout.state).ok().map(|found| found.uid());
    let runner = (layout.scope == Scope::System || asking == 0).then(runner).flatten();
    of_settings(layout, runner.unwrap_or(asking))
}

fn is_read_only(path: &Path) -> bool {
    rustix::fs::statvfs(path).is_ok_and(|found| found.f_flag.contains(rustix::fs::StatVfsMountFlags::RDONLY))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::layout::{Environment, Options};

    #[test]
    fn who_else_can_write_there() {
        let folder = tempfile::tempdir().unwrap();
        let options = Options { home: Some(folder.path().into()), instance: None, scope: None };
        let layout = Layout::new(&Environment::default(), &options).unwrap();
        let uid = rustix::process::geteuid().as_raw();
        assert_eq!(find(&layout, uid), None, "nothing is there yet");
        let drop_in = layout.config_drop_ins().join("9.conf");
        let logs = layout.logs.as_ref().unwrap();
        for path in [&layout.state, &layout.run, &layout.cache, logs, &layout.config_drop_ins()] {
            fs::create_dir_all(path).unwrap();
        }
        fs::write(layout.config_file(), "").unwrap();
        fs::write(&drop_in, "").unwrap();
        assert_eq!(find(&layout, uid), None);
        let mode = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        for (path, good) in [
            (&layout.config, 0o755),
            (&layout.config_drop_ins(), 0o755),
            (&layout.config_file(), 0o644),
            (&drop_in, 0o644),
        ] {
            mode(path, 0o1777);
            let found = find(&layout, uid).unwrap_or_else(|| panic!("{}", path.display()));
            assert_eq!((&found.path, found.why), (path, Why::Everybody(0o1777)));
            mode(path, good);
        }
        let hidden = layout.config_drop_ins().join("8.conf");
        std::os::unix::fs::symlink("/dev/null", &hidden).unwrap();
        assert_eq!(find(&layout, uid), None);
        // Containers are given such a folder; what is made in it is ours alone.
        mode(&layout.state, 0o777);
        assert_eq!(find(&layout, uid), None);
        // To anybody else all of it is a stranger's.
        if uid != 0 {
            let failure = refuse(&layout, uid + 1).unwrap_err();
            assert!(failure.to_string().contains("belongs to user"), "{failure}");
        }
        let bin = folder.path().join("bin");
        fs::create_dir(&bin).unwrap();
        fs::write(bin.join("psql"), "").unwrap();
        assert_eq!(programs(&bin, &layout, uid), None);
        mode(&bin, 0o1777);
        assert_eq!(programs(&bin, &layout, uid), None);
        mode(&bin, 0o777);
        assert_eq!(programs(&bin, &layout, uid).unwrap().why, Why::Everybody(0o777));
        mode(&bin, 0o755);
        mode(&bin.join("psql"), 0o757);
        assert_eq!(programs(&bin, &layout, uid).unwrap().path, bin.join("psql"));
        mode(&bin.join("psql"), 0o755);
        let owners = |path: &Path, owner| std::os::unix::fs::chown(path, Some(owner), None);
        if uid == 0 {
            for path in [&layout.state, &layout.run, &layout.cache, logs, &layout.config, &drop_in] {
                owners(path, 4711).unwrap();
                let found = find(&layout, 0).unwrap_or_else(|| panic!("{}", path.display()));
                assert_eq!((&found.path, found.why), (path, Why::Owner(4711)));
                owners(path, 0).unwrap();
            }
            for path in [&bin, &bin.join("psql")] {
                owners(path, 4711).unwrap();
                let found = programs(&bin, &layout, 0).unwrap_or_else(|| panic!("{}", path.display()));
                assert_eq!((&found.path, found.why), (path, Why::Owner(4711)));
                owners(path, 0).unwrap();
            }
        }
    }
}
