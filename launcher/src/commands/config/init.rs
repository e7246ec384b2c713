//! `mathesar config init`

use super::Context;
use crate::config;
use crate::failure::Failure;

/// Write a short commented mathesar.conf, unless there is one
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

pub(crate) fn run(_: &Args, context: &Context) -> anyhow::Result<()> {
    let path = context.layout.config_file();
    let keep = |before: &str| {
        Ok::<_, Failure>(if before.is_empty() { config::TEMPLATE.to_owned() } else { before.to_owned() })
    };
    match config::write(&path, context.layout.scope, keep)? {
        true => super::super::verb("Wrote", path.display()),
        false => super::super::verb("Unchanged", format_args!("{} is there already", path.display())),
    }
    Ok(())
}
