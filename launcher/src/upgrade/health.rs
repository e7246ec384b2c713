//! Whether a release works, before anybody is let in: it answers on a socket that only the launcher knows.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::failure::Failure;
use crate::server::{Gunicorn, Listener, Web};
use crate::supervise::log::Sink;
use crate::supervise::{Cancel, Exits, Service as _};

/// Starts its gunicorn, asks for the page, and ends it again.
pub fn page(
    mut settings: Gunicorn,
    timeout: Duration,
    cancel: &Cancel,
    sink: &Arc<dyn Sink>,
) -> Result<(), Failure> {
    settings.start_timeout = timeout;
    settings.workers = 1;
    // What it serves may be closed to others.
    let options = settings.environment.entry("PGOPTIONS".into()).or_default();
    if !options.is_empty() {
        options.push(" ");
    }
    options.push(crate::database::WRITES);
    let private = settings.run.join("health.sock");
    let listener = Listener::open(&format!("unix:{}", private.display()))?;
    let mut web = Web::new(Arc::new(Mutex::new(settings)), &listener, Arc::clone(sink));
    // Its end is seen by the start itself.
    let result = web.start(&Exits::new(|_| ()), cancel);
    web.stop();
    result
}
