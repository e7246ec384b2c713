//! `mathesar migrate`

use std::time::Instant;

use super::{Context, walking};
use crate::steps::Step;
use crate::terminal::{time, verb};

/// Create or update the tables that Mathesar keeps for itself
///
/// What `mathesar start` does before it starts the web server: runs Mathesar's own migrations (`python -m mathesar.install`) in the internal
/// database, with the current release, or where none is yet, the one that `mathesar app install` has installed, which becomes the
/// current one then. Does what is missing before: release, Python environment, database. PostgreSQL runs meanwhile; one that runs already is used.
///
/// Another release's tables come by `mathesar upgrade`, which makes a backup first.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

pub(crate) fn run(_: &Args, context: &Context) -> anyhow::Result<()> {
    crate::user::make_all_folders(&context.layout, &context.environment);
    crate::user::ordinary(&context.layout, &context.environment)?;
    walking::refuse_under_way(&context.layout)?;
    let begun = Instant::now();
    let steps: &[Step] = match context.installation(false)?.store().current()? {
        Some(_) => &[Step::Migrate],
        None => &[Step::Migrate, Step::Static, Step::Activate],
    };
    let walked = walking::walk_as(context, "migrate", steps, true)?;
    let release = walked.world.release()?;
    match walked.changed.contains(&Step::Migrate) {
        true => verb(
            "Migrated",
            format_args!("the tables of Mathesar {} in {}", release.version, time(begun.elapsed())),
        ),
        false => {
            verb("Unchanged", format_args!("the tables are those of Mathesar {} already", release.version))
        }
    }
    Ok(())
}
