//! Readers of what is written inside strings. An error is what would help, where something specific would.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

type Checked = Result<(), Option<String>>;

/// `30s`, `1h30m`, `30d`
pub fn duration(text: &str) -> Option<Duration> {
    let mut rest = text;
    let mut seconds: u64 = 0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let number: u64 = rest[..digits].parse().ok()?;
        let unit = rest[digits..].chars().next()?;
        let factor = match unit {
            's' => 1,
            'm' => 60,
            'h' => 3600,
            'd' => 86_400,
            'w' => 604_800,
            _ => return None,
        };
        seconds = seconds.checked_add(number.checked_mul(factor)?)?;
        rest = &rest[digits + unit.len_utf8()..];
    }
    // A hundred years is a slip of the finger, and would overflow clocks.
    (!text.is_empty() && seconds <= 100 * 365 * 86_400).then(|| Duration::from_secs(seconds))
}

/// Bytes of `512MB`, `10GB` (thousands) or `10GiB` (1024s)
pub fn size(text: &str) -> Option<u64> {
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let number: u64 = text[..digits].parse().ok()?;
    let factor: u64 = match text[digits..].trim_start() {
        "B" => 1,
        "kB" | "KB" => 1000,
        "MB" => 1000 * 1000,
        "GB" => 1000 * 1000 * 1000,
        "TB" => 1000 * 1000 * 1000 * 1000,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        "TiB" => 1 << 40,
        _ => return None,
    };
    number.checked_mul(factor).filter(|bytes| i64::try_from(*bytes).is_ok())
}

pub(crate) fn path(text: &str) -> Checked {
    match text.strip_prefix('~') {
        Some(_) => Err(Some("write the home folder out: nothing expands `~` here".to_owned())),
        None if text.starts_with('/') => Ok(()),
        None => Err(None),
    }
}

pub(crate) fn address(text: &str) -> Checked {
    if let Some(socket) = text.strip_prefix("unix:") {
        path(socket)?;
        // Linux allows 107 bytes and macOS 103; gunicorn reports a longer one only as "path too long".
        return if socket.len() <= 103 {
            Ok(())
        } else {
            Err(Some("use a path of at most 103 bytes".to_owned()))
        };
    }
    if let Ok(address) = text.parse::<SocketAddr>() {
        return if address.port() > 0 { Ok(()) } else { Err(Some("name a port from 1 to 65535".to_owned())) };
    }
    let port = |port: &str| port.parse::<u16>().is_ok_and(|port| port > 0);
    Err(match text.rsplit_once(':') {
        None if port(text) => Some(format!("write the address too: 127.0.0.1:{text}")),
        None if text.parse::<IpAddr>().is_ok_and(|ip| ip.is_ipv4()) => {
            Some(format!("write the port too: {text}:8000"))
        }
        Some(("localhost", number)) if port(number) => Some(format!("write 127.0.0.1:{number}")),
        Some(("" | "*", number)) if port(number) => {
            Some(format!("write 0.0.0.0:{number} for all of this machine's addresses"))
        }
        _ if text.parse::<IpAddr>().is_ok() => Some(format!("write brackets and the port: [{text}]:8000")),
        _ if text.starts_with('/') => Some(format!("write unix:{text}")),
        _ => None,
    })
}

pub(crate) fn host(text: &str) -> Checked {
    if let Some((_, rest)) = text.split_once("://") {
        let name = rest.split(['/', ':']).next().unwrap_or_default();
        return Err(Some(format!("write the name alone: {name}")));
    }
    if text == "*" || text.parse::<IpAddr>().is_ok_and(|ip| ip.is_ipv4()) {
        return Ok(());
    }
    if let Some(inner) = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        return inner.parse::<std::net::Ipv6Addr>().map(|_| ()).map_err(|_| None);
    }
    if text.parse::<IpAddr>().is_ok() {
        return Err(Some(format!("write brackets: [{text}]")));
    }
    if let Some((name, port)) = text.rsplit_once(':')
        && !port.is_empty()
        && port.bytes().all(|byte| byte.is_ascii_digit())
    {
        return Err(Some(format!("write it without the port: {name}")));
    }
    let label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
    };
    let name = text.strip_prefix('.').unwrap_or(text);
    if name.len() <= 253 && name.split('.').all(label) {
        return Ok(());
    }
    Err(match text.strip_prefix("*.") {
        Some(rest) => Some(format!("write .{rest} for a domain and all below it")),
        None if !text.is_ascii() => Some("write the name in its ASCII form (xn--…)".to_owned()),
        None => None,
    })
}

pub(crate) fn network(text: &str) -> Checked {
    let (ip, prefix) = text.split_once('/').unwrap_or((text, "0"));
    let Ok(ip) = ip.parse::<IpAddr>() else { return Err(None) };
    let longest = if ip.is_ipv4() { 32 } else { 128 };
    match prefix.parse::<u8>() {
        Ok(prefix) if prefix <= longest => Ok(()),
        _ => Err(Some(format!("the part behind `/` is a number of bits up to {longest}"))),
    }
}

pub(crate) fn url(text: &str, schemes: &[&str]) -> Checked {
    let rest = schemes.iter().find_map(|scheme| text.strip_prefix(scheme)?.strip_prefix("://"));
    let host = rest.map(|rest| rest.split(['/', '?', '#']).next().unwrap_or_default());
    let clean = !text.contains(|c: char| c.is_whitespace() || c.is_control());
    match host {
        Some(host) if clean && !host.is_empty() && !host.ends_with('@') => Ok(()),
        _ if !text.contains("://") && clean && !text.is_empty() => Err(schemes
            .first()
            .filter(|_| !text.contains('@'))
            .map(|scheme| format!("write {scheme}://{text}"))),
        _ => Err(None),
    }
}

