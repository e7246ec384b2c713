//! For commands that walk a part of the graph in their own process, or beside a running launcher.

use std::sync::Arc;
use std::time::Duration;

use super::{Context, PATIENCE};
use crate::control::{self, Lock};
use crate::database::Postgres;
use crate::failure::Failure;
use crate::installation::{Installation, private_folder};
use crate::layout::Scope;
use crate::steps::{self, Step, World};
use crate::supervise::Request;
use crate::supervise::log::{Rotated, Sink, Stderr};
use crate::terminal::Terminal;

/// A walk's end: the world as it was found, and what has to end when it is dropped.
pub(crate) struct Walked {
    pub world: World,
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
    let installation = context.installation(false)?;
    private_folder(&installation.layout.state)?;
    let running = control::ask(&installation.control_socket(), Request::Status, PATIENCE).is_ok();
    let lock = match running {
        true => None,
        false => Some(Lock::take(&installation.layout.state, verb)?),
    };
    let timeout = installation.config.duration("database.start-timeout").unwrap_or(Duration::from_secs(300));
    let postgres = Postgres::new(sink(&installation)?, timeout);
    let mut world = World::new(installation, postgres, running);
    world.for_admin = for_admin;
    let walked = Walked { world, _lock: lock };
    let terminal = Terminal::new();
    let result = steps::walk(steps, &terminal, &|step, progress| walked.world.work(step, progress));
    terminal.end();
    result.map(|_| walked)
}

/// PostgreSQL's words: to the log file, or where there is none to standard error.
fn sink(installation: &Installation) -> Result<Arc<dyn Sink>, Failure> {
    match (installation.layout.scope, installation.log_file()) {
        (Scope::User | Scope::Home, Some(path)) => {
            path.parent().map(private_folder).transpose()?;
            Ok(Arc::new(Rotated::open(&path, 10_000_000, 5)?))
        }
        _ => Ok(Arc::new(Stderr)),
    }
}
