//! What a proxy has to know of an installation, checked so far that nothing in it can become syntax.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use crate::config::Config;
use crate::failure::{Exit, Failure};

/// Where Mathesar is reached from this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Upstream {
    Tcp(SocketAddr),
    Unix(String),
}

/// A certificate with its chain, and its key: paths of PEM files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Certificate {
    pub certificate: String,
    pub key: String,
}

/// One Mathesar behind one proxy.
#[derive(Debug, Clone)]
pub(super) struct Site {
    /// At least one.
    pub domains: Vec<String>,
    pub upstream: Upstream,
    pub certificate: Option<Certificate>,
    /// In bytes.
    pub max_upload: u64,
    /// As it is written in the settings, and as seconds.
    pub timeout: (String, u64),
}

/// Headers about the way that a request came, which only Mathesar's own proxy may speak of. Those that it sets itself are not here.
pub(super) const DROPPED: &[&str] = &[
    "Forwarded",
    "X-Forwarded-Port",
    "X-Forwarded-Prefix",
    "X-Forwarded-Protocol",
    "X-Forwarded-Scheme",
    "X-Forwarded-Server",
    "X-Forwarded-Ssl",
    "X-Forwarded-User",
    "X-Real-IP",
];

impl Upstream {
    /// From `server.listen`, which is checked already.
    pub(super) fn new(listen: &str) -> Result<Upstream, Failure> {
        if let Some(path) = listen.strip_prefix("unix:") {
            return match word(path) {
                true => Ok(Upstream::Unix(path.to_owned())),
                false => Err(Failure::new(format!(
                    "`server.listen` has a path that no proxy's configuration can hold: {path}"
                ))
                .exit(Exit::Refused)
                .help("`mathesar config set server.listen unix:/run/mathesar-web/web.sock`")),
            };
        }
        let mut address: SocketAddr = listen.parse().map_err(|cause| {
            Failure::new(format!("`server.listen` is no address: {listen}")).cause(cause).exit(Exit::Refused)
        })?;
        // Whoever listens everywhere is best reached the short way.
        match address.ip() {
            IpAddr::V4(ip) if ip.is_unspecified() => address.set_ip(Ipv4Addr::LOCALHOST.into()),
            IpAddr::V6(ip) if ip.is_unspecified() => address.set_ip(Ipv6Addr::LOCALHOST.into()),
            _ => {}
        }
        Ok(Upstream::Tcp(address))
    }
}

impl Site {
    pub(super) fn new(
        domains: &[String],
        certificate: Option<Certificate>,
        max_upload: u64,
        config: &Config,
    ) -> Result<Site, Failure> {
        let mut once: Vec<String> = Vec::new();
        for domain in domains {
            if !once.contains(domain) {
                once.push(domain.clone());
            }
        }
        let timeout = config.duration("server.request-timeout").unwrap_or(Duration::from_secs(60));
        Ok(Site {
            domains: once,
            upstream: Upstream::new(config.text("server.listen").unwrap_or_default())?,
            certificate,
            max_upload,
            timeout: (
                config.text("server.request-timeout").unwrap_or("60s").to_owned(),
                timeout.as_secs().max(1),
            ),
        })
    }
}

/// Whether a path is free of everything that nginx or Caddy read as more than a letter, also in quotes.
fn word(path: &str) -> bool {
    path.chars().all(|c| c.is_alphanumeric() || "/._@+=,~- ".contains(c))
}

/// A path as both read it.
pub(super) fn quoted(path: &str) -> String {
    if path.contains(' ') { format!("\"{path}\"") } else { path.to_owned() }
}

/// A name that a certificate can be for, in lower case.
pub(super) fn domain(text: &str) -> Result<String, String> {
    if let Some((_, rest)) = text.split_once("://") {
        let name = domain(rest.split(['/', ':']).next().unwrap_or_default())?;
        return Err(format!("write the name alone: {name}"));
    }
    if text.trim_matches(['[', ']']).parse::<IpAddr>().is_ok() {
        return Err("certificates are for names, and this is an address".to_owned());
    }
    if let Some((name, port)) = text.rsplit_once(':')
        && port.bytes().all(|byte| byte.is_ascii_digit())
    {
        return Err(format!("write it without the port: {name}"));
    }
    if text.starts_with("*.") || text.starts_with('.') {
        return Err("name each domain, as `--domain a.example.org --domain b.example.org`".to_owned());
    }
    if !text.is_ascii() {
        return Err("write the name in its ASCII form (xn--…)".to_owned());
    }
    // Stricter than `server.hosts`: Django answers 400 to names with `_`.
    let name = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    match name.len() <= 253 && name.split('.').all(label) {
        true => Ok(name),
        false => Err("a name such as mathesar.example.org is expected".to_owned()),
    }
}

