//! gunicorn as a service: started on the launcher's socket, known to be ready, replaced without a gap.

use std::io::Write as _;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::gunicorn::{Gunicorn, MARK, PROBE_PATH};
use super::near::Near;
use super::probe::{Answer, get};
use super::warm::Warm;
use crate::failure::Failure;
use crate::supervise::log::Sink;
use crate::supervise::{Cancel, Child, Exits, Service, Spec, orphans};

/// A request that takes longer than this makes a probe fail; several have to before anything happens.
const PROBE_TIMEOUT: Duration = Duration::from_secs(10);

/// One that answers, and wrongly, is up: it may still be waiting for others, but not for as long as a start may take.
const WRONG_ANSWERS: Duration = Duration::from_secs(30);

pub(super) struct Running {
    child: Child,
    probes: PathBuf,
    /// Its end is wanted, or not yet interesting.
    expected: Arc<AtomicBool>,
    /// Who wants to know of an end that is neither.
    exits: Listening,
    grace: Duration,
}

type Listening = Arc<Mutex<Option<Exits>>>;

impl Running {
    pub(super) fn lives(&self) -> bool {
        self.child.status().is_none()
    }
}

/// The web server.
pub struct Web {
    settings: Arc<Mutex<Gunicorn>>,
    listener: Arc<OwnedFd>,
    trust_unix: bool,
    sink: Arc<dyn Sink>,
    running: Option<Running>,
    /// What the running one was started with: the settings in force.
    proven: Arc<Mutex<Option<Gunicorn>>>,
    /// For the first start.
    warm: Option<Warm>,
    count: u32,
}

impl Web {
    /// `settings` may be changed at any time, and count from the next start or replacement on.
    pub fn new(settings: Arc<Mutex<Gunicorn>>, listener: &super::Listener, sink: Arc<dyn Sink>) -> Web {
        let trust_unix = listener.is_unix();
        Web {
            settings,
            listener: listener.fd(),
            trust_unix,
            sink,
            running: None,
            proven: Arc::default(),
            warm: None,
            count: 0,
        }
    }

    /// The first gunicorn is one that has begun already.
    pub fn with(mut self, warm: Option<Warm>) -> Web {
        self.count = u32::from(warm.is_some());
        self.warm = warm;
        self
    }

    /// The settings of the gunicorn that serves now; none before the first has answered.
    pub fn in_force(&self) -> Arc<Mutex<Option<Gunicorn>>> {
        Arc::clone(&self.proven)
    }

    /// How many processes a killed launcher has left.
    pub fn leftovers(state: &std::path::Path) -> usize {
        orphans::marked(MARK, &state.to_string_lossy()).len()
    }

    /// Ends what a killed launcher left: under the state lock nobody else's processes bear this mark.
    pub fn clear_leftovers(state: &std::path::Path, grace: Duration) -> usize {
        orphans::end(MARK, &state.to_string_lossy(), grace)
    }

    /// How many failed probes in a row mean more than requests that take their time.
    pub fn patience(request_timeout: Duration) -> u32 {
        (request_timeout.as_secs() / PROBE_TIMEOUT.as_secs() + 2) as u32
    }

