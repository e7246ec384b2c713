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
mod ended;
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

pub(crate) use ended::{Refused, Usage};
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

fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(cli.command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => ended::told(&error),
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
