//! Asks for a page: gunicorn over a socket that only this gunicorn answers, or whoever answers visitors.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use super::gunicorn::PROBE_PATH;
use super::near::Near;

/// How it went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Answer {
    Status(u16),
    /// Nobody there, or gone in the middle.
    Closed,
    Late,
    Cancelled,
    Strange,
}

/// GET this path and read the status. `give_up` is looked at once a second.
pub(crate) fn get(
    socket: &Path,
    path: &str,
    host: &str,
    timeout: Duration,
    give_up: impl Fn() -> bool,
) -> Answer {
    let Ok(near) = Near::new(socket) else { return Answer::Closed };
    let Ok(mut stream) = UnixStream::connect(near.path()) else { return Answer::Closed };
    let request = format!(
        "GET {path} HTTP/1.0\r\nHost: {host}\r\nUser-Agent: mathesar-launcher\r\nAccept: text/html\r\nConnection: close\r\n\r\n"
    );
    let short = Some(Duration::from_secs(1).min(timeout));
    if stream.set_read_timeout(short).and_then(|()| stream.set_write_timeout(short)).is_err()
        || stream.write_all(request.as_bytes()).is_err()
    {
        return Answer::Closed;
    }
    let end = Instant::now() + timeout;
    let mut head = Vec::new();
    let mut buffer = [0; 1024];
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => return if head.is_empty() { Answer::Closed } else { Answer::Strange },
            Ok(size) => head.extend_from_slice(&buffer[..size]),
            Err(cause)
                if matches!(
                    cause.kind(),
                    ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted
                ) => {}
            Err(_) => return Answer::Closed,
        }
        if head.contains(&b'\n') {
            return status(&head).map_or(Answer::Strange, Answer::Status);
        }
        if give_up() {
            return Answer::Cancelled;
        }
        if Instant::now() >= end {
            return Answer::Late;
        }
        if head.len() > 4096 {
            return Answer::Strange;
        }
    }
}

/// The first page's status, as a browser of this machine would ask for it at the address that `status` tells; inside, why nobody
/// answers. Outside, why it cannot be asked.
pub(crate) fn first_page(address: &str, limit: Duration) -> Result<Result<u16, String>, String> {
    if let Some(path) = address.strip_prefix("unix:") {
        let answer = get(Path::new(path), PROBE_PATH, "localhost", limit, || false);
        return Ok(match answer {
            Answer::Status(status) => Ok(status),
            other => Err(format!("{other:?}").to_lowercase()),
        });
    }
    let place = address.strip_prefix("http://").ok_or("it has no address yet")?;
    let place = place.replace("localhost:", "127.0.0.1:");
    let place: SocketAddr = place.parse().map_err(|_| format!("`{address}` is no address"))?;
    let ask = || -> std::io::Result<Vec<u8>> {
        let mut stream = TcpStream::connect_timeout(&place, limit)?;
        stream.set_read_timeout(Some(limit))?;
        stream.set_write_timeout(Some(limit))?;
        let own = if place.ip().is_loopback() { place.ip() } else { IpAddr::V4(Ipv4Addr::LOCALHOST) };
        let host = if own.is_ipv6() { format!("[{own}]") } else { own.to_string() };
        let request =
            format!("GET {PROBE_PATH} HTTP/1.0\r\nHost: {host}\r\nUser-Agent: mathesar-launcher\r\n\r\n");
        stream.write_all(request.as_bytes())?;
        let mut head = vec![0; 64];
        let mut length = 0;
        while length < 16 {
            match stream.read(&mut head[length..])? {
                0 => break,
                more => length += more,
            }
        }
        head.truncate(length);
        Ok(head)
    };
    let head = match ask() {
        Ok(head) => head,
        Err(cause) => return Ok(Err(cause.to_string())),
    };
    Ok(status(&head).ok_or_else(|| "no answer that is HTTP".to_owned()))
}

fn status(head: &[u8]) -> Option<u16> {
    let line = std::str::from_utf8(head.split(|byte| *byte == b'\n').next()?).ok()?;
    line.strip_prefix("HTTP/1.")?.split(' ').nth(1)?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_are_read() {
        assert_eq!(status(b"HTTP/1.1 302 Found\r\nX: y"), Some(302));
        assert_eq!(status(b"HTTP/1.0 200\r\n"), Some(200));
        assert_eq!(status(b"SSH-2.0-OpenSSH\r\n"), None);
        assert_eq!(status(b"\xff\n"), None);
    }
    #[test]
    fn statuses_are_read_from_the_wire() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let server = std::thread::spawn(move || {
            for answer in ["HTTP/1.1 302 Found\r\n\r\n", "SSH-2.0-OpenSSH_9\r\n"] {
                let (mut stream, _) = listener.accept().unwrap();
                let mut request = [0; 1024];
                let size = stream.read(&mut request).unwrap();
                assert!(String::from_utf8_lossy(&request[..size]).contains("Host: 127.0.0.1\r\n"));
                stream.write_all(answer.as_bytes()).unwrap();
            }
        });
        assert_eq!(first_page(&address, Duration::from_secs(15)), Ok(Ok(302)));
        assert_eq!(
            first_page(&address, Duration::from_secs(15)),
            Ok(Err("no answer that is HTTP".to_owned()))
        );
        server.join().unwrap();
        assert!(matches!(first_page(&address, Duration::from_secs(15)), Ok(Err(_))));
    }
}
