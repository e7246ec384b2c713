//! `cargo xtask release`: what publishing needs.

mod keys;

use anyhow::Result;

/// Publish, and look after what publishing needs
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(clap::Subcommand)]
enum What {
    Keys(keys::Args),
}

pub(crate) fn run(args: &Args) -> Result<()> {
    match &args.what {
        What::Keys(args) => keys::run(args),
    }
}
