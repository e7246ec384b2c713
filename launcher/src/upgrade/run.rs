//! The steps of the transaction, one after another, and the way back from any of them.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::script::{self, Database, Request, Sql};
use super::written::Written;
use super::{Done, Serving, health, preflight, releases};
use crate::app::files;
use crate::app::store::Installed;
use crate::control::Lock;
use crate::database::Cluster;
use crate::failure::Failure;
use crate::server::Gunicorn;
use crate::steps::{Step, Watcher, World, stage};
use crate::supervise::Cancel;
use crate::supervise::log::Sink;
use crate::terminal::time;
use crate::transaction::{
    self, Journal, Kind, Part, Pending, Stage, Unfinished, copy, movable, point,
    uploads::{self, Seen},
};
use crate::web_settings::gunicorn;

/// One upgrade, to a release that is installed completely.
pub struct Run<'a> {
    /// Its release is the present one, its PostgreSQL the one that serves.
    pub world: &'a World,
    pub target: Installed,
    /// The release that is held afterwards, where it came from a file.
    pub hold: Option<String>,
    pub serving: &'a dyn Serving,
    pub watcher: &'a dyn Watcher,
    pub sink: Arc<dyn Sink>,
    pub cancel: Cancel,
}

impl Run<'_> {
    pub fn run(&self) -> Result<Done, Failure> {
        let state = &self.world.installation.layout.state;
        let from = self.world.release()?;
        let cluster = self.world.cluster();
        let settings = stage(self.watcher, Step::Check, |progress| {
            preflight::jump(&from.version, &self.target.version)?;
            preflight::no_backup(state)?;
            // An upgrade's own settings count as they are now, however long ago the launcher was started.
            let settings = self.world.installation.again()?;
            // With another key than the data's own no release could read the stored passwords: told while the old one serves.
            settings.secret_key()?;
            preflight::room(&self.world.installation, progress)?;
            cluster.iter().for_each(|cluster| preflight::tell_of_others(cluster, progress));
            Ok(settings)
        })?;
        let config = &settings.config;
        let limit = |name: &str, otherwise| config.duration(name).unwrap_or(Duration::from_secs(otherwise));
        let mut parts: Vec<Part> = cluster.iter().map(|_| Part::Database).collect();
        if self.own_media().is_some() {
            parts.push(Part::Media);
        }
        transaction::sweep(state, &parts, !Lock::is_held(state, transaction::RESTORING));
        let mut journal =
            Journal::new(state, Kind::Upgrade, Some(from.id.clone()), self.target.id.clone(), parts);
        journal.hold = self.hold.clone();
        journal.write(state)?;
        point("open");
        let (mut held, mut changed) = (None, false);
        let result = self.forward(&mut journal, cluster.as_ref(), &mut held, &mut changed, &limit);
        let databases = match result {
            Ok(databases) => databases,
            Err(why) => {
                return Err(self.back(&journal, &from, cluster.as_ref(), held, changed, why));
            }
        };
        point("committed");
        self.world.postgres.open_or_end();
        let tidied = transaction::finish(state, &journal).and_then(|()| {
            point("finished");
            transaction::record(state, &journal, "done", None);
            remember_unfinished(state, &databases)
        });
        if let Err(failure) = tidied {
            // It counts already, and visitors wait: the next start goes on with it.
            self.sink
                .line("launcher", &format!("the upgrade is done, but not tidied up: {}", failure.whole()));
        }
        stage(self.watcher, Step::Server, |_| self.serving.resume())?;
        let downtime = held.map(|since| since.elapsed());
        releases::tidy(&settings, &self.target, &*self.sink);
        Ok(Done { downtime, databases })
    }

    /// Up to the commit.
    fn forward(
        &self,
        journal: &mut Journal,
        cluster: Option<&Cluster>,
        held: &mut Option<Instant>,
        changed: &mut bool,
        limit: &dyn Fn(&str, u64) -> Duration,
    ) -> Result<Vec<Database>, Failure> {
        let state = &self.world.installation.layout.state;
        let side = Part::Database.side(state, &journal.id);
        let (data, copy, old) = (Part::Database.live(state), side.join("copy"), side.join("old"));
        let seen = match cluster {
            Some(_) => Some(stage(self.watcher, Step::Copy, |progress| {
                copy::begin(&data, &copy, &self.cancel, progress).map(|(seen, _)| seen)
            })?),
            None => None,
        };
        point("copied");
        if let Some(cluster) = cluster {
            // What is written now need not be written while nobody is served; where it cannot, the end takes longer.
            let _ = cluster.admin("postgres", "CHECKPOINT;");
        }
        *held = Some(Instant::now());
        stage(self.watcher, Step::Hold, |_| self.serving.hold())?;
        point("held");
        let media = self.own_media();
        journal.uploads = Seen::of(&self.world.installation.media());
        journal.write(state)?;
        if seen.is_some() || media.is_some() {
            if seen.is_some() {
                // Where nobody serves, the walk's own server runs, or one of `mathesar db start`.
                self.world.postgres.close();
            }
            stage(self.watcher, Step::Exact, |progress| {
                if let Some(seen) = &seen {
                    transaction::end_server(state, progress)?;
                    copy::complete(&data, &copy, seen, &self.cancel, progress)?;
                }
                if let Some(media) = &media {
                    let side = Part::Media.side(state, &journal.id);
                    uploads::keep(media, &side.join("copy"))?;
                    files::rename(&side.join("copy"), &side.join("old"))?;
                }
                // From here on there is a way back.
                if seen.is_some() { files::rename(&copy, &old) } else { Ok(()) }
            })?;
        }
        point("exact");
        self.cancel.check()?;
        *changed = true;
        if let Some(cluster) = cluster {
            self.world.postgres.bring_up(cluster)?;
        } else {
            journal.others = true;
            journal.write(state)?;
        }
        let target = World::like(self.world.installation.again()?, self.world)?;
        target.change_release(self.target.clone());
        let variables = target.variables()?;
        let own_host = cluster.map(|cluster| cluster.socket.to_string_lossy().into_owned());
        let everything = limit("upgrade.migrate-timeout", 3600);
        let migrate = Request { migrate: true, sql: Sql::None, write: false, own_host };
        let run = |request: &Request| {
            stage(self.watcher, if request.migrate { Step::Migrate } else { Step::Sql }, |progress| {
                script::run(&self.target, &variables, request, everything, &self.cancel, &self.sink, progress)
            })
        };
        run(&migrate)?;
        point("migrated");
        if cluster.is_some_and(preflight::has_others) {
            // Other servers' databases are no part of the copy: whoever goes back puts their SQL back.
            journal.others = true;
            journal.write(state)?;
        }
        let databases = run(&Request { migrate: false, sql: Sql::All, write: true, ..migrate })?.databases;
        if let Some(broken) = databases.iter().find(|one| one.own && one.broken) {
            return Err(Failure::new(format!(
                "the SQL of Mathesar {} failed in database {}",
                self.target.version, broken.name
            ))
            .cause(broken.why.clone().unwrap_or_default()));
        }
        point("sql");
        stage(self.watcher, Step::Health, |progress| {
            let version = &self.target.version;
            progress.start(&format!("Waiting for Mathesar {version} to answer, before anybody is let in"));
            let settings: Gunicorn = gunicorn(&target)?;
            health::page(settings, limit("upgrade.health-timeout", 120), &self.cancel, &self.sink)
        })?;
        target.remember_tables(&self.target.id)?;
        point("healthy");
        self.cancel.check()?;
        stage(self.watcher, Step::Commit, |_| {
            journal.stage = Stage::Committed;
            // What people upload from here on stays, also where the data go back by a later `rollback`.
            journal.parts.retain(|part| *part != Part::Media);
            journal.xid = target.next_transaction();
            journal.written =
                cluster.and_then(|cluster| Written::of(cluster, None).ok()).map(|now| now.to_json());
            journal.others = false;
            journal.write(state)?;
            self.world.change_release(self.target.clone());
            Ok(())
        })?;
        Ok(databases)
    }

    /// Uploaded files that can be exchanged as a whole. Elsewhere, in a folder that somebody has named, nothing is ever replaced.
    fn own_media(&self) -> Option<PathBuf> {
        let installation = &self.world.installation;
        let media = installation.media();
        let own = media == Part::Media.live(&installation.layout.state) && media.is_dir();
        (own && movable(&media).is_ok()).then_some(media)
    }

    /// Everything as it was; the failure, with what became of it.
    fn back(
        &self,
        journal: &Journal,
        from: &Installed,
        cluster: Option<&Cluster>,
        held_since: Option<Instant>,
        changed: bool,
        why: Failure,
    ) -> Failure {
        let state = &self.world.installation.layout.state;
        let version = &self.target.version;
        let held = held_since.is_some();
        let stopped = self.cancel.cancelled();
        let why = self.cancel.or(why);
        self.sink.line("launcher", &format!("the upgrade to Mathesar {version} failed: {}", why.whole()));
        let undone = stage(self.watcher, Step::Undo, |progress| {
            if held {
                self.world.postgres.pause();
            }
            self.world.postgres.open()?;
            point("undo");
            transaction::undo(state, journal)?;
            point("undone");
            self.world.change_release(crate::app::store::Installed { current: true, ..from.clone() });
            if changed && journal.others {
                if let Some(cluster) = cluster {
                    self.world.postgres.bring_up(cluster)?;
                }
                let silent = Cancel::default();
                put_back_others(self.world, cluster, &silent, &self.sink, progress);
            }
            Ok(())
        });
        let lost = undone.as_ref().ok().and_then(|()| uploads::changed(state, journal));
        if let Some(lost) = &lost {
            self.sink.line("launcher", lost);
        }
        let recorded = transaction::join(&why.whole(), lost.as_deref());
        transaction::record(state, journal, "taken back", Some(&recorded));
        if let Err(undone) = undone {
            return Failure::new(format!(
                "the upgrade to Mathesar {version} failed, and could not be taken back completely"
            ))
            .cause(format!("{}; {}", why.whole(), undone.whole()))
            .help("the next start goes on taking it back: `mathesar stop`, then `mathesar start`");
        }
        let resumed = match held && !stopped {
            true => stage(self.watcher, Step::Server, |_| self.serving.resume()),
            false => Ok(()),
        };
        let served = self.serving.is_somebody();
        let goes_on = if served { "goes on" } else { "is as it was" };
        let text = match (&resumed, held && changed) {
            (Err(resumed), _) => {
                format!("Mathesar {} does not come back by itself: {}", from.version, resumed.whole())
            }
            (Ok(()), false) => format!("Mathesar {} {goes_on}; nothing was changed", from.version),
            (Ok(()), true) if cluster.is_none() => format!(
                "Mathesar {} is back with its SQL; the tables on your own server are as the migrations have left them",
                from.version
            ),
            (Ok(()), true) => format!(
                "application and data are those of Mathesar {} again, as they were when serving stopped{}",
                from.version,
                if lost.is_some() { "" } else { "; nothing is lost" }
            ),
        };
        let mut text = transaction::join(&text, lost.as_deref());
        if let Some(since) = held_since.filter(|_| served && !stopped && resumed.is_ok()) {
            text.push_str(&format!("; nobody was served for {}", time(since.elapsed())));
        }
        let failure =
            Failure::new(format!("the upgrade to Mathesar {version} failed: {}", why.whole())).help(text);
        match why.helps() {
            [] if stopped => failure,
            [] => failure.help("what happened: `mathesar logs`"),
            helps => helps.iter().fold(failure, |failure, help| failure.help(help.clone())),
        }
    }
}

