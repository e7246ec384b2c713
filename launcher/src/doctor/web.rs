//! How visitors reach Mathesar, by which names, and who was there first.

use std::net::SocketAddr;
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketType, bind, socket, sockopt};

use super::{Check, Entry, Group, Known, Look, NOT_RUNNING};
use crate::installation::Installation;
use crate::server::{holder, probe};
use crate::steps::{Exposure, exposure};

/// A page that has not come by then does not come.
const LONGEST: Duration = Duration::from_secs(15);

pub(super) static PORT: Entry = Entry {
    id: "port",
    group: Group::Web,
    title: "address",
    doc: "The address of `server.listen` is this machine's and free, or Mathesar itself listens there; else who holds it.",
};
pub(super) static PAGE: Entry = Entry {
    id: "page",
    group: Group::Web,
    title: "first page",
    doc: "`/auth/login/` is answered with 200 or 302 at that address: 500 means that Mathesar does not reach its database.",
};
pub(super) static HOSTS: Entry = Entry {
    id: "hosts",
    group: Group::Web,
    title: "host names",
    doc: "`server.hosts` (Mathesar's ALLOWED_HOSTS) names what browsers use: with a public address or a proxy and no name there, everybody gets 400.",
};
pub(super) static PROXIES: Entry = Entry {
    id: "trusted-proxies",
    group: Group::Web,
    title: "trusted proxies",
    doc: "`server.trusted-proxies` names the reverse proxy where there is one, and not the whole world, which could forge addresses and https.",
};
pub(super) static ADMIN: Entry = Entry {
    id: "administrator",
    group: Group::Web,
    title: "administrator",
    doc: "An administrator exists where others can reach Mathesar: whoever comes first would become one.",
};

pub(super) const ENTRIES: &[&Entry] = &[&PORT, &PAGE, &HOSTS, &PROXIES, &ADMIN];

/// How an address is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Port {
    /// Mathesar itself listens there.
    Ours,
    Free,
    /// By whom, where that can be read.
    Taken(Option<String>),
    /// A port below 1024.
    Denied,
    NotOfThisMachine,
    Odd(String),
}

#[derive(Debug, Clone)]
pub(super) struct Facts {
    pub listen: String,
    /// What is listened on now is another address: a restart is pending, or a socket unit.
    pub address: Option<String>,
    pub port: Port,
    pub hosts: Vec<String>,
    pub trusted: Vec<String>,
    /// Why others can reach Mathesar.
    pub public: Option<String>,
    pub page: Known<Result<u16, String>>,
    pub admin: Known<bool>,
    pub system: bool,
}

/// Why others than this machine can come in, if they can.
pub(super) fn public(installation: &Installation) -> Option<String> {
    match exposure(&installation.config, installation.listen()) {
        Exposure::Public(why) => Some(why),
        Exposure::Loopback => None,
    }
}

fn is_launcher(look: &Look, by: &str) -> bool {
    let pid = look.status.get("pid").and_then(serde_json::Value::as_u64);
    pid.is_some_and(|pid| by.ends_with(&format!("(pid {pid})")))
}

impl Facts {
    pub fn gather(look: &Look) -> Facts {
        let installation = &look.installation;
        let listen = installation.listen().to_owned();
        let address = look.status.get("address").and_then(serde_json::Value::as_str).map(str::to_owned);
        let running = look.running();
        Facts {
            port: if running && serves(address.as_deref(), &listen) {
                Port::Ours
            } else {
                match port(look, &listen) {
                    // A launcher that says nothing holds it all the same.
                    Port::Taken(Some(by)) if is_launcher(look, &by) => Port::Ours,
                    port => port,
                }
            },
            hosts: installation.config.list("server.hosts").to_vec(),
            trusted: installation.config.list("server.trusted-proxies").to_vec(),
            public: public(installation),
            page: match running {
                true => probe::first_page(address.as_deref().unwrap_or_default(), LONGEST),
                false => Err(NOT_RUNNING.to_owned()),
            },
            admin: admin(look),
            system: installation.is_system(),
            listen,
            address,
        }
    }
}

/// Whether the address of `status` is that of the setting.
fn serves(address: Option<&str>, listen: &str) -> bool {
    let Some(address) = address else { return false };
    let Ok(wanted) = listen.parse::<SocketAddr>() else { return address == listen };
    match address.strip_prefix("http://") {
        Some(rest) if wanted.ip().is_unspecified() => rest.ends_with(&format!(":{}", wanted.port())),
        Some(rest) => rest == listen,
        None => false,
    }
}

