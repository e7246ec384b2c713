//! What goes wrong: killed programs, stale files, wrong places.

use std::fs;
use std::process::Stdio;
use std::time::Duration;

use mathesar::database::{Search, existing_major};
use mathesar::failure::Exit;
use rustix::process::{Pid, Signal, kill_process};

use crate::harness::{LIMIT, RANGE, Site, listing, system_server, told};

fn kill(pid: u32) {
    kill_process(Pid::from_raw(pid.try_into().unwrap()).unwrap(), Signal::KILL).unwrap();
}

#[test]
fn a_server_that_was_killed_starts_again_and_keeps_its_rows() {
    let Some(site) = Site::new() else { return };
    let cluster = &site.cluster;
    let mut server = site.ready();
    cluster.query("it's \"mine\"", "CREATE TABLE t AS SELECT 1 AS a;").unwrap();
    for round in 0..3 {
        cluster.query("it's \"mine\"", &format!("INSERT INTO t VALUES ({round});")).unwrap();
        kill(server.running.pid);
        server.running.child.as_mut().unwrap().wait().unwrap();
        assert!(cluster.data().join("postmaster.pid").exists());
        drop(server);
        server = site.start();
    }
    assert_eq!(cluster.query("it's \"mine\"", "SELECT count(*) FROM t;").unwrap(), "4");
}

#[test]
fn stale_files_with_the_number_of_a_foreign_process_stop_nobody() {
    let Some(site) = Site::new() else { return };
    let cluster = &site.cluster;
    let mut server = site.ready();
    kill(server.running.pid);
    server.running.child.as_mut().unwrap().wait().unwrap();
    drop(server);
    // A process of the service's own user, which PostgreSQL itself would take for a server.
    let program = mathesar::process::Program::new("/bin/sleep").arg("300").user(cluster.owner.user);
    let mut sleeper = program.into_command().spawn().unwrap();
    for path in [cluster.data().join("postmaster.pid"), cluster.socket.join(".s.PGSQL.5432.lock")] {
        let text = fs::read_to_string(&path).unwrap();
        let (_, rest) = text.split_once('\n').unwrap();
        fs::write(&path, format!("{}\n{rest}", sleeper.id())).unwrap();
    }
    assert_eq!(cluster.leftover(), None);
    let server = site.start();
    assert_ne!(server.running.pid, sleeper.id());
    assert!(sleeper.try_wait().unwrap().is_none(), "it was ended");
    sleeper.kill().unwrap();
    sleeper.wait().unwrap();
}

#[test]
fn there_is_never_a_second_server_and_a_left_one_is_adopted() {
    let Some(site) = Site::new() else { return };
    let cluster = &site.cluster;
    let mut server = site.ready();
    let second = cluster.spawn(Stdio::null()).unwrap_err();
    let pid = server.running.pid;
    let message = format!("PostgreSQL already runs on {} as process {pid}", cluster.data().display());
    assert_eq!(second.to_string(), message);
    // Without a pid file the lock still tells.
    let pid_file = cluster.data().join("postmaster.pid");
    let aside = cluster.folder.join("aside");
    fs::rename(&pid_file, &aside).unwrap();
    assert_eq!(cluster.leftover(), None);
    let lock = fs::File::open(cluster.folder.join("lock")).unwrap();
    assert!(matches!(lock.try_lock(), Err(fs::TryLockError::WouldBlock)), "the server holds no lock");
    fs::rename(&aside, &pid_file).unwrap();

    // The next launcher finds it, uses it and ends it.
    let mut adopted = cluster.adopt().unwrap();
    assert_eq!(adopted.pid, pid);
    cluster.wait_ready(&mut adopted, LIMIT).unwrap();
    let reaper = server.running.child.take().unwrap();
    let waiting = std::thread::spawn(move || {
        let mut child = reaper;
        child.wait().unwrap()
    });
    assert!(adopted.stop(Duration::from_secs(30)).unwrap());
    assert!(waiting.join().unwrap().success());
    assert!(cluster.adopt().is_none());
    drop(site.start());
}

#[test]
fn two_starts_at_once_give_one_server() {
    let Some(site) = Site::new() else { return };
    let cluster = &site.cluster;
    cluster.init().unwrap();
    let results: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(|| cluster.spawn(Stdio::null()))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let (mut running, refused): (Vec<_>, Vec<_>) = results.into_iter().partition(Result::is_ok);
    assert_eq!((running.len(), refused.len()), (1, 3));
    let mut running = running.pop().unwrap().unwrap();
    let ready = cluster.wait_ready(&mut running, LIMIT);
    running.stop(Duration::from_secs(30)).unwrap();
    ready.unwrap();
}

