//! The drill: a backup is restored into a place of its own and compared with what was written down when it was made.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use super::base::Verified;
use super::catalog::{self, Known};
use super::checks::{self, Checks, Judgement, Table};
use super::create::GLOBALS;
use super::manifest::{Kind, Lack, Manifest};
use super::moment;
use super::staging::{self, Staging};
use super::{archive, dumps, logical, room, sound, unlogged};
use crate::app::environment;
use crate::application;
use crate::database::{Binaries, Durability, ROLE, Scratch};
use crate::failure::{Exit, Failure};
use crate::installation::Installation;
use crate::progress::Progress;
use crate::secrets::{self, SECRET_KEY};
use crate::upgrade::script;

/// How one part of the drill ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    Good(String),
    /// Why not.
    NotRun(String),
    Bad(String),
    /// So bad that no restore would take it, or that one takes it only in some places.
    Refused(String),
}

/// What the drill has found.
#[derive(Debug, Clone)]
pub struct Report {
    pub path: PathBuf,
    pub digest: String,
    pub created: String,
    pub version: String,
    pub parts: Vec<(&'static str, Outcome)>,
    pub tables: Vec<(Table, Judgement)>,
    /// Databases whose tables were not, with why not.
    pub not_compared: Vec<(String, &'static str)>,
    /// What belongs into it, and is not there: what it holds may be good all the same.
    pub lacks: Vec<Lack>,
    pub took: Duration,
    /// When it ended: what is recorded of a good one.
    pub at: String,
}

impl Outcome {
    pub fn wrong(&self) -> Option<&str> {
        match self {
            Outcome::Bad(why) | Outcome::Refused(why) => Some(why),
            Outcome::Good(_) | Outcome::NotRun(_) => None,
        }
    }
}

impl Report {
    /// Of one that is not good: as a restore would end for the same cause.
    pub fn exit(&self) -> Exit {
        let refused = self.parts.iter().any(|(_, outcome)| matches!(outcome, Outcome::Refused(_)));
        if refused { Exit::Refused } else { Exit::Failed }
    }

    pub fn is_good(&self) -> bool {
        self.parts.iter().all(|(_, outcome)| outcome.wrong().is_none())
            && self.tables.iter().all(|(_, judgement)| judgement.is_good())
    }
}

/// Restores an archive beside everything, compares every table, and records the outcome if it is good, under the path that is
/// `shown`. An archive that is damaged, or cannot be restored, is an error; one that holds other rows than it should is a report.
pub fn verify(
    installation: &Installation,
    path: &Path,
    shown: &Path,
    progress: &dyn Progress,
) -> Result<Report, Failure> {
    let since = Instant::now();
    let state = &installation.layout.state;
    let manifest = archive::read_manifest(path)?;
    // Before anything is unpacked: without its programs there is no drill.
    let binaries = match manifest.kind {
        Kind::Physical => installation.search().for_major(manifest.postgresql.major)?,
        Kind::Logical => logical::scratch_binaries(installation, manifest.postgresql.major)?,
    };
    let above = staging::above(state);
    room::to_unpack(&above, &manifest)?;
    let staging = Staging::new(state, "drill")?;
    let folder = staging.path().join("backup");
    progress.start("Unpacking the backup");
    let archive::Unpacked { manifest, digest } = archive::unpack(path, &folder, &sound::is_wanted, progress)?;
    progress.done("Unpacked the backup: its digest is right");
    manifest.tell_what_is_missing(progress);
    let mut parts = vec![("digest", Outcome::Good(format!("sha256 {digest}")))];
    let was = sound::checks(&folder, shown)?;
    was.dumps_are_there(&folder)?;
    sound::kind(&folder, &manifest, &was)?;
    let limit = installation.config.duration("database.start-timeout").unwrap_or(Duration::from_secs(300));

    let server = match manifest.kind {
        Kind::Physical => {
            let outcome = match sound::cluster(&binaries, &folder)? {
                Verified::Yes => Outcome::Good("every file is as it was copied".to_owned()),
                Verified::NotRun(why) => Outcome::NotRun(why),
            };
            parts.push(("pg_verifybackup", outcome));
            progress.start("Starting a PostgreSQL on it");
            let server = sound::server(&binaries, &folder, &above, Durability::ThrownAway, limit)?;
            unlogged::set(&server, &manifest.unlogged)?;
            parts.push((
                "superuser",
                match server.by_password() {
                    true => Outcome::Good("its password opens the database".to_owned()),
                    false => Outcome::NotRun(
                        "its password is not in the backup; a restore sets a new one".to_owned(),
                    ),
                },
            ));
            server
        }
        Kind::Logical => logical::restore(&binaries, &folder, &was, &staging, limit, progress)?,
    };
    progress.start("Comparing every table");
    let mut is = checks::tables(&server)?;
    if manifest.kind == Kind::Logical {
        is = logical::of_dumps(is, &was.dumps);
    }
    let mut not_compared = Vec::new();
    if manifest.kind == Kind::Physical {
        not_compared =
            checks::not_compared(&|database, statement| server.sql(database, statement), &was.tables)?;
        is.retain(|table| !not_compared.iter().any(|(name, _)| *name == table.database));
    }
    let tables = checks::compare(&was.tables, &is);
    let bad = tables.iter().filter(|(_, judgement)| !judgement.is_good()).count();
    match bad {
        0 => progress.done(&format!("Compared {} tables: all are the same", tables.len())),
        bad => progress.note(&format!("{bad} of {} tables are not the same", tables.len())),
    }
    parts
        .push(("key", outcome(sound::key(&folder, &manifest), "it is the one that the data were made with")));
    let as_named = format!("every file is that of Mathesar {}", manifest.app.version);
    let release = match outcome(sound::release(&folder, &manifest), &as_named) {
        Outcome::Refused(why) => Outcome::Refused(format!("{why}; {}", elsewhere(installation, &manifest))),
        other => other,
    };
    parts.push(("release", release));
    let fits = crate::restore::fits_its_own(installation, &folder, &manifest);
    if manifest.kind == Kind::Physical {
        parts.push(("settings", outcome(fits, "the data can be read with them")));
    }
    let wanted = match manifest.kind {
        Kind::Physical => checks::dumped(&|database, statement| server.sql(database, statement))?,
        Kind::Logical => vec![manifest.internal_database.clone()],
    };
    parts.push(("portable copies", portable(&binaries, &folder, &was, &wanted)));
    progress.start("Asking the application");
    let asked = match manifest.kind {
        Kind::Physical => application(installation, &manifest, &folder, &server),
        Kind::Logical => Outcome::NotRun("a logical copy is connected to anew".to_owned()),
    };
    parts.push(("application", asked));
    drop(server);
    let report = Report {
        path: shown.to_owned(),
        digest,
        created: manifest.created.clone(),
        version: manifest.app.version.clone(),
        parts,
        tables,
        not_compared,
        lacks: manifest.lacks.clone(),
        took: since.elapsed(),
        at: moment::text(SystemTime::now()),
    };
    if report.is_good() {
        catalog::remember(state, &report.digest, Known::new(shown, Some(report.at.clone()), &manifest))?;
    }
    Ok(report)
}

fn outcome(result: Result<(), Failure>, good: &str) -> Outcome {
    match result {
        Ok(()) => Outcome::Good(good.to_owned()),
        Err(failure) if failure.exit == Exit::Refused => Outcome::Refused(failure.whole()),
        Err(failure) => Outcome::Bad(failure.whole()),
    }
}

/// What a release that is no release means for a restore.
fn elsewhere(installation: &Installation, manifest: &Manifest) -> String {
    let here = match installation.store().find(&manifest.app.id) {
        Ok(_) => "as it is here",
        Err(_) => "and here it is not",
    };
    format!("a restore works only where Mathesar {} is installed already, {here}", manifest.app.version)
}

/// `wanted`: the databases that have to be among them.
fn portable(binaries: &Binaries, folder: &Path, checks: &Checks, wanted: &[String]) -> Outcome {
    let is_there = |name: &String| checks.dumps.iter().any(|dump| dump.database == *name);
    if let Some(lost) = wanted.iter().find(|name| !is_there(name)) {
        return Outcome::Bad(format!("there is none of the database {lost}"));
    }
    if !binaries.client("pg_restore").exists() {
        return Outcome::NotRun(format!("there is no pg_restore in {}", binaries.client.display()));
    }
    for dump in &checks.dumps {
        if let Err(failure) = dumps::read(binaries, &folder.join(&dump.file)) {
            let cause =
                std::error::Error::source(&failure).map(|cause| format!(": {cause}")).unwrap_or_default();
            return Outcome::Bad(format!("{} of {}: {failure}{cause}", dump.file, dump.database));
        }
    }
    if !folder.join(GLOBALS).is_file() {
        return Outcome::Bad(format!("{GLOBALS} is missing"));
    }
    Outcome::Good(format!("{} can be read to their end", checks.dumps.len()))
}

/// The release that the backup is of, on the restored database, with the restored key and media.
fn application(installation: &Installation, manifest: &Manifest, folder: &Path, server: &Scratch) -> Outcome {
    let internal = &manifest.internal_database;
    match checks::databases(server) {
        Err(failure) => return Outcome::Bad(failure.whole()),
        Ok(all) if !all.contains(internal) => {
            return Outcome::Refused(format!("its database {internal} is not in the backup"));
        }
        Ok(_) => {}
    }
    let release = match installation.store().find(&manifest.app.id) {
        Ok(release) if release.complete && environment::state(&release.path) == environment::State::Ready => {
            release
        }
        _ => {
            let version = &manifest.app.version;
            return Outcome::NotRun(format!("Mathesar {version} is not completely installed here"));
        }
    };
    let ask = || -> Result<String, Failure> {
        let key = secrets::read_file(&folder.join("secrets").join(SECRET_KEY))?
            .ok_or_else(|| Failure::new("the secret key is not in the backup"))?;
        let mut variables = application::of(installation, &key, &application::interpreter(&release.path))?;
        for (name, value) in [
            ("POSTGRES_HOST", server.socket().as_os_str()),
            ("POSTGRES_PORT", "5432".as_ref()),
            ("POSTGRES_USER", ROLE.as_ref()),
            ("POSTGRES_DB", manifest.internal_database.as_ref()),
            ("MEDIA_ROOT", folder.join("media").as_os_str()),
        ] {
            variables.insert(name.into(), value.to_owned());
        }
        let run =
            |args: &[&str]| application::program(&release.path, &variables).arg("manage.py").args(args).run();
        run(&["check", "--database", "default"])?;
        let output = run(&["showmigrations", "--plan"])?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        script::write_and_read(&release.path, &variables)?;
        let count = |mark: &str| text.lines().filter(|line| line.starts_with(mark)).count();
        Ok(format!(
            "`manage.py check` is content, it writes and reads; {} migrations are applied, {} are not",
            count("[X]"),
            count("[ ]")
        ))
    };
    match ask() {
        Ok(said) => Outcome::Good(said),
        Err(failure) => {
            let cause =
                std::error::Error::source(&failure).map(|cause| format!(": {cause}")).unwrap_or_default();
            Outcome::Bad(format!("{failure}{cause}"))
        }
    }
}

impl Checks {
    /// Of an unpacked archive.
    pub fn read(folder: &Path) -> Result<Checks, Failure> {
        let path = folder.join("checks.json");
        let text =
            std::fs::read(&path).map_err(|cause| Failure::io("read", &path, cause).exit(Exit::Refused))?;
        let checks: Checks = serde_json::from_slice(&text).map_err(|cause| {
            Failure::new(format!("cannot understand {}", path.display())).cause(cause).exit(Exit::Refused)
        })?;
        // Names are the archive's: none leads out of it.
        let is_ours = |file: &str| {
            let number = file.strip_prefix("portable/").and_then(|name| name.strip_suffix(".dump"));
            number
                .is_some_and(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
        };
        match checks.dumps.iter().find(|dump| !is_ours(&dump.file)) {
            Some(odd) => Err(Failure::new(format!("{} is wrong", path.display()))
                .cause(format!("it names a portable copy {:?}, which is no name of one", odd.file))
                .exit(Exit::Refused)),
            None => Ok(checks),
        }
    }

    /// A restore does without them.
    fn dumps_are_there(&self, folder: &Path) -> Result<(), Failure> {
        let is_there = |file: &str| folder.join(file).symlink_metadata().is_ok_and(|found| found.is_file());
        match self.dumps.iter().find(|dump| !is_there(&dump.file)) {
            Some(lost) => Err(Failure::new(format!(
                "the portable copy of {} is not in the backup: {}",
                lost.database, lost.file
            ))
            .help("make another backup: `mathesar backup create`")),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As whatever is wrong with an archive itself.
    #[test]
    fn an_archive_without_its_checks_is_refused() {
        let root = tempfile::tempdir().unwrap();
        assert_eq!(Checks::read(root.path()).unwrap_err().exit, Exit::Refused);
        std::fs::write(root.path().join("checks.json"), "{").unwrap();
        assert_eq!(Checks::read(root.path()).unwrap_err().exit, Exit::Refused);
        std::fs::write(root.path().join("checks.json"), r#"{"tables": [], "dumps": [], "made": ""}"#)
            .unwrap();
        assert_eq!(Checks::read(root.path()).unwrap(), Checks::default());
    }
}
