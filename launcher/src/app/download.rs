//! One file from the network into the cache: resumed, verified while it streams, tried again where that may help.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::digest::Hasher;
use super::files;
use super::network::Network;
use crate::failure::{Exit, Failure};
use crate::progress::Progress;

/// A file that is known by its digest.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// As it is called on disk, whatever the last part of the address is.
    pub name: String,
    pub url: String,
    /// Lower-case hexadecimal.
    pub sha256: String,
    pub size: Option<u64>,
}

/// No file that the launcher fetches comes near this.
const LARGEST: u64 = 1 << 30;
/// After so many new bytes the attempts are counted anew: a bad line gets there in the end.
const WORTHWHILE: u64 = 256 * 1024;

impl Wanted {
    /// Its name in the cache.
    pub fn cached_name(&self) -> String {
        format!("{}-{}", self.sha256.get(..12).unwrap_or(&self.sha256), self.name)
    }

    /// Never used, wherever it came from.
    pub fn refuse(&self, from: &str, found: &str) -> Failure {
        Failure::new(format!("{from} is not the file that was pinned, and is not used"))
            .cause(format!("its SHA-256 is {found}, expected {}", self.sha256))
            .exit(Exit::Refused)
    }
}

/// Why one attempt ended.
enum Trouble {
    /// Worth another attempt.
    Passing(String),
    Final(Failure),
}

impl From<Failure> for Trouble {
    fn from(failure: Failure) -> Trouble {
        Trouble::Final(failure)
    }
}

/// Fetches a file into `folder` and says where it is. A part that an earlier run left is taken up again.
pub fn fetch(
    wanted: &Wanted,
    folder: &Path,
    network: &Network,
    progress: &dyn Progress,
) -> Result<PathBuf, Failure> {
    files::create_folder(folder)?;
    let to = folder.join(wanted.cached_name());
    let partial = folder.join(format!("{}.partial", wanted.cached_name()));
    let mut fetching = Fetching::open(wanted, &partial, progress)?;
    // Another process may have finished it while this one waited for the lock.
    if to.exists() && super::digest::of_file(&to)?.0 == wanted.sha256 {
        let _ = fs::remove_file(&partial);
        return Ok(to);
    }
    progress.start(&format!("Fetching {}", wanted.url));
    fetching.until_whole(network)?;
    fetching.file.sync_all().map_err(|cause| Failure::io("sync", &partial, cause))?;
    files::rename(&partial, &to)?;
    progress.done(&format!("Fetched {}", wanted.name));
    Ok(to)
}

struct Fetching<'a> {
    wanted: &'a Wanted,
    partial: &'a Path,
    progress: &'a dyn Progress,
    file: File,
    hasher: Hasher,
    done: u64,
}