fn port(look: &Look, listen: &str) -> Port {
    if let Some(path) = listen.strip_prefix("unix:") {
        let path = std::path::Path::new(path);
        return match holder::of_path(path) {
            Some(holder) => Port::Taken(Some(holder.to_string())),
            None if path.exists() && !is_socket(path) => {
                Port::Odd(format!("{} is another file", path.display()))
            }
            None => Port::Free,
        };
    }
    let Ok(address) = listen.parse::<SocketAddr>() else {
        return Port::Odd(format!("`{listen}` is no address"));
    };
    let holder = || {
        let seen = holder::of_port(address.port()).map(|holder| holder.to_string());
        Port::Taken(seen.or_else(|| look.root.port_holder.clone()))
    };
    match try_bind(address) {
        Ok(()) => Port::Free,
        Err(Errno::ADDRINUSE) => holder(),
        Err(Errno::ACCESS) => Port::Denied,
        Err(Errno::ADDRNOTAVAIL) => Port::NotOfThisMachine,
        Err(cause) => Port::Odd(std::io::Error::from(cause).to_string()),
    }
}

fn is_socket(path: &std::path::Path) -> bool {
    use std::os::unix::fs::FileTypeExt as _;
    path.symlink_metadata().is_ok_and(|found| found.file_type().is_socket())
}

/// Bound for a moment and never listened on: nobody can connect to it meanwhile.
fn try_bind(address: SocketAddr) -> Result<(), Errno> {
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let socket = socket(family, SocketType::STREAM, None)?;
    sockopt::set_socket_reuseaddr(&socket, true)?;
    bind(&socket, &address)
}

fn admin(look: &Look) -> Known<bool> {
    let answer = look.query("SELECT EXISTS (SELECT FROM mathesar_user WHERE is_superuser);")?;
    match answer.trim() {
        "t" => Ok(true),
        "f" => Ok(false),
        other => Err(format!("the database answered `{other}`")),
    }
}

pub(super) fn checks(facts: &Facts) -> Vec<Check> {
    vec![address(facts), first_page(facts), hosts(facts), proxies(facts), administrator(facts)]
}

fn address(facts: &Facts) -> Check {
    let listen = &facts.listen;
    let other = || {
        let free = crate::server::listener::free_near(listen);
        let free = free.as_deref().unwrap_or("127.0.0.1:8001");
        format!("take another: `mathesar config set server.listen {free}`")
    };
    match &facts.port {
        Port::Ours => PORT.ok(format!("Mathesar listens on {listen}")),
        Port::Free if facts.address.is_some() => PORT
            .warning(format!("{listen} is free, and Mathesar listens on {}", facts.address.clone().unwrap_or_default()))
            .cause("the setting has changed since the start, or a socket unit gives the address")
            .cure("`mathesar restart`"),
        Port::Free => PORT.ok(format!("{listen} is free")),
        Port::Taken(Some(by)) => PORT.problem(format!("{listen} is used by {by}")).cure(other()),
        Port::Taken(None) => PORT
            .problem(format!("{listen} is used by a process of another user"))
            .cure(format!("see which one: `sudo ss -ltnp | grep {}`", listen.rsplit(':').next().unwrap_or_default()))
            .cure(other()),
        Port::Denied => PORT
            .problem(format!("{listen} is denied"))
            .cause("ports below 1024 are root's")
            .cure("take a higher one behind a proxy: `mathesar config set server.listen 127.0.0.1:8000`, `mathesar proxy`"),
        Port::NotOfThisMachine => PORT
            .problem(format!("this machine has no address {listen}"))
            .cure("see those that it has: `ip address`; for all of them: `mathesar config set server.listen 0.0.0.0:8000`"),
        Port::Odd(why) => PORT.problem(format!("{listen} cannot be used: {why}")).cure(other()),
    }
}

fn first_page(facts: &Facts) -> Check {
    let logs = "`mathesar logs`";
    match &facts.page {
        Err(why) => PAGE.not_checked(why.clone()),
        Ok(Ok(status @ (200 | 302))) => PAGE.ok(format!("answers with {status}")),
        Ok(Ok(503)) => PAGE.warning("says that it is being prepared (503)").cure("`mathesar status`"),
        Ok(Ok(400)) => PAGE
            .problem("answers with 400: the host name is not allowed")
            .cure("`mathesar config get server.hosts`"),
        Ok(Ok(500)) => PAGE
            .problem("answers with 500")
            .cause("most often Mathesar does not reach its database")
            .cure(logs),
        Ok(Ok(status)) => PAGE.problem(format!("answers with {status}")).cure(logs),
        Ok(Err(why)) => PAGE.problem("does not answer").cause(why.clone()).cure(logs),
    }
}

