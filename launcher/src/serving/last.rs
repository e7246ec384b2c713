//! How the last run ended, for `status`: written at its begin and at its end.

use std::io::Write as _;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::app::files;
use crate::supervise::Outcome;

/// In the state folder.
pub const LAST_RUN: &str = "last-run.json";

/// What stays there where nobody gets to write an end.
pub(super) fn begun(state: &Path) {
    // Records that somebody was killed over: they lie beside the true ones.
    files::sweep(state);
    let record = json!({ "ended": "running", "pid": std::process::id(), "boot": boot(), "at": now() });
    if !write(state, &record) {
        // Better nothing than what an earlier run has said.
        let _ = std::fs::remove_file(state.join(LAST_RUN));
    }
}

pub fn ended(state: &Path, outcome: &Outcome) {
    let record = match outcome {
        Outcome::Stopped => json!({ "ended": "stopped", "at": now() }),
        Outcome::Failed(why) => json!({ "ended": "failed", "why": why, "at": now() }),
    };
    if !write(state, &record) {
        // In a folder that can no longer be written, the file itself often can.
        let place = std::fs::OpenOptions::new().write(true).truncate(true).open(state.join(LAST_RUN));
        let _ = place.and_then(|mut file| file.write_all(text(&record).as_bytes()));
    }
}

/// Nobody runs, and yet the record says that somebody does: its end could not be written.
pub fn is_unfinished(state: &Path) -> bool {
    let last = crate::careful::read(&state.join(LAST_RUN)).ok();
    let last: Option<Value> = last.and_then(|text| serde_json::from_slice(&text).ok());
    last.is_some_and(|last| last["ended"] == "running")
}

/// Why the last run ended badly, and when that was, where it is known. Asked where nobody runs.
pub fn failure(last: &Value) -> Option<(Value, Value)> {
    judge(last, &boot())
}

fn judge(last: &Value, boot: &Value) -> Option<(Value, Value)> {
    match last["ended"].as_str()? {
        "failed" => Some((last["why"].clone(), last["at"].clone())),
        "running" if last["boot"] == *boot => {
            Some((json!(format!("the launcher was killed (pid {})", last["pid"])), Value::Null))
        }
        "running" => Some((json!("the machine went down while Mathesar ran"), Value::Null)),
        _ => None,
    }
}

/// A full disk is no reason to end badly.
fn write(state: &Path, record: &Value) -> bool {
    files::write(&state.join(LAST_RUN), text(record).as_bytes()).is_ok()
}

fn text(record: &Value) -> String {
    format!("{record:#}\n")
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// Another one after every boot, where the system tells.
fn boot() -> Value {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id").map_or(Value::Null, |id| json!(id.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_without_an_end_was_killed() {
        let state = tempfile::tempdir().unwrap();
        let failure = || {
            let text = std::fs::read_to_string(state.path().join(LAST_RUN)).unwrap();
            super::failure(&serde_json::from_str(&text).unwrap())
        };
        ended(state.path(), &Outcome::Failed("no network".to_owned()));
        assert_eq!(failure().unwrap().0, "no network");
        let unfinished = state.path().join(".last-run.json.2147483000.new");
        std::fs::write(&unfinished, "").unwrap();
        begun(state.path());
        assert!(!unfinished.exists(), "what somebody was killed over stays");
        assert_eq!(failure().unwrap().0, format!("the launcher was killed (pid {})", std::process::id()));
        assert!(is_unfinished(state.path()));
        ended(state.path(), &Outcome::Stopped);
        assert_eq!(failure(), None);
        assert!(!is_unfinished(state.path()));
        let last = json!({ "ended": "running", "pid": 1, "boot": "a" });
        assert_eq!(judge(&last, &json!("b")).unwrap().0, "the machine went down while Mathesar ran");
        assert_eq!(judge(&json!([]), &Value::Null), None);
    }
}
