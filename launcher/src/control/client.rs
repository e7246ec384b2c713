//! The command line's side of control.sock.

use std::io::{BufRead as _, BufReader, ErrorKind, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;

use super::{FOLLOW, Order, request_line};
use crate::failure::{Exit, Failure};
use crate::server::near::Near;
use crate::steps::Event;
use crate::supervise::Request;

/// No answer is longer: it holds a status, no log.
const LONGEST_ANSWER: u64 = 1024 * 1024;

/// An answer; the supervisor keeps the connection open for as long as it runs.
#[derive(Debug)]
pub struct Answer {
    pub value: Value,
    connection: BufReader<UnixStream>,
}

impl Answer {
    /// Waits until the supervisor is gone. False: it still runs after this time.
    pub fn wait_for_end(mut self, timeout: Duration) -> bool {
        if self.connection.get_ref().set_read_timeout(Some(timeout)).is_err() {
            return false;
        }
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
    let stream = connect(socket)?;
    let failed = |cause| Failure::io("talk over", socket, cause);
    // It speaks at least twice a second only when something happens: a long step is silent.
    (&stream).write_all(FOLLOW.as_bytes()).map_err(failed)?;
    for line in BufReader::new(stream).lines() {
        let Ok(line) = line else { return Ok(None) };
        let Ok(value) = serde_json::from_str::<Value>(&line) else { continue };
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
    Ok(None)
}

/// Orders work of the supervisor, and hears how it goes. The answer, or the failure with which it ended.
pub fn order(socket: &Path, order: &Order, mut hear: impl FnMut(Event)) -> Result<Value, Failure> {
    let stream = connect(socket)?;
    let failed = |cause| Failure::io("talk over", socket, cause);
    (&stream).write_all(order.line().as_bytes()).map_err(failed)?;
    let mut lines = BufReader::new(stream);
    loop {
        let mut line = Vec::new();
        let read = (&mut lines).take(LONGEST_ANSWER).read_until(b'\n', &mut line).map_err(failed)?;
        if read == 0 {
            return Err(Failure::new("the launcher ended in the middle of it")
                .help("`mathesar start` puts everything in order; `mathesar status` says how it is"));
        }
        let Ok(mut value) = serde_json::from_slice::<Value>(&line) else { continue };
        if let Some(event) = value.get("event").and_then(Event::from_json) {
            hear(event);
        } else if let Some(failure) = super::order::failure(&value) {
            return Err(failure);
        } else if let Some(ok) = value.get_mut("ok") {
            return Ok(ok.take());
        }
    }
}

fn connect(socket: &Path) -> Result<UnixStream, Failure> {
    let near = Near::new(socket).map_err(|cause| not_running(socket, cause))?;
    UnixStream::connect(near.path()).map_err(|cause| match cause.kind() {
        ErrorKind::PermissionDenied => Failure::io("reach", socket, cause)
            .help("run the command as the user that runs Mathesar, or as root"),
        _ => not_running(socket, cause),
    })
}

/// Asks the supervisor behind this socket. Exit code 3 where none runs.
pub fn ask(socket: &Path, request: Request, timeout: Duration) -> Result<Answer, Failure> {
    let stream = connect(socket)?;
    let failed = |cause| Failure::io("talk over", socket, cause);
    stream
        .set_read_timeout(Some(timeout))
        .and_then(|()| stream.set_write_timeout(Some(timeout)))
        .map_err(failed)?;
    // One that refuses us may have closed already: its answer tells more than the broken pipe.
    let _ = (&stream).write_all(request_line(request).as_bytes());
    let mut connection = BufReader::new(stream);
    let mut line = Vec::new();
    let read = (&mut connection).take(LONGEST_ANSWER).read_until(b'\n', &mut line);
    match read {
        Ok(0) => return Err(Failure::new("the supervisor closed the connection without an answer")),
        Ok(_) => {}
        Err(cause) if matches!(cause.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
            let seconds = timeout.as_secs();
            return Err(Failure::new(format!("the supervisor did not answer within {seconds} s"))
                .help("see what it does: `mathesar logs`"));
        }
        Err(cause) => return Err(failed(cause)),
    }
    let mut value: Value = serde_json::from_slice(&line)
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

fn not_running(socket: &Path, cause: std::io::Error) -> Failure {
    Failure::io("reach", socket, cause).exit(Exit::NotRunning).help("start it: `mathesar start`")
}
