//! What upgrades and restores have put aside, to go back to.

use std::collections::BTreeSet;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::time::SystemTime;

use serde_json::Value;

use super::catalog::{Entry, Kind};
use super::manifest::MadeBy;
use super::moment;
use super::origin::Whose;
use crate::failure::Failure;

/// The copies, and every text in what was written down of them: an archive that is named there is needed.
pub(super) struct Copies {
    pub entries: Vec<Entry>,
    named: BTreeSet<String>,
}

impl Copies {
    pub fn of(state: &Path) -> Result<Copies, Failure> {
        let mut copies = Copies { entries: Vec::new(), named: BTreeSet::new() };
        copies.note(&state.join("transaction.json"))?;
        let aside = state.join("database/aside");
        for folder in fs::read_dir(&aside).into_iter().flatten().flatten() {
            let path = folder.path();
            if let Some(value) = copies.note(&path.join("copy.json"))? {
                copies.entries.push(copy(&path, &value));
            }
        }
        Ok(copies)
    }

    fn note(&mut self, path: &Path) -> Result<Option<Value>, Failure> {
        let text = match fs::read(path) {
            Err(cause) if matches!(cause.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
                return Ok(None);
            }
            text => text.map_err(|cause| Failure::io("read", path, cause))?,
        };
        let value = serde_json::from_slice(&text)
            .map_err(|cause| Failure::new(format!("cannot understand {}", path.display())).cause(cause))?;
        texts(&value, &mut self.named);
        Ok(Some(value))
    }

    pub fn need(&self, entry: &Entry) -> bool {
        let path = entry.path.to_string_lossy();
        let named = |text: &str| self.named.contains(text);
        named(&path) || named(&entry.name()) || entry.digest.as_deref().is_some_and(named)
    }
}

fn texts(value: &Value, into: &mut BTreeSet<String>) {
    match value {
        Value::String(text) => drop(into.insert(text.clone())),
        Value::Array(all) => all.iter().for_each(|value| texts(value, into)),
        Value::Object(all) => all.values().for_each(|value| texts(value, into)),
        _ => {}
    }
}

fn copy(folder: &Path, value: &Value) -> Entry {
    let text = |name: &str| value[name].as_str().map(str::to_owned);
    let modified = folder.metadata().and_then(|meta| meta.modified()).unwrap_or(SystemTime::UNIX_EPOCH);
    Entry {
        path: folder.to_owned(),
        created: text("created").unwrap_or_else(|| moment::text(modified)),
        version: text("version"),
        kind: Some(Kind::Copy),
        made_by: Some(text("made_by").and_then(|name| name.parse().ok()).unwrap_or(MadeBy::Upgrade)),
        note: text("note"),
        bytes: value["bytes"].as_u64().unwrap_or_else(|| crate::app::files::size(folder)),
        verified: None,
        digest: None,
        origin: None,
        damaged: None,
        needed: true,
        whose: Whose::Own,
        lacks: Vec::new(),
    }
}