/// The present release's SQL for databases on other servers; those that do not get it are remembered.
fn put_back_others(
    world: &World,
    cluster: Option<&Cluster>,
    cancel: &Cancel,
    sink: &Arc<dyn Sink>,
    progress: &dyn crate::progress::Progress,
) {
    let sql = if cluster.is_some() { Sql::Others } else { Sql::All };
    if let Err(failure) = finish_sql(world, sql, cancel, sink, progress) {
        sink.line("launcher", &failure.whole());
    }
}

/// Gives connected databases the SQL of the release that is current, the database running. Those that did not get it.
pub fn finish_sql(
    world: &World,
    sql: Sql,
    cancel: &Cancel,
    sink: &Arc<dyn Sink>,
    progress: &dyn crate::progress::Progress,
) -> Result<Vec<Database>, Failure> {
    /// Each database has a limit of its own.
    const LIMIT: Duration = Duration::from_secs(3600);
    let own_host = world.cluster().map(|cluster| cluster.socket.to_string_lossy().into_owned());
    let request = Request { migrate: false, sql, write: false, own_host };
    let release = world.release()?;
    let answer = script::run(&release, &world.variables()?, &request, LIMIT, cancel, sink, progress)?;
    remember_unfinished(&world.installation.layout.state, &answer.databases)?;
    Ok(answer.databases)
}

/// For `status` and `upgrade --finish`: those that did not get the SQL, and nothing else.
fn remember_unfinished(state: &Path, databases: &[Database]) -> Result<(), Failure> {
    let unfinished = |one: &Database| {
        let (database, host) = (one.name.clone(), one.host.clone());
        one.why.clone().map(|why| Unfinished { database, host, why })
    };
    Pending { databases: databases.iter().filter_map(unfinished).collect(), others: false }.write(state)
}
