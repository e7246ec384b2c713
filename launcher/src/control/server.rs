//! The supervisor's side of control.sock.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde_json::{Value, json};

use super::order::{Order, Orders, end_line};
use super::{Asked, LONGEST_REQUEST, Lock, VERSION, parse, response_line};
use crate::failure::Failure;
use crate::installation::private_folder;
use crate::server::near::Near;
use crate::steps::{Event, Feed};
use crate::supervise::child::thread;
use crate::supervise::supervisor::Handle;
use crate::supervise::{Phase, Request};

/// Connections at once; more wait in the backlog.
const MOST_CLIENTS: usize = 32;

/// How long a client may take for its one line.
const PATIENCE: Duration = Duration::from_secs(5);

/// How often it is looked whether the socket still lies where it is looked for.
const LOOK_AGAIN: Duration = Duration::from_secs(2);

/// The socket, removed at the end.
#[derive(Debug)]
pub struct Server {
    path: PathBuf,
    ended: Arc<AtomicBool>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::SeqCst);
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Where it lies, to tell whether it still does.
type Place = (u64, u64);

fn place(path: &Path) -> Option<Place> {
    std::fs::symlink_metadata(path).ok().map(|meta| (meta.dev(), meta.ino()))
}

/// Bound beside it and renamed: nobody ever finds it with other permissions, or not listening.
fn bind(path: &Path) -> Result<(UnixListener, Option<Place>), Failure> {
    let failed = |cause| Failure::io("listen on", path, cause);
    if let Some(folder) = path.parent().filter(|folder| !folder.is_dir()) {
        private_folder(folder)?;
    }
    let fresh = path.with_extension(format!("{}", std::process::id()));
    let _ = std::fs::remove_file(&fresh);
    let near = Near::new(&fresh).map_err(failed)?;
    let listener = UnixListener::bind(near.path()).map_err(failed)?;
    std::fs::set_permissions(&fresh, std::fs::Permissions::from_mode(0o600)).map_err(failed)?;
    std::fs::rename(&fresh, path).map_err(failed)?;
    let place = place(path);
    Ok((listener, place))
}

/// True: somebody comes. False: nobody did for so long.
fn somebody_comes(listener: &UnixListener, patience: Duration) -> bool {
    let limit = Timespec::try_from(patience).ok();
    let mut fds = [PollFd::new(listener, PollFlags::IN)];
    poll(&mut fds, limit.as_ref()).is_ok_and(|ready| ready > 0)
}

/// Answers on this socket from a thread. The lock proves that a socket which lies there is a dead one's.
pub fn serve(
    path: &Path,
    _lock: &Lock,
    handle: Handle,
    feed: Feed,
    orders: Arc<dyn Orders>,
) -> Result<Server, Failure> {
    let mut bound = bind(path)?;
    let clients = Arc::new(AtomicUsize::new(0));
    let (own, ended) = (path.to_owned(), Arc::new(AtomicBool::new(false)));
    let server = Server { path: path.to_owned(), ended: Arc::clone(&ended) };
    thread("control".to_owned(), move || {
        loop {
            if !somebody_comes(&bound.0, LOOK_AGAIN) {
                // Whoever tidies up /run or /tmp would leave one that cannot be reached, nor stopped but by a signal.
                if place(&own) != bound.1
                    && !ended.load(Ordering::SeqCst)
                    && let Ok(again) = bind(&own)
                {
                    bound = again;
                }
                continue;
            }
            let Ok((stream, _)) = bound.0.accept() else {
                // Out of descriptors, most likely: waiting is all that helps.
                std::thread::sleep(Duration::from_secs(1));
                continue;
            };
            while clients.load(Ordering::SeqCst) >= MOST_CLIENTS {
                std::thread::sleep(Duration::from_secs(1));
            }
            clients.fetch_add(1, Ordering::SeqCst);
            let (handle, feed, shared) = (handle.clone(), feed.clone(), Arc::clone(&clients));
            let orders = Arc::clone(&orders);
            let begun = thread("control-client".to_owned(), move || {
                talk(stream, &handle, &feed, orders.as_ref());
                shared.fetch_sub(1, Ordering::SeqCst);
            });
            if begun.is_err() {
                clients.fetch_sub(1, Ordering::SeqCst);
            }
        }
    })?;
    Ok(server)
}

/// Whoever runs the supervisor, and root. File permissions say the same; a folder may be copied, a uid not.
fn allowed(stream: &UnixStream) -> bool {
    #[cfg(target_os = "linux")]
    {
        let own = rustix::process::geteuid();
        rustix::net::sockopt::socket_peercred(stream).is_ok_and(|peer| peer.uid == own || peer.uid.is_root())
    }
    #[cfg(not(target_os = "linux"))]
    {
        let _ = stream;
        true
    }
}

