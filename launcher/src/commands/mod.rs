//! One file a sub-command: its arguments, and one public function.

pub(crate) mod config;
pub(crate) mod layout;
pub(crate) mod proxy;

use std::io::{ErrorKind, Write as _};

use anyhow::Context as _;

use crate::cli::{Cli, Color, Command};
use crate::layout::{Environment, Layout};
use crate::system;

/// What every command needs to know.
pub(crate) struct Context {
    pub environment: Environment,
    pub layout: Layout,
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
    let layout = Layout::new(&environment, &cli.global.options(&environment)?)?;
    let context = Context { environment, layout };
    match cli.command {
        Command::Config(args) => config::run(&args, &context),
        Command::Layout(args) => layout::run(&args, &context),
        Command::Proxy(args) => proxy::run(&args, &context),
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

fn print_json(value: &serde_json::Value) -> anyhow::Result<()> {
    print(&format!("{value:#}\n"))
}

/// `     Changed server.listen`, on standard error.
fn verb(verb: &str, what: impl std::fmt::Display) {
    const GOOD: anstyle::Style = anstyle::AnsiColor::Green.on_default().bold();
    anstream::eprintln!("{GOOD}{verb:>12}{GOOD:#} {what}");
}

/// `note: …`, on standard error.
fn note(what: impl std::fmt::Display) {
    const NOTE: anstyle::Style = anstyle::AnsiColor::Cyan.on_default().bold();
    anstream::eprintln!("{NOTE}note{NOTE:#}: {what}");
}
