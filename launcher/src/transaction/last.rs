//! How the last transaction ended: for `status`, and whoever asks why.

use std::path::Path;

use serde_json::{Value, json};

use super::journal::{Journal, now};
use crate::app::files;

/// In the state folder.
const LAST: &str = "last-upgrade.json";

/// An upgrade that was taken back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failed {
    /// The release that did not come.
    pub to: String,
    pub why: String,
}

impl Failed {
    /// Where the last transaction was one. What cannot be read says nothing.
    pub fn read(state: &Path) -> Option<Failed> {
        let last: Value = serde_json::from_slice(&crate::careful::read(&state.join(LAST)).ok()?).ok()?;
        (last["kind"] == "upgrade" && last["outcome"] == "taken back").then_some(())?;
        let to = last["to"].as_str()?.to_owned();
        Some(Failed { to, why: last["why"].as_str().unwrap_or("it failed").to_owned() })
    }
}

/// A full disk is no reason to fail.
pub(crate) fn record(state: &Path, journal: &Journal, outcome: &str, why: Option<&str>) {
    let what = json!({
        "kind": journal.kind.name(), "from": journal.from, "to": journal.to, "outcome": outcome, "why": why, "at": now(),
    });
    let _ = files::write(&state.join(LAST), format!("{what:#}\n").as_bytes());
}
