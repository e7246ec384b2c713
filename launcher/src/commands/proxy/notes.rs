//! What Mathesar has to be told about a proxy, and whether it has been.

use std::net::IpAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use super::site::{Site, Upstream};
use crate::config::Config;

pub(super) const HOSTS: &str = "server.hosts";
pub(super) const PROXIES: &str = "server.trusted-proxies";

/// Items of a list setting: what is there, and what has to come.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Want {
    pub present: Vec<String>,
    pub missing: Vec<String>,
}

impl Want {
    pub(super) fn hosts(site: &Site, settings: &Config) -> Want {
        let present = settings.list(HOSTS).to_vec();
        let missing = site.domains.iter().filter(|domain| !allows(&present, domain)).cloned().collect();
        Want { present, missing }
    }

    pub(super) fn proxies(site: &Site, settings: &Config) -> Want {
        let present = settings.list(PROXIES).to_vec();
        let missing = match &site.upstream {
            // A peer on this machine comes from the address that it goes to.
            Upstream::Tcp(address) if !present.iter().any(|network| covers(network, address.ip())) => {
                let bits = if address.is_ipv4() { 32 } else { 128 };
                vec![format!("{}/{bits}", address.ip())]
            }
            // Whoever reaches the socket is believed.
            _ => Vec::new(),
        };
        Want { present, missing }
    }

    /// `config set` replaces a list, so the old items belong to the new value.
    pub(super) fn all(&self) -> Vec<String> {
        self.present.iter().chain(&self.missing).cloned().collect()
    }

    fn command(&self, setting: &str) -> String {
        format!("`mathesar config set {setting} {}`", self.all().join(" "))
    }
}

/// As Django reads ALLOWED_HOSTS, with the loopback names that are always in it.
fn allows(hosts: &[String], domain: &str) -> bool {
    let fits = |host: &str| match host.strip_prefix('.') {
        _ if host == "*" => true,
        Some(parent) => domain == parent || domain.ends_with(host),
        None => domain == host,
    };
    fits(".localhost") || hosts.iter().any(|host| fits(&host.to_ascii_lowercase()))
}

/// Whether an address or a network such as `10.0.0.0/8` holds this address.
fn covers(network: &str, ip: IpAddr) -> bool {
    let (base, bits) = network.split_once('/').unwrap_or((network, "128"));
    let (Ok(base), Ok(bits)) = (base.parse::<IpAddr>(), bits.parse::<u32>()) else { return false };
    let same = |a: u128, b: u128, width: u32| match width - bits.min(width) {
        rest if rest >= 128 => true,
        rest => a >> rest == b >> rest,
    };
    match (base, ip) {
        (IpAddr::V4(a), IpAddr::V4(b)) => same(a.to_bits().into(), b.to_bits().into(), 32),
        (IpAddr::V6(a), IpAddr::V6(b)) => same(a.to_bits(), b.to_bits(), 128),
        _ => false,
    }
}

/// In the order of urgency; `told` where `--configure` has set what was missing.
pub(super) fn notes(
    proxy: &str,
    site: &Site,
    [hosts, proxies]: &[Want; 2],
    told: bool,
    settings: &Config,
) -> Vec<String> {
    let mut notes = Vec::new();
    if !told && !hosts.missing.is_empty() {
        notes.push(format!(
            "Mathesar answers 400 to the name {} until it is told: {}",
            hosts.missing.join(", "),
            hosts.command(HOSTS)
        ));
    }
    if !told && !proxies.missing.is_empty() {
        notes.push(format!(
            "Mathesar does not believe {proxy} that visitors come by https until it is told: {}",
            proxies.command(PROXIES)
        ));
    }
    let complete = hosts.missing.is_empty() && proxies.missing.is_empty();
    if !told && !complete {
        notes.push("the same with `--configure` sets that; then `mathesar restart`".to_owned());
    }
    if complete {
        notes.push(match site.upstream {
            Upstream::Tcp(_) => format!("{HOSTS} and {PROXIES} are set already"),
            Upstream::Unix(_) => {
                format!("{HOSTS} is set already, and whoever reaches the socket is trusted")
            }
        });
    }
    match &site.upstream {
        Upstream::Tcp(address) if !address.ip().is_loopback() => notes.push(format!(
            "if {proxy} runs on another machine, its address belongs into {PROXIES} instead of {}",
            address.ip()
        )),
        Upstream::Tcp(address) if open_to_others(settings) => notes.push(format!(
            "others can go round {proxy}, without TLS: `mathesar config set server.listen {address}`"
        )),
        Upstream::Unix(path) => {
            if let Some(folder) = closed_folder(Path::new(path)) {
                notes.push(format!(
                    "{} is closed to other users: put the socket into a folder that the user of {proxy} may enter",
                    folder.display()
                ));
            }
        }
        Upstream::Tcp(_) => {}
    }
    notes
}

fn open_to_others(settings: &Config) -> bool {
    let listen = settings.text("server.listen").unwrap_or_default();
    listen.parse::<std::net::SocketAddr>().is_ok_and(|address| address.ip().is_unspecified())
}

/// The outermost folder above a socket that not everybody may enter.
fn closed_folder(socket: &Path) -> Option<PathBuf> {
    let mut folders: Vec<&Path> = socket.ancestors().skip(1).collect();
    folders.reverse();
    let closed = |folder: &&&Path| folder.metadata().is_ok_and(|data| data.permissions().mode() & 0o001 == 0);
    folders.iter().find(closed).map(|folder| folder.to_path_buf())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_as_django_reads_them() {
        let hosts = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        assert!(allows(&hosts(&["A.org"]), "a.org"));
        assert!(allows(&hosts(&["x", ".a.org"]), "a.org") && allows(&hosts(&[".a.org"]), "b.a.org"));
        assert!(allows(&hosts(&["*"]), "a.org"));
        assert!(allows(&[], "localhost") && allows(&[], "a.localhost"));
        assert!(!allows(&hosts(&["a.org"]), "b.a.org") && !allows(&hosts(&[".a.org"]), "ba.org"));
    }

    #[test]
    fn networks() {
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        for good in ["127.0.0.1", "127.0.0.1/32", "127.0.0.0/8", "0.0.0.0/0"] {
            assert!(covers(good, ip("127.0.0.1")), "{good}");
        }
        for bad in ["127.0.0.2", "10.0.0.0/8", "::1", "::/0", "127.0.0.2/31"] {
            assert!(!covers(bad, ip("127.0.0.1")), "{bad}");
        }
        assert!(covers("::1", ip("::1")) && covers("::/0", ip("::1")) && covers("fe80::/10", ip("fe80::1")));
        assert!(!covers("fe80::/10", ip("::1")) && !covers("127.0.0.1", ip("::1")));
    }

    #[test]
    fn a_closed_folder_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let inner = folder.path().join("run");
        std::fs::create_dir(&inner).unwrap();
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        std::fs::set_permissions(&inner, std::fs::Permissions::from_mode(0o750)).unwrap();
        assert_eq!(closed_folder(&inner.join("web.sock")), Some(inner.clone()));
        std::fs::set_permissions(&inner, std::fs::Permissions::from_mode(0o711)).unwrap();
        assert_eq!(closed_folder(&inner.join("web.sock")), None);
        assert_eq!(closed_folder(Path::new("/nowhere/web.sock")), None);
    }
}
