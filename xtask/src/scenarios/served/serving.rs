//! A folder, served on this computer's loopback as any web server does it: what `--from` is tried on.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, Result};

/// Until the program ends or the value is gone.
pub(super) struct Serving {
    pub url: String,
    listener: Arc<TcpListener>,
}

/// A port that is ours, before anything is served at it.
pub(super) fn listen() -> Result<(TcpListener, String)> {
    let listener = TcpListener::bind("127.0.0.1:0").context("cannot listen on loopback")?;
    let at = listener.local_addr().context("cannot listen on loopback")?;
    Ok((listener, format!("http://{at}")))
}

impl Serving {
    pub(super) fn start(listener: TcpListener, url: &str, folder: &Path) -> Serving {
        let listener = Arc::new(listener);
        let (taking, folder) = (Arc::clone(&listener), folder.to_owned());
        std::thread::spawn(move || {
            // An error: it was shut down.
            while let Ok((stream, _)) = taking.accept() {
                let folder = folder.clone();
                std::thread::spawn(move || drop(answer(&stream, &folder)));
            }
        });
        Serving { url: url.to_owned(), listener }
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = rustix::net::shutdown(&*self.listener, rustix::net::Shutdown::Both);
    }
}

/// One request after another, as apt asks for several at once.
fn answer(mut stream: &TcpStream, folder: &Path) -> io::Result<()> {
    let mut reader = BufReader::new(stream);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Ok(());
        }
        let mut header = String::new();
        while reader.read_line(&mut header)? > 0 && !header.trim().is_empty() {
            header.clear();
        }
        let mut words = line.split(' ');
        let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let file = within(folder, path).and_then(|path| File::open(path).ok());
        let Some(mut file) = file.filter(|file| file.metadata().is_ok_and(|facts| facts.is_file())) else {
            stream.write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")?;
            continue;
        };
        write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", file.metadata()?.len())?;
        if method == "GET" {
            io::copy(&mut file, &mut stream)?;
        }
    }
}

/// The file that a path means; none: it leads out of the folder.
fn within(folder: &Path, path: &str) -> Option<PathBuf> {
    let path = path.split(['?', '#']).next()?.trim_start_matches('/');
    let path = path.replace("%2b", "+").replace("%2B", "+").replace("%7e", "~").replace("%7E", "~");
    let path = Path::new(&path);
    path.components().all(|part| matches!(part, Component::Normal(_))).then(|| folder.join(path))
}
