//! The listening socket. The launcher owns it, so there is no moment at which nobody listens.

use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener, ToSocketAddrs as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::holder;
use super::near::Near;
use crate::failure::{Exit, Failure};

/// A process that was killed keeps its sockets for a moment.
const DYING: Duration = Duration::from_secs(2);

/// More visitors than this wait nowhere while gunicorn boots.
const BACKLOG: i32 = 2048;

/// What systemd's socket activation left in the environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Activation {
    pub sockets: i32,
}

impl Activation {
    /// From LISTEN_PID and LISTEN_FDS; None where they are not meant for this process.
    pub fn read(pid: Option<&str>, fds: Option<&str>, own: u32) -> Option<Activation> {
        if pid?.parse() != Ok(own) {
            return None;
        }
        let sockets = fds?.parse().ok().filter(|sockets| *sockets > 0)?;
        Some(Activation { sockets })
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Place {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

/// The socket that visitors come to.
#[derive(Debug)]
pub struct Listener {
    fd: Arc<OwnedFd>,
    place: Place,
    /// Ours to remove at the end.
    made: bool,
}

impl Drop for Listener {
    fn drop(&mut self) {
        if let (Place::Unix(path), true) = (&self.place, self.made) {
            let _ = std::fs::remove_file(path);
        }
    }
}

impl Listener {
    /// Opens `server.listen`; the state lock is held, so a unix socket that nobody answers on is a dead launcher's.
    pub fn open(listen: &str) -> Result<Listener, Failure> {
        match listen.strip_prefix("unix:") {
            Some(path) => unix(Path::new(path)),
            None => tcp(listen),
        }
    }

    /// Takes over what systemd listens on. Called once in a process, at its beginning.
    pub fn activated(activation: &Activation) -> Result<Listener, Failure> {
        const FIRST: i32 = 3;
        let refused = |why: &str| {
            Failure::new(format!("cannot use the socket of the socket unit: {why}"))
                .exit(Exit::Refused)
                .help("give the socket unit one `ListenStream=` and no `Accept=yes`")
        };
        if activation.sockets != 1 {
            return Err(refused(&format!("there are {} of them", activation.sockets)));
        }
        let fd = crate::raw::adopt(FIRST).map_err(|cause| refused("it is not open").cause(cause))?;
        if !rustix::net::sockopt::socket_acceptconn(&fd).unwrap_or(false) {
            return Err(refused("it does not listen"));
        }
        let listener = TcpListener::from(fd);
        let place = match listener.local_addr() {
            Ok(address) => Place::Tcp(address),
            Err(_) => {
                let unix = UnixListener::from(OwnedFd::from(
                    listener.try_clone().map_err(|cause| refused("it cannot be copied").cause(cause))?,
                ));
                let address = unix.local_addr().map_err(|cause| refused("it has no address").cause(cause))?;
                Place::Unix(address.as_pathname().map(Path::to_owned).unwrap_or_default())
            }
        };
        Ok(Listener { fd: nonblocking(listener.into())?, place, made: false })
    }

    /// Whether another address can be listened on instead of this one: tried, and given back.
    pub fn could_be(&self, listen: &str) -> Result<(), Failure> {
        Listener::could_replace(&self.url(), listen)
    }

    /// The same for a listener of another process, by its `url`.
    pub fn could_replace(url: &str, listen: &str) -> Result<(), Failure> {
        let port = |text: &str| text.rsplit_once(':').and_then(|(_, port)| port.parse::<u16>().ok());
        // The port is that one's until then, whatever the address; and so is its unix socket.
        if url == listen || port(url).is_some_and(|own| port(listen) == Some(own)) {
            return Ok(());
        }
        Listener::open(listen).map(drop)
    }

    /// Whether this address can be listened on now: a port is tried and given back, for a socket nothing is written.
    pub fn could_listen(listen: &str) -> Result<(), Failure> {
        match listen.strip_prefix("unix:") {
            Some(path) => unix_is_free(Path::new(path)),
            None => tcp(listen).map(drop),
        }
    }

    pub fn fd(&self) -> Arc<OwnedFd> {
        Arc::clone(&self.fd)
    }

    pub fn is_unix(&self) -> bool {
        matches!(self.place, Place::Unix(_))
    }

    pub fn local_addr(&self) -> Option<SocketAddr> {
        match &self.place {
            Place::Tcp(address) => Some(*address),
            Place::Unix(_) => None,
        }
    }

    /// What a person types into a browser on this machine; for a unix socket, its path.
    pub fn url(&self) -> String {
        match &self.place {
            Place::Tcp(address) if address.ip().is_unspecified() => {
                format!("http://localhost:{}", address.port())
            }
            Place::Tcp(address) => format!("http://{address}"),
            Place::Unix(path) => format!("unix:{}", path.display()),
        }
    }
}

/// gunicorn makes it so anyway, and that counts for everyone who shares it.
fn nonblocking(fd: OwnedFd) -> Result<Arc<OwnedFd>, Failure> {
    rustix::net::listen(&fd, BACKLOG)
        .and_then(|()| rustix::fs::fcntl_getfl(&fd))
        .and_then(|flags| rustix::fs::fcntl_setfl(fd.as_fd(), flags | rustix::fs::OFlags::NONBLOCK))
        .map_err(|cause| Failure::new("cannot set up the listening socket").cause(cause))?;
    Ok(Arc::new(fd))
}

fn tcp(listen: &str) -> Result<Listener, Failure> {
    let failed = |cause: std::io::Error| Failure::new(format!("cannot listen on {listen}")).cause(cause);
    let addresses: Vec<SocketAddr> = listen
        .to_socket_addrs()
        .map_err(|cause| {
            failed(cause).exit(Exit::Refused).help("`mathesar config set server.listen 127.0.0.1:8000`")
        })?
        .collect();
    let port = addresses.first().map_or(0, SocketAddr::port);
    let end = Instant::now() + DYING;
    let listener = loop {
        match TcpListener::bind(addresses.as_slice()) {
            // Nobody is seen to hold it: somebody else's process, or one of ours that was killed this very moment.
            Err(cause)
                if cause.kind() == ErrorKind::AddrInUse
                    && Instant::now() < end
                    && holder::of_port(port).is_none() =>
            {
                std::thread::sleep(Duration::from_millis(50));
            }
            result => break result,
        }
    };
    let listener = listener.map_err(|cause| match cause.kind() {
        ErrorKind::AddrInUse => taken(listen, &addresses, port),
        ErrorKind::PermissionDenied => failed(cause)
            .exit(Exit::Refused)
            .help("ports below 1024 are root's: `mathesar config set server.listen 127.0.0.1:8000`"),
        ErrorKind::AddrNotAvailable => failed(cause).exit(Exit::Refused).help(format!(
            "this machine has no such address; for every address of it: `mathesar config set server.listen 0.0.0.0:{port}`"
        )),
        _ => failed(cause),
    })?;
    let place = Place::Tcp(listener.local_addr().map_err(failed)?);
    Ok(Listener { fd: nonblocking(listener.into())?, place, made: true })
}

fn taken(listen: &str, addresses: &[SocketAddr], port: u16) -> Failure {
    let by = match holder::of_port(port) {
        Some(holder) => format!("is used by {holder}"),
        None => "is used by a process of another user".to_owned(),
    };
    let other = another(listen, addresses, port);
    Failure::new(format!("cannot listen on {listen}: port {port} {by}"))
        .exit(Exit::Refused)
        .help(format!("take a free port: `mathesar config set server.listen {other}`, or end that process"))
}

/// A free one near a taken address.
pub(crate) fn free_near(listen: &str) -> Option<String> {
    let addresses: Vec<SocketAddr> = listen.to_socket_addrs().ok()?.collect();
    Some(another(listen, &addresses, addresses.first()?.port()))
}

fn another(listen: &str, addresses: &[SocketAddr], port: u16) -> String {
    let free = |port: &u16| {
        addresses.iter().all(|address| TcpListener::bind(SocketAddr::new(address.ip(), *port)).is_ok())
    };
    let other = (port.saturating_add(1)..=port.saturating_add(50)).find(free).unwrap_or(8000);
    let host = listen.rsplit_once(':').map_or("127.0.0.1", |(host, _)| host);
    format!("{host}:{other}")
}

fn unix_is_free(path: &Path) -> Result<(), Failure> {
    if let Some(folder) = path.parent().filter(|folder| !folder.is_dir()) {
        return Err(Failure::new(format!("cannot listen on {}", path.display()))
            .cause(format!("there is no folder {}", folder.display()))
            .exit(Exit::Refused)
            .help("make it, or name another path: `mathesar config set server.listen unix:/path`"));
    }
    if let Ok(found) = std::fs::symlink_metadata(path) {
        if !found.file_type().is_socket() {
            return Err(Failure::new(format!("cannot listen on {}: another file is there", path.display()))
                .exit(Exit::Refused)
                .help("`mathesar config set server.listen 127.0.0.1:8000`"));
        }
        if Near::new(path).and_then(|near| UnixStream::connect(near.path())).is_ok() {
            let by = holder::of_path(path)
                .map_or_else(|| "another process".to_owned(), |holder| holder.to_string());
            return Err(Failure::new(format!("cannot listen on {}: it is used by {by}", path.display()))
                .exit(Exit::Refused)
                .help(
                    "end that process, or name another path: `mathesar config set server.listen unix:/path`",
                ));
        }
    }
    Ok(())
}

fn unix(path: &Path) -> Result<Listener, Failure> {
    let failed = |cause| Failure::io("listen on", path, cause);
    unix_is_free(path)?;
    match std::fs::remove_file(path) {
        Err(cause) if cause.kind() != ErrorKind::NotFound => return Err(Failure::io("remove", path, cause)),
        _ => {}
    }
    let near = Near::new(path).map_err(failed)?;
    let listener = UnixListener::bind(near.path()).map_err(failed)?;
    // As reachable as a TCP port of this machine: the folder's permissions are what keeps others out.
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o666)).map_err(failed)?;
    Ok(Listener { fd: nonblocking(listener.into())?, place: Place::Unix(path.to_owned()), made: true })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_taken_port_names_its_holder_and_a_free_one() {
        let first = Listener::open("127.0.0.1:0").unwrap();
        let port = first.local_addr().unwrap().port();
        assert_eq!(first.url(), format!("http://127.0.0.1:{port}"));
        let failure = Listener::open(&format!("127.0.0.1:{port}")).unwrap_err();
        assert_eq!(failure.exit, Exit::Refused);
        let text = failure.to_string();
        assert!(
            text.starts_with(&format!("cannot listen on 127.0.0.1:{port}: port {port} is used by `")),
            "{text}"
        );
        assert!(text.ends_with(&format!("(pid {})", std::process::id())), "{text}");
        let (_, report) = crate::failure::report(&failure.into());
        assert!(report.contains("`mathesar config set server.listen 127.0.0.1:"), "{report}");
    }

    #[test]
    fn a_dead_launchers_socket_is_replaced_and_a_living_ones_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("web.sock");
        let listen = format!("unix:{}", path.display());
        drop(UnixListener::bind(&path).unwrap());
        assert!(path.exists());
        let listener = Listener::open(&listen).unwrap();
        assert_eq!(Listener::open(&listen).unwrap_err().exit, Exit::Refused);
        drop(listener);
        assert!(!path.exists());
        std::fs::write(&path, "mine").unwrap();
        assert!(Listener::open(&listen).unwrap_err().to_string().ends_with("another file is there"));
    }

