//! The supervisor, its unit, and what an earlier one may have left.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::Value;

use super::ask::said;
use super::{Check, Entry, Group, Known, Look};
use crate::control::Lock;
use crate::layout::Scope;
use crate::server::gunicorn::MARK;
use crate::service_manager::{Manager, of_user_exists, systemctl};
use crate::supervise::orphans::marked;

pub(super) static RUNNING: Entry = Entry {
    id: "running",
    group: Group::Service,
    title: "Mathesar",
    doc: "The supervisor runs and all its parts answer, or Mathesar was stopped in good order: a failed start or end is told with its reason.",
};
pub(super) static PENDING: Entry = Entry {
    id: "restart-pending",
    group: Group::Service,
    title: "pending",
    doc: "The settings in force are those of the files: otherwise a restart is pending.",
};
pub(super) static UNIT: Entry = Entry {
    id: "unit",
    group: Group::Service,
    title: "systemd unit",
    doc: "The unit is loaded as it is on disk, enabled, not failed, not at its start limit, and does not restart again and again.",
};
pub(super) static LINGER: Entry = Entry {
    id: "linger",
    group: Group::Service,
    title: "start without a login",
    doc: "A user unit that `mathesar autostart on` has made also runs while its user is not logged in (lingering).",
};
pub(super) static LEFTOVERS: Entry = Entry {
    id: "leftover-processes",
    group: Group::Service,
    title: "leftover processes",
    doc: "No gunicorn and no PostgreSQL of this installation runs without a launcher.",
};

pub(super) const ENTRIES: &[&Entry] = &[&RUNNING, &PENDING, &UNIT, &LINGER, &LEFTOVERS];

#[derive(Debug, Clone)]
pub(super) struct Facts {
    /// `state` of `status`.
    pub state: String,
    pub message: Option<String>,
    pub services: BTreeMap<String, String>,
    pub pending: Vec<String>,
    pub running: bool,
    /// Another command that holds the lock.
    pub busy: Option<String>,
    /// systemctl's properties; or why there is no unit.
    pub unit: Known<Unit>,
    /// User of a user unit, and whether it lingers; none: there is no user unit.
    pub linger: Option<(String, bool)>,
    pub leftovers: Vec<i32>,
    pub postmaster: Option<u32>,
}

#[derive(Debug, Clone)]
pub(super) struct Unit {
    pub name: String,
    pub user: bool,
    pub properties: BTreeMap<String, String>,
}

impl Unit {
    fn is(&self, name: &str, value: &str) -> bool {
        self.properties.get(name).is_some_and(|found| found == value)
    }

    fn systemctl(&self) -> &'static str {
        if self.user { "systemctl --user" } else { "sudo systemctl" }
    }
}

impl Facts {
    pub fn gather(look: &Look) -> Facts {
        let installation = &look.installation;
        let layout = &installation.layout;
        let text = |name: &str| look.status.get(name).and_then(Value::as_str).map(str::to_owned);
        let running = look.running();
        let busy = Lock::holder(&layout.state).filter(|_| !running);
        let lone = !running && busy.is_none();
        let services = look.status.get("services").and_then(Value::as_object).cloned().unwrap_or_default();
        let pending = look.status.get("pending").and_then(Value::as_array).cloned().unwrap_or_default();
        Facts {
            state: text("state").unwrap_or_default(),
            message: text("message").filter(|message| !message.is_empty()),
            services: services
                .into_iter()
                .map(|(name, state)| (name, state.as_str().unwrap_or_default().to_owned()))
                .collect(),
            pending: pending.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
            unit: unit(look),
            linger: linger(look),
            leftovers: if lone { marked(MARK, &layout.state.to_string_lossy()) } else { Vec::new() },
            postmaster: match &look.cluster {
                Some(Ok(cluster)) if lone => cluster.leftover(),
                _ => None,
            },
            running,
            busy: busy.map(|holder| holder.to_string()),
        }
    }
}

fn unit(look: &Look) -> Known<Unit> {
    let installation = &look.installation;
    let Manager::Systemd { unit, user } = Manager::of(&installation.layout, &installation.environment) else {
        return Err(match installation.layout.scope {
            Scope::User | Scope::Home => "there is none; to make one: `mathesar autostart on`".to_owned(),
            Scope::System => "this system is not run by systemd, or has no unit".to_owned(),
        });
    };
    const ASKED: &str =
        "LoadState,ActiveState,SubState,Result,NRestarts,UnitFileState,NeedDaemonReload,ExecMainStatus";
    let text = said(systemctl(user).args(["show", "-p", ASKED]).arg(&unit));
    let text = text.ok_or("systemctl does not answer")?;
    let pairs = text.lines().filter_map(|line| line.split_once('='));
    Ok(Unit { name: unit, user, properties: pairs.map(|(n, v)| (n.to_owned(), v.to_owned())).collect() })
}

fn linger(look: &Look) -> Option<(String, bool)> {
    let installation = &look.installation;
    if installation.environment.macos || !of_user_exists(&installation.layout, &installation.environment) {
        return None;
    }
    let user = crate::database::os_user(installation.environment.uid).ok()?;
    let lingers = PathBuf::from("/var/lib/systemd/linger").join(&user).exists();
    Some((user, lingers))
}

pub(super) fn checks(facts: &Facts) -> Vec<Check> {
    vec![running(facts), pending(facts), unit_state(facts), lingering(facts), leftovers(facts)]
}

