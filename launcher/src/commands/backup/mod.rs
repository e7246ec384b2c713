//! `mathesar backup …`

mod create;
mod timer;
mod verify;

use clap::Subcommand;

use super::Context;

/// Copy everything, and prove that it can be restored
#[derive(Debug, clap::Args)]
#[command(subcommand_required = true, arg_required_else_help = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Create(create::Args),
    Verify(verify::Args),
    Timer(timer::Args),
}

pub(crate) fn run(args: &Args, context: &Context) -> anyhow::Result<()> {
    match &args.command {
        Command::Create(args) => create::run(args, context),
        Command::Verify(args) => verify::run(args, context),
        Command::Timer(args) => timer::run(args, context),
    }
}