    #[test]
    fn another_address_is_tried_and_given_back() {
        let (own, other) = (Listener::open("127.0.0.1:0").unwrap(), Listener::open("127.0.0.1:0").unwrap());
        let port = |listener: &Listener| listener.local_addr().unwrap().port();
        let taken = format!("127.0.0.1:{}", port(&other));
        assert_eq!(own.could_be(&taken).unwrap_err().exit, Exit::Refused);
        own.could_be(&format!("0.0.0.0:{}", port(&own))).unwrap();
        drop(other);
        own.could_be(&taken).unwrap();
        own.could_be(&taken).unwrap();
    }

    #[test]
    fn ipv6_and_activation() {
        match Listener::open("[::1]:0") {
            Ok(listener) => assert!(listener.url().starts_with("http://[::1]:")),
            Err(failure) => println!("not run: {failure}"),
        }
        let read = |pid, fds| Activation::read(pid, fds, 7);
        assert_eq!(read(Some("7"), Some("1")), Some(Activation { sockets: 1 }));
        assert_eq!(read(Some("8"), Some("1")), None);
        assert_eq!(read(None, Some("1")), None);
        assert_eq!(read(Some("7"), Some("0")), None);
        assert_eq!(Listener::activated(&Activation { sockets: 2 }).unwrap_err().exit, Exit::Refused);
    }
}
