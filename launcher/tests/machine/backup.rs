//! The timer of backups, and what it starts, below the same sandbox as the service.

use serde_json::Value;

use super::machine::Machine;
use super::service::{answers, property};

/// Who made each, newest first as the list is.
fn made_by(machine: &Machine, options: &str) -> Vec<String> {
    let listed = machine.sh(&format!("mathesar {options} backup list --json"));
    let listed: Vec<Value> = serde_json::from_str(&listed).unwrap_or_else(|_| panic!("{listed}"));
    listed.iter().map(|backup| backup["made_by"].as_str().unwrap_or_default().to_owned()).collect()
}

fn makes_one(machine: &Machine, unit: &str, options: &str, when: &str) {
    let before = made_by(machine, options).len();
    let started = machine.try_sh(&format!("systemctl start {unit}"));
    let journal = || machine.sh(&format!("journalctl --no-pager -n 40 -u {unit}"));
    assert_eq!(started.code, Some(0), "{unit} {when}: {}\n{}", started.told(), journal());
    assert_eq!(property(machine, unit, "Result"), "success", "{unit} {when}");
    let found = made_by(machine, options);
    assert_eq!(found.len(), before + 1, "{unit} {when}: {found:?}\n{}", journal());
    assert!(found.iter().all(|by| by == "timer"), "{unit} {when}: {found:?}");
}

fn timer(machine: &Machine, unit: &str) -> [String; 2] {
    ["UnitFileState", "ActiveState"].map(|name| property(machine, unit, name))
}

/// Off as it is installed, on and off by the command; a backup beside the service that runs, and without it.
pub fn backups(machine: &Machine) {
    let verified =
        machine.try_sh("systemd-analyze verify --man=no mathesar-backup.timer mathesar-backup@two.timer");
    assert!(verified.code == Some(0) && verified.err.is_empty(), "{}", verified.told());
    let unit = "mathesar-backup.timer";
    assert_eq!(timer(machine, unit), ["disabled", "inactive"], "as it is installed");
    machine.sh("mathesar backup timer on");
    assert_eq!(timer(machine, unit), ["enabled", "active"], "after `backup timer on`");
    makes_one(machine, "mathesar-backup.service", "", "beside the service");
    answers(machine, 8000, "after a backup");
    machine.sh("systemctl stop mathesar");
    makes_one(machine, "mathesar-backup.service", "", "without the service");
    machine.sh("systemctl start mathesar");
    answers(machine, 8000, "after a backup without the service");
    machine.sh("mathesar backup verify $(ls -t /var/lib/mathesar/backups/* | head -1)");
    machine.sh("mathesar backup timer off");
    assert_eq!(timer(machine, unit), ["disabled", "inactive"], "after `backup timer off`");
}

/// The same of an instance. Its timer stays on: the package is removed next.
pub fn backups_of_the_instance(machine: &Machine) {
    machine.sh("mathesar --instance two backup timer on; mathesar backup timer on");
    for unit in ["mathesar-backup.timer", "mathesar-backup@two.timer"] {
        assert_eq!(timer(machine, unit), ["enabled", "active"], "{unit}");
    }
    makes_one(machine, "mathesar-backup@two.service", "--instance two", "beside the instance");
}
