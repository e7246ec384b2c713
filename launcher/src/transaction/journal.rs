//! The journal: that a transaction is under way, what it is about, and whether it counts.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use super::swap::Part;
use super::uploads::Seen;
use crate::app::files;
use crate::failure::{Exit, Failure};
use crate::supervise::log::timestamp;

const JOURNAL: &str = "transaction.json";
const FORMAT: u64 = 1;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Upgrade,
    Rollback,
    Restore,
}

impl Kind {
    pub fn name(self) -> &'static str {
        match self {
            Kind::Upgrade => "upgrade",
            Kind::Rollback => "rollback",
            Kind::Restore => "restore",
        }
    }

    /// `an upgrade`
    pub fn phrase(self) -> &'static str {
        match self {
            Kind::Upgrade => "an upgrade",
            Kind::Rollback => "a rollback",
            Kind::Restore => "a restore",
        }
    }

    pub(super) fn parse(name: &str) -> Option<Kind> {
        [Kind::Upgrade, Kind::Rollback, Kind::Restore].into_iter().find(|kind| kind.name() == name)
    }
}

/// Before `Committed` everything is taken back, after it everything stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    Open,
    Committed,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Journal {
    /// Names its folders: `20261125T021500Z`, and a number where that is taken.
    pub id: String,
    pub kind: Kind,
    pub stage: Stage,
    /// The release before; none in an empty installation.
    pub from: Option<String>,
    pub to: String,
    /// The release that is held once it is committed.
    pub hold: Option<String>,
    /// What is replaced.
    pub parts: Vec<Part>,
    /// Other servers' databases got the new release's SQL; they are not among the parts.
    pub others: bool,
    /// A rollback's: whose copy it takes.
    pub took: Option<String>,
    /// An upgrade's: the next transaction's number when it was committed. Where it is another later, somebody has written.
    pub xid: Option<u64>,
    /// What had been written then, as whoever compares it understands it.
    pub written: Option<Value>,
    /// A restore's: the folder of settings that the backup's come to, once it is committed.
    pub settings: Option<PathBuf>,
    /// An upgrade's: what uploaded files looked like when nobody was served any more.
    pub uploads: Option<Seen>,
    /// Seconds since 1970.
    pub begun: u64,
}

impl Journal {
    pub fn new(state: &Path, kind: Kind, from: Option<String>, to: String, parts: Vec<Part>) -> Journal {
        let begun = now();
        let id = free_id(state, begun);
        let (hold, took, xid, written, settings, uploads) = (None, None, None, None, None, None);
        Journal {
            id,
            kind,
            stage: Stage::Open,
            from,
            to,
            hold,
            parts,
            others: false,
            took,
            xid,
            written,
            settings,
            uploads,
            begun,
        }
    }

    /// `the upgrade from Mathesar 1.0.0 to 2.0.0`
    pub fn words(&self) -> String {
        let version = |id: &str| id.rsplit_once('-').map_or(id, |(version, _)| version).to_owned();
        let to = version(&self.to);
        match (self.kind, self.from.as_deref().map(version)) {
            (Kind::Upgrade, Some(from)) => format!("the upgrade from Mathesar {from} to {to}"),
            (kind, _) => format!("the {} to Mathesar {to}", kind.name()),
        }
    }

    fn path(state: &Path) -> PathBuf {
        state.join(JOURNAL)
    }

    /// The one that is under way, or was when its launcher died.
    pub fn read(state: &Path) -> Result<Option<Journal>, Failure> {
        let path = Journal::path(state);
        let text = match std::fs::read(&path) {
            Ok(text) => text,
            Err(cause) if cause.kind() == ErrorKind::NotFound => return Ok(None),
            Err(cause) => return Err(Failure::io("read", &path, cause)),
        };
        let value: Value = serde_json::from_slice(&text).unwrap_or_default();
        Journal::from_json(&value).map(Some).ok_or_else(|| {
            Failure::new(format!("cannot understand {}", path.display()))
                .exit(Exit::Refused)
                .cause("a newer launcher has written it, or the disk has spoilt it; nothing was changed")
                .help(
                    "start it with the launcher that began this, or restore a backup: `mathesar backup list`",
                )
        })
    }

    pub fn write(&self, state: &Path) -> Result<(), Failure> {
        files::write(&Journal::path(state), format!("{:#}\n", self.to_json()).as_bytes())
    }

    pub fn remove(state: &Path) -> Result<(), Failure> {
        files::remove_tree(&Journal::path(state))?;
        files::sync_folder(state)
    }

