//! How a command ends that did not end well: what is told, and by which exit code.

use std::process::ExitCode;

use crate::{manifest, release, scenarios, ui};

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

pub(crate) fn told(error: &anyhow::Error) -> ExitCode {
    if let Some(problems) = error.downcast_ref::<manifest::Problems>() {
        anstream::eprintln!("{}", problems.styled());
        return ExitCode::from(4);
    }
    ui::error(error);
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
