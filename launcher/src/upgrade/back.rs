//! The way back to before the last upgrade, by the copy that it has left: a transaction of its own, which can fail and be taken
//! back as an upgrade can.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::script::{self, Request, Sql};
use super::written::Written;
use super::{Done, Serving, health, preflight, refusal};
use crate::app::store::Installed;
use crate::backup::checks::{self, Judgement, Table};
use crate::database::{Cluster, Durability, Scratch};
use crate::failure::{Exit, Failure};
use crate::progress::{Progress, Silent};
use crate::steps::{Step, Watcher, World, stage};
use crate::supervise::Cancel;
use crate::supervise::log::Sink;
use crate::transaction::{self, Journal, Kept, Kind, Part, Stage, nothing_kept, point, swap_in};
use crate::web_settings::gunicorn;

/// One rollback.
pub struct Back<'a> {
    pub world: &'a World,
    pub serving: &'a dyn Serving,
    pub watcher: &'a dyn Watcher,
    pub sink: Arc<dyn Sink>,
    pub cancel: Cancel,
    /// Also where somebody has written since.
    pub discard: bool,
}

/// What there is to go back to: the copy, and its release.
pub fn kept(world: &World) -> Result<(Kept, Installed), Failure> {
    let kept = Kept::find(&world.installation.layout.state).ok_or_else(nothing_kept)?;
    let id = kept.release.clone().ok_or_else(nothing_kept)?;
    let release = world.installation.store().find(&id).map_err(|failure| {
        failure.help(format!(
            "its data are there; put its tarball back: `mathesar app install --from FILE` (of {id})"
        ))
    })?;
    Ok((kept, release))
}

/// What was written since the copy was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Since {
    Nothing,
    /// So many rows of people's tables; none: only definitions.
    Rows(u64),
    /// PostgreSQL has counted anew since, after a crash for example, or nobody had looked then: why, and how many transactions were
    /// begun, where that is known.
    Unknown {
        why: String,
        transactions: Option<u64>,
    },
}

impl Since {
    /// The tables are compared after the rows were counted, and somebody may have written on.
    pub fn at_least(self, rows: u64) -> Since {
        match self {
            Since::Rows(counted) => Since::Rows(counted.max(rows)),
            other => other,
        }
    }
}

/// The database runs.
pub fn since(world: &World, cluster: &Cluster, kept: &Kept) -> Since {
    let next = world.next_transaction();
    if kept.xid.is_some() && kept.xid == next && !kept.parts.contains(&Part::Media) {
        return Since::Nothing;
    }
    let unknown = |why: &str| Since::Unknown {
        why: why.to_owned(),
        transactions: next.zip(kept.xid).and_then(|(now, then)| now.checked_sub(then)),
    };
    let Some(then) = kept.written.as_ref().and_then(Written::from_json) else {
        return unknown("what had been written by then was not counted");
    };
    let media = kept.parts.contains(&Part::Media).then(|| world.installation.media());
    match Written::of(cluster, media.as_deref()) {
        Ok(now) if now == then => Since::Nothing,
        Ok(now) => now.rows_since(&then).map_or_else(|| unknown(COUNTED_ANEW), Since::Rows),
        Err(failure) => unknown(&failure.whole()),
    }
}

const COUNTED_ANEW: &str = "PostgreSQL has crashed since, or its counts were reset: what was written before that is in no count any more";

