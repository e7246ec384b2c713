//! What a person is told where a start ends before anything runs.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::harness::Home;
use crate::machine;
use crate::steps::refused;

fn mode(folder: &Path, mode: u32) {
    fs::set_permissions(folder, fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn a_folder_that_may_not_be_written_is_named_with_the_command_that_opens_it() {
    let Some(home) = Home::prepared() else { return };
    let (run, logs) = (home.layout.run.clone(), home.layout.logs.clone().unwrap());
    for folder in [&run, &logs] {
        fs::create_dir_all(folder).unwrap();
        machine::give(folder, home.user);
    }
    let cure = |folder: &Path| format!("`chmod u+rwx {}`", folder.display());
    mode(&logs, 0o500);
    refused(&home, &["start"], 1, &["cannot write ", "Permission denied", &cure(&logs)]);
    mode(&logs, 0o700);
    mode(&run, 0o500);
    let socket = home.layout.run.join("control.sock");
    let cannot = format!("cannot listen on {}", socket.display());
    refused(&home, &["start"], 1, &[&cannot, "Permission denied", &cure(&run)]);
    let status = home.status();
    assert_eq!(status["state"], "failed", "{status:#}");
    assert!(status["message"].as_str().unwrap().starts_with(&cannot), "{status:#}");
    mode(&run, 0o700);

    home.ok(&["start"]);
    // One that runs, and cannot be asked, is not waited for.
    mode(&run, 0);
    let begun = Instant::now();
    refused(&home, &["start"], 4, &["cannot reach ", "Permission denied", &cure(&run)]);
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    mode(&run, 0o500);
    home.conf("server.workers = 1\n");
    let said = ["not restarted, it runs on as before: cannot write ", "Permission denied", &cure(&run)];
    refused(&home, &["restart"], 1, &said);
    // Its end is written down nevertheless.
    let (state, record) = (home.layout.state.clone(), home.layout.state.join("last-run.json"));
    mode(&state, 0o500);
    let stopped = home.ok(&["stop"]).stderr;
    assert!(
        stopped.contains("Stopped Mathesar and its database\n") && !stopped.contains("note:"),
        "{stopped}"
    );
    assert_eq!(home.status()["state"], "stopped");
    mode(&state, 0o700);
    mode(&run, 0o700);

    home.ok(&["start"]);
    mode(&state, 0o500);
    mode(&record, 0o400);
    let stopped = home.ok(&["stop"]).stderr;
    assert!(stopped.contains("or could not write ") && stopped.contains("`ls -ld "), "{stopped}");
    mode(&state, 0o700);
}

/// In a folder that somebody else has prepared, a link leads what is written to a file of the user.
#[test]
fn what_is_said_goes_through_no_link() {
    let Some(home) = Home::bare() else { return };
    let (logs, precious) = (home.layout.logs.clone().unwrap(), home.folder().join("precious"));
    fs::create_dir_all(&logs).unwrap();
    machine::give(&logs, home.user);
    home.write(&precious, "kept");
    for (name, command) in
        [("launcher.err", &["start"][..]), ("mathesar.log", &["run"]), ("mathesar.log", &["start"])]
    {
        let link = logs.join(name);
        std::os::unix::fs::symlink(&precious, &link).unwrap();
        let said = [
            &format!("cannot write {}", link.display()),
            "it is a link",
            &format!("`rm {}`", link.display()),
        ];
        refused(&home, command, 4, &said);
        assert_eq!(fs::read_to_string(&precious).unwrap(), "kept");
        fs::remove_file(&link).unwrap();
    }
    // Another's folder is refused as the other folders are.
    if rustix::process::geteuid().is_root() {
        std::os::unix::fs::chown(&logs, Some(4711), None).unwrap();
        refused(&home, &["start"], 4, &["log belongs to user 4711", "chown -R"]);
    }
}

#[test]
fn a_first_start_that_is_refused_leaves_its_reason() {
    let Some(home) = Home::bare() else { return };
    let taken = TcpListener::bind(("127.0.0.1", home.port)).unwrap();
    let port = format!("127.0.0.1:{}", home.port);
    refused(&home, &["start"], 4, &[&port]);
    let status = home.mathesar(&["status"]).stdout;
    assert!(status.contains("because") && status.contains(&port), "{status}");
    drop(taken);
    // What is wrong now, with no start that could have said so.
    fs::remove_file(home.layout.state.join("last-run.json")).unwrap();
    home.conf("server.lisen = 1\n");
    let status = home.mathesar(&["status"]).stdout;
    assert!(status.contains("because") && status.contains("`mathesar config check`"), "{status}");
}

/// Whoever comes second ends with 4, whatever the command.
#[test]
fn beside_another_launcher_every_command_ends_the_same_way() {
    let Some(home) = Home::prepared() else { return };
    let path = home.layout.state.join("lock");
    home.write(&path, "");
    let held = fs::File::options().read(true).write(true).open(&path).unwrap();
    held.lock().unwrap();
    fs::write(&path, "1 upgrade\n").unwrap();
    let commands = [
        "start",
        "run",
        "stop",
        "restart",
        "restart --everything",
        "setup",
        "migrate",
        "app install",
        "app install --again",
        "app prune",
        "db init",
        "db start",
        "db stop",
        "backup create",
        "upgrade --finish",
        "uninstall --yes",
    ];
    for command in commands {
        let words: Vec<&str> = command.split(' ').collect();
        refused(&home, &words, 4, &["another launcher is at work here: `mathesar upgrade`", "help: "]);
    }
    // Nobody answers, as that command answers nobody: it is to be ended by its number.
    for command in ["stop", "setup"] {
        let said = home.mathesar(&[command]).stderr;
        assert!(!said.contains("does not answer") && !said.contains("`mathesar stop`"), "{said}");
    }
    drop(held);
    home.ok(&["app", "install"]);
}

/// Whoever has made the folders decides which programs are run.
#[test]
fn nothing_is_run_from_settings_of_somebody_elses() {
    let Some(home) = Home::prepared() else { return };
    if !rustix::process::geteuid().is_root() {
        return println!("not run: only root can give files to others");
    }
    let programs = home.folder().join("programs");
    fs::create_dir(&programs).unwrap();
    let ran = programs.join("ran");
    for name in ["postgres", "initdb", "pg_ctl", "psql"] {
        let program = programs.join(name);
        fs::write(&program, format!("#!/bin/sh\ntouch {}\n", ran.display())).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    }
    fs::set_permissions(&programs, fs::Permissions::from_mode(0o777)).unwrap();
    let drop_in = home.layout.config_drop_ins().join("9.conf");
    home.write(&drop_in, format!("[database]\nbin = \"{}\"\n", programs.display()));
    let refused = |what: &str| {
        for command in [&["plan"][..], &["start"], &["db", "init"], &["db", "start"], &["setup"]] {
            let output = home.mathesar(command);
            assert_eq!(output.status, 4, "{what}, {command:?}: {output:?}");
            assert!(output.stderr.contains(what), "{command:?}: {}", output.stderr);
            assert!(!ran.exists(), "{what}: {command:?}");
        }
    };
    std::os::unix::fs::chown(&drop_in, Some(4711), None).unwrap();
    refused("belongs to user 4711");
    fs::remove_file(&drop_in).unwrap();
    fs::set_permissions(home.layout.config_drop_ins(), fs::Permissions::from_mode(0o777)).unwrap();
    refused("everybody can write in the settings");
    fs::set_permissions(home.layout.config_drop_ins(), fs::Permissions::from_mode(0o755)).unwrap();
    for folder in [&home.layout.run, &home.layout.state] {
        fs::create_dir_all(folder).unwrap();
        machine::give(folder, home.user);
        let before = fs::metadata(folder).unwrap().permissions();
        mode(folder, 0o777);
        std::os::unix::fs::chown(folder, Some(4711), None).unwrap();
        refused("belongs to user 4711");
        std::os::unix::fs::chown(folder, home.user.map(|user| user.uid), None).unwrap();
        fs::set_permissions(folder, before).unwrap();
    }
    // Settings of one's own that name what others may change.
    home.write(&drop_in, format!("[database]\nbin = \"{}\"\n", programs.display()));
    let of_programs = |what: &str| {
        refused(what);
        let doctor = home.mathesar(&["doctor"]);
        assert!(doctor.stdout.contains(what) && !ran.exists(), "{what}: {}", doctor.stdout);
    };
    of_programs("everybody can write in the folder of programs");
    mode(&programs, 0o755);
    std::os::unix::fs::chown(&programs, Some(4711), None).unwrap();
    of_programs("the folder of programs ");
    std::os::unix::fs::chown(&programs, Some(0), None).unwrap();
    mode(&programs.join("initdb"), 0o757);
    of_programs("everybody can write in the program ");
    fs::remove_file(&drop_in).unwrap();
    home.ok(&["start"]);
}
