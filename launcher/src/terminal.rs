//! What a person sees of long work: finished parts with their times, and one line that moves where the terminal can.

use std::collections::BTreeMap;
use std::io::{IsTerminal as _, Write as _};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anstyle::{AnsiColor, Style};

use crate::careful::harmless;
use crate::progress::Progress;
use crate::steps::{Event, Kind, Step, Watcher};

const GOOD: Style = AnsiColor::Green.on_default().bold();
const BUSY: Style = AnsiColor::Cyan.on_default().bold();

/// How often the moving line is drawn.
const FRAME: Duration = Duration::from_millis(250);

/// `     Changed server.listen`, on standard error.
pub fn verb(verb: &str, what: impl std::fmt::Display) {
    let what = what.to_string();
    anstream::eprintln!("{GOOD}{verb:>12}{GOOD:#} {}", harmless(&crate::cure::addressed(&what)));
}

/// `note: …`, on standard error.
pub fn note(what: impl std::fmt::Display) {
    let what = what.to_string();
    anstream::eprintln!("{BUSY}note{BUSY:#}: {}", harmless(&crate::cure::addressed(&what)));
}

/// `12.3 MB`: decimal, as disks and networks are sold.
pub fn size(bytes: u64) -> String {
    match bytes {
        0..1_000 => format!("{bytes} B"),
        1_000..1_000_000 => format!("{:.0} kB", bytes as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1} MB", bytes as f64 / 1e6),
        _ => format!("{:.2} GB", bytes as f64 / 1e9),
    }
}

/// `0.34 s`, `12 s`, `3 min 20 s`.
pub fn time(time: Duration) -> String {
    match time.as_secs_f64() {
        seconds if seconds < 10.0 => format!("{seconds:.2} s"),
        seconds if seconds < 120.0 => format!("{seconds:.0} s"),
        seconds => format!("{:.0} min {:02.0} s", (seconds / 60.0).floor(), seconds % 60.0),
    }
}

#[derive(Debug, Default)]
struct Doing {
    text: String,
    since: Option<Instant>,
    /// Done, of, and when the first byte was told.
    bytes: Option<(u64, Option<u64>, Instant, u64)>,
}

#[derive(Default)]
struct Screen {
    /// None: work that is no step of the graph.
    active: BTreeMap<Option<Step>, Doing>,
    /// A moving line is shown now.
    drawn: bool,
    ended: bool,
}

/// Draws on standard error; a log file gets whole lines only.
#[derive(Clone)]
pub struct Terminal {
    screen: Arc<Mutex<Screen>>,
    moving: bool,
}

impl Default for Terminal {
    fn default() -> Terminal {
        Terminal::new()
    }
}

impl Terminal {
    pub fn new() -> Terminal {
        let moving =
            std::io::stderr().is_terminal() && std::env::var_os("TERM").is_none_or(|term| term != "dumb");
        let terminal = Terminal { screen: Arc::default(), moving };
        if moving {
            let other = terminal.clone();
            // Without it the line stands still, that is all.
            let _ = std::thread::Builder::new().name("terminal".to_owned()).spawn(move || {
                loop {
                    std::thread::sleep(FRAME);
                    let mut screen = other.lock();
                    if screen.ended {
                        return;
                    }
                    screen.draw();
                }
            });
        }
        terminal
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Screen> {
        self.screen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the moving line away for good; what comes after is printed as usual.
    pub fn end(&self) {
        let mut screen = self.lock();
        screen.clear();
        screen.ended = true;
    }
}

impl Terminal {
    /// For work outside of the graph, shown as this step's.
    pub fn of(&self, step: Step) -> impl crate::progress::Progress + '_ {
        crate::steps::Telling { step, watcher: self }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // The drawing thread holds the other one.
        if Arc::strong_count(&self.screen) <= 2 {
            self.end();
        }
    }
}

impl Watcher for Terminal {
    fn tell(&self, event: &Event) {
        self.told(Some(event.step), &event.kind);
    }
}

/// A command's own work, which is no walk of the graph. What is done is told with its time.
impl Progress for Terminal {
    fn start(&self, what: &str) {
        let mut screen = self.lock();
        screen.active.entry(None).or_default().since = Some(Instant::now());
        drop(screen);
        self.told(None, &Kind::Doing(what.to_owned()));
    }

    fn bytes(&self, done: u64, total: Option<u64>) {
        if self.moving {
            let mut screen = self.lock();
            let doing = screen.active.entry(None).or_default();
            let (first, before) =
                doing.bytes.map_or((Instant::now(), done), |(_, _, first, before)| (first, before));
            doing.bytes = Some((done, total, first, before));
        }
    }