/// What would be lost, a line a table, and how many rows that is at least: everything that was written since. The database runs.
pub fn losses(
    world: &World,
    cluster: &Cluster,
    kept: &Kept,
    progress: &dyn Progress,
) -> Result<(Vec<String>, u64), Failure> {
    let state = &world.installation.layout.state;
    if kept.kind != Kind::Upgrade {
        // After a restore or a rollback the two are of different times, and differ without anybody's having written since.
        return Ok((Vec::new(), 0));
    }
    progress.start("Comparing the data with the copy from before the upgrade");
    let limit =
        world.installation.config.duration("database.start-timeout").unwrap_or(Duration::from_secs(300));
    let folder = Part::Database.side(state, &kept.id).join("old");
    let then = {
        let server = Scratch::start(&cluster.binaries, &folder, state, Durability::Kept, limit)?;
        let tables = checks::tables(&server)?;
        server.stop()?;
        tables
    };
    let now = checks::tables_by(&|database, statement| cluster.admin(database, statement))?;
    let internal = &cluster.settings.name;
    let (mut lines, mut rows) = (Vec::new(), 0_u64);
    for (table, how) in &checks::compare(&then, &now) {
        let Some(line) = loss(table, how, internal) else { continue };
        lines.push(line);
        if let Judgement::Rows { was, is } = how {
            rows = rows.saturating_add(is.abs_diff(*was));
        }
    }
    Ok((lines, rows))
}

/// Mathesar's own tables change by migrations, and its sessions all the time: of those only people's rows count.
const OF_NOBODY: &[&str] = &["django_session", "django_migrations", "django_content_type", "auth_permission"];

fn loss(table: &Table, how: &Judgement, internal: &str) -> Option<String> {
    let own = table.database == internal;
    // `postgres` holds the catalogs of all databases; sequences and functions of Mathesar's are no rows of anybody's.
    if table.schema == "pg_catalog" && table.table != "pg_authid" || table.schema.starts_with("msar") {
        return None;
    }
    if own && (OF_NOBODY.contains(&table.table.as_str()) || table.table.ends_with("_seq")) {
        return None;
    }
    let name = format!("{}.{}.{}", table.database, table.schema, table.table);
    match how {
        Judgement::Rows { was, is } if is > was => {
            Some(format!("{name}: {} that came since ({is} now, {was} then)", rows(is - was)))
        }
        Judgement::Rows { was, is } => {
            Some(format!("{name}: {} removed since ({is} now, {was} then)", rows(was - is)))
        }
        // Without a row more or less, a migration alone may have done it.
        Judgement::Content if own || table.table == "pg_authid" => None,
        Judgement::Content => Some(format!("{name}: rows that were changed since (of {})", rows(table.rows))),
        Judgement::Extra if own => None,
        Judgement::Extra => Some(format!("{name}: the whole table, {}", rows(table.rows))),
        Judgement::Missing if own => None,
        Judgement::Missing => Some(format!("{name}: it was removed since, and comes back")),
        Judgement::Same => None,
    }
}

fn rows(count: u64) -> String {
    if count == 1 { "1 row".to_owned() } else { format!("{count} rows") }
}

