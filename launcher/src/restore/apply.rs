//! The exchange, nobody being served: as short as it can be, and taken back as a whole where any of it fails.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::{Settings, media, settings, unpacked};
use crate::app::files;
use crate::app::store::Store;
use crate::backup::manifest::Manifest;
use crate::database::{Postgres, literal};
use crate::failure::{Exit, Failure};
use crate::installation::{Installation, private_folder};
use crate::progress::Progress;
use crate::steps::{MIGRATED, Step, Wanted, Watcher, World, stage, walk};
use crate::supervise::Cancel;
use crate::supervise::log::Sink;
use crate::transaction::{self, Journal, Kind, Part, Stage, copy, point, swap_in};
use crate::upgrade::health;
use crate::upgrade::script::{self, Request, Sql};
use crate::upgrade::written::Written;
use crate::web_settings::gunicorn;

/// What came of it.
#[derive(Debug)]
pub struct Applied {
    pub manifest: Manifest,
    pub settings: Settings,
    /// Its release is held, as it is not the one that this launcher brings.
    pub held: bool,
    /// There was a database before, which is kept aside.
    pub replaced: bool,
}

/// Puts a prepared backup in place. The state lock is held, and nothing runs.
pub fn apply(
    installation: &Installation,
    id: &str,
    watcher: &dyn Watcher,
    sink: &Arc<dyn Sink>,
    cancel: &Cancel,
) -> Result<Applied, Failure> {
    let state = installation.layout.state.clone();
    let folder = unpacked(&state, id);
    let path = folder.join("manifest.json");
    let text = std::fs::read(&path).map_err(|cause| Failure::io("read", &path, cause))?;
    let manifest = Manifest::parse(&text, &path)?;
    // As it will be.
    let (there, brought) = settings::in_force(installation, &folder)?;
    let store = installation.store();
    let pinned = Store::id(&installation.pinned.version, &installation.pinned.sha256);
    let held = manifest.app.id != pinned;
    let own_media = there.media() == Part::Media.live(&state);
    let parts: Vec<Part> = Part::ALL.into_iter().filter(|part| own_media || *part != Part::Media).collect();
    let from = store.current()?.map(|release| release.id);
    let mut journal = Journal::new(&state, Kind::Restore, from, manifest.app.id.clone(), parts);
    id.clone_into(&mut journal.id);
    // Nothing replaces it by itself: whoever restores an old one wants to see it first.
    journal.hold = held.then(|| manifest.app.id.clone());
    journal.settings = (brought == Settings::InForce).then(|| installation.layout.config.clone());
    journal.write(&state)?;
    point("restore-open");
    let work = Work { installation: there, manifest: &manifest, watcher, sink, cancel };
    let tables = match work.forward(&mut journal, &folder) {
        Ok(tables) => tables,
        Err(why) => return Err(back(&state, &journal, watcher, &cancel.or(why))),
    };
    point("restore-committed");
    let finished = transaction::finish(&state, &journal).and_then(|()| match tables {
        Some(text) => files::write(&state.join(MIGRATED), text.as_bytes()),
        None => Ok(()),
    });
    transaction::record(&state, &journal, "done", None);
    finished.map_err(|failure| {
        failure.help("the backup is in place all the same, and the next start tidies up: `mathesar start`")
    })?;
    let replaced = Part::Database.side(&state, id).join("old").exists();
    Ok(Applied { manifest, settings: brought, held, replaced })
}

/// Everything as it was; the failure, with what became of it.
fn back(state: &Path, journal: &Journal, watcher: &dyn Watcher, why: &Failure) -> Failure {
    point("restore-undo");
    let undone = stage(watcher, Step::Undo, |_| transaction::undo(state, journal));
    transaction::record(state, journal, "taken back", Some(&why.whole()));
    // What was refused stays a refusal.
    let exit = if why.exit == Exit::Refused { Exit::Refused } else { Exit::Failed };
    let failure = Failure::new(format!("the backup was not restored: {}", why.whole()));
    let failure = why.helps().iter().fold(failure.exit(exit), |failure, help| failure.help(help.clone()));
    match undone {
        Ok(()) => {
            super::discard(state, &journal.id);
            failure.help("everything is as it was before; nothing is lost")
        }
        Err(undone) => failure.help(format!("the next start goes on taking it back: {}", undone.whole())),
    }
}

struct Work<'a> {
    installation: Installation,
    manifest: &'a Manifest,
    watcher: &'a dyn Watcher,
    sink: &'a Arc<dyn Sink>,
    cancel: &'a Cancel,
}

