//! The first page.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::Child;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

/// A wait for the first answer is given up after this.
const LIMIT: Duration = Duration::from_secs(120);

/// A port that nobody uses now.
pub(super) fn free_port() -> Result<u16> {
    let listener = TcpListener::bind("127.0.0.1:0").context("cannot find a free port")?;
    Ok(listener.local_addr().context("cannot find a free port")?.port())
}

/// The status of the page, where one answers.
pub(super) fn status(port: u16) -> Option<u16> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.set_read_timeout(Some(LIMIT)).ok()?;
    let request = "GET /auth/login/ HTTP/1.0\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    stream.write_all(request.as_bytes()).ok()?;
    let mut head = [0; 16];
    stream.read_exact(&mut head).ok()?;
    std::str::from_utf8(&head).ok()?.split(' ').nth(1)?.parse().ok()
}

pub(super) fn is_first_page(status: Option<u16>) -> bool {
    matches!(status, Some(200 | 302))
}

/// Waits until a server that was just started shows it.
pub(super) fn wait(port: u16, server: &mut Child) -> Result<()> {
    let end = Instant::now() + LIMIT;
    loop {
        let status = status(port);
        if is_first_page(status) {
            return Ok(());
        }
        if let Some(ended) = server.try_wait().context("cannot wait for gunicorn")? {
            bail!("gunicorn ended with {ended}");
        }
        if Instant::now() >= end {
            bail!("gunicorn does not show the first page, but {status:?}");
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}