fn hosts(facts: &Facts) -> Check {
    let loopback_listen = facts.listen.parse::<SocketAddr>().is_ok_and(|address| address.ip().is_loopback());
    let name = "name what stands in the browser's address line: `mathesar config set server.hosts mathesar.example.org`";
    if facts.hosts.iter().any(|host| host == "*") {
        return HOSTS
            .warning("any name is allowed (`*`)")
            .cause("a forged name in a request then gets into links, as those that reset passwords")
            .cure(name);
    }
    match (facts.hosts.is_empty(), &facts.public) {
        (true, Some(why)) => HOSTS
            .problem("none is set, and others can come in: whoever does not use a loopback name gets 400")
            .cause(why.clone())
            .cure(name),
        (true, None) if !facts.trusted.is_empty() => HOSTS
            .problem("none is set, and a proxy is trusted: what comes through it under its own name gets 400")
            .cure(name),
        (true, None) if !loopback_listen => {
            HOSTS.warning("none is set, and a unix socket is for a proxy, which has a name").cure(name)
        }
        (true, None) => HOSTS.ok("this machine's own"),
        (false, _) => HOSTS.ok(format!("{}, and this machine's own", facts.hosts.join(", "))),
    }
}

fn proxies(facts: &Facts) -> Check {
    let everyone = |network: &&String| network.ends_with("/0");
    let wide = |network: &&String| {
        let (ip, bits) = network.split_once('/').unwrap_or((network, "128"));
        let limit = if ip.contains(':') { 32 } else { 8 };
        bits.parse::<u8>().is_ok_and(|bits| bits < limit)
    };
    if let Some(network) = facts.trusted.iter().find(everyone) {
        return PROXIES
            .problem(format!("{network} is everybody"))
            .cause("anybody can forge an address, and https")
            .cure("name the proxy alone: `mathesar config set server.trusted-proxies 127.0.0.1`");
    }
    if let Some(network) = facts.trusted.iter().find(wide) {
        return PROXIES
            .warning(format!("{network} is a large part of the world"))
            .cure("name the proxy alone: `mathesar config set server.trusted-proxies 127.0.0.1`");
    }
    let loopback = facts.listen.parse::<SocketAddr>().is_ok_and(|address| address.ip().is_loopback());
    match (facts.trusted.is_empty(), loopback && !facts.hosts.is_empty()) {
        (true, true) => PROXIES
            .warning("none, and `server.hosts` has names, which come through a proxy to a loopback address")
            .cause("without it Mathesar does not know of the proxy's https, and refuses forms (CSRF)")
            .cure("`mathesar config set server.trusted-proxies 127.0.0.1`"),
        (true, false) => PROXIES.ok("none"),
        (false, _) => PROXIES.ok(facts.trusted.join(", ")),
    }
}

fn administrator(facts: &Facts) -> Check {
    match (&facts.admin, &facts.public) {
        (Err(why), _) => ADMIN.not_checked(why.clone()),
        (Ok(true), _) => ADMIN.ok("there is one"),
        (Ok(false), Some(why)) => ADMIN
            .problem("there is none, and whoever comes first becomes one")
            .cause(format!("others can reach Mathesar: {why}"))
            .cure("`mathesar admin create`"),
        (Ok(false), None) if facts.system => ADMIN
            .warning("there is none, and every user of this machine can become one")
            .cure("`mathesar admin create`"),
        (Ok(false), None) => ADMIN.ok("none yet: you make the first one in the browser, `mathesar open`"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_in_use_is_seen_and_a_free_one_stays_free() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        assert_eq!(try_bind(address), Err(Errno::ADDRINUSE));
        drop(listener);
        assert_eq!(try_bind(address), Ok(()));
        assert_eq!(try_bind("192.0.2.1:8000".parse().unwrap()), Err(Errno::ADDRNOTAVAIL));
    }

    #[test]
    fn the_address_in_use_is_compared() {
        assert!(serves(Some("http://127.0.0.1:8000"), "127.0.0.1:8000"));
        assert!(serves(Some("http://localhost:8000"), "0.0.0.0:8000"));
        assert!(!serves(Some("http://127.0.0.1:8001"), "127.0.0.1:8000"));
        assert!(serves(Some("unix:/run/m.sock"), "unix:/run/m.sock"));
    }
}
