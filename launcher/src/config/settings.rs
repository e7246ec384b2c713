//! The one table of settings.

use super::kind::Kind;
use super::setting::{Effect, Setting};

/// A table of the file.
#[derive(Debug)]
pub struct Section {
    pub name: &'static str,
    pub doc: &'static str,
}

pub static SECTIONS: &[Section] = &[
    Section { name: "", doc: "At the top of the file, before the first `[section]`." },
    Section { name: "server", doc: "How browsers reach Mathesar." },
    Section { name: "database", doc: "The PostgreSQL server: a private cluster, or one of yours." },
    Section { name: "app", doc: "Mathesar itself." },
    Section { name: "login", doc: "Who may come in." },
    Section { name: "media", doc: "Files that people upload." },
    Section { name: "file-storage", doc: "Where Mathesar's file columns keep their files." },
    Section { name: "python", doc: "The Python that runs Mathesar, and where its packages come from." },
    Section { name: "network", doc: "How the launcher reaches the network when it fetches something." },
    Section { name: "backup", doc: "Copies of everything." },
    Section { name: "upgrade", doc: "Newer releases of Mathesar." },
    Section { name: "log", doc: "What is written down." },
];

const WEB: &[&str] = &["https", "http"];

/// PostgreSQL's own limits in bytes: 16 and i32::MAX / 2 pages of 8 KiB, the latter rounded down.
const SHARED_BUFFERS: (u64, u64) = (16 << 13, 8_000_000_000_000);