    fn to_json(&self) -> Value {
        json!({
            "format": FORMAT,
            "id": self.id,
            "kind": self.kind.name(),
            "committed": self.stage == Stage::Committed,
            "from": self.from,
            "to": self.to,
            "hold": self.hold,
            "parts": self.parts.iter().map(|part| part.name()).collect::<Vec<_>>(),
            "others": self.others,
            "took": self.took,
            "xid": self.xid,
            "written": self.written,
            "settings": self.settings.as_ref().and_then(|path| path.to_str()),
            "uploads": self.uploads.as_ref().and_then(Seen::to_json),
            "begun": self.begun,
        })
    }

    fn from_json(value: &Value) -> Option<Journal> {
        let text = |name: &str| value.get(name).and_then(Value::as_str).map(str::to_owned);
        let parts = value.get("parts")?.as_array()?.iter().map(|part| Part::parse(part.as_str()?));
        let id = text("id").filter(|id| is_plain(id))?;
        (value.get("format")?.as_u64()? == FORMAT).then_some(())?;
        Some(Journal {
            id,
            kind: Kind::parse(&text("kind")?)?,
            stage: if value.get("committed")?.as_bool()? { Stage::Committed } else { Stage::Open },
            from: text("from"),
            to: text("to")?,
            hold: text("hold"),
            parts: parts.collect::<Option<_>>()?,
            others: value.get("others").and_then(Value::as_bool).unwrap_or_default(),
            took: text("took"),
            xid: value.get("xid").and_then(Value::as_u64),
            written: value.get("written").filter(|written| !written.is_null()).cloned(),
            settings: text("settings").map(PathBuf::from),
            uploads: value.get("uploads").and_then(Seen::from_json),
            begun: value.get("begun").and_then(Value::as_u64).unwrap_or_default(),
        })
    }
}

/// It becomes a folder's name.
fn is_plain(id: &str) -> bool {
    !id.is_empty() && id.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
}

pub(super) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// Names a transaction that begins now: a name that no folder of another one has, also where the clock was put back.
pub(crate) fn new_id(state: &Path) -> String {
    free_id(state, now())
}

fn free_id(state: &Path, begun: u64) -> String {
    let stem = stamp(begun);
    std::iter::once(stem.clone())
        .chain((2..).map(|number| format!("{stem}-{number}")))
        .find(|id| !is_taken(state, id))
        .unwrap_or(stem)
}

pub(crate) fn is_taken(state: &Path, id: &str) -> bool {
    Part::ALL.iter().any(|part| part.aside(state).join(id).exists())
}

/// `20261125T021500Z`: for names of files.
pub(crate) fn stamp(seconds: u64) -> String {
    timestamp(UNIX_EPOCH + Duration::from_secs(seconds)).replace(['-', ':'], "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_journal_survives_the_disk() {
        let state = tempfile::tempdir().unwrap();
        assert_eq!(Journal::read(state.path()).unwrap(), None);
        let mut journal =
            Journal::new(state.path(), Kind::Upgrade, Some("1-a".into()), "2-b".into(), vec![Part::Database]);
        journal.hold = Some("2-b".into());
        journal.uploads = Seen::of(state.path());
        journal.write(state.path()).unwrap();
        assert_eq!(Journal::read(state.path()).unwrap(), Some(journal.clone()));
        journal.stage = Stage::Committed;
        journal.write(state.path()).unwrap();
        assert_eq!(Journal::read(state.path()).unwrap().unwrap().stage, Stage::Committed);
        Journal::remove(state.path()).unwrap();
        assert_eq!(Journal::read(state.path()).unwrap(), None);
    }

    #[test]
    fn one_that_is_not_understood_stops_everything() {
        let state = tempfile::tempdir().unwrap();
        for text in [
            "",
            "{}",
            r#"{"format":2,"id":"a","kind":"upgrade","committed":false,"to":"b","parts":[]}"#,
            r#"{"format":1,"id":"../a","kind":"upgrade","committed":false,"to":"b","parts":[]}"#,
        ] {
            std::fs::write(state.path().join(JOURNAL), text).unwrap();
            assert_eq!(Journal::read(state.path()).unwrap_err().exit, Exit::Refused, "{text}");
        }
    }

    #[test]
    fn dates() {
        assert_eq!(stamp(0), "19700101T000000Z");
        assert_eq!(stamp(951_827_696), "20000229T123456Z");
        assert_eq!(stamp(1_795_572_900), "20261125T021500Z");
    }
}
