//! A Caddy or nginx of our own: unprivileged, on loopback, in a folder of its own, with what `mathesar proxy` printed.

use std::fs::{self, File};
use std::io::{Read, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use tempfile::TempDir;

pub const DOMAIN: &str = "books.example.org";

/// `nobody`: root's tests show what a proxy can do that is not root.
const NOBODY: u32 = 65534;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Caddy,
    Nginx,
}

pub const BOTH: [Kind; 2] = [Kind::Caddy, Kind::Nginx];

impl Kind {
    pub fn name(self) -> &'static str {
        match self {
            Kind::Caddy => "caddy",
            Kind::Nginx => "nginx",
        }
    }

    /// On Debian, nginx is where only root looks.
    pub fn program(self) -> Option<PathBuf> {
        let found = find(self.name());
        if found.is_none() {
            println!("not run: {} is not installed", self.name());
        }
        found
    }
}

fn find(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(["/usr/sbin".into()]);
    folders.map(|folder| folder.join(name)).find(|file| file.is_file())
}

pub struct Front {
    pub kind: Kind,
    folder: TempDir,
    process: Child,
    https: u16,
    http: u16,
    domain: String,
    root: PathBuf,
}

/// What `mathesar proxy` prints for an installation with this mathesar.conf.
pub fn printed(folder: &Path, kind: Kind, conf: &str, args: &[&str]) -> String {
    fs::create_dir_all(folder.join("home/config")).unwrap();
    fs::write(folder.join("home/config/mathesar.conf"), conf).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_mathesar"));
    command.env_clear().arg("--home").arg(folder.join("home")).args(["proxy", kind.name()]).args(args);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// A certificate for DOMAIN that is its own authority. False where there is no openssl to make it.
pub fn certificate(folder: &Path) -> bool {
    let Some(openssl) = find("openssl") else {
        println!("not run: openssl is not installed");
        return false;
    };
    let conf = format!(
        "[req]\ndistinguished_name = name\nx509_extensions = more\nprompt = no\n[name]\nCN = {DOMAIN}\n\
         [more]\nsubjectAltName = DNS:{DOMAIN}\nbasicConstraints = critical, CA:FALSE\n"
    );
    fs::write(folder.join("openssl.cnf"), conf).unwrap();
    let mut command = Command::new(openssl);
    command.current_dir(folder).args(["req", "-x509", "-newkey", "ec", "-nodes", "-days", "2"]);
    command.args(["-pkeyopt", "ec_paramgen_curve:prime256v1", "-config", "openssl.cnf"]);
    command.args(["-keyout", "key.pem", "-out", "certificate.pem"]);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    true
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// The proxy's own main file around what was printed; returns its path.
pub fn wrapped(folder: &Path, kind: Kind, text: &str, https: u16, http: u16, globals: &str) -> PathBuf {
    let replace = |text: &str, from: &str, to: &str| {
        assert!(text.contains(from), "`{from}` is not in\n{text}");
        text.replace(from, to)
    };
    let all = match kind {
        Kind::Caddy => format!(
            "{{\n\tadmin off\n\tdefault_bind 127.0.0.1\n\thttp_port {http}\n\thttps_port {https}\n{globals}}}\n\n{text}"
        ),
        Kind::Nginx => {
            let mut site = replace(text, "listen 80;", &format!("listen 127.0.0.1:{http};"));
            site = replace(&site, "listen 443 ssl;", &format!("listen 127.0.0.1:{https} ssl;"));
            site = replace(&site, "listen [::]:80;", "");
            site = replace(&site, "listen [::]:443 ssl;", "");
            fs::write(folder.join("site.conf"), site).unwrap();
            let at = folder.display();
            let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
                .iter()
                .map(|name| format!("{name}_temp_path {at}/{name};\n"))
                .collect();
            format!(
                "pid {at}/nginx.pid;\nerror_log stderr;\nevents {{}}\nhttp {{\naccess_log off;\n{temporary}{globals}include {at}/site.conf;\n}}\n"
            )
        }
    };
    let path = folder.join("main.conf");
    fs::write(&path, all).unwrap();
    path
}

/// The proxy's program as nobody, with nothing of ours in its environment.
pub fn command(folder: &Path, kind: Kind) -> Option<Command> {
    let mut command = Command::new(kind.program()?);
    command.env_clear().env("PATH", "/usr/bin:/bin").current_dir(folder);
    for name in ["HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME"] {
        command.env(name, folder);
    }
    if rustix::process::geteuid().is_root() {
        own(folder);
        command.uid(NOBODY).gid(NOBODY);
    }
    Some(command)
}

fn own(path: &Path) {
    chown(path, Some(NOBODY), Some(NOBODY)).unwrap();
    if path.is_dir() {
        for entry in fs::read_dir(path).unwrap() {
            own(&entry.unwrap().path());
        }
    }
}

impl Front {
    /// In front of `listen`, as its settings say. None where something is not installed, which is said.
    pub fn start(kind: Kind, listen: &str, more: &str, args: &[&str]) -> Option<Front> {
        // Every default that is the tightest in nginx's world: what is printed has to say otherwise.
        let globals = match kind {
            Kind::Caddy => "",
            Kind::Nginx => "proxy_read_timeout 1s;\nproxy_send_timeout 1s;\nclient_max_body_size 1m;\n",
        };
        let folder = tempfile::tempdir().unwrap();
        if !certificate(folder.path()) {
            return None;
        }
        let file = |name: &str| folder.path().join(name).to_string_lossy().into_owned();
        let (certificate, key) = (file("certificate.pem"), file("key.pem"));
        let mut all = vec!["--domain", DOMAIN, "--certificate", &certificate, "--key", &key];
        all.extend(args);
        let conf = format!("[server]\nlisten = \"{listen}\"\n{more}");
        let text = printed(folder.path(), kind, &conf, &all);
        Front::run(kind, folder, &text, globals, DOMAIN, "certificate.pem")
    }

    /// Caddy with certificates of its own making, whose authority no trust store hears of.
    pub fn own_certificates(listen: &str, domain: &str) -> Option<Front> {
        let folder = tempfile::tempdir().unwrap();
        let conf = format!("[server]\nlisten = \"{listen}\"\n");
        let text = printed(folder.path(), Kind::Caddy, &conf, &["--domain", domain]);
        let root = "caddy/pki/authorities/local/root.crt";
        Front::run(Kind::Caddy, folder, &text, "\tskip_install_trust\n", domain, root)
    }

    fn run(
        kind: Kind,
        folder: TempDir,
        text: &str,
        globals: &str,
        domain: &str,
        root: &str,
    ) -> Option<Front> {
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o700)).unwrap();
        let (https, http) = (free_port(), free_port());
        let path = wrapped(folder.path(), kind, text, https, http, globals);
        let log = File::create(folder.path().join("log")).unwrap();
        let mut command = command(folder.path(), kind)?;
        match kind {
            Kind::Caddy => command.args(["run", "--adapter", "caddyfile", "--config"]).arg(&path),
            Kind::Nginx => {
                command.arg("-p").arg(folder.path()).arg("-c").arg(&path).args(["-g", "daemon off;"])
            }
        };
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        let process = command.spawn().unwrap();
        let root = folder.path().join(root);
        let mut front = Front { kind, folder, process, https, http, domain: domain.to_owned(), root };
        let end = Instant::now() + Duration::from_secs(60);
        while !(front.root.exists() && TcpStream::connect(("127.0.0.1", front.https)).is_ok()) {
            let ended = front.process.try_wait().unwrap();
            assert!(ended.is_none() && Instant::now() < end, "{kind:?} {ended:?}\n{}", front.log());
            std::thread::sleep(Duration::from_millis(50));
        }
        Some(front)
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// GET through TLS, with further header lines.
    pub fn get(&self, path: &str, headers: &str) -> Reply {
        self.secure(&format!("GET {path} HTTP/1.1\r\nHost: {}\r\n{headers}", self.domain), b"")
    }

    pub fn post(&self, path: &str, body: &[u8]) -> Reply {
        let length = body.len();
        let head = format!("POST {path} HTTP/1.1\r\nHost: {}\r\nContent-Length: {length}\r\n", self.domain);
        self.secure(&head, body)
    }

    /// Verified against the front's own certificate.
    fn secure(&self, head: &str, body: &[u8]) -> Reply {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(&self.root).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let name = ServerName::try_from(self.domain.clone()).unwrap();
        let connection = rustls::ClientConnection::new(Arc::new(config), name).unwrap();
        let stream = TcpStream::connect(("127.0.0.1", self.https)).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(150))).unwrap();
        let mut stream = rustls::StreamOwned::new(connection, stream);
        stream.write_all(format!("{head}Connection: close\r\n\r\n").as_bytes()).unwrap();
        // A server that answers before it has read everything may close early.
        let _ = stream.write_all(body);
        let _ = stream.flush();
        Reply::read(&mut stream).unwrap_or_else(|| panic!("{:?} said nothing\n{}", self.kind, self.log()))
    }

    /// GET without TLS.
    pub fn plain(&self, path: &str, host: &str) -> Reply {
        let mut stream = TcpStream::connect(("127.0.0.1", self.http)).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").unwrap();
        Reply::read(&mut stream).unwrap()
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        // nginx's workers end with a master that is asked to.
        let _ = rustix::process::kill_process(
            rustix::process::Pid::from_child(&self.process),
            rustix::process::Signal::TERM,
        );
        let _ = self.process.wait();
    }
}

