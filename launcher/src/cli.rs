//! The command line. `cargo xtask` makes the man pages and completions from `command()`.

use std::path::PathBuf;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};

use crate::commands;
use crate::failure::{Exit, Failure};
use crate::layout::{Environment, Instance, Options, Scope};

const LONG_ABOUT: &str = "\
Installs, serves, backs up and upgrades Mathesar, a spreadsheet-like web interface to PostgreSQL.

Mathesar can be installed for the whole system (the `mathesar` user, settings in /etc/mathesar), for one user (settings in \
~/.config/mathesar), or all in one folder (--home). As root or as the `mathesar` user the system's installation is meant, \
otherwise your own. `mathesar layout` shows where everything lives.";

const AFTER_LONG_HELP: &str = "\
Exit codes:
  0  done
  1  failed
  2  wrong usage
  3  not running, or unhealthy
  4  refused by a check: a setting is wrong, a digest does not match, another launcher is at work

Files:
  /etc/mathesar/mathesar.conf, /etc/mathesar/conf.d/*.conf  settings of the system's installation
  ~/.config/mathesar/mathesar.conf                          settings of yours
  /var/lib/mathesar, ~/.local/share/mathesar                releases, database, uploaded files, backups, secrets
  PREFIX/share/mathesar/release.toml                        the release of Mathesar that is installed, with its digest

Environment:
  MATHESAR_HOME, MATHESAR_INSTANCE  as --home and --instance, which win over them
  MATHESAR_SECTION_KEY              any setting, for example MATHESAR_SERVER_LISTEN; see mathesar.conf(5)
  XDG_CONFIG_HOME, XDG_DATA_HOME, XDG_CACHE_HOME, XDG_STATE_HOME
                                    where a user's files live
  STATE_DIRECTORY, RUNTIME_DIRECTORY, CACHE_DIRECTORY, CONFIGURATION_DIRECTORY, LOGS_DIRECTORY
                                    the same from systemd, for the system's installation
  NO_COLOR                          no colours";

/// Installs, serves, backs up and upgrades Mathesar
#[derive(Debug, Parser)]
#[command(
    name = "mathesar",
    version,
    long_about = LONG_ABOUT,
    after_long_help = AFTER_LONG_HELP,
    max_term_width = 100,
    subcommand_required = true,
    arg_required_else_help = true
)]
pub struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// The options that stand before the sub-command.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Which installation")]
pub(crate) struct Global {
    /// Keep everything below one folder
    ///
    /// Settings, data, cache and logs lie in DIR/config, DIR/state, DIR/cache, DIR/run and DIR/log. The variable
    /// MATHESAR_HOME does the same.
    #[arg(long, value_name = "DIR", conflicts_with_all = ["system", "user"])]
    home: Option<PathBuf>,

    /// Mean this one of several installations
    ///
    /// NAME consists of lower-case letters, digits and `-`, and becomes a folder below each of the installation's folders.
    /// The variable MATHESAR_INSTANCE does the same.
    #[arg(long, value_name = "NAME")]
    instance: Option<Instance>,

    /// Mean the system's installation, not your own
    ///
    /// The default for root and for the `mathesar` user.
    #[arg(long, conflicts_with = "user")]
    system: bool,

    /// Mean your own installation, also as root
    #[arg(long)]
    user: bool,

    /// When to use colours
    #[arg(long, value_name = "WHEN", default_value = "auto", help_heading = clap::builder::Resettable::Reset)]
    pub(crate) color: Color,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum Color {
    /// On a terminal, unless NO_COLOR is set
    Auto,
    Always,
    Never,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Start(commands::start::Args),
    Stop(commands::stop::Args),
    Restart(commands::restart::Args),
    Status(commands::status::Args),
    Logs(commands::logs::Args),
    Open(commands::open::Args),
    Plan(commands::plan::Args),
    Setup(commands::setup::Args),
    Run(commands::run::Args),
    Admin(commands::admin::Args),
    Autostart(commands::autostart::Args),
    Backup(commands::backup::Args),
    Config(commands::config::Args),
    App(commands::app::Args),
    Db(commands::db::Args),
    Migrate(commands::migrate::Args),
    Doctor(commands::doctor::Args),
    Layout(commands::layout::Args),
    Proxy(commands::proxy::Args),
    Upgrade(commands::upgrade::Args),
    Rollback(commands::rollback::Args),
    Restore(commands::restore::Args),
    Uninstall(commands::uninstall::Args),
}

/// The whole command line.
pub fn command() -> clap::Command {
    Cli::command()
}

/// Says where an option belongs that was typed after the sub-command.
pub fn explained(mut error: clap::Error) -> clap::Error {
    use clap::error::{ContextKind, ContextValue, ErrorKind};
    let Some(ContextValue::String(typed)) = error.get(ContextKind::InvalidArg) else { return error };
    let typed = typed.split('=').next().unwrap_or_default();
    let command = command();
    let known = |option: &&str| command.get_arguments().any(|known| known.get_long() == Some(option));
    let Some(name) = typed.strip_prefix("--").filter(known) else { return error };
    if error.kind() == ErrorKind::UnknownArgument {
        let tip = format!("'--{name}' goes before the sub-command: 'mathesar --{name} …'");
        error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![tip.into()]));
    }
    error
}

impl Cli {
    pub fn from_matches(matches: &clap::ArgMatches) -> anyhow::Result<Cli> {
        Ok(Cli::from_arg_matches(matches)?)
    }
}

impl Global {
    /// With MATHESAR_HOME and MATHESAR_INSTANCE where no option says otherwise.
    pub(crate) fn options(&self, environment: &Environment) -> Result<Options, Failure> {
        let scope = match (self.system, self.user) {
            (true, _) => Some(Scope::System),
            (_, true) => Some(Scope::User),
            _ => None,
        };
        let from_variable =
            || environment.get("MATHESAR_HOME").map(PathBuf::from).filter(|_| scope.is_none());
        let instance = match (&self.instance, environment.get("MATHESAR_INSTANCE")) {
            (Some(instance), _) => Some(instance.clone()),
            (None, Some(name)) => {
                let name = name.to_string_lossy();
                let wrong = |why: String| {
                    Failure::new(format!("`{name}` in MATHESAR_INSTANCE is no name of an instance: {why}"))
                        .exit(Exit::Usage)
                        .help("unset it: `unset MATHESAR_INSTANCE`")
                };
                Some(name.parse().map_err(wrong)?)
            }
            (None, None) => None,
        };
        Ok(Options { home: self.home.clone().or_else(from_variable), instance, scope })
    }
}
