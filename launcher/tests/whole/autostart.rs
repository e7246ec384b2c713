//! `mathesar autostart` where no systemd is. With one: launcher/tests/machine.

use std::path::Path;

use crate::harness::{Home, Start};

#[test]
fn without_systemd_cron_is_named() {
    if Path::new("/run/systemd/system").exists() {
        println!("not run: systemd runs here");
        return;
    }
    let Some(home) = Home::of_user(Start::Bare) else { return };
    let on = home.mathesar(&["autostart", "on"]);
    assert_eq!(on.status, 4, "{on:?}");
    let line = format!("`@reboot {} start`", home.program().display());
    assert!(on.stderr.contains("this system is not run by systemd") && on.stderr.contains(&line), "{on:?}");
    assert!(!home.folder().join("home/.config/systemd").exists(), "half of it was written");
    let off = home.ok(&["autostart", "off"]);
    assert!(off.stderr.contains("does not start by itself"), "{off:?}");
    assert!(home.status()["autostart"].is_null());
    let status = home.mathesar(&["autostart", "status"]);
    assert!(status.status == 3 && status.stdout.starts_with("autostart    off\n"), "{status:?}");
    assert!(status.stdout.contains("`mathesar autostart on`") && status.stderr.is_empty(), "{status:?}");
    let status = home.mathesar(&["autostart", "status", "--json"]);
    let said: serde_json::Value = serde_json::from_str(&status.stdout).unwrap();
    assert!(status.status == 3 && said["on"] == false && said["file"].is_null(), "{status:?}");
    assert_eq!(home.mathesar(&["autostart", "on", "--json"]).status, 2);
    // Both links that `on` makes: it is on, whoever runs the system.
    let units = home.folder().join("home/.config/systemd/user");
    home.write(&units.join("mathesar.service"), "");
    home.write(&units.join("default.target.wants/mathesar.service"), "");
    let status = home.mathesar(&["autostart", "status"]);
    assert!(status.status == 0 && status.stdout.starts_with("autostart    on\nfile "), "{status:?}");
}

#[test]
fn somebody_else_s_unit_is_left_alone() {
    let Some(home) = Home::of_user(Start::Bare) else { return };
    let unit = home.folder().join("home/.config/systemd/user/mathesar.service");
    home.write(&unit, "[Service]\nExecStart=/bin/true\n");
    let off = home.mathesar(&["autostart", "off"]);
    assert_eq!(off.status, 4, "{off:?}");
    assert!(off.stderr.contains("was not written by `mathesar`"), "{off:?}");
    let uninstalled = home.mathesar(&["uninstall", "--yes"]);
    assert_eq!(uninstalled.status, 4, "{uninstalled:?}");
    assert_eq!(std::fs::read_to_string(unit).unwrap(), "[Service]\nExecStart=/bin/true\n");
}

#[test]
fn the_system_s_is_the_administrator_s() {
    let Some(home) = Home::of_user(Start::Bare) else { return };
    let on = home.mathesar(&["--system", "autostart", "on"]);
    assert_eq!(on.status, 4, "{on:?}");
    assert!(on.stderr.contains("`sudo systemctl enable --now mathesar.service`"), "{on:?}");
}
