//! What a backup says of itself, in `manifest.json`, its first entry.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::moment;
use super::unlogged::Sequence;
use crate::app::store::Store;
use crate::failure::{Exit, Failure};
use crate::progress::Progress;

/// The format that this launcher writes, and the newest that it reads.
pub const FORMAT: u64 = 1;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// The files of a cluster.
    Physical,
    /// What `pg_dump` gives of somebody else's server.
    Logical,
}

/// Who wanted it: what nobody but the launcher wanted may be removed by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MadeBy {
    Person,
    Timer,
    Upgrade,
    Restore,
}

impl MadeBy {
    pub fn name(self) -> &'static str {
        match self {
            MadeBy::Person => "person",
            MadeBy::Timer => "timer",
            MadeBy::Upgrade => "upgrade",
            MadeBy::Restore => "restore",
        }
    }
}

impl std::str::FromStr for MadeBy {
    type Err = String;

    fn from_str(name: &str) -> Result<MadeBy, String> {
        [MadeBy::Person, MadeBy::Timer, MadeBy::Upgrade, MadeBy::Restore]
            .into_iter()
            .find(|known| known.name() == name)
            .ok_or_else(|| "one of person, timer, upgrade, restore".to_owned())
    }
}

/// The release of Mathesar that ran.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct App {
    pub version: String,
    /// Of its tarball.
    pub sha256: String,
    pub id: String,
    pub source: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Postgresql {
    /// `15.18`
    pub version: String,
    pub major: u32,
    /// As text: it does not fit into a number of JSON's. None: an external server did not say.
    pub system_identifier: Option<String>,
}

/// Fields that a later launcher adds without a new format are passed over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    pub format: u64,
    pub kind: Kind,
    /// RFC 3339, UTC.
    pub created: String,
    pub made_by: MadeBy,
    pub note: Option<String>,
    /// The launcher's version.
    pub launcher: String,
    pub app: App,
    pub postgresql: Postgresql,
    /// `3.11.2`
    pub python: Option<String>,
    /// `system`, `user` or `home`
    pub scope: String,
    /// The state folder that it was made of.
    pub state: PathBuf,
    /// What Mathesar has stored as the host of its server: the folder of the database's socket.
    pub socket: Option<PathBuf>,
    pub port: u16,
    pub os_user: String,
    pub internal_database: String,
    pub user_database: Option<String>,
    /// About: no more than `most()` is ever packed or unpacked.
    pub unpacked_bytes: u64,
    pub secret_key_fingerprint: Option<String>,
    /// For a person: what was there, and is not in it.
    #[serde(default)]
    pub cannot_keep: Vec<String>,
    /// What belongs into it, and is not there. A launcher that did not know this field has written of it in `cannot_keep` alone.
    #[serde(default)]
    pub lacks: Vec<Lack>,
    /// The values of unlogged sequences, which are not in the cluster's files.
    #[serde(default)]
    pub unlogged: Vec<Sequence>,
}

/// A database that could not be copied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lack {
    pub database: String,
    pub why: String,
}

/// For a person: `lacks people, staff`.
pub fn lacking<'a>(databases: impl IntoIterator<Item = &'a str>) -> Option<String> {
    let names: Vec<&str> = databases.into_iter().collect();
    (!names.is_empty()).then(|| format!("lacks {}", names.join(", ")).replace(char::is_control, " "))
}

impl Manifest {
    /// The first entry's bytes. `path` is the archive's, for messages.
    pub fn parse(text: &[u8], path: &Path) -> Result<Manifest, Failure> {
        let wrong = |cause: String| {
            Failure::new(format!("{} is no backup that can be read: its manifest is wrong", path.display()))
                .cause(cause)
                .exit(Exit::Refused)
                .help("see which others there are: `mathesar backup list`")
        };
        let value: Value = serde_json::from_slice(text).map_err(|cause| wrong(cause.to_string()))?;
        // Before anything else of it is understood.
        if value["format"].as_u64().is_some_and(|format| format > FORMAT) {
            return Err(newer(path, &value["format"].to_string()));
        }
        let manifest: Manifest = serde_json::from_value(value).map_err(|cause| wrong(cause.to_string()))?;
        let version = &manifest.app.version;
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '+' | '-' | '_');
        if version.is_empty() || version.len() > 100 || !version.chars().all(plain) {
            return Err(wrong(format!("`app.version` is no version: {version:?}")));
        }
        // A store's folder has this name: one that is no release's could not be put there.
        let (id, sha256) = (&manifest.app.id, &manifest.app.sha256);
        let hexadecimal = |byte: u8| byte.is_ascii_digit() || matches!(byte, b'a'..=b'f');
        if sha256.len() != 64 || !sha256.bytes().all(hexadecimal) {
            return Err(wrong(format!("`app.sha256` is no digest: {sha256:?}")));
        }
        if Store::id(version, sha256) != *id {
            return Err(wrong(format!("`app.id` is not what its version and digest say: {id:?}")));
        }
        match moment::parse(&manifest.created) {
            Some(_) => Ok(manifest),
            None => Err(wrong(format!("`created` is no moment: {:?}", manifest.created))),
        }
    }

    pub fn tell_what_is_missing(&self, progress: &dyn Progress) {
        for what in &self.cannot_keep {
            let what = what.replace(char::is_control, " ");
            progress.note(&format!("the backup does not hold {what}"));
        }
    }

    pub fn to_bytes(&self) -> Result<Vec<u8>, Failure> {
        let text = serde_json::to_string_pretty(self)
            .map_err(|cause| Failure::new("cannot write the backup's manifest").cause(cause))?;
        Ok(format!("{text}\n").into_bytes())
    }

    /// Bytes that all files together may have: what is packed last is not known when this is written, and one that unpacks to
    /// much more is no backup of ours.
    pub fn most(&self) -> u64 {
        const SLACK: u64 = 64 << 20;
        self.unpacked_bytes.saturating_mul(2).saturating_add(SLACK)
    }
}

pub(super) fn newer(path: &Path, format: &str) -> Failure {
    Failure::new(format!("{} was made by a newer launcher", path.display()))
        .cause(format!("it has the format {format}, and this launcher knows none after {FORMAT}"))
        .exit(Exit::Refused)
        .help("install at least the package that has made it; `mathesar --version` shows yours")
}
