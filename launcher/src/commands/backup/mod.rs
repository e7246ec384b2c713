//! `mathesar backup …`

mod list;
mod prune;

use clap::Subcommand;

use super::Context;

/// Make backups of everything, look at them, and remove old ones
///
/// A backup is one file: database with all roles, uploaded files, secrets, settings, and the release of Mathesar that it belongs to. It lies in
/// `backup.directory`, which is best on another disk, else in `backups` in the state folder. Whoever can read it can read everything.
#[derive(Debug, clap::Args)]
#[command(subcommand_required = true, arg_required_else_help = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    List(list::Args),
    Prune(prune::Args),
}

pub(crate) fn run(args: &Args, context: &Context) -> anyhow::Result<()> {
    match &args.command {
        Command::List(args) => list::run(args, context),
        Command::Prune(args) => prune::run(args, context),
    }
}
