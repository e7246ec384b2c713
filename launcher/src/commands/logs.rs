//! `mathesar logs`

use std::io::{ErrorKind, IsTerminal as _, Write as _};
use std::ops::ControlFlow;
use std::os::fd::AsFd as _;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anstyle::{AnsiColor, Style};

use super::{Context, journal};
use crate::careful::harmless;
use crate::control::Lock;
use crate::failure::{self, Exit, Failure};
use crate::layout::Scope;
use crate::logbook::{LAST_WORDS, Logbook, Select, Source, parse};
use crate::service_manager::Manager;
use crate::supervise::log::timestamp;

/// Show what Mathesar, its database and its web server have said
///
/// Your own installation has a log file (`log.max-size` and `log.keep` say how much of it is kept), and those that were put aside are read with it.
/// The system's installation writes into the journal, and `journalctl` shows it. Times are UTC in the file, and local in the journal.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Go on showing what comes
    #[arg(short, long)]
    follow: bool,

    /// How many lines to begin with: a number, or `all` [default: 100, with --since all]
    #[arg(short = 'n', long, value_name = "LINES", value_parser = lines)]
    lines: Option<Lines>,

    /// Only what this one has said
    #[arg(long, value_enum, value_name = "WHO")]
    source: Option<Source>,

    /// Only what is not older: a duration such as `10m` or `2d`, or a time (UTC) such as `2026-11-23` or `2026-11-23T06:50`
    #[arg(long, value_name = "TIME", value_parser = since)]
    since: Option<String>,
}

/// None: all.
type Lines = Option<usize>;

const USUAL: usize = 100;

fn lines(text: &str) -> Result<Lines, String> {
    match text {
        "all" => Ok(None),
        _ => text.parse().map(Some).map_err(|_| "use a number, or `all`".to_owned()),
    }
}

/// As the log file writes times.
fn since(text: &str) -> Result<String, String> {
    if let Some(ago) = crate::config::duration(text) {
        return Ok(timestamp(SystemTime::now().checked_sub(ago).unwrap_or(UNIX_EPOCH)));
    }
    let (date, time) = text.trim_end_matches('Z').split_once(['T', ' ']).unwrap_or((text, ""));
    let full = format!("{date}T{time}{}Z", "00:00:00".get(time.len()..).unwrap_or_default());
    let line = format!("{full} launcher: ");
    match parse(line.as_bytes()) {
        Some(_) if matches!(time.len(), 0 | 5 | 8) => Ok(full),
        _ => Err("use a duration such as `10m` or `2d`, or a time such as `2026-11-23T06:50`".to_owned()),
    }
}

impl Args {
    fn last(&self) -> Lines {
        match (self.lines, &self.since) {
            (Some(lines), _) => lines,
            (None, Some(_)) => None,
            (None, None) => Some(USUAL),
        }
    }
}

pub(crate) fn run(args: &Args, context: &Context) -> anyhow::Result<()> {
    if context.layout.scope == Scope::System {
        let wanted = journal::Wanted {
            follow: args.follow,
            lines: args.last(),
            source: args.source,
            since: args.since.clone(),
        };
        return Ok(journal::show(&wanted, &context.layout)?);
    }
    let Some(logs) = &context.layout.logs else {
        return Err(Failure::new("this installation has no log file").into());
    };
    let book = Logbook::new(&logs.join("mathesar.log"));
    let words = last_words(context);
    let none = !book.exists().map_err(|cause| Failure::io("read", logs, cause))?;
    if none && words.is_none() && !(args.follow && logs.is_dir()) {
        return Err(no_log(&book, context).into());
    }
    let paper = Paper::new();
    let select = Select { source: args.source, since: args.since.clone() };
    let failed = |cause| Failure::io("read", book.path(), cause);
    let follower = book.show(&select, args.last(), &mut |line| paper.show(line)).map_err(failed)?;
    if select.source.is_none_or(|source| source == Source::Launcher) {
        for line in words.iter().flat_map(|words| words.lines()) {
            let _ = paper.show(format!("launcher: {line}").as_bytes()).map_err(failed)?;
        }
    }
    if args.follow {
        let stdout = std::io::stdout();
        follower.follow(&select, stdout.as_fd(), &mut |line| paper.show(line)).map_err(failed)?;
    }
    Ok(())
}