    fn settings(&self) -> Gunicorn {
        self.settings.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn spawn(&mut self, gunicorn: &Gunicorn, exits: &Exits) -> Result<Running, Failure> {
        if let Some(running) = self.warm.take().and_then(|warm| warm.go(gunicorn)) {
            *running.exits.lock().unwrap_or_else(PoisonError::into_inner) = Some(exits.clone());
            return Ok(running);
        }
        if self.count == 0 {
            remove_stale(&gunicorn.run);
        }
        self.count += 1;
        let place = probe_path(&gunicorn.run, self.count);
        let exits = Arc::new(Mutex::new(Some(exits.clone())));
        spawn(gunicorn, place, vec![Arc::clone(&self.listener)], self.trust_unix, &self.sink, &exits)
    }

    /// Starts one, and waits for its first answer. After an error nothing of it is left.
    fn ready(&mut self, exits: &Exits, cancel: &Cancel) -> Result<Running, Failure> {
        let settings = self.settings();
        let (host, timeout) = (settings.host.clone(), settings.start_timeout);
        let running = self.spawn(&settings, exits)?;
        let mut end = Instant::now() + timeout;
        let mut said = None;
        let gone = || running.child.status().is_some();
        loop {
            let left = end.saturating_duration_since(Instant::now());
            // The request waits in the backlog for the first worker: no polling, and no moment lost.
            let answer = get(&running.probes, PROBE_PATH, &host, left, || cancel.cancelled() || gone());
            if matches!(answer, Answer::Status(200 | 302)) && !gone() {
                running.expected.store(false, Ordering::SeqCst);
                *self.proven.lock().unwrap_or_else(PoisonError::into_inner) = Some(settings);
                return Ok(running);
            }
            // Given a moment, so that its end is known and said instead of a closed connection.
            if answer == Answer::Closed {
                running.child.wait(Duration::from_secs(1));
            }
            if let Answer::Status(status) = answer {
                if said.is_none() {
                    end = end.min(Instant::now() + WRONG_ANSWERS);
                }
                said = Some(status);
            }
            if let Some(why) = verdict(&answer, said, running.child.status(), cancel, left) {
                end_of(running, Duration::from_secs(2));
                return Err(why);
            }
            std::thread::sleep(Duration::from_secs(1).min(left));
        }
    }
}

/// `keep`: the visitors' socket, and what else it needs.
pub(super) fn spawn(
    gunicorn: &Gunicorn,
    place: PathBuf,
    mut keep: Vec<Arc<OwnedFd>>,
    trust_unix: bool,
    sink: &Arc<dyn Sink>,
    exits: &Listening,
) -> Result<Running, Failure> {
    std::fs::create_dir_all(&gunicorn.run).map_err(|cause| Failure::io("make", &gunicorn.run, cause))?;
    write_config(gunicorn, trust_unix)?;
    let probes = probe_listener(&place)?;
    let visitors = keep.first().map_or(-1, |visitors| visitors.as_raw_fd());
    let args = gunicorn.args(visitors, probes.as_raw_fd());
    // Our copy of the probes' socket goes with the spawn: when gunicorn dies, nobody listens there.
    keep.push(Arc::new(probes));
    let spec = Spec {
        name: "gunicorn",
        program: gunicorn.python.clone(),
        args,
        environment: gunicorn.variables(),
        current_dir: Some(gunicorn.app.clone()),
        user: gunicorn.user,
        stdin: None,
        keep,
        stop: Signal::TERM,
        // Quick, but in order: the master ends its workers.
        orphaned: Signal::QUIT,
    };
    let expected = Arc::new(AtomicBool::new(true));
    let (silent, listening) = (Arc::clone(&expected), Arc::clone(exits));
    let on_exit = move |status: std::process::ExitStatus| {
        let exits = listening.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(exits) = exits.as_ref().filter(|_| !silent.load(Ordering::SeqCst)) {
            exits.ended(status.to_string());
        }
    };
    let child = Child::spawn(spec, sink, Box::new(on_exit)).inspect_err(|_| remove(&place))?;
    let grace = gunicorn.stop_timeout + Duration::from_secs(2);
    Ok(Running { child, probes: place, expected, exits: Arc::clone(exits), grace })
}

fn verdict(
    answer: &Answer,
    said: Option<u16>,
    ended: Option<std::process::ExitStatus>,
    cancel: &Cancel,
    left: Duration,
) -> Option<Failure> {
    if cancel.cancelled() {
        return Some(Failure::new("the start of gunicorn was given up"));
    }
    if let Some(status) = ended {
        return Some(
            Failure::new(format!("gunicorn ended while it started ({status})"))
                .help("its words: `mathesar logs`"),
        );
    }
    if left.is_zero() || *answer == Answer::Late {
        let said = match said {
            Some(status) => format!("{PROBE_PATH} answers {status}"),
            None => format!("{PROBE_PATH} does not answer"),
        };
        return Some(
            Failure::new(format!("gunicorn does not become ready: {said}"))
                .help("its words: `mathesar logs`"),
        );
    }
    None
}

pub(super) fn end_of(running: Running, grace: Duration) {
    running.expected.store(true, Ordering::SeqCst);
    running.child.stop(grace);
    remove(&running.probes);
}

/// The probes' socket of this launcher's nth gunicorn.
pub(super) fn probe_path(run: &std::path::Path, count: u32) -> PathBuf {
    run.join(format!("gunicorn-{}-{count}.sock", std::process::id()))
}

fn remove(path: &std::path::Path) {
    let _ = std::fs::remove_file(path);
}

/// Probe sockets of launchers that were killed; the state lock says that none of them lives.
pub(super) fn remove_stale(run: &std::path::Path) {
    for entry in std::fs::read_dir(run).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with("gunicorn-") && name.ends_with(".sock") {
            remove(&entry.path());
        }
    }
}

