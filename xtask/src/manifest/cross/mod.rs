//! What no value can be judged on alone: the manifest's parts against each other and against the files that it names.
//! Only what is sound by itself is judged (`Facts::at`), so that nothing is said twice.

mod destinations;
mod files;
mod parts;
mod service;

use std::ops::Range;
use std::path::Path;

use super::problem::Problem;
use super::walk::Spans;
use super::{FileChannel, FileEntry, Manifest};

pub(super) struct Facts<'a> {
    pub manifest: &'a Manifest,
    pub spans: &'a Spans,
    /// The repository's root.
    pub root: &'a Path,
    pub problems: Vec<Problem>,
}

impl Facts<'_> {
    /// Where the value stands, if it is there and sound.
    fn at(&self, path: &str) -> Option<Range<usize>> {
        self.spans.get(path).cloned()
    }

    fn say(&mut self, problem: Problem) {
        self.problems.push(problem);
    }
}

pub(super) fn check(manifest: &Manifest, spans: &Spans, root: &Path) -> Vec<Problem> {
    let mut facts = Facts { manifest, spans, root, problems: Vec::new() };
    parts::check(&mut facts);
    service::check(&mut facts);
    files::check(&mut facts);
    destinations::check(&mut facts);
    facts.problems
}

const CHANNELS: [FileChannel; 3] = [FileChannel::Deb, FileChannel::Rpm, FileChannel::Tarball];

fn name_of(channel: FileChannel) -> &'static str {
    match channel {
        FileChannel::Deb => "deb",
        FileChannel::Rpm => "rpm",
        FileChannel::Tarball => "tarball",
    }
}

fn goes_into(entry: &FileEntry, channel: FileChannel) -> bool {
    entry.channels.as_ref().is_none_or(|only| only.contains(&channel))
}

/// The last component of a source or destination.
fn file_name(path: &str) -> &str {
    let path = path.strip_prefix("build:").unwrap_or(path);
    path.rsplit('/').next().unwrap_or(path)
}
