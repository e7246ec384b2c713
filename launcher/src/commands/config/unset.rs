//! `mathesar config unset`

use super::{Context, Name, set};
use crate::config::{Edit, Origin};

/// Take one setting out of the file, so that the default holds again
///
/// Writes the same file as `set`. A setting that another file has keeps that file's value, which is said.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// `section.key`, or `env.NAME`
    #[arg(value_parser = super::Names, hide_possible_values = true)]
    name: String,
}

pub(crate) fn run(args: &Args, context: &Context) -> anyhow::Result<()> {
    Name::parse(&args.name)?;
    let path = context.layout.writable_config();
    // Nothing is made where there is nothing to take out.
    let changed = path.exists() && set::change(&args.name, &Edit::Unset, context)?;
    match changed {
        true => super::super::verb("Unset", format_args!("{} in {}", args.name, path.display())),
        false => {
            super::super::verb("Unchanged", format_args!("{} is not set in {}", args.name, path.display()))
        }
    }
    match set::origin_of(&super::load(context).config, &args.name) {
        Origin::Default => {}
        origin => super::super::note(format_args!("{origin} still sets {}", args.name)),
    }
    Ok(())
}
