//! Asks gunicorn for a page, over a socket that only this gunicorn answers.

use std::io::{ErrorKind, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use super::near::Near;

/// How it went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Answer {
    Status(u16),
    /// Nobody there, or gone in the middle.
    Closed,
    Late,
    Cancelled,
    Strange,
}

/// GET this path and read the status. `give_up` is looked at once a second.
pub(crate) fn get(
    socket: &Path,
    path: &str,
    host: &str,
    timeout: Duration,
    give_up: impl Fn() -> bool,
) -> Answer {
    let Ok(near) = Near::new(socket) else { return Answer::Closed };
    let Ok(mut stream) = UnixStream::connect(near.path()) else { return Answer::Closed };
    let request = format!(
        "GET {path} HTTP/1.0\r\nHost: {host}\r\nUser-Agent: mathesar-launcher\r\nAccept: text/html\r\nConnection: close\r\n\r\n"
    );
    let short = Some(Duration::from_secs(1).min(timeout));
    if stream.set_read_timeout(short).and_then(|()| stream.set_write_timeout(short)).is_err()
        || stream.write_all(request.as_bytes()).is_err()
    {
        return Answer::Closed;
    }
    let end = Instant::now() + timeout;
    let mut head = Vec::new();
    let mut buffer = [0; 1024];
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => return if head.is_empty() { Answer::Closed } else { Answer::Strange },
            Ok(size) => head.extend_from_slice(&buffer[..size]),
            Err(cause)
                if matches!(
                    cause.kind(),
                    ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted
                ) => {}
            Err(_) => return Answer::Closed,
        }
        if head.contains(&b'\n') {
            return status(&head).map_or(Answer::Strange, Answer::Status);
        }
        if give_up() {
            return Answer::Cancelled;
        }
        if Instant::now() >= end {
            return Answer::Late;
        }
        if head.len() > 4096 {
            return Answer::Strange;
        }
    }
}

fn status(head: &[u8]) -> Option<u16> {
    let line = std::str::from_utf8(head.split(|byte| *byte == b'\n').next()?).ok()?;
    line.strip_prefix("HTTP/1.")?.split(' ').nth(1)?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::status;

    #[test]
    fn statuses_are_read() {
        assert_eq!(status(b"HTTP/1.1 302 Found\r\nX: y"), Some(302));
        assert_eq!(status(b"HTTP/1.0 200\r\n"), Some(200));
        assert_eq!(status(b"SSH-2.0-OpenSSH\r\n"), None);
        assert_eq!(status(b"\xff\n"), None);
    }
}
