//! `dist.json`: what is in `dist/`, for `lint`, `release` and the next `dist`.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Component, Path};

use serde::{Deserialize, Serialize};

use crate::digest;

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

/// Whether the path is one that a channel could have made: relative, straight down, without a line break.
pub(crate) fn is_plain(path: &str) -> bool {
    let straight = |part| matches!(part, Component::Normal(_));
    !path.is_empty() && !path.contains(char::is_control) && Path::new(path).components().all(straight)
}

impl Entry {
    /// Whether the file is in `dist` as it is listed. A link or a pipe is not, whatever is behind it.
    pub(crate) fn is_there(&self, dist: &Path) -> bool {
        let path = dist.join(&self.path);
        path.symlink_metadata().is_ok_and(|found| found.is_file())
            && digest::file(&path).is_ok_and(|found| found == self.sha256)
    }
}

impl Index {
    pub(crate) const FORMAT: u32 = 1;
    pub(crate) const FILE: &'static str = "dist.json";

    /// The index of a folder; nothing where there is none that can be read, as it is only ever made anew.
    pub(crate) fn read(dist: &Path) -> Option<Index> {
        let text = fs::read_to_string(dist.join(Index::FILE)).ok()?;
        let mut index: Index = serde_json::from_str(&text).ok()?;
        // Anyone may have edited it: nothing outside dist/ is read, listed or removed on its word.
        index.files.retain(|file| is_plain(&file.path));
        (index.format == Index::FORMAT).then_some(index)
    }

    /// SHA256SUMS as sha256sum(1) reads it.
    pub(crate) fn sums(&self) -> String {
        self.files.iter().map(|file| format!("{}  {}\n", file.sha256, file.path)).collect()
    }
}
