//! The private cluster's server as a service: started by the supervisor, or by the preparation before it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustix::process::Signal;

use super::cluster::Cluster;
use super::running::ServerCommand;
use crate::failure::Failure;
use crate::supervise::log::Sink;
use crate::supervise::{Cancel, Child, Exits, Service, Spec};

/// How long it may take to write everything out; the unit's TimeoutStopSec is longer.
const FAST: Duration = Duration::from_secs(240);
/// PostgreSQL itself gives its processes five seconds.
const IMMEDIATE: Duration = Duration::from_secs(20);

/// One server process, and who wants to know of its end.
#[derive(Clone)]
pub struct Postgres {
    inner: Arc<Mutex<Inner>>,
    /// Nobody wants it any more: also a start that is under way.
    unwanted: Cancel,
}

struct Inner {
    cluster: Option<Cluster>,
    /// The next start is one for a transaction: others only read.
    closed: bool,
    sink: Arc<dyn Sink>,
    start_timeout: Duration,
    running: Option<Child>,
    /// Told when it ends unexpectedly; none while the preparation runs, which sees it itself.
    exits: Arc<Mutex<Option<Exits>>>,
    expected: Arc<AtomicBool>,
}

impl Postgres {
    /// `cluster` may come later: the preparation finds it.
    pub fn new(sink: Arc<dyn Sink>, start_timeout: Duration) -> Postgres {
        let inner = Inner {
            cluster: None,
            closed: false,
            sink,
            start_timeout,
            running: None,
            exits: Arc::default(),
            expected: Arc::default(),
        };
        Postgres { inner: Arc::new(Mutex::new(inner)), unwanted: Cancel::default() }
    }

    /// Starts the server, unless it runs; an earlier launcher's is ended first, as it has that one's settings.
    pub fn bring_up(&self, cluster: &Cluster) -> Result<(), Failure> {
        let mut inner = self.lock();
        inner.cluster = Some(cluster.clone());
        inner.start(&self.unwanted)
    }

    /// Where its words go.
    pub fn sink(&self) -> Arc<dyn Sink> {
        Arc::clone(&self.lock().sink)
    }

    /// Ends it in good order; it may be brought up again.
    pub fn pause(&self) {
        self.lock().stop();
    }

    /// Ends it; when it is brought up again, everybody but the launcher and what that starts only reads. What somebody else would
    /// write, psql or a program with an account of its own, would be gone if the transaction is taken back.
    pub fn close(&self) {
        let mut inner = self.lock();
        inner.stop();
        inner.closed = true;
    }

    /// After a commit, which counts whatever comes: one that cannot be opened is ended, and open when it is started anew.
    pub fn open_or_end(&self) {
        if let Err(failure) = self.open() {
            self.sink().line("launcher", &failure.whole());
            self.pause();
        }
    }

    /// Everybody writes again; at once where it runs.
    pub fn open(&self) -> Result<(), Failure> {
        let mut inner = self.lock();
        let was_closed = std::mem::replace(&mut inner.closed, false);
        match (was_closed && inner.runs(), &inner.cluster, &inner.running) {
            (true, Some(cluster), Some(child)) => cluster.open(|| child.signal(Signal::HUP)),
            _ => Ok(()),
        }
    }

