//! gunicorn's settings, from everything that the steps have found: for whoever serves, or tries a release before it serves.

use std::time::Duration;

use crate::application;
use crate::failure::Failure;
use crate::server::Gunicorn;
use crate::server::gunicorn::{machine, workers};
use crate::steps::World;

/// How long the application may take to its first answer: importing it on a cold, busy disk.
const START: Duration = Duration::from_secs(120);

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
