//! `cargo xtask`: builds, checks and publishes the packages. See `cargo xtask --help`.

mod artifact;
mod bench;
mod channel;
mod lint;
mod manifest;
mod table;
mod template;
mod test_command;
mod tools;
mod ui;
mod workspace;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use workspace::Workspace;

/// Builds, checks and publishes the packages of Mathesar's launcher, all from packaging/mathesar.toml.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", max_term_width = 110)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Bench(bench::Args),
    Lint(lint::Args),
    Test(test_command::Args),
    Tools(tools::Args),
}

/// A check said no: told already, and exit code 4 instead of 1.
#[derive(Debug)]
pub(crate) struct Refused(pub String);

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Refused {}

fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(cli.command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            ui::error(&error);
            ExitCode::from(if error.is::<Refused>() { 4 } else { 1 })
        }
    }
}

fn run(command: Command) -> anyhow::Result<()> {
    let workspace = Workspace::find()?;
    match command {
        Command::Bench(args) => bench::run(&args, &workspace),
        Command::Lint(args) => lint::run(&args, &workspace),
        Command::Test(args) => test_command::run(&args, &workspace),
        Command::Tools(args) => tools::run(&args, &workspace),
    }
}
