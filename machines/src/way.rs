//! From an address in a machine to one outside of it: all that a machine without a network reaches.

use std::io;
use std::net::{Shutdown, TcpListener, TcpStream, ToSocketAddrs as _};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

/// For the other end to take a connection.
const LIMIT: Duration = Duration::from_secs(10);

/// As long as it lives, whoever connects to the address in the machine speaks with the other end.
#[derive(Debug)]
pub struct Way {
    listener: Arc<TcpListener>,
}

impl Way {
    /// `to`: a host and a port, as this computer knows them.
    pub(crate) fn open(listener: TcpListener, to: (String, u16)) -> Way {
        let listener = Arc::new(listener);
        let taking = Arc::clone(&listener);
        thread::spawn(move || {
            loop {
                match taking.accept() {
                    Ok((inside, _)) => {
                        let to = to.clone();
                        // Who cannot be reached is not reached: the other end hears of it by the end of its connection.
                        thread::spawn(move || drop(join(&inside, &to)));
                    }
                    // It was shut down.
                    Err(error) if error.kind() == io::ErrorKind::InvalidInput => break,
                    Err(_) => thread::sleep(Duration::from_millis(20)),
                }
            }
        });
        Way { listener }
    }
}

impl Drop for Way {
    fn drop(&mut self) {
        // The thread that waits for connections holds it as well.
        let _ = rustix::net::shutdown(&*self.listener, rustix::net::Shutdown::Both);
    }
}

fn join(inside: &TcpStream, to: &(String, u16)) -> io::Result<()> {
    let outside = connect(to)?;
    thread::scope(|scope| {
        scope.spawn(|| pour(inside, &outside));
        pour(&outside, inside);
    });
    Ok(())
}

fn connect(to: &(String, u16)) -> io::Result<TcpStream> {
    let mut last = io::Error::from(io::ErrorKind::NotFound);
    for address in to.to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, LIMIT) {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// One direction, to its end.
fn pour(mut from: &TcpStream, mut to: &TcpStream) {
    if io::copy(&mut from, &mut to).is_err() {
        // Nobody reads any more: nobody need send.
        let _ = from.shutdown(Shutdown::Read);
    }
    let _ = to.shutdown(Shutdown::Write);
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};

    use super::*;

    #[test]
    fn what_one_end_says_the_other_hears_and_ends_with_it() {
        let other = TcpListener::bind("127.0.0.1:0").unwrap();
        let to = ("localhost".to_owned(), other.local_addr().unwrap().port());
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let at = listener.local_addr().unwrap();
        let way = Way::open(listener, to);
        let answering = thread::spawn(move || {
            let (mut stream, _) = other.accept().unwrap();
            let mut asked = String::new();
            stream.read_to_string(&mut asked).unwrap();
            stream.write_all(asked.to_uppercase().as_bytes()).unwrap();
        });
        let mut stream = TcpStream::connect(at).unwrap();
        stream.write_all(b"hello").unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let mut heard = String::new();
        stream.read_to_string(&mut heard).unwrap();
        answering.join().unwrap();
        assert_eq!(heard, "HELLO");
        // With nobody at the other end it ends as well.
        let mut stream = TcpStream::connect(at).unwrap();
        assert_eq!(stream.read_to_string(&mut heard).unwrap_or_default(), 0);
        drop(way);
        let refused = (0..100).any(|_| {
            thread::sleep(Duration::from_millis(20));
            TcpStream::connect(at).is_err()
        });
        assert!(refused, "it takes connections for ever");
    }
}
