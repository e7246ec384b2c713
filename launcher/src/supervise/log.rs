//! Where the children's words go: standard error (the journal), or a file that is put aside when it has grown.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::failure::Failure;

/// Takes one line of one source. Never fails: a full disk must not end the service.
pub trait Sink: Send + Sync {
    fn line(&self, source: &str, line: &str);
}

/// `gunicorn: …` on standard error; the journal adds time and unit.
#[derive(Debug, Default)]
pub struct Stderr;

impl Sink for Stderr {
    fn line(&self, source: &str, line: &str) {
        let _ = writeln!(std::io::stderr().lock(), "{source}: {line}");
    }
}

/// The same words to two places.
#[derive(Debug)]
pub struct Both<A, B>(pub A, pub B);

impl<A: Sink, B: Sink> Sink for Both<A, B> {
    fn line(&self, source: &str, line: &str) {
        self.0.line(source, line);
        self.1.line(source, line);
    }
}

/// A log file of limited size; `mathesar.log`, `mathesar.log.1` (newer) to `.N`.
#[derive(Debug)]
pub struct Rotated {
    path: PathBuf,
    max: u64,
    keep: u32,
    open: Mutex<Option<(File, u64)>>,
}

impl Rotated {
    pub fn open(path: &Path, max: u64, keep: u32) -> Result<Rotated, Failure> {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(|cause| Failure::io("make", folder, cause))?;
        }
        let open = append(path).map_err(|cause| Failure::io("write", path, cause))?;
        Ok(Rotated { path: path.to_owned(), max, keep, open: Mutex::new(Some(open)) })
    }

    fn aside(&self, number: u32) -> PathBuf {
        let mut name = self.path.clone().into_os_string();
        name.push(format!(".{number}"));
        PathBuf::from(name)
    }

    fn rotate(&self) {
        if self.keep == 0 {
            let _ = std::fs::remove_file(&self.path);
            return;
        }
        for number in (1..self.keep).rev() {
            let _ = std::fs::rename(self.aside(number), self.aside(number + 1));
        }
        let _ = std::fs::rename(&self.path, self.aside(1));
    }
}

fn append(path: &Path) -> std::io::Result<(File, u64)> {
    // For its owner alone: requests and errors tell about people.
    let file = OpenOptions::new().append(true).create(true).mode(0o600).open(path)?;
    let size = file.metadata()?.len();
    Ok((file, size))
}

impl Sink for Rotated {
    fn line(&self, source: &str, line: &str) {
        let text = format!("{} {source}: {line}\n", timestamp(SystemTime::now()));
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if open.as_ref().is_some_and(|(_, size)| *size > 0 && size + text.len() as u64 > self.max) {
            *open = None;
            self.rotate();
        }
        if open.is_none() {
            *open = append(&self.path).ok();
        }
        if let Some((file, size)) = open.as_mut()
            && file.write_all(text.as_bytes()).is_ok()
        {
            *size += text.len() as u64;
        }
    }
}

/// Writes `***` where a secret would stand.
pub struct Redacted<S> {
    pub inner: S,
    pub secrets: Vec<String>,
}

impl<S: Sink> Sink for Redacted<S> {
    fn line(&self, source: &str, line: &str) {
        let mut text = std::borrow::Cow::Borrowed(line);
        // Short ones would turn every other word into stars.
        for secret in self.secrets.iter().filter(|secret| secret.len() >= 6) {
            if text.contains(secret.as_str()) {
                text = text.replace(secret.as_str(), "***").into();
            }
        }
        self.inner.line(source, &text);
    }
}

/// `2026-11-23T06:50:00Z`.
pub(crate) fn timestamp(time: SystemTime) -> String {
    let seconds = time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    // Howard Hinnant's days-to-civil, for dates after 1970.
    let shifted = days + 719_468;
    let (era, of_era) = (shifted / 146_097, shifted % 146_097);
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let shifted_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year + era * 400 + u64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z", rest / 3600, rest / 60 % 60, rest % 60)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;
    use std::time::Duration;

    use super::*;

    #[test]
    fn dates_are_right() {
        let at = |seconds| timestamp(UNIX_EPOCH + Duration::from_secs(seconds));
        assert_eq!(at(0), "1970-01-01T00:00:00Z");
        assert_eq!(at(951_782_399), "2000-02-28T23:59:59Z");
        assert_eq!(at(951_868_799), "2000-02-29T23:59:59Z");
        assert_eq!(at(1_795_416_600), "2026-11-23T06:50:00Z");
    }

    #[test]
    fn a_log_keeps_its_size_and_secrets_stay_out() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log/mathesar.log");
        let sink =
            Redacted { inner: Rotated::open(&path, 500, 2).unwrap(), secrets: vec!["hunter22".into()] };
        for number in 0..50 {
            sink.line("gunicorn", &format!("line {number} with hunter22 in it"));
        }
        let mut files: Vec<_> =
            std::fs::read_dir(path.parent().unwrap()).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        assert_eq!(files.len(), 3, "{files:?}");
        for file in &files {
            let text = std::fs::read_to_string(file).unwrap();
            assert!(text.len() <= 500 && !text.contains("hunter22") && text.contains("***"), "{text}");
            assert_eq!(std::fs::metadata(file).unwrap().permissions().mode() & 0o777, 0o600);
        }
        assert!(std::fs::read_to_string(&path).unwrap().contains("gunicorn: line 49 with *** in it"));
    }
}
