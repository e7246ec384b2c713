//! Readers of what is written inside strings. An error is what would help, where something specific would.

use std::net::{IpAddr, SocketAddr};
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use crate::database::{Address, RESERVED_ROLES};

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

/// A size as `size` reads it.
pub(crate) fn shown_size(bytes: u64) -> String {
    let units = [
        (1_000_000_000_000, "TB"),
        (1_000_000_000, "GB"),
        (1_000_000, "MB"),
        (1 << 20, "MiB"),
        (1000, "kB"),
        (1 << 10, "KiB"),
    ];
    let whole = units.into_iter().find(|(unit, _)| bytes >= *unit && bytes.is_multiple_of(*unit));
    let (unit, name) = whole.unwrap_or((1, "B"));
    format!("{}{name}", bytes / unit)
}

/// What would help where the unit is missing.
pub(crate) fn with_unit(text: &str, unit: &str) -> Option<String> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| format!("name the unit: \"{text}{unit}\""))
}

pub(crate) fn path(text: &str) -> Checked {
    match text.strip_prefix('~') {
        Some(_) => Err(Some("write the home folder out: nothing expands `~` here".to_owned())),
        None if text.starts_with('/') => Ok(()),
        None => Err(None),
    }
}

/// The system's, with everything in them: nothing there is a file that would stay, or anybody else's place.
const OF_THE_SYSTEM: &[&str] = &[
    "/bin",
    "/boot",
    "/dev",
    "/lib",
    "/lib32",
    "/lib64",
    "/libx32",
    "/proc",
    "/sbin",
    "/sys",
    "/usr/bin",
    "/usr/lib",
    "/usr/sbin",
    "/System",
];
/// Of these a folder below is as good as any.
const SHARED: &[&str] = &[
    "/",
    "/etc",
    "/home",
    "/opt",
    "/private",
    "/root",
    "/run",
    "/tmp",
    "/usr",
    "/usr/local",
    "/usr/share",
    "/var",
    "/var/cache",
    "/var/lib",
    "/var/log",
    "/var/spool",
    "/var/tmp",
    "/Library",
    "/Users",
];

pub(crate) fn folder(text: &str) -> Checked {
    path(text)?;
    let mut plain = PathBuf::from("/");
    for component in Path::new(text).components() {
        match component {
            Component::Normal(name) => plain.push(name),
            Component::ParentDir => drop(plain.pop()),
            _ => {}
        }
    }
    if OF_THE_SYSTEM.iter().any(|top| plain.starts_with(top)) {
        return Err(Some("name a folder elsewhere: this one is the system's own".to_owned()));
    }
    match SHARED.iter().any(|shared| plain == Path::new(shared)) {
        true => Err(Some(format!("name a folder of its own: {}", plain.join("mathesar").display()))),
        false => Ok(()),
    }
}

pub(crate) fn address(text: &str) -> Checked {
    if let Some(socket) = text.strip_prefix("unix:") {
        path(socket)?;
        if let Some(folder) = socket.strip_suffix('/') {
            return Err(Some(format!(
                "name the socket too: unix:{}/http.sock",
                folder.trim_end_matches('/')
            )));
        }
        if socket.ends_with("/.") || socket.ends_with("/..") {
            return Err(Some(format!("name the socket too: unix:{socket}/http.sock")));
        }
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

/// Programs read these lists each in its own way; what none of them could ever match is a slip.
pub(crate) fn direct(text: &str) -> Checked {
    if let Some((_, rest)) = text.split_once("://") {
        let name = rest.split(['/', ':']).next().unwrap_or_default();
        return Err(Some(format!("write the name alone: {name}")));
    }
    if text.contains('/') {
        return network(text);
    }
    let port = |port: &str| port.parse::<u16>().is_ok_and(|port| port > 0);
    let name = match text.rsplit_once(':') {
        Some((name, number)) if port(number) && (!name.contains(':') || name.ends_with(']')) => name,
        _ => text,
    };
    if name.parse::<IpAddr>().is_ok() {
        return Ok(());
    }
    host(name.strip_prefix("*.").unwrap_or(name)).map_err(|_| None)
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
    // As it is read at the start.
    let address = Address::parse(text).map_err(Some)?;
    match address.role.as_str() {
        role if RESERVED_ROLES.contains(&role) => {
            Err(Some(format!("name another role: a schema of Mathesar's is `{role}`, and its queries break")))
        }
        role if role.starts_with("pg_") => {
            Err(Some(format!("name another role: `{role}` is PostgreSQL's own")))
        }
        _ => Ok(()),
    }
}

pub(crate) fn database_name(text: &str) -> Checked {
    match text {
        "postgres" | "template0" | "template1" => Err(Some("this database is PostgreSQL's own".to_owned())),
        // PostgreSQL takes any; but the name also goes through addresses, variables, shells and what people type.
        _ if text.is_empty() || text.len() > 63 || text.starts_with(['-', '.']) => Err(None),
        _ if text.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | '.')) => Ok(()),
        _ => Err(None),
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
#[path = "text_tests.rs"]
mod tests;
