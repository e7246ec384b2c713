//! Against answers as they are written down, and against servers that answer badly.

use super::*;

fn answer(status: u16, headers: &[(&str, &str)], body: &str) -> Answer {
    let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Answer { what: "GET https://api.example.org/x".into(), status, headers, body: body.into() }
}

#[test]
fn what_to_make_of_an_answer() {
    let now = Timestamp::from_second(1_800_000_000).unwrap();
    let says = |status, headers: &[(&str, &str)]| answer(status, headers, "").meaning(now);
    assert_eq!(says(201, &[]), Meaning::Well);
    assert_eq!(says(404, &[]), Meaning::Absent);
    assert_eq!(says(502, &[]), Meaning::Again);
    assert_eq!(says(401, &[]), Meaning::Refused("status 401".into()));
    assert_eq!(says(403, &[]), Meaning::Refused("status 403".into()));
    assert_eq!(says(403, &[("retry-after", "7")]), Meaning::Limited(Duration::from_secs(7)));
    assert_eq!(says(429, &[]), Meaning::Limited(Duration::from_secs(60)));
    // By the server's clock, an hour behind ours.
    let limit = [
        ("x-ratelimit-remaining", "0"),
        ("x-ratelimit-reset", "1799996430"),
        ("date", "Fri, 15 Jan 2027 07:00:00 GMT"),
    ];
    assert_eq!(says(403, &limit), Meaning::Limited(Duration::from_secs(31)));
    assert_eq!(says(403, &limit[..2]), Meaning::Limited(Duration::from_secs(1)));
    let exists = r#"{"message": "Validation Failed", "errors": [{"code": "already_exists"}]}"#;
    let exists = answer(422, &[], exists);
    assert!(exists.exists_already());
    assert_eq!(exists.meaning(now), Meaning::Refused("422 (Validation Failed already_exists)".into()));
}

#[test]
fn who_does_not_speak_tls_is_told_of() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("https://{}", listener.local_addr().unwrap());
    let answering = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        std::io::Write::write_all(&mut stream, b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").unwrap();
    });
    let http = Http::new(None, Patience { tries: 1, ..Patience::default() });
    let said = http.get(&url).unwrap_err().to_string();
    assert!(said.starts_with(&url), "{said}");
    answering.join().unwrap();
}

#[test]
fn a_token_goes_nowhere_in_the_clear_and_is_never_printed() {
    assert!(safe("https://api.github.com").is_ok() && safe("http://127.0.0.1:9/x").is_ok());
    for bad in [
        "http://api.github.com",
        "http://127.0.0.1.example.org:1/",
        "ftp://x",
        "http://localhost.x:1",
        "http://127.0.0.1:1@other.example.org:9403/",
        "https://127.0.0.1@other.example.org",
        "https:///x",
        "127.0.0.1:1",
        "http://localhost@other.example.org",
        "",
    ] {
        assert!(safe(bad).is_err(), "{bad}");
    }
    assert_eq!(format!("{:?}", Token::of("ghp_secret")), "***");
}

#[test]
fn a_password_in_an_address_is_neither_taken_nor_printed() {
    for good in [
        "ssh://git@github.com/a/b.git",
        "git@github.com:a/b.git",
        "/srv/a:b@c.git",
        "https://github.com/a/b@1.git",
    ] {
        assert!(refuse_password(good).is_ok(), "{good}");
    }
    for bad in
        ["https://a:secret@github.com/x", "ssh://git:secret@github.com/x", "https://secret@github.com/x"]
    {
        let said = refuse_password(bad).unwrap_err().to_string();
        assert!(!said.contains("secret") && said.contains("://github.com/x"), "{said}");
        let said = safe(bad).unwrap_err().to_string();
        assert!(!said.contains("secret"), "{said}");
    }
}

#[test]
fn who_has_refused_is_named() {
    let said = refused_to_anybody("https://packages.example.org/apt/x", 403, "status 403").to_string();
    assert!(said.contains("packages.example.org refuses it") && !said.contains("GITHUB_TOKEN"), "{said}");
    let http = Http::new(None, Patience::default());
    let said =
        http.wait("https://packages.example.org/x", Duration::from_secs(3600)).unwrap_err().to_string();
    assert!(said.contains("packages.example.org takes no more for 3600 s"), "{said}");
    let said = answer(200, &[], "<!doctype html>").json().unwrap_err().to_string();
    assert!(said.starts_with("GET https://api.example.org/x: what came back is no JSON\nhelp: "), "{said}");
}