pub static SETTINGS: &[Setting] = &[
    Setting::new("env-file", Kind::Path, None, "A file of further environment variables for Mathesar, one `NAME=value` a line. The rules of `[env]` hold for it too."),
    Setting::new("server.listen", Kind::Address, Some("127.0.0.1:8000"), "Where Mathesar listens. The default answers to this machine alone; name `0.0.0.0:8000` for every address of the machine, or `unix:/path` for a reverse proxy on it. Until an administrator exists, anything but loopback is refused at start."),
    Setting::new("server.hosts", Kind::List(&Kind::Host), Some(""), "Names that browsers may use for this server; a request for another name is answered with 400. `.example.org` allows a domain and all below it, `*` any name. Loopback names are always allowed.").honours(&["ALLOWED_HOSTS"]),
    Setting::new("server.trusted-proxies", Kind::List(&Kind::Network), Some(""), "Reverse proxies whose `X-Forwarded-*` headers are believed. Nobody's are by default."),
    Setting::new("server.workers", Kind::Auto { min: 1, max: 256 }, Some("auto"), "Processes that answer requests. `auto` chooses by processors and memory.").honours(&["WEB_CONCURRENCY"]),
    Setting::new("server.request-timeout", Kind::Duration { least: 1 }, Some("60s"), "A request that takes longer is ended, and its worker replaced."),
    Setting::new("server.stop-timeout", Kind::Duration { least: 0 }, Some("30s"), "How long `stop` and `restart` wait for requests that are being answered."),
    Setting::new("database.url", Kind::DatabaseUrl, None, "Your own PostgreSQL server, and on it the database for what Mathesar keeps for itself: `postgresql://role@host:5432/mathesar_django`. Not set: the launcher runs a private cluster of its own that listens on a socket only."),
    Setting::new("database.password-file", Kind::Path, None, "A file that holds the password for `database.url` and nothing else."),
    Setting::new("database.password", Kind::Text, None, "The password itself. `database.password-file` keeps it out of this file, and is better.").honours(&["POSTGRES_PASSWORD"]).secret(),
    Setting::new("database.sslmode", Kind::Choice(&["disable", "prefer", "require"]), Some("prefer"), "Whether connections to `database.url` are encrypted.").honours(&["POSTGRES_SSLMODE"]),
    Setting::new("database.connect-timeout", Kind::Duration { least: 1 }, Some("10s"), "How long to wait for an answer of the database server."),
    Setting::new("database.bin", Kind::Path, None, "The folder of `postgres`, `initdb` and `psql` for the private cluster. Not set: the distribution's of the major that the data were made with, else the pinned embedded build."),
    Setting::new("database.name", Kind::DatabaseName, Some("mathesar_django"), "The private cluster's database for what Mathesar keeps for itself.").effect(Effect::NewCluster),
    Setting::new("database.user-database", Kind::DatabaseName, Some("mathesar"), "The first database for your own tables in the private cluster.").effect(Effect::NewCluster),
    Setting::new("database.locale", Kind::Text, Some("C.UTF-8"), "The private cluster's locale. `C.UTF-8` sorts the same after every upgrade of the operating system; others may need their indexes rebuilt.").effect(Effect::NewCluster),
    Setting::new("database.max-connections", Kind::Integer { min: 20, max: 10_000 }, Some("100"), "Connections that the private cluster accepts at once."),
    Setting::new("database.shared-buffers", Kind::Size { min: SHARED_BUFFERS.0, max: SHARED_BUFFERS.1 }, Some("128MB"), "Memory that the private cluster keeps tables in."),
    Setting::new("database.start-timeout", Kind::Duration { least: 1 }, Some("5m"), "How long the private cluster may take to start; longest after a power cut."),
    Setting::new("app.secret-key-file", Kind::Path, None, "A file with the key that encrypts stored database passwords and signs sessions. Not set: one that was made at the first start, among the secrets. With another key every saved connection is lost, so a different one is refused."),
    Setting::new("app.secret-key", Kind::Text, None, "The key itself; `app.secret-key-file` keeps it out of this file.").honours(&["SECRET_KEY"]).secret(),
    Setting::new("app.debug", Kind::Bool, Some("false"), "Shows errors in full to every visitor. Never on a server that others reach.").honours(&["DEBUG"]),
    Setting::new("login.require-sso", Kind::Bool, Some("false"), "Only single sign-on, no passwords.").honours(&["REQUIRE_SSO_LOGIN"]),
    Setting::new("login.sso-file", Kind::Path, None, "Mathesar's `sso.yml`: the identity providers."),
    Setting::new("login.sso-config", Kind::Text, None, "The same as text.").honours(&["SSO_CONFIG_DICT", "OIDC_CONFIG_DICT"]).secret(),
    Setting::new("login.per-user-databases", Kind::Bool, Some("false"), "Mathesar's databases for each user.").honours(&["PER_USER_DATABASES_ENABLED"]),
    Setting::new("media.path", Kind::Folder, None, "Where uploaded files are kept. Not set: `media` in the state folder.").honours(&["MEDIA_ROOT"]),
    Setting::new("file-storage.config-file", Kind::Path, None, "Mathesar's `file_storage.yml`."),
    Setting::new("file-storage.config", Kind::Text, None, "The same as text.").honours(&["FILE_STORAGE_DICT"]).secret(),
    Setting::new("file-storage.data-files-backend", Kind::Text, None, "The storage backend for imported data files, by the name that Mathesar's documentation gives it.").honours(&["DATA_FILES_STORAGE_BACKEND"]),
    Setting::new("file-storage.azure-container", Kind::Text, None, "The container, where that backend is Azure's.").honours(&["DATA_FILES_AZURE_CONTAINER"]),
    Setting::new("file-storage.azure-connection-string", Kind::Text, None, "How to reach it.").honours(&["DATA_FILES_AZURE_CONNECTION_STRING"]).secret(),
    Setting::new("python.interpreter", Kind::Path, None, "The Python to use. Not set: the system's 3.12 or 3.11, else one that uv manages, else another supported one of the system.").effect(Effect::NextUse),
    Setting::new("python.managed", Kind::Bool, Some("true"), "Whether uv may fetch a Python where the system has no suitable one.").effect(Effect::NextUse),
    Setting::new("python.uv", Kind::Path, None, "The uv to use. Not set: the pinned one.").effect(Effect::NextUse),
    Setting::new("python.index-url", Kind::Url(WEB), None, "The package index, where it is not PyPI.").usual(&["UV_DEFAULT_INDEX"]).effect(Effect::NextUse),
    Setting::new("network.proxy", Kind::Url(&["http", "https", "socks5"]), None, "The proxy to fetch through.").usual(&["HTTPS_PROXY", "https_proxy"]).effect(Effect::NextUse),
    Setting::new("network.no-proxy", Kind::List(&Kind::Direct), Some(""), "Hosts that are reached without it.").usual(&["NO_PROXY", "no_proxy"]).effect(Effect::NextUse),
    Setting::new("network.ca-file", Kind::Path, None, "Certificates (PEM) of authorities to trust besides the system's, as behind a proxy that looks into TLS.").usual(&["SSL_CERT_FILE"]).effect(Effect::NextUse),
    Setting::new("network.timeout", Kind::Duration { least: 1 }, Some("30s"), "How long to wait for an answer.").effect(Effect::NextUse),
    Setting::new("network.offline", Kind::Bool, Some("false"), "Never use the network: the files have to be in the cache, or beside the launcher in `share/mathesar`.").effect(Effect::NextUse),
    Setting::new("backup.directory", Kind::Folder, None, "Where backups go; best on another disk. Not set: `backups` in the state folder.").effect(Effect::NextUse),
    Setting::new("backup.keep", Kind::Integer { min: 1, max: 10_000 }, Some("7"), "Backups of the timer that are kept, whatever their age. One that a person made is never removed.").effect(Effect::NextUse),
    Setting::new("backup.keep-for", Kind::Duration { least: 0 }, Some("30d"), "Older ones are removed, except for the newest `backup.keep` and the last good one.").effect(Effect::NextUse),
    Setting::new("backup.compression-level", Kind::Integer { min: 1, max: 19 }, Some("3"), "The level of zstd: higher is smaller and slower.").effect(Effect::NextUse),
    Setting::new("upgrade.automatic", Kind::Bool, Some("true"), "Whether a new package also upgrades Mathesar, with a backup before and a way back after. `false` waits for `mathesar upgrade`.").effect(Effect::NextUse),
    Setting::new("upgrade.keep-releases", Kind::Integer { min: 1, max: 50 }, Some("2"), "Releases that stay installed besides the current one; after an upgrade older ones are removed, but for those that a way back needs.").effect(Effect::NextUse),
    Setting::new("upgrade.migrate-timeout", Kind::Duration { least: 1 }, Some("1h"), "How long a new release's migrations may take before the old one is put back.").effect(Effect::NextUse),
    Setting::new("upgrade.health-timeout", Kind::Duration { least: 1 }, Some("2m"), "How long a new release may take to answer before the old one is put back.").effect(Effect::NextUse),
    Setting::new("log.level", Kind::Choice(&["error", "warning", "info", "debug"]), Some("info"), "How much is written."),
    Setting::new("log.requests", Kind::Bool, Some("false"), "Whether every request is written down, with the visitor's address."),
    Setting::new("log.max-size", Kind::Size { min: 1000, max: 1_000_000_000_000 }, Some("10MB"), "In user mode, a log file of this size is put aside and a new one begun. In system mode the journal has limits of its own."),
    Setting::new("log.keep", Kind::Integer { min: 0, max: 1000 }, Some("5"), "Log files put aside that are kept."),
];
