//! The log file and those put aside, read as one: its end, all of it, and what is still to come.

mod backwards;
mod follow;
mod select;
mod watch;

use std::fs::{self, File};
use std::io::{self, BufRead as _, BufReader, ErrorKind};
use std::ops::ControlFlow;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use backwards::Backwards;
pub use follow::Follower;
pub use select::{Select, Source, parse};

/// Beside the log: what a launcher in the background said outside of it, which is its error when it ended badly.
pub const LAST_WORDS: &str = "launcher.err";

/// `mathesar.log`, `mathesar.log.1` (newer) and so on.
#[derive(Debug, Clone)]
pub struct Logbook {
    path: PathBuf,
}

/// Takes a line without its end.
pub type Show<'a> = &'a mut dyn FnMut(&[u8]) -> io::Result<ControlFlow<()>>;

/// One of the files, known by more than its name.
#[derive(Debug)]
struct Part {
    file: File,
    id: (u64, u64),
}

impl Logbook {
    pub fn new(path: &Path) -> Logbook {
        Logbook { path: path.to_owned() }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    fn folder(&self) -> &Path {
        self.path.parent().unwrap_or(Path::new("/"))
    }

    /// Files that are there, the newest first.
    fn names(&self) -> io::Result<Vec<PathBuf>> {
        let name = self.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let entries = match fs::read_dir(self.folder()) {
            Err(cause) if cause.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries?,
        };
        let mut found: Vec<(u32, PathBuf)> = entries
            .flatten()
            .filter_map(|entry| {
                let number = match entry.file_name().to_str()?.strip_prefix(&name)? {
                    "" => 0,
                    rest => rest.strip_prefix('.')?.parse().ok().filter(|number| *number > 0)?,
                };
                Some((number, entry.path()))
            })
            .collect();
        found.sort();
        Ok(found.into_iter().map(|(_, path)| path).collect())
    }

    /// The same, opened: each once, whatever is renamed meanwhile.
    fn parts(&self) -> io::Result<Vec<Part>> {
        let mut parts: Vec<Part> = Vec::new();
        for _ in 0..3 {
            let names = self.names()?;
            parts.clear();
            for name in &names {
                let file = match File::open(name) {
                    Err(cause) if cause.kind() == ErrorKind::NotFound => continue,
                    file => file?,
                };
                let found = file.metadata()?;
                let id = (found.dev(), found.ino());
                // It was renamed between two looks.
                if found.is_file() && parts.iter().all(|part| part.id != id) {
                    parts.push(Part { file, id });
                }
            }
            if parts.len() == names.len() && self.names()? == names {
                break;
            }
        }
        Ok(parts)
    }

    /// Not: it may lie where one may not look.
    pub fn exists(&self) -> io::Result<bool> {
        self.names().map(|names| !names.is_empty())
    }

    /// Shows what is there: the last so many lines that are wanted, or all of them. The follower shows what comes after.
    pub fn show(&self, select: &Select, last: Option<usize>, show: Show<'_>) -> io::Result<Follower> {
        let mut parts = self.parts()?;
        // Whatever is written from here on is the follower's.
        let ends: Vec<u64> =
            parts.iter().map(|part| backwards::after_last_line(&part.file)).collect::<io::Result<_>>()?;
        match last {
            Some(0) => {}
            Some(number) => {
                for line in tail(&parts, &ends, select, number)?.iter().rev() {
                    if show(line)?.is_break() {
                        break;
                    }
                }
            }
            None => all(&parts, &ends, select, show)?,
        }
        let newest = if parts.is_empty() { None } else { Some(parts.swap_remove(0)) };
        Ok(Follower::new(self.clone(), newest, ends.first().copied().unwrap_or(0)))
    }
}

/// The newest first.
fn tail(parts: &[Part], ends: &[u64], select: &Select, number: usize) -> io::Result<Vec<Vec<u8>>> {
    let mut lines = Vec::new();
    for (part, end) in parts.iter().zip(ends) {
        let mut backwards = Backwards::new(&part.file, *end);
        while let Some(line) = backwards.next_line()? {
            if select.is_too_old(&line) {
                return Ok(lines);
            }
            if select.wants(&line) {
                lines.push(line);
            }
            if lines.len() == number {
                return Ok(lines);
            }
        }
    }
    Ok(lines)
}

fn all(parts: &[Part], ends: &[u64], select: &Select, show: Show<'_>) -> io::Result<()> {
    // A line without a time is as old as the one before it.
    let mut begun = select.since.is_none();
    for (part, end) in parts.iter().zip(ends).rev() {
        let mut reader = BufReader::new(io::Read::take(&part.file, *end));
        let mut line = Vec::new();
        while reader.read_until(b'\n', &mut line)? > 0 {
            let text = line.strip_suffix(b"\n").unwrap_or(&line);
            begun = begun || (parse(text).is_some() && !select.is_too_old(text));
            if begun && select.wants(text) && show(text)?.is_break() {
                return Ok(());
            }
            line.clear();
        }
    }
    Ok(())
}

#[cfg(test)]
#[path = "logbook/tests.rs"]
mod tests;
