//! `mathesar logs` where the journal has the log.

use std::collections::VecDeque;
use std::io::{BufRead as _, BufReader};
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};

use super::logs::Paper;
use crate::failure::{Exit, Failure};
use crate::layout::Layout;
use crate::logbook::Source;
use crate::service_manager::unit_of_system;

pub(super) struct Wanted {
    pub follow: bool,
    /// None: all.
    pub lines: Option<usize>,
    pub source: Option<Source>,
    pub since: Option<String>,
}

/// Comes back when all is shown. Where `journalctl` can do it alone, this process becomes it.
pub(super) fn show(wanted: &Wanted, layout: &Layout) -> Result<(), Failure> {
    let Some(unit) = unit_of_system(layout) else {
        return Err(Failure::new(
            "systemd does not run the system's Mathesar here, so the journal has no log of it",
        )
        .exit(Exit::NotRunning)
        .help("`mathesar run` writes to standard error: ask what runs it, such as `podman logs NAME`"));
    };
    let Some(source) = wanted.source else {
        let mut command = journalctl(&unit, wanted.since.as_deref());
        command.arg(lines(wanted.lines));
        if wanted.follow {
            command.arg("--follow");
        }
        return Err(cannot_run(command.exec()));
    };
    filtered(wanted, &unit, source)
}

fn journalctl(unit: &str, since: Option<&str>) -> Command {
    let mut command = Command::new("journalctl");
    command.args(["--no-pager", "--unit", unit]);
    if let Some(since) = since {
        command.arg("--since").arg(since.replace(['T', 'Z'], " ").trim_end().to_owned() + " UTC");
    }
    command
}

fn lines(number: Option<usize>) -> String {
    format!("--lines={}", number.map_or_else(|| "all".to_owned(), |number| number.to_string()))
}

fn cannot_run(cause: std::io::Error) -> Failure {
    Failure::new("cannot run journalctl").cause(cause)
}

/// The journal knows the unit, and only the launcher knows who in it has spoken.
fn filtered(wanted: &Wanted, unit: &str, source: Source) -> Result<(), Failure> {
    let paper = Paper::new();
    let mut kept: VecDeque<String> = VecDeque::new();
    let mut cursor = None;
    let mut command = journalctl(unit, wanted.since.as_deref());
    command.args(["--output=short-iso", "--lines=all", "--show-cursor"]);
    read(command, |line| {
        if let Some(place) = line.strip_prefix("-- cursor: ") {
            cursor = Some(place.to_owned());
        } else if line.starts_with("-- No entries") {
            anstream::eprintln!("{line}");
        } else if is_of(&line, source) {
            kept.push_back(line);
            if wanted.lines.is_some_and(|most| kept.len() > most) {
                kept.pop_front();
            }
        }
        true
    })?;
    for line in kept {
        if paper.show(line.as_bytes()).map_err(cannot_run)?.is_break() {
            return Ok(());
        }
    }
    if !wanted.follow {
        return Ok(());
    }
    // Where something was shown, what comes after it: the two exclude each other.
    let mut command = journalctl(unit, wanted.since.as_deref().filter(|_| cursor.is_none()));
    command.args(["--output=short-iso", "--follow", "--lines=all"]);
    cursor.map(|cursor| command.arg("--after-cursor").arg(cursor));
    read(command, |line| {
        !is_of(&line, source) || paper.show(line.as_bytes()).is_ok_and(|flow| flow.is_continue())
    })
}

/// Every line, until `hear` wants no more.
fn read(mut command: Command, mut hear: impl FnMut(String) -> bool) -> Result<(), Failure> {
    // Without a terminal it would go on when its reader is killed.
    crate::raw::before_exec(&mut command, Vec::new(), rustix::process::Signal::KILL);
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().map_err(cannot_run)?;
    let stdout = child.stdout.take().map(BufReader::new);
    for line in stdout.into_iter().flat_map(|reader| reader.split(b'\n')) {
        let Ok(line) = line else { break };
        if !hear(String::from_utf8_lossy(&line).into_owned()) {
            let _ = child.kill();
            let _ = child.wait();
            return Ok(());
        }
    }
    let status = child.wait().map_err(cannot_run)?;
    match status.success() {
        true => Ok(()),
        // It has said why.
        false => Err(Failure::told(Exit::Failed, String::new())),
    }
}

/// `2026-11-23T06:50:00+0000 host mathesar[12]: gunicorn: …`
fn is_of(line: &str, source: Source) -> bool {
    let message = line.split_once("]: ").map(|(_, message)| message);
    message.is_some_and(|message| Source::of_message(message) == source)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_of_the_journal_s_lines() {
        let line = |message: &str| format!("2026-11-23T06:50:00+0000 host mathesar[12]: {message}");
        assert!(is_of(&line("gunicorn: [3]: x"), Source::Gunicorn));
        assert!(is_of(&line("error: cannot"), Source::Launcher));
        assert!(!is_of(&line("error: cannot"), Source::Postgresql));
        assert!(!is_of("-- No entries --", Source::Launcher));
    }
}
