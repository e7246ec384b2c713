//! Whoever fills in the first page becomes administrator: nobody but the owner may.

use crate::harness::Home;
use crate::visitors::{Address, Relay, ask, form, get, leave, stranger};

const PAGE: &str = "/complete_installation/";

/// How many administrators there are.
#[track_caller]
fn admins(home: &Home) -> String {
    home.sql("mathesar_django", "SELECT count(*) FROM mathesar_user WHERE is_superuser")
}

#[track_caller]
fn is_refused((status, said): (u16, String)) {
    assert_eq!(status, 403, "{said}");
    assert!(said.contains("mathesar admin create") && !said.contains("csrf"), "{said}");
}

#[test]
fn another_os_user_never_sees_the_first_page() {
    let Some(home) = Home::prepared() else { return };
    let Some(other) = stranger() else { return };
    home.ok(&["start"]);
    let here = Address::ipv4(home.port);
    for owner in [home.user, None] {
        let (status, page) = get(owner, &here, PAGE);
        assert!(status == 200 && page.contains("csrfmiddlewaretoken"), "{owner:?}: {page}");
    }
    assert_eq!(get(Some(other), &here, "/auth/login/").0, 302);
    is_refused(get(Some(other), &here, PAGE));
    is_refused(ask(Some(other), &here, &form("mallory", "correct-horse")));
    let spellings = [
        "//complete_installation/",
        "/%63omplete_installation/",
        "/complete%5Finstallation/",
        "/complete%5finstallation%2F",
        "/complete_installation",
        "/complete_installation//",
        "/complete_installation/%2e%2e/",
        "/complete_installation/;x=1",
        "/complete_installation/?next=/static/",
        "/COMPLETE_INSTALLATION/",
        "/static/../complete_installation/",
        "/complete_installation/%ff",
        "/complete_installation/%00",
        "http://localhost/complete_installation/",
        "http://other@localhost/complete_installation/#x",
    ];
    for path in spellings {
        is_refused(get(Some(other), &here, path));
    }
    // Encoded twice it is another page's name for the application, too.
    for path in ["/%2563omplete_installation/", "/complete_instal%6cation%2", "/complete_installatio%C3%B1/"]
    {
        let (status, said) = get(Some(other), &here, path);
        assert!(status != 200 && !said.contains("csrfmiddlewaretoken"), "{path}: {said}");
    }
    for method in ["POST", "PUT", "OPTIONS", "DELETE", "PROPFIND", "TRACE"] {
        let request = format!("{method} {PAGE} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        is_refused(ask(Some(other), &here, &request));
    }
    let head = format!("HEAD {PAGE} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    assert_eq!(ask(Some(other), &here, &head).0, 403);
    for forged in ["SCRIPT_NAME: /x", "Script-Name: /x", "PATH_INFO: /", "X-Remote-User: root"] {
        let request =
            format!("GET /x{PAGE} HTTP/1.1\r\nHost: localhost\r\n{forged}\r\nConnection: close\r\n\r\n");
        let (status, said) = ask(Some(other), &here, &request);
        assert!(status != 200 && !said.contains("csrfmiddlewaretoken"), "{forged}: {said}");
    }
    assert_eq!(admins(&home), "0");
    assert!(home.log().contains("the first page was refused"), "{}", home.log());

    assert_eq!(ask(home.user, &here, &form("ada", "correct-horse")).0, 302);
    assert_eq!(admins(&home), "1");
    // From now on it is Mathesar's business again.
    for visitor in [Some(other), home.user] {
        let (status, said) = get(visitor, &here, PAGE);
        assert!(status == 302 && said.contains("Location: "), "{said}");
    }
    let relay = Relay::new(Some(other), home.port, &["X-Forwarded-For: 203.0.113.7"]);
    assert_eq!(get(Some(other), &relay.address(), PAGE).0, 302);
    assert_eq!(ask(Some(other), &here, &form("mallory", "correct-horse")).0, 302);
    assert_eq!(admins(&home), "1");
}

/// A socket that its process has closed belongs to nobody, which reads as root's number in the kernel's table.
#[test]
fn who_hangs_up_at_once_is_nobody() {
    let Some(home) = Home::prepared() else { return };
    let Some(other) = stranger() else { return };
    home.ok(&["start"]);
    leave(Some(other), 100, &Address::ipv4(home.port), &form("mallory", "correct-horse"));
    // Those who wait are answered in their order.
    let (status, _) = get(home.user, &Address::ipv4(home.port), PAGE);
    assert_eq!(status, 200);
    home.until("all were refused", || home.log().matches("the first page was refused").count() >= 100);
    assert_eq!(admins(&home), "0");
}

#[test]
fn a_proxy_on_loopback_brings_nobody_to_the_first_page() {
    let Some(home) = Home::prepared() else { return };
    let here = Address::ipv4(home.port);
    let signs = [
        "X-Forwarded-For: 203.0.113.7",
        "Forwarded: for=203.0.113.7",
        "Via: 1.1 proxy",
        "x-real-ip: ::1",
        "X_Forwarded_For: 203.0.113.7",
        "X-ProxyUser-Ip: 203.0.113.7",
    ];
    for conf in ["", "[server]\ntrusted-proxies = [\"127.0.0.1\"]\n"] {
        home.conf(conf);
        home.ok(&["start"]);
        for sign in signs {
            let relay = Relay::new(home.user, home.port, &[sign]);
            is_refused(get(home.user, &relay.address(), PAGE));
            is_refused(ask(home.user, &relay.address(), &form("mallory", "correct-horse")));
        }
        // One of the owner's that hides is the owner.
        let relay = Relay::new(home.user, home.port, &[]);
        assert_eq!(get(home.user, &relay.address(), PAGE).0, 200);
        // Another user's that hides is the other user, whoever comes to it.
        if let Some(other) = stranger() {
            let relay = Relay::new(Some(other), home.port, &[]);
            is_refused(get(home.user, &relay.address(), PAGE));
        }
        assert_eq!(get(home.user, &here, PAGE).0, 200);
        home.ok(&["stop"]);
    }
}

#[test]
fn the_other_kinds_of_sockets() {
    let Some(home) = Home::prepared() else { return };
    let Some(other) = stranger() else { return };
    home.ok(&["start"]);
    // IPv4, spoken by a socket of IPv6.
    let mapped = Address::tcp("AF_INET6", "::ffff:127.0.0.1", home.port);
    assert_eq!(get(home.user, &mapped, PAGE).0, 200);
    is_refused(get(Some(other), &mapped, PAGE));
    home.ok(&["stop"]);

    let socket = home.folder().join("home/web.sock");
    home.conf(&format!("[server]\nlisten = \"unix:{}\"\n", socket.display()));
    home.ok(&["start"]);
    let unix = Address::unix(&socket);
    assert_eq!(get(home.user, &unix, PAGE).0, 200);
    is_refused(get(Some(other), &unix, PAGE));
    is_refused(ask(Some(other), &unix, &form("mallory", "correct-horse")));
    let through = format!(
        "GET {PAGE} HTTP/1.1\r\nHost: localhost\r\nX-Forwarded-For: 203.0.113.7\r\nConnection: close\r\n\r\n"
    );
    is_refused(ask(home.user, &unix, &through));
    home.ok(&["stop"]);

    if std::net::TcpListener::bind("[::1]:0").is_err() {
        return println!("not run: this machine has no IPv6");
    }
    home.conf(&format!("[server]\nlisten = \"[::1]:{}\"\n", home.port));
    home.ok(&["start"]);
    let ipv6 = Address::tcp("AF_INET6", "::1", home.port);
    assert_eq!(get(home.user, &ipv6, PAGE).0, 200);
    is_refused(get(Some(other), &ipv6, PAGE));
    assert_eq!(ask(home.user, &ipv6, &form("ada", "correct-horse")).0, 302);
    assert_eq!(admins(&home), "1");
}

/// Before anything is fetched, and where everything is there already.
#[test]
fn others_are_let_in_only_after_there_is_an_administrator() {
    let confs = |port: u16| {
        [
            format!("[server]\nlisten = \"0.0.0.0:{port}\"\n"),
            "[server]\nhosts = [\"db.example.org\"]\n".to_owned(),
        ]
    };
    for (which, home) in [Home::installed(), Home::prepared()].into_iter().enumerate() {
        let Some(home) = home else { return };
        home.conf(&confs(home.port)[which]);
        for command in [&["start"][..], &["run"], &["setup"]] {
            let refused = home.mathesar(command);
            assert_eq!(refused.status, 4, "{refused:?}");
            assert!(
                refused.stderr.contains("there is no administrator yet")
                    && refused.stderr.contains("help: make the administrator first: `mathesar admin create`"),
                "{}",
                refused.stderr
            );
            home.nobody_left();
        }
        let password = home.folder().join("password");
        std::fs::write(&password, "correct-horse\n").unwrap();
        home.ok(&[
            "admin",
            "create",
            "--username",
            "ada",
            "--password-file",
            &password.display().to_string(),
        ]);
        home.nobody_left();
        home.ok(&["start"]);
        assert_eq!(home.get("/auth/login/").0, 200);
    }
}

#[test]
fn a_running_one_is_not_opened_to_others_either() {
    let Some(home) = Home::prepared() else { return };
    home.ok(&["start"]);
    let listen = format!("[server]\nlisten = \"0.0.0.0:{}\"\n", home.port + 1);
    for conf in [listen.as_str(), "[server]\nhosts = [\"db.example.org\"]\n"] {
        home.conf(conf);
        let refused = home.mathesar(&["restart"]);
        assert_eq!(refused.status, 4);
        assert!(refused.stderr.contains("first: `mathesar admin create`"), "{}", refused.stderr);
        // It goes on as it was.
        assert_eq!(home.get(PAGE).0, 200);
    }
    let foreign = "GET / HTTP/1.1\r\nHost: db.example.org\r\nConnection: close\r\n\r\n";
    assert_eq!(ask(home.user, &Address::ipv4(home.port), foreign).0, 400);
    home.create_admin();
    home.ok(&["restart"]);
    assert_ne!(ask(home.user, &Address::ipv4(home.port), foreign).0, 400);
}
