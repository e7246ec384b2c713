//! `mathesar stop`

use std::time::Duration;

use super::{Context, verb};
use crate::control;
use crate::failure::{Exit, Failure};
use crate::service_manager::Manager;
use crate::supervise::Request;

/// Stop Mathesar and its database in good order
///
/// Requests that are being answered are finished first (`server.stop-timeout`), then PostgreSQL writes everything out.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

/// Longer than PostgreSQL's and gunicorn's own limits together.
pub(super) const LONGEST: Duration = Duration::from_secs(330);

pub(crate) fn run(_: &Args, context: &Context) -> anyhow::Result<()> {
    match stop(context)? {
        true => verb("Stopped", "Mathesar and its database"),
        false => {
            verb("Unchanged", "Mathesar does not run");
            if context.layout.state.join("database/data/postmaster.pid").exists() {
                super::note("its database may run alone: `mathesar db status`");
            }
        }
    }
    Ok(())
}

/// True: it ran.
pub(super) fn stop(context: &Context) -> Result<bool, Failure> {
    let manager = Manager::of(&context.layout, &context.environment);
    if manager.is_active() {
        manager.stop()?;
        return Ok(true);
    }
    let socket = context.layout.run.join("control.sock");
    let answer = match control::ask(&socket, Request::Stop, super::PATIENCE) {
        Ok(answer) => answer,
        Err(failure) if failure.exit == Exit::NotRunning => return leftover(context),
        Err(failure) => return Err(failure),
    };
    if !answer.wait_for_end(LONGEST) {
        return Err(Failure::new("Mathesar still runs").help("see what it does: `mathesar logs`"));
    }
    Ok(true)
}

/// Nobody answers: a launcher that was killed may have left its database, or hangs.
fn leftover(context: &Context) -> Result<bool, Failure> {
    if let Some(holder) = control::Lock::holder(&context.layout.state) {
        return Err(Failure::new(format!(
            "`mathesar {}` (pid {}) is at work and does not answer",
            holder.verb, holder.pid
        ))
        .help(format!("end it: `kill {}`", holder.pid)));
    }
    Ok(false)
}
