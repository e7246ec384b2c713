//! One file a sub-command: its arguments, and one public function.

pub(crate) mod admin;
pub(crate) mod app;
pub(crate) mod autostart;
pub(crate) mod backup;
pub(crate) mod config;
pub(crate) mod db;
pub(crate) mod doctor;
mod journal;
pub(crate) mod layout;
pub(crate) mod logs;
pub(crate) mod migrate;
pub(crate) mod open;
pub(crate) mod plan;
pub(crate) mod proxy;
pub(crate) mod restart;
pub(crate) mod restore;
pub(crate) mod rollback;
pub(crate) mod run;
pub(crate) mod setup;
pub(crate) mod start;
pub(crate) mod status;
pub(crate) mod stop;
pub(crate) mod uninstall;
pub(crate) mod upgrade;
pub(crate) mod walking;

use std::ffi::OsString;
use std::io::{ErrorKind, Write as _};
use std::time::Duration;

use anyhow::Context as _;

use crate::cli::{Cli, Color, Command};
use crate::failure::Failure;
use crate::installation::Installation;
use crate::layout::{Environment, Layout};
use crate::system;
use crate::terminal::{note, verb};

/// For an answer of a running supervisor, which never waits for anybody before it answers this.
const PATIENCE: Duration = Duration::from_secs(10);

/// What every command needs to know.
pub(crate) struct Context {
    pub environment: Environment,
    pub layout: Layout,
    /// The options before the sub-command, for another process of this program.
    global: Vec<OsString>,
}

impl Context {
    /// Settings, secrets and pin; `service_variables` where Mathesar's own variables count.
    pub(crate) fn installation(&self, service_variables: bool) -> Result<Installation, Failure> {
        Installation::load(&self.environment, &self.layout, service_variables)
    }

    fn global_args(&self) -> &[OsString] {
        &self.global
    }
}

/// Does what the command line says.
pub fn run(cli: Cli) -> anyhow::Result<()> {
    match cli.global.color {
        Color::Auto => anstream::ColorChoice::Auto,
        Color::Always => anstream::ColorChoice::Always,
        Color::Never => anstream::ColorChoice::Never,
    }
    .write_global();
    let environment = system::environment();
    let options = cli.global.options(&environment)?;
    let layout = Layout::new(&environment, &options)?;
    crate::cure::remember(&options.to_args(&environment.current));
    let context = Context { global: options.to_args(&environment.current), environment, layout };
    match cli.command {
        Command::App(args) => app::run(&args, &context),
        Command::Admin(args) => admin::run(&args, &context),
        Command::Autostart(args) => autostart::run(&args, &context),
        Command::Backup(args) => backup::run(&args, &context),
        Command::Config(args) => config::run(&args, &context),
        Command::Db(args) => db::run(&args, &context),
        Command::Doctor(args) => doctor::run(&args, &context),
        Command::Layout(args) => layout::run(&args, &context),
        Command::Migrate(args) => migrate::run(&args, &context),
        Command::Logs(args) => logs::run(&args, &context),
        Command::Open(args) => open::run(&args, &context),
        Command::Plan(args) => plan::run(&args, &context),
        Command::Proxy(args) => proxy::run(&args, &context),
        Command::Restart(args) => restart::run(&args, &context),
        Command::Restore(args) => restore::run(&args, &context),
        Command::Rollback(args) => rollback::run(&args, &context),
        Command::Run(args) => run::run(&args, &context),
        Command::Setup(args) => setup::run(&args, &context),
        Command::Start(args) => start::run(&args, &context),
        Command::Status(args) => status::run(&args, &context),
        Command::Stop(args) => stop::run(&args, &context),
        Command::Upgrade(args) => upgrade::run(&args, &context),
        Command::Uninstall(args) => uninstall::run(&args, &context),
    }
}

/// A command's result, on standard output. A reader that went away (`| head`) is no error.
fn print(text: &str) -> anyhow::Result<()> {
    let mut stdout = anstream::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(cause) if cause.kind() != ErrorKind::BrokenPipe => {
            Err(cause).context("cannot write to standard output")
        }
        _ => Ok(()),
    }
}

/// A report of this program's own words, with cures in it.
fn print_report(text: &str) -> anyhow::Result<()> {
    print(&crate::cure::addressed_lines(text))
}

/// The same for scripts.
fn print_json_report(value: serde_json::Value) -> anyhow::Result<()> {
    print_json(&crate::cure::addressed_value(value))
}

fn print_json(value: &serde_json::Value) -> anyhow::Result<()> {
    print(&format!("{value:#}\n"))
}
