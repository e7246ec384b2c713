//! One launcher at a time on one state: a lock that the system takes back when its holder dies, however it dies.

use std::ffi::OsStr;
use std::fmt;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read as _, Seek as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::careful;
use crate::cure;
use crate::failure::{Exit, Failure};

/// One that was killed, or has said its last word, holds the lock for a moment more.
const DYING: Duration = Duration::from_secs(1);

/// Held until dropped. The file stays: removing it would let two hold "the" lock.
#[derive(Debug)]
pub struct Lock {
    _file: File,
    path: PathBuf,
}

/// What the file says of its holder, who is there whatever it says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Holder {
    pub pid: Option<u32>,
    pub verb: Option<String>,
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.verb, self.pid) {
            (Some(verb), Some(pid)) => write!(f, "`mathesar {verb}` (pid {pid})"),
            _ => f.write_str("a launcher that does not say which"),
        }
    }
}

impl Holder {
    /// How to end it in good order: one that serves is asked to, and the others listen to nothing but a signal.
    pub fn end(&self, state: &Path) -> String {
        match self.serves() {
            true => "end it: `mathesar stop`".to_owned(),
            false => self.cure(state, "kill"),
        }
    }

    /// It has a control socket.
    pub fn serves(&self) -> bool {
        self.verb.as_deref() == Some("run")
    }

    /// How to end it. Anybody may have written the number: it counts where that process is a launcher of whom the state belongs to.
    pub fn cure(&self, state: &Path, kill: &str) -> String {
        match self.pid.filter(|pid| is_launcher(*pid, state)) {
            Some(pid) => format!("end it: `{kill} {pid}`"),
            None => format!("see which process it is: `fuser -v {}`", cure::path(&state.join("lock"))),
        }
    }
}

#[cfg(target_os = "linux")]
fn is_launcher(pid: u32, state: &Path) -> bool {
    let proc = PathBuf::from(format!("/proc/{pid}"));
    let owner = |path: &Path| std::fs::metadata(path).ok().map(|found| found.uid());
    let program = std::fs::read_link(proc.join("exe")).unwrap_or_default();
    // The name of one that was replaced meanwhile ends in ` (deleted)`.
    let name = program.file_name().and_then(OsStr::to_str).and_then(|name| name.split(' ').next());
    pid > 1 && owner(&proc).is_some() && owner(&proc) == owner(state) && name == Some("mathesar")
}

#[cfg(not(target_os = "linux"))]
fn is_launcher(pid: u32, _: &Path) -> bool {
    pid > 1
}

impl Lock {
    /// Takes the lock of a state folder, for a command named by `verb`; refuses with the holder's pid.
    pub fn take(state: &Path, verb: &str) -> Result<Lock, Failure> {
        Lock::take_for(state, "lock", verb, AT_WORK).map_err(|failure| match failure.exit {
            Exit::Refused => {
                let holder = Lock::holder(state).unwrap_or_default();
                failure.help(format!("see what it does: `mathesar status`; {}", holder.end(state)))
            }
            _ => failure,
        })
    }

    /// Another lock of the same folder, for work of one kind; `what` is said to whoever comes second.
    pub fn take_for(state: &Path, name: &str, verb: &str, what: &str) -> Result<Lock, Failure> {
        let path = state.join(name);
        let mut file = open(&path).map_err(|cause| {
            let denied = cause.kind() == std::io::ErrorKind::PermissionDenied;
            let failure = Failure::io("open", &path, cause);
            match denied && failure.helps().is_empty() {
                true => failure.help(format!(
                    "see whose it is: `ls -ld {} {}`",
                    cure::path(state),
                    cure::path(&path)
                )),
                false => failure,
            }
        })?;
        let end = Instant::now() + DYING;
        loop {
            match file.try_lock() {
                Ok(()) => break,
                Err(TryLockError::WouldBlock) if Instant::now() >= end => {
                    return Err(held(what, &read(&mut file)));
                }
                Err(TryLockError::WouldBlock) => std::thread::sleep(Duration::from_millis(20)),
                Err(TryLockError::Error(cause)) => return Err(Failure::io("lock", &path, cause)),
            }
        }
        let text = format!("{} {verb}\n", std::process::id());
        file.set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| file.write_all(text.as_bytes()))
            .map_err(|cause| Failure::io("write", &path, cause))?;
        Ok(Lock { _file: file, path })
    }

    /// Who holds the lock of a state folder now.
    pub fn holder(state: &Path) -> Option<Holder> {
        let mut file = careful::open(&state.join("lock")).ok()?;
        match file.try_lock_shared() {
            Err(TryLockError::WouldBlock) => Some(read(&mut file)),
            _ => None,
        }
    }

    /// Whether somebody holds another lock of a state folder now.
    pub fn is_held(state: &Path, name: &str) -> bool {
        let file = careful::open(&state.join(name));
        file.is_ok_and(|file| matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)))
    }

    pub fn path(&self) -> &Path {
        &self.path
    }
}

