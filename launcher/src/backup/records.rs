//! `state/backups.json`: what this machine knows of archives and they do not say themselves. Losing it loses nothing but that.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::manifest::MadeBy;
use crate::app::files;
use crate::failure::Failure;

const FILE: &str = "backups.json";

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Known {
    pub path: PathBuf,
    /// When the drill went well at last: RFC 3339, UTC.
    pub verified: Option<String>,
    pub made_by: MadeBy,
}

/// By the archives' digests.
pub fn known(state: &Path) -> BTreeMap<String, Known> {
    let text = std::fs::read(state.join(FILE)).unwrap_or_default();
    serde_json::from_slice(&text).unwrap_or_default()
}

/// Writes down where an archive is and, where it is given, that it was verified; that it was before stays known.
pub fn remember(state: &Path, digest: &str, mut new: Known) -> Result<(), Failure> {
    let mut all = known(state);
    if let (None, Some(before)) = (&new.verified, all.get(digest)) {
        new.verified.clone_from(&before.verified);
    }
    all.insert(digest.to_owned(), new);
    write(state, &all)
}

/// Archives that were removed.
pub fn forget(state: &Path, digests: &[&str]) -> Result<(), Failure> {
    let mut all = known(state);
    let before = all.len();
    all.retain(|digest, _| !digests.contains(&digest.as_str()));
    if all.len() == before { Ok(()) } else { write(state, &all) }
}

fn write(state: &Path, all: &BTreeMap<String, Known>) -> Result<(), Failure> {
    let path = state.join(FILE);
    let text = serde_json::to_string_pretty(all)
        .map_err(|cause| Failure::new(format!("cannot write {}", path.display())).cause(cause))?;
    files::write(&path, format!("{text}\n").as_bytes())
}
