//! A user's own installation under the user's own systemd: `mathesar autostart`, and what goes through it from then on.

use serde_json::{Value, json};

use super::machine::{Machine, Ran, until};
use super::service::{Journal, page};
use super::site;

const UNIT: &str = ".config/systemd/user/mathesar.service";

/// What ada types into a shell of hers; of her session there is the variable that a login sets.
fn ada(machine: &Machine, script: &str) -> Ran {
    let login = "export HOME=/home/ada XDG_RUNTIME_DIR=/run/user/$(id -u); cd";
    machine.sh_as("ada", &format!("{login}; {script}"))
}

/// The same, for what has to end well: both of its outputs.
fn well(machine: &Machine, script: &str) -> String {
    let ran = ada(machine, script);
    assert_eq!(ran.code, Some(0), "`{script}`: {}", ran.told());
    format!("{}\n{}", ran.out, ran.err)
}

fn property(machine: &Machine, unit: &str, name: &str) -> String {
    well(machine, &format!("systemctl --user show --value -p {name} {unit}")).trim().to_owned()
}

fn status(machine: &Machine) -> Value {
    serde_json::from_str(&ada(machine, "mathesar status --json").out).unwrap()
}

/// It runs, and the unit runs it.
fn runs_in(machine: &Machine, unit: &str, when: &str) {
    let found = until(|| (property(machine, unit, "ActiveState") == "active").then_some(()));
    assert!(found.is_some(), "{unit} is {} {when}", property(machine, unit, "ActiveState"));
    let pid = || property(machine, unit, "MainPID").parse::<u32>().unwrap();
    let same = until(|| (status(machine)["pid"] == pid()).then_some(()));
    assert!(same.is_some(), "{unit} runs {}, and Mathesar is {} {when}", pid(), status(machine));
    let up = until(|| (status(machine)["state"] == "running").then_some(()));
    assert!(up.is_some(), "{} {when}", status(machine));
}

/// The page that makes the first administrator: nobody has been there yet.
fn answers(machine: &Machine, when: &str) {
    let (code, body) = page(machine, 8001, "/auth/login/");
    assert_eq!(code, "302", "{when}: {body}");
}

fn nobody_is_left(machine: &Machine, when: &str) {
    let left = machine.try_sh("ps -u ada -o pid,args | grep -E 'mathesar|postgres|gunicorn' | grep -v grep");
    assert_eq!(left.out, "", "left {when}");
}

