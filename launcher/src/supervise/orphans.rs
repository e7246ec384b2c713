//! Processes whose parent died: they become ours, and are waited for.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpgid, waitpid};

/// From now on orphans of our children become our children, not init's.
pub fn become_subreaper() {
    // Where the system does not know it, init goes on reaping them.
    #[cfg(target_os = "linux")]
    let _ = rustix::process::set_child_subreaper(Some(rustix::process::getpid()));
}

/// Waits for what of a group is dead. Only when its leader has been waited for: that one's status belongs to another thread.
pub(crate) fn reap_group(group: Pid, leader_done: bool) {
    if leader_done {
        while let Ok(Some(_)) = waitpgid(group, WaitOptions::NOHANG) {}
    }
}

/// Dead children that nobody waits for.
#[derive(Debug, Default)]
pub struct Sweep {
    seen: BTreeSet<i32>,
}

impl Sweep {
    /// Called every few seconds. A child of another thread is waited for at once, so what was dead at the last call
    /// already and still is dead, is an orphan.
    pub fn sweep(&mut self) {
        let dead = dead_children();
        for pid in dead.intersection(&self.seen) {
            if let Some(pid) = Pid::from_raw(*pid) {
                let _ = waitpid(Some(pid), WaitOptions::NOHANG);
            }
        }
        self.seen = dead;
    }
}

/// Everybody that descends from this process and lives.
fn descendants() -> Vec<Pid> {
    let Ok(processes) = std::fs::read_dir("/proc") else { return Vec::new() };
    let found = processes.flatten().filter_map(|entry| {
        let pid: i32 = entry.file_name().to_str()?.parse().ok()?;
        let stat = std::fs::read_to_string(entry.path().join("stat")).ok()?;
        let (state, parent) = state_and_parent(&stat)?;
        Some((pid, (parent, matches!(state, "Z" | "X"))))
    });
    let found: BTreeMap<i32, (i32, bool)> = found.collect();
    let me = rustix::process::getpid().as_raw_nonzero().get();
    let ours = |pid: i32| {
        let parent = |pid: &i32| found.get(pid).map(|(parent, _)| *parent);
        // Looked at one after another, so that a number may have been given anew, and lead in a circle.
        std::iter::successors(parent(&pid), parent).take(found.len()).any(|above| above == me)
    };
    let alive = found.iter().filter(|(pid, (_, dead))| !dead && ours(**pid));
    alive.filter_map(|(pid, _)| Pid::from_raw(*pid)).collect()
}

/// Ends what this process has begun, with all that this has begun in turn, which would outlive it for a moment: asked, killed after the
/// grace, and waited for. Orphans among them are ours, as we are their subreaper.
pub fn end_descendants(grace: Duration) {
    let signal = |pids: &[Pid], signal| {
        for pid in pids {
            let _ = kill_process(*pid, signal);
        }
    };
    let mut left = descendants();
    signal(&left, Signal::TERM);
    let (killed, given_up) = (Instant::now() + grace, Instant::now() + grace + Duration::from_secs(5));
    while !left.is_empty() && Instant::now() < given_up {
        std::thread::sleep(Duration::from_millis(10));
        left = descendants();
        if Instant::now() >= killed {
            signal(&left, Signal::KILL);
        }
    }
}

fn dead_children() -> BTreeSet<i32> {
    let me = rustix::process::getpid().as_raw_nonzero().get();
    let Ok(processes) = std::fs::read_dir("/proc") else { return BTreeSet::new() };
    processes
        .flatten()
        .filter_map(|entry| {
            let pid: i32 = entry.file_name().to_str()?.parse().ok()?;
            let stat = std::fs::read_to_string(entry.path().join("stat")).ok()?;
            let (state, parent) = state_and_parent(&stat)?;
            (state == "Z" && parent == me).then_some(pid)
        })
        .collect()
}

/// The command's name stands in parentheses and may hold anything, parentheses too.
fn state_and_parent(stat: &str) -> Option<(&str, i32)> {
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    Some((fields.next()?, fields.next()?.parse().ok()?))
}

/// Processes with this variable in their environment: what an earlier launcher left when it was killed.
pub fn marked(variable: &str, value: &str) -> Vec<i32> {
    let wanted = format!("{variable}={value}");
    let me = rustix::process::getpid().as_raw_nonzero().get();
    let Ok(processes) = std::fs::read_dir("/proc") else { return Vec::new() };
    processes
        .flatten()
        .filter_map(|entry| {
            let pid: i32 = entry.file_name().to_str()?.parse().ok()?;
            let environment = std::fs::read(entry.path().join("environ")).ok()?;
            let found = environment.split(|byte| *byte == 0).any(|entry| entry == wanted.as_bytes());
            (found && pid != me).then_some(pid)
        })
        .collect()
}

/// Ends these processes: asked first, killed after the grace. Only under the state lock, when they can be nobody's.
pub fn end(variable: &str, value: &str, grace: std::time::Duration) -> usize {
    let found = marked(variable, value);
    let signal = |pids: &[i32], signal| {
        for pid in pids.iter().filter_map(|pid| Pid::from_raw(*pid)) {
            let _ = rustix::process::kill_process(pid, signal);
        }
    };
    signal(&found, rustix::process::Signal::TERM);
    // Those that are stopped would sleep through it.
    signal(&found, rustix::process::Signal::CONT);
    let end = std::time::Instant::now() + grace;
    let mut left = found.clone();
    while !left.is_empty() && std::time::Instant::now() < end {
        std::thread::sleep(std::time::Duration::from_millis(100));
        left = marked(variable, value);
    }
    signal(&left, rustix::process::Signal::KILL);
    // They hold their sockets until they are really gone.
    let end = std::time::Instant::now() + std::time::Duration::from_secs(5);
    while !left.is_empty() && !marked(variable, value).is_empty() && std::time::Instant::now() < end {
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    found.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grandchildren_are_known_and_others_are_not() {
        // The shell's own child stays while the shell waits for it.
        let mut shell = std::process::Command::new("/bin/sh").args(["-c", "sleep 60; true"]).spawn().unwrap();
        let end = Instant::now() + Duration::from_secs(20);
        let sleeps = |pid: &Pid| {
            let stat =
                std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).unwrap_or_default();
            state_and_parent(&stat).is_some_and(|(_, parent)| parent.unsigned_abs() == shell.id())
        };
        let grandchild = loop {
            if let Some(pid) = descendants().into_iter().find(sleeps) {
                break pid;
            }
            assert!(Instant::now() < end);
            std::thread::sleep(Duration::from_millis(10));
        };
        assert!(descendants().contains(&Pid::from_child(&shell)));
        assert!(!descendants().contains(&Pid::from_raw(1).unwrap()));
        kill_process(grandchild, Signal::KILL).unwrap();
        shell.wait().unwrap();
        assert!(!descendants().contains(&Pid::from_child(&shell)));
    }

    #[test]
    fn a_name_may_hold_anything() {
        assert_eq!(state_and_parent("12 (a) Z 1) Z 7 8 9"), Some(("Z", 7)));
        assert_eq!(state_and_parent("nothing"), None);
    }
}