fn open(path: &Path) -> std::io::Result<File> {
    // CLOEXEC as all of std's: a child that outlives us must not hold the lock.
    OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)
}

fn read(file: &mut File) -> Holder {
    let mut text = String::new();
    // One that is no text says nothing.
    let _ = file.take(200).read_to_string(&mut text);
    parse(&text).unwrap_or_default()
}

fn parse(text: &str) -> Option<Holder> {
    let (pid, verb) = text.trim().split_once(' ')?;
    let plain = verb.bytes().all(|byte| byte.is_ascii_lowercase() || matches!(byte, b' ' | b'-'));
    plain.then_some(Holder { pid: Some(pid.parse().ok()?), verb: Some(verb.to_owned()) })
}

/// What is said to whoever comes second, by every command.
const AT_WORK: &str = "another launcher is at work here";

pub fn at_work(holder: &Holder) -> Failure {
    held(AT_WORK, holder)
}

/// The same where the first one was asked, and said nothing.
pub fn silent(holder: &Holder) -> Failure {
    at_work(holder).cause("it does not answer")
}

fn held(what: &str, holder: &Holder) -> Failure {
    Failure::new(format!("{what}: {holder}")).exit(Exit::Refused)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_is_told_who_is_first() {
        let state = tempfile::tempdir().unwrap();
        assert_eq!(Lock::holder(state.path()), None);
        let first = Lock::take(state.path(), "run").unwrap();
        let second = Lock::take(state.path(), "upgrade").unwrap_err();
        let pid = std::process::id();
        assert_eq!(second.exit, Exit::Refused);
        assert_eq!(
            second.to_string(),
            format!("another launcher is at work here: `mathesar run` (pid {pid})")
        );
        assert_eq!(Lock::holder(state.path()), Some(Holder { pid: Some(pid), verb: Some("run".into()) }));
        assert!(second.helps()[0].ends_with("end it: `mathesar stop`"), "{:?}", second.helps());
        // Nobody could ask another one to stop.
        std::fs::write(state.path().join("lock"), format!("{pid} setup\n")).unwrap();
        let third = Lock::take(state.path(), "upgrade").unwrap_err();
        assert!(!third.helps()[0].contains("mathesar stop"), "{:?}", third.helps());
        drop(first);
        // A child of another test has it, too, for the moment between fork and exec.
        let end = Instant::now() + Duration::from_secs(10);
        while Lock::holder(state.path()).is_some() && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(5));
        }
        assert_eq!(Lock::holder(state.path()), None);
        Lock::take(state.path(), "upgrade").unwrap();
    }

    #[test]
    fn what_the_file_says_is_not_believed() {
        let state = tempfile::tempdir().unwrap();
        let _lock = Lock::take(state.path(), "run").unwrap();
        for text in ["", "1 run\u{1b}[8m", "x run", "\u{7}"] {
            std::fs::write(state.path().join("lock"), text).unwrap();
            assert_eq!(Lock::holder(state.path()), Some(Holder::default()), "{text:?}");
        }
        let own = std::process::id();
        for pid in [0, 1, own, u32::MAX] {
            let holder = Holder { pid: Some(pid), verb: Some("run".into()) };
            assert!(holder.cure(state.path(), "kill").contains("fuser"), "{pid}");
        }
    }

    #[test]
    fn what_a_dead_one_wrote_holds_nobody() {
        let state = tempfile::tempdir().unwrap();
        std::fs::write(state.path().join("lock"), "1 run and much more text than the new one\n").unwrap();
        let _lock = Lock::take(state.path(), "start").unwrap();
        let text = std::fs::read_to_string(state.path().join("lock")).unwrap();
        assert_eq!(text, format!("{} start\n", std::process::id()));
    }
}