impl<'a> Fetching<'a> {
    fn open(
        wanted: &'a Wanted,
        partial: &'a Path,
        progress: &'a dyn Progress,
    ) -> Result<Fetching<'a>, Failure> {
        loop {
            let failed = |cause| Failure::io("open", partial, cause);
            let mut options = OpenOptions::new();
            let file =
                options.read(true).write(true).create(true).truncate(false).open(partial).map_err(failed)?;
            if file.try_lock().is_err() {
                progress.note(&format!("waiting for another process that fetches {}", wanted.name));
                file.lock().map_err(failed)?;
            }
            // The other one has renamed or removed what was locked: begin with what is there now.
            use std::os::unix::fs::MetadataExt as _;
            let same = |found: fs::Metadata| file.metadata().is_ok_and(|own| own.ino() == found.ino());
            if !fs::metadata(partial).is_ok_and(same) {
                continue;
            }
            let mut hasher = Hasher::default();
            let done = hasher.read(&file).map_err(failed)?;
            return Ok(Fetching { wanted, partial, progress, file, hasher, done });
        }
    }

    fn limit(&self) -> u64 {
        self.wanted.size.unwrap_or(LARGEST)
    }

    fn start_over(&mut self) -> Result<(), Failure> {
        let failed = |cause| Failure::io("empty", self.partial, cause);
        self.file.set_len(0).map_err(failed)?;
        self.file.seek(SeekFrom::Start(0)).map_err(failed)?;
        self.hasher = Hasher::default();
        self.done = 0;
        Ok(())
    }

    fn until_whole(&mut self, network: &Network) -> Result<(), Failure> {
        let mut attempt = 1;
        // Bytes of an earlier run may be damaged; what comes in one go is what the server has.
        let mut doubtful = self.done > 0;
        loop {
            let before = self.done;
            let trouble = match self.attempt(network) {
                Ok(()) => {
                    let found = self.hasher.clone().finish();
                    if found == self.wanted.sha256 {
                        return Ok(());
                    }
                    if doubtful {
                        doubtful = false;
                        self.progress.note("what an earlier run left is damaged; fetching it all again");
                        self.start_over()?;
                        continue;
                    }
                    let _ = fs::remove_file(self.partial);
                    return Err(self.wanted.refuse(&self.wanted.url, &found));
                }
                Err(Trouble::Final(failure)) => return Err(failure),
                Err(Trouble::Passing(trouble)) => match network.through(&self.wanted.url) {
                    Some(proxy) => format!("{trouble}, {proxy}"),
                    None => trouble,
                },
            };
            attempt = if self.done >= before + WORTHWHILE { 1 } else { attempt + 1 };
            if attempt > network.attempts {
                return Err(Failure::new(format!("cannot fetch {}", self.wanted.url))
                    .cause(trouble)
                    .help("run the same command again: it goes on where it stopped")
                    .help("a proxy or another authority's certificates: `mathesar config set network.proxy URL`, `… network.ca-file FILE`"));
            }
            self.progress.note(&format!("{trouble}; trying again"));
            std::thread::sleep(network.pause * 2u32.pow((attempt - 1).min(6)));
        }
    }

    fn attempt(&mut self, network: &Network) -> Result<(), Trouble> {
        let url = self.wanted.url.as_str();
        if self.done > 0 && (Some(self.done) == self.wanted.size || self.digest_fits()) {
            return Ok(());
        }
        if self.done > self.limit() {
            self.start_over()?;
        }
        if let Some(path) = url.strip_prefix("file://") {
            self.start_over()?;
            let path = Path::new(path);
            let file = File::open(path).map_err(|cause| Failure::io("open", path, cause))?;
            return self.take(file, None, network);
        }
        let https = url.starts_with("https://");
        if !https && !is_loopback(url) {
            let failure =
                Failure::new(format!("{url} is refused: only https is fetched")).exit(Exit::Refused);
            return Err(failure.into());
        }
        let mut request = network.agent(https)?.get(url).header("Accept-Encoding", "identity");
        if self.done > 0 {
            request = request.header("Range", format!("bytes={}-", self.done));
        }
        let response = request.call().map_err(|cause| self.trouble(cause))?;
        let header = |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok());
        match response.status().as_u16() {
            206 if header("content-range").and_then(range_start) == Some(self.done) => {}
            // It sends all, or another part than was asked for.
            200 => self.start_over()?,
            206 | 416 if self.done > 0 => {
                self.start_over()?;
                return Err(Trouble::Passing("the server cannot resume".to_owned()));
            }
            status @ (408 | 425 | 429 | 500..=599) => {
                return Err(Trouble::Passing(format!("the server answered {status}")));
            }
            status => {
                return Err(Failure::new(format!("cannot fetch {url}"))
                    .cause(format!("the server answered {status}"))
                    .into());
            }
        }
        let length = header("content-length").and_then(|length| length.parse::<u64>().ok());
        let total = length.map(|length| self.done + length);
        if let (Some(total), Some(size)) = (total, self.wanted.size)
            && total != size
        {
            let _ = fs::remove_file(self.partial);
            return Err(Failure::new(format!("{url} is not the file that was pinned, and is not fetched"))
                .cause(format!("it is {total} bytes long, expected {size}"))
                .exit(Exit::Refused)
                .into());
        }
        self.take(response.into_body().into_reader(), total, network)
    }

    fn digest_fits(&self) -> bool {
        self.wanted.size.is_none() && self.hasher.clone().finish() == self.wanted.sha256
    }

    /// Writes down what comes, to the end.
    fn take(&mut self, mut from: impl Read, total: Option<u64>, network: &Network) -> Result<(), Trouble> {
        let total = total.or(self.wanted.size);
        let mut buffer = vec![0; 64 * 1024];
        let mut pace = Pace::new(network.least, Instant::now());
        loop {
            let count = match from.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => count,
                Err(cause) if cause.kind() == io::ErrorKind::Interrupted => continue,
                Err(cause) => return Err(Trouble::Passing(format!("the transfer broke off: {cause}"))),
            };
            if self.done + count as u64 > self.limit() {
                let _ = fs::remove_file(self.partial);
                let url = &self.wanted.url;
                return Err(Failure::new(format!(
                    "{url} is not the file that was pinned, and is not fetched"
                ))
                .cause(format!("it is longer than {} bytes", self.limit()))
                .exit(Exit::Refused)
                .into());
            }
            self.file.write_all(&buffer[..count]).map_err(|cause| {
                let failure = Failure::io("write", self.partial, cause);
                failure.help(format!("look for room: `df -h {}`", crate::cure::path(self.partial)))
            })?;
            self.hasher.update(&buffer[..count]);
            self.done += count as u64;
            self.progress.bytes(self.done, total);
            if pace.is_too_slow(count as u64, Instant::now()) {
                let (bytes, time) = network.least;
                let (bytes, time) = (crate::terminal::size(bytes), crate::terminal::time(time));
                return Err(Trouble::Passing(format!("the server sent less than {bytes} in {time}")));
            }
        }
        match total {
            Some(total) if self.done < total => {
                let done = self.done;
                Err(Trouble::Passing(format!("the transfer ended after {done} of {total} bytes")))
            }
            _ => Ok(()),
        }
    }

    fn trouble(&self, cause: ureq::Error) -> Trouble {
        use ureq::Error::{BadUri, InvalidProxyUrl, RequireHttpsOnly, Rustls, Tls, TooManyRedirects};
        match cause {
            // The same the next time: a certificate is not trusted, a redirect leaves https.
            Rustls(_) | Tls(_) | BadUri(_) | InvalidProxyUrl | RequireHttpsOnly(_) | TooManyRedirects => {
                let mut failure = Failure::new(format!("cannot fetch {}", self.wanted.url));
                if matches!(cause, Rustls(_) | Tls(_)) {
                    failure = failure.help(
                        "behind a proxy that looks into TLS: `mathesar config set network.ca-file FILE`",
                    );
                }
                Trouble::Final(failure.cause(cause))
            }
            ureq::Error::Io(cause) => Trouble::Passing(cause.to_string()),
            cause => Trouble::Passing(cause.to_string()),
        }
    }
}

