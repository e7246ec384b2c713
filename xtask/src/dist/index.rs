//! `dist.json`: what is in `dist/`, for `lint`, `release` and the next `dist`.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};

/// The whole file.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Index {
    /// Raised when a reader of the old form would misread the new one.
    pub format: u32,
    pub name: String,
    pub version: String,
    pub revision: u32,
    /// SOURCE_DATE_EPOCH of every file.
    pub epoch: u64,
    /// Digest of what each channel was made from, by target and channel: `x86_64-unknown-linux-gnu/deb`.
    pub inputs: BTreeMap<String, String>,
    /// By path.
    pub files: Vec<Entry>,
}

/// One file.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Entry {
    /// Relative to `dist/`.
    pub path: String,
    pub channel: String,
    pub target: String,
    /// In bytes.
    pub size: u64,
    pub sha256: String,
}

impl Index {
    pub(crate) const FORMAT: u32 = 1;
    pub(crate) const FILE: &'static str = "dist.json";

    /// The index of a folder; nothing where there is none that can be read, as it is only ever made anew.
    pub(crate) fn read(dist: &Path) -> Option<Index> {
        let text = fs::read_to_string(dist.join(Index::FILE)).ok()?;
        serde_json::from_str(&text).ok().filter(|index: &Index| index.format == Index::FORMAT)
    }

    /// SHA256SUMS as sha256sum(1) reads it.
    pub(crate) fn sums(&self) -> String {
        self.files.iter().map(|file| format!("{}  {}\n", file.sha256, file.path)).collect()
    }
}
