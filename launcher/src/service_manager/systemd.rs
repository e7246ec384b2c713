//! systemd: of the system, and of a user.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::Place;
use crate::failure::{Exit, Failure};
use crate::layout::{Environment, Layout, Scope};
use crate::process::Program;

/// Whether systemd is this machine's init.
pub(super) fn is_booted() -> bool {
    Path::new("/run/systemd/system").is_dir()
}

/// systemctl, with what it needs to find a user's manager.
pub fn systemctl(user: bool) -> Program {
    let mut program = Program::new("systemctl").arg("--no-ask-password");
    if !user {
        return program;
    }
    program = program.arg("--user");
    if let Some(bus) = std::env::var_os("DBUS_SESSION_BUS_ADDRESS") {
        program = program.env("DBUS_SESSION_BUS_ADDRESS", bus);
    }
    // `su` and cron do not set it, and the manager may run nevertheless.
    let runtime = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from).or_else(|| {
        let uid = rustix::process::geteuid().as_raw();
        let folder = PathBuf::from(format!("/run/user/{uid}"));
        folder.metadata().is_ok_and(|found| found.is_dir() && found.uid() == uid).then_some(folder)
    });
    match runtime {
        Some(runtime) => program.env("XDG_RUNTIME_DIR", runtime),
        None => program,
    }
}

pub(super) fn is_active(unit: &str, user: bool) -> bool {
    let state = systemctl(user).arg("is-active").arg(unit).output();
    state.is_ok_and(|output| {
        let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        matches!(text.as_str(), "active" | "activating" | "reloading" | "deactivating")
    })
}

pub(super) fn order(words: &[&str], unit: &str, user: bool) -> Result<(), Failure> {
    if user {
        reachable()?;
    }
    systemctl(user).args(words).arg(unit).run().map(drop)
}

/// Whether the user's own manager answers.
pub(super) fn reachable() -> Result<(), Failure> {
    let output = systemctl(true).args(["show", "--property", "Version", "--value"]).output()?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    let name = user_name();
    Err(Failure::new("your systemd (the one of `systemctl --user`) does not answer")
        .cause(said)
        .exit(Exit::Refused)
        .help("it runs in a session of your own: log in as this user, not by `su` or `sudo`")
        .help(format!("or let it run always: `sudo loginctl enable-linger {name}`")))
}

/// The caller's name, for commands that want one.
pub(super) fn user_name() -> String {
    let uid = rustix::process::geteuid().as_raw();
    crate::database::os_user(uid).unwrap_or_else(|_| uid.to_string())
}

/// Why the unit failed, if it did.
pub(super) fn failure(unit: &str, user: bool) -> Option<Failure> {
    const WANTED: &str = "ActiveState,Result,ExecMainStatus,InvocationID";
    let output = systemctl(user).args(["show", "--property", WANTED]).arg(unit).output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let value = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
    if value("ActiveState") != Some("failed") {
        return None;
    }
    let status = value("ExecMainStatus").unwrap_or_default();
    let exit = match status {
        "2" => Exit::Usage,
        "4" => Exit::Refused,
        _ => Exit::Failed,
    };
    if let Some(words) = value("InvocationID").and_then(last_words) {
        return Some(Failure::told(exit, words));
    }
    let result = value("Result").unwrap_or("failed");
    Some(
        Failure::new(format!("the unit {unit} failed"))
            .cause(format!("{result}, exit status {status}"))
            .exit(exit)
            .help("what happened: `mathesar logs`"),
    )
}

/// The launcher's error, as it has told the journal.
fn last_words(invocation: &str) -> Option<String> {
    if invocation.is_empty() {
        return None;
    }
    let output = Program::new("journalctl")
        .arg(format!("_SYSTEMD_INVOCATION_ID={invocation}"))
        .args(["_TRANSPORT=stdout", "--output=cat", "--quiet", "--no-pager"])
        .output()
        .ok()?;
    error_in(&String::from_utf8_lossy(&output.stdout))
}

/// From the last line that begins an error on.
fn error_in(text: &str) -> Option<String> {
    let lines: Vec<&str> = text.lines().collect();
    let from = lines.iter().rposition(|line| line.starts_with("error: "))?;
    Some(format!("{}\n", crate::careful::harmless(&lines[from..].join("\n"))))
}

/// Whether this very process belongs to the unit.
pub(super) fn is_inside(unit: &str) -> bool {
    std::fs::read_to_string(Path::new("/proc/self/cgroup")).is_ok_and(|text| names_unit(&text, unit))
}

fn names_unit(groups: &str, unit: &str) -> bool {
    groups
        .lines()
        .filter_map(|line| line.rsplit_once(':').map(|(_, path)| path))
        .any(|path| path.split('/').any(|part| part == unit))
}

/// `mathesar.service`, or of an instance `mathesar@NAME.service`; of a folder (`--home`) one with its own name.
pub fn unit_name(layout: &Layout) -> String {
    let name = match layout.scope {
        Scope::Home => format!("mathesar-{}", layout.short()),
        Scope::System | Scope::User => "mathesar".to_owned(),
    };
    match &layout.instance {
        // The folder's short name tells instances apart already.
        Some(instance) if layout.scope != Scope::Home => format!("{name}@{instance}.service"),
        _ => format!("{name}.service"),
    }
}

/// A unit of the system, where a package or an administrator has put it.
pub(super) fn system_unit(unit: &str) -> Option<PathBuf> {
    let file = match unit.split_once('@') {
        Some((name, _)) => format!("{name}@.service"),
        None => unit.to_owned(),
    };
    [
        "/etc/systemd/system",
        "/run/systemd/system",
        "/usr/local/lib/systemd/system",
        "/usr/lib/systemd/system",
        "/lib/systemd/system",
    ]
    .iter()
    .map(|folder| Path::new(folder).join(&file))
    .find(|path| path.exists())
}

/// Whether a target starts the unit.
pub(super) fn is_wanted(folder: &Path, unit: &str) -> bool {
    folder.join(unit).symlink_metadata().is_ok()
}

/// A unit of this user's.
pub(super) fn place(unit: &str, environment: &Environment) -> Option<Place> {
    let config = match environment.get("XDG_CONFIG_HOME").map(PathBuf::from).filter(|path| path.is_absolute())
    {
        Some(folder) => folder,
        None => environment.home.as_ref()?.join(".config"),
    };
    Some(Place { name: unit.to_owned(), file: config.join("systemd/user").join(unit) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_error_is_found_among_other_words() {
        let text = "launcher: preparing\nerror: one\nlauncher: again\nerror: two\n  caused by: x\nhelp: y\n";
        assert_eq!(error_in(text).as_deref(), Some("error: two\n  caused by: x\nhelp: y\n"));
        assert_eq!(error_in("launcher: error: none\n"), None);
    }

    /// A desktop's terminal has an INVOCATION_ID too: only the control group tells.
    #[test]
    fn inside_is_what_the_control_group_says() {
        let user = "0::/user.slice/user-1000.slice/user@1000.service/app.slice/mathesar.service\n";
        assert!(names_unit(user, "mathesar.service"));
        assert!(names_unit("1:name=systemd:/system.slice/mathesar@a.service\n0::/\n", "mathesar@a.service"));
        let terminal =
            "0::/user.slice/user-1000.slice/user@1000.service/app.slice/app-gnome-terminal.scope\n";
        assert!(!names_unit(terminal, "mathesar.service"));
        assert!(!names_unit("0::/system.slice/not-mathesar.service\n", "mathesar.service"));
    }
}
