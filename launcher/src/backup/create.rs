//! The whole of an instance as one archive: copied while it runs, proved by restoring it, packed, and named when it is whole.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use super::archive::{Sealed, Writer};
use super::base::{self, Verified};
use super::catalog::{self, Known};
use super::checks::{self, Checks, Dump};
use super::manifest::{Lack, MadeBy, Manifest};
use super::moment;
use super::place::{self, Unfinished};
use super::room::{self, Need};
use super::staging::{self, Staging};
use super::unlogged::{self, Sequence};
use super::{dumps, parts};
use crate::app::files;
use crate::app::store::Installed;
use crate::control::Lock;
use crate::database::{Cluster, Durability, Scratch};
use crate::failure::{Exit, Failure};
use crate::installation::Installation;
use crate::progress::Progress;
use crate::terminal::size;
use crate::transaction::{Journal, point};

/// What a log that is written meanwhile may add.
const LOG: u64 = 64 << 20;

/// What is asked for.
pub struct Options<'a> {
    pub to: Target<'a>,
    pub note: Option<String>,
    pub made_by: MadeBy,
}

/// Where the archive goes.
pub enum Target<'a> {
    Folder(&'a Path),
    /// Opened, and named afterwards, by somebody else: root.
    Handed {
        file: File,
        path: &'a Path,
    },
}

impl Target<'_> {
    /// Refuses a folder that nothing can be written to, before anything is copied for it.
    pub(super) fn try_out(&self, version: &str) -> Result<(), Failure> {
        match self {
            Target::Folder(folder) => {
                let stem = place::stem(version, &moment::text(SystemTime::now()));
                Unfinished::new(folder, &stem).map(drop)
            }
            // It is open.
            Target::Handed { .. } => Ok(()),
        }
    }

    pub fn folder(&self) -> &Path {
        match self {
            Target::Folder(folder) => folder,
            Target::Handed { path, .. } => path.parent().unwrap_or(Path::new("/")),
        }
    }
}

