//! One launcher at a time on one state: a lock that the system takes back when its holder dies, however it dies.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read as _, Seek as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::failure::{Exit, Failure};

/// One that was killed, or has said its last word, holds the lock for a moment more.
const DYING: Duration = Duration::from_secs(1);

/// Held until dropped. The file stays: removing it would let two hold "the" lock.
#[derive(Debug)]
pub struct Lock {
    _file: File,
    path: PathBuf,
}

/// What the file says of its holder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    pub pid: u32,
    pub verb: String,
}

impl Lock {
    /// Takes the lock of a state folder, for a command named by `verb`; refuses with the holder's pid.
    pub fn take(state: &Path, verb: &str) -> Result<Lock, Failure> {
        let path = state.join("lock");
        let mut file = open(&path).map_err(|cause| {
            let denied = cause.kind() == std::io::ErrorKind::PermissionDenied;
            let failure = Failure::io("open", &path, cause);
            match denied {
                true => {
                    failure.help(format!("see whose it is: `ls -ld {} {}`", state.display(), path.display()))
                }
                false => failure,
            }
        })?;
        let end = Instant::now() + DYING;
        loop {
            match file.try_lock() {
                Ok(()) => break,
                Err(TryLockError::WouldBlock) if Instant::now() >= end => {
                    return Err(held(&read(&mut file)));
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
        let mut file = File::open(state.join("lock")).ok()?;
        match file.try_lock_shared() {
            Err(TryLockError::WouldBlock) => read(&mut file),
            _ => None,
        }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }
}

fn open(path: &Path) -> std::io::Result<File> {
    // CLOEXEC as all of std's: a child that outlives us must not hold the lock.
    OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)
}

fn read(file: &mut File) -> Option<Holder> {
    let mut text = String::new();
    file.take(200).read_to_string(&mut text).ok()?;
    let (pid, verb) = text.trim().split_once(' ')?;
    Some(Holder { pid: pid.parse().ok()?, verb: verb.to_owned() })
}

fn held(holder: &Option<Holder>) -> Failure {
    match holder {
        Some(Holder { pid, verb }) => {
            Failure::new(format!("another launcher is at work here: `mathesar {verb}` (pid {pid})"))
        }
        None => Failure::new("another launcher is at work here"),
    }
    .exit(Exit::Refused)
    .help("see what it does: `mathesar status`; end it: `mathesar stop`")
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
        assert_eq!(Lock::holder(state.path()), Some(Holder { pid, verb: "run".into() }));
        drop(first);
        assert_eq!(Lock::holder(state.path()), None);
        Lock::take(state.path(), "upgrade").unwrap();
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
