//! The timer that makes a backup every day: the system's own, which its packages bring, or a user's, written here.

use std::ffi::OsString;
use std::fs;
use std::io::ErrorKind;

use super::unit;
use super::{Place, autostart, systemd};
use crate::app::files;
use crate::failure::{Exit, Failure};
use crate::layout::{Environment, Layout, Scope};

/// How it is now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    pub unit: String,
    pub on: bool,
    /// As systemd says it.
    pub next: Option<String>,
    pub last: Option<String>,
    /// How the last backup of its ended: `success`, `exit-code`.
    pub result: Option<String>,
}

/// `mathesar-backup.timer`, or with the instance or the folder that it is of.
pub fn name(layout: &Layout) -> String {
    let unit = systemd::unit_name(layout);
    let rest = unit.strip_prefix("mathesar").unwrap_or_default();
    format!("mathesar-backup{}.timer", rest.strip_suffix(".service").unwrap_or(rest))
}

fn service_of(timer: &str) -> String {
    format!("{}.service", timer.strip_suffix(".timer").unwrap_or(timer))
}

/// Where no systemd runs, somebody else has to keep the time.
fn possible(layout: &Layout, environment: &Environment, global: &[OsString]) -> Result<(), Failure> {
    if !environment.macos && systemd::is_booted() {
        return Ok(());
    }
    let program = autostart::program(environment)?;
    let command = autostart::cron_words(&program, global);
    let line = format!("15 3 * * * {command} backup create --made-by timer && {command} backup prune");
    let whose = if layout.scope == Scope::System { "sudo crontab -u mathesar -e" } else { "crontab -e" };
    Err(Failure::new("this system is not run by systemd, which keeps the time for backups")
        .exit(Exit::Refused)
        .help(format!("let cron do it: add the line `{line}` by `{whose}`")))
}

/// The files of a user's timer and its service.
fn places(layout: &Layout, environment: &Environment) -> Result<[Place; 2], Failure> {
    let timer = name(layout);
    let find = |unit: &str| systemd::place(unit, environment);
    match (find(&timer), find(&service_of(&timer))) {
        (Some(timer), Some(service)) => Ok([timer, service]),
        _ => Err(Failure::new("cannot tell your home folder")
            .exit(Exit::Usage)
            .help("set HOME, and run it again")),
    }
}

/// True: something has changed.
pub fn switch_on(layout: &Layout, environment: &Environment, global: &[OsString]) -> Result<bool, Failure> {
    possible(layout, environment, global)?;
    let timer = name(layout);
    if layout.scope == Scope::System {
        administrator(environment, "on")?;
        let before = is_on(&timer, false);
        let failure = |failure: Failure| {
            failure.help(format!("the package brings the unit: see `systemctl cat {timer}`"))
        };
        systemd::systemctl(false).args(["enable", "--now", "--quiet"]).arg(&timer).run().map_err(failure)?;
        return Ok(!before);
    }
    let [timer_file, service_file] = places(layout, environment)?;
    systemd::reachable()?;
    let job = autostart::job(layout, environment, &autostart::program(environment)?, global)?;
    let mut changed = false;
    for (place, text) in [(&service_file, unit::render_backup(&job)), (&timer_file, unit::render_timer(&job))]
    {
        if autostart::existing(place)?.as_deref() == Some(text.as_str()) {
            continue;
        }
        place.file.parent().map(files::create_folder).transpose()?;
        files::write(&place.file, text.as_bytes())?;
        changed = true;
    }
    let before = is_on(&timer, true);
    let enabled = systemd::systemctl(true)
        .arg("daemon-reload")
        .run()
        .and_then(|_| systemd::systemctl(true).args(["enable", "--now", "--quiet"]).arg(&timer).run());
    enabled.map(|_| changed || !before)
}

/// True: it was on, or its files were there.
pub fn switch_off(layout: &Layout, environment: &Environment) -> Result<bool, Failure> {
    let timer = name(layout);
    if layout.scope == Scope::System {
        administrator(environment, "off")?;
        let before = is_on(&timer, false);
        systemd::systemctl(false).args(["disable", "--now", "--quiet"]).arg(&timer).run()?;
        return Ok(before);
    }
    let places = places(layout, environment)?;
    let mut there = false;
    for place in &places {
        there |= autostart::existing(place)?.is_some();
    }
    if !there {
        return Ok(false);
    }
    if systemd::is_booted() {
        // The link is removed below in any case.
        let _ = systemd::systemctl(true).args(["disable", "--now", "--quiet"]).arg(&timer).output();
    }
    let link = places[0].file.parent().map(|folder| folder.join("timers.target.wants").join(&timer));
    for path in link.iter().chain(places.iter().map(|place| &place.file)) {
        match fs::remove_file(path) {
            Err(cause) if cause.kind() != ErrorKind::NotFound => {
                return Err(Failure::io("remove", path, cause));
            }
            _ => {}
        }
    }
    if systemd::is_booted() {
        let _ = systemd::systemctl(true).arg("daemon-reload").output();
    }
    Ok(true)
}

/// Asks nobody where no systemd runs: it is off then.
pub fn status(layout: &Layout) -> Status {
    let (unit, user) = (name(layout), layout.scope != Scope::System);
    let property = |of: &str, name: &str| {
        let output =
            systemd::systemctl(user).args(["show", "--value", "--property", name]).arg(of).output().ok()?;
        let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        (output.status.success() && !text.is_empty() && text != "n/a").then_some(text)
    };
    if !systemd::is_booted() || !is_on(&unit, user) {
        return Status { unit, on: false, next: None, last: None, result: None };
    }
    let last = property(&unit, "LastTriggerUSec");
    Status {
        on: true,
        next: property(&unit, "NextElapseUSecRealtime"),
        result: last.as_ref().and_then(|_| property(&service_of(&unit), "Result")),
        last,
        unit,
    }
}

fn is_on(timer: &str, user: bool) -> bool {
    let enabled = systemd::systemctl(user).args(["is-enabled", "--quiet"]).arg(timer).output();
    enabled.is_ok_and(|output| output.status.success())
}

fn administrator(environment: &Environment, to: &str) -> Result<(), Failure> {
    match environment.uid {
        0 => Ok(()),
        _ => Err(Failure::new("the system's timer is switched by its administrator")
            .exit(Exit::Refused)
            .help(format!("run it as root: `sudo mathesar backup timer {to}`"))),
    }
}

/// Whether a user's timer is there, for whoever takes everything away.
pub fn of_user_exists(layout: &Layout, environment: &Environment) -> bool {
    let there = |place: &Place| place.file.is_file();
    layout.scope != Scope::System && places(layout, environment).is_ok_and(|places| places.iter().any(there))
}

#[cfg(test)]
#[path = "timer_tests.rs"]
mod tests;