impl Back<'_> {
    pub fn run(&self) -> Result<Done, Failure> {
        let state = &self.world.installation.layout.state;
        let from = self.world.release()?;
        let (kept, target) = kept(self.world)?;
        let mut journal =
            Journal::new(state, Kind::Rollback, Some(from.id.clone()), target.id.clone(), kept.parts.clone());
        // The pinned release must not come back by itself.
        journal.hold = Some(target.id.clone());
        journal.took = Some(kept.id.clone());
        journal.write(state)?;
        point("back-open");
        let held = Instant::now();
        match self.forward(&mut journal, &kept, &target) {
            Ok(databases) => {
                point("back-committed");
                self.world.postgres.open_or_end();
                if let Err(failure) = transaction::finish(state, &journal) {
                    // It counts already, and visitors wait: the next start goes on with it.
                    let why = failure.whole();
                    self.sink.line("launcher", &format!("the way back is done, but not tidied up: {why}"));
                }
                transaction::record(state, &journal, "done", None);
                stage(self.watcher, Step::Server, |_| self.serving.resume())?;
                Ok(Done { downtime: Some(held.elapsed()), databases })
            }
            Err(why) => Err(self.undo(&journal, &from, &target, why)),
        }
    }

    fn forward(
        &self,
        journal: &mut Journal,
        kept: &Kept,
        target: &Installed,
    ) -> Result<Vec<script::Database>, Failure> {
        let state = &self.world.installation.layout.state;
        stage(self.watcher, Step::Hold, |_| self.serving.hold())?;
        if let (false, Some(cluster)) = (self.discard, self.world.cluster()) {
            // Somebody may have written since that was looked at; everybody's writes are counted now.
            self.world.postgres.close();
            transaction::end_server(state, &Silent)?;
            self.world.postgres.bring_up(&cluster)?;
            refusal::meanwhile(since(self.world, &cluster, kept))?;
        }
        self.world.postgres.close();
        stage(self.watcher, Step::Exact, |progress| {
            transaction::end_server(state, progress)?;
            transaction::take_kept(state, journal, kept)?;
            point("back-taken");
            for part in &journal.parts {
                swap_in(&part.live(state), &part.side(state, &journal.id))?;
                point("back-swapped");
            }
            Ok(())
        })?;
        // Other secrets, and perhaps another major's programs, may have come with the data.
        let installation = self.world.installation.again()?;
        let cluster = installation.existing_cluster()?.ok_or_else(|| Failure::new("there is no database"))?;
        self.world.postgres.bring_up(&cluster)?;
        if preflight::has_others(&cluster) {
            journal.others = true;
            journal.write(state)?;
        }
        let world = World::like(installation, self.world)?;
        world.change_release(target.clone());
        let own_host = Some(cluster.socket.to_string_lossy().into_owned());
        let request = Request { migrate: false, sql: Sql::Others, write: true, own_host };
        let config = &world.installation.config;
        let limit = config.duration("upgrade.migrate-timeout").unwrap_or(Duration::from_secs(3600));
        let databases = stage(self.watcher, Step::Sql, |progress| {
            script::run(target, &world.variables()?, &request, limit, &self.cancel, &self.sink, progress)
        })?
        .databases;
        stage(self.watcher, Step::Health, |_| {
            let limit = config.duration("upgrade.health-timeout").unwrap_or(Duration::from_secs(120));
            health::page(gunicorn(&world)?, limit, &self.cancel, &self.sink)
        })?;
        world.remember_tables(&target.id)?;
        point("back-healthy");
        self.cancel.check()?;
        stage(self.watcher, Step::Commit, |_| {
            journal.stage = Stage::Committed;
            journal.xid = world.next_transaction();
            let media = journal.parts.contains(&Part::Media).then(|| world.installation.media());
            journal.written = Written::of(&cluster, media.as_deref()).ok().map(|now| now.to_json());
            journal.others = false;
            journal.write(state)?;
            self.world.change_release(target.clone());
            Ok(())
        })?;
        Ok(databases)
    }

    fn undo(&self, journal: &Journal, from: &Installed, target: &Installed, why: Failure) -> Failure {
        let why = self.cancel.or(why);
        let state = &self.world.installation.layout.state;
        let undone = stage(self.watcher, Step::Undo, |_| {
            self.world.postgres.pause();
            self.world.postgres.open()?;
            transaction::undo(state, journal)?;
            self.world.change_release(from.clone());
            self.serving.resume()
        });
        transaction::record(state, journal, "taken back", Some(&why.whole()));
        // What was refused stays a refusal, with what to do about it.
        let exit = if why.exit == Exit::Refused { Exit::Refused } else { Exit::Failed };
        let failure =
            Failure::new(format!("the way back to Mathesar {} failed: {}", target.version, why.whole()));
        let failure = why.helps().iter().fold(failure.exit(exit), |failure, help| failure.help(help.clone()));
        match undone {
            Ok(()) => {
                failure.help(format!("Mathesar {} goes on with its data; nothing is lost", from.version))
            }
            Err(undone) => failure.help(format!("the next start goes on taking it back: {}", undone.whole())),
        }
        .help("what happened: `mathesar logs`")
    }
}
