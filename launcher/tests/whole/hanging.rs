//! A launcher that cannot be reached for a while, or does not answer at all.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use rustix::process::Signal;

use crate::harness::Home;
use crate::machine::{alive, signal};
use crate::steps::refused;

#[test]
fn a_restart_whose_socket_was_lost_brings_the_settings_all_the_same() {
    let Some(home) = Home::prepared() else { return };
    home.ok(&["start"]);
    let socket = home.layout.run.join("control.sock");
    for (options, workers) in [(&["restart"][..], 3), (&["restart", "--everything"][..], 1)] {
        home.conf(&format!("[server]\nworkers = {workers}\n"));
        fs::remove_file(&socket).unwrap();
        // Whoever asks in between is told what is so.
        home.ok(&["plan"]);
        fs::remove_file(&socket).unwrap();
        let status = home.status();
        assert_eq!((&status["state"], &status["database"]["state"]), (&"running".into(), &"up".into()));
        fs::remove_file(&socket).unwrap();
        home.ok(options);
        let status = home.status();
        assert_eq!((&status["workers"], &status["pending"]), (&workers.into(), &serde_json::json!([])));
    }
}

#[test]
fn one_that_hangs_is_named_and_what_it_was_asked_meanwhile_is_not_done_later() {
    let Some(home) = Home::prepared() else { return };
    home.ok(&["start"]);
    let pid = i32::try_from(home.status()["pid"].as_i64().unwrap()).unwrap();
    signal(pid, Signal::STOP);
    let status = home.mathesar(&["status"]);
    println!("{}", status.stdout);
    assert_eq!(status.status, 3, "{status:?}");
    for words in ["state        degraded", &format!("`mathesar run` (pid {pid}) did not answer"), "up"] {
        assert!(status.stdout.contains(words), "{status:?}");
    }
    let doctor = home.mathesar(&["doctor"]).stdout;
    assert!(
        doctor.contains(&format!("`kill -9 {pid}`")) && !doctor.contains("config set server.listen"),
        "{doctor}"
    );
    refused(&home, &["plan"], 4, &["did not answer"]);
    let cure = format!("help: end it: `kill -9 {pid}`; then `mathesar start`");
    for command in ["stop", "restart"] {
        refused(&home, &[command], 1, &["did not answer", &cure]);
    }
    signal(pid, Signal::CONT);
    home.until("it answers", || home.status()["state"] == "running");
    // Longer than it would take to begin with it.
    std::thread::sleep(std::time::Duration::from_secs(2));
    assert_eq!(home.status()["state"], "running");
    assert!(alive(pid));
    home.ok(&["stop"]);
}

#[test]
fn every_cure_means_the_installation_that_was_meant() {
    let Some(home) = Home::prepared() else { return };
    let options = format!("--home {} ", home.layout.config.parent().unwrap().display());
    let said = |args: &[&str]| {
        let output = home.launcher(args).output().unwrap();
        [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap()).concat()
    };
    for (args, cure) in [
        (&["open"][..], "start --open`"),
        (&["admin", "create", "a b\u{7}"][..], ""),
        (&["doctor"][..], ""),
        (&["doctor", "--json"][..], "start`"),
        (&["uninstall"][..], "uninstall --yes`"),
        (&["setup"][..], "start` starts it"),
    ] {
        let text = said(args);
        println!("{text}");
        assert!(cure.is_empty() || text.contains(&format!("`mathesar {options}{cure}")), "{text}");
        let helps = text.lines().filter(|line| line.contains("help: ") || line.contains("note: "));
        for command in helps.flat_map(|line| line.split('`').skip(1).step_by(2)) {
            let ours = command.strip_prefix("mathesar ");
            assert!(ours.is_none_or(|rest| rest.starts_with("--")), "{command} in {text}");
        }
    }
    // What it is told in the middle of a start, too; pasted as it stands.
    home.write(&home.layout.config_file(), "[server]\nlisten = \"127.0.0.1:1\"\nworkes = 2\n");
    let text = said(&["start"]);
    assert!(!text.contains("`mathesar config") && !text.contains(&format!("{options}{options}")), "{text}");
}

#[test]
fn a_file_that_a_setting_names_is_a_file() {
    let Some(home) = Home::prepared() else { return };
    let pipe = home.folder().join("home/pipe");
    assert!(home.command("/usr/bin/mkfifo".as_ref()).arg(&pipe).status().unwrap().success());
    fs::set_permissions(&pipe, fs::Permissions::from_mode(0o600)).unwrap();
    for setting in ["app.secret-key-file", "login.sso-file", "file-storage.config-file"] {
        for wrong in [pipe.to_str().unwrap(), "/dev/zero"] {
            let (section, key) = setting.split_once('.').unwrap();
            home.conf(&format!("[{section}]\n{key} = \"{wrong}\"\n"));
            refused(&home, &["start"], 4, &[wrong, "it is no regular file", "help: "]);
            refused(&home, &["plan"], 4, &[wrong]);
            // Nobody waits for it either.
            home.status();
            let doctor = home.mathesar(&["doctor"]).stdout;
            assert!(doctor.contains(&format!("`{setting}` names {wrong}, which cannot be read")), "{doctor}");
        }
    }
    home.conf(&format!(
        "[database]\nurl = \"postgresql://m@127.0.0.1/x\"\npassword-file = \"{}\"\n",
        pipe.display()
    ));
    refused(&home, &["db", "url", "--test"], 4, &["it is no regular file", "help: "]);
    home.nobody_left();
}

#[test]
fn a_home_that_others_can_exchange_is_told() {
    let Some(home) = Home::prepared() else { return };
    let above = home.folder();
    let note = format!("everybody can write in {}", above.display());
    let is_told =
        |output: crate::harness::Output| output.stdout.contains(&note) || output.stderr.contains(&note);
    assert!(!is_told(home.mathesar(&["doctor"])));
    fs::set_permissions(above, fs::Permissions::from_mode(0o777)).unwrap();
    assert!(is_told(home.mathesar(&["doctor"])));
    assert!(is_told(home.ok(&["start"])));
    fs::set_permissions(above, fs::Permissions::from_mode(0o755)).unwrap();
}
