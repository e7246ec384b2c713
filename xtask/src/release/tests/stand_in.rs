//! What stands in for GitHub's API, for the addresses of its assets, and for the web server of the repositories. It fails as the real one
//! does, when it is told to. Its state is in a folder.

mod github;

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};

pub(super) const TOKEN: &str = "ghp_aSecretThatNobodySees";
pub(super) const REPOSITORY: &str = "mathesar-everywhere/mathesar-launcher";

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Fault {
    Status(u16),
    /// With Retry-After, in seconds.
    Limited(u64),
    /// With x-ratelimit-reset, so many seconds from the server's now.
    LimitedUntil(i64),
    /// In the middle of what is sent to it: half an upload stays behind.
    CutUpload,
    /// It is done, and nobody hears of it.
    CutAnswer,
    Slow(Duration),
}

/// To which requests, how often yet.
struct Planned {
    method: &'static str,
    part: &'static str,
    fault: Fault,
    times: u32,
}

pub(super) struct StandIn {
    pub url: String,
    shared: Arc<Shared>,
}

struct Shared {
    url: String,
    folder: PathBuf,
    state: Mutex<()>,
    faults: Mutex<Vec<Planned>>,
    /// Of what never may change, by its address: the digest that was served first.
    seen: Mutex<BTreeMap<String, String>>,
    changed: Mutex<Vec<String>>,
    requests: Mutex<Vec<String>>,
    /// Its clock is wrong by so many seconds, as seen from here.
    skew: Mutex<i64>,
    expires: Mutex<Option<String>>,
}

fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

impl StandIn {
    /// `folder` holds its state, and the repositories as `packages`.
    pub(super) fn start(folder: &Path) -> StandIn {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let shared = Arc::new(Shared {
            url: url.clone(),
            folder: folder.to_owned(),
            state: Mutex::default(),
            faults: Mutex::default(),
            seen: Mutex::default(),
            changed: Mutex::default(),
            requests: Mutex::default(),
            skew: Mutex::default(),
            expires: Mutex::default(),
        });
        let of_thread = Arc::clone(&shared);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let shared = Arc::clone(&of_thread);
                std::thread::spawn(move || {
                    // Whoever asked may be killed at any moment.
                    let _ = serve(&shared, &stream);
                    let _ = stream.shutdown(Shutdown::Both);
                });
            }
        });
        StandIn { url, shared }
    }

    pub(super) fn fail(&self, method: &'static str, part: &'static str, fault: Fault, times: u32) {
        held(&self.shared.faults).push(Planned { method, part, fault, times });
    }

    pub(super) fn no_faults(&self) {
        held(&self.shared.faults).clear();
    }

    pub(super) fn clock(&self, skew: i64, expires: Option<&str>) {
        *held(&self.shared.skew) = skew;
        *held(&self.shared.expires) = expires.map(str::to_owned);
    }

    /// What was served under one address with two digests, since the last time.
    pub(super) fn changed(&self) -> Vec<String> {
        held(&self.shared.seen).clear();
        std::mem::take(&mut held(&self.shared.changed))
    }

    /// `METHOD path`, of all requests since the last time.
    pub(super) fn requests(&self) -> Vec<String> {
        std::mem::take(&mut held(&self.shared.requests))
    }

    /// Everything that can be seen of it, without the numbers that depend on how often something was tried.
    pub(super) fn facts(&self) -> Value {
        let _held = held(&self.shared.state);
        let mut state = self.shared.read();
        state.as_object_mut().unwrap().remove("next");
        for release in state["releases"].as_array_mut().unwrap() {
            release.as_object_mut().unwrap().remove("id");
            let assets = release["assets"].as_array_mut().unwrap();
            assets.iter_mut().for_each(|asset| drop(asset.as_object_mut().unwrap().remove("id")));
            assets.sort_by_key(|asset| asset["name"].to_string());
        }
        state
    }

    /// By somebody else, or at another time.
    pub(super) fn change(&self, how: impl FnOnce(&mut Value)) {
        let _held = held(&self.shared.state);
        let mut state = self.shared.read();
        how(&mut state);
        self.shared.write(&state);
    }
}

