//! How files are fetched: proxy, certificates, time limits.

use std::path::{Path, PathBuf};
use std::time::Duration;

use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig};
use ureq::{Agent, Proxy};

use super::files;
use crate::careful;
use crate::config::{Config, Origin};
use crate::failure::{Exit, Failure};

/// Settings `network.*`.
#[derive(Debug, Clone)]
pub struct Network {
    pub proxy: Option<String>,
    /// Where that was said: a file's line, or a variable.
    pub proxy_from: String,
    pub no_proxy: Vec<String>,
    pub ca_file: Option<PathBuf>,
    /// For an answer, and for the next bytes of one.
    pub timeout: Duration,
    pub offline: bool,
    /// How often a fetch is tried, and how long to wait before the second time; doubled each time.
    pub attempts: u32,
    pub pause: Duration,
    /// So many bytes have to come in such a time: else a server could keep somebody waiting for days.
    pub least: (u64, Duration),
}

impl Default for Network {
    fn default() -> Network {
        Network {
            proxy: None,
            proxy_from: String::new(),
            no_proxy: Vec::new(),
            ca_file: None,
            timeout: Duration::from_secs(30),
            offline: false,
            attempts: 5,
            pause: Duration::from_millis(500),
            least: (60_000, Duration::from_secs(60)),
        }
    }
}

