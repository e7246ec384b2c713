//! Answers every request with 503 and a page that says what is going on, on the socket that gunicorn gets after it.
//! One thread, one poll: slow, silent, huge and foolish clients cost a slot for some seconds.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

pub use super::page::Notice;
use super::page::{response, wants};
use crate::failure::Failure;
use crate::supervise::child::thread;

/// What is on the page; shared with whoever makes progress.
#[derive(Debug, Clone, Default)]
pub struct Board(Arc<Mutex<Notice>>);

impl Board {
    pub fn write(&self, title: &str, message: &str) {
        let notice = Notice { title: title.to_owned(), message: message.to_owned() };
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = notice;
    }

    pub fn read(&self) -> Notice {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

const MOST_CLIENTS: usize = 256;
const LONGEST_HEAD: usize = 8 * 1024;
/// For a request's head, and again for taking the answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// For an upload that goes on although it is answered: closing at once would destroy the answer on its way.
const LINGER: Duration = Duration::from_secs(2);

/// The responder, while it runs.
#[derive(Debug)]
pub struct Preparing {
    /// Closing it ends the thread.
    shutdown: Option<OwnedFd>,
    done: mpsc::Receiver<()>,
}

impl Preparing {
    pub fn start(listener: &Arc<OwnedFd>, board: &Board) -> Result<Preparing, Failure> {
        let failed =
            |cause: std::io::Error| Failure::new("cannot serve the page of the preparation").cause(cause);
        let copy = listener.try_clone().map_err(failed)?;
        let unix = rustix::net::sockopt::socket_domain(&copy)
            .is_ok_and(|domain| domain == rustix::net::AddressFamily::UNIX);
        let socket = if unix { Socket::Unix(copy.into()) } else { Socket::Tcp(copy.into()) };
        let (ended, shutdown) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)
            .map_err(|cause| failed(cause.into()))?;
        let (tell, done) = mpsc::channel();
        let board = board.clone();
        thread("preparing".to_owned(), move || {
            serve(&socket, &ended, &board);
            drop(tell);
        })?;
        Ok(Preparing { shutdown: Some(shutdown), done })
    }

    /// Accepts nobody more; who was accepted is answered. Comes back when that is done.
    pub fn stop(mut self) {
        self.shutdown = None;
        let _ = self.done.recv_timeout(PATIENCE + PATIENCE + LINGER);
    }
}

enum Socket {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Socket {
    fn accept(&self) -> std::io::Result<Stream> {
        match self {
            Socket::Tcp(listener) => listener.accept().map(|(stream, _)| Stream::Tcp(stream)),
            Socket::Unix(listener) => listener.accept().map(|(stream, _)| Stream::Unix(stream)),
        }
    }

    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Socket::Tcp(listener) => listener.as_fd(),
            Socket::Unix(listener) => listener.as_fd(),
        }
    }
}

enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Stream {
    fn set_nonblocking(&self) -> std::io::Result<()> {
        match self {
            Stream::Tcp(stream) => stream.set_nonblocking(true),
            Stream::Unix(stream) => stream.set_nonblocking(true),
        }
    }

    fn end(&self) {
        let _ = match self {
            Stream::Tcp(stream) => stream.shutdown(Shutdown::Write),
            Stream::Unix(stream) => stream.shutdown(Shutdown::Write),
        };
    }

    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Stream::Tcp(stream) => stream.as_fd(),
            Stream::Unix(stream) => stream.as_fd(),
        }
    }

    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        match self {
            Stream::Tcp(stream) => stream.read(buffer),
            Stream::Unix(stream) => stream.read(buffer),
        }
    }

    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        match self {
            Stream::Tcp(stream) => stream.write(bytes),
            Stream::Unix(stream) => stream.write(bytes),
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Doing {
    Reading,
    Writing,
    Lingering,
    Done,
}

struct Client {
    stream: Stream,
    doing: Doing,
    until: Instant,
    head: Vec<u8>,
    answer: Vec<u8>,
}

impl Client {
    fn answer(&mut self, board: &Board) {
        self.answer = response(&board.read(), wants(&self.head));
        self.head = Vec::new();
        self.doing = Doing::Writing;
        self.until = Instant::now() + PATIENCE;
    }

    /// Goes on as far as it can without waiting.
    fn go_on(&mut self, board: &Board) {
        let mut buffer = [0; 4096];
        loop {
            let moved = match self.doing {
                Doing::Reading => match self.stream.read(&mut buffer) {
                    // The end of what it says; that it still listens is likely.
                    Ok(0) => {
                        self.answer(board);
                        continue;
                    }
                    Ok(size) => {
                        self.head.extend_from_slice(&buffer[..size]);
                        if ended(&self.head) || self.head.len() >= LONGEST_HEAD {
                            self.answer(board);
                        }
                        continue;
                    }
                    Err(cause) => Err(cause),
                },
                Doing::Writing if self.answer.is_empty() => {
                    self.stream.end();
                    self.doing = Doing::Lingering;
                    self.until = Instant::now() + LINGER;
                    continue;
                }
                Doing::Writing => self.stream.write(&self.answer).map(|size| drop(self.answer.drain(..size))),
                // Read and forgotten, until it ends or its time is over.
                Doing::Lingering => match self.stream.read(&mut buffer) {
                    Ok(0) => return self.doing = Doing::Done,
                    // Back to the poll each time, so that a fast sender keeps nobody waiting.
                    Ok(_) => return,
                    Err(cause) => Err(cause),
                },
                Doing::Done => return,
            };
            match moved {
                Ok(()) => {}
                Err(cause) if cause.kind() == ErrorKind::Interrupted => {}
                Err(cause) if cause.kind() == ErrorKind::WouldBlock => return,
                Err(_) => return self.doing = Doing::Done,
            }
        }
    }

    fn late(&mut self, board: &Board, now: Instant) {
        if now < self.until {
            return;
        }
        match self.doing {
            // It has said something, if not all: it gets its answer.
            Doing::Reading if !self.head.is_empty() => {
                self.answer(board);
                self.go_on(board);
            }
            _ => self.doing = Doing::Done,
        }
    }
}

fn ended(head: &[u8]) -> bool {
    head.windows(4).any(|four| four == b"\r\n\r\n") || head.windows(2).any(|two| two == b"\n\n")
}

fn serve(socket: &Socket, ended: &OwnedFd, board: &Board) {
    let mut clients: Vec<Client> = Vec::new();
    let mut accepting = true;
    while accepting || !clients.is_empty() {
        let now = Instant::now();
        let nearest = clients.iter().map(|client| client.until.saturating_duration_since(now)).min();
        let (mut at_end, mut at_door) = (false, false);
        let mut moved = vec![false; clients.len()];
        {
            let mut fds: Vec<PollFd<'_>> = clients
                .iter()
                .map(|client| {
                    let flags = if client.doing == Doing::Writing { PollFlags::OUT } else { PollFlags::IN };
                    PollFd::from_borrowed_fd(client.stream.as_fd(), flags)
                })
                .collect();
            if accepting {
                fds.push(PollFd::new(ended, PollFlags::IN));
                if clients.len() < MOST_CLIENTS {
                    fds.push(PollFd::from_borrowed_fd(socket.as_fd(), PollFlags::IN));
                }
            }
            let timeout = nearest.map(|time| Timespec {
                tv_sec: time.as_secs() as i64,
                // Rounded up: waking a little early would spin.
                tv_nsec: i64::from(time.subsec_nanos().min(998_999_999)) + 1_000_000,
            });
            match poll(&mut fds, timeout.as_ref()) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(_) => return,
            }
            for (at, fd) in fds.iter().enumerate() {
                let happened = !fd.revents().is_empty();
                match at.checked_sub(clients.len()) {
                    None => moved[at] = happened,
                    Some(0) => at_end = happened,
                    Some(_) => at_door = happened,
                }
            }
        }
        let now = Instant::now();
        for (client, moved) in clients.iter_mut().zip(moved) {
            if moved {
                client.go_on(board);
            }
            client.late(board, now);
        }
        clients.retain(|client| client.doing != Doing::Done);
        if at_end {
            // What waits in the backlog is gunicorn's.
            accepting = false;
            // Whoever has not said a word by now has little time left to.
            for client in &mut clients {
                client.until = client.until.min(now + LINGER);
            }
        } else if at_door && accepting {
            accept(socket, &mut clients, board);
        }
    }
}

fn accept(socket: &Socket, clients: &mut Vec<Client>, board: &Board) {
    while clients.len() < MOST_CLIENTS {
        match socket.accept() {
            Ok(stream) => {
                if stream.set_nonblocking().is_ok() {
                    let until = Instant::now() + PATIENCE;
                    let mut client =
                        Client { stream, doing: Doing::Reading, until, head: Vec::new(), answer: Vec::new() };
                    client.go_on(board);
                    clients.push(client);
                }
            }
            Err(cause) if matches!(cause.kind(), ErrorKind::Interrupted | ErrorKind::ConnectionAborted) => {}
            Err(cause) if cause.kind() == ErrorKind::WouldBlock => return,
            // Out of descriptors: the waiting ones stay in the backlog until some are free.
            Err(_) => return std::thread::sleep(Duration::from_millis(200)),
        }
    }
}
