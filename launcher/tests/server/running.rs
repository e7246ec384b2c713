use std::os::unix::net::UnixDatagram;
use std::os::unix::process::CommandExt as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use mathesar::control::ask;
use mathesar::supervise::Request;
use rustix::process::{Pid, Signal, kill_process};

use crate::harness::{Instance, get, python};

fn kill(pid: &str) {
    kill_process(Pid::from_raw(pid.parse().unwrap()).unwrap(), Signal::KILL).unwrap();
}

/// Dead children of this process that it did not wait for.
fn zombies(of: u32) -> usize {
    let stat = |entry: std::fs::DirEntry| std::fs::read_to_string(entry.path().join("stat")).ok();
    let is_one = |stat: &String| {
        let mut fields = stat.rsplit_once(')').unwrap().1.split_whitespace();
        fields.next() == Some("Z") && fields.next() == Some(of.to_string().as_str())
    };
    std::fs::read_dir("/proc").unwrap().flatten().filter_map(stat).filter(is_one).count()
}

/// Asks again and again until told to end; gives how often, and what was not a 200.
fn visitor(address: &str, end: &Arc<AtomicBool>) -> std::thread::JoinHandle<(usize, Vec<String>)> {
    let (address, end) = (address.to_owned(), Arc::clone(end));
    std::thread::spawn(move || {
        let (mut count, mut bad) = (0, Vec::new());
        while !end.load(Ordering::SeqCst) {
            count += 1;
            match get(&address, "/", "") {
                Some((200, _)) => {}
                other => bad.push(format!("{other:?}")),
            }
        }
        (count, bad)
    })
}

#[test]
fn a_restart_refuses_nobody() {
    let Some(_) = python() else { return };
    let mut instance = Instance::new();
    instance.start();
    let master = instance.get("/master").unwrap().1;
    let end = Arc::new(AtomicBool::new(false));
    let visitors: Vec<_> = (0..3).map(|_| visitor(&instance.listen, &end)).collect();
    for _ in 0..3 {
        ask(&instance.control(), Request::Restart { everything: false }, Duration::from_secs(60)).unwrap();
    }
    ask(&instance.control(), Request::Reload, Duration::from_secs(60)).unwrap();
    end.store(true, Ordering::SeqCst);
    let mut all = 0;
    for visitor in visitors {
        let (count, bad) = visitor.join().unwrap();
        assert!(bad.is_empty(), "{bad:?}\n{}", instance.log());
        all += count;
    }
    println!("{all} requests during four restarts, none refused");
    assert_ne!(instance.get("/master").unwrap().1, master);
    // The old ones are gone: a master, two workers, the database and what its shell runs.
    instance.until("one gunicorn", || instance.left().len() <= 5);
}

#[test]
fn a_release_that_does_not_start_leaves_the_old_one_serving() {
    let Some(_) = python() else { return };
    let mut instance = Instance::new();
    instance.start();
    let master = instance.get("/master").unwrap().1;
    std::fs::write(instance.folder.path().join("app/broken"), "").unwrap();
    let failure = ask(&instance.control(), Request::Restart { everything: false }, Duration::from_secs(60))
        .unwrap_err();
    assert!(failure.to_string().starts_with("gunicorn ended while it started"), "{failure}");
    assert_eq!(instance.get("/master").unwrap().1, master);
    assert!(instance.log().contains("this release is broken"), "its words are in the log");
    instance.wait_for("running");
}

#[test]
fn what_is_killed_comes_back() {
    let Some(_) = python() else { return };
    let mut instance = Instance::new();
    instance.start();
    let worker = instance.get("/pid").unwrap().1;
    kill(&worker);
    instance.until("another worker", || instance.get("/pid").is_some_and(|(_, pid)| pid != worker));
    let master = instance.get("/master").unwrap().1;
    kill(&master);
    instance.until("another master", || {
        instance.status().is_some_and(|status| status["state"] == "running")
            && instance
                .get("/master")
                .is_some_and(|(status, pid)| status == 200 && pid != master && pid != "1")
    });
    let launcher = instance.process.as_ref().unwrap().id();
    instance.until("no zombie", || zombies(launcher) == 0);
}