#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub head: String,
    pub body: Vec<u8>,
}

impl Reply {
    /// Up to its length, as Caddy does not always close after an answer that came before the request's end.
    fn read(stream: &mut impl Read) -> Option<Reply> {
        let mut bytes = Vec::new();
        let mut buffer = [0; 16 * 1024];
        loop {
            let size = stream.read(&mut buffer).unwrap_or(0);
            bytes.extend_from_slice(&buffer[..size]);
            let reply = Reply::parse(&bytes);
            let length = reply.as_ref().and_then(|reply| reply.header("Content-Length")?.parse().ok());
            if size == 0 || length.is_some_and(|length: usize| reply.as_ref().unwrap().body.len() >= length) {
                return reply;
            }
        }
    }

    fn parse(bytes: &[u8]) -> Option<Reply> {
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")?;
        let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
        let status = head.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()?;
        Some(Reply { status, head, body: bytes[end + 4..].to_vec() })
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.split("\r\n").find_map(|line| {
            let (found, value) = line.split_once(": ")?;
            found.eq_ignore_ascii_case(name).then_some(value)
        })
    }

    /// What the application says.
    #[track_caller]
    pub fn told(&self) -> serde_json::Value {
        assert_eq!(self.status, 200, "{}\n{}", self.head, String::from_utf8_lossy(&self.body));
        serde_json::from_slice(&self.body).unwrap()
    }
}
