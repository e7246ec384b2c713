//! Processes whose parent died: they become ours, and are waited for.

use std::collections::BTreeSet;

use rustix::process::{Pid, WaitOptions, waitpgid, waitpid};

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
    fn a_name_may_hold_anything() {
        assert_eq!(state_and_parent("12 (a) Z 1) Z 7 8 9"), Some(("Z", 7)));
        assert_eq!(state_and_parent("nothing"), None);
    }
}