/// What was made.
#[derive(Debug, Clone)]
pub struct Made {
    pub path: PathBuf,
    pub digest: String,
    pub bytes: u64,
    pub created: String,
    /// Of the database, as it lay on the disk.
    pub copied: u64,
    pub databases: usize,
    pub tables: usize,
    pub rows: u64,
    pub verified: Verified,
    /// What belongs into it, and is not there.
    pub lacks: Vec<Lack>,
    pub took: Vec<(&'static str, Duration)>,
}

/// Held while one is made.
pub const LOCK: &str = "backup.lock";

/// Never two at the same time: each needs the room of the database once more. Refuses with the holder.
pub fn lock(installation: &Installation) -> Result<Lock, Failure> {
    crate::installation::private_folder(&installation.layout.state)?;
    Lock::take_for(&installation.layout.state, LOCK, "backup create", "a backup is being made")
}

/// Makes a backup of the private cluster, which runs, and of everything beside it. `release`: the one that runs on it.
pub fn create(
    installation: &Installation,
    cluster: &Cluster,
    release: &Installed,
    options: Options<'_>,
    progress: &dyn Progress,
) -> Result<Made, Failure> {
    let _lock = lock(installation)?;
    let state = &installation.layout.state;
    refuse_meanwhile(state)?;
    base::check(cluster)?;
    dumps::check(&cluster.binaries.client)?;
    let sizes = Sizes::of(installation, cluster, release)?;
    sizes.check(state, options.to.folder())?;
    options.to.try_out(&release.version)?;
    if room::same_disk(options.to.folder(), &cluster.data()) {
        progress.note(&format!(
            "the backup goes to the disk that the data are on, and a broken disk takes both: put it on another one with `--to` or \
             `backup.directory` (now {})",
            options.to.folder().display()
        ));
    }
    let staging = Staging::new(state, "backup")?;
    let mut clock = Clock::new();

    let copy = staging.path().join("cluster");
    base::copy(cluster, &copy, sizes.cluster, progress)?;
    clock.took("copy");
    refuse_meanwhile(state)?;
    point("backup-copied");
    let copied = files::size(&copy);

    let mut manifest = parts::manifest(installation, cluster, release, &options, sizes.unpacked(copied))?;
    for table in unlogged::tables(&|database, statement| cluster.admin(database, statement))? {
        let what = format!("the rows of {table}: it is an unlogged table, of which PostgreSQL keeps no log");
        manifest.cannot_keep.push(what);
    }
    manifest.unlogged = unlogged::sequences(&|database, statement| cluster.admin(database, statement))?;
    manifest.cannot_keep.extend(manifest.unlogged.iter().map(Sequence::missing));
    for database in checks::closed(&|database, statement| cluster.admin(database, statement))? {
        let what = "a portable copy and the checks of the database";
        let why = "it is closed to connections; the cluster's copy holds it";
        manifest.cannot_keep.push(format!("{what} {database}: {why}"));
    }
    manifest.tell_what_is_missing(progress);
    let target = Opened::new(options.to, &place::stem(&release.version, &manifest.created))?;
    let level = installation.config.integer("backup.compression-level").unwrap_or(3);
    let mut writer = Writer::new(target.file()?, i32::try_from(level).unwrap_or(3))?;
    writer.bytes("manifest.json", 0o600, &manifest.to_bytes()?)?;
    progress.start("Packing the backup");
    // Both only read the copy, and its files are in memory for both.
    let verified = std::thread::scope(|scope| {
        let verified = scope.spawn(|| base::verify(&cluster.binaries, &copy));
        let packed = writer
            .tree("cluster", &copy, progress)
            .and_then(|()| parts::pack(&mut writer, installation, release, progress));
        let verified =
            verified.join().unwrap_or_else(|_| Err(Failure::new("the check of the copy has panicked")));
        // What is wrong with the copy tells more than what that did to the packing.
        verified.and_then(|verified| packed.map(|()| verified))
    })?;
    match &verified {
        Verified::Yes => progress.done("Verified the copy by pg_verifybackup"),
        Verified::NotRun(why) => progress.note(&format!("the copy was not compared with its digests: {why}")),
    }
    clock.took("pack");
    point("backup-packed");

    progress.start("Restoring the copy for a look");
    let limit = installation.config.duration("database.start-timeout").unwrap_or(Duration::from_secs(300));
    let above = staging::above(state);
    let server = Scratch::start(&cluster.binaries, &copy, &above, Durability::ThrownAway, limit)?;
    // As in a restore: what is counted, and dumped, is what that gives.
    unlogged::set(&server, &manifest.unlogged)?;
    let (tables, made) = look(&server, staging.path(), &mut writer, &sizes, progress)?;
    drop(server);
    clock.took("restore");
    point("backup-restored");

    let rows = tables.iter().map(|table| table.rows).sum();
    progress.done(&format!("Restored the copy: {} tables, {rows} rows", tables.len()));
    let databases = made.len();
    let tables_count = tables.len();
    let checks = Checks { tables, dumps: made, made: moment::text(SystemTime::now()) };
    writer.bytes("checks.json", 0o600, &checks.to_json()?)?;
    let Sealed { digest, bytes } = writer.finish()?;
    point("backup-sealed");
    let path = target.place()?;
    clock.took("seal");
    point("backup-placed");
    remember(state, &digest, &path, &manifest)?;
    progress.done(&format!("Packed {} ({})", path.display(), size(bytes)));
    Ok(Made {
        path,
        digest,
        bytes,
        created: manifest.created.clone(),
        copied,
        databases,
        tables: tables_count,
        rows,
        verified,
        lacks: manifest.lacks,
        took: clock.took,
    })
}

/// In the middle of an upgrade the data are not those of the release whose name the archive would have.
pub(super) fn refuse_meanwhile(state: &Path) -> Result<(), Failure> {
    match Journal::read(state)? {
        None => Ok(()),
        Some(journal) => Err(Failure::new(format!("{} is under way", journal.kind.phrase()))
            .exit(Exit::Refused)
            .help("wait until it is done, then run the same command again: `mathesar status`")),
    }
}

/// So that it is listed wherever it lies.
pub(super) fn remember(state: &Path, digest: &str, path: &Path, manifest: &Manifest) -> Result<(), Failure> {
    catalog::remember(state, digest, Known { made_here: true, ..Known::new(path, None, manifest) })
}

/// In an archive: roles, and what belongs to no database.
pub const GLOBALS: &str = "portable/globals.sql";

/// Counts every table, and dumps and packs every database meanwhile: one at a time, so that only one of them needs room.
fn look(
    server: &Scratch,
    staging: &Path,
    writer: &mut Writer,
    sizes: &Sizes,
    progress: &dyn Progress,
) -> Result<(Vec<checks::Table>, Vec<Dump>), Failure> {
    let to = staging.join("dump");
    std::thread::scope(|scope| {
        let tables = scope.spawn(|| checks::tables(server));
        let mut dumped = || {
            let mut made = Vec::new();
            for (number, database) in checks::databases(server)?.into_iter().enumerate() {
                progress.start(&format!("Making a portable copy of {database}"));
                let file = format!("portable/{}.dump", number + 1);
                dumps::dump(server, &database, &to, sizes.of_database(&database) * 2 + LOG)?;
                writer.file(&file, &to)?;
                files::remove_tree(&to)?;
                made.push(Dump { file, database });
            }
            dumps::globals(server, &to)?;
            writer.file(GLOBALS, &to).map(|()| made)
        };
        let dumped = dumped();
        let tables = tables.join().unwrap_or_else(|_| Err(Failure::new("the counting of rows has panicked")));
        Ok((tables?, dumped?))
    })
}

/// How long each part took.
pub(super) struct Clock {
    since: Instant,
    pub took: Vec<(&'static str, Duration)>,
}

impl Clock {
    pub fn new() -> Clock {
        Clock { since: Instant::now(), took: Vec::new() }
    }