struct Request {
    method: String,
    path: String,
    query: String,
    authorised: Option<bool>,
    body: Vec<u8>,
}

impl Request {
    fn parameter(&self, name: &str) -> Option<String> {
        let pair = self.query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))?;
        Some(pair.replace("%2B", "+"))
    }
}

enum Reply {
    Json(u16, Value),
    Bytes(Vec<u8>),
    Redirect(String),
}

fn serve(shared: &Shared, stream: &TcpStream) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let mut words = line.split_whitespace();
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    held(&shared.requests).push(format!("{method} {path}"));
    let (mut length, mut authorised) = (0, None);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 || line.trim().is_empty() {
            break;
        }
        let (name, value) = line.split_once(':').unwrap_or_default();
        match name.to_lowercase().as_str() {
            "content-length" => length = value.trim().parse().unwrap_or(0),
            "authorization" => authorised = Some(value.trim() == format!("Bearer {TOKEN}")),
            _ => {}
        }
    }
    let mut request = Request {
        method: method.to_owned(),
        path: path.to_owned(),
        query: query.to_owned(),
        authorised,
        body: Vec::new(),
    };
    let fault = shared.fault(&request);
    if let Some(Fault::Slow(time)) = fault {
        std::thread::sleep(time);
    }
    let upload = path.starts_with("/uploads/");
    let half = fault == Some(Fault::CutUpload);
    let wanted = if half { length / 2 } else { length };
    reader.take(wanted as u64).read_to_end(&mut request.body)?;
    if half || request.body.len() < length {
        // The client was cut, or was killed: what it has begun is known by its name.
        if upload {
            shared.upload(&request, false);
        }
        return Ok(());
    }
    let reply = match fault {
        Some(Fault::Status(status)) => Reply::Json(status, json!({ "message": "as it was told to" })),
        Some(Fault::Limited(_) | Fault::LimitedUntil(_)) => {
            Reply::Json(403, json!({ "message": "API rate limit exceeded" }))
        }
        _ => shared.answer(&request),
    };
    if fault == Some(Fault::CutAnswer) {
        return Ok(());
    }
    shared.send(stream, &reply, fault.as_ref())
}

impl Shared {
    fn fault(&self, request: &Request) -> Option<Fault> {
        let mut faults = held(&self.faults);
        let found = faults
            .iter_mut()
            .find(|one| one.times > 0 && one.method == request.method && request.path.contains(one.part))?;
        found.times -= 1;
        Some(found.fault.clone())
    }

    fn send(&self, mut stream: &TcpStream, reply: &Reply, fault: Option<&Fault>) -> std::io::Result<()> {
        let now = Timestamp::now().as_second() + *held(&self.skew);
        let date = Timestamp::from_second(now).unwrap().strftime("%a, %d %b %Y %H:%M:%S GMT");
        let mut head = format!("date: {date}\r\nconnection: close\r\n");
        if let Some(expires) = &*held(&self.expires) {
            head.push_str(&format!("github-authentication-token-expiration: {expires}\r\n"));
        }
        match fault {
            Some(Fault::Limited(seconds)) => head.push_str(&format!("retry-after: {seconds}\r\n")),
            Some(Fault::LimitedUntil(seconds)) => head
                .push_str(&format!("x-ratelimit-remaining: 0\r\nx-ratelimit-reset: {}\r\n", now + seconds)),
            _ => {}
        }
        let (status, body) = match reply {
            Reply::Json(status, json) => (*status, json.to_string().into_bytes()),
            Reply::Bytes(bytes) => (200, bytes.clone()),
            Reply::Redirect(to) => {
                head.push_str(&format!("location: {to}\r\n"));
                (302, Vec::new())
            }
        };
        let head = format!("HTTP/1.1 {status} x\r\n{head}content-length: {}\r\n\r\n", body.len());
        stream.write_all(head.as_bytes())?;
        if status != 204 {
            stream.write_all(&body)?;
        }
        stream.flush()
    }
}