/// A file that the proxy reads; it is not looked at, as only the proxy's user may be able to.
pub(super) fn file(text: &str) -> Result<String, String> {
    match Path::new(text).is_absolute() {
        _ if !word(text) => Err("no proxy's configuration can hold this path; rename the file".to_owned()),
        false => Err("write the path in full, from / on".to_owned()),
        true => Ok(text.to_owned()),
    }
}

/// Bytes of `500MB` or `2GiB`.
pub(super) fn size(text: &str) -> Result<u64, String> {
    match crate::config::size(text) {
        Some(0) => Err("nothing at all could be uploaded".to_owned()),
        Some(bytes) => Ok(bytes),
        None => Err("a size such as 500MB or 2GiB is expected".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn domains() {
        assert_eq!(domain("Books.Example.ORG.").unwrap(), "books.example.org");
        assert_eq!(domain("localhost").unwrap(), "localhost");
        assert_eq!(domain("xn--bcher-kva.example").unwrap(), "xn--bcher-kva.example");
        let long = "a".repeat(64);
        let bad = [
            "", "a..b", "-a.org", "a-.org", "a_b.org", "a b.org", "a;b", "a{b}", "a$b", "a\nb", "*", "a/b",
            "a:b", &long,
        ];
        for bad in bad {
            assert_eq!(
                domain(bad).unwrap_err(),
                "a name such as mathesar.example.org is expected",
                "{bad:?}"
            );
        }
        assert_eq!(domain("https://a.org/x").unwrap_err(), "write the name alone: a.org");
        assert!(domain("http://x y").unwrap_err().starts_with("a name such as"));
        assert_eq!(domain("a.org:443").unwrap_err(), "write it without the port: a.org");
        assert_eq!(domain("bücher.example").unwrap_err(), "write the name in its ASCII form (xn--…)");
        for address in ["192.0.2.1", "[2001:db8::1]", "::1"] {
            assert_eq!(
                domain(address).unwrap_err(),
                "certificates are for names, and this is an address",
                "{address}"
            );
        }
        assert!(domain("*.example.org").unwrap_err().starts_with("name each domain"));
    }

    #[test]
    fn paths_never_become_syntax() {
        assert_eq!(file("/etc/ssl/a b/é.pem").as_deref(), Ok("/etc/ssl/a b/é.pem"));
        for bad in
            ["/a;b", "/a{b}", "/a$b", "/a\"b", "/a\\b", "/a\nb", "/a#b", "/a`b", "/a'b", "/a:b", "/a%b"]
        {
            assert!(file(bad).unwrap_err().starts_with("no proxy"), "{bad:?}");
            assert_eq!(Upstream::new(&format!("unix:{bad}")).unwrap_err().exit, Exit::Refused, "{bad:?}");
        }
        assert!(file("a.pem").unwrap_err().starts_with("write the path in full"));
    }

    #[test]
    fn everywhere_is_reached_the_short_way() {
        for (listen, expected) in [
            ("0.0.0.0:8000", "127.0.0.1:8000"),
            ("[::]:8000", "[::1]:8000"),
            ("192.0.2.1:80", "192.0.2.1:80"),
        ] {
            assert_eq!(Upstream::new(listen).unwrap(), Upstream::Tcp(expected.parse().unwrap()));
        }
        assert_eq!(Upstream::new("unix:/run/m.sock").unwrap(), Upstream::Unix("/run/m.sock".to_owned()));
    }

    #[test]
    fn sizes() {
        assert_eq!(size("1GiB"), Ok(1 << 30));
        assert!(size("0MB").is_err() && size("5").is_err());
    }
}
