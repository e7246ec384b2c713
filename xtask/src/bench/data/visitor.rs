//! Somebody who asks for the page again and again.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use crate::bench::web;

const EVERY: Duration = Duration::from_millis(10);

pub(super) struct Visitor {
    ended: Arc<AtomicBool>,
    thread: JoinHandle<Seen>,
}

#[derive(Default)]
struct Seen {
    /// The longest time between two pages with anything else between them.
    gap: Duration,
    /// Connections that nobody took, or that got no answer.
    refused: u64,
}

impl Visitor {
    pub(super) fn new(port: u16) -> Result<Visitor> {
        let ended = Arc::new(AtomicBool::new(false));
        let shared = Arc::clone(&ended);
        let thread = std::thread::Builder::new()
            .name("visitor".to_owned())
            .spawn(move || look(port, &shared))
            .context("cannot start a thread")?;
        Ok(Visitor { ended, thread })
    }

    /// For how many seconds nobody was served, and how many requests got no answer at all.
    pub(super) fn end(self) -> Result<(f64, u64)> {
        // The first page after it may be under way.
        std::thread::sleep(Duration::from_millis(200));
        self.ended.store(true, Ordering::SeqCst);
        let seen = self.thread.join().ok().context("the visitor has panicked")?;
        Ok((seen.gap.as_secs_f64(), seen.refused))
    }
}

fn look(port: u16, ended: &AtomicBool) -> Seen {
    let mut seen = Seen::default();
    let (mut last, mut away) = (Instant::now(), false);
    while !ended.load(Ordering::SeqCst) {
        let asked = Instant::now();
        match web::status(port) {
            status if web::is_first_page(status) => {
                if away {
                    seen.gap = seen.gap.max(last.elapsed());
                }
                (last, away) = (asked, false);
            }
            status => {
                away = true;
                seen.refused += u64::from(status.is_none());
            }
        }
        std::thread::sleep(EVERY);
    }
    seen
}
