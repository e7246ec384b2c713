//! Ctrl-C, and a polite kill, in commands that have something to clear away: what they have started ends, they end by an error of their
//! own, and so remove what is half done.

use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::sync::{Mutex, Once, PoisonError};

use rustix::process::{Pid, Signal, kill_process};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use crate::failure::Failure;

/// What is said then.
pub const ENDED: &str = "note: interrupted; what was begun is removed again";

static LISTENING: AtomicBool = AtomicBool::new(false);
static ENDING: AtomicBool = AtomicBool::new(false);
/// The signal; 0: none was heard.
static ASKED: AtomicI32 = AtomicI32::new(0);
/// Programs that are being waited for; nobody has collected their ends yet, so that the numbers are theirs.
static CHILDREN: Mutex<Vec<i32>> = Mutex::new(Vec::new());

/// As long as it lives, such a signal is heard. Afterwards the process ends, or listens by other means.
#[derive(Debug)]
pub struct Listening(());

impl Listening {
    pub fn begin() -> Listening {
        static ONCE: Once = Once::new();
        ONCE.call_once(|| {
            // Where they cannot be listened to, they end this process; what is left is swept by the next one.
            let Ok(mut signals) =
                signal_hook::iterator::Signals::new(unless_nohup(&[SIGINT, SIGTERM, SIGHUP]))
            else {
                return;
            };
            let _ = std::thread::Builder::new().name("interrupt".to_owned()).spawn(move || {
                for signal in signals.forever() {
                    heard(signal);
                }
            });
        });
        LISTENING.store(true, Ordering::SeqCst);
        Listening(())
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        LISTENING.store(false, Ordering::SeqCst);
    }
}

fn heard(signal: i32) {
    if !LISTENING.load(Ordering::SeqCst) {
        return;
    }
    if ASKED.swap(signal, Ordering::SeqCst) != 0 {
        // A second one: whoever sends it does not want to wait.
        let _ = signal_hook::low_level::emulate_default_handler(signal);
    }
    for pid in children().iter().filter_map(|pid| Pid::from_raw(*pid)) {
        let _ = kill_process(pid, Signal::TERM);
    }
}

fn children() -> std::sync::MutexGuard<'static, Vec<i32>> {
    CHILDREN.lock().unwrap_or_else(PoisonError::into_inner)
}

fn asked() -> bool {
    ASKED.load(Ordering::SeqCst) != 0
}

/// No program is begun from now on, and none of those that run counts: this process ends, and takes them along.
pub(crate) fn no_more() {
    ENDING.store(true, Ordering::SeqCst);
}

/// The exit code where one was heard, as a shell tells such an end: 130 for Ctrl-C.
pub fn exit() -> Option<u8> {
    asked().then(|| 128 + ASKED.load(Ordering::SeqCst).unsigned_abs() as u8)
}

/// An error where one was heard, for long work to ask between its parts.
pub fn check() -> Result<(), Failure> {
    if ENDING.load(Ordering::SeqCst) {
        return Err(Failure::new("it is being stopped"));
    }
    match LISTENING.load(Ordering::SeqCst) && asked() {
        true => Err(Failure::new("it was interrupted")),
        false => Ok(()),
    }
}

/// Those of these signals that whoever called does not have this process ignore: `nohup` does, and a script's `&`.
pub(crate) fn heeded(signals: &[i32]) -> Vec<i32> {
    let ignored = ignored(&std::fs::read_to_string("/proc/self/status").unwrap_or_default());
    signals.iter().copied().filter(|signal| ignored & (1 << (signal - 1)) == 0).collect()
}

/// The same, but for Ctrl-C: that is heard, however it came to be ignored.
pub(crate) fn unless_nohup(signals: &[i32]) -> Vec<i32> {
    let heeded = heeded(&[SIGHUP]);
    signals.iter().copied().filter(|signal| *signal != SIGHUP || heeded.contains(signal)).collect()
}

fn ignored(status: &str) -> u64 {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0)
}

/// A program that ends with it.
#[derive(Debug)]
pub(crate) struct Ends(i32);

impl Ends {
    pub fn too(pid: u32) -> Ends {
        let pid = pid.cast_signed();
        children().push(pid);
        if LISTENING.load(Ordering::SeqCst) && asked() {
            // Between the last look and its start.
            let _ = Pid::from_raw(pid).map(|pid| kill_process(pid, Signal::TERM));
        }
        Ends(pid)
    }
}

impl Drop for Ends {
    fn drop(&mut self) {
        children().retain(|pid| *pid != self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_ignored_is_read() {
        assert_eq!(ignored("SigBlk:\t0\nSigIgn:\t0000000000001001\nSigCgt:\t0\n"), 0x1001);
        assert_eq!(ignored(""), 0);
    }
}
