//! `mathesar backup …`

pub(super) mod create;
mod list;
mod prune;
mod timer;
mod verify;

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
    Create(create::Args),
    List(list::Args),
    Verify(verify::Args),
    Prune(prune::Args),
    Timer(timer::Args),
}

pub(crate) fn run(args: &Args, context: &Context) -> anyhow::Result<()> {
    match &args.command {
        Command::Create(args) => create::run(args, context),
        Command::Verify(args) => verify::run(args, context),
        Command::Timer(args) => timer::run(args, context),
        Command::List(args) => list::run(args, context),
        Command::Prune(args) => prune::run(args, context),
    }
}
