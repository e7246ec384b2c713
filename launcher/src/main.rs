//! `mathesar`: installs, serves, backs up and upgrades Mathesar. See `mathesar --help`.

use std::process::ExitCode;

use mathesar::{cli, failure, release};

fn main() -> ExitCode {
    // clap wants a text that lives as long as the program.
    let command = cli::command().long_version(&*release::version_text().leak());
    let matches = command.get_matches();
    match cli::Cli::from_matches(&matches).and_then(mathesar::run) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let (exit, text) = failure::report(&error);
            anstream::eprint!("{text}");
            ExitCode::from(exit as u8)
        }
    }
}
