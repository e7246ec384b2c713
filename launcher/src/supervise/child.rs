//! One long-lived child: in a process group of its own, dying with the launcher, its words going to the log.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::{BufRead as _, BufReader, Read};
use std::os::fd::OwnedFd;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::PathBuf;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, OnceLock, PoisonError, mpsc};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, kill_process_group, test_kill_process_group};

use super::log::Sink;
use crate::failure::Failure;
use crate::process::{User, inherited};
use crate::raw;

/// What to start, and how it ends.
#[derive(Debug, Clone)]
pub struct Spec {
    /// The source mark in the log.
    pub name: &'static str,
    pub program: PathBuf,
    pub args: Vec<OsString>,
    /// Added to the few variables that every child inherits; nothing of systemd's (NOTIFY_SOCKET, WATCHDOG_*, LISTEN_*) is among those.
    pub environment: BTreeMap<OsString, OsString>,
    pub current_dir: Option<PathBuf>,
    pub user: Option<User>,
    /// What it has as standard input; nothing where None. An inherited file keeps its lock for as long as the child lives.
    pub stdin: Option<Arc<OwnedFd>>,
    /// Descriptors that it keeps, under their own numbers.
    pub keep: Vec<Arc<OwnedFd>>,
    /// What ends it in good order.
    pub stop: Signal,
    /// What it gets when the launcher is killed.
    pub orphaned: Signal,
}

/// Called once, from the thread that waited, with how it ended.
pub type OnExit = Box<dyn FnOnce(ExitStatus) + Send>;

#[derive(Debug, Default)]
struct Exit {
    status: Mutex<Option<ExitStatus>>,
    changed: Condvar,
}

/// A child that runs, or ran.
#[derive(Debug, Clone)]
pub struct Child {
    pub name: &'static str,
    pid: Pid,
    stop: Signal,
    exit: Arc<Exit>,
    /// Closed once nothing reads the child's output any more.
    logs: Arc<Mutex<mpsc::Receiver<()>>>,
}

/// Lines longer than this are cut in pieces: a child must not fill our memory.
const LONGEST_LINE: u64 = 16 * 1024;

impl Child {
    pub fn spawn(spec: Spec, sink: &Arc<dyn Sink>, on_exit: OnExit) -> Result<Child, Failure> {
        let (name, stop, program) = (spec.name, spec.stop, spec.program.clone());
        let failed =
            |cause: std::io::Error| Failure::new(format!("cannot run {}", program.display())).cause(cause);
        let mut child = on_spawner(move || spec.spawn()).map_err(failed)?;
        let exit = Arc::new(Exit::default());
        let pid = Pid::from_child(&child);
        let (reading, logs) = mpsc::channel::<()>();
        for stream in [
            child.stdout.take().map(|out| Box::new(out) as Box<dyn Read + Send>),
            child.stderr.take().map(|err| Box::new(err) as Box<dyn Read + Send>),
        ]
        .into_iter()
        .flatten()
        {
            let (sink, reading) = (Arc::clone(sink), reading.clone());
            thread(format!("{name}-log"), move || {
                copy_lines(stream, name, sink.as_ref());
                drop(reading);
            })?;
        }
        drop(reading);
        let shared = Arc::clone(&exit);
        thread(format!("{name}-wait"), move || {
            let status = child.wait().unwrap_or_else(|_| ExitStatus::from_raw(0));
            *shared.status.lock().unwrap_or_else(PoisonError::into_inner) = Some(status);
            shared.changed.notify_all();
            on_exit(status);
        })?;
        Ok(Child { name, pid, stop, exit, logs: Arc::new(Mutex::new(logs)) })
    }

    pub fn pid(&self) -> i32 {
        self.pid.as_raw_nonzero().get()
    }

