//! The command line's side of control.sock.

use std::io::{self, BufRead as _, BufReader, ErrorKind, Read, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketType, sockopt};

use serde_json::Value;

use super::{FOLLOW, Order, request_line};
use crate::careful::harmless_value;
use crate::failure::{Exit, Failure};
use crate::server::near::Near;
use crate::steps::Event;
use crate::supervise::Request;

/// No answer, and no event, is longer: it holds a status, no log.
const LONGEST_ANSWER: u64 = 1024 * 1024;

/// An answer; the supervisor keeps the connection open for as long as it runs.
#[derive(Debug)]
pub struct Answer {
    pub value: Value,
    connection: BufReader<Timely>,
}

/// Reads until this moment, however little comes at a time.
#[derive(Debug)]
struct Timely {
    stream: UnixStream,
    end: Option<Instant>,
}

impl Read for Timely {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.end.map(|end| end.saturating_duration_since(Instant::now()));
        if left == Some(Duration::ZERO) {
            return Err(ErrorKind::TimedOut.into());
        }
        self.stream.set_read_timeout(left)?;
        self.stream.read(buffer)
    }
}

impl Answer {
    /// Waits until the supervisor is gone. False: it still runs after this time.
    pub fn wait_for_end(mut self, timeout: Duration) -> bool {
        self.connection.get_mut().end = Some(Instant::now() + timeout);
        match self.connection.read(&mut [0; 64]) {
            Ok(size) => size == 0,
            Err(cause) => !matches!(cause.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut),
        }
    }
}

/// What a follower hears.
#[derive(Debug)]
pub enum Heard {
    Event(Event),
    /// How the whole is, and what it says about that.
    Phase(String, String),
}

/// Hears everything that happens until Mathesar runs, or has failed: then the reason. An end without either (the
/// supervisor was killed) is `None`.
pub fn follow(socket: &Path, mut hear: impl FnMut(Heard)) -> Result<Option<Result<(), String>>, Failure> {
    let stream = connect(socket, TO_ACCEPT)?;
    let failed = |cause| Failure::io("talk over", socket, cause);
    // It speaks at least twice a second only when something happens: a long step is silent.
    (&stream).write_all(FOLLOW.as_bytes()).map_err(failed)?;
    let mut reader = BufReader::new(stream);
    loop {
        let mut line = Vec::new();
        match (&mut reader).take(LONGEST_ANSWER).read_until(b'\n', &mut line) {
            Ok(1..) if line.ends_with(b"\n") => {}
            _ => return Ok(None),
        }
        let Ok(value) = serde_json::from_slice(&line).map(harmless_value) else { continue };
        let text = |name: &str| value.get(name).and_then(Value::as_str).map(str::to_owned);
        if let Some(event) = value.get("event").and_then(Event::from_json) {
            hear(Heard::Event(event));
        } else if let Some(phase) = text("phase") {
            hear(Heard::Phase(phase, text("message").unwrap_or_default()));
        } else if value.get("ok").is_some() {
            return Ok(Some(Ok(())));
        } else if let Some(why) = text("error") {
            return Ok(Some(Err(why)));
        }
    }
}

/// Orders work of the supervisor, and hears how it goes. The answer, or the failure with which it ended.
pub fn order(socket: &Path, order: &Order, mut hear: impl FnMut(Event)) -> Result<Value, Failure> {
    let stream = connect(socket, TO_ACCEPT)?;
    let failed = |cause| Failure::io("talk over", socket, cause);
    (&stream).write_all(order.line().as_bytes()).map_err(failed)?;
    let mut lines = BufReader::new(stream);
    loop {
        let mut line = Vec::new();
        let read = (&mut lines).take(LONGEST_ANSWER).read_until(b'\n', &mut line).map_err(failed)?;
        if read == 0 {
            return Err(Failure::new("the launcher ended in the middle of it").help(PUTS_IN_ORDER));
        }
        let Ok(mut value) = serde_json::from_slice(&line).map(harmless_value) else { continue };
        if let Some(event) = value.get("event").and_then(Event::from_json) {
            hear(event);
        } else if let Some(failure) = super::order::failure(&value) {
            return Err(failure);
        } else if let Some(ok) = value.get_mut("ok") {
            return Ok(ok.take());
        }
    }
}

