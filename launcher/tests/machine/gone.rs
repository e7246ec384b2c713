//! Nothing of a machine outlives whoever has booted it, however that ends.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, ExitStatus, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use super::machine::{Machine, until};
use super::site;

const UP: &str = "the machine is up";

/// How the child ends by itself; it waits where nothing is said.
const HOW: &str = "MATHESAR_TEST_MACHINE_ENDS";

#[test]
fn a_machine_is_gone_with_whoever_has_booted_it() {
    if let Err(why) = site::base() {
        return println!("not run: {why}");
    }
    for signal in [Signal::INT, Signal::TERM, Signal::KILL] {
        let (mut child, number) = booted("");
        kill_process(Pid::from_child(&child), signal).unwrap();
        let status = child.wait().unwrap();
        assert!(!status.success(), "{signal:?}: {status}");
        assert_gone(number, &format!("{signal:?}"));
    }
    for (how, ended) in [("panic", false), ("well", true)] {
        let (mut child, number) = booted(how);
        let status: ExitStatus = child.wait().unwrap();
        assert_eq!(status.success(), ended, "{how}: {status}");
        assert_gone(number, how);
        assert!(!group(number).exists(), "{how}: {} is left", group(number).display());
    }
}

/// The child of the test above.
#[test]
#[ignore = "another test runs it"]
fn boots() {
    let Ok(how) = std::env::var(HOW) else { return };
    let machine = Machine::boot(site::base().unwrap(), &site::store(), &[]);
    println!("{UP}");
    match how.as_str() {
        "well" => drop(machine),
        "panic" => panic!("as a test does"),
        _ => std::thread::sleep(std::time::Duration::from_secs(600)),
    }
}

/// A process of its own that has booted a machine, and its number.
fn booted(how: &str) -> (Child, u32) {
    // A shell's `&` has its programs ignore SIGINT, and theirs too.
    let mut child = Command::new("env")
        .arg("--default-signal")
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "gone::boots", "--ignored", "--nocapture"])
        .env(HOW, how)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let number = child.id();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    assert!(lines.any(|line| line.contains(UP)), "it did not boot");
    // Whatever it says afterwards, somebody reads.
    std::thread::spawn(move || lines.for_each(drop));
    if how.is_empty() {
        assert!(!processes(number).is_empty(), "no process of the machine is seen");
    }
    (child, number)
}

fn assert_gone(number: u32, how: &str) {
    let gone = until(|| processes(number).is_empty().then_some(()));
    assert!(gone.is_some(), "after {how} there are {:?}", processes(number));
    // Folders of one that was killed are removed by the next.
    drop(machines::scratch(&site::store(), "gone").unwrap());
    let begin = format!("scratch-{number}-");
    let left: Vec<_> = fs::read_dir(site::store())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .filter(|name| name.starts_with(&begin))
        .collect();
    assert!(left.is_empty(), "after {how} there are {left:?}");
}

fn group(number: u32) -> std::path::PathBuf {
    format!("/sys/fs/cgroup/mathesar-test-{number}-0").into()
}

/// Of the machine that a process has booted.
fn processes(number: u32) -> Vec<String> {
    let group = format!("/mathesar-test-{number}-");
    let entries = fs::read_dir("/proc").unwrap().map(|entry| entry.unwrap().path());
    entries
        .filter(|path| fs::read_to_string(path.join("cgroup")).is_ok_and(|text| text.contains(&group)))
        .map(|path| fs::read_to_string(path.join("stat")).unwrap_or_default())
        // One that has ended, and that nobody has asked yet how.
        .filter(|stat| !stat.is_empty() && !stat.contains(") Z "))
        .collect()
}