impl Work<'_> {
    /// Up to the commit; what is to be written down of its tables.
    fn forward(self, journal: &mut Journal, folder: &Path) -> Result<Option<String>, Failure> {
        let layout = self.installation.layout.clone();
        let state = &layout.state;
        stage(self.watcher, Step::Exact, |progress| {
            if !journal.parts.contains(&Part::Media) {
                media::add(&folder.join("media"), &self.installation.media(), progress)?;
            }
            for part in &journal.parts {
                let new = part.side(state, &journal.id).join("new");
                let name = if *part == Part::Database { "cluster" } else { part.name() };
                private_folder(new.parent().unwrap_or(state))?;
                match folder.join(name) {
                    from if from.is_dir() => copy::relocate(&from, &new)?,
                    // Nobody had uploaded anything.
                    _ => private_folder(&new)?,
                }
            }
            point("restore-placed");
            // Whoever ended before this began may have been killed, and its server's last processes write by the path of the data.
            transaction::end_server(state, progress)?;
            for part in &journal.parts {
                swap_in(&part.live(state), &part.side(state, &journal.id))?;
                point(&format!("restore-swapped-{}", part.name()));
            }
            Ok(())
        })?;
        for folder in [&layout.cache, &layout.run, &self.installation.media()] {
            private_folder(folder)?;
        }
        let timeout =
            self.installation.config.duration("database.start-timeout").unwrap_or(Duration::from_secs(300));
        let postgres = Postgres::new(Arc::clone(self.sink), timeout);
        postgres.close();
        let mut world = World::new(self.installation, postgres, false);
        world.for_admin = true;
        world.wanted = Wanted::Installed(self.manifest.app.id.clone());
        let proof =
            Proof { manifest: self.manifest, watcher: self.watcher, sink: self.sink, cancel: self.cancel };
        let result = proof.run(&world);
        world.postgres.bring_down();
        let proved = result?;
        point("restore-proved");
        self.cancel.check()?;
        stage(self.watcher, Step::Commit, |_| {
            let decided = Journal {
                stage: Stage::Committed,
                others: proved.others,
                xid: proved.xid,
                written: proved.written.map(|written| written.to_json()),
                ..journal.clone()
            };
            decided.write(state)?;
            *journal = decided;
            Ok(())
        })?;
        Ok(proved.tables)
    }
}

struct Proof<'a> {
    manifest: &'a Manifest,
    watcher: &'a dyn Watcher,
    sink: &'a Arc<dyn Sink>,
    cancel: &'a Cancel,
}

/// What was found out about the data.
struct Proved {
    /// Databases on other servers are connected: they may have another release's SQL.
    others: bool,
    tables: Option<String>,
    /// Where it is the same later, nobody has written since.
    xid: Option<u64>,
    written: Option<Written>,
}

impl Proof<'_> {
    /// Starts its database, tells it where it lives now, and lets the application write and read.
    fn run(&self, world: &World) -> Result<Proved, Failure> {
        // The file of settings is written at last, if at all.
        let work = |step, progress: &dyn Progress| match step {
            Step::Config => Ok(false),
            step => world.work(step, progress),
        };
        walk(&[Step::Database, Step::Static], self.watcher, &work).inspect_err(|_| world.keep_finished())?;
        point("restore-started");
        let cluster = world.cluster().ok_or_else(|| Failure::new("the backup has no cluster"))?;
        let own = cluster.socket.to_string_lossy().into_owned();
        let others = self.move_in(world, &own)?;
        let config = &world.installation.config;
        let request = Request { migrate: false, sql: Sql::None, write: true, own_host: Some(own) };
        let release = world.release()?;
        let limit = |name: &str, otherwise| config.duration(name).unwrap_or(Duration::from_secs(otherwise));
        stage(self.watcher, Step::Health, |progress| {
            let (variables, sink) = (world.variables()?, self.sink);
            script::run(
                &release,
                &variables,
                &request,
                limit("upgrade.migrate-timeout", 3600),
                self.cancel,
                sink,
                progress,
            )?;
            health::page(gunicorn(world)?, limit("upgrade.health-timeout", 120), self.cancel, sink)
        })?;
        point("restore-healthy");
        let tables = world.tables_of(&release.id);
        let media = world.installation.media();
        let replaced = media == Part::Media.live(&world.installation.layout.state);
        Ok(Proved {
            others,
            tables,
            xid: world.next_transaction(),
            written: Written::of(&cluster, replaced.then_some(&*media)).ok(),
        })
    }

    /// Mathesar has stored the path of the former socket. True: databases on other servers are connected as well.
    fn move_in(&self, world: &World, own: &str) -> Result<bool, Failure> {
        let new = literal(own);
        let old = self.manifest.socket.as_ref().map(|path| path.to_string_lossy().into_owned());
        if let Some(old) = old.filter(|old| old != own) {
            let old = literal(&old);
            // Where somebody has connected this very path before, that one stays.
            let left = world.query(&format!(
                "UPDATE mathesar_server SET host = {new} WHERE host = {old} AND NOT EXISTS (SELECT FROM mathesar_server other \
                 WHERE other.host = {new} AND other.port IS NOT DISTINCT FROM mathesar_server.port);\n\
                 SELECT count(*) FROM mathesar_server WHERE host = {old};"
            ))?;
            if left.trim() != "0" {
                self.sink.line(
                    "launcher",
                    "a server is stored both by its former and its present socket: connect its databases anew in Mathesar",
                );
            }
        }
        let others =
            world.query(&format!("SELECT EXISTS (SELECT FROM mathesar_server WHERE host <> {new});"))?;
        Ok(others.trim() == "t")
    }
}
