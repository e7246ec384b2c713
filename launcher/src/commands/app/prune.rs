//! `mathesar app prune`

use std::collections::BTreeMap;

use crate::app::files;
use crate::commands::{Context, PATIENCE};
use crate::control::{self, Lock};
use crate::failure::{Exit, Failure};
use crate::progress::Progress;
use crate::supervise::Request;
use crate::terminal::{note, size, verb};

/// Remove releases that are not needed any more
///
/// Those that were installed first go first. The current release stays, and so do the one that the tables are of, one that is held (it came
/// from a file), and one that is kept (a backup, or an upgrade that may be rolled back, needs it).
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Leave this many besides those that stay anyway
    #[arg(long, value_name = "N", default_value_t = 1)]
    keep: usize,
}

/// What was put aside is said; how it is removed is not.
struct Notes;

impl Progress for Notes {
    fn start(&self, _: &str) {}
    fn bytes(&self, _: u64, _: Option<u64>) {}
    fn note(&self, what: &str) {
        note(what);
    }
    fn done(&self, _: &str) {}
}

pub(crate) fn run(args: &Args, context: &Context) -> anyhow::Result<()> {
    crate::user::ordinary(&context.layout, &context.environment)?;
    let installation = context.installation(false)?;
    let store = installation.store();
    let releases = store.list()?;
    if releases.is_empty() {
        verb("Unchanged", "no release is installed");
        return Ok(());
    }
    // A release that is being installed, and will be the current one, looks like one that is not needed.
    let _lock = match control::ask_here(&installation.layout, Request::Status, PATIENCE) {
        Ok(answer) if matches!(answer.value["state"].as_str(), Some("running" | "degraded")) => None,
        Ok(_) => {
            return Err(Failure::new("Mathesar is being prepared, and may need what would be removed")
                .exit(Exit::Refused)
                .help("run it again later; how far it is: `mathesar status`")
                .into());
        }
        Err(failure) if failure.exit == Exit::NotRunning => {
            Some(Lock::take(&installation.layout.state, "app prune")?)
        }
        Err(failure) => return Err(failure.into()),
    };
    if store.current()?.is_none() {
        verb("Unchanged", "no release is the current one yet, so none is removed");
        return Ok(());
    }
    let _store_lock = store.lock(&crate::progress::Silent)?;
    let sizes: BTreeMap<&str, u64> =
        releases.iter().map(|release| (release.id.as_str(), files::size(&release.path))).collect();
    let needed = crate::upgrade::releases::needed(&installation.layout.state)?;
    let spared: Vec<String> = needed.into_iter().map(|(id, _)| id).collect();
    let removed = store.prune(args.keep, &spared, &Notes)?;
    for id in &removed {
        verb("Removed", format_args!("{id}, {}", size(sizes.get(id.as_str()).copied().unwrap_or(0))));
    }
    if removed.is_empty() {
        verb("Unchanged", "every release is still needed");
        if releases.len() > 1 && args.keep > 0 {
            note(
                "`mathesar app prune --keep 0` leaves only the current one, and those that are held or kept",
            );
        }
    }
    Ok(())
}
