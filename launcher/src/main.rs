//! `mathesar`: installs, serves, backs up and upgrades Mathesar. See `mathesar --help`.

use std::process::ExitCode;

use mathesar::{cli, failure, interrupt, release};

fn main() -> ExitCode {
    // clap wants a text that lives as long as the program.
    let command = cli::command().long_version(&*release::version_text().leak());
    let matches = command.try_get_matches().unwrap_or_else(|error| cli::explained(error).exit());
    match cli::Cli::from_matches(&matches).and_then(mathesar::run) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            if let Some(exit) = interrupt::exit() {
                anstream::eprintln!("{}", interrupt::ENDED);
                return ExitCode::from(exit);
            }
            let (exit, text) = failure::report(&error);
            anstream::eprint!("{text}");
            ExitCode::from(exit as u8)
        }
    }
}
