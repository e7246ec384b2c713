//! What was begun and what was done, a line each, on the disk before and after it happens.
//!
//! Whether a thing is there is asked of the channel and never of this file. It tells people what a killed run was doing, and the next run
//! which step was begun and not ended, as what everybody sees may be there and what is left behind it not be tidied up.

use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Line {
    pub at: Timestamp,
    pub step: String,
    pub event: Event,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub note: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Event {
    Begin,
    Done,
    Failed,
}

/// The lines of earlier runs, and how many bytes of the file they are: a kill may leave half a line, which is none.
pub(super) fn read(text: &[u8]) -> (Vec<Line>, usize) {
    let (mut lines, mut length) = (Vec::new(), 0);
    for line in text.split_inclusive(|byte| *byte == b'\n') {
        let Ok(found) = serde_json::from_slice(line) else { break };
        if !line.ends_with(b"\n") {
            break;
        }
        lines.push(found);
        length += line.len();
    }
    (lines, length)
}

/// The step that was begun and of whose end nothing is written.
pub(super) fn interrupted(lines: &[Line]) -> Option<&str> {
    lines.last().filter(|line| line.event == Event::Begin).map(|line| line.step.as_str())
}

/// Whether this step was begun, and not ended since.
pub(super) fn is_open(lines: &[Line], step: &str) -> bool {
    lines.iter().rev().find(|line| line.step == step).is_some_and(|line| line.event != Event::Done)
}

pub(super) struct Journal {
    file: File,
    path: PathBuf,
    pub lines: Vec<Line>,
}

impl Journal {
    /// In this folder, which is made, under this name.
    pub(super) fn open(folder: &Path, name: &str) -> Result<Journal> {
        fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
        let path = folder.join(name);
        let what = || format!("cannot write {}", path.display());
        let text = match fs::read(&path) {
            Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => Vec::new(),
            text => text.with_context(|| format!("cannot read {}", path.display()))?,
        };
        let (lines, length) = read(&text);
        let file = OpenOptions::new().append(true).create(true).open(&path).with_context(what)?;
        if length < text.len() {
            file.set_len(length as u64).with_context(what)?;
        }
        file.sync_all().with_context(what)?;
        let parents = [Some(folder), folder.parent().filter(|parent| !parent.as_os_str().is_empty())];
        for parent in parents.into_iter().flatten() {
            let synced = File::open(parent).and_then(|folder| folder.sync_all());
            synced.with_context(|| format!("cannot sync {}", parent.display()))?;
        }
        Ok(Journal { file, path, lines })
    }

    fn write(&mut self, step: &str, event: Event, note: String) -> Result<()> {
        let line = Line { at: Timestamp::now(), step: step.to_owned(), event, note };
        let mut text = serde_json::to_vec(&line).context("cannot write a line of the journal")?;
        text.push(b'\n');
        let written = self.file.write_all(&text).and_then(|()| self.file.sync_all());
        written.with_context(|| format!("cannot write {}", self.path.display()))?;
        self.lines.push(line);
        Ok(())
    }

    /// Does it between two lines. What it gives is the note of the second one.
    pub(super) fn step(&mut self, name: &str, work: impl FnOnce() -> Result<String>) -> Result<String> {
        self.write(name, Event::Begin, String::new())?;
        match work() {
            Ok(note) => {
                self.write(name, Event::Done, note.clone())?;
                Ok(note)
            }
            Err(error) => {
                self.write(name, Event::Failed, format!("{error:#}"))?;
                Err(error)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_a_line_is_none_and_is_written_over() {
        let folder = tempfile::tempdir().unwrap();
        let mut journal = Journal::open(&folder.path().join("a/b"), "j").unwrap();
        journal.step("one", || Ok("well".into())).unwrap();
        assert!(journal.step("two", || anyhow::bail!("no")).is_err());
        let events: Vec<Event> = journal.lines.iter().map(|line| line.event).collect();
        assert_eq!(["none", "one", "two"].map(|step| is_open(&journal.lines, step)), [false, false, true]);
        assert!(is_open(&journal.lines[..1], "one"));
        assert_eq!(events, [Event::Begin, Event::Done, Event::Begin, Event::Failed]);
        let path = folder.path().join("a/b/j");
        let whole = fs::read(&path).unwrap();
        for cut in 0..whole.len() {
            let (lines, length) = read(&whole[..cut]);
            assert!(length <= cut && whole[..length].ends_with(if length == 0 { b"" } else { b"\n" }));
            assert_eq!(lines.len(), whole[..length].iter().filter(|byte| **byte == b'\n').count());
            assert_eq!(interrupted(&lines), [None, Some("one"), None, Some("two")][lines.len()]);
            fs::write(&path, &whole[..cut]).unwrap();
            let mut again = Journal::open(&folder.path().join("a/b"), "j").unwrap();
            again.step("three", || Ok(String::new())).unwrap();
            let (all, length) = read(&fs::read(&path).unwrap());
            assert_eq!((all.len(), length), (lines.len() + 2, fs::read(&path).unwrap().len()));
        }
    }
}
