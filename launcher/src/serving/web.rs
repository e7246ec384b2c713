//! gunicorn's settings, from everything that the preparation has found.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::lock_of;
use crate::application;
use crate::failure::Failure;
use crate::server::gunicorn::{machine, workers};
use crate::server::{Gunicorn, Listener, Warm};
use crate::steps::{Step, World};
use crate::supervise::log::Sink;

/// How long the application may take to its first answer: importing it on a cold, busy disk.
const START: Duration = Duration::from_secs(120);

/// Begins the first gunicorn as soon as it can be of use: once there is an environment, the database is known, and one of the two
/// that need a processor of their own for seconds, static files and tables, is done.
#[derive(Default)]
pub(super) struct Warming {
    done: Mutex<BTreeSet<Step>>,
    warm: Mutex<Option<Warm>>,
}

impl Warming {
    pub(super) fn after(&self, step: Step, world: &World, listener: &Listener, sink: &Arc<dyn Sink>) {
        let can_begin = |done: &BTreeSet<Step>| {
            [Step::Python, Step::Postgresql].iter().all(|step| done.contains(step))
                && [Step::Static, Step::Migrate].iter().any(|step| done.contains(step))
        };
        {
            let mut done = lock_of(&self.done);
            let before = can_begin(&done);
            done.insert(step);
            if before || !can_begin(&done) {
                return;
            }
        }
        // What is wrong is said by the start itself, which does without.
        let warm = gunicorn(world).and_then(|settings| Warm::begin(settings, listener, sink));
        *lock_of(&self.warm) = warm.ok();
    }

    pub(super) fn take(&self) -> Option<Warm> {
        lock_of(&self.warm).take()
    }
}

/// As the settings are now.
pub fn gunicorn(world: &World) -> Result<Gunicorn, Failure> {
    let installation = &world.installation;
    let config = &installation.config;
    let release = world.release()?;
    let seconds = |name: &str, otherwise| config.duration(name).unwrap_or(Duration::from_secs(otherwise));
    Ok(Gunicorn {
        python: application::interpreter(&release.path),
        app: application::tree(&release.path),
        environment: world.variables()?,
        run: installation.layout.run.clone(),
        state: installation.layout.state.clone(),
        workers: config.integer("server.workers").map_or_else(
            || {
                let (processors, memory) = machine();
                workers(processors, memory)
            },
            |number| u32::try_from(number).unwrap_or(1),
        ),
        request_timeout: seconds("server.request-timeout", 60),
        stop_timeout: seconds("server.stop-timeout", 30),
        start_timeout: START,
        trusted_proxies: config.list("server.trusted-proxies").to_vec(),
        log_requests: config.bool("log.requests"),
        log_level: config.text("log.level").unwrap_or("info").to_owned(),
        host: "localhost".to_owned(),
        user: None,
        made_from: installation.fingerprint(),
    })
}
