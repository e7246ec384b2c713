//! `state/backups.json`: what this machine knows of archives and they do not say themselves. Losing it loses nothing but that.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::manifest::{MadeBy, Manifest};
use super::origin;
use crate::app::files;
use crate::failure::Failure;

const FILE: &str = "backups.json";

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Known {
    pub path: PathBuf,
    /// Copies of it elsewhere: the same file, by its digest.
    #[serde(default)]
    pub also: Vec<PathBuf>,
    /// When the drill went well at last: RFC 3339, UTC.
    pub verified: Option<String>,
    pub made_by: MadeBy,
    /// Which data it is of, for where it cannot be read.
    #[serde(default)]
    pub origin: Option<String>,
    /// By this installation: not brought here, and tried or restored.
    #[serde(default)]
    pub made_here: bool,
}

impl Known {
    pub fn new(path: &Path, verified: Option<String>, manifest: &Manifest) -> Known {
        let (made_by, origin) = (manifest.made_by, origin::of(manifest));
        Known { path: path.to_owned(), also: Vec::new(), verified, made_by, origin, made_here: false }
    }

    /// Everywhere that it was seen.
    pub fn places(&self) -> impl Iterator<Item = &PathBuf> {
        std::iter::once(&self.path).chain(&self.also)
    }
}

/// By the archives' digests.
pub fn known(state: &Path) -> BTreeMap<String, Known> {
    let text = std::fs::read(state.join(FILE)).unwrap_or_default();
    serde_json::from_slice(&text).unwrap_or_default()
}

/// Writes down where an archive is and, where it is given, that it was verified; that it was before stays known.
pub fn remember(state: &Path, digest: &str, mut new: Known) -> Result<(), Failure> {
    let mut all = known(state);
    if let Some(before) = all.get(digest) {
        if new.verified.is_none() {
            new.verified.clone_from(&before.verified);
        }
        new.made_here |= before.made_here;
        // The one that was seen before stays listed, as long as it is there.
        let others = before.places().filter(|place| **place != new.path && is_or_may_be_there(place));
        new.also = others.cloned().collect();
    }
    all.insert(digest.to_owned(), new);
    write(state, &all)
}

/// Archives that were removed.
pub fn forget(state: &Path, digests: &[&str]) -> Result<(), Failure> {
    let before = known(state);
    let mut all = before.clone();
    for digest in digests {
        let Some(mut known) = all.remove(*digest) else { continue };
        // Of one that was copied elsewhere, the copy is known still.
        let mut left = known.places().filter(|place| is_or_may_be_there(place)).cloned().collect::<Vec<_>>();
        if let Some(path) = left.pop() {
            (known.path, known.also) = (path, left);
            all.insert((*digest).to_owned(), known);
        }
    }
    if all == before { Ok(()) } else { write(state, &all) }
}

/// Also where it lies in a folder of root's, which says nothing to others.
fn is_or_may_be_there(path: &Path) -> bool {
    !matches!(path.symlink_metadata(), Err(cause) if cause.kind() == std::io::ErrorKind::NotFound)
}

fn write(state: &Path, all: &BTreeMap<String, Known>) -> Result<(), Failure> {
    let path = state.join(FILE);
    let text = serde_json::to_string_pretty(all)
        .map_err(|cause| Failure::new(format!("cannot write {}", path.display())).cause(cause))?;
    files::write(&path, format!("{text}\n").as_bytes())
}
