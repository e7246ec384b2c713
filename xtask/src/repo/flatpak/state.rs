//! `flatpak/index.json`: what the ostree repository beside it consists of.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use serde::{Deserialize, Serialize};

use crate::repo::folder::replace;

pub(crate) const FILE: &str = "index.json";

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct State {
    pub format: u32,
    /// Those that can be installed, in the order in which they were committed.
    pub versions: Vec<Version>,
    /// SHA-256 of `summary.idx`: by another one nobody reads what stands here.
    pub index: String,
    /// Fingerprints of the keys that readers are told of, and of the one that has signed.
    pub keys: Vec<String>,
    pub signed: String,
    /// What each of ostree's references means.
    pub references: BTreeMap<String, String>,
    /// Every file with a digest or a commit in its name, below `repo`.
    pub files: BTreeSet<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Version {
    /// The bundle's name.
    pub file: String,
    pub architecture: String,
    /// `app/ID/ARCHITECTURE/BRANCH`
    pub reference: String,
    pub commit: String,
    /// In seconds since 1970.
    pub time: i64,
}

impl State {
    /// Of a folder in which there is none yet: nothing.
    pub(crate) fn read(folder: &Path) -> Result<State> {
        let path = folder.join(FILE);
        match std::fs::read(&path) {
            Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => {
                Ok(State { format: 1, ..State::default() })
            }
            text => State::parse(&text.with_context(|| format!("cannot read {}", path.display()))?)
                .with_context(|| format!("cannot understand {}", path.display())),
        }
    }

    pub(crate) fn parse(text: &[u8]) -> Result<State> {
        let state: State = serde_json::from_slice(text)?;
        match state.format {
            1 => Ok(state),
            other => bail!("it is of format {other}, and this xtask knows 1 only"),
        }
    }

    pub(super) fn write(&self, folder: &Path) -> Result<()> {
        replace(&folder.join(FILE), format!("{}\n", serde_json::to_string_pretty(self)?))
    }

    /// The one that readers get.
    pub(super) fn newest(&self, architecture: &str) -> Option<&Version> {
        self.versions.iter().rev().find(|one| one.architecture == architecture)
    }

    /// Leaves the last so many of each architecture; gives the commits of the others.
    pub(super) fn keep(&mut self, keep: usize, stays: impl Fn(&Version) -> bool) -> Vec<String> {
        let (mut counts, mut dropped) = (BTreeMap::<String, usize>::new(), Vec::new());
        let mut kept: Vec<Version> = Vec::new();
        for one in std::mem::take(&mut self.versions).into_iter().rev() {
            let count = counts.entry(one.architecture.clone()).or_default();
            if *count < keep.max(1) && stays(&one) {
                *count += 1;
                kept.push(one);
            } else {
                dropped.push(one.commit);
            }
        }
        kept.reverse();
        self.versions = kept;
        dropped
    }
}

impl Version {
    /// Of the application.
    pub(super) fn id(&self) -> &str {
        self.reference.split('/').nth(1).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_of_each_architecture_are_kept() {
        let one = |number: u32, architecture: &str| Version {
            file: format!("x-{number}-1-{architecture}.flatpak"),
            architecture: architecture.into(),
            reference: format!("app/org.example.X/{architecture}/stable"),
            commit: format!("{number}{architecture}"),
            time: 0,
        };
        let mut state =
            State { versions: vec![one(1, "a"), one(1, "b"), one(2, "a"), one(3, "a")], ..State::default() };
        assert_eq!(state.newest("b").map(Version::id), Some("org.example.X"));
        assert_eq!(state.keep(2, |one| one.commit != "2a"), ["2a"]);
        let left: Vec<&str> = state.versions.iter().map(|one| one.commit.as_str()).collect();
        assert_eq!(left, ["1a", "1b", "3a"]);
        assert_eq!(state.keep(1, |_| true), ["1a"]);
    }
}
