//! An HTTP server that misbehaves as it is told.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What the server does with one request; the last one is repeated.
#[derive(Clone, Debug)]
pub enum Answer {
    Whole,
    /// Closes after so many bytes of the body.
    Cut(usize),
    /// Sends so many bytes, and then nothing more.
    Stall(usize),
    IgnoresRange,
    /// Answers a Range with another one than was asked for.
    WrongRange,
    Status(u16),
    Redirect(String),
    /// A Content-Length that is not the file's.
    Longer(usize),
    /// So many bytes at a time, with a pause.
    Slow(usize),
}

pub struct Server {
    pub address: String,
    pub requests: Arc<Mutex<Vec<String>>>,
}

impl Server {
    pub fn new(body: Vec<u8>, answers: Vec<Answer>) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let requests = Arc::new(Mutex::new(Vec::new()));
        let heard = Arc::clone(&requests);
        std::thread::spawn(move || {
            for (number, stream) in listener.incoming().enumerate() {
                let answer = answers.get(number).or(answers.last()).unwrap().clone();
                let (body, heard) = (body.clone(), Arc::clone(&heard));
                std::thread::spawn(move || drop(serve(stream.unwrap(), &body, &answer, &heard)));
            }
        });
        Server { address, requests }
    }

    pub fn ranges(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }
}

fn serve(
    mut stream: TcpStream,
    body: &[u8],
    answer: &Answer,
    heard: &Mutex<Vec<String>>,
) -> std::io::Result<()> {
    let mut range = String::new();
    for line in BufReader::new(stream.try_clone()?).lines() {
        let line = line?.to_lowercase();
        if let Some(value) = line.strip_prefix("range: ") {
            range = value.to_owned();
        }
        if line.is_empty() {
            break;
        }
    }
    heard.lock().unwrap().push(range.clone());
    let start =
        range.strip_prefix("bytes=").and_then(|rest| rest.trim_end_matches('-').parse::<usize>().ok());
    let end = "connection: close\r\n\r\n";
    let (status, from, claimed) = match (answer, start) {
        (Answer::Status(status), _) => {
            return write!(stream, "HTTP/1.1 {status} No\r\ncontent-length: 2\r\n{end}no");
        }
        (Answer::Redirect(to), _) => {
            return write!(stream, "HTTP/1.1 302 Found\r\nlocation: {to}\r\ncontent-length: 0\r\n{end}");
        }
        (Answer::IgnoresRange, _) | (_, None) => ("200 OK", 0, 0),
        (Answer::WrongRange, Some(_)) => ("206 Partial Content", 0, 0),
        (_, Some(start)) if start >= body.len() => {
            return write!(stream, "HTTP/1.1 416 No\r\ncontent-length: 0\r\n{end}");
        }
        (_, Some(start)) => ("206 Partial Content", start, start),
    };
    let length = body.len() - from + if let Answer::Longer(more) = answer { *more } else { 0 };
    write!(stream, "HTTP/1.1 {status}\r\ncontent-length: {length}\r\n")?;
    write!(stream, "content-range: bytes {claimed}-{}/{}\r\n{end}", body.len() - 1, body.len())?;
    match answer {
        Answer::Cut(bytes) => stream.write_all(&body[from..(from + bytes).min(body.len())]),
        Answer::Stall(bytes) => {
            stream.write_all(&body[from..(from + bytes).min(body.len())])?;
            std::thread::sleep(Duration::from_secs(20));
            Ok(())
        }
        Answer::Slow(bytes) => body[from..].chunks(*bytes).try_for_each(|chunk| {
            stream.write_all(chunk)?;
            std::thread::sleep(Duration::from_millis(20));
            Ok(())
        }),
        _ => stream.write_all(&body[from..]),
    }
}
