//! One HTTP client for all that is asked: what to try again, when, and what to say otherwise.

use std::fmt;
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use ureq::config::RedirectAuthHeaders;
use ureq::http::{HeaderMap, Response, Uri};
use ureq::tls::{RootCerts, TlsConfig};
use ureq::{Agent, Body};

/// No package is larger, nor is an index.
const LARGEST: u64 = 2 << 30;

/// How often something is tried again, and for how long that may wait.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience {
    pub tries: u32,
    /// Before the second try; doubled each time.
    pub first: Duration,
    /// For the end of a rate limit: whoever has to wait for longer is told so.
    pub longest: Duration,
    /// Without a byte.
    pub silence: Duration,
}

impl Default for Patience {
    fn default() -> Patience {
        Patience {
            tries: 5,
            first: Duration::from_secs(1),
            longest: Duration::from_secs(120),
            silence: Duration::from_secs(60),
        }
    }
}

/// Says nothing of itself, wherever it is printed.
#[derive(Clone)]
pub(crate) struct Token(String);

impl Token {
    pub(crate) fn of_environment() -> Option<Token> {
        let text = std::env::var("GITHUB_TOKEN").ok()?;
        let text = text.trim();
        (!text.is_empty()).then(|| Token(text.to_owned()))
    }

    #[cfg(test)]
    pub(crate) fn of(text: &str) -> Token {
        Token(text.to_owned())
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

pub(crate) struct Http {
    agent: Agent,
    pub token: Option<Token>,
    pub patience: Patience,
    /// No more bytes than these are taken of an answer.
    pub largest: u64,
}

/// What came back, whatever its status.
#[derive(Debug)]
pub(crate) struct Answer {
    /// Who was asked for what.
    pub what: String,
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

/// What to make of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Meaning {
    Well,
    Absent,
    /// The server is in trouble: it may do it the next time.
    Again,
    /// Asked too often; well again after so long.
    Limited(Duration),
    /// Nothing of it would be well the next time.
    Refused(String),
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn json(&self) -> Result<Value> {
        serde_json::from_slice(&self.body).with_context(|| {
            let host = host(&self.what);
            format!(
                "{}: what came back is no JSON\nhelp: is {host} GitHub's API? another one: `--api URL`",
                self.what
            )
        })
    }

    /// The server's clock: what it says of times is measured by it, as this computer's may go wrong.
    pub(crate) fn date(&self) -> Option<Timestamp> {
        jiff::fmt::rfc2822::parse(self.header("date")?).ok().map(|date| date.timestamp())
    }

    /// What GitHub says in words.
    pub(crate) fn words(&self) -> String {
        let said = self.json().ok();
        let message = said.as_ref().and_then(|json| json["message"].as_str()).unwrap_or_default();
        let codes = said.as_ref().and_then(|json| json["errors"].as_array()).into_iter().flatten();
        let codes: Vec<&str> = codes.filter_map(|error| error["code"].as_str()).collect();
        let plain = |c: char| if c.is_control() { ' ' } else { c };
        let text: String =
            [message, &codes.join(", ")].join(" ").trim().chars().map(plain).take(300).collect();
        if text.is_empty() { format!("status {}", self.status) } else { format!("{} ({text})", self.status) }
    }

    pub(crate) fn exists_already(&self) -> bool {
        self.status == 422 && self.words().contains("already_exists")
    }

    pub(crate) fn meaning(&self, now: Timestamp) -> Meaning {
        let limited = self.header("x-ratelimit-remaining") == Some("0");
        let after = self.header("retry-after").and_then(|text| text.parse().ok()).map(Duration::from_secs);
        let until = || {
            let reset = self.header("x-ratelimit-reset")?.parse().ok()?;
            let left = Timestamp::from_second(reset).ok()?.duration_since(self.date().unwrap_or(now));
            Some(
                Duration::try_from(left.max(SignedDuration::ZERO)).unwrap_or_default()
                    + Duration::from_secs(1),
            )
        };
        match self.status {
            200..=299 => Meaning::Well,
            404 | 410 => Meaning::Absent,
            403 | 429 if after.is_some() || limited || self.status == 429 => {
                Meaning::Limited(after.or_else(until).unwrap_or(Duration::from_secs(60)))
            }
            408 | 500..=599 => Meaning::Again,
            _ => Meaning::Refused(self.words()),
        }
    }
}

/// It may be well the next time: the network, or the server.
#[derive(Debug)]
pub(crate) struct Passing(String);

impl Passing {
    pub(crate) fn new(what: String) -> Passing {
        Passing(what)
    }
}

impl fmt::Display for Passing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Passing {}

impl Http {
    pub(crate) fn new(token: Option<Token>, patience: Patience) -> Http {
        // Refused only where something has set one already, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let agent = Agent::config_builder()
            .http_status_as_error(false)
            .user_agent(concat!("mathesar-xtask/", env!("CARGO_PKG_VERSION")))
            .timeout_connect(Some(patience.silence))
            .timeout_recv_response(Some(patience.silence))
            .timeout_per_read(Some(patience.silence))
            .timeout_per_write(Some(patience.silence))
            // As this computer trusts; ureq's own default is not built in, and it panics without.
            .tls_config(TlsConfig::builder().root_certs(RootCerts::PlatformVerifier).build())
            // A repository that was renamed is answered for by its new address.
            .redirect_auth_headers(RedirectAuthHeaders::SameHost)
            // A killed run's, and a server's that has gone, would fail at first.
            .max_idle_connections(0)
            .build();
        Http { agent: agent.new_agent(), token, patience, largest: LARGEST }
    }

    /// Without the token: as anybody sees it.
    pub(crate) fn get(&self, url: &str) -> Result<Option<Vec<u8>>> {
        safe(url)?;
        let answer = self.repeated(url, refused_to_anybody, || self.agent.get(url).call())?;
        Ok(answer.map(|answer| answer.body))
    }

    /// One that changes nothing, or the same however often it is asked.
    pub(crate) fn api(&self, method: &str, url: &str, body: Option<&Value>) -> Result<Option<Answer>> {
        safe(url)?;
        self.repeated(&format!("{method} {url}"), refused, || self.send(method, url, body))
    }

    /// One that may not be asked twice before somebody has looked whether it was done. Trouble that may pass is `Passing`.
    pub(crate) fn once(&self, method: &str, url: &str, body: Option<&Value>) -> Result<Answer> {
        safe(url)?;
        self.judged(&format!("{method} {url}"), self.send(method, url, body))
    }

    /// A file as the body, once as well.
    pub(crate) fn upload(&self, url: &str, kind: &str, bytes: &[u8]) -> Result<Answer> {
        safe(url)?;
        let request = self.agent.post(url).header("content-type", kind).header("accept", ACCEPT);
        let request = match &self.token {
            Some(Token(token)) => request.header("authorization", format!("Bearer {token}")),
            None => request,
        };
        self.judged(&format!("POST {url}"), request.send(bytes))
    }

    /// Before it is tried again, for the so-manieth time.
    pub(crate) fn pause(&self, number: u32) {
        sleep(self.patience.first * 2_u32.saturating_pow(number.min(6)));
    }

    fn judged(&self, what: &str, sent: Result<Response<Body>, ureq::Error>) -> Result<Answer> {
        let answer = match sent.and_then(|response| read(what, response, self.largest)) {
            Ok(answer) => answer,
            Err(error) => return Err(failure(what, error)),
        };
        match answer.meaning(Timestamp::now()) {
            Meaning::Again => Err(anyhow!(Passing(format!("{what}: {}", answer.words())))),
            Meaning::Limited(wait) => {
                self.wait(what, wait)?;
                Err(anyhow!(Passing(format!("{what}: asked too often"))))
            }
            _ => Ok(answer),
        }
    }

    fn wait(&self, what: &str, wait: Duration) -> Result<()> {
        if wait > self.patience.longest {
            bail!(
                "{what}: {} takes no more for {} s, as it was asked too often\nhelp: run the same command again after that",
                host(what),
                wait.as_secs()
            );
        }
        crate::ui::verb(
            "Waiting",
            format_args!("{} s, as {} was asked too often", wait.as_secs(), host(what)),
        );
        sleep(wait);
        Ok(())
    }

    fn send(&self, method: &str, url: &str, body: Option<&Value>) -> Result<Response<Body>, ureq::Error> {
        let mut request = ureq::http::Request::builder()
            .method(method)
            .uri(url)
            .header("accept", ACCEPT)
            .header("x-github-api-version", "2022-11-28");
        if let Some(Token(token)) = &self.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        match body {
            Some(body) => {
                self.agent.run(request.header("content-type", "application/json").body(body.to_string())?)
            }
            None => self.agent.run(request.body(())?),
        }
    }

    /// Absent: nothing. Refused: an error with what the server said.
    fn repeated(
        &self,
        what: &str,
        refused: fn(&str, u16, &str) -> anyhow::Error,
        send: impl Fn() -> Result<Response<Body>, ureq::Error>,
    ) -> Result<Option<Answer>> {
        let mut number = 0;
        loop {
            match self.judged(what, send()) {
                Err(error) if error.is::<Passing>() && number + 1 < self.patience.tries => self.pause(number),
                Err(error) => return Err(error),
                Ok(answer) => {
                    return match answer.meaning(Timestamp::now()) {
                        Meaning::Absent => Ok(None),
                        Meaning::Refused(why) => Err(refused(what, answer.status, &why)),
                        _ => Ok(Some(answer)),
                    };
                }
            }
            number += 1;
        }
    }
}

const ACCEPT: &str = "application/vnd.github+json";

pub(crate) fn refused(what: &str, status: u16, why: &str) -> anyhow::Error {
    match status {
        401 => anyhow!(
            "{what}: {why}\nhelp: the token in GITHUB_TOKEN is wrong or has expired: make another one, at https://github.com/settings/tokens"
        ),
        403 => anyhow!(
            "{what}: {why}\nhelp: the token in GITHUB_TOKEN needs the right to write contents of this repository"
        ),
        _ => anyhow!("{what}: {why}"),
    }
}

/// What anybody may get, and is asked for without the token.
fn refused_to_anybody(what: &str, status: u16, why: &str) -> anyhow::Error {
    match status {
        401 | 403 => anyhow!(
            "{what}: {why}\nhelp: {} refuses it to whoever asks without a password: curl --head {what}",
            host(what)
        ),
        _ => anyhow!("{what}: {why}"),
    }
}

/// Who answers for `URL`, or `METHOD URL`.
fn host(what: &str) -> &str {
    what.split("://").nth(1).and_then(|rest| rest.split('/').next()).unwrap_or(what)
}

fn read(what: &str, response: Response<Body>, largest: u64) -> Result<Answer, ureq::Error> {
    let (parts, mut body) = response.into_parts();
    let body = body.with_config().limit(largest).read_to_vec()?;
    Ok(Answer {
        what: what.to_owned(),
        status: parts.status.as_u16(),
        headers: headers(&parts.headers),
        body,
    })
}

fn headers(map: &HeaderMap) -> Vec<(String, String)> {
    let text = |value: &ureq::http::HeaderValue| value.to_str().unwrap_or_default().to_owned();
    map.iter().map(|(name, value)| (name.as_str().to_owned(), text(value))).collect()
}

fn failure(what: &str, error: ureq::Error) -> anyhow::Error {
    use ureq::Error::{BadUri, BodyExceedsLimit, Http, RequireHttpsOnly, Tls, TooManyRedirects};
    match error {
        BodyExceedsLimit(most) => anyhow!("{what}: there are more than {most} bytes"),
        BadUri(_) | Http(_) | RequireHttpsOnly(_) | Tls(_) | TooManyRedirects => anyhow!("{what}: {error}"),
        error => anyhow!(Passing(format!("{what}: {error}"))),
    }
}

/// A token over plain http is everybody's; this machine's own is nobody else's. With a user before it, a host is easily taken for another.
pub(crate) fn safe(url: &str) -> Result<()> {
    let uri: Option<Uri> = url.parse().ok();
    let part = |of: fn(&Uri) -> Option<&str>| uri.as_ref().and_then(of).unwrap_or_default();
    if part(|uri| uri.authority().map(|all| all.as_str())).contains('@') || host(url).contains('@') {
        bail!("an address has a user or a password in it\nhelp: name it without: https://{}", bare(url));
    }
    let local = ["127.0.0.1", "localhost", "[::1]"];
    match (part(Uri::scheme_str), part(Uri::host)) {
        ("https", host) if !host.is_empty() => Ok(()),
        ("http", host) if local.contains(&host) => Ok(()),
        _ => bail!("{url} is no https address"),
    }
}

/// Without who asks, so that no password is printed.
fn bare(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let end = rest.find('/').unwrap_or(rest.len());
    &rest[rest[..end].rfind('@').map_or(0, |at| at + 1)..]
}

/// Addresses stand in plans, journals and on summaries of runs. git's may say who asks, as `ssh://git@…` does.
pub(crate) fn refuse_password(url: &str) -> Result<()> {
    let Some((scheme, rest)) = url.split_once("://") else { return Ok(()) };
    let authority = rest.split('/').next().unwrap_or_default();
    match authority.rsplit_once('@') {
        Some((user, _)) if user.contains(':') || scheme.starts_with("http") => bail!(
            "an address has a password or a token in it, and would be written into the plan\nhelp: name it without: {scheme}://{}",
            bare(url)
        ),
        _ => Ok(()),
    }
}

#[cfg(test)]
#[path = "http_tests.rs"]
mod tests;
