//! Which systems there are, and how each package manager is told what to do.

use anyhow::{Result, bail};
use clap::ValueEnum;
use machines::Recipe;

/// A package manager.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Manager {
    Apt,
    Dnf,
    Pacman,
}

/// A package manager on a release of Debian.
#[derive(Debug, Clone, Copy)]
pub(crate) struct System {
    pub manager: Manager,
    pub suite: &'static str,
    /// The major of the system's PostgreSQL.
    pub postgresql: u32,
}

const SYSTEMS: &[System] = &[
    System { manager: Manager::Apt, suite: "bookworm", postgresql: 15 },
    System { manager: Manager::Apt, suite: "trixie", postgresql: 17 },
    // dnf 4, over Debian's files: stub packages have the names that Fedora's have.
    System { manager: Manager::Dnf, suite: "trixie", postgresql: 17 },
    // pacman 7, over the same.
    System { manager: Manager::Pacman, suite: "trixie", postgresql: 17 },
];

/// Running in every machine; nothing of what the package itself asks for.
const PACKAGES: &[&str] = &["systemd", "systemd-sysv", "dbus", "procps", "busybox", "curl", "xz-utils"];

/// What the package asks for, and recommends: fetched, not installed.
const AT_HAND: &[&str] = &["ca-certificates", "libcairo2", "python3", "python3-venv", "postgresql"];

/// Debian's packages of what other systems' names promise, and the package managers.
const OF_OTHERS: &[&str] = &[
    "systemd",
    "systemd-sysv",
    "dbus",
    "procps",
    "busybox",
    "curl",
    "xz-utils",
    "dnf",
    "rpm",
    "pacman-package-manager",
    "makepkg",
    "libarchive-tools",
    "gnupg",
    "zstd",
    "ca-certificates",
    "libcairo2",
    "python3",
    "python3-venv",
    "postgresql",
];

impl System {
    pub(crate) fn name(&self) -> String {
        let manager = match self.manager {
            Manager::Apt => "apt",
            Manager::Dnf => "dnf",
            Manager::Pacman => "pacman",
        };
        format!("{manager} on {}", self.suite)
    }

    /// Debian 12 asks gpgv, later ones sqv.
    fn has_sqv(&self) -> bool {
        self.suite != "bookworm"
    }

    /// What apt says of a signature that is not of this text.
    pub(crate) fn says_bad_signature(&self) -> &'static str {
        if self.has_sqv() { "Message has been manipulated" } else { "BADSIG" }
    }

    /// What apt says of a signature by a key that it was not told of.
    pub(crate) fn says_unknown_key(&self) -> &'static str {
        if self.has_sqv() { "Missing key" } else { "NO_PUBKEY" }
    }

    pub(crate) fn recipe(&self) -> Recipe<'static> {
        let (packages, at_hand): (&[&str], &[&str]) = match self.manager {
            Manager::Apt => (PACKAGES, AT_HAND),
            Manager::Dnf | Manager::Pacman => (OF_OTHERS, &[]),
        };
        Recipe { suite: self.suite, packages, at_hand, documentation: true }
    }
}

pub(crate) fn chosen(managers: &[Manager], suites: &[String]) -> Result<Vec<System>> {
    let known = |suite: &String| SYSTEMS.iter().any(|system| system.suite == suite);
    if let Some(unknown) = suites.iter().find(|suite| !known(suite)) {
        let all: Vec<&str> = SYSTEMS.iter().map(|system| system.suite).collect();
        bail!("nothing is verified on `{unknown}`\nhelp: there are: {}", all.join(", "));
    }
    let wanted = |system: &&System| {
        (managers.is_empty() || managers.contains(&system.manager))
            && (suites.is_empty() || suites.iter().any(|suite| suite == system.suite))
    };
    let found: Vec<System> = SYSTEMS.iter().filter(wanted).copied().collect();
    match found.is_empty() {
        true => bail!("none of these package managers is verified on these releases"),
        false => Ok(found),
    }
}