    pub fn took(&mut self, what: &'static str) {
        self.took.push((what, self.since.elapsed()));
        self.since = Instant::now();
    }
}

/// The archive's file while it is written.
pub(super) enum Opened<'a> {
    Own(Unfinished),
    Handed { file: File, path: &'a Path },
}

impl<'a> Opened<'a> {
    pub fn new(target: Target<'a>, stem: &str) -> Result<Opened<'a>, Failure> {
        Ok(match target {
            Target::Folder(folder) => Opened::Own(Unfinished::new(folder, stem)?),
            Target::Handed { file, path } => Opened::Handed { file, path },
        })
    }

    pub fn file(&self) -> Result<File, Failure> {
        match self {
            Opened::Own(unfinished) => unfinished.file(),
            Opened::Handed { file, path } => {
                file.try_clone().map_err(|cause| Failure::io("write", path, cause))
            }
        }
    }

    pub fn place(self) -> Result<PathBuf, Failure> {
        match self {
            Opened::Own(unfinished) => unfinished.place(),
            Opened::Handed { path, .. } => Ok(path.to_owned()),
        }
    }
}

/// What is there, in bytes.
struct Sizes {
    /// Without its log, most of which is kept to be used again.
    cluster: u64,
    databases: Vec<(String, u64)>,
    beside: u64,
}

impl Sizes {
    fn of(installation: &Installation, cluster: &Cluster, release: &Installed) -> Result<Sizes, Failure> {
        let beside = files::size(&installation.media()) + files::size(&release.path.join("tree"));
        let data = cluster.data();
        let log = files::size(&data.join("pg_wal"));
        let cluster_bytes = files::size(&data).saturating_sub(log) + LOG;
        Ok(Sizes { cluster: cluster_bytes, databases: cluster.database_sizes()?, beside })
    }

    fn of_database(&self, name: &str) -> u64 {
        self.databases.iter().find(|(known, _)| known == name).map_or(0, |(_, bytes)| *bytes)
    }

    /// About: the copy, and the dumps, which as text are about as large as what they hold.
    fn unpacked(&self, copy: u64) -> u64 {
        copy + self.beside + self.databases.iter().map(|(_, bytes)| bytes).sum::<u64>() + LOG
    }

    /// Tables and text pack well, files that people upload do not.
    fn check(&self, state: &Path, target: &Path) -> Result<(), Failure> {
        let dump = self.databases.iter().map(|(_, bytes)| *bytes).max().unwrap_or(0);
        room::check(&[
            Need {
                folder: &staging::above(state),
                bytes: self.cluster + dump,
                what: "a copy of the database",
            },
            Need { folder: target, bytes: self.cluster / 3 + self.beside, what: "the archive" },
        ])
    }
}

/// The cluster that a backup can be made of; refused where there is none.
pub fn existing(installation: &Installation) -> Result<Installed, Failure> {
    let nothing = |what: &str| {
        Failure::new(format!("there is nothing to back up yet: {what}"))
            .exit(Exit::Refused)
            .help("start it first: `mathesar start`")
    };
    if !installation.is_external()
        && crate::database::existing_major(&installation.database_folder())?.is_none()
    {
        return Err(nothing("no database was made"));
    }
    installation.store().current()?.ok_or_else(|| nothing("no release of Mathesar is the current one"))
}

impl Checks {
    pub fn to_json(&self) -> Result<Vec<u8>, Failure> {
        serde_json::to_vec(self).map_err(|cause| Failure::new("cannot write checks.json").cause(cause))
    }
}