#[test]
fn a_killed_initdb_is_run_again() {
    let Some(mut site) = Site::new() else { return };
    // An initdb that is killed once it has written half.
    let real = site.cluster.binaries.clone();
    let broken = site.folder.path().join("bin");
    fs::create_dir(&broken).unwrap();
    let script =
        format!("#!/bin/sh\n{}/initdb \"$@\" >&2 &\nsleep 0.3\nkill -9 $!\nkill -9 $$\n", real.bin.display());
    fs::write(broken.join("initdb"), script).unwrap();
    fs::set_permissions(broken.join("initdb"), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    site.cluster.binaries.bin = broken;
    let failure = site.cluster.init().unwrap_err();
    assert!(failure.to_string().ends_with("failed"), "{failure}");
    assert_eq!(existing_major(&site.cluster.folder).unwrap(), None);
    // A launcher that was killed with it could not tidy up.
    let left = site.cluster.folder.join("data.new.77");
    fs::create_dir(&left).unwrap();
    fs::write(left.join("PG_VERSION"), "15\n").unwrap();
    site.cluster.binaries = real;
    assert!(site.cluster.init().unwrap());
    assert_eq!(listing(&site.cluster.folder), ["data", "lock"]);
    drop(site.start());
}

#[test]
fn a_cluster_of_a_missing_major_is_not_touched() {
    let Some(site) = Site::new() else { return };
    let data = site.cluster.data();
    fs::create_dir_all(&data).unwrap();
    // A supported major that no system has: Search is told so.
    fs::write(data.join("PG_VERSION"), "99\n").unwrap();
    let major = existing_major(&site.cluster.folder).unwrap().unwrap();
    let search = Search::new(None, None, mathesar::release::Postgresql { min: 14, max: 99 });
    let failure = search.for_major(major).unwrap_err();
    assert_eq!(failure.exit, Exit::Refused);
    let text = told(failure);
    assert!(
        text.starts_with("error: the database was made by PostgreSQL 99, which is not installed\n"),
        "{text}"
    );
    assert!(text.contains("nothing was changed") && text.contains("help: "), "{text}");
    println!("{text}");
    let failure = Search::new(None, None, RANGE).for_major(major).unwrap_err();
    assert_eq!(failure.to_string(), "the database is of PostgreSQL 99, and Mathesar needs 14 to 18");
    let failure = site.cluster.spawn(Stdio::null()).unwrap_err();
    assert_eq!(failure.exit, Exit::Refused);
    assert_eq!(listing(&site.cluster.folder), ["data"]);
    assert_eq!(listing(&data), ["PG_VERSION"]);
}

#[test]
fn foreign_files_are_not_touched() {
    let Some(site) = Site::new() else { return };
    let data = site.cluster.data();
    fs::create_dir_all(&data).unwrap();
    fs::write(data.join("diary"), "x").unwrap();
    let failure = site.cluster.init().unwrap_err();
    assert_eq!(failure.exit, Exit::Refused);
    assert!(failure.to_string().ends_with("holds files, but no PostgreSQL cluster"), "{failure}");
    assert_eq!(listing(&data), ["diary"]);
}

#[test]
fn a_socket_path_that_is_too_long_is_refused_with_help() {
    let Some(mut site) = Site::new() else { return };
    site.cluster.socket = site.folder.path().join("x".repeat(100));
    let failure = site.cluster.init().unwrap_err();
    assert_eq!(failure.exit, Exit::Refused);
    let text = told(failure);
    assert!(text.contains("the path of the database's socket is too long"), "{text}");
    assert!(text.contains("help: choose a folder with a shorter path"), "{text}");
    site.cluster.socket = site.folder.path().join("a,b");
    let text = told(site.cluster.init().unwrap_err());
    assert!(text.contains("cannot be the database's socket"), "{text}");
    assert!(!site.cluster.folder.exists());
}

#[test]
fn a_missing_locale_is_refused() {
    let Some(mut site) = Site::new() else { return };
    site.cluster.settings.locale = "xx_XX.UTF-8".into();
    let failure = site.cluster.init().unwrap_err();
    assert_eq!(failure.to_string(), "this system has no locale `xx_XX.UTF-8`");
    assert_eq!(listing(&site.cluster.folder), ["lock"]);
}

#[test]
fn a_socket_folder_of_somebody_else_is_refused() {
    let Some(site) = Site::new() else { return };
    site.cluster.init().unwrap();
    fs::create_dir(&site.cluster.socket).unwrap();
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o777);
    fs::set_permissions(&site.cluster.socket, open).unwrap();
    let failure = site.cluster.spawn(Stdio::null()).unwrap_err();
    assert!(failure.to_string().ends_with("is not safe for the database's socket"), "{failure}");
}

#[test]
fn a_server_that_cannot_start_says_how_it_ended() {
    let Some(mut site) = Site::new() else { return };
    site.cluster.init().unwrap();
    site.cluster.settings.max_connections = -1;
    let mut running = site.cluster.spawn(Stdio::null()).unwrap();
    let failure = site.cluster.wait_ready(&mut running, LIMIT).unwrap_err();
    assert_eq!(
        told(failure),
        "error: PostgreSQL did not start\n  caused by: exit status: 1\nhelp: see why: `mathesar logs`\n"
    );
}

#[test]
fn root_without_a_user_to_drop_to_is_refused() {
    let Some(binaries) = system_server() else { return };
    let mut site = Site::with(binaries, "r");
    site.cluster.owner = mathesar::database::Owner { user: None, uid: 0, name: "root".into() };
    assert_eq!(site.cluster.init().unwrap_err().to_string(), "PostgreSQL refuses to run as root");
}
