//! `mathesar stop`

use std::time::Duration;

use super::{Context, note, verb};
use crate::control::{self, Lock};
use crate::cure;
use crate::database;
use crate::failure::{Exit, Failure};
use crate::server::Web;
use crate::service_manager::Manager;
use crate::serving::last;
use crate::supervise::{Outcome, Request};

/// Stop Mathesar and its database in good order
///
/// Requests that are being answered are finished first (`server.stop-timeout`), then PostgreSQL writes everything out. What runs
/// without a launcher is ended in the same way: what one left that was killed, and a database that `mathesar db start` has started.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

/// Longer than PostgreSQL's and gunicorn's own limits together.
pub(super) const LONGEST: Duration = Duration::from_secs(330);

/// How long PostgreSQL may take to write everything out, as in `run`.
const DATABASE: Duration = Duration::from_secs(240);

pub(crate) fn run(_: &Args, context: &Context) -> anyhow::Result<()> {
    // One on a server of the user's has no database of its own, nor has one that was still being prepared.
    let with_database = database::adopt(&context.layout.state.join("database/data")).is_some();
    match stop(context)? {
        true if with_database => verb("Stopped", "Mathesar and its database"),
        true => verb("Stopped", "Mathesar"),
        false => verb("Unchanged", "Mathesar does not run"),
    }
    Ok(())
}

/// True: it ran, or something of it did.
pub(super) fn stop(context: &Context) -> Result<bool, Failure> {
    let manager = Manager::of(&context.layout, &context.environment);
    if manager.is_active() {
        manager.stop()?;
        warn_of_no_record(context);
        return Ok(true);
    }
    let answer = match control::ask_here(&context.layout, Request::Stop, super::PATIENCE) {
        Ok(answer) => answer,
        Err(failure) if failure.exit == Exit::NotRunning => return leftover(context),
        Err(failure) => return Err(failure),
    };
    if !answer.wait_for_end(LONGEST) {
        return Err(Failure::new("Mathesar still runs").help("see what it does: `mathesar logs`"));
    }
    let state = &context.layout.state;
    if Lock::holder(state).is_none() && last::is_unfinished(state) {
        // It was killed, maybe, and then its children end by themselves, or not.
        leftover(context)?;
    }
    database::outlived(&state.join("database/data"))?;
    warn_of_no_record(context);
    Ok(true)
}

/// Or else `status` would speak of a launcher that was killed, and nobody would know why.
fn warn_of_no_record(context: &Context) {
    let state = &context.layout.state;
    if Lock::holder(state).is_none() && last::is_unfinished(state) {
        let path = state.join(last::LAST_RUN);
        note(format_args!(
            "it has not said how it ended: it was killed meanwhile, or could not write {}: `ls -ld {} {}`; `mathesar status` will say that it was killed",
            path.display(),
            cure::path(state),
            cure::path(&path),
        ));
    }
}

/// Nobody answers: a launcher that was killed may have left its children, or one hangs.
fn leftover(context: &Context) -> Result<bool, Failure> {
    let state = &context.layout.state;
    if let Some(holder) = Lock::holder(state) {
        return Err(match holder.serves() {
            true => control::silent(&holder).help(holder.cure(state, "kill")),
            false => control::at_work(&holder)
                .help(format!("wait until it is done, or {}", holder.cure(state, "kill"))),
        });
    }
    let data = state.join("database/data");
    if Web::leftovers(state) == 0 && database::adopt(&data).is_none() {
        return Ok(false);
    }
    crate::user::ordinary(&context.layout, &context.environment)?;
    // Held, nobody else can be about to start what is ended here.
    let _lock = Lock::take(state, "stop")?;
    let grace = context
        .installation(false)
        .ok()
        .and_then(|installation| installation.config.duration("server.stop-timeout"))
        .unwrap_or(Duration::from_secs(30));
    let ended = Web::clear_leftovers(state, grace);
    if ended > 0 {
        let processes = if ended == 1 { "process" } else { "processes" };
        verb("Ended", format_args!("a web server that ran without its launcher ({ended} {processes})"));
    }
    if let Some(mut postgres) = database::adopt(&data) {
        verb("Stopping", format_args!("PostgreSQL, which runs without its launcher (pid {})", postgres.pid));
        postgres.stop(DATABASE)?;
    }
    database::outlived(&data)?;
    // However the launcher ended: this is an end in good order.
    last::ended(state, &Outcome::Stopped);
    Ok(true)
}
