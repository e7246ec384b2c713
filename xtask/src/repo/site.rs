//! What every kind of repository is made from, and how.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use jiff::Timestamp;

use super::keys::Keys;
use super::{Key, names};
use crate::tools::Tools;

/// Where nobody has said another number.
pub(super) const KEEP: usize = 5;
/// With a daily `repo sign`, it may fail for a week before anybody is told of an old index.
pub(super) const VALID_DAYS: i64 = 14;
/// Longer than anybody takes from reading an index to fetching what it names, in seconds.
const GRACE: i64 = 24 * 3600;

/// What every kind of repository is made from.
#[derive(Clone)]
pub(crate) struct Site<'a> {
    /// The packages that are new, of one or several versions.
    pub packages: &'a [PathBuf],
    pub key: &'a Key,
    /// The key that is to be announced, if another one than is so already.
    pub next: Option<&'a Key>,
    /// The one that is announced is so no longer.
    pub no_next: bool,
    /// As the repository's facts have them.
    pub keys: Keys,
    /// Without a slash at its end.
    pub url: &'a str,
    /// Of the package, and of the repository.
    pub name: &'a str,
    /// Homebrew's, for the page.
    pub tap: Option<&'a str>,
    pub tools: &'a Tools,
    /// How many versions of each package the indices keep. None: as many as was said last.
    pub keep: Option<usize>,
    pub valid_days: i64,
    pub now: Timestamp,
    /// In seconds.
    pub grace: i64,
    /// Sign also what has not changed.
    pub again: bool,
    /// Say nothing of each.
    pub quiet: bool,
    /// Versions that no index names again.
    pub withdrawn: BTreeSet<String>,
}

impl<'a> Site<'a> {
    pub(crate) fn new(key: &'a Key, url: &'a str, name: &'a str, tools: &'a Tools) -> Site<'a> {
        Site {
            packages: &[],
            key,
            next: None,
            no_next: false,
            keys: Keys::default(),
            url,
            name,
            tap: None,
            tools,
            keep: None,
            valid_days: VALID_DAYS,
            now: Timestamp::from_second(Timestamp::now().as_second()).unwrap_or(Timestamp::UNIX_EPOCH),
            grace: GRACE,
            again: false,
            quiet: false,
            withdrawn: BTreeSet::new(),
        }
    }

    /// Of each package, so many.
    pub(super) fn keeps(&self) -> usize {
        self.keep.unwrap_or(KEEP)
    }

    pub(super) fn is_withdrawn(&self, package: &names::Named) -> bool {
        package.name == self.name && self.withdrawn.contains(&package.version)
    }

    /// The new packages with this ending, and their names.
    pub(super) fn new_of(&self, ending: &str) -> Result<Vec<(&'a Path, &'a str)>> {
        let mut all = Vec::new();
        for package in self.packages {
            let name =
                package.file_name().and_then(|name| name.to_str()).context("a package without a name")?;
            if !name.ends_with(ending) {
                continue;
            }
            if names::parse(name).is_none() {
                bail!("{} is not called as packages are", package.display());
            }
            all.push((package.as_path(), name));
        }
        Ok(all)
    }
}