    fn note(&self, what: &str) {
        self.told(None, &Kind::Note(what.to_owned()));
    }

    fn done(&self, what: &str) {
        let took =
            self.lock().active.remove(&None).and_then(|doing| doing.since).map(|since| since.elapsed());
        let mut screen = self.lock();
        screen.clear();
        line(what, took, GOOD);
    }
}

impl Terminal {
    fn told(&self, step: Option<Step>, kind: &Kind) {
        let mut screen = self.lock();
        screen.clear();
        let doing = screen.active.entry(step).or_default();
        match kind {
            Kind::Begun => doing.since = Some(Instant::now()),
            Kind::Doing(text) => {
                *doing =
                    Doing { text: text.clone(), since: doing.since.or(Some(Instant::now())), bytes: None };
                if !self.moving {
                    line(text, None, BUSY);
                }
            }
            Kind::Bytes { done, total } => {
                let (first, before) =
                    doing.bytes.map_or((Instant::now(), *done), |(_, _, first, before)| (first, before));
                doing.bytes = Some((*done, *total, first, before));
            }
            Kind::Note(text) => note(text),
            Kind::Did(text) => {
                let speed =
                    doing.bytes.take().and_then(|(done, _, first, before)| speed(done, before, first));
                line(
                    &match speed {
                        Some(speed) => format!("{text} ({speed})"),
                        None => text.clone(),
                    },
                    None,
                    GOOD,
                );
                doing.text.clear();
            }
            Kind::Ended { took, changed } => {
                screen.active.remove(&step);
                if let (true, Some(step)) = (*changed, step) {
                    line(&format!("Ready {}", step.title()), Some(*took), GOOD);
                }
            }
            Kind::Failed(_) => drop(screen.active.remove(&step)),
        }
        if self.moving && !screen.ended {
            screen.draw();
        }
    }
}

fn speed(done: u64, before: u64, first: Instant) -> Option<String> {
    let seconds = first.elapsed().as_secs_f64();
    let new = done.saturating_sub(before) as f64;
    (seconds > 0.2 && new > 0.0).then(|| format!("{}/s", size((new / seconds) as u64)))
}

/// The first word stands right-aligned, as the verb that it is.
fn line(text: &str, took: Option<Duration>, style: Style) {
    let text = harmless(&crate::cure::addressed(text));
    let (verb, rest) = text.split_once(' ').unwrap_or((&text, ""));
    let took = took.map(|took| format!(" in {}", time(took))).unwrap_or_default();
    anstream::eprintln!("{style}{verb:>12}{style:#} {rest}{took}");
}

impl Screen {
    fn clear(&mut self) {
        if self.drawn {
            let _ = write!(std::io::stderr().lock(), "\r\x1b[2K");
            self.drawn = false;
        }
    }

    fn draw(&mut self) {
        self.clear();
        let parts: Vec<String> = self.active.iter().filter_map(|(step, doing)| doing.shown(*step)).collect();
        if parts.is_empty() {
            return;
        }
        // One that wraps could not be taken away again.
        let width =
            rustix::termios::tcgetwinsize(std::io::stderr()).map_or(80, |size| usize::from(size.ws_col));
        // Some terminals do not know their own width.
        let width = if width == 0 { 80 } else { width.max(20) };
        let text = harmless(&format!("{:>12} {}", "…", parts.join(" · "))).replace('\n', " ");
        let text: String = text.chars().take(width - 1).collect();
        let _ = write!(std::io::stderr().lock(), "{text}");
        let _ = std::io::stderr().lock().flush();
        self.drawn = true;
    }
}

impl Doing {
    fn shown(&self, step: Option<Step>) -> Option<String> {
        let since = self.since?;
        let mut text = match step {
            Some(step) if self.text.is_empty() => step.title().to_owned(),
            _ => self.text.clone(),
        };
        if let Some((done, total, first, before)) = self.bytes {
            text.push_str(&match total {
                Some(total) => format!(" {} of {}", size(done), size(total)),
                None => format!(" {}", size(done)),
            });
            text.extend(speed(done, before, first).map(|speed| format!(", {speed}")));
        }
        let seconds = since.elapsed().as_secs();
        if seconds > 0 {
            text.push_str(&format!(" {seconds} s"));
        }
        Some(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_times_are_short() {
        assert_eq!(
            [size(7), size(1_234), size(13_612_345), size(2_500_000_000)],
            ["7 B", "1 kB", "13.6 MB", "2.50 GB"]
        );
        let seconds = |seconds| time(Duration::from_secs_f64(seconds));
        assert_eq!([seconds(0.344), seconds(12.4), seconds(200.0)], ["0.34 s", "12 s", "3 min 20 s"]);
    }
}
