//! What an earlier launcher may have left: a server that still runs, its last processes, or their stale files.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::ErrorKind;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, test_kill_process};

use super::cluster::Cluster;
use crate::careful;
use crate::failure::{Exit, Failure};

/// Backends notice within this that their server is gone.
const LAST_PROCESSES: Duration = Duration::from_secs(10);

/// The lines of postmaster.pid that matter here.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct PidFile {
    pub pid: u32,
    pub ready: bool,
}

impl PidFile {
    pub fn read(data: &Path) -> Option<PidFile> {
        PidFile::parse(&careful::read_text(&data.join("postmaster.pid")).ok()?)
    }

    fn parse(text: &str) -> Option<PidFile> {
        let mut lines = text.lines();
        // Negative: a single-user server's.
        let pid = lines.next()?.trim().parse::<i64>().ok()?.unsigned_abs();
        Some(PidFile {
            pid: pid.try_into().ok()?,
            ready: lines.nth(6).is_some_and(|status| status.trim() == "ready"),
        })
    }
}

/// What is known of a process number.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Process {
    Gone,
    /// A PostgreSQL process of this data directory.
    Ours,
    Foreign,
    /// The system does not tell.
    Unknown,
}

pub(super) fn process(pid: u32, data: &Path) -> Process {
    let Some(id) = i32::try_from(pid).ok().and_then(Pid::from_raw) else { return Process::Gone };
    match test_kill_process(id) {
        Err(rustix::io::Errno::SRCH) => return Process::Gone,
        // A process of another user is no server of ours.
        Err(rustix::io::Errno::PERM) => return Process::Foreign,
        _ => {}
    }
    if cfg!(target_os = "linux") {
        let proc = Path::new("/proc").join(pid.to_string());
        // A zombie runs no more.
        if fs::read_to_string(proc.join("stat")).is_ok_and(|stat| stat.contains(") Z ")) {
            return Process::Gone;
        }
        // Every server process lives in its data directory.
        let data = fs::canonicalize(data);
        return match (fs::read_link(proc.join("cwd")), data) {
            (Ok(cwd), Ok(data)) if cwd == data => Process::Ours,
            (Ok(_), Ok(_)) => Process::Foreign,
            _ => Process::Unknown,
        };
    }
    let output =
        crate::process::Program::new("ps").args(["-o", "command=", "-p"]).arg(pid.to_string()).output();
    match output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()) {
        Ok(command) if command.trim().is_empty() => Process::Gone,
        Ok(command) if !command.contains("postgres") => Process::Foreign,
        Ok(command) if command.contains(&*data.to_string_lossy()) => Process::Ours,
        _ => Process::Unknown,
    }
}

/// The number of the server that runs on these data.
pub(super) fn leftover(data: &Path) -> Option<u32> {
    PidFile::read(data).map(|file| file.pid).filter(|pid| lives(*pid, data))
}

/// Whether it is a server on these data, and has not ended.
pub(super) fn lives(pid: u32, data: &Path) -> bool {
    match process(pid, data) {
        Process::Ours => true,
        Process::Gone | Process::Foreign => false,
        // A service that systemd has put into a user namespace of its own: nobody outside is told where its processes live, not even
        // their own user. They hold the lock.
        Process::Unknown => is_locked(data),
    }
}

/// Where a cluster's lock lies, from its data directory.
fn lock_file(folder: &Path) -> PathBuf {
    folder.join("lock")
}

fn is_locked(data: &Path) -> bool {
    let lock = data.parent().map(lock_file).and_then(|path| File::open(path).ok());
    lock.is_some_and(|lock| matches!(lock.try_lock_shared(), Err(TryLockError::WouldBlock)))
}

impl Cluster {
    /// The server that runs on these data, whoever has started it.
    pub fn leftover(&self) -> Option<u32> {
        leftover(&self.data())
    }

