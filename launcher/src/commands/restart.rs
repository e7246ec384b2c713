//! `mathesar restart`

use std::time::Duration;

use super::{Context, note, verb};
use crate::control;
use crate::failure::Exit;
use crate::service_manager::Manager;
use crate::steps::refused_elsewhere;
use crate::supervise::Request;

/// Bring changed settings into force
///
/// Where the change is the web server's alone, a new one is started beside the old one and takes over: no visitor is refused. Settings of the
/// database, and the address, take a restart of everything: visitors wait for some seconds. Starts Mathesar where it does not run.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Restart everything, also where nothing asks for it
    #[arg(long)]
    everything: bool,
}

/// A gunicorn's start, and the end of the old one's requests.
const LONGEST: Duration = Duration::from_secs(300);

pub(crate) fn run(args: &Args, context: &Context) -> anyhow::Result<()> {
    let socket = context.layout.run.join("control.sock");
    if !args.everything {
        match control::ask(&socket, Request::Reload, LONGEST) {
            Ok(_) => {
                verb("Restarted", "the web server; nobody was refused");
                return Ok(());
            }
            Err(failure) if failure.exit == Exit::NotRunning => return super::start::start(context),
            Err(failure) if let Some(refusal) = refused_elsewhere(&failure) => return Err(refusal.into()),
            Err(failure) if !failure.to_string().contains("a restart of everything") => {
                return Err(failure.into());
            }
            Err(failure) => note(failure),
        }
    }
    let manager = Manager::of(&context.layout, &context.environment);
    if manager.is_active() {
        manager.restart()?;
        verb("Restarted", "Mathesar and its database");
        return Ok(());
    }
    super::stop::stop(context)?;
    super::start::start(context)
}