#[test]
fn a_sick_one_is_restarted_and_the_database_is_not() {
    let Some(_) = python() else { return };
    let mut instance = Instance::new();
    instance.start();
    let sick = instance.folder.path().join("app/sick");
    let master = instance.get("/master").unwrap().1;
    std::fs::write(&sick, "").unwrap();
    instance.wait_for("degraded");
    instance.until("its end", || !std::path::Path::new(&format!("/proc/{master}")).exists());
    std::fs::remove_file(&sick).unwrap();
    instance.wait_for("running");
    assert_ne!(instance.get("/master").unwrap().1, master);
    assert_eq!(instance.log().matches("database begins").count(), 1);
}

#[test]
fn term_ends_the_web_server_before_the_database() {
    let Some(_) = python() else { return };
    let mut instance = Instance::new();
    let folder = tempfile::tempdir().unwrap();
    let manager = UnixDatagram::bind(folder.path().join("notify")).unwrap();
    manager.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    instance.variables = vec![
        ("NOTIFY_SOCKET", folder.path().join("notify").to_string_lossy().into_owned()),
        ("WATCHDOG_USEC", "5000000".to_owned()),
        ("LISTEN_FDS", "1".to_owned()),
        ("GUNICORN_CMD_ARGS", "--workers=77".to_owned()),
    ];
    instance.start();
    let variables = instance.get("/env").unwrap().1;
    for name in ["NOTIFY_SOCKET", "WATCHDOG_USEC", "LISTEN_FDS", "GUNICORN_CMD_ARGS", "CARGO", "MT_FOLDER"] {
        assert!(!variables.lines().any(|line| line == name), "{name} reached gunicorn");
    }
    // A request that is being answered is answered to its end.
    let address = instance.listen.clone();
    let slow = std::thread::spawn(move || get(&address, "/slow", ""));
    std::thread::sleep(Duration::from_millis(500));
    instance.signal(Signal::TERM);
    assert_eq!(slow.join().unwrap().unwrap().0, 200);
    assert_eq!(instance.wait(), Some(0));
    assert!(instance.left().is_empty());
    let log = instance.log();
    let web = log.rfind("Shutting down: Master").expect("gunicorn says so");
    let database = log.rfind("database ends").expect("the database says so");
    assert!(web < database, "{log}");
    assert!(!instance.control().exists());
    let mut said = String::new();
    let mut buffer = [0; 4096];
    while let Ok(size) = manager.recv(&mut buffer) {
        said.push_str(&String::from_utf8_lossy(&buffer[..size]));
    }
    for word in ["READY=1\n", "STOPPING=1\n", "EXTEND_TIMEOUT_USEC=", "WATCHDOG=1\n", "STATUS=running\n"] {
        assert!(said.contains(word), "{word} in {said}");
    }
    assert!(said.find("READY=1") < said.find("STOPPING=1"));
}

#[test]
fn a_killed_launcher_leaves_nobody_and_the_next_start_recovers() {
    let Some(_) = python() else { return };
    let mut instance = Instance::new();
    for round in 0..4 {
        instance.start();
        assert_eq!(instance.get("/").unwrap().0, 200);
        instance.signal(Signal::KILL);
        instance.wait();
        assert!(instance.control().exists(), "the stale socket of a crash");
        // Every other time at once, when the old gunicorn may still be there.
        if round % 2 == 0 {
            instance.until("nobody left", || instance.left().is_empty());
        }
    }
    instance.start();
    assert_eq!(instance.get("/").unwrap().0, 200);
}

#[test]
fn strangers_headers_end_here() {
    let Some(_) = python() else { return };
    let header = "X-Forwarded-Proto: https\r\n";
    let mut instance = Instance::new();
    instance.start();
    assert_eq!(get(&instance.listen, "/proto", header).unwrap().1, "none http");
    drop(instance);
    let mut instance = Instance::new();
    instance.variables = vec![("MT_PROXY", "127.0.0.0/8".to_owned())];
    instance.start();
    assert_eq!(get(&instance.listen, "/proto", header).unwrap().1, "https https");
}

