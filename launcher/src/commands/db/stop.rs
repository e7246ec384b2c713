//! `mathesar db stop`

use std::time::Duration;

use super::{launcher, refuse_external};
use crate::commands::Context;
use crate::control::Lock;
use crate::failure::{Exit, Failure};
use crate::terminal::{note, verb};

/// Stop the private cluster that was started alone
///
/// Ends open transactions, and writes everything out. Refused while Mathesar runs: `mathesar stop` stops both, in the right order.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

/// To write everything out; after it the server is ended at once, and replays its log at the next start.
const LONGEST: Duration = Duration::from_secs(240);

pub(crate) fn run(_: &Args, context: &Context) -> anyhow::Result<()> {
    crate::user::ordinary(&context.layout, &context.environment)?;
    let installation = context.installation(false)?;
    refuse_external(&installation, "stop")?;
    if let Some(state) = launcher(&installation)? {
        return Err(Failure::new(format!("Mathesar is {state} and needs its database"))
            .exit(Exit::Refused)
            .help("stop both: `mathesar stop`")
            .into());
    }
    let Some(cluster) = installation.existing_cluster()? else {
        verb("Unchanged", "there is no database yet");
        return Ok(());
    };
    // Another command may be using it.
    let _lock = Lock::take(&installation.layout.state, "db stop")?;
    match cluster.adopt() {
        Some(mut running) => {
            if !running.stop(LONGEST)? {
                note("it took too long to end and was ended at once; nothing is lost");
            }
            verb("Stopped", format_args!("PostgreSQL {}", cluster.binaries.version));
        }
        None => verb("Unchanged", "the database does not run"),
    }
    Ok(())
}