/// Whether enough comes, looked at once a while.
struct Pace {
    least: (u64, Duration),
    since: Instant,
    bytes: u64,
}

impl Pace {
    fn new(least: (u64, Duration), now: Instant) -> Pace {
        Pace { least, since: now, bytes: 0 }
    }

    fn is_too_slow(&mut self, came: u64, now: Instant) -> bool {
        self.bytes += came;
        if now.saturating_duration_since(self.since) < self.least.1 {
            return false;
        }
        let enough = self.bytes >= self.least.0;
        *self = Pace::new(self.least, now);
        !enough
    }
}

/// `bytes 100-199/200`
fn range_start(text: &str) -> Option<u64> {
    text.strip_prefix("bytes ")?.split_once('-')?.0.trim().parse().ok()
}

/// Nobody stands between this machine and itself.
fn is_loopback(url: &str) -> bool {
    let Some(rest) = url.strip_prefix("http://") else { return false };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = match authority.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => authority.split(':').next().unwrap_or_default(),
    };
    matches!(host, "127.0.0.1" | "::1" | "localhost")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_may_speak_plain_http() {
        for url in ["http://127.0.0.1:80/x", "http://localhost/x", "http://[::1]:8/x"] {
            assert!(is_loopback(url), "{url}");
        }
        for url in [
            "http://127.0.0.1.example.org/x",
            "http://localhost@example.org/x",
            "http://user:127.0.0.1@example.org/x",
            "ftp://127.0.0.1/x",
        ] {
            assert!(!is_loopback(url), "{url}");
        }
    }

    #[test]
    fn a_minute_without_much_is_too_slow() {
        let begun = Instant::now();
        let after = |seconds| begun + Duration::from_secs(seconds);
        let mut pace = Pace::new((60_000, Duration::from_secs(60)), begun);
        assert!(!pace.is_too_slow(1, after(59)));
        assert!(!pace.is_too_slow(59_999, after(60)));
        // What came before does not count.
        assert!(!pace.is_too_slow(59_999, after(119)));
        assert!(pace.is_too_slow(0, after(121)));
    }

    #[test]
    fn ranges_are_read() {
        assert_eq!(range_start("bytes 100-199/200"), Some(100));
        assert_eq!(range_start("bytes */200"), None);
    }
}