const PUTS_IN_ORDER: &str = "`mathesar start` puts everything in order; `mathesar status` says how it is";

/// Its own threads accept; only one that hangs lets others wait.
const TO_ACCEPT: Duration = Duration::from_secs(10);

fn try_connect(path: &Path, timeout: Duration) -> io::Result<UnixStream> {
    let fd = rustix::net::socket(AddressFamily::UNIX, SocketType::STREAM, None)?;
    rustix::io::fcntl_setfd(&fd, rustix::io::FdFlags::CLOEXEC)?;
    // Where its queue is full this is the limit of the wait.
    sockopt::set_socket_timeout(&fd, sockopt::Timeout::Send, Some(timeout))?;
    loop {
        match rustix::net::connect(&fd, &SocketAddrUnix::new(path)?) {
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => return Err(ErrorKind::TimedOut.into()),
            result => return result.map(|()| fd.into()).map_err(io::Error::from),
        }
    }
}

fn connect(socket: &Path, timeout: Duration) -> Result<UnixStream, Failure> {
    let failed = |cause: io::Error| match cause.kind() {
        ErrorKind::TimedOut => silent(timeout),
        ErrorKind::PermissionDenied => Failure::io(REACH, socket, cause)
            .help("run the command as the user that runs Mathesar, or as root"),
        _ => not_running(socket, cause),
    };
    let near = Near::new(socket).map_err(failed)?;
    try_connect(near.path(), timeout).map_err(failed)
}

const REACH: &str = "reach";

/// The way to the socket is closed: whether somebody listens there, nobody knows.
pub fn is_denied(failure: &Failure) -> bool {
    // Where nobody listens the words are the same.
    failure.exit != Exit::NotRunning && failure.to_string().starts_with(&format!("cannot {REACH} "))
}

/// Asks the supervisor behind this socket. Exit code 3 where none runs.
pub fn ask(socket: &Path, request: Request, timeout: Duration) -> Result<Answer, Failure> {
    let end = Some(Instant::now() + timeout);
    let stream = connect(socket, timeout)?;
    let failed = |cause| Failure::io("talk over", socket, cause);
    stream.set_write_timeout(Some(timeout)).map_err(failed)?;
    // One that refuses us may have closed already: its answer tells more than the broken pipe.
    let _ = (&stream).write_all(request_line(request).as_bytes());
    let mut connection = BufReader::new(Timely { stream, end });
    let mut line = Vec::new();
    let read = (&mut connection).take(LONGEST_ANSWER).read_until(b'\n', &mut line);
    match read {
        Ok(0) => {
            return Err(Failure::new("the launcher ended before it answered").help(PUTS_IN_ORDER));
        }
        Ok(_) => {}
        Err(cause) if matches!(cause.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
            return Err(silent(timeout));
        }
        // It was killed before it has read what we asked: it does not run any more.
        Err(cause) if cause.kind() == ErrorKind::ConnectionReset => return Err(not_running(socket, cause)),
        Err(cause) => return Err(failed(cause)),
    }
    let mut value = serde_json::from_slice(&line)
        .map(harmless_value)
        .map_err(|cause| Failure::new("cannot understand the supervisor's answer").cause(cause))?;
    if let Some(why) = value.get("error").and_then(Value::as_str) {
        return Err(Failure::new(why));
    }
    match value.get_mut("ok") {
        Some(ok) => Ok(Answer { value: ok.take(), connection }),
        None => Err(Failure::new("cannot understand the supervisor's answer")
            .help("a newer launcher may be running: `mathesar restart`")),
    }
}

/// Words of a failure: connected, and then nothing.
pub(super) const SILENT: &str = "did not answer within";

