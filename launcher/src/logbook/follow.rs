//! What is written from now on, over every rotation.

use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::ops::ControlFlow;
use std::os::fd::BorrowedFd;
use std::time::SystemTime;

use super::watch::{Watch, Woken};
use super::{Logbook, Part, Select, Show};

pub struct Follower {
    book: Logbook,
    /// The file that is being read, also when it has been renamed or removed since.
    part: Option<Part>,
    at: u64,
    /// Of a line that is still being written.
    begun: Vec<u8>,
}

impl Follower {
    pub(super) fn new(book: Logbook, part: Option<Part>, at: u64) -> Follower {
        Follower { book, part, at, begun: Vec::new() }
    }

    /// Shows what comes until `show` wants no more, nobody reads at `reader`, or the folder is removed.
    pub fn follow(mut self, select: &Select, reader: BorrowedFd<'_>, show: Show<'_>) -> io::Result<()> {
        let folder = self.book.folder().to_owned();
        // Before the first look: nothing is missed between the two.
        let watch = Watch::new(&folder);
        let mut wanted = |line: &[u8]| match select.wants(line) {
            true => show(line),
            false => Ok(ControlFlow::Continue(())),
        };
        loop {
            if self.catch_up(&mut wanted)?.is_break() {
                return Ok(());
            }
            match watch.wait(&folder, reader)? {
                Woken::Changed => {}
                Woken::NobodyReads | Woken::Gone => return Ok(()),
            }
        }
    }

    /// Everything up to now.
    pub(super) fn catch_up(&mut self, show: Show<'_>) -> io::Result<ControlFlow<()>> {
        if self.read(show)?.is_break() {
            return Ok(ControlFlow::Break(()));
        }
        let parts = self.book.parts()?;
        if parts.first().map(|part| part.id) == self.part.as_ref().map(|part| part.id) {
            return self.after_truncation(show);
        }
        // Put aside: what was written before that comes first.
        if self.read(show)?.is_break() || self.end_line(show)?.is_break() {
            return Ok(ControlFlow::Break(()));
        }
        let newer = self.newer(parts)?;
        for part in newer.into_iter().rev() {
            (self.part, self.at) = (Some(part), 0);
            if self.read(show)?.is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    /// Those that were begun after the one that is being read.
    fn newer(&self, mut parts: Vec<Part>) -> io::Result<Vec<Part>> {
        let Some(own) = &self.part else { return Ok(parts) };
        match parts.iter().position(|part| part.id == own.id) {
            Some(place) => parts.truncate(place),
            // Removed already, as too many came after it.
            None => {
                let changed = |part: &Part| part.file.metadata()?.modified();
                let last = changed(own)?;
                parts.retain(|part| changed(part).unwrap_or(SystemTime::UNIX_EPOCH) >= last);
            }
        }
        Ok(parts)
    }

    fn after_truncation(&mut self, show: Show<'_>) -> io::Result<ControlFlow<()>> {
        let Some(part) = &self.part else { return Ok(ControlFlow::Continue(())) };
        if part.file.metadata()?.len() >= self.at {
            return Ok(ControlFlow::Continue(()));
        }
        self.at = 0;
        self.begun.clear();
        self.read(show)
    }

    /// To the end of the file that is being read.
    fn read(&mut self, show: Show<'_>) -> io::Result<ControlFlow<()>> {
        let Some(part) = &mut self.part else { return Ok(ControlFlow::Continue(())) };
        part.file.seek(SeekFrom::Start(self.at))?;
        let mut block = [0; 16 * 1024];
        loop {
            let size = part.file.read(&mut block)?;
            if size == 0 {
                return Ok(ControlFlow::Continue(()));
            }
            self.at += size as u64;
            for piece in block[..size].split_inclusive(|byte| *byte == b'\n') {
                self.begun.extend_from_slice(piece);
                if let Some(line) = self.begun.strip_suffix(b"\n") {
                    if show(line)?.is_break() {
                        return Ok(ControlFlow::Break(()));
                    }
                    self.begun.clear();
                }
            }
        }
    }

    /// A line that will never be ended.
    fn end_line(&mut self, show: Show<'_>) -> io::Result<ControlFlow<()>> {
        let line = std::mem::take(&mut self.begun);
        if line.is_empty() { Ok(ControlFlow::Continue(())) } else { show(&line) }
    }
}
