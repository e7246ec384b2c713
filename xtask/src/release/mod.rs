//! `cargo xtask release`: a plan against what every channel serves, done step by step, and looked at afterwards.

mod apply;
mod gate;
mod git;
mod github;
mod journal;
mod keys;
mod live;
mod ours;
mod plan;
mod plan_file;
mod put_back;
mod show;
mod status;
mod steps;
mod tag;
#[cfg(test)]
mod tests;
mod wanted;
mod yank;

use anyhow::Result;

use crate::workspace::Workspace;

pub(crate) use status::NotCurrent;

/// Publish, and look after what publishing needs
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(clap::Subcommand)]
enum What {
    Plan(plan::Args),
    Apply(apply::Args),
    Status(status::Args),
    Yank(yank::Args),
    Keys(keys::Args),
}

pub(crate) fn run(args: &Args, workspace: &Workspace) -> Result<()> {
    match &args.what {
        What::Plan(args) => plan::run(args, workspace),
        What::Apply(args) => apply::run(args, workspace),
        What::Status(args) => status::run(args, workspace),
        What::Yank(args) => yank::run(args, workspace),
        What::Keys(args) => keys::run(args),
    }
}
