//! What `verify` found, and of which commit: `release plan` believes no other word on it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use serde::{Deserialize, Serialize};

use super::report::{Ended, Row};
use crate::files::replace_file;
use crate::workspace::{Head, Workspace};

/// Each has to have installed what was made of a commit before it is published.
const CORE: [&str; 3] = ["apt", "dnf", "pacman"];

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Record {
    pub format: u32,
    pub commit: String,
    /// Something in the checkout was not committed.
    pub dirty: bool,
    /// By system and scenario.
    pub results: BTreeMap<String, Outcome>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Outcome {
    Passed,
    Failed,
}

pub(crate) fn path(workspace: &Workspace) -> PathBuf {
    workspace.target.join("xtask/verified.json")
}

/// None: there is none, or none that this xtask understands.
pub(crate) fn read(path: &Path) -> Result<Option<Record>> {
    let text = match fs::read_to_string(path) {
        Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        text => text.with_context(|| format!("cannot read {}", path.display()))?,
    };
    let record: Record =
        serde_json::from_str(&text).with_context(|| format!("cannot understand {}", path.display()))?;
    match record.format {
        1 => Ok(Some(record)),
        other => bail!("{} is of format {other}, and this xtask knows 1 only", path.display()),
    }
}

/// Adds to what is known of this state of the checkout; `some`: only some scenarios were chosen by their names.
pub(super) fn write(workspace: &Workspace, head: Option<&Head>, rows: &[Row], some: bool) -> Result<()> {
    let Some(head) = head else { return Ok(()) };
    let path = path(workspace);
    // A broken one is replaced, as it is believed by nobody.
    let record = merged(read(&path).ok().flatten(), head, rows, some);
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
    }
    replace_file(&path, &format!("{}\n", serde_json::to_string_pretty(&record)?))
}

fn merged(old: Option<Record>, head: &Head, rows: &[Row], some: bool) -> Record {
    let of_this = old.filter(|old| old.commit == head.commit && old.dirty == head.dirty);
    let mut results = of_this.map(|old| old.results).unwrap_or_default();
    for row in rows {
        let outcome = match row.ended {
            Ended::Well => Outcome::Passed,
            Ended::Badly | Ended::NotRun => Outcome::Failed,
            Ended::Impossible(_) => continue,
        };
        let key = format!("{}: {}", row.system, row.scenario);
        // One chosen scenario does not stand for its whole system; it may mend what is known to have failed.
        if outcome == Outcome::Failed || !some || results.contains_key(&key) {
            results.insert(key, outcome);
        }
    }
    Record { format: 1, commit: head.commit.clone(), dirty: head.dirty, results }
}

/// Why packages of this commit are not to be published.
pub(crate) fn judge(record: Option<&Record>, commit: &str) -> Option<String> {
    let Some(record) = record else { return Some("nothing has verified the packages".to_owned()) };
    if record.commit != commit {
        return Some(format!("what was verified is the commit {}, not {commit}", record.commit));
    }
    if record.dirty {
        return Some("what was verified held changes that are not committed".to_owned());
    }
    let failed: Vec<&str> = record
        .results
        .iter()
        .filter(|(_, outcome)| **outcome == Outcome::Failed)
        .map(|(name, _)| name.as_str())
        .collect();
    if !failed.is_empty() {
        return Some(format!("verify failed: {}", failed.join(", ")));
    }
    let tried =
        |manager: &&str| record.results.keys().any(|name| name.starts_with(&format!("{manager} on ")));
    let missing: Vec<&str> = CORE.into_iter().filter(|manager| !tried(manager)).collect();
    (!missing.is_empty()).then(|| format!("verify did not run for {}", missing.join(", ")))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn row(system: &str, scenario: &'static str, ended: Ended) -> Row {
        Row { system: system.to_owned(), scenario, ended, took: Duration::ZERO }
    }

    #[test]
    fn only_a_whole_and_good_record_of_the_commit_is_believed() {
        let head = |commit: &str, dirty| Head { commit: commit.into(), dirty };
        let says = |record: &Record| judge(Some(record), "abc").unwrap_or_default();
        let all: Vec<Row> = ["apt on trixie", "dnf on Debian", "pacman on Debian"]
            .iter()
            .map(|system| row(system, "install", Ended::Well))
            .collect();
        assert_eq!(judge(None, "abc").unwrap(), "nothing has verified the packages");
        let apt = merged(None, &head("abc", false), &all[..1], false);
        assert_eq!(says(&apt), "verify did not run for dnf, pacman");
        let whole = merged(Some(apt.clone()), &head("abc", false), &all[1..], false);
        assert_eq!(says(&whole), "");
        assert_eq!(
            says(&merged(Some(apt), &head("def", false), &all, false)),
            "what was verified is the commit def, not abc"
        );
        assert!(says(&merged(None, &head("abc", true), &all, false)).contains("not committed"));
        // Chosen by name, it is nobody's whole word; but a failure is one, until the same succeeds.
        let some = merged(None, &head("abc", false), &all, true);
        assert!(says(&some).starts_with("verify did not run for apt"));
        let bad =
            merged(Some(whole), &head("abc", false), &[row("apt on trixie", "install", Ended::Badly)], true);
        assert_eq!(says(&bad), "verify failed: apt on trixie: install");
        assert_eq!(says(&merged(Some(bad), &head("abc", false), &all[..1], true)), "");
    }
}