fn no_log(book: &Logbook, context: &Context) -> Failure {
    let path = book.path().display();
    let runs =
        Lock::holder(&context.layout.state).is_some_and(|holder| holder.verb.as_deref() == Some("run"));
    match runs {
        // It is begun anew with the next line.
        true => Failure::new(format!("there is no log now: {path} does not exist"))
            .cause("Mathesar runs, and somebody has removed or renamed it; what is said next is written into a new one")
            .help("hear what comes: `mathesar logs -f`; how it is: `mathesar status`"),
        false => Failure::new(format!("there is no log yet: {path} does not exist"))
            .exit(Exit::NotRunning)
            .help("Mathesar has not run here: `mathesar start`; where things live: `mathesar layout`"),
    }
}

/// The error of the last start, where that failed and nothing was done since: it need not stand in the log.
fn last_words(context: &Context) -> Option<String> {
    let layout = &context.layout;
    if Lock::holder(&layout.state).is_some() {
        return None;
    }
    if let Some(failure) = Manager::of(layout, &context.environment).failure() {
        return Some(anstream::adapter::strip_str(&failure::report(&failure.into()).1).to_string());
    }
    let logs = layout.logs.as_ref()?;
    let written = |name| logs.join(name).metadata().and_then(|found| found.modified()).ok();
    let (words, log) = (written(LAST_WORDS)?, written("mathesar.log").unwrap_or(UNIX_EPOCH));
    // Its last line in the log and these words were written at the same moment.
    if words + Duration::from_secs(1) < log {
        return None;
    }
    let text = std::fs::read_to_string(logs.join(LAST_WORDS)).ok()?;
    (!text.trim().is_empty()).then_some(text)
}

const TIME: Style = Style::new().dimmed();

fn style(source: Source) -> Style {
    match source {
        Source::Launcher => AnsiColor::Green,
        Source::Postgresql => AnsiColor::Blue,
        Source::Gunicorn => AnsiColor::Magenta,
    }
    .on_default()
}

/// Standard output.
pub(super) struct Paper {
    terminal: bool,
    colour: bool,
}

impl Paper {
    pub(super) fn new() -> Paper {
        let stdout = std::io::stdout();
        let colour = anstream::AutoStream::choice(&stdout) != anstream::ColorChoice::Never;
        Paper { terminal: stdout.is_terminal(), colour }
    }

    /// A line, and whether anybody wants more.
    pub(super) fn show(&self, line: &[u8]) -> std::io::Result<ControlFlow<()>> {
        let text = match self.terminal || self.colour {
            true => self.drawn(&String::from_utf8_lossy(line)).into_bytes(),
            false => [line, b"\n"].concat(),
        };
        let mut stdout = std::io::stdout().lock();
        match stdout.write_all(&text).and_then(|()| stdout.flush()) {
            Err(cause) if cause.kind() == ErrorKind::BrokenPipe => Ok(ControlFlow::Break(())),
            result => result.map(|()| ControlFlow::Continue(())),
        }
    }

    fn drawn(&self, line: &str) -> String {
        let text = match parse(line.as_bytes()).filter(|_| self.colour) {
            Some((time, source, text)) => {
                let (style, name) = (style(source), source.name());
                format!("{TIME}{time}{TIME:#} {style}{name}{style:#}: {}", harmless(text))
            }
            None => harmless(line),
        };
        format!("{text}\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read() {
        assert_eq!(since("2026-11-23").unwrap(), "2026-11-23T00:00:00Z");
        assert_eq!(since("2026-11-23 06:50").unwrap(), "2026-11-23T06:50:00Z");
        assert_eq!(since("2026-11-23T06:50:01Z").unwrap(), "2026-11-23T06:50:01Z");
        assert!(since("10m").unwrap() < since("1s").unwrap());
        for wrong in
            ["", "yesterday", "2026-11", "2026-11-23T6", "2026-11-23T06:50:", "2026-11-23T06:50:00+01:00"]
        {
            assert!(since(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_terminal_is_not_led_by_the_log() {
        let paper = Paper { terminal: true, colour: true };
        assert_eq!(
            paper.drawn("2026-11-23T06:50:00Z gunicorn: GET /\u{1b}]0;x\u{7}\tend"),
            "\u{1b}[2m2026-11-23T06:50:00Z\u{1b}[0m \u{1b}[35mgunicorn\u{1b}[0m: GET /\\u{1b}]0;x\\u{7}\tend\n"
        );
    }
}
