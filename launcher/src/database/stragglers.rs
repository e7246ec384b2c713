//! Processes that outlive their server. One whose server was killed ends what it is at first: a shutdown checkpoint is written to its end,
//! and the cluster's control file by the data directory's **path**, whatever lies there by then.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::leftover::{Process, process, signal};
use crate::failure::{Exit, Failure};

/// A checkpoint on a slow disk.
const PATIENCE: Duration = Duration::from_secs(60);
/// Those that are told to end at once do not write any more.
const AT_ONCE: Duration = Duration::from_secs(10);
const BETWEEN: Duration = Duration::from_millis(50);

/// Waits until no process of a server lives in these data, the server itself having ended: nothing may be renamed under one.
pub fn outlived(data: &Path) -> Result<(), Failure> {
    outlived_within(data, PATIENCE)
}

fn outlived_within(data: &Path, patience: Duration) -> Result<(), Failure> {
    let mut end = Instant::now() + patience;
    let mut asked = false;
    loop {
        let left = stragglers(data);
        if left.is_empty() {
            return Ok(());
        }
        if Instant::now() >= end {
            if asked {
                let pids = left.iter().map(u32::to_string).collect::<Vec<_>>();
                return Err(Failure::new(format!(
                    "processes of a PostgreSQL that was killed still use {}: {}",
                    data.display(),
                    pids.join(", ")
                ))
                .exit(Exit::Refused)
                .help(format!(
                    "see what they wait for: `ps -o pid,stat,wchan:20,args -p {}`",
                    pids.join(",")
                )));
            }
            for pid in left {
                signal(pid, Signal::QUIT);
                // One that is stopped would sleep through it.
                signal(pid, Signal::CONT);
            }
            (asked, end) = (true, Instant::now() + AT_ONCE);
        }
        std::thread::sleep(BETWEEN);
    }
}

/// Where the system does not tell, none.
fn stragglers(data: &Path) -> Vec<u32> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let pids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    // Whoever looks around in that folder is none of them.
    let is_server = |pid: &u32| {
        fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name.starts_with("post"))
    };
    pids.filter(is_server).filter(|pid| process(*pid, data) == Process::Ours).collect()
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use std::process::{Child, Command, Stdio};

    use super::*;

    /// Anything of that name which lives there. A shell would go on ignoring what its own parent has ignored.
    fn pretend(data: &Path, script: &str) -> Child {
        let begin = "import signal, time\nsignal.signal(signal.SIGQUIT, signal.SIG_DFL)\nopen('/proc/self/comm', 'w').write('postgres')\n";
        let mut python = Command::new("python3");
        let child =
            python.args(["-c", &format!("{begin}{script}")]).current_dir(data).stdin(Stdio::null()).spawn();
        let child = child.unwrap();
        let end = Instant::now() + AT_ONCE;
        while stragglers(data) != [child.id()] {
            assert!(Instant::now() < end, "{:?}", stragglers(data));
            std::thread::sleep(Duration::from_millis(1));
        }
        child
    }

    #[test]
    fn what_outlives_its_server_is_waited_for_then_ended() {
        let folder = tempfile::tempdir().unwrap();
        let mut child = pretend(folder.path(), "time.sleep(1)");
        outlived(folder.path()).unwrap();
        assert!(child.wait().unwrap().success(), "it was waited for");
        let mut child = pretend(folder.path(), "time.sleep(1000)");
        signal(child.id(), Signal::STOP);
        outlived_within(folder.path(), Duration::from_millis(200)).unwrap();
        assert!(!child.wait().unwrap().success(), "it was told to end");
    }
}
