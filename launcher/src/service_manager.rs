//! Who starts and stops Mathesar: systemd where it has a unit for it, launchd where it has a job, else the launcher itself.

use std::path::{Path, PathBuf};

use crate::failure::Failure;
use crate::layout::{Environment, Layout, Scope};
use crate::process::Program;

/// The service manager that is responsible for an installation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Manager {
    Nobody,
    Systemd { unit: String, user: bool },
}

impl Manager {
    pub fn of(layout: &Layout, environment: &Environment) -> Manager {
        let unit = unit_name(layout);
        // Inside of the unit itself, and where systemd is not the init process, nobody is asked.
        let booted = Path::new("/run/systemd/system").is_dir() && environment.get("INVOCATION_ID").is_none();
        match layout.scope {
            Scope::System if booted && system_unit_exists(&unit) => Manager::Systemd { unit, user: false },
            Scope::User if booted && user_unit(layout, environment).is_some_and(|path| path.exists()) => {
                Manager::Systemd { unit, user: true }
            }
            _ => Manager::Nobody,
        }
    }

    pub fn is_active(&self) -> bool {
        let Some(program) = self.systemctl() else { return false };
        let state = program.arg("is-active").arg(self.unit()).output();
        state.is_ok_and(|output| {
            let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
            matches!(text.as_str(), "active" | "activating" | "reloading" | "deactivating")
        })
    }

    /// Comes back at once: how it goes is told over the control socket.
    pub fn start(&self) -> Result<(), Failure> {
        self.order(&["start", "--no-block"])
    }

    pub fn stop(&self) -> Result<(), Failure> {
        self.order(&["stop"])
    }

    pub fn restart(&self) -> Result<(), Failure> {
        self.order(&["restart"])
    }

    /// Why the unit failed, if it did.
    pub fn failure(&self) -> Option<Failure> {
        let output = self
            .systemctl()?
            .args(["show", "-p", "ActiveState,Result,ExecMainStatus"])
            .arg(self.unit())
            .output()
            .ok()?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        if !text.lines().any(|line| line == "ActiveState=failed") {
            return None;
        }
        let result =
            text.lines().find_map(|line| line.strip_prefix("Result=")).unwrap_or("failed").to_owned();
        let status =
            text.lines().find_map(|line| line.strip_prefix("ExecMainStatus=")).unwrap_or_default().to_owned();
        let failure = Failure::new(format!("the unit {} failed", self.unit()))
            .cause(format!("{result}, exit status {status}"));
        Some(failure.help("what happened: `mathesar logs`"))
    }

    pub fn unit(&self) -> &str {
        match self {
            Manager::Nobody => "",
            Manager::Systemd { unit, .. } => unit,
        }
    }

    fn systemctl(&self) -> Option<Program> {
        match self {
            Manager::Nobody => None,
            Manager::Systemd { user, .. } => Some(systemctl(*user)),
        }
    }

    fn order(&self, words: &[&str]) -> Result<(), Failure> {
        match self.systemctl() {
            Some(program) => program.args(words).arg(self.unit()).run().map(drop),
            None => Ok(()),
        }
    }
}

/// systemctl, with what it needs to find a user's manager.
pub fn systemctl(user: bool) -> Program {
    let mut program = Program::new("systemctl").arg("--no-ask-password");
    if user {
        program = program.arg("--user");
        for name in ["XDG_RUNTIME_DIR", "DBUS_SESSION_BUS_ADDRESS"] {
            if let Some(value) = std::env::var_os(name) {
                program = program.env(name, value);
            }
        }
    }
    program
}

/// `mathesar.service`, or of an instance `mathesar@NAME.service`.
pub fn unit_name(layout: &Layout) -> String {
    match &layout.instance {
        Some(instance) => format!("mathesar@{instance}.service"),
        None => "mathesar.service".to_owned(),
    }
}

fn system_unit_exists(unit: &str) -> bool {
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
    .any(|folder| Path::new(folder).join(&file).exists())
}

/// The unit that `mathesar autostart on` writes.
pub fn user_unit(layout: &Layout, environment: &Environment) -> Option<PathBuf> {
    let config = match environment.get("XDG_CONFIG_HOME").map(PathBuf::from).filter(|path| path.is_absolute())
    {
        Some(folder) => folder,
        None => environment.home.as_ref()?.join(".config"),
    };
    Some(config.join("systemd/user").join(unit_name(layout)))
}