#[test]
fn a_user_s_own_comes_back_after_a_boot() {
    let site = match site::installed() {
        Ok(site) => site,
        Err(why) => return println!("not run: {why}"),
    };
    let machine = &site.machine;
    let _journal = Journal(machine);
    machine.sh("useradd --create-home --shell /bin/sh ada");
    let settings = "[server]\nlisten = \"127.0.0.1:8001\"\nworkers = 1\n[network]\noffline = true\n";
    machine.write("/tmp/settings", settings);
    machine.sh("install -d -o ada -g ada /home/ada/.config /home/ada/.config/mathesar
                install -o ada -g ada -m 600 /tmp/settings /home/ada/.config/mathesar/mathesar.conf");

    without_a_manager(machine);
    machine.sh("loginctl enable-linger ada");
    let up = until(|| machine.try_sh("systemctl is-active user@$(id -u ada)").code.filter(|code| *code == 0));
    let why = "systemctl status --no-pager user@$(id -u ada); journalctl -b --no-pager -u systemd-logind -u 'user*' | tail -30";
    assert!(up.is_some(), "ada's systemd does not run: {}", machine.try_sh(why).told());

    switched_on(machine);
    killed(machine);
    stopped_and_started(machine);
    refused(machine);
    rebooted(machine);
    switched_off(machine);
    by_homebrew(machine);
    uninstalled(machine);
}

/// `su` without a session: nothing is half done.
fn without_a_manager(machine: &Machine) {
    assert_eq!(status(machine)["autostart"], json!(false));
    let on = machine.sh_as("ada", "export HOME=/home/ada; mathesar autostart on");
    assert_eq!(on.code, Some(4), "{}", on.told());
    assert!(on.err.contains("`sudo loginctl enable-linger ada`"), "{}", on.told());
    assert_ne!(machine.try_sh(&format!("ls /home/ada/{UNIT}")).code, Some(0));
}

fn switched_on(machine: &Machine) {
    well(machine, "mathesar start");
    let on = well(machine, "mathesar autostart on");
    println!("{on}");
    assert!(on.contains("Wrote /home/ada/.config/systemd/user/mathesar.service"), "{on}");
    assert!(on.contains("`mathesar restart --everything` moves it over"), "{on}");
    let verified = ada(machine, &format!("systemd-analyze --user --man=no verify ~/{UNIT}"));
    assert!(verified.code == Some(0) && verified.err.is_empty(), "{}", verified.told());
    assert_eq!(well(machine, "systemctl --user is-enabled mathesar").trim(), "enabled");
    assert_eq!(status(machine)["autostart"], json!(true));
    assert!(well(machine, "mathesar autostart status").contains("autostart    on"));
    assert!(well(machine, "mathesar autostart on").contains("Unchanged"));

    well(machine, "mathesar restart --everything");
    runs_in(machine, "mathesar", "after it was moved over");
    answers(machine, "of ada's");
    assert!(well(machine, "mathesar start").contains("Running already"));
    let logs = well(machine, "mathesar logs --source postgresql");
    assert!(logs.contains("database system is ready to accept connections"), "{logs}");
    // An instance has a unit of its own.
    well(machine, "mathesar --instance blue autostart on --no-linger");
    assert_eq!(well(machine, "systemctl --user is-enabled mathesar@blue").trim(), "enabled");
    let exec = property(machine, "mathesar@blue", "ExecStart");
    assert!(exec.contains("argv[]=/usr/bin/mathesar --instance blue run"), "{exec}");
    well(machine, "mathesar --instance blue autostart off");
    assert!(!ada(machine, "systemctl --user is-enabled mathesar@blue").out.contains("enabled"));
}

fn killed(machine: &Machine) {
    let former = property(machine, "mathesar", "MainPID");
    machine.sh(&format!("kill -KILL {former}"));
    until(|| (![former.as_str(), "0"].contains(&&*property(machine, "mathesar", "MainPID"))).then_some(()));
    runs_in(machine, "mathesar", "after SIGKILL");
    assert_eq!(property(machine, "mathesar", "NRestarts"), "1");
}

fn stopped_and_started(machine: &Machine) {
    well(machine, "mathesar stop");
    assert_eq!(property(machine, "mathesar", "ActiveState"), "inactive");
    assert_eq!(property(machine, "mathesar", "Result"), "success");
    nobody_is_left(machine, "after `mathesar stop`");
    well(machine, "mathesar start");
    runs_in(machine, "mathesar", "after `mathesar start`");
    let former = property(machine, "mathesar", "MainPID");
    well(machine, "mathesar restart --everything");
    assert_ne!(property(machine, "mathesar", "MainPID"), former);
}

/// What is wrong is told by the command that was typed, and once only.
fn refused(machine: &Machine) {
    well(
        machine,
        "mathesar stop; mkdir -p .config/mathesar/conf.d; echo 'x = [' >.config/mathesar/conf.d/50-wrong.conf",
    );
    let started = ada(machine, "mathesar start");
    println!("{}", started.err);
    assert_eq!(started.code, Some(4), "{}", started.told());
    assert!(started.err.contains("50-wrong.conf"), "{}", started.told());
    assert_eq!(property(machine, "mathesar", "NRestarts"), "0");
    let logs = ada(machine, "mathesar logs");
    assert!(logs.out.contains("50-wrong.conf"), "{}", logs.told());
    well(machine, "rm .config/mathesar/conf.d/50-wrong.conf; mathesar start");
    runs_in(machine, "mathesar", "after the settings were put right");
}

fn rebooted(machine: &Machine) {
    machine.reboot();
    runs_in(machine, "mathesar", "after a reboot");
    answers(machine, "after a reboot");
}

fn switched_off(machine: &Machine) {
    let off = well(machine, "mathesar autostart off");
    assert!(off.contains("Removed") && off.contains("goes on running"), "{off}");
    let left = machine.sh("find /home/ada/.config/systemd -type f -o -type l");
    assert_eq!(left, "");
    answers(machine, "after `autostart off`");
    well(machine, "mathesar stop");
    nobody_is_left(machine, "after `autostart off` and `stop`");
    assert_eq!(status(machine)["autostart"], json!(false));
    assert!(well(machine, "mathesar autostart off").contains("Unchanged"));
}

/// What `brew services start` writes: another copy beside it there must not be.
fn by_homebrew(machine: &Machine) {
    let unit = "[Unit]\nDescription=Homebrew generated unit for mathesar\n\n[Install]\nWantedBy=default.target\n\n\
                [Service]\nType=simple\nExecStart=\"/usr/bin/mathesar\" \"run\"\nRestart=always\n";
    machine.write("/tmp/unit", unit);
    well(
        machine,
        "mkdir -p .config/systemd/user; cp /tmp/unit .config/systemd/user/homebrew.mathesar.service
                   systemctl --user daemon-reload; systemctl --user enable --quiet homebrew.mathesar",
    );
    let on = ada(machine, "mathesar autostart on");
    assert!(on.code == Some(4) && on.err.contains("`brew services stop mathesar`"), "{}", on.told());
    well(machine, "mathesar start");
    runs_in(machine, "homebrew.mathesar", "after `mathesar start`");
    assert_eq!(status(machine)["autostart"], json!(true));
    well(machine, "mathesar restart --everything");
    runs_in(machine, "homebrew.mathesar", "after `mathesar restart`");
    // Through the unit: else it would be back at once.
    well(machine, "mathesar stop");
    assert_eq!(property(machine, "homebrew.mathesar", "ActiveState"), "inactive");
    nobody_is_left(machine, "after `mathesar stop` with Homebrew");
    well(machine, "systemctl --user disable --quiet homebrew.mathesar; rm .config/systemd/user/homebrew.mathesar.service
                   systemctl --user daemon-reload");
}

fn uninstalled(machine: &Machine) {
    well(machine, "mathesar autostart on; mathesar start");
    runs_in(machine, "mathesar", "before `uninstall`");
    let done = well(machine, "mathesar uninstall --purge --yes");
    println!("{done}");
    nobody_is_left(machine, "after `uninstall`");
    let left = machine.sh("find /home/ada -path '*mathesar*'");
    assert_eq!(left, "");
    assert_eq!(property(machine, "mathesar", "LoadState"), "not-found");
}
