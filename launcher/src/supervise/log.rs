//! Where the children's words go: standard error (the journal), or a file that is put aside when it has grown.

use std::fs::File;
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

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
    open: Mutex<Option<Open>>,
}

/// The file that is being written.
#[derive(Debug)]
struct Open {
    file: File,
    size: u64,
    /// To tell whether it still lies where it is looked for.
    id: (u64, u64),
    looked: Instant,
}

/// How often it is looked for, where there is something to write.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

impl Rotated {
    pub fn open(path: &Path, max: u64, keep: u32) -> Result<Rotated, Failure> {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(|cause| Failure::io("make", folder, cause))?;
        }
        let open = append(path)?;
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

fn append(path: &Path) -> Result<Open, Failure> {
    let file = crate::careful::open_log(path, false)?;
    let found = file.metadata().map_err(|cause| Failure::io("read", path, cause))?;
    Ok(Open { size: found.len(), id: (found.dev(), found.ino()), looked: Instant::now(), file })
}

impl Open {
    /// Somebody may have removed, renamed or emptied it, as logrotate does: what is written to it then, nobody finds.
    fn look(&mut self, path: &Path) {
        if self.looked.elapsed() < LOOK_AGAIN {
            return;
        }
        self.looked = Instant::now();
        match std::fs::metadata(path) {
            Ok(found) if (found.dev(), found.ino()) == self.id => self.size = found.len(),
            _ => {
                if let Some(folder) = path.parent().filter(|folder| !folder.exists()) {
                    // That one alone: with more of it gone, the installation may be on its way out.
                    let _ = std::fs::DirBuilder::new().mode(0o700).create(folder);
                }
                // Where that cannot be, the old one is better than none.
                if let Ok(again) = append(path) {
                    *self = again;
                }
            }
        }
    }
}

impl Sink for Rotated {
    fn line(&self, source: &str, line: &str) {
        let text = format!("{} {source}: {line}\n", timestamp(SystemTime::now()));
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(open) = open.as_mut() {
            open.look(&self.path);
        }
        if open.as_ref().is_some_and(|open| open.size > 0 && open.size + text.len() as u64 > self.max) {
            *open = None;
            self.rotate();
        }
        if open.is_none() {
            *open = append(&self.path).ok();
        }
        if let Some(open) = open.as_mut()
            && open.file.write_all(text.as_bytes()).is_ok()
        {
            open.size += text.len() as u64;
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

    #[test]
    fn one_that_somebody_took_away_is_begun_anew() {
        let folder = tempfile::tempdir().unwrap();
        let logs = folder.path().join("log");
        let path = logs.join("mathesar.log");
        let sink = Rotated::open(&path, 200, 2).unwrap();
        let read = |path: &Path| std::fs::read_to_string(path).unwrap_or_default();
        let later = || std::thread::sleep(LOOK_AGAIN + Duration::from_millis(50));
        sink.line("gunicorn", "one");
        std::fs::rename(&path, logs.join("mathesar.log-20261127")).unwrap();
        later();
        sink.line("gunicorn", "two");
        assert!(read(&path).ends_with("gunicorn: two\n") && !read(&path).contains("one"));
        assert!(read(&logs.join("mathesar.log-20261127")).ends_with("gunicorn: one\n"));
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        std::fs::remove_dir_all(&logs).unwrap();
        later();
        sink.line("gunicorn", "three");
        assert!(read(&path).ends_with("gunicorn: three\n"));
        assert_eq!(std::fs::metadata(&logs).unwrap().permissions().mode() & 0o777, 0o700);
        // What another emptied is not put aside as if it were full.
        sink.line("gunicorn", &"x".repeat(100));
        File::create(&path).unwrap();
        later();
        sink.line("gunicorn", &"y".repeat(100));
        assert!(!logs.join("mathesar.log.1").exists());
        // Nor is what a link leads to ever written, neither in its place nor where the next one is begun.
        let other = folder.path().join("other");
        std::fs::write(&other, "kept").unwrap();
        std::fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink(&other, &path).unwrap();
        std::os::unix::fs::symlink(&other, logs.join("mathesar.log.1")).unwrap();
        later();
        for _ in 0..4 {
            sink.line("gunicorn", &"z".repeat(100));
        }
        assert_eq!(read(&other), "kept");
        assert!(read(&path).contains("zzz") && Rotated::open(&logs.join("mathesar.log"), 200, 2).is_ok());
    }
}