fn running(facts: &Facts) -> Check {
    let down: Vec<&str> =
        facts.services.iter().filter(|(_, state)| *state != "up").map(|(name, _)| name.as_str()).collect();
    let because = |check: Check| match &facts.message {
        Some(message) => check.cause(message.clone()),
        None => check,
    };
    match facts.state.as_str() {
        "running" => RUNNING.ok("runs"),
        "preparing" | "starting" | "stopping" => {
            because(RUNNING.warning(format!("is {}", facts.state))).cure("`mathesar status`")
        }
        // With nobody who says how its services are.
        "degraded" if facts.services.is_empty() && facts.message.is_some() => {
            let message = facts.message.clone().unwrap_or_default();
            let (why, cures) =
                message.split_once("; ").unwrap_or((&message, "see what it does: `mathesar logs`"));
            RUNNING.problem(why.to_owned()).cure(cures.to_owned())
        }
        "degraded" => {
            let what = if down.is_empty() { "a part of it".to_owned() } else { down.join(" and ") };
            because(RUNNING.problem(format!("runs, but {what} does not answer"))).cure("`mathesar logs`")
        }
        "failed" => because(RUNNING.problem("does not run: its last run failed"))
            .cure("see why: `mathesar logs`; try again: `mathesar start`"),
        "stopped" => match &facts.busy {
            Some(busy) => {
                RUNNING.warning(format!("is stopped, and {busy} is at work")).cure("`mathesar status`")
            }
            None => RUNNING.ok("is stopped"),
        },
        other => because(RUNNING.problem(format!("is `{other}`"))).cure("`mathesar status`"),
    }
}

fn pending(facts: &Facts) -> Check {
    let restart: Vec<&str> =
        facts.pending.iter().map(String::as_str).filter(|text| !text.starts_with("upgrade")).collect();
    match (facts.running, restart.is_empty()) {
        (false, _) => PENDING.not_checked(super::NOT_RUNNING),
        (true, true) => PENDING.ok("nothing: the settings are in force"),
        (true, false) => PENDING.warning(restart.join("\n")).cure("`mathesar restart`"),
    }
}

fn unit_state(facts: &Facts) -> Check {
    let unit = match &facts.unit {
        Ok(unit) => unit,
        Err(why) => return UNIT.not_checked(why.clone()),
    };
    let (name, systemctl) = (&unit.name, unit.systemctl());
    let property = |name: &str| unit.properties.get(name).cloned().unwrap_or_default();
    let restarts: u32 = property("NRestarts").parse().unwrap_or(0);
    match () {
        () if !unit.is("LoadState", "loaded") => UNIT
            .problem(format!("{name} cannot be loaded ({})", property("LoadState")))
            .cure(format!("`systemd-analyze verify {name}`")),
        () if unit.is("Result", "start-limit-hit") => UNIT
            .problem(format!("{name} was started too often in a short time, and systemd has given up"))
            .cure(format!("see why: `journalctl -u {name}`"))
            .cure(format!("then `{systemctl} reset-failed {name}` and `{systemctl} start {name}`")),
        () if unit.is("ActiveState", "failed") => UNIT
            .problem(format!(
                "{name} has failed ({}, exit status {})",
                property("Result"),
                property("ExecMainStatus")
            ))
            .cure(format!("see why: `mathesar logs`; then `{systemctl} start {name}`")),
        () if restarts >= 3 => {
            UNIT.warning(format!("{name} was restarted {restarts} times")).cure("see why: `mathesar logs`")
        }
        () if unit.is("NeedDaemonReload", "yes") => UNIT
            .warning(format!("{name} has changed on disk, and systemd has not read it again"))
            .cure(format!("`{systemctl} daemon-reload`, then `mathesar restart`")),
        () if unit.is("UnitFileState", "disabled") => UNIT
            .warning(format!("{name} is not enabled: after a boot Mathesar does not run"))
            .cure(format!("`{systemctl} enable {name}`")),
        () => UNIT.ok(format!("{name} is {} and {}", property("ActiveState"), property("UnitFileState"))),
    }
}

fn lingering(facts: &Facts) -> Check {
    match &facts.linger {
        None => LINGER.not_checked("there is no user unit"),
        Some((_, true)) => LINGER.ok("yes"),
        Some((user, false)) => LINGER
            .warning(format!("no: Mathesar ends when {user} logs out"))
            .cure(format!("`loginctl enable-linger {user}`")),
    }
}

fn leftovers(facts: &Facts) -> Check {
    if facts.running {
        return LEFTOVERS.ok("none: the supervisor runs");
    }
    if let Some(busy) = &facts.busy {
        return LEFTOVERS.not_checked(format!("{busy} is at work"));
    }
    let pids = |pids: &[i32]| pids.iter().map(i32::to_string).collect::<Vec<_>>().join(" ");
    let mut wrong = Vec::new();
    if !facts.leftovers.is_empty() {
        wrong.push(format!("gunicorn runs without its launcher (pid {})", pids(&facts.leftovers)));
    }
    wrong.extend(facts.postmaster.map(|pid| format!("PostgreSQL runs without its launcher (pid {pid})")));
    match wrong.is_empty() {
        true => LEFTOVERS.ok("none"),
        false => LEFTOVERS
            .problem(wrong.join("\n"))
            .cause("the launcher was killed, or the database was started alone (`mathesar db start`)")
            .cure("`mathesar stop` ends it; `mathesar start` does the same first"),
    }
}
