//! `mathesar app …`

pub(super) mod handed;
mod install;
mod list;
mod prune;
mod r#use;
mod verify;

use clap::Subcommand;

use super::Context;

/// Install releases of Mathesar, look at them, and switch between them
///
/// Every release lies in a folder of its own, `app/VERSION-DIGEST` in the state folder: its files, its Python environment and its static
/// files. The one that runs is the current one. `mathesar start` does by itself what is needed; these are the steps alone.
#[derive(Debug, clap::Args)]
#[command(subcommand_required = true, arg_required_else_help = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Install(install::Args),
    List(list::Args),
    Verify(verify::Args),
    Use(r#use::Args),
    Prune(prune::Args),
}

pub(crate) fn run(args: &Args, context: &Context) -> anyhow::Result<()> {
    match &args.command {
        Command::Install(args) => install::run(args, context),
        Command::List(args) => list::run(args, context),
        Command::Verify(args) => verify::run(args, context),
        Command::Use(args) => r#use::run(args, context),
        Command::Prune(args) => prune::run(args, context),
    }
}
