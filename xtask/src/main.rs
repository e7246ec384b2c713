//! `cargo xtask`: builds, checks and publishes the packages. See `cargo xtask --help`.

mod archive;
mod artifact;
mod bump;
mod channel;
mod check;
mod dist;
mod edit;
mod files;
mod manifest;
mod pin;
mod reproduce;
mod template;
mod tools;
mod ui;
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
    /// What the channel deb runs in a process of its own.
    #[command(hide = true)]
    InternalDeb(channel::deb::child::Args),
    Bump(bump::Args),
    Check(check::Args),
    Dist(dist::Args),
    Pin(pin::Args),
    Reproduce(reproduce::Args),
    Workflows(workflows::Args),
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
            if let Some(problems) = error.downcast_ref::<manifest::Problems>() {
                anstream::eprintln!("{}", problems.styled());
                return ExitCode::from(4);
            }
            ui::error(&error);
            ExitCode::from(if error.is::<Refused>() { 4 } else { 1 })
        }
    }
}

fn run(command: Command) -> anyhow::Result<()> {
    let workspace = Workspace::find()?;
    match command {
        Command::InternalDeb(args) => channel::deb::child::run(&args, &workspace),
        Command::Bump(args) => bump::run(&args, &workspace),
        Command::Check(args) => check::run(&args, &workspace),
        Command::Dist(args) => dist::run(&args, &workspace),
        Command::Pin(args) => pin::run(&args, &workspace),
        Command::Reproduce(args) => reproduce::run(&args, &workspace),
        Command::Workflows(args) => workflows::run(&args, &workspace),
    }
}