fn talk(stream: UnixStream, handle: &Handle, feed: &Feed, orders: &dyn Orders) {
    let patient =
        stream.set_read_timeout(Some(PATIENCE)).and_then(|()| stream.set_write_timeout(Some(PATIENCE)));
    if patient.is_err() {
        return;
    }
    let answer = |result| {
        let _ = (&stream).write_all(response_line(&result).as_bytes());
    };
    if !allowed(&stream) {
        return answer(Err("only the user that runs Mathesar may ask this".to_owned()));
    }
    let mut line = Vec::new();
    let mut reader = BufReader::new(&stream);
    match reader.by_ref().take(LONGEST_REQUEST).read_until(b'\n', &mut line) {
        Ok(_) if line.ends_with(b"\n") => {}
        Ok(0) | Err(_) => return,
        Ok(_) => return answer(Err("a request is one line of at most 4096 bytes".to_owned())),
    }
    let request = match parse(&line) {
        Ok(Asked::Supervisor(request)) => request,
        Ok(Asked::Follow) => return tell_all(&stream, handle, feed),
        Ok(Asked::Ordered(_)) if is_gone(&stream) => return,
        Ok(Asked::Ordered(order)) => return do_order(&stream, orders, &order),
        Err(why) => return answer(Err(why)),
    };
    if request != Request::Status && is_gone(&stream) {
        return;
    }
    let (sender, receiver) = std::sync::mpsc::channel();
    handle.ask(request, asker(request), Box::new(move |result| drop(sender.send(result))));
    // As long as the work takes; a supervisor that ends drops the sender.
    answer(receiver.recv().unwrap_or_else(|_| after_the_end(request, &handle.snapshot().message)));
    if request == Request::Stop {
        // The client sees the end of the process as the end of this connection.
        let _ = stream.set_read_timeout(None);
        let _ = (&stream).read(&mut [0; 1]);
    }
}

/// Nobody else is known to speak here.
fn asker(request: Request) -> &'static str {
    match request {
        Request::Stop => "`mathesar stop`, or by `mathesar restart` of everything",
        _ => "`mathesar restart`",
    }
}

/// Who asked has given up meanwhile, and said so: while this process was stopped, or the machine asleep. One that only writes
/// no more still listens.
fn is_gone(stream: &UnixStream) -> bool {
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    let mut asked = [PollFd::new(stream, PollFlags::empty())];
    poll(&mut asked, Some(&now)).is_ok() && asked[0].revents().contains(PollFlags::HUP)
}

/// The process still has to end what the preparation had started, which may take PostgreSQL a while.
fn after_the_end(request: Request, message: &str) -> Result<Value, String> {
    match request {
        Request::Status => {
            Ok(json!({ "state": "stopping", "message": message, "address": null, "pending": [] }))
        }
        Request::Stop => Ok(Value::Null),
        Request::Restart { .. } | Request::Reload | Request::TryOut | Request::Hold | Request::Resume => {
            Err("it is being stopped".to_owned())
        }
    }
}

/// Every event, and then how it ended. A client that is gone ends the telling, not the work.
fn do_order(mut stream: &UnixStream, orders: &dyn Orders, order: &Order) {
    let begun = match orders.begin(order) {
        Ok(begun) => begun,
        Err(failure) => return drop(stream.write_all(end_line(Err(failure)).as_bytes())),
    };
    let mut number = 0;
    while let Some((events, last)) = begun.feed.since(number, Duration::from_secs(5)) {
        number = last;
        let lines: String = events.iter().map(event_line).collect();
        if stream.write_all(lines.as_bytes()).is_err() {
            return;
        }
    }
    let otherwise = || Err(Failure::new("the launcher ended in the middle of it"));
    let _ = stream.write_all(end_line(begun.result.recv().unwrap_or_else(|_| otherwise())).as_bytes());
}

fn event_line(event: &Event) -> String {
    format!("{}\n", json!({ "v": VERSION, "event": event.to_json() }))
}

/// Every event, and then how it ended. A client that is gone ends it too.
fn tell_all(mut stream: &UnixStream, handle: &Handle, feed: &Feed) {
    let mut number = 0;
    let mut said = None;
    loop {
        let mut lines = String::new();
        match feed.since(number, Duration::from_millis(500)) {
            Some((events, last)) => {
                number = last;
                for event in events {
                    lines.push_str(&event_line(&event));
                }
            }
            // The preparation is over; what is left is a second or two, and somebody waits for it.
            None => drop(handle.next_phase(said, Duration::from_secs(1))),
        }
        let snapshot = handle.snapshot();
        if said != Some(snapshot.phase) {
            said = Some(snapshot.phase);
            let phase = snapshot.phase.name();
            lines.push_str(&format!(
                "{}\n",
                json!({ "v": VERSION, "phase": phase, "message": snapshot.message })
            ));
        }
        let end = match snapshot.phase {
            Phase::Running | Phase::Degraded => Some(Ok(json!({ "state": snapshot.phase.name() }))),
            Phase::Stopped | Phase::Failed => Some(Err(snapshot.message)),
            Phase::Preparing | Phase::Starting | Phase::Held | Phase::Stopping => None,
        };
        let done = end.is_some();
        lines.extend(end.map(|end| response_line(&end)));
        if (!lines.is_empty() && stream.write_all(lines.as_bytes()).is_err()) || done {
            return;
        }
    }
}
