//! What a person sees: cargo's form, a right-aligned green verb and one line, on standard error.

use anstyle::{AnsiColor, Style};

const GOOD: Style = AnsiColor::Green.on_default().bold();
const WARNING: Style = AnsiColor::Yellow.on_default().bold();
const ERROR: Style = AnsiColor::Red.on_default().bold();
const HELP: Style = AnsiColor::Cyan.on_default().bold();

/// `    Building deb`
pub(crate) fn verb(verb: &str, what: impl std::fmt::Display) {
    anstream::eprintln!("{GOOD}{verb:>12}{GOOD:#} {what}");
}

/// `warning: …`
pub(crate) fn warning(what: impl std::fmt::Display) {
    anstream::eprintln!("{WARNING}warning{WARNING:#}: {what}");
}

/// `help: …`, with the command to run.
pub(crate) fn help(what: impl std::fmt::Display) {
    anstream::eprintln!("{HELP}help{HELP:#}: {what}");
}

/// `error: …` and its causes, a line each.
pub(crate) fn error(error: &anyhow::Error) {
    anstream::eprintln!("{ERROR}error{ERROR:#}: {error}");
    for cause in error.chain().skip(1) {
        anstream::eprintln!("  caused by: {cause}");
    }
}
