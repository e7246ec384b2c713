//! Ends that nobody wished, and what systemd makes of them.

use super::machine::{Machine, until};
use super::service::{
    answers, comes_back, drop_in, main_pid, page, processes, property, remove_drop_in, still_there,
};

pub fn killed(machine: &Machine) {
    let former = main_pid(machine, "mathesar");
    let all = processes(machine, "mathesar");
    assert!(all.iter().any(|line| line.ends_with("postgres")), "no PostgreSQL among {all:?}");
    assert!(still_there(machine, &all).iter().any(|line| line.ends_with("postgres")), "{all:?}");
    machine.sh(&format!("kill -KILL {former}"));
    comes_back(machine, "mathesar", former, "after SIGKILL");
    assert_eq!(still_there(machine, &all), Vec::<String>::new(), "left over by SIGKILL");
    assert_eq!(property(machine, "mathesar", "NRestarts"), "1", "restarts by systemd");
    answers(machine, 8000, "after SIGKILL");
}

const CONTROL_DATA: &str = "runuser -u mathesar -- /usr/lib/postgresql/15/bin/pg_controldata";

pub fn stopped(machine: &Machine) {
    let all = processes(machine, "mathesar");
    machine.sh("systemctl stop mathesar");
    assert_eq!(property(machine, "mathesar", "ActiveState"), "inactive");
    assert_eq!(property(machine, "mathesar", "Result"), "success");
    assert_eq!(still_there(machine, &all), Vec::<String>::new(), "left over by `systemctl stop`");
    let state = machine.sh(&format!("{CONTROL_DATA} {} | grep 'cluster state'", cluster(machine)));
    assert!(state.ends_with(" shut down"), "PostgreSQL after `systemctl stop`: {state}");
    assert_eq!(page(machine, 8000, "/auth/login/").0, "000", "somebody answers after `systemctl stop`");
    machine.sh("systemctl start mathesar");
    answers(machine, 8000, "after stop and start");
}

/// The data directory of the default installation's cluster.
fn cluster(machine: &Machine) -> String {
    let found =
        machine.sh("find /var/lib/mathesar/database -name PG_VERSION -not -path '*/base/*' -printf '%h\\n'");
    assert_eq!(found.lines().count(), 1, "data directories: {found}");
    found
}

/// 2 and 4 want a person; everything else is tried again.
pub fn refusals_are_final(machine: &Machine) {
    machine.sh("systemctl stop mathesar");
    // One that is to be started again would be `activating` from its end on.
    let ended = |code: &str| {
        machine.sh("systemctl reset-failed mathesar");
        machine.try_sh("systemctl start mathesar");
        assert_eq!(property(machine, "mathesar", "ExecMainStatus"), code, "the exit code");
        let [state, restarts] = ["ActiveState", "NRestarts"].map(|name| property(machine, "mathesar", name));
        assert_eq!((state.as_str(), restarts.as_str()), ("failed", "0"), "after exit code {code}");
    };
    machine.write("/etc/mathesar/conf.d/50-wrong.conf", "[server]\nnonsense = 1\n");
    ended("4");
    machine.sh("rm /etc/mathesar/conf.d/50-wrong.conf");
    drop_in(machine, "60-exec", "ExecStart=\nExecStart=/usr/bin/mathesar run --no-such-option");
    ended("2");
    drop_in(machine, "60-exec", "ExecStart=\nExecStart=/bin/sh -c 'exit 1'");
    machine.sh("systemctl reset-failed mathesar; systemctl start --no-block mathesar");
    let again = until(|| (property(machine, "mathesar", "NRestarts") != "0").then_some(()));
    assert!(again.is_some(), "a failure that may pass is not tried again");
    remove_drop_in(machine, "60-exec");
    machine.sh("systemctl stop mathesar; systemctl reset-failed mathesar; systemctl start mathesar");
    answers(machine, 8000, "after the settings were put right");
}

/// systemd notices a launcher that does nothing any more.
pub fn hung(machine: &Machine) {
    drop_in(machine, "60-watchdog", "WatchdogSec=5s");
    machine.sh("systemctl restart mathesar");
    let former = main_pid(machine, "mathesar");
    let all = processes(machine, "mathesar");
    // While it works it is left alone.
    machine.sh("sleep 6");
    assert_eq!(main_pid(machine, "mathesar"), former, "the watchdog ended one that works");
    machine.sh(&format!("kill -STOP {former}"));
    comes_back(machine, "mathesar", former, "after SIGSTOP");
    let told = machine.sh("journalctl --no-pager -u mathesar | grep -c 'Watchdog timeout' || :");
    assert_ne!(told, "0", "it came back, but not by the watchdog");
    assert_eq!(still_there(machine, &all), Vec::<String>::new(), "left over by the watchdog");
    answers(machine, 8000, "after the watchdog");
    remove_drop_in(machine, "60-watchdog");
    machine.sh("systemctl restart mathesar");
}