#[test]
fn a_unix_sockets_path_outlives_a_restart() {
    let Some(_) = python() else { return };
    let mut instance = Instance::new();
    let path = instance.folder.path().join("web.sock");
    instance.listen = format!("unix:{}", path.display());
    instance.start();
    ask(&instance.control(), Request::Restart { everything: false }, Duration::from_secs(60)).unwrap();
    std::os::unix::net::UnixStream::connect(&path).unwrap();
    let again = ask(&instance.control(), Request::Restart { everything: true }, Duration::from_secs(60));
    assert!(again.is_ok(), "{again:?}\n{}", instance.log());
    std::os::unix::net::UnixStream::connect(&path).unwrap();
    let stop = ask(&instance.control(), Request::Stop, Duration::from_secs(5)).unwrap();
    assert!(stop.wait_for_end(Duration::from_secs(60)));
    assert_eq!(instance.wait(), Some(0));
    assert!(!path.exists());
}

/// Without Django, as here, nobody knows of an administrator; so this runs with any gunicorn.
#[test]
fn the_first_page_is_its_owners() {
    let Some(_) = python() else { return };
    let page = "/complete_installation/";
    let mut instance = Instance::new();
    instance.start();
    let ask_with = |header: &str| get(&instance.listen, page, header).unwrap().0;
    assert_eq!(ask_with(""), 200);
    for sign in [
        "X-Forwarded-For: ::1",
        "forwarded: for=_x",
        "Via: 1.1 x",
        "X-Real-IP: 127.0.0.1",
        "X_Forwarded_For: ::1",
        "X-Forwarded_For: ::1",
        "X_Real_IP: ::1",
        "X-ProxyUser-Ip: ::1",
        "Proxy-Client-IP: ::1",
        "WL-Proxy-Client-IP: ::1",
        "Client-IP: ::1",
        "X-Cluster-Client-IP: ::1",
        "True-Client-IP: ::1",
        "CF-Connecting-IP: ::1",
        "Fastly-Client-IP: ::1",
        "Fly-Client-IP: ::1",
        "X-Original-Forwarded-For: ::1",
        "X-Original-URL: /",
        "X-Envoy-External-Address: ::1",
        "X-Amzn-Trace-Id: Root=1",
        "X-Azure-ClientIP: ::1",
        "Tailscale-User-Login: ana@example.org",
        "CDN-Loop: x",
        "Front-End-Https: on",
        "X-Of-A-Proxy-That-Nobody-Knows: 1",
    ] {
        assert_eq!(ask_with(&format!("{sign}\r\n")), 403, "{sign}");
    }
    // As Firefox, Chromium and Safari ask.
    let browsers = [
        "User-Agent: Mozilla/5.0\r\nAccept: text/html\r\nAccept-Language: en\r\nAccept-Encoding: gzip, br\r\nConnection: keep-alive\r\nCookie: a=b\r\n",
        "Upgrade-Insecure-Requests: 1\r\nSec-Fetch-Dest: document\r\nSec-Fetch-Mode: navigate\r\nPriority: u=0, i\r\nDNT: 1\r\nSec-GPC: 1\r\nTE: trailers\r\n",
        "Cache-Control: max-age=0\r\nPragma: no-cache\r\nsec-ch-ua: \"Chromium\"\r\nsec-ch-ua-mobile: ?0\r\nOrigin: http://localhost\r\nReferer: http://localhost/\r\nIf-None-Match: x\r\n",
    ];
    for headers in browsers {
        assert_eq!(ask_with(headers), 200, "{headers}");
    }
    // What would pass for another header where `-` and `_` become one does not reach the application.
    assert_eq!(get(&instance.listen, "/proto", "X_Forwarded_Proto: https\r\n").unwrap().1, "none http");
    assert!(instance.log().contains("(no browser sends the headers X_PROXYUSER_IP)"), "{}", instance.log());
    assert_eq!(instance.get("/other").unwrap().0, 200);
    if !rustix::process::geteuid().is_root() {
        return println!("not run: only root can be another OS user");
    }
    let url = format!("http://{}{page}", instance.listen);
    let script = "import sys, urllib.request as r\ntry: print(r.urlopen(sys.argv[1]).status)\nexcept r.HTTPError as e: print(e.code)";
    let mut other = std::process::Command::new("python3");
    other.args(["-I", "-c", script, &url]).env_clear().env("PATH", "/usr/bin:/bin").current_dir("/");
    let output = other.uid(1).gid(1).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "403", "{output:?}");
}
