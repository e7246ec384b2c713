//! `mathesar db init`

use crate::commands::{Context, walking};
use crate::steps::Step;
use crate::terminal::{note, verb};

/// Make the private cluster, its roles and databases
///
/// Finds PostgreSQL's programs (`database.bin`, else the newest supported ones of the distribution, else the pinned embedded build), runs initdb with data
/// checksums, starts the server, makes what is missing, and stops it again. What is there stays. Where `database.url` names a server of
/// yours, it is tried, and nothing is made.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

pub(crate) fn run(_: &Args, context: &Context) -> anyhow::Result<()> {
    crate::user::make_all_folders(&context.layout, &context.environment);
    crate::user::ordinary(&context.layout, &context.environment)?;
    let walked = walking::walk_as(context, "db init", &[Step::Database], true)?;
    let did = [Step::Cluster, Step::Database].iter().any(|step| walked.changed.contains(step));
    match walked.world.cluster() {
        Some(cluster) if did => {
            verb("Made", format_args!("the database in {}", cluster.data().display()));
            note("`mathesar start` starts it with Mathesar, `mathesar db start` alone");
        }
        Some(cluster) => {
            verb("Unchanged", format_args!("the database is in {} already", cluster.data().display()));
        }
        None => verb("Unchanged", "the database is on your server (`database.url`)"),
    }
    Ok(())
}
