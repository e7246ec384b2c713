//! A restart that cannot work, and an end that nobody wrote down.

use rustix::process::Signal;

use crate::external::{External, PASSWORD};
use crate::harness::Home;
use crate::machine::{alive, signal};
use crate::steps::refused;

#[test]
fn what_a_restart_would_fail_at_is_said_while_it_runs() {
    let Some(home) = Home::installed() else { return };
    let external = External::start();
    let file = home.folder().join("home/password");
    home.write(&file, PASSWORD);
    let set = |name: &str, value: &str| drop(home.ok(&["config", "set", name, value]));
    set("database.url", &external.url("me", "its%20own"));
    set("database.password-file", file.to_str().unwrap());
    home.ok(&["start"]);
    let running = home.status();
    let pid = running["pid"].as_i64().unwrap();
    let database = &running["database"];
    assert_eq!((&database["kind"], database["data"].is_null()), (&"external".into(), true), "{running:#}");
    assert!(home.ok(&["status"]).stdout.contains("your server (`database.url`)"));

    let other = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    set("server.listen", &other.local_addr().unwrap().to_string());
    let said = ["it runs on as before: cannot listen on", "is used by", "help: ", "config set server.listen"];
    refused(&home, &["restart"], 4, &said);
    refused(&home, &["restart", "--everything"], 4, &said[1..]);
    assert_eq!(home.status()["pid"], pid);
    set("server.listen", &format!("127.0.0.1:{}", home.port));

    home.conf("[server]\nlisten = 3\n");
    for command in [&["restart"][..], &["restart", "--everything"]] {
        let output = refused(&home, command, 4, &["50-test.conf:2:"]);
        assert!(!output.stderr.contains("error: error") && !output.stderr.ends_with("\n\n"), "{output:?}");
    }
    home.conf("");

    drop(external);
    refused(&home, &["restart"], 4, &["it runs on as before: no server listens on 127.0.0.1:"]);
    assert_eq!(home.status()["pid"], pid);

    let launcher = i32::try_from(pid).unwrap();
    signal(launcher, Signal::KILL);
    home.until("it is dead", || !alive(launcher));
    home.until("it is seen as killed", || home.status()["state"] == "failed");
    let status = home.status();
    assert_eq!(status["message"], format!("the launcher was killed (pid {pid})"));
    let names =
        |status: &serde_json::Value| -> Vec<String> { status.as_object().unwrap().keys().cloned().collect() };
    assert_eq!(names(&status), names(&running));
    home.ok(&["stop"]);
    assert_eq!(home.status()["state"], "stopped");
}