/// Where systems keep their authorities in one file: Debian and Arch, Fedora, openSUSE, macOS and Alpine.
const SYSTEM_BUNDLES: &[&str] = &[
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// The system's authorities and these, in one file; where the system has no such file, these alone.
fn bundle(ours: &Path, cache: &Path) -> Result<PathBuf, Failure> {
    let own = careful::read_named(ours).map_err(|cause| {
        Failure::io("read", ours, cause).help("see `mathesar config get network.ca-file`")
    })?;
    let system = SYSTEM_BUNDLES.iter().map(Path::new).find(|path| path.is_file());
    let Some(system) = system.filter(|system| *system != ours) else { return Ok(ours.to_owned()) };
    let mut text = std::fs::read(system).map_err(|cause| Failure::io("read", system, cause))?;
    text.push(b'\n');
    text.extend(own);
    let path = cache.join("authorities.pem");
    files::create_folder(cache)?;
    if std::fs::read(&path).ok().as_ref() != Some(&text) {
        files::write(&path, &text)?;
    }
    Ok(path)
}

impl Network {
    pub fn new(config: &Config) -> Network {
        let default = Network::default();
        Network {
            proxy: config.text("network.proxy").map(str::to_owned),
            proxy_from: match config.origin("network.proxy") {
                Origin::Environment(name) => name.clone(),
                origin => format!("`network.proxy` in {origin}"),
            },
            no_proxy: config.list("network.no-proxy").to_vec(),
            ca_file: config.path("network.ca-file"),
            timeout: config.duration("network.timeout").unwrap_or(default.timeout),
            offline: config.bool("network.offline"),
            ..default
        }
    }

    /// The same for programs that fetch: uv and pip. They take one file of authorities, so the system's and those of
    /// `network.ca-file` are put together in the cache.
    pub fn variables(&self, cache: &Path) -> Result<Vec<(String, String)>, Failure> {
        self.variables_with(cache, std::env::var_os("SSL_CERT_FILE"))
    }

    fn variables_with(
        &self,
        cache: &Path,
        inherited: Option<std::ffi::OsString>,
    ) -> Result<Vec<(String, String)>, Failure> {
        let mut variables = Vec::new();
        if let Some(proxy) = &self.proxy {
            for name in ["HTTPS_PROXY", "HTTP_PROXY", "https_proxy", "http_proxy"] {
                variables.push((name.to_owned(), proxy.clone()));
            }
        }
        if !self.no_proxy.is_empty() {
            for name in ["NO_PROXY", "no_proxy"] {
                variables.push((name.to_owned(), self.no_proxy.join(",")));
            }
        }
        if let Some(file) = &self.ca_file {
            let file = bundle(file, cache)?;
            for name in ["SSL_CERT_FILE", "PIP_CERT", "REQUESTS_CA_BUNDLE"] {
                variables.push((name.to_owned(), file.to_string_lossy().into_owned()));
            }
        } else if let Some(file) = inherited.filter(|file| !file.is_empty()) {
            // pip itself passes it over.
            for name in ["PIP_CERT", "REQUESTS_CA_BUNDLE"] {
                variables.push((name.to_owned(), file.to_string_lossy().into_owned()));
            }
        }
        // uv brings certificates of its own; the machine's are what its administrator trusts.
        variables.push(("UV_SYSTEM_CERTS".to_owned(), "true".to_owned()));
        variables.push(("UV_HTTP_TIMEOUT".to_owned(), self.timeout.as_secs().max(1).to_string()));
        Ok(variables)
    }

    /// A client for one address; `https` stays https over redirects.
    pub(super) fn agent(&self, https: bool) -> Result<Agent, Failure> {
        // Refused only where something has set one already, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let config = Agent::config_builder()
            .https_only(https)
            .proxy(if https { self.proxy()? } else { None })
            .tls_config(TlsConfig::builder().root_certs(self.roots()?).build())
            // Plain http is this machine's own, and leads nowhere else.
            .max_redirects(if https { 10 } else { 0 })
            .max_redirects_will_error(true)
            .user_agent(concat!("mathesar-launcher/", env!("CARGO_PKG_VERSION")))
            .http_status_as_error(false)
            .timeout_connect(Some(self.timeout))
            .timeout_recv_response(Some(self.timeout))
            .timeout_per_read(Some(self.timeout))
            .build();
        Ok(config.new_agent())
    }

    /// The proxy that an https address is fetched through, and who said so, in words; without its user and password.
    pub(super) fn through(&self, url: &str) -> Option<String> {
        /// Those that ureq looks at, in its order.
        const VARIABLES: &[&str] =
            &["ALL_PROXY", "all_proxy", "HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy"];
        let rest = url.strip_prefix("https://")?;
        let host = rest.split(['/', ':']).next().unwrap_or_default();
        if self.no_proxy.iter().any(|no| host.ends_with(no.trim_start_matches(['*', '.'])) && !no.is_empty())
        {
            return None;
        }
        let inherited = || {
            VARIABLES.iter().find_map(|name| {
                let value = std::env::var(name).ok().filter(|value| !value.is_empty())?;
                Some((value, (*name).to_owned()))
            })
        };
        let (proxy, from) =
            self.proxy.clone().map(|proxy| (proxy, self.proxy_from.clone())).or_else(inherited)?;
        Some(format!("through the proxy {} (from {from})", without_user(&proxy)))
    }

    fn proxy(&self) -> Result<Option<Proxy>, Failure> {
        let Some(text) = &self.proxy else { return Ok(Proxy::try_from_env()) };
        // Its text may hold a password.
        let wrong =
            |cause: ureq::Error| Failure::new("cannot use `network.proxy`").cause(cause).exit(Exit::Refused);
        let plain = Proxy::new(text).map_err(wrong)?;
        if self.no_proxy.is_empty() {
            return Ok(Some(plain));
        }
        let mut builder = Proxy::builder(plain.protocol()).host(plain.host()).port(plain.port());
        if let Some(user) = plain.username() {
            builder = builder.username(user);
        }
        if let Some(password) = plain.password() {
            builder = builder.password(password);
        }
        for host in &self.no_proxy {
            builder = builder.no_proxy(host);
        }
        builder.build().map(Some).map_err(wrong)
    }

    /// The platform's own verifier, which also honours SSL_CERT_FILE; with `network.ca-file`, those of that file besides.
    fn roots(&self) -> Result<RootCerts, Failure> {
        let Some(path) = &self.ca_file else { return Ok(RootCerts::PlatformVerifier) };
        let text = careful::read_named(path).map_err(|cause| {
            Failure::io("read", path, cause).help("see `mathesar config get network.ca-file`")
        })?;
        let mut roots: Vec<Certificate<'static>> = rustls_native_certs::load_native_certs()
            .certs
            .iter()
            .map(|der| Certificate::from_der(der).to_owned())
            .collect();
        let before = roots.len();
        for item in ureq::tls::parse_pem(&text) {
            if let Ok(PemItem::Certificate(certificate)) = item {
                roots.push(certificate);
            }
        }
        if roots.len() == before {
            return Err(Failure::new(format!("{} holds no certificate in PEM form", path.display()))
                .exit(Exit::Refused)
                .help("see `mathesar config get network.ca-file`"));
        }
        Ok(RootCerts::Specific(std::sync::Arc::new(roots)))
    }
}

/// Tokens stand in the place of a user's name, too.
fn without_user(proxy: &str) -> String {
    match proxy.rsplit_once('@') {
        Some((before, host)) => {
            let scheme = before.split_once("://").map(|(scheme, _)| format!("{scheme}://"));
            format!("{}***@{host}", scheme.unwrap_or_default())
        }
        None => proxy.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_is_told_with_its_origin_and_without_its_user() {
        let mut network = Network {
            proxy: Some("http://me:hunter2@proxy:3128".to_owned()),
            proxy_from: "HTTPS_PROXY".to_owned(),
            ..Network::default()
        };
        let through = network.through("https://pypi.org/simple").unwrap();
        assert_eq!(through, "through the proxy http://***@proxy:3128 (from HTTPS_PROXY)");
        assert_eq!(without_user("http://token@proxy"), "http://***@proxy");
        assert_eq!(without_user("http://proxy:1"), "http://proxy:1");
        network.no_proxy = vec![".pypi.org".to_owned(), "pypi.org".to_owned()];
        assert_eq!(network.through("https://pypi.org/simple"), None);
        assert_eq!(network.through("http://127.0.0.1/x"), None);
    }

    #[test]
    fn authorities_of_the_environment_reach_pip() {
        let cache = tempfile::tempdir().unwrap();
        let of = |network: &Network, file: &str| {
            let all = network.variables_with(cache.path(), Some(file.into())).unwrap();
            all.into_iter().find(|(name, _)| name == "PIP_CERT").map(|(_, value)| value)
        };
        let mut network = Network::default();
        assert_eq!(of(&network, "/own.pem").as_deref(), Some("/own.pem"));
        assert_eq!(of(&network, ""), None);
        let ours = cache.path().join("ours.pem");
        std::fs::write(&ours, "x").unwrap();
        network.ca_file = Some(ours);
        assert!(of(&network, "/own.pem").is_some_and(|file| file != "/own.pem"));
    }
}
