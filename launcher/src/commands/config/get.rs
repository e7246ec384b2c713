//! `mathesar config get`

use super::{Context, Name, REDACTED};
use crate::config::{self, Kind, Value};

/// Print one setting's value, as scripts want it
///
/// Without quotes; a list's items a line each; nothing for a setting that is not set.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// `section.key`, or `env.NAME`
    #[arg(value_parser = super::Names, hide_possible_values = true)]
    name: String,

    /// Print a secret itself
    #[arg(long)]
    reveal: bool,
}

pub(crate) fn run(args: &Args, context: &Context) -> anyhow::Result<()> {
    let name = Name::parse(&args.name)?;
    let config = super::load(context).accept()?;
    let words = match name {
        Name::Setting(setting) => match config.get(setting.name) {
            Value::Unset => Vec::new(),
            _ if setting.secret && !args.reveal => vec![REDACTED.to_owned()],
            Value::Text(url) if matches!(setting.kind, Kind::Url(_)) && !args.reveal => {
                vec![config::without_password(url)]
            }
            value => value.words(),
        },
        Name::Variable(name) => match config.env.get(name) {
            Some((value, _)) if args.reveal => vec![value.clone()],
            Some(_) => vec![REDACTED.to_owned()],
            None => Vec::new(),
        },
    };
    super::super::print(&words.iter().map(|word| format!("{word}\n")).collect::<String>())
}
