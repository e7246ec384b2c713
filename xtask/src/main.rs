//! `cargo xtask`: builds, checks and publishes the packages. See `cargo xtask --help`.

mod archive;
mod artifact;
mod bench;
mod bump;
mod channel;
mod check;
mod depends;
mod digest;
mod dist;
mod edit;
mod files;
mod http;
mod lint;
mod manifest;
mod pin;
mod release;
mod repo;
mod reproduce;
mod scenarios;
mod shell;
mod soak;
mod table;
mod template;
mod test_command;
mod tools;
mod ui;
mod wheels;
mod workflows;
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
    Dist(dist::Args),
    Check(check::Args),
    Lint(lint::Args),
    Test(test_command::Args),
    Soak(soak::Args),
    Verify(scenarios::Args),
    Repo(repo::Args),
    Release(release::Args),
    Wheels(wheels::Args),
    Reproduce(reproduce::Args),
    Bench(bench::Args),
    Pin(pin::Args),
    Bump(bump::Args),
    Workflows(workflows::Args),
    Tools(tools::Args),
    /// What the channel deb runs in a process of its own.
    #[command(hide = true)]
    InternalDeb(channel::deb::child::Args),
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

/// A command line that asks for what cannot be: exit code 2, as clap has it.
#[derive(Debug)]
pub(crate) struct Usage(pub String);

impl std::fmt::Display for Usage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Usage {}

fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(cli.command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            if let Some(problems) = error.downcast_ref::<manifest::Problems>() {
                anstream::eprintln!("{}", problems.styled());
                return ExitCode::from(4);
            }
            ui::error(&error);
            if let Some(state) = error.downcast_ref::<release::NotCurrent>() {
                return ExitCode::from(state.code);
            }
            if error.is::<Usage>() {
                return ExitCode::from(2);
            }
            match (error.is::<Refused>(), error.is::<scenarios::NotRun>()) {
                (true, _) => ExitCode::from(4),
                (_, true) => ExitCode::from(scenarios::NOT_RUN as u8),
                _ => ExitCode::FAILURE,
            }
        }
    }
}

fn run(command: Command) -> anyhow::Result<()> {
    let workspace = Workspace::find()?;
    match command {
        Command::Dist(args) => dist::run(&args, &workspace),
        Command::Check(args) => check::run(&args, &workspace),
        Command::Lint(args) => lint::run(&args, &workspace),
        Command::Test(args) => test_command::run(&args, &workspace),
        Command::Soak(args) => soak::run(&args, &workspace),
        Command::Verify(args) => scenarios::run(&args, &workspace),
        Command::Repo(args) => repo::run(&args, &workspace),
        Command::Release(args) => release::run(&args, &workspace),
        Command::Wheels(args) => wheels::run(&args, &workspace),
        Command::Reproduce(args) => reproduce::run(&args, &workspace),
        Command::Bench(args) => bench::run(&args, &workspace),
        Command::Pin(args) => pin::run(&args, &workspace),
        Command::Bump(args) => bump::run(&args, &workspace),
        Command::Workflows(args) => workflows::run(&args, &workspace),
        Command::Tools(args) => tools::run(&args, &workspace),
        Command::InternalDeb(args) => channel::deb::child::run(&args, &workspace),
    }
}
