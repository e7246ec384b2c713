//! For commands that walk a part of the graph in their own process, or beside a running launcher.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::{Context, PATIENCE};
use crate::control::client::Answer;
use crate::control::{self, Lock};
use crate::database::Postgres;
use crate::failure::{Exit, Failure};
use crate::installation::{Installation, private_folder};
use crate::layout::{Layout, Scope};
use crate::steps::{self, Step, World};
use crate::supervise::Request;
use crate::supervise::log::{Rotated, Sink, Stderr};
use crate::terminal::{Terminal, note};
use crate::transaction::Journal;

/// A walk's end: the world as it was found, and what has to end when it is dropped.
pub(crate) struct Walked {
    pub world: World,
    /// Steps that were not true before.
    pub changed: BTreeSet<Step>,
    _lock: Option<Lock>,
}

impl Drop for Walked {
    fn drop(&mut self) {
        // Only what this process has started.
        self.world.postgres.bring_down();
    }
}

/// Walks these steps, showing them. The database runs until the result is dropped; a running launcher's is used as it is.
pub(crate) fn walk(context: &Context, verb: &str, steps: &[Step]) -> Result<Walked, Failure> {
    walk_as(context, verb, steps, false)
}

/// `for_admin`: the walk is there to make the first administrator, so nobody needs to exist before.
pub(crate) fn walk_as(
    context: &Context,
    verb: &str,
    steps: &[Step],
    for_admin: bool,
) -> Result<Walked, Failure> {
    walk_with(context.installation(false)?, verb, steps, |world| world.for_admin = for_admin)
}

/// With settings of the caller's, and a world that it has prepared.
pub(crate) fn walk_with(
    mut installation: Installation,
    verb: &str,
    steps: &[Step],
    prepare: impl FnOnce(&mut World),
) -> Result<Walked, Failure> {
    private_folder(&installation.layout.state)?;
    let running = answer(&installation).is_some();
    let lock = match running {
        true => None,
        false => {
            let lock = Lock::take(&installation.layout.state, verb)?;
            if let Some(recovered) = crate::transaction::recover(&installation.layout.state)? {
                note(&recovered.text);
                if recovered.journal.settings.is_some() {
                    // They came with it.
                    installation = installation.again()?;
                }
            }
            Some(lock)
        }
    };
    let timeout = installation.config.duration("database.start-timeout").unwrap_or(Duration::from_secs(300));
    let postgres = Postgres::new(sink(&installation)?, timeout);
    let attached = running || runs_alone(&installation);
    let mut world = World::new(installation, postgres, attached);
    prepare(&mut world);
    let mut walked = Walked { world, changed: BTreeSet::new(), _lock: lock };
    let terminal = Terminal::new();
    let changed = Mutex::new(BTreeSet::new());
    let result = steps::walk(steps, &terminal, &|step, progress| {
        let did = walked.world.work(step, progress)?;
        if did {
            changed.lock().unwrap_or_else(PoisonError::into_inner).insert(step);
        }
        Ok(did)
    });
    if result.is_err() {
        walked.world.keep_finished();
    }
    terminal.end();
    walked.changed = changed.into_inner().unwrap_or_else(PoisonError::into_inner);
    result.map(|_| walked)
}

/// What a killed launcher has left of a transaction is taken back, or finished, before anything here is believed: which release is the
/// current one, and what is kept. A launcher that runs has done so.
pub(super) fn settled(installation: Installation, verb: &str) -> Result<Installation, Failure> {
    let state = &installation.layout.state;
    if Journal::read(state)?.is_none() || answer(&installation).is_some() {
        return Ok(installation);
    }
    let _lock = Lock::take(state, verb)?;
    match crate::transaction::recover(state)? {
        Some(recovered) => {
            note(&recovered.text);
            installation.again()
        }
        None => Ok(installation),
    }
}

/// The transaction that somebody is at now; none: there is none, or one that was interrupted.
pub(super) fn under_way(state: &Path) -> Result<Option<Journal>, Failure> {
    Ok(Journal::read(state)?.filter(|_| Lock::holder(state).is_some()))
}

/// Whoever would come in between waits until it is done.
pub(super) fn refuse_under_way(layout: &Layout) -> Result<(), Failure> {
    /// A process that was killed gives its lock back a moment later.
    const TO_GO: Duration = Duration::from_secs(2);
    let begun = Instant::now();
    let mut found = under_way(&layout.state)?;
    while found.is_some()
        && begun.elapsed() < TO_GO
        && control::ask_here(layout, Request::Status, PATIENCE).is_err()
    {
        std::thread::sleep(Duration::from_millis(50));
        found = under_way(&layout.state)?;
    }
    match found {
        None => Ok(()),
        Some(journal) => Err(Failure::new(format!("{} is under way", journal.words()))
            .exit(Exit::Refused)
            .help("see how far it is: `mathesar status`, `mathesar logs -f`")
            .help("take it back, and stop: `mathesar stop`")),
    }
}

/// What a launcher that runs says of itself.
pub(super) fn answer(installation: &Installation) -> Option<Answer> {
    control::ask_here(&installation.layout, Request::Status, PATIENCE).ok()
}

/// A server of `mathesar db start`, with no launcher: used as it is, and left running.
fn runs_alone(installation: &Installation) -> bool {
    // Looking for its programs costs processes.
    installation.database_folder().join("data/postmaster.pid").exists()
        && installation.existing_cluster().is_ok_and(|cluster| {
            cluster.is_some_and(|cluster| cluster.leftover().is_some() && cluster.is_ready())
        })
}

/// PostgreSQL's words: to the log file, or where there is none to standard error.
pub(super) fn sink(installation: &Installation) -> Result<Arc<dyn Sink>, Failure> {
    match (installation.layout.scope, installation.log_file()) {
        (Scope::User | Scope::Home, Some(path)) => {
            installation.words_folder()?;
            Ok(Arc::new(Rotated::open(&path, 10_000_000, 5)?))
        }
        _ => Ok(Arc::new(Stderr)),
    }
}
