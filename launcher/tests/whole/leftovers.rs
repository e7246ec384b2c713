//! `mathesar stop` after the launcher was killed, where its children live on.

use std::path::Path;
use std::process::Stdio;

use mathesar::database::Search;
use mathesar::release::Postgresql;
use mathesar::server::gunicorn;
use rustix::process::Signal;

use crate::harness::Home;
use crate::machine::{alive, signal};

/// A launcher that is killed takes its children along; these are as if the machine had been too busy for that.
#[test]
fn what_a_killed_launcher_left_is_ended() {
    let Some(home) = Home::prepared() else { return };
    home.ok(&["start"]);
    home.create_admin();
    home.ok(&["stop"]);
    let data = home.layout.state.join("database/data");
    let binaries = Search::new(None, None, Postgresql { min: 14, max: 18 }).for_new().unwrap().unwrap();
    let mut postgres = home.command(&binaries.server("postgres"));
    postgres.arg("-D").arg(&data).arg("-k").arg(&home.layout.database_socket);
    let mut postgres = postgres.stderr(Stdio::null()).spawn().unwrap();
    // One that does not hear, as gunicorn's processes while they are stopped.
    let mut web = home.command(Path::new("/bin/sleep"));
    let mut web = web.arg("1000").env(gunicorn::MARK, &home.layout.state).spawn().unwrap();
    home.until("PostgreSQL runs", || home.layout.database_socket.join(".s.PGSQL.5432").exists());
    signal(web.id() as i32, Signal::STOP);
    assert_eq!(home.status()["state"], "stopped");

    // Both are this test's children: somebody has to wait for them.
    let waiting = std::thread::spawn(move || (postgres.wait().unwrap(), web.wait().unwrap()));
    let stopped = home.ok(&["stop"]);
    print!("{}", stopped.stderr);
    for said in [
        "without its launcher (1 process)",
        "Stopping PostgreSQL, which runs without its launcher (pid ",
        "Stopped",
    ] {
        assert!(stopped.stderr.contains(said), "{said}: {}", stopped.stderr);
    }
    // In good order: nothing has to be recovered.
    assert!(waiting.join().unwrap().0.success());
    assert!(!data.join("postmaster.pid").exists());
    home.nobody_left();
    assert!(home.ok(&["stop"]).stderr.contains("does not run"));
    home.ok(&["start"]);
    assert_eq!(home.get("/auth/login/").0, 200, "the administrator is still there");
}

#[test]
fn restart_after_a_kill_is_a_start() {
    let Some(home) = Home::prepared() else { return };
    home.ok(&["start"]);
    home.create_admin();
    let launcher = i32::try_from(home.status()["pid"].as_u64().unwrap()).unwrap();
    signal(launcher, Signal::KILL);
    home.until("the launcher is gone", || !alive(launcher));
    home.ok(&["restart"]);
    assert_eq!(home.get("/auth/login/").0, 200);
    home.ok(&["restart", "--everything"]);
    assert_eq!(home.get("/auth/login/").0, 200);
}

/// Somebody else's command holds the lock: nothing is ended under its hands.
#[test]
fn one_that_is_at_work_is_named() {
    let Some(home) = Home::prepared() else { return };
    let lock = std::fs::File::create(home.layout.state.join("lock")).unwrap();
    lock.lock().unwrap();
    std::fs::write(home.layout.state.join("lock"), "4711 setup\n").unwrap();
    let stopped = home.mathesar(&["stop"]);
    assert_eq!(stopped.status, 4, "{stopped:?}");
    assert!(stopped.stderr.contains("at work here: `mathesar setup` (pid 4711)"), "{stopped:?}");
}
