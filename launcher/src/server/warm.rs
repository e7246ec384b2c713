//! A gunicorn that imports the application while the database is made ready, and waits for a word before it serves anybody.

use std::os::fd::{AsRawFd as _, OwnedFd};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustix::pipe::{PipeFlags, pipe_with};

use super::gunicorn::Gunicorn;
use super::web::{self, Running};
use crate::failure::Failure;
use crate::supervise::log::Sink;

/// The variable with the number of the descriptor that the word comes by.
const WORD: &str = "MATHESAR_LAUNCHER_WORD";

/// Ended when it is dropped without a word.
pub struct Warm {
    settings: Gunicorn,
    running: Option<Running>,
    /// Closed by the launcher's end, however that comes: then it ends too.
    word: OwnedFd,
}

impl Warm {
    /// `settings` are those that the first gunicorn is going to have; with others it is of no use.
    pub fn begin(
        settings: Gunicorn,
        listener: &super::Listener,
        sink: &Arc<dyn Sink>,
    ) -> Result<Warm, Failure> {
        let failed = |cause| Failure::new("cannot make a pipe").cause(cause);
        let (hears, word) = pipe_with(PipeFlags::CLOEXEC).map_err(failed)?;
        let mut spawned = settings.clone();
        spawned.environment.insert(WORD.into(), hears.as_raw_fd().to_string().into());
        web::remove_stale(&settings.run);
        let place = web::probe_path(&settings.run, 0);
        let keep = vec![listener.fd(), Arc::new(hears)];
        let running =
            web::spawn(&spawned, place, keep, listener.is_unix(), sink, &Arc::new(Mutex::new(None)))?;
        Ok(Warm { settings, running: Some(running), word })
    }

    /// Lets it serve, where it is what is wanted now.
    pub(super) fn go(mut self, wanted: &Gunicorn) -> Option<Running> {
        let fits = self.settings == *wanted;
        let lives = self.running.as_ref().is_some_and(Running::lives);
        if fits && lives && rustix::io::write(&self.word, b"!").is_ok() {
            return self.running.take();
        }
        None
    }
}

impl Drop for Warm {
    fn drop(&mut self) {
        if let Some(running) = self.running.take() {
            // It has answered nobody, and holds nothing.
            web::end_of(running, Duration::ZERO);
        }
    }
}
