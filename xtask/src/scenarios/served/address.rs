//! Where repositories are served.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use ureq::http::Uri;

use crate::http;

/// `https://…`, or on this computer's loopback.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Address {
    /// Without a slash at its end.
    pub url: String,
    pub host: String,
    pub port: u16,
    pub tls: bool,
}

impl Address {
    pub(super) fn parse(text: &str) -> Result<Address, String> {
        let whole = |_| format!("{text} is no address of repositories");
        if text.contains(['?', '#', '@', '\'', '"', '\\']) {
            return Err(format!("{text} has more than a host and a path"));
        }
        let uri: Uri = text.parse().map_err(whole)?;
        http::safe(text).map_err(|error| error.to_string())?;
        let host = uri.host().unwrap_or_default().trim_matches(['[', ']']).to_owned();
        let tls = uri.scheme_str() == Some("https");
        let named = !host.is_empty() && host.chars().all(|c| c.is_ascii_alphanumeric() || ".-".contains(c));
        match host.parse::<IpAddr>() {
            Ok(literal) if literal.is_loopback() => {}
            Err(_) if named => {}
            // In a machine it is a name for the machine's own loopback.
            _ => return Err(format!("{text} names no host by its name")),
        }
        let port = uri.port_u16().unwrap_or(if tls { 443 } else { 80 });
        Ok(Address { url: text.trim_end_matches('/').to_owned(), host, port, tls })
    }

    /// Where in a machine it is answered.
    pub(super) fn inside(&self) -> SocketAddr {
        let literal = self.host.parse().unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
        let loopback = match literal {
            IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::LOCALHOST),
            IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::LOCALHOST),
        };
        SocketAddr::new(loopback, self.port)
    }

    /// What the machine is told of it; none: it is no name.
    pub(super) fn in_hosts(&self) -> Option<String> {
        self.host.parse::<IpAddr>().is_err().then(|| format!("127.0.0.1 {}", self.host))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_taken_apart() {
        let of = |text: &str| Address::parse(text).unwrap();
        let there = of("https://packages.example.org/a/");
        assert_eq!(
            (there.url.as_str(), there.port, there.tls),
            ("https://packages.example.org/a", 443, true)
        );
        assert_eq!(there.inside().to_string(), "127.0.0.1:443");
        assert_eq!(there.in_hosts().as_deref(), Some("127.0.0.1 packages.example.org"));
        let here = of("http://127.0.0.1:8099");
        assert_eq!((here.inside().to_string(), here.in_hosts()), ("127.0.0.1:8099".to_owned(), None));
        assert_eq!(of("http://[::1]:8099/x").inside().to_string(), "[::1]:8099");
        assert_eq!(of("http://localhost:80").in_hosts().as_deref(), Some("127.0.0.1 localhost"));
    }

    #[test]
    fn what_is_none_is_told() {
        for (bad, says) in [
            ("packages.example.org", "is no https address"),
            ("http://packages.example.org", "is no https address"),
            ("ftp://packages.example.org", "is no https address"),
            ("https://192.0.2.1/", "names no host by its name"),
            ("https://a b/", "is no address"),
            ("https://a_b/", "names no host by its name"),
            ("https://", "is no address"),
            ("https://user@example.org", "more than a host and a path"),
            ("https://example.org/?a", "more than a host and a path"),
            ("https://example.org/'", "more than a host and a path"),
        ] {
            let said = Address::parse(bad).unwrap_err();
            assert!(said.contains(says), "{bad}: {said}");
        }
    }
}