fn probe_listener(path: &std::path::Path) -> Result<OwnedFd, Failure> {
    let failed = |cause| Failure::io("listen on", path, cause);
    remove(path);
    let near = Near::new(path).map_err(failed)?;
    let listener = UnixListener::bind(near.path()).map_err(failed)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).map_err(failed)?;
    listener.set_nonblocking(true).map_err(failed)?;
    Ok(listener.into())
}

fn write_config(gunicorn: &Gunicorn, trust_unix: bool) -> Result<(), Failure> {
    let path = gunicorn.config_file();
    let fresh = path.with_extension("new");
    let failed = |cause| Failure::io("write", &fresh, cause);
    remove(&fresh);
    // Readable for the user that gunicorn runs as; there is no secret in it.
    let mut file =
        std::fs::OpenOptions::new().write(true).create_new(true).mode(0o644).open(&fresh).map_err(failed)?;
    file.write_all(gunicorn.config_text(trust_unix).as_bytes()).map_err(failed)?;
    if gunicorn.user.is_some() {
        file.set_permissions(std::fs::Permissions::from_mode(0o644)).map_err(failed)?;
    }
    std::fs::rename(&fresh, &path).map_err(|cause| Failure::io("write", &path, cause))
}

impl Service for Web {
    fn name(&self) -> &'static str {
        "gunicorn"
    }

    fn start(&mut self, exits: &Exits, cancel: &Cancel) -> Result<(), Failure> {
        if let Some(dead) = self.running.take() {
            // Workers without their master finish what they answer, while the new ones come.
            dead.expected.store(true, Ordering::SeqCst);
            dead.child.stop(Duration::from_secs(2));
            remove(&dead.probes);
        }
        self.running = Some(self.ready(exits, cancel)?);
        Ok(())
    }

    fn probe(&mut self) -> Result<(), Failure> {
        let Some(running) = &self.running else { return Err(Failure::new("gunicorn does not run")) };
        let gone = || running.child.status().is_some();
        match get(&running.probes, PROBE_PATH, &self.settings().host, PROBE_TIMEOUT, gone) {
            Answer::Status(200 | 302) => Ok(()),
            Answer::Status(500) => {
                Err(Failure::new(format!("{PROBE_PATH} answers 500: see `mathesar logs`")))
            }
            Answer::Status(status) => Err(Failure::new(format!("{PROBE_PATH} answers {status}"))),
            Answer::Late => {
                let seconds = PROBE_TIMEOUT.as_secs();
                Err(Failure::new(format!("{PROBE_PATH} does not answer within {seconds} s")))
            }
            Answer::Closed if !gone() && !running.probes.exists() => {
                const GONE: &str = "the socket for probes was removed";
                let exits = running.exits.lock().unwrap_or_else(PoisonError::into_inner).clone();
                // It would never be known again whether it works; visitors wait in the backlog.
                self.stop();
                if let Some(exits) = exits {
                    exits.ended(GONE.to_owned());
                }
                Err(Failure::new(GONE))
            }
            Answer::Closed | Answer::Cancelled | Answer::Strange => {
                Err(Failure::new(format!("{PROBE_PATH} is not answered")))
            }
        }
    }

    fn replace(&mut self, exits: &Exits, cancel: &Cancel) -> Result<(), Failure> {
        let new = self.ready(exits, cancel).inspect_err(|_| {
            // The old one goes on, and after a crash it comes back as it was: settings that do not start are not kept.
            let proven = self.proven.lock().unwrap_or_else(PoisonError::into_inner).clone();
            if let Some(proven) = proven {
                *self.settings.lock().unwrap_or_else(PoisonError::into_inner) = proven;
            }
        })?;
        if let Some(old) = self.running.replace(new) {
            let grace = old.grace;
            end_of(old, grace);
        }
        Ok(())
    }

    fn stop(&mut self) {
        self.warm = None;
        if let Some(running) = self.running.take() {
            let grace = running.grace;
            end_of(running, grace);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_it_answered_is_told_where_it_never_becomes_ready() {
        let why = |said| {
            verdict(&Answer::Late, said, None, &Cancel::default(), Duration::ZERO).unwrap().to_string()
        };
        assert_eq!(why(Some(500)), "gunicorn does not become ready: /auth/login/ answers 500");
        assert_eq!(why(None), "gunicorn does not become ready: /auth/login/ does not answer");
        let soon = verdict(&Answer::Status(500), Some(500), None, &Cancel::default(), Duration::from_secs(1));
        assert!(soon.is_none());
    }
}