fn silent(timeout: Duration) -> Failure {
    Failure::new(format!("the supervisor {SILENT} {} s", timeout.as_secs()))
        .help("see what it does: `mathesar logs`")
}

fn not_running(socket: &Path, cause: std::io::Error) -> Failure {
    Failure::io(REACH, socket, cause).exit(Exit::NotRunning).help("start it: `mathesar start`")
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::*;

    /// Whoever speaks there is another user.
    fn with(speak: impl FnOnce(UnixStream) + Send + 'static, test: impl FnOnce(&Path)) {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("control.sock");
        let listener = UnixListener::bind(&socket).unwrap();
        std::thread::spawn(move || speak(listener.accept().unwrap().0));
        test(&socket);
    }

    #[test]
    fn an_answer_that_never_ends_is_given_up() {
        let drip = |mut stream: UnixStream| {
            while stream.write_all(b" ").is_ok() {
                std::thread::sleep(Duration::from_millis(50));
            }
        };
        with(drip, |socket| {
            let begun = Instant::now();
            let failure = ask(socket, Request::Status, Duration::from_secs(1)).unwrap_err();
            assert_eq!(failure.to_string(), "the supervisor did not answer within 1 s");
            assert!(begun.elapsed() < Duration::from_secs(20));
        });
    }

    #[test]
    fn one_that_ends_before_it_has_read_does_not_run() {
        let end = |stream: UnixStream| {
            // Ours is there, and nobody reads it.
            std::thread::sleep(Duration::from_millis(100));
            drop(stream);
        };
        with(end, |socket| {
            let failure = ask(socket, Request::Status, Duration::from_secs(20)).unwrap_err();
            assert_eq!(failure.exit, Exit::NotRunning, "{failure}");
        });
    }

    #[test]
    fn a_socket_that_is_missing_is_not_taken_for_a_closed_way() {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("control.sock");
        assert!(!is_denied(&ask(&socket, Request::Status, Duration::from_secs(1)).unwrap_err()));
        let closed = Failure::io(REACH, &socket, ErrorKind::PermissionDenied.into());
        assert!(is_denied(&closed));
    }

    #[test]
    fn one_that_is_killed_while_it_works_says_what_helps() {
        let end = |mut stream: UnixStream| {
            let _ = stream.read(&mut [0; 1024]);
        };
        with(end, |socket| {
            let failure = ask(socket, Request::Status, Duration::from_secs(20)).unwrap_err();
            assert!(failure.helps().concat().contains("`mathesar start`"), "{failure:?}");
        });
    }

    #[test]
    fn one_that_accepts_nobody_is_given_up() {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("control.sock");
        let fd = rustix::net::socket(AddressFamily::UNIX, SocketType::STREAM, None).unwrap();
        rustix::net::bind(&fd, &SocketAddrUnix::new(&socket).unwrap()).unwrap();
        rustix::net::listen(&fd, 0).unwrap();
        let limit = Duration::from_millis(300);
        let mut waiting = Vec::new();
        for _ in 0..8 {
            waiting.extend(try_connect(&socket, limit).ok());
        }
        assert!(try_connect(&socket, limit).is_err() && waiting.len() < 8);
    }

    #[test]
    fn a_line_without_an_end_is_not_kept() {
        let pour = |mut stream: UnixStream| while stream.write_all(&[b' '; 65536]).is_ok() {};
        with(pour, |socket| assert!(matches!(follow(socket, |_| {}), Ok(None))));
    }

    #[test]
    fn what_it_says_leads_no_terminal() {
        let speak = |mut stream: UnixStream| {
            stream.write_all(b"{\"ok\":{\"address\":\"http-\\u001b[2J\"}}\n").unwrap();
        };
        with(speak, |socket| {
            let answer = ask(socket, Request::Status, Duration::from_secs(5)).unwrap();
            assert_eq!(answer.value["address"], "http-\\u{1b}[2J");
        });
    }
}
