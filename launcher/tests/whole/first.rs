//! From nothing to the first page, and back.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::json;

use crate::harness::{Home, Start};
use crate::http::request;
use crate::machine::tree;

#[test]
fn from_nothing_to_the_first_page_and_back() {
    let Some(home) = Home::bare() else { return };
    let before = tree(home.folder());
    let plan = home.ok(&["plan"]).stdout;
    for said in ["mathesar-1.0.0.tar.gz", "state/app/1.0.0-", "uv-0.", "state/database", "127.0.0.1:"] {
        assert!(plan.contains(said), "{said}: {plan}");
    }
    assert_eq!(tree(home.folder()), before, "`plan` has changed something");
    assert_eq!(home.status()["state"], "stopped");

    let started = home.ok(&["start"]);
    let said = format!("{}{}", started.stdout, started.stderr);
    assert!(said.contains(&format!("at http://127.0.0.1:{}", home.port)), "{said}");
    println!("{said}");
    let first = home.try_get("/auth/login/").unwrap();
    assert_eq!((first.status, first.location()), (302, Some("/complete_installation/")));
    let status = home.status();
    assert_eq!(status["state"], "running");
    assert_eq!(status["version"], "1.0.0");
    assert_eq!(status["address"], format!("http://127.0.0.1:{}", home.port));
    assert_eq!(status["pending"], json!([]));
    assert_eq!(status["database"]["state"], "up");

    let plan = home.ok(&["plan"]).stdout;
    let runs = format!("server        there    runs at http://127.0.0.1:{}", home.port);
    assert!(plan.contains(&runs) && !plan.contains("to do"), "{plan}");
    home.ok(&["config", "set", "server.request-timeout", "61s"]);
    let plan = home.ok(&["plan"]).stdout;
    assert!(plan.contains("server.request-timeout changed; `mathesar restart` brings it"), "{plan}");
    home.ok(&["config", "unset", "server.request-timeout"]);

    // PostgreSQL's own come and go (connections, autovacuum, and what it has just forked, which
    // still bears its name), so those that have to stay are asked for, and no gunicorn besides.
    let (processes, workers) = (lasting(&home), home.pids("gunicorn"));
    let again = home.ok(&["start"]);
    assert!(again.stderr.contains("Running already"), "{again:?}");
    let now = home.processes();
    let gone: Vec<_> =
        processes.iter().filter(|(pid, _)| now.iter().all(|(other, _)| other != pid)).collect();
    assert!(gone.is_empty(), "{gone:?} went; now {now:?}");
    assert_eq!(home.pids("gunicorn"), workers);

    let (end, answers) = (AtomicBool::new(false), std::sync::Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !end.load(Ordering::SeqCst) {
                    let answer =
                        request(home.port, "GET /auth/login/ HTTP/1.1", b"", crate::harness::PATIENCE);
                    answers.lock().unwrap().push(answer.map_or(0, |answer| answer.status));
                }
            });
        }
        // Whatever happens, the two above have to end.
        let restarted = home.mathesar(&["restart"]);
        end.store(true, Ordering::SeqCst);
        assert_eq!(restarted.status, 0, "{restarted:?}");
    });
    let answers = answers.into_inner().unwrap();
    assert!(answers.len() > 2 && answers.iter().all(|status| *status == 302), "{answers:?}");
    println!("{} requests during `restart`, none refused", answers.len());
    let now = home.pids("gunicorn");
    assert!(workers.iter().all(|pid| !now.contains(pid)), "gunicorn was not replaced");

    let stopped = home.ok(&["stop"]).stderr;
    assert!(stopped.contains("Stopped Mathesar and its database\n"), "{stopped}");
    home.nobody_left();
    assert_eq!(home.status()["state"], "stopped");
    assert!(home.try_get("/").is_none());
    let log = home.log();
    let told = [
        "asked to read the settings again, and to restart the web server, by `mathesar restart`\n",
        "Z launcher: the web server is restarted\n",
        "Z launcher: asked to stop, by `mathesar stop`",
        "Z launcher: stopped\n",
    ];
    let places: Vec<_> =
        told.iter().map(|said| log.find(said).unwrap_or_else(|| panic!("{said}: {log}"))).collect();
    assert!(places.is_sorted(), "{log}");
    let unchanged = home.ok(&["stop"]);
    assert!(unchanged.stderr.contains("does not run"), "{unchanged:?}");
}

