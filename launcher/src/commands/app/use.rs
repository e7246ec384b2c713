//! `mathesar app use`

use std::cmp::Ordering;

use crate::app::store::Store;
use crate::commands::{Context, PATIENCE, walking};
use crate::control;
use crate::failure::{Exit, Failure};
use crate::steps::{Step, Wanted, compare, migrated_by};
use crate::supervise::Request;
use crate::terminal::{note, verb};

/// Make an installed release the current one
///
/// Only which one it is: nothing is backed up and no table is changed, so it is refused where Mathesar runs, and where the tables are of
/// another release. `mathesar upgrade` and `mathesar rollback` do the whole: they make a backup first and can go back.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The release, by its version or as `mathesar app list` names it
    version: String,

    /// Also where the tables are of another release
    ///
    /// A newer release then migrates them at the next start, without a backup; an older one may not understand them, and may spoil them.
    #[arg(long)]
    force: bool,
}

pub(crate) fn run(args: &Args, context: &Context) -> anyhow::Result<()> {
    crate::user::ordinary(&context.layout, &context.environment)?;
    let installation = context.installation(false)?;
    let store = installation.store();
    let release = store.find(&args.version)?;
    if release.current {
        verb("Unchanged", format_args!("{} is the current release already", release.id));
        return Ok(());
    }
    if control::ask_here(&installation.layout, Request::Status, PATIENCE).is_ok() {
        return Err(Failure::new("Mathesar runs")
            .exit(Exit::Refused)
            .help(format!("stop it first: `mathesar stop`, then `mathesar app use {}`", args.version))
            .help("or let it be done with a backup: `mathesar upgrade`, `mathesar rollback`")
            .into());
    }
    // One that was the current one has made its tables.
    let current = store.current()?.map(|current| current.id);
    let tables = migrated_by(&installation.layout.state)?.or(current).filter(|tables| *tables != release.id);
    let external = installation.is_external();
    // Its owner may have put back older tables on that server: what was written down here does not know of it.
    let mut ask = None;
    if let (Some(tables), false) = (&tables, args.force) {
        let refusal = refusal(tables, &release.id, &release.version, external);
        if !external || compare(&release.version, Store::version_of(tables)) != Ordering::Less {
            return Err(refusal.into());
        }
        ask = Some(refusal);
    }
    let id = release.id.clone();
    let steps: &[Step] = if ask.is_some() { &[Step::Static, Step::Database] } else { &[Step::Static] };
    let walked = walking::walk_with(installation, "app use", steps, |world| {
        world.for_admin = true;
        world.wanted = Wanted::Installed(id);
    })?;
    let asked = ask.is_some();
    if let Some(refusal) = ask {
        walked
            .world
            .newer_tables(&walked.world.release()?)
            .unwrap_or(Err(refusal))
            .map_err(restored_first)?;
    }
    let _lock = store.lock(&crate::progress::Silent)?;
    store.activate(&walked.world.release()?.id)?;
    verb("Activated", format_args!("Mathesar {} ({})", release.version, release.id));
    if let Some(tables) = tables.filter(|_| !asked) {
        note(format_args!(
            "the tables are still those of {tables}: `mathesar start` migrates them, if it can"
        ));
    }
    Ok(())
}

fn restored_first(failure: Failure) -> Failure {
    failure.help("or restore the database on your server from a backup of that server first, then run the same command again")
}

fn refusal(tables: &str, id: &str, version: &str, external: bool) -> Failure {
    let failure = Failure::new(format!("the tables are of {tables}, not of {id}")).exit(Exit::Refused);
    const OLDER: &str = "an older release may not understand what a newer one has made of them";
    match compare(version, Store::version_of(tables)) {
        // What is there is asked of that server; where it does not answer, this is what is known.
        Ordering::Less if external => failure.cause(OLDER),
        Ordering::Less => {
            failure.cause(OLDER).help("go back with the backup from before the upgrade: `mathesar rollback`")
        }
        _ => failure
            .cause("they would be migrated at the next start, without a backup")
            .help(format!("let them be migrated with one: `mathesar upgrade --to {id}`")),
    }
    .help(format!("or do it all the same: `mathesar app use --force {id}`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_direction_has_its_cure() {
        let back = refusal("0.12.0-aaaaaaaaaaaa", "0.11.0-bbbbbbbbbbbb", "0.11.0", false);
        assert_eq!(back.to_string(), "the tables are of 0.12.0-aaaaaaaaaaaa, not of 0.11.0-bbbbbbbbbbbb");
        assert!(back.helps()[0].contains("`mathesar rollback`"), "{:?}", back.helps());
        let forth = refusal("0.9.0-aaaaaaaaaaaa", "0.11.0-bbbbbbbbbbbb", "0.11.0", false);
        assert!(
            forth.helps()[0].contains("`mathesar upgrade --to 0.11.0-bbbbbbbbbbbb`"),
            "{:?}",
            forth.helps()
        );
        assert_eq!((back.exit, forth.exit), (Exit::Refused, Exit::Refused));
    }
}
