//! `mathesar@NAME`.

use std::fs;
use std::path::Path;

use super::machine::Machine;
use super::service::{answers, main_pid, property, psql, status};

/// A second installation runs beside the first, and each without the other.
pub fn instance(machine: &Machine) {
    // As docs/deb.md says.
    for setting in ["server.listen 127.0.0.1:8001", "server.workers 1", "network.offline true"] {
        machine.sh(&format!("mathesar --instance two config set {setting}"));
    }
    // A first start that takes longer than systemd waits for a silent one: the launcher asks for more.
    let impatient = "/etc/systemd/system/mathesar@.service.d/50-test.conf";
    machine.write(impatient, "[Service]\nTimeoutStartSec=2s\n");
    machine.sh("systemctl daemon-reload");
    let started = machine.try_sh("systemctl enable --now mathesar@two");
    assert_eq!(started.code, Some(0), "systemctl enable --now mathesar@two: {}", started.told());
    let moment = |name: &str| property(machine, "mathesar@two", name).parse::<u64>().unwrap();
    let took = moment("ActiveEnterTimestampMonotonic") - moment("InactiveExitTimestampMonotonic");
    println!("TimeoutStartSec=2s, and the instance's first start took {:.1} s", took as f64 / 1e6);
    machine.sh(&format!("rm {impatient}; systemctl daemon-reload"));
    answers(machine, 8001, "of the instance");
    answers(machine, 8000, "beside the instance");

    // The unit's folders are those that a person's commands mean.
    let environment = "tr '\\0' '\\n' </proc/$(systemctl show --value -p MainPID mathesar@two)/environ";
    let folders = machine.sh(&format!("{environment} | grep _DIRECTORY= | sort"));
    let layout = machine.sh("mathesar --system --instance two layout");
    let expected = "CACHE_DIRECTORY=/var/cache/mathesar/two\nCONFIGURATION_DIRECTORY=/etc/mathesar/two\n\
                    RUNTIME_DIRECTORY=/run/mathesar/two\nSTATE_DIRECTORY=/var/lib/mathesar/two";
    assert_eq!(folders, expected);
    for folder in expected.lines().filter_map(|line| line.split_once('=')) {
        assert!(layout.split_whitespace().any(|word| word == folder.1), "{} is not in\n{layout}", folder.1);
    }
    let mode = machine.sh("stat -c '%U:%G %a' /etc/mathesar/two /var/lib/mathesar/two");
    assert_eq!(mode, "root:root 755\nmathesar:mathesar 750", "settings and state of the instance");
    assert_eq!(status(machine, "--instance two")["pid"], main_pid(machine, "mathesar@two"));
    let clusters = "SELECT system_identifier FROM pg_control_system()";
    let one = psql(machine, "mathesar", "/run/mathesar", "mathesar", clusters);
    let two = psql(machine, "mathesar", "/run/mathesar/two", "mathesar", clusters);
    assert!(one.code == Some(0) && two.code == Some(0) && one.out != two.out, "clusters {one:?} and {two:?}");

    // The folder of the first one's sockets holds those of the second.
    machine.sh("systemctl stop mathesar");
    answers(machine, 8001, "after the first one stopped");
    let two = psql(machine, "mathesar", "/run/mathesar/two", "mathesar", "SELECT 1");
    assert_eq!(two.out, "1", "the instance's cluster after the first one stopped: {}", two.told());
    machine.sh("systemctl start mathesar");
    machine.sh("systemctl stop mathesar@two");
    answers(machine, 8000, "after the instance stopped");
    machine.sh("systemctl start mathesar@two");
    answers(machine, 8001, "after both were stopped once");
}

/// Nobody but the package knows all instances.
pub fn package_removed(machine: &Machine) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("packaging/deb/prerm");
    machine.write("/tmp/prerm", &fs::read_to_string(script).unwrap());
    machine.sh("sh /tmp/prerm upgrade");
    let timers = ["mathesar-backup.timer", "mathesar-backup@two.timer"];
    for unit in timers.iter().chain(&["mathesar@two"]) {
        assert_eq!(property(machine, unit, "ActiveState"), "active", "{unit} while the package is upgraded");
    }
    machine.sh("sh /tmp/prerm remove");
    for unit in timers.iter().chain(&["mathesar@two"]) {
        assert_eq!(property(machine, unit, "ActiveState"), "inactive", "{unit} when the package is removed");
    }
}
