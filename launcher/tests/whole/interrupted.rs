//! Ctrl-C in commands that have much to clear away: at whatever moment it comes, nothing half stays, and whatever ran runs.

use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::harness::Home;
use crate::machine;
use crate::upgrade::{fill, precious, rita_reads};
use crate::witness::Random;

/// Everything that a backup, a drill or a restore makes for the time being.
fn left(home: &Home) -> Vec<String> {
    let state = &home.layout.state;
    let folders = [state.join("staging"), state.join("backups"), home.folder().join("elsewhere")];
    let mut names: Vec<String> = folders
        .iter()
        .flat_map(|folder| fs::read_dir(folder).into_iter().flatten().flatten())
        .map(|entry| entry.file_name().into_string().unwrap())
        .filter(|name| name.ends_with(".new"))
        .collect();
    let aside = fs::read_dir(state.join("database/aside")).into_iter().flatten().flatten();
    names.extend(aside.map(|entry| entry.file_name().into_string().unwrap()));
    names
}

#[test]
fn nothing_half_stays_after_a_ctrl_c() {
    let Some(home) = Home::prepared() else { return };
    home.ok(&["start"]);
    let table = fill(&home);
    fs::create_dir(home.folder().join("elsewhere")).unwrap();
    machine::give(&home.folder().join("elsewhere"), home.user);
    let begun = Instant::now();
    home.ok(&["backup", "create", "--to", &home.folder().join("elsewhere").display().to_string()]);
    let whole = begun.elapsed();
    let kept = fs::read_dir(home.folder().join("elsewhere")).unwrap().next().unwrap().unwrap().path();
    let (archive, elsewhere) =
        (kept.display().to_string(), home.folder().join("elsewhere").display().to_string());
    let before = precious(&home);
    let create = ["backup", "create", "--to", &elsewhere];
    let commands: [&[&str]; 3] = [&create, &["backup", "verify", &archive], &["restore", "--yes", &archive]];
    let mut random = Random::new(7);
    let (mut interrupted, tries) = (0, 18);
    for number in 0..tries {
        let args = commands[number % commands.len()];
        // A restore makes a backup before, and stops Mathesar after it.
        let longest = if args[0] == "restore" { whole * 3 } else { whole };
        let moment = Duration::from_millis(random.below(longest.as_millis() as u64 + 500));
        let signal = if number % 2 == 0 { Signal::INT } else { Signal::TERM };
        let mut child = home.spawn("interrupted", args);
        std::thread::sleep(moment);
        machine::signal(child.id() as i32, signal);
        let status = child.wait().unwrap();
        let words = home.words("interrupted");
        println!(
            "{args:?}: {signal:?} after {moment:?}: {status}: {}",
            words.lines().last().unwrap_or_default()
        );
        interrupted += usize::from(!status.success());
        if status.success() || words.contains("goes on starting") {
            // It was faster. What a restore has put aside stays for `rollback`.
            let _ = fs::remove_dir_all(home.layout.state.join("database/aside"));
        } else {
            assert_eq!(left(&home), [] as [&str; 0], "{args:?}: {words}");
            // One that had not even begun to listen had begun nothing.
            let at_once = status.signal().is_some() && words.is_empty();
            let said = words.contains("interrupted") || words.contains("told to stop");
            assert!(at_once || said, "{status}: {words}");
        }
        home.until("it runs", || home.status()["state"] == "running");
        assert_eq!(precious(&home), before);
        for entry in fs::read_dir(&elsewhere).unwrap().flatten().filter(|entry| entry.path() != kept) {
            fs::remove_file(entry.path()).unwrap();
        }
    }
    // Who has it ignored, by `nohup`, means it.
    let mut script = home.command(std::path::Path::new("/bin/sh"));
    let launcher = home.launcher(&["backup", "verify", &archive]);
    script
        .args(["-c", "trap '' HUP; exec \"$@\"", "sh"])
        .arg(launcher.get_program())
        .args(launcher.get_args());
    let mut child = script.stdout(std::process::Stdio::null()).spawn().unwrap();
    for signal in [Signal::HUP, Signal::HUP] {
        std::thread::sleep(whole / 4);
        machine::signal(child.id() as i32, signal);
    }
    assert!(child.wait().unwrap().success());
    assert!(interrupted >= tries / 3, "only {interrupted} of {tries} came in time");
    rita_reads(&home, &table);
    home.ok(&["backup", "verify", &archive]);
}