pub(crate) fn database_url(text: &str) -> Checked {
    url(text, &["postgresql", "postgres"]).or_else(|help| {
        // The form without a host names the socket's folder behind `?host=`.
        if text.starts_with("postgresql:///") && text.contains("?host=") { Ok(()) } else { Err(help) }
    })?;
    let rest = text.split_once("://").map_or("", |(_, rest)| rest);
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let user = authority.rsplit_once('@').map(|(user, _)| user);
    if user.is_some_and(|user| user.contains(':')) || query.contains("password=") {
        let help = "leave the password out, and name a file that holds it: `mathesar config set \
                    database.password-file /path`";
        return Err(Some(help.to_owned()));
    }
    if user.is_none_or(str::is_empty) && !query.contains("user=") {
        return Err(Some("name the role before an `@`: postgresql://role@host/database".to_owned()));
    }
    if path.is_empty() {
        return Err(Some(format!(
            "name the internal database: {}/mathesar_django",
            text.trim_end_matches('/')
        )));
    }
    Ok(())
}

pub(crate) fn database_name(text: &str) -> Checked {
    match text {
        "postgres" | "template0" | "template1" => Err(Some("this database is PostgreSQL's own".to_owned())),
        _ if text.is_empty() || text.len() > 63 || text.contains(char::is_control) => Err(None),
        _ => Ok(()),
    }
}

/// The same address with a password replaced, for people to see.
pub fn without_password(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, tail) = rest.split_at(end);
    match authority.rsplit_once('@') {
        Some((user, host)) if user.contains(':') => {
            let user = user.split(':').next().unwrap_or_default();
            format!("{scheme}://{user}:***@{host}{tail}")
        }
        _ => url.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_and_sizes() {
        assert_eq!(duration("1h30m"), Some(Duration::from_secs(5400)));
        assert_eq!(duration("30d"), Some(Duration::from_secs(2_592_000)));
        for bad in ["", "30", "s", "30x", "-1s", "1.5h", "99999999999999999999s", "9999999w", "30 s", "1é"] {
            assert_eq!(duration(bad), None, "{bad}");
        }
        assert_eq!(size("10GB"), Some(10_000_000_000));
        assert_eq!(size("1GiB"), Some(1 << 30));
        for bad in ["", "10", "GB", "10G", "-1MB", "99999999999999TB", "10é"] {
            assert_eq!(size(bad), None, "{bad}");
        }
    }

    #[test]
    fn addresses() {
        for good in ["127.0.0.1:8000", "[::1]:8000", "0.0.0.0:1", "unix:/run/mathesar/http.sock"] {
            assert_eq!(address(good), Ok(()), "{good}");
        }
        let help = |text: &str| address(text).unwrap_err().unwrap_or_default();
        assert_eq!(help("8080"), "write the address too: 127.0.0.1:8080");
        assert_eq!(help("localhost:8000"), "write 127.0.0.1:8000");
        assert_eq!(help(":8000"), "write 0.0.0.0:8000 for all of this machine's addresses");
        assert_eq!(help("10.0.0.1"), "write the port too: 10.0.0.1:8000");
        assert_eq!(help("::1"), "write brackets and the port: [::1]:8000");
        assert_eq!(help("/run/x"), "write unix:/run/x");
        assert_eq!(help("127.0.0.1:0"), "name a port from 1 to 65535");
        assert_eq!(help("127.0.0.1:99999"), "");
    }

    #[test]
    fn hosts_and_networks() {
        for good in ["example.org", ".example.org", "*", "10.0.0.1", "[::1]", "my_host"] {
            assert_eq!(host(good), Ok(()), "{good}");
        }
        let help = |text: &str| host(text).unwrap_err().unwrap_or_default();
        assert_eq!(help("https://example.org/x"), "write the name alone: example.org");
        assert_eq!(help("example.org:8000"), "write it without the port: example.org");
        assert_eq!(help("*.example.org"), "write .example.org for a domain and all below it");
        assert_eq!(help("::1"), "write brackets: [::1]");
        assert_eq!(help("münchen.example"), "write the name in its ASCII form (xn--…)");
        assert_eq!(help("a b"), "");
        assert!(network("10.0.0.0/8").is_ok() && network("::1").is_ok() && network("10.0.0.0/33").is_err());
    }

    #[test]
    fn database_addresses() {
        for good in ["postgresql://me@db:5432/m", "postgres://me@db/m", "postgresql:///m?host=/run&user=me"] {
            assert!(database_url(good).is_ok(), "{good}");
        }
        let help = |text: &str| database_url(text).unwrap_err().unwrap_or_default();
        assert!(help("postgresql://me:pw@db/m").starts_with("leave the password out"));
        assert!(help("postgresql://me@db/m?password=x").starts_with("leave the password out"));
        assert!(help("postgresql://db/m").starts_with("name the role"));
        assert_eq!(
            help("postgresql://me@db"),
            "name the internal database: postgresql://me@db/mathesar_django"
        );
        assert_eq!(help("mysql://me@db/m"), "");
    }

    #[test]
    fn passwords_in_addresses_are_hidden() {
        assert_eq!(without_password("https://me:p@ss@host/x"), "https://me:***@host/x");
        assert_eq!(without_password("https://me@host/a:b@c"), "https://me@host/a:b@c");
        assert_eq!(without_password("https://host/"), "https://host/");
    }
}
