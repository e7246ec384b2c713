//! The copy that the last transaction has left: what was there before it.

use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

use serde_json::{Value, json};

use super::journal::{Journal, Kind};
use super::swap::Part;
use crate::app::files;
use crate::failure::{Exit, Failure};
use crate::supervise::log::timestamp;

const FILE: &str = "copy.json";

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    pub id: String,
    pub kind: Kind,
    /// The release that its data are of.
    pub release: Option<String>,
    pub replaced_by: String,
    /// Seconds since 1970.
    pub at: u64,
    pub parts: Vec<Part>,
    /// The next transaction's number when what replaced it was committed.
    pub xid: Option<u64>,
    /// What had been written then.
    pub written: Option<Value>,
}

impl Kept {
    /// The copy beside the data; none: nothing was replaced yet, or it was removed.
    pub fn find(state: &Path) -> Option<Kept> {
        let entries = std::fs::read_dir(Part::Database.aside(state)).into_iter().flatten().flatten();
        let mut all: Vec<Kept> = entries.filter_map(|entry| Kept::read(state, &entry.path())).collect();
        all.sort_by_key(|kept| kept.at);
        all.pop()
    }

    fn read(state: &Path, folder: &Path) -> Option<Kept> {
        let value: Value = serde_json::from_slice(&std::fs::read(folder.join(FILE)).ok()?).ok()?;
        let text = |name: &str| value[name].as_str().map(str::to_owned);
        let id = folder.file_name()?.to_str()?.to_owned();
        let parts: Vec<Part> =
            Part::ALL.into_iter().filter(|part| part.side(state, &id).join("old").exists()).collect();
        parts.contains(&Part::Database).then_some(())?;
        Some(Kept {
            id,
            kind: Kind::parse(&text("kind")?)?,
            release: text("release"),
            replaced_by: text("replaced_by")?,
            at: value["at"].as_u64().unwrap_or_default(),
            parts,
            xid: value["xid"].as_u64(),
            written: value.get("written").filter(|written| !written.is_null()).cloned(),
        })
    }

    pub fn is_marked(folder: &Path) -> bool {
        folder.join(FILE).exists()
    }

    /// Marks what a transaction has put aside as whole.
    pub(super) fn mark(state: &Path, journal: &Journal) -> Result<(), Failure> {
        let folder = Part::Database.aside(state).join(&journal.id);
        files::create_folder(&folder)?;
        let what = json!({
            "id": journal.id,
            "kind": journal.kind.name(),
            "release": journal.from,
            "replaced_by": journal.to,
            "at": journal.begun,
            "xid": journal.xid,
            "written": journal.written,
            // For `backup list`.
            "created": timestamp(UNIX_EPOCH + Duration::from_secs(journal.begun)),
            "version": journal.from.as_deref().and_then(|id| id.rsplit_once('-')).map(|(version, _)| version),
            "made_by": if journal.kind == Kind::Restore { "restore" } else { "upgrade" },
            "note": format!("what was there before the {}; `mathesar rollback` takes it", journal.kind.name()),
        });
        files::write(&folder.join(FILE), format!("{what:#}\n").as_bytes())
    }
}

/// There is nothing to go back to.
pub fn nothing_kept() -> Failure {
    Failure::new("there is no copy of the data from before an upgrade")
        .exit(Exit::Refused)
        .help("restore a backup instead: `mathesar backup list`, `mathesar restore BACKUP`")
}
