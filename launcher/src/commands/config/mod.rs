//! `mathesar config …`

mod check;
mod get;
mod init;
mod path;
mod set;
mod show;
mod unset;

use std::ffi::OsStr;

use clap::Subcommand;
use clap::builder::{PossibleValue, StringValueParser, TypedValueParser};

pub(super) use show::listing;

pub(crate) use set::set;

use super::Context;
use crate::config::{self, Loaded, Outside, Setting};
use crate::failure::{Exit, Failure};

/// Read, check and change the settings in mathesar.conf
///
/// All settings are described in mathesar.conf(5). Defaults come first, then mathesar.conf, then conf.d/*.conf by name, then
/// the environment (MATHESAR_SECTION_KEY): later ones win.
#[derive(Debug, clap::Args)]
#[command(subcommand_required = true, arg_required_else_help = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Init(init::Args),
    Show(show::Args),
    Get(get::Args),
    Set(set::Args),
    Unset(unset::Args),
    Check(check::Args),
    Path(path::Args),
}

pub(crate) fn run(args: &Args, context: &Context) -> anyhow::Result<()> {
    match &args.command {
        Command::Init(args) => init::run(args, context),
        Command::Show(args) => show::run(args, context),
        Command::Get(args) => get::run(args, context),
        Command::Set(args) => set::run(args, context),
        Command::Unset(args) => unset::run(args, context),
        Command::Check(args) => check::run(args, context),
        Command::Path(args) => path::run(args, context),
    }
}

const REDACTED: &str = "(redacted)";

pub(super) fn outside(context: &Context) -> Outside<'static> {
    Outside { environment: context.environment.clone(), service_variables: false, flags: &[] }
}

pub(crate) fn load(context: &Context) -> Loaded {
    config::load(&context.layout, &outside(context))
}

/// A name that may be typed: a setting, or `env.NAME`.
enum Name<'a> {
    Setting(&'static Setting),
    Variable(&'a str),
}

impl Name<'_> {
    fn parse(name: &str) -> Result<Name<'_>, Failure> {
        if let Some(variable) = name.strip_prefix("env.") {
            return match config::refusal(variable) {
                None => Ok(Name::Variable(variable)),
                Some((why, help)) => {
                    let failure = Failure::new(format!("`{variable}` cannot be passed on: it {why}"));
                    let failure = failure.exit(Exit::Refused);
                    Err(match help {
                        Some(help) => failure.help(help),
                        None => failure,
                    })
                }
            };
        }
        match Setting::find(name) {
            Some((_, setting)) => Ok(Name::Setting(setting)),
            None => Err(Failure::new(format!("unknown setting `{name}`")).exit(Exit::Usage).help(
                match config::suggestion(name) {
                    _ if config::SECTIONS.iter().any(|section| section.name == name) => {
                        format!("it is a section: `mathesar config show {name}`")
                    }
                    Some(near) => format!("did you mean `{near}`?"),
                    None => "`mathesar config show` lists all settings".to_owned(),
                },
            )),
        }
    }
}

/// Any text, as what is wrong with a name is told elsewhere; shells complete the settings.
#[derive(Debug, Clone, Copy)]
struct Names;

impl TypedValueParser for Names {
    type Value = String;

    fn parse_ref(
        &self,
        command: &clap::Command,
        arg: Option<&clap::Arg>,
        value: &OsStr,
    ) -> Result<String, clap::Error> {
        StringValueParser::new().parse_ref(command, arg, value)
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        Some(Box::new(config::SETTINGS.iter().map(|setting| PossibleValue::new(setting.name))))
    }
}