#[test]
fn a_stop_in_the_middle_of_a_first_start_leaves_nobody() {
    let Some(home) = Home::installed() else { return };
    let mut start = home.spawn("start", &["start"]);
    // initdb has programs of its own, which would go on for a moment without it.
    let at_work =
        |line: &str| line.contains("postgres") && (line.contains("--boot") || line.contains("--single"));
    home.until("initdb is at work", || home.processes().iter().any(|(_, line)| at_work(line)));
    let stopped = home.ok(&["stop"]).stderr;
    let watcher = start.id() as i32;
    let left: Vec<_> = home.processes().into_iter().filter(|(pid, _)| *pid != watcher).collect();
    assert!(left.is_empty(), "{stopped}: {left:#?}");
    assert!(stopped.contains("Stopped Mathesar\n"), "there was no database yet: {stopped}");
    start.wait().unwrap();
    assert_eq!(home.status()["state"], "stopped");
    home.ok(&["start"]);
    for said in ["launcher: asked to stop, by `mathesar stop`", "launcher: stopped"] {
        assert!(home.log().contains(said), "{said}: {}", home.log());
    }
}

/// The launcher, gunicorn and the postmaster: what runs from a start to a stop.
fn lasting(home: &Home) -> Vec<(i32, String)> {
    let file = std::fs::read_to_string(home.layout.state.join("database/data/postmaster.pid")).unwrap();
    let postmaster: i32 = file.lines().next().unwrap().parse().unwrap();
    let lasts = |pid: i32, line: &str| pid == postmaster || !line.contains("postgres");
    home.processes().into_iter().filter(|(pid, line)| lasts(*pid, line)).collect()
}

#[test]
fn a_users_own_installation_lies_where_such_things_lie() {
    let Some(home) = Home::of_user(Start::SetUp) else { return };
    home.ok(&["start"]);
    home.create_admin();
    let cats = home.table("people", "cats");
    let mia = json!({"database_id": cats["database_id"], "table_oid": cats["table_oid"], "record_def": {"name": "Mia"}});
    home.admin("records.add", mia);
    assert_eq!(home.admin("records.list", cats.clone())["count"], 1);
    assert_eq!(home.sql("people", "SELECT name FROM cats"), "Mia");
    let place = home.folder().join("home");
    assert_eq!(listing(&place), [".cache", ".config", ".local"]);
    assert!(place.join(".local/share/mathesar/database/data/PG_VERSION").exists());
    home.ok(&["restart", "--everything"]);
    assert_eq!(home.admin("records.list", cats)["count"], 1);
}

#[test]
fn an_installed_release_is_taken_as_it_is() {
    let Some(home) = Home::installed() else { return };
    let plan = home.ok(&["plan"]).stdout;
    assert!(plan.contains("cluster       to do") && plan.contains("python        there"), "{plan}");
    home.ok(&["start"]);
    assert_eq!(home.get("/complete_installation/").0, 200);
}

#[test]
fn secrets_that_others_could_read_are_closed_and_that_is_said_once() {
    let Some(home) = Home::prepared() else { return };
    let key = home.layout.state.join("secrets/secret-key");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    let said = home.ok(&["start"]).stderr;
    assert!(said.contains("secrets/secret-key could be read by others"), "{said}");
    assert_eq!(key.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    home.ok(&["stop"]);
    let said = home.ok(&["start"]).stderr;
    assert!(!said.contains("could be read"), "{said}");
}

fn listing(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// Where nobody lingers, $XDG_RUNTIME_DIR is removed with the last session; and a later one has another.
#[test]
fn a_logout_takes_nothing_along() {
    let Some(mut home) = Home::of_user(Start::SetUp) else { return };
    let session = home.folder().join("session");
    crate::machine::make_folder(&session, home.folder(), home.user);
    home.set_variable("XDG_RUNTIME_DIR", &session);
    home.ok(&["start"]);
    let before = home.processes();
    fs::remove_dir_all(&session).unwrap();
    assert_eq!(home.status()["state"], "running");
    // The web server is replaced, which takes its folder.
    home.ok(&["restart"]);
    assert_ne!(home.processes(), before);
    assert_eq!(home.get("/auth/login/").0, 302);
    // From cron, which has none at all.
    home.set_variable("XDG_RUNTIME_DIR", "");
    home.ok(&["stop"]);
    home.nobody_left();
}
