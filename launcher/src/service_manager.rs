//! Who starts and stops Mathesar: systemd where it has a unit for it, launchd where it has a job, else the launcher itself.

pub mod autostart;
mod launchd;
mod plist;
mod systemd;
pub mod timer;
mod unit;

use std::path::{Path, PathBuf};

use crate::failure::Failure;
use crate::layout::{Environment, Layout, Scope};

pub use systemd::{systemctl, unit_name};

/// The service manager that is responsible for an installation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Manager {
    Nobody,
    Systemd {
        unit: String,
        user: bool,
    },
    /// A job of this user's launchd.
    Launchd {
        label: String,
        plist: PathBuf,
        uid: u32,
    },
}

impl Manager {
    pub fn of(layout: &Layout, environment: &Environment) -> Manager {
        let found = match layout.scope {
            Scope::System => {
                unit_of_system(layout).map_or(Manager::Nobody, |unit| Manager::Systemd { unit, user: false })
            }
            Scope::User | Scope::Home => Manager::of_user(layout, environment),
        };
        // From inside of the unit, nobody is to be asked.
        match &found {
            Manager::Systemd { unit, .. } if systemd::is_inside(unit) => Manager::Nobody,
            _ => found,
        }
    }

    /// Ours first, else Homebrew's: two would start two.
    fn of_user(layout: &Layout, environment: &Environment) -> Manager {
        let places = [Place::ours(layout, environment), Place::homebrew(layout, environment)];
        // Links to /dev/null are masked units.
        let Some(place) = places.into_iter().flatten().find(|place| place.file.is_file()) else {
            return Manager::Nobody;
        };
        match environment.macos {
            true => Manager::Launchd { label: place.name, plist: place.file, uid: environment.uid },
            false if systemd::is_booted() => Manager::Systemd { unit: place.name, user: true },
            false => Manager::Nobody,
        }
    }

    pub fn is_active(&self) -> bool {
        match self {
            Manager::Nobody => false,
            Manager::Systemd { unit, user } => systemd::is_active(unit, *user),
            Manager::Launchd { label, uid, .. } => launchd::is_running(label, *uid),
        }
    }

    /// Comes back at once: how it goes is told over the control socket.
    pub fn start(&self) -> Result<(), Failure> {
        match self {
            Manager::Nobody => Ok(()),
            Manager::Systemd { unit, user } => {
                // Else a failure of yesterday would be taken for one of this start.
                let _ = systemctl(*user).arg("reset-failed").arg(unit).output();
                systemd::order(&["start", "--no-block"], unit, *user)
            }
            Manager::Launchd { label, plist, uid } => launchd::start(label, plist, *uid),
        }
    }

    pub fn stop(&self) -> Result<(), Failure> {
        match self {
            Manager::Nobody => Ok(()),
            Manager::Systemd { unit, user } => systemd::order(&["stop"], unit, *user),
            Manager::Launchd { label, uid, .. } => launchd::stop(label, *uid),
        }
    }

    pub fn restart(&self) -> Result<(), Failure> {
        match self {
            Manager::Nobody => Ok(()),
            Manager::Systemd { unit, user } => systemd::order(&["restart"], unit, *user),
            Manager::Launchd { label, uid, .. } => launchd::restart(label, *uid),
        }
    }

    /// Why the unit failed, if it did: in the launcher's own last words where the journal has them.
    pub fn failure(&self) -> Option<Failure> {
        match self {
            Manager::Systemd { unit, user } => systemd::failure(unit, *user),
            // launchd tries again for ever, and the log file has the words.
            Manager::Nobody | Manager::Launchd { .. } => None,
        }
    }
}

/// Whether Mathesar comes back after a boot (of a user without lingering: after a login). None: nobody here could do that.
pub fn starts_by_itself(layout: &Layout, environment: &Environment) -> Option<bool> {
    if layout.scope == Scope::System {
        let unit = unit_of_system(layout)?;
        return Some(systemd::is_wanted(Path::new("/etc/systemd/system/multi-user.target.wants"), &unit));
    }
    let places = [Place::ours(layout, environment), Place::homebrew(layout, environment)];
    let on = |place: &Place| place.file.is_file() && (environment.macos || place.is_wanted());
    if places.iter().flatten().any(on) {
        return Some(true);
    }
    (environment.macos || systemd::is_booted()).then_some(false)
}

/// A user's unit or job, whether it exists or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// `mathesar.service`, `org.mathesar.mathesar`
    pub name: String,
    pub file: PathBuf,
}

impl Place {
    /// What `mathesar autostart on` writes.
    pub fn ours(layout: &Layout, environment: &Environment) -> Option<Place> {
        match environment.macos {
            true => launchd::place(&launchd::label(layout), environment),
            false => systemd::place(&systemd::unit_name(layout), environment),
        }
    }

    /// What `brew services` writes. Its service is the user's default installation.
    pub fn homebrew(layout: &Layout, environment: &Environment) -> Option<Place> {
        if layout.scope != Scope::User || layout.instance.is_some() {
            return None;
        }
        match environment.macos {
            true => launchd::place("homebrew.mxcl.mathesar", environment),
            false => systemd::place("homebrew.mathesar.service", environment),
        }
    }

    fn is_wanted(&self) -> bool {
        self.file.parent().is_some_and(|folder| systemd::is_wanted(&folder.join(WANTS), &self.name))
    }
}

/// Whether the user has a unit or a job for it, ours or Homebrew's; it may be switched off.
pub fn of_user_exists(layout: &Layout, environment: &Environment) -> bool {
    let places = [Place::ours(layout, environment), Place::homebrew(layout, environment)];
    layout.scope != Scope::System && places.iter().flatten().any(|place| place.file.is_file())
}

/// The unit of the system's installation, where systemd has one.
pub fn unit_of_system(layout: &Layout) -> Option<String> {
    let unit = systemd::unit_name(layout);
    (systemd::is_booted() && systemd::system_unit(&unit).is_some()).then_some(unit)
}

/// Beside a user's units: what starts with the user's manager.
const WANTS: &str = "default.target.wants";

#[cfg(test)]
#[path = "service_manager/tests.rs"]
mod tests;
