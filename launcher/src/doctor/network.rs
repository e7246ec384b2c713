//! How the launcher, and Mathesar itself, reach the network.

use std::path::PathBuf;

use super::{Check, Entry, Group, Look};
use crate::config::{Origin, without_password};
use crate::service_manager::Manager;

pub(super) static PROXY: Entry = Entry {
    id: "proxy-settings",
    group: Group::Settings,
    title: "proxy to the outside",
    doc: "`network.proxy` and the variables `HTTPS_PROXY`, `HTTP_PROXY`, `NO_PROXY` say the same to the service as to your shell, and leave this machine itself out.",
};
pub(super) static CERTIFICATES: Entry = Entry {
    id: "certificates",
    group: Group::Settings,
    title: "certificate authorities",
    doc: "`network.ca-file` (or `SSL_CERT_FILE`) holds certificates in PEM form; without it, the system has some.",
};

pub(super) const ENTRIES: &[&Entry] = &[&PROXY, &CERTIFICATES];

#[derive(Debug, Clone)]
pub(super) struct Facts {
    pub offline: bool,
    /// In force here, without its password, and whether a variable of this shell says so.
    pub proxy: Option<(String, bool)>,
    /// Only HTTP_PROXY is set, and what is fetched is fetched by https.
    pub http_only: bool,
    pub no_proxy: Vec<String>,
    /// A service manager starts Mathesar, with an environment of its own.
    pub service: bool,
    pub ca_file: Option<PathBuf>,
    /// How many certificates it holds, or the system's file; none: cannot be read.
    pub certificates: Option<usize>,
}

impl Facts {
    pub fn gather(look: &Look) -> Facts {
        let installation = &look.installation;
        let config = &installation.config;
        let environment = &installation.environment;
        let ca_file = config.path("network.ca-file");
        let system =
            ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem"];
        let bundle = ca_file.clone().or_else(|| system.iter().map(PathBuf::from).find(|path| path.is_file()));
        let count = |path: PathBuf| {
            let text = crate::careful::read_named(&path).ok()?;
            Some(String::from_utf8_lossy(&text).matches("-----BEGIN CERTIFICATE-----").count())
        };
        let set = |name: &str| environment.get(name).is_some();
        Facts {
            offline: config.bool("network.offline"),
            proxy: config.text("network.proxy").map(|proxy| {
                let origin = config.origin("network.proxy");
                let here = matches!(&origin, Origin::Environment(name) if !name.starts_with("MATHESAR_"));
                (without_password(proxy), here)
            }),
            http_only: (set("HTTP_PROXY") || set("http_proxy")) && config.text("network.proxy").is_none(),
            no_proxy: config.list("network.no-proxy").to_vec(),
            service: Manager::of(&installation.layout, environment) != Manager::Nobody,
            ca_file,
            certificates: bundle.and_then(count),
        }
    }
}

pub(super) fn checks(facts: &Facts) -> Vec<Check> {
    vec![proxy(facts), certificates(facts)]
}

fn proxy(facts: &Facts) -> Check {
    let loopback = |name: &String| matches!(name.trim(), "localhost" | "127.0.0.1" | "::1" | "[::1]" | "*");
    match &facts.proxy {
        _ if facts.offline => PROXY.not_checked("`network.offline` is on, nothing is fetched"),
        None if facts.http_only => PROXY
            .warning("HTTP_PROXY is set, but HTTPS_PROXY is not, and everything is fetched by https")
            .cure("`mathesar config set network.proxy http://PROXY:PORT`"),
        None => PROXY.ok("none"),
        Some((proxy, true)) if facts.service => PROXY
            .warning(format!("{proxy} is known to this shell alone, the service does not see it"))
            .cause("systemd starts Mathesar with an environment of its own")
            .cure(format!("`mathesar config set network.proxy {proxy}`")),
        Some((proxy, _)) if !facts.no_proxy.iter().any(loopback) => PROXY
            .warning(format!("{proxy}, for this machine itself too"))
            .cause("`network.no-proxy` (NO_PROXY) names neither localhost nor 127.0.0.1")
            .cure("`mathesar config set network.no-proxy localhost,127.0.0.1,::1`"),
        Some((proxy, _)) => PROXY.ok(proxy.clone()),
    }
}

fn certificates(facts: &Facts) -> Check {
    match (&facts.ca_file, facts.certificates) {
        _ if facts.offline => CERTIFICATES.not_checked("`network.offline` is on, nothing is fetched"),
        (Some(file), None) => CERTIFICATES
            .problem(format!("`network.ca-file` {} cannot be read", file.display()))
            .cure("`mathesar config get network.ca-file`"),
        (Some(file), Some(0)) => CERTIFICATES
            .problem(format!("`network.ca-file` {} holds no certificate in PEM form", file.display()))
            .cure(format!(
                "from DER it is made by `openssl x509 -inform der -in {} -out ca.pem`",
                file.display()
            )),
        (Some(file), Some(number)) => CERTIFICATES.ok(format!("{number} in {}", file.display())),
        (None, Some(0) | None) => CERTIFICATES
            .warning("the system has none that are known here, so https may fail")
            .cure("install `ca-certificates`, or name a file: `mathesar config set network.ca-file PATH`"),
        (None, Some(number)) => CERTIFICATES.ok(format!("the system's {number}")),
    }
}
