//! A file's lines from its end on, without reading all of it.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

const BLOCK: u64 = 64 * 1024;

pub(super) struct Backwards<'a> {
    file: &'a File,
    /// Where `rest` begins.
    at: u64,
    /// What was read and not yet told.
    rest: Vec<u8>,
}

impl Backwards<'_> {
    /// The lines that end before this place.
    pub fn new(file: &File, end: u64) -> Backwards<'_> {
        Backwards { file, at: end, rest: Vec::new() }
    }

    pub fn next_line(&mut self) -> io::Result<Option<Vec<u8>>> {
        loop {
            let text = self.rest.strip_suffix(b"\n").unwrap_or(&self.rest);
            if let Some(newline) = text.iter().rposition(|byte| *byte == b'\n') {
                let line = text[newline + 1..].to_vec();
                self.rest.truncate(newline + 1);
                return Ok(Some(line));
            }
            if self.at == 0 {
                let line = text.to_vec();
                let some = !self.rest.is_empty();
                self.rest.clear();
                return Ok(some.then_some(line));
            }
            let size = self.at.min(BLOCK);
            let mut block = vec![0; size as usize];
            self.at -= size;
            self.file.read_exact_at(&mut block, self.at)?;
            block.append(&mut self.rest);
            self.rest = block;
        }
    }
}

/// Where the last whole line ends: what stands behind is still being written.
pub(super) fn after_last_line(file: &File) -> io::Result<u64> {
    let mut end = file.metadata()?.len();
    while end > 0 {
        let size = end.min(BLOCK);
        let mut block = vec![0; size as usize];
        file.read_exact_at(&mut block, end - size)?;
        if let Some(newline) = block.iter().rposition(|byte| *byte == b'\n') {
            return Ok(end - size + newline as u64 + 1);
        }
        end -= size;
    }
    Ok(0)
}
