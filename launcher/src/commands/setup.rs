//! `mathesar setup`

use std::time::Instant;

use super::{Context, walking};
use crate::steps::SETUP;
use crate::terminal::{time, verb};

/// Do everything but start the server
///
/// The same steps as `mathesar start`, without the web server; PostgreSQL runs meanwhile, and is stopped again. The steps can also be done one
/// by one: `mathesar config init`, `mathesar app install`, `mathesar db init`, `mathesar migrate`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

pub(crate) fn run(_: &Args, context: &Context) -> anyhow::Result<()> {
    crate::user::make_all_folders(&context.layout, &context.environment);
    crate::user::ordinary(&context.layout, &context.environment)?;
    walking::refuse_under_way(&context.layout)?;
    let begun = Instant::now();
    walking::walk(context, "setup", SETUP)?;
    verb("Finished", format_args!("in {}; `mathesar start` starts it", time(begun.elapsed())));
    Ok(())
}
