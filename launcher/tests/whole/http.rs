//! A browser, as far as these tests need one.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::{Value, json};

/// Who the tests' administrator is.
pub const ADMIN: &str = "admin:correct-horse";

/// A form's field and the cookie have to be the same; which, is the visitor's choice.
const TOKEN: &str = "0123456789abcdefghijABCDEFGHIJkl";

#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Answer {
    pub fn location(&self) -> Option<&str> {
        self.head.lines().find_map(|line| line.strip_prefix("Location: "))
    }
}

/// One request by `head` (its first line and headers, without the last empty line); None: refused, broken off, or no answer.
pub fn request(port: u16, head: &str, body: &[u8], patience: Duration) -> Option<Answer> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.set_read_timeout(Some(patience)).unwrap();
    let host =
        if head.contains("\r\nHost: ") { String::new() } else { format!("\r\nHost: 127.0.0.1:{port}") };
    let length = body.len();
    write!(stream, "{head}{host}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n").ok()?;
    stream.write_all(body).ok()?;
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).ok()?;
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let (head, body) = text.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    // Cut short: no answer. gunicorn and the page both say how long theirs is.
    let length = head
        .lines()
        .find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
    if length.is_some_and(|length: usize| bytes.len() < length + head.len() + 4) {
        return None;
    }
    Some(Answer { status, head: head.to_owned(), body: body.to_owned() })
}

/// A call of the sample application's methods: the result, or the error's message. None: no answer of the application's.
pub fn call(
    port: u16,
    who: &str,
    method: &str,
    params: &Value,
    patience: Duration,
) -> Option<Result<Value, String>> {
    call_with(port, &format!("Authorization: Basic {}", base64(who.as_bytes())), method, params, patience)
}

/// The same with other headers: a session's, which costs no hashing of a password.
pub fn call_with(
    port: u16,
    headers: &str,
    method: &str,
    params: &Value,
    patience: Duration,
) -> Option<Result<Value, String>> {
    let body = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).to_string();
    let head = format!("POST /api/rpc/v0/ HTTP/1.1\r\n{headers}\r\nContent-Type: application/json");
    let answer = request(port, &head, body.as_bytes(), patience).filter(|answer| answer.status == 200)?;
    let mut answer: Value = serde_json::from_str(&answer.body).ok()?;
    Some(match answer.get("error") {
        Some(error) => Err(error["message"].as_str().unwrap_or_default().to_owned()),
        None => Ok(answer["result"].take()),
    })
}

/// What the first visitor does in a browser.
pub fn complete_installation(port: u16, who: &str, patience: Duration) -> Option<Answer> {
    let (name, password) = who.split_once(':').unwrap();
    let token = TOKEN;
    let head = format!(
        "POST /complete_installation/ HTTP/1.1\r\nCookie: csrftoken={token}\r\n\
         Content-Type: application/x-www-form-urlencoded"
    );
    let form =
        format!("csrfmiddlewaretoken={token}&username={name}&password1={password}&password2={password}");
    request(port, &head, form.as_bytes(), patience)
}

/// Logs in as a browser does; the headers of the session, for `call_in_session`.
pub fn log_in(port: u16, who: &str, patience: Duration) -> Option<String> {
    let (name, password) = who.split_once(':').unwrap();
    let head = format!(
        "POST /auth/login/ HTTP/1.1\r\nCookie: csrftoken={TOKEN}\r\nContent-Type: application/x-www-form-urlencoded"
    );
    let form = format!("csrfmiddlewaretoken={TOKEN}&login={name}&username={name}&password={password}");
    let answer = request(port, &head, form.as_bytes(), patience)?;
    let cookie = |name: &str| {
        let line = answer.head.lines().find_map(|line| line.strip_prefix(&format!("Set-Cookie: {name}=")))?;
        Some(line.split(';').next()?.to_owned())
    };
    let token = cookie("csrftoken").unwrap_or_else(|| TOKEN.to_owned());
    Some(format!("Cookie: csrftoken={token}; sessionid={}\r\nX-CSRFToken: {token}", cookie("sessionid")?))
}

pub fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let encode = |chunk: &[u8]| {
        let bits = (0..3).fold(0u32, |bits, at| bits << 8 | u32::from(*chunk.get(at).unwrap_or(&0)));
        let digit = |at: usize| {
            if at > chunk.len() { '=' } else { DIGITS[(bits >> (18 - 6 * at)) as usize & 63].into() }
        };
        (0..4).map(digit).collect::<String>()
    };
    bytes.chunks(3).map(encode).collect()
}