    /// How it ended, if it did.
    pub fn status(&self) -> Option<ExitStatus> {
        *self.exit.status.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for its end, this long at most.
    pub fn wait(&self, timeout: Duration) -> Option<ExitStatus> {
        let status = self.exit.status.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.exit.changed.wait_timeout_while(status, timeout, |status| status.is_none());
        *waited.unwrap_or_else(PoisonError::into_inner).0
    }

    /// Signals the leader alone; it knows what its own children need.
    pub fn signal(&self, signal: Signal) {
        // Held during the call: once the status is known the pid may belong to somebody else.
        let status = self.exit.status.lock().unwrap_or_else(PoisonError::into_inner);
        if status.is_none() {
            let _ = kill_process(self.pid, signal);
        }
    }

    /// Asks it to end, and after the grace kills whatever of its group is left. True: it went in good order.
    pub fn stop(&self, grace: Duration) -> bool {
        self.signal(self.stop);
        // One that is stopped (SIGSTOP, a debugger) would sleep through everything but SIGKILL.
        self.signal(Signal::CONT);
        let orderly = self.wait(grace).is_some();
        self.clear_group(if orderly { grace.min(Duration::from_secs(5)) } else { Duration::ZERO });
        self.finish_logs();
        orderly
    }

    /// Its last words are often what one looks for: waits until they are in the log. Somebody outside the group may still
    /// hold the pipe, so not for long.
    fn finish_logs(&self) {
        let logs = self.logs.lock().unwrap_or_else(PoisonError::into_inner);
        // Nothing is ever sent: the answer is that every reader has ended.
        let _ = logs.recv_timeout(Duration::from_secs(1));
    }

    /// What a leader left behind when it died: asked to end, then killed.
    pub fn clear_group(&self, grace: Duration) {
        let alive = || test_kill_process_group(self.pid).is_ok();
        let end = Instant::now() + grace;
        if alive() && !grace.is_zero() {
            let _ = kill_process_group(self.pid, Signal::TERM);
            while alive() && Instant::now() < end {
                std::thread::sleep(Duration::from_millis(50));
                super::orphans::reap_group(self.pid, self.status().is_some());
            }
        }
        if alive() {
            let _ = kill_process_group(self.pid, Signal::KILL);
            self.wait(Duration::from_secs(5));
            super::orphans::reap_group(self.pid, self.status().is_some());
        }
    }
}

impl Spec {
    fn spawn(self) -> std::io::Result<std::process::Child> {
        let mut command = Command::new(&self.program);
        command
            .args(&self.args)
            .env_clear()
            .envs(inherited())
            .envs(&self.environment)
            .stdin(match &self.stdin {
                Some(file) => Stdio::from(file.try_clone()?),
                None => Stdio::null(),
            })
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0);
        if let Some(folder) = &self.current_dir {
            command.current_dir(folder);
        }
        if let Some(user) = self.user {
            command.uid(user.uid).gid(user.gid);
        }
        raw::before_exec(&mut command, self.keep, self.orphaned);
        command.spawn()
    }
}

type Job = Box<dyn FnOnce() + Send>;

/// Runs in the one thread that lives as long as the process: the death signal comes when the *thread* that spawned ends.
fn on_spawner<T: Send + 'static>(
    work: impl FnOnce() -> std::io::Result<T> + Send + 'static,
) -> std::io::Result<T> {
    static SPAWNER: OnceLock<Mutex<mpsc::Sender<Job>>> = OnceLock::new();
    let spawner = SPAWNER.get_or_init(|| {
        let (sender, jobs) = mpsc::channel::<Job>();
        // A thread that cannot be made closes the channel, and the send below tells.
        let _ = std::thread::Builder::new().name("spawner".to_owned()).spawn(move || {
            for job in jobs {
                job();
            }
        });
        Mutex::new(sender)
    });
    let (answer, answered) = mpsc::channel();
    let job: Job = Box::new(move || {
        let _ = answer.send(work());
    });
    let gone = |_| std::io::Error::other("the thread that starts children is gone");
    spawner
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .send(job)
        .map_err(|_| std::io::Error::other("no thread to start children from"))?;
    answered.recv().map_err(gone)?
}

pub(crate) fn thread(name: String, work: impl FnOnce() + Send + 'static) -> Result<(), Failure> {
    std::thread::Builder::new()
        .name(name)
        // Small stacks: a dozen threads, 8 MB resident in all.
        .stack_size(256 * 1024)
        .spawn(work)
        .map(drop)
        .map_err(|cause| Failure::new("cannot start a thread").cause(cause))
}

fn copy_lines(stream: impl Read, source: &str, sink: &dyn Sink) {
    let mut reader = BufReader::new(stream);
    let mut line = Vec::new();
    loop {
        line.clear();
        match reader.by_ref().take(LONGEST_LINE).read_until(b'\n', &mut line) {
            Ok(0) | Err(_) => return,
            Ok(_) => {
                let text = String::from_utf8_lossy(&line);
                sink.line(source, text.trim_end_matches(['\n', '\r']));
            }
        }
    }
}
