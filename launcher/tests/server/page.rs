use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use mathesar::server::{Board, Listener, Preparing};

use crate::harness::{Instance, get, python, raw};

#[test]
fn the_page_is_followed_by_the_application_without_a_gap() {
    let Some(_) = python() else { return };
    let mut instance = Instance::new();
    instance.variables = vec![("MT_PREPARE", "1500".to_owned())];
    instance.process = Some(instance.spawn());
    instance.until("the port", || TcpStream::connect(&instance.listen).is_ok());
    let (mut pages, mut answers) = (0, 0);
    while answers < 50 {
        let (status, body) = instance.get("/").expect("nobody is refused");
        match status {
            503 => {
                assert!(body.contains("Mathesar is"), "{body}");
                assert!(!body.contains("<b>"), "{body}");
                pages += 1;
            }
            200 => answers += 1,
            other => panic!("{other}"),
        }
    }
    println!("{pages} pages, then the application");
    assert!(pages > 0);
    let json = "Accept: application/json\r\n";
    assert_eq!(get(&instance.listen, "/", json).unwrap().0, 200);
}

#[test]
fn slow_silent_huge_and_foolish_clients_harm_nobody() {
    let Some(_) = python() else { return };
    let mut instance = Instance::new();
    instance.variables = vec![("MT_PREPARE", "600000".to_owned())];
    instance.process = Some(instance.spawn());
    instance.until("the port", || TcpStream::connect(&instance.listen).is_ok());
    let at = instance.listen.as_str();
    let silent: Vec<TcpStream> = (0..100).map(|_| TcpStream::connect(at).unwrap()).collect();
    let mut slow = TcpStream::connect(at).unwrap();
    slow.write_all(b"GET / HTTP/1.1\r\nHo").unwrap();
    assert_eq!(raw(at, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n").unwrap().0, 400);
    assert_eq!(raw(at, b"\r\n\r\n").unwrap().0, 400);
    // Longer than a head may be, and an upload whose answer must not be lost.
    let mut long = b"GET / HTTP/1.1\r\nX: ".to_vec();
    long.extend(std::iter::repeat_n(b'x', 100_000));
    let status = raw(at, &long).map(|(status, _)| status);
    assert_eq!(status, Some(503));
    let mut upload =
        b"POST /api HTTP/1.1\r\nContent-Length: 1000000\r\nAccept: application/json\r\n\r\n".to_vec();
    upload.extend(std::iter::repeat_n(b'x', 1_000_000));
    let (status, body) = raw(at, &upload).unwrap();
    assert_eq!(status, 503);
    let body: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert_eq!(body["message"], "Fetching <b>");
    // Seeded nonsense of many lengths.
    let mut seed = 42u32;
    for length in 1..200 {
        let noise: Vec<u8> = (0..length)
            .map(|_| {
                seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (seed >> 24) as u8
            })
            .collect();
        let mut stream = TcpStream::connect(at).unwrap();
        let _ = stream.write_all(&noise);
    }
    assert_eq!(instance.get("/").unwrap().0, 503);
    let mut text = String::new();
    slow.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    slow.read_to_string(&mut text).unwrap();
    assert!(text.starts_with("HTTP/1.1 503"), "{text}");
    drop(silent);
    instance.signal(rustix::process::Signal::TERM);
    assert_eq!(instance.wait(), Some(0));
}

#[test]
fn who_was_accepted_is_answered_and_who_comes_later_is_left_to_the_next() {
    let listener = Listener::open("127.0.0.1:0").unwrap();
    let at = listener.local_addr().unwrap().to_string();
    let board = Board::default();
    board.write("Mathesar is being prepared", "step 2 of 5");
    let page = Preparing::start(&listener.fd(), &board).unwrap();
    let mut half = TcpStream::connect(&at).unwrap();
    half.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n").unwrap();
    // An answer to a later one proves that the first is accepted.
    assert_eq!(get(&at, "/", "").unwrap().0, 503);
    let stopping = std::thread::spawn(move || page.stop());
    std::thread::sleep(Duration::from_millis(300));
    half.write_all(b"\r\n").unwrap();
    let mut text = String::new();
    half.read_to_string(&mut text).unwrap();
    assert!(text.starts_with("HTTP/1.1 503") && text.contains("step 2 of 5"), "{text}");
    drop(half);
    stopping.join().unwrap();
    let mut late = TcpStream::connect(&at).unwrap();
    late.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    late.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
    let cause = late.read(&mut [0; 1]).unwrap_err();
    assert!(matches!(cause.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut), "{cause}");
}