    /// The lock that a server keeps by its standard input, for as long as the last of its processes lives.
    pub(super) fn lock(&self) -> Result<File, Failure> {
        let path = lock_file(&self.folder);
        let open = || {
            // Existing ones are not emptied: somebody may hold it.
            let file = OpenOptions::new()
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .mode(0o600)
                .open(&path)?;
            if let Some(user) = self.owner.user {
                std::os::unix::fs::fchown(&file, Some(user.uid), Some(user.gid))?;
            }
            Ok(file)
        };
        let file = open().map_err(|cause| Failure::io("open", &path, cause))?;
        let end = Instant::now() + LAST_PROCESSES;
        let mut asked = false;
        loop {
            match file.try_lock() {
                Ok(()) => break,
                Err(TryLockError::Error(cause)) => return Err(Failure::io("lock", &path, cause)),
                Err(TryLockError::WouldBlock) => {}
            }
            if let Some(pid) = self.leftover() {
                return Err(self.already_runs(pid));
            }
            if Instant::now() >= end {
                if asked {
                    return Err(Failure::new(format!(
                        "another process is busy with {}",
                        self.folder.display()
                    ))
                    .help(format!("see which one: `fuser -v {}`", crate::cure::path(&path))));
                }
                // Their server is gone, and they have not noticed: a query that never looks up.
                self.processes().iter().for_each(|pid| signal(*pid, Signal::QUIT));
                asked = true;
            }
            std::thread::sleep(Duration::from_millis(if asked { 1000 } else { 100 }));
        }
        // One that was started by hand holds no lock of ours.
        match PidFile::read(&self.data()) {
            Some(found) if process(found.pid, &self.data()) == Process::Ours => {
                Err(self.already_runs(found.pid))
            }
            _ => Ok(file),
        }
    }

    pub(super) fn already_runs(&self, pid: u32) -> Failure {
        Failure::new(format!("PostgreSQL already runs on {} as process {pid}", self.data().display()))
            .exit(Exit::Failed)
            .help("stop it: `mathesar db stop`")
    }

    /// All processes that live in the data directory; where the system does not tell, none.
    fn processes(&self) -> Vec<u32> {
        let Ok(entries) = fs::read_dir(Path::new("/proc")) else { return Vec::new() };
        let pids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        pids.filter(|pid| process(*pid, &self.data()) == Process::Ours).collect()
    }

    /// Removes stale files, with the lock held. PostgreSQL does so itself, unless their process number is somebody
    /// else's by now: then it refuses to start, after every reboot of which a container has few numbers.
    pub(super) fn remove_stale_files(&self) -> Result<(), Failure> {
        let data = self.data();
        if let Some(file) = PidFile::read(&data)
            && matches!(process(file.pid, &data), Process::Gone | Process::Foreign)
        {
            remove(&data.join("postmaster.pid"))?;
        }
        let socket = self.socket_file();
        let mut lock = socket.clone().into_os_string();
        lock.push(".lock");
        let Ok(text) = fs::read_to_string(&lock) else { return Ok(()) };
        let of = text.lines().nth(1).map(Path::new);
        if of == Some(data.as_path()) {
            // Ours, and nobody runs.
            remove(Path::new(&lock))?;
            return remove(&socket);
        }
        // Written for other data: those that this folder was copied from, or that used this place before.
        match std::os::unix::net::UnixStream::connect(&socket) {
            Err(cause) if matches!(cause.kind(), ErrorKind::ConnectionRefused | ErrorKind::NotFound) => {
                // Nobody listens there, whatever process has the number by now.
                remove(Path::new(&lock))?;
                remove(&socket)
            }
            _ => {
                let pid = PidFile::parse(&text).map_or(0, |file| file.pid);
                let message = format!("another PostgreSQL uses {} as process {pid}", socket.display());
                let of = of.unwrap_or(Path::new("elsewhere"));
                Err(Failure::new(message)
                    .cause(format!("its data are in {}", of.display()))
                    .exit(Exit::Refused))
            }
        }
    }
}

pub(super) fn signal(pid: u32, signal: Signal) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        // One that is gone already needs none.
        let _ = kill_process(pid, signal);
    }
}

fn remove(path: &Path) -> Result<(), Failure> {
    match fs::remove_file(path) {
        Err(cause) if cause.kind() != std::io::ErrorKind::NotFound => Err(Failure::io("remove", path, cause)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pid_files_are_read() {
        let text = "77\n/d\n1700000000\n5432\n/run/m\n\n  123  4\nready   \n";
        assert_eq!(PidFile::parse(text), Some(PidFile { pid: 77, ready: true }));
        assert_eq!(PidFile::parse("77\n/d\n"), Some(PidFile { pid: 77, ready: false }));
        assert_eq!(PidFile::parse(""), None);
    }

    #[test]
    fn processes_are_told_apart() {
        let here = std::env::current_dir().unwrap();
        assert_eq!(process(std::process::id(), &here), Process::Ours);
        assert_eq!(process(std::process::id(), Path::new("/")), Process::Foreign);
        assert_eq!(process(0x7fff_fff0, &here), Process::Gone);
    }

    #[test]
    fn a_lock_that_somebody_holds_is_seen() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        assert!(!is_locked(&data));
        let lock = File::create(lock_file(folder.path())).unwrap();
        assert!(!is_locked(&data));
        lock.try_lock().unwrap();
        assert!(is_locked(&data));
        drop(lock);
        assert!(!is_locked(&data));
    }
}
