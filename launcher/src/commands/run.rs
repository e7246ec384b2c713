//! `mathesar run`

use std::sync::Arc;

use super::Context;
use crate::failure::Failure;
use crate::installation::Installation;
use crate::layout::Scope;
use crate::serving::{self, Surroundings};
use crate::supervise::log::{Both, Redacted, Rotated, Sink, Stderr};

/// Run Mathesar in the foreground, until it is told to stop
///
/// Does whatever is still missing (`mathesar plan` says what), then runs PostgreSQL and the web server and watches them. Meanwhile visitors get a
/// page that says what is going on. This is what service managers and containers execute: it speaks systemd's notification
/// protocol, takes the socket of a socket unit, and honours Mathesar's own variables (POSTGRES_HOST, ALLOWED_HOSTS, …) besides
/// the settings.
///
/// SIGTERM and SIGINT stop it in good order, SIGHUP reads the settings again.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Started by `mathesar start`: words go to the log file alone, and nobody's environment counts
    #[arg(long, hide = true)]
    background: bool,
}

pub(crate) fn run(args: &Args, context: &Context) -> anyhow::Result<()> {
    crate::raw::be_frugal_with_memory();
    crate::user::make_all_folders(&context.layout, &context.environment);
    crate::user::ordinary_service(&context.layout, &context.environment)?;
    let installation = context.installation(!args.background)?;
    let sink = sink(&installation, args.background)?;
    Ok(serving::serve(installation, sink, Surroundings::of_this_process())?)
}

/// The journal takes standard error in system mode; otherwise a file is kept, and a terminal sees the same.
fn sink(installation: &Installation, background: bool) -> Result<Arc<dyn Sink>, Failure> {
    let secrets = installation.known_secrets();
    let path = match (installation.layout.scope, installation.log_file()) {
        (Scope::User | Scope::Home, Some(path)) => path,
        _ => return Ok(Arc::new(Redacted { inner: Stderr, secrets })),
    };
    installation.words_folder()?;
    let max = installation.config.size("log.max-size").unwrap_or(10_000_000);
    let keep = installation.config.integer("log.keep").unwrap_or(5);
    let file = Rotated::open(&path, max, u32::try_from(keep).unwrap_or(5))?;
    Ok(match background {
        true => Arc::new(Redacted { inner: file, secrets }),
        false => Arc::new(Redacted { inner: Both(file, Stderr), secrets }),
    })
}
