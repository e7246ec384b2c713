//! Processes of a PostgreSQL whose launcher and server were killed, and which go on for a while: on a slow disk a shutdown's checkpoint, which
//! ends by writing the control file where the data were.

use std::time::Duration;

use rustix::process::Signal;

use crate::harness::Home;
use crate::machine::{alive, processes_like, signal};
use crate::restore::backed_up;
use crate::upgrade::precious;

/// Stopped: whatever it does takes until it goes on.
fn checkpointer(home: &Home) -> i32 {
    let found = processes_like(&home.layout.state.join("database"), "checkpointer");
    let [(pid, _)] = found.as_slice() else { panic!("{found:?}") };
    signal(*pid, Signal::STOP);
    *pid
}

#[test]
fn nothing_is_renamed_under_them() {
    let Some(home) = Home::prepared() else { return };
    let (backup, before, _) = backed_up(&home);
    let straggler = checkpointer(&home);
    let others: Vec<i32> =
        home.processes().into_iter().map(|(pid, _)| pid).filter(|pid| *pid != straggler).collect();
    others.iter().for_each(|pid| signal(*pid, Signal::KILL));
    home.until("they are gone", || !others.iter().any(|pid| alive(*pid)));
    let backup = backup.to_str().unwrap();
    let mut restore = home.spawn("restore", &["restore", "--yes", "--without-backup", backup]);
    let there = |name: &str| {
        let all = std::fs::read_dir(home.layout.state.join("database/aside")).into_iter().flatten().flatten();
        all.into_iter().any(|one| one.path().join("database").join(name).exists())
    };
    home.until("all is ready to be put in place", || there("new"));
    std::thread::sleep(Duration::from_secs(1));
    assert!(!there("old") && alive(straggler), "{}", home.words("restore"));
    signal(straggler, Signal::CONT);
    assert!(restore.wait().unwrap().success(), "{}", home.words("restore"));
    home.ok(&["start"]);
    assert_eq!(precious(&home), before);
}

#[test]
fn stop_goes_on_where_the_launcher_was_killed_meanwhile() {
    let Some(home) = Home::prepared() else { return };
    home.ok(&["start"]);
    let launcher = i32::try_from(home.status()["pid"].as_u64().unwrap()).unwrap();
    let straggler = checkpointer(&home);
    let mut stop = home.spawn("stop", &["stop"]);
    let pid_file = home.layout.state.join("database/data/postmaster.pid");
    home.until("PostgreSQL ends", || {
        std::fs::read_to_string(&pid_file).is_ok_and(|text| text.contains("stopping"))
    });
    signal(launcher, Signal::KILL);
    std::thread::sleep(Duration::from_secs(1));
    assert!(stop.try_wait().unwrap().is_none(), "{}", home.words("stop"));
    signal(straggler, Signal::CONT);
    assert!(stop.wait().unwrap().success(), "{}", home.words("stop"));
    assert!(!pid_file.exists());
    home.nobody_left();
    let said = home.words("stop");
    assert!(said.contains("Stopped") && !said.contains("has not said"), "{said}");
}
