//! `mathesar backup prune`

use std::fs;
use std::time::{Duration, SystemTime};

use crate::app::files;
use crate::backup::{catalog, origin, retention};
use crate::commands::Context;
use crate::failure::{Exit, Failure};
use crate::terminal::{note, size, verb};

/// Remove backups that are old
///
/// Those that are older than `backup.keep-for` and not among the newest `backup.keep`. Never one that a person has made, never one that is damaged
/// (nobody can tell who has made it), never the last good one (the newest that `mathesar backup verify` was content with, and the newest of
/// all), never one that an upgrade still needs, and never one of another installation that uses the same folder: only its own `prune` knows which
/// of those are still wanted.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Only say what would be removed
    #[arg(long)]
    pub(super) dry_run: bool,
}

pub(crate) fn run(args: &Args, context: &Context) -> anyhow::Result<()> {
    crate::user::ordinary(&context.layout, &context.environment)?;
    let installation = context.installation(false)?;
    let state = &installation.layout.state;
    let listing = catalog::list(&installation)?;
    // Fewer than there are: more of them are among the newest that are kept.
    listing.warn();
    let all = listing.all;
    let keep = installation.config.integer("backup.keep").unwrap_or(7);
    let keep_for =
        installation.config.duration("backup.keep-for").unwrap_or(Duration::from_secs(30 * 86_400));
    let keep = usize::try_from(keep).unwrap_or(usize::MAX);
    let mut removed = Vec::new();
    let mut failed = false;
    let old = retention::choose(&all, keep, keep_for, SystemTime::now());
    if old.is_empty() {
        let seen = if listing.unread.is_empty() { "" } else { " that can be seen" };
        verb("Unchanged", format_args!("every backup{seen} is still wanted"));
    }
    match origin::made_elsewhere(&all) {
        0 => {}
        1 => note("one backup was not made by this installation, and is left alone"),
        others => {
            note(format_args!("{others} backups were not made by this installation, and are left alone"))
        }
    }
    for index in old {
        let entry = &all[index];
        let what = format!("{}, {}", entry.path.display(), size(entry.bytes));
        if args.dry_run {
            verb("Would remove", what);
            continue;
        }
        let gone = fs::remove_file(&entry.path).map_err(|cause| Failure::io("remove", &entry.path, cause));
        match gone.and_then(|()| entry.path.parent().map_or(Ok(()), files::sync_folder)) {
            Ok(()) => {
                verb("Removed", what);
                removed.extend(entry.digest.as_deref());
            }
            // The others are no less old.
            Err(failure) => {
                failed = true;
                let cause = std::error::Error::source(&failure).map(|cause| format!(": {cause}"));
                note(format_args!("{failure}{}", cause.unwrap_or_default()));
            }
        }
    }
    catalog::forget(state, &removed)?;
    if failed {
        return Err(Failure::new("not every old backup could be removed").exit(Exit::Failed).into());
    }
    Ok(())
}