    /// Ends it in good order, for good. Harmless when nothing runs.
    pub fn bring_down(&self) {
        self.unwanted.cancel();
        self.lock().stop();
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn runs(&self) -> bool {
        self.running.as_ref().is_some_and(|child| child.status().is_none())
    }

    fn start(&mut self, cancel: &Cancel) -> Result<(), Failure> {
        if cancel.cancelled() {
            return Err(Failure::new("the start of PostgreSQL was given up"));
        }
        if self.runs() {
            return Ok(());
        }
        self.running = None;
        let Some(cluster) = self.cluster.clone() else {
            return Err(Failure::new("there is no database yet").help("make it: `mathesar db init`"));
        };
        if let Some(mut left) = cluster.adopt() {
            self.sink
                .line("launcher", &format!("ending a PostgreSQL that was left running (pid {})", left.pid));
            left.stop(FAST)?;
        }
        let read_only = self.closed;
        let ServerCommand { program, args, lock, told } =
            Cluster { read_only, ..cluster.clone() }.command()?;
        if let Some(told) = told {
            self.sink.line("launcher", &told);
        }
        self.expected = Arc::default();
        let (expected, exits) = (Arc::clone(&self.expected), Arc::clone(&self.exits));
        let on_exit = move |status: std::process::ExitStatus| {
            if expected.load(Ordering::SeqCst) {
                return;
            }
            if let Some(exits) = exits.lock().unwrap_or_else(PoisonError::into_inner).as_ref() {
                exits.ended(status.to_string());
            }
        };
        let spec = Spec {
            name: "postgresql",
            program,
            args,
            environment: BTreeMap::new(),
            current_dir: Some("/".into()),
            user: cluster.owner.user,
            stdin: Some(Arc::new(lock.into())),
            keep: Vec::new(),
            // Fast: ends transactions, writes everything.
            stop: Signal::INT,
            // A launcher that is killed takes it along in the same good order.
            orphaned: Signal::INT,
        };
        let child = Child::spawn(spec, &self.sink, Box::new(on_exit))?;
        let pid = child.pid().unsigned_abs();
        let ended = || match child.status() {
            Some(status) => Ok(Some(status.to_string())),
            None if cancel.cancelled() => Err(Failure::new("the start of PostgreSQL was given up")),
            None => Ok(None),
        };
        let ready = cluster.wait_until_ready(pid, self.start_timeout, ended);
        self.running = Some(child);
        ready.inspect_err(|_| self.stop())
    }

    fn stop(&mut self) {
        self.expected.store(true, Ordering::SeqCst);
        let Some(child) = self.running.take() else { return };
        child.signal(Signal::INT);
        // One that is stopped (SIGSTOP, a debugger) would sleep through it.
        child.signal(Signal::CONT);
        if child.wait(FAST).is_none() {
            self.sink
                .line("launcher", "PostgreSQL takes too long to end; ending it at once, nothing is lost");
            child.signal(Signal::QUIT);
            child.wait(IMMEDIATE);
        }
        child.stop(Duration::from_secs(1));
    }
}

impl Service for Postgres {
    fn name(&self) -> &'static str {
        "postgresql"
    }

    fn start(&mut self, exits: &Exits, cancel: &Cancel) -> Result<(), Failure> {
        let mut inner = self.lock();
        *inner.exits.lock().unwrap_or_else(PoisonError::into_inner) = Some(exits.clone());
        // One that ended between the preparation and now has told nobody: it is started again here.
        inner.start(cancel)
    }

    fn probe(&mut self) -> Result<(), Failure> {
        let mut inner = self.lock();
        match &inner.cluster {
            Some(cluster) if cluster.is_ready() => Ok(()),
            // Nobody ever reaches it again; it makes a new one when it starts.
            Some(cluster) if inner.runs() && !cluster.socket_file().exists() => {
                const GONE: &str = "PostgreSQL's socket was removed";
                inner.stop();
                if let Some(exits) = inner.exits.lock().unwrap_or_else(PoisonError::into_inner).as_ref() {
                    exits.ended(GONE.to_owned());
                }
                Err(Failure::new(GONE))
            }
            _ => Err(Failure::new("PostgreSQL does not accept connections")),
        }
    }

    /// Never without a gap: two servers on one data directory there cannot be.
    fn replace(&mut self, exits: &Exits, cancel: &Cancel) -> Result<(), Failure> {
        self.lock().stop();
        self.start(exits, cancel)
    }

    fn stop(&mut self) {
        self.lock().stop();
    }
}
