//! `mathesar config path`

use super::Context;
use crate::config;

/// Print the path of mathesar.conf, whether it exists or not
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// All files that are read, in their order
    #[arg(long)]
    all: bool,
}

pub(crate) fn run(args: &Args, context: &Context) -> anyhow::Result<()> {
    let mut files = vec![context.layout.config_file()];
    if args.all {
        files = config::files(&context.layout).0;
        files.retain(|path| path.exists());
    }
    super::super::print(&files.iter().map(|path| format!("{}\n", path.display())).collect::<String>())
}
