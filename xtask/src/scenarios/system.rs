//! Which systems there are, and how each package manager is told what to do.

use anyhow::Result;
use machines::Recipe;

use crate::Usage;

/// A package manager.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Manager {
    Apt,
    Dnf,
    Pacman,
    Flatpak,
}

/// A package manager on a release of Debian.
#[derive(Debug, Clone, Copy)]
pub(crate) struct System {
    pub manager: Manager,
    pub suite: &'static str,
    /// The major of the system's PostgreSQL.
    pub postgresql: u32,
    /// Part of every test; the others, which change from day to day, are verified where they are asked for.
    pub core: bool,
}

const SYSTEMS: &[System] = &[
    System { manager: Manager::Apt, suite: "bookworm", postgresql: 15, core: true },
    System { manager: Manager::Apt, suite: "trixie", postgresql: 17, core: true },
    System { manager: Manager::Apt, suite: "sid", postgresql: 18, core: false },
    // dnf 4, over Debian's files: stub packages have the names that Fedora's have.
    System { manager: Manager::Dnf, suite: "trixie", postgresql: 17, core: true },
    // dnf 5.
    System { manager: Manager::Dnf, suite: "sid", postgresql: 18, core: false },
    // pacman 7, over the same.
    System { manager: Manager::Pacman, suite: "trixie", postgresql: 17, core: true },
    // With its own PostgreSQL, whose compilation takes minutes.
    System { manager: Manager::Flatpak, suite: SUITE_OF_FLATPAK, postgresql: 17, core: false },
];

/// What Flatpak runs on, and what the stand-in for its runtime is made of.
pub(super) const SUITE_OF_FLATPAK: &str = "trixie";

/// The tree that a machine is laid over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tree {
    /// A small system, and at hand what the package asks for.
    Usual,
    /// That installed, and the next release of Debian at hand.
    Upgradable,
}

/// What runs in every machine, and more.
macro_rules! running {
    ($($more:literal),* $(,)?) => {
        &["systemd", "systemd-sysv", "dbus", "procps", "mount", "busybox", "curl", "xz-utils", $($more),*]
    };
}

/// What the package asks for, and recommends, after others.
macro_rules! used {
    ($($others:literal),* $(,)?) => {
        running!($($others,)* "ca-certificates", "libcairo2", "python3", "python3-venv", "postgresql")
    };
}

/// Nothing of what the package itself asks for.
const PACKAGES: &[&str] = running!();

/// That, and what examines the package: fetched, not installed.
const AT_HAND: &[&str] = &[
    "ca-certificates",
    "libcairo2",
    "python3",
    "python3-venv",
    "postgresql",
    "piuparts",
    "apt-utils",
    "lintian",
];

/// Both: a system that somebody has used.
const USED: &[&str] = used!();

/// Debian's packages of what other systems' names promise, and the package managers.
const OF_OTHERS: &[&str] =
    used!("dnf", "rpm", "rpmlint", "pacman-package-manager", "makepkg", "libarchive-tools", "gnupg", "zstd");

/// The same where dnf is dnf 5.
const OF_OTHERS_IN_SID: &[&str] = used!("dnf5", "rpm", "rpmlint", "gnupg", "zstd");

/// Flatpak, and what flatpak-builder calls; a session for the user who runs it.
const FLATPAK: &[&str] = running!(
    "bzip2",
    "ca-certificates",
    "dbus-user-session",
    "elfutils",
    "flatpak",
    "flatpak-builder",
    "libpam-systemd",
    // Its appstreamcli reads the icon.
    "librsvg2-common",
    "ostree",
    "patch",
    "unzip",
    "zstd",
);

/// What bookworm is upgraded to.
pub(super) const NEXT: &str = "trixie";

impl System {
    pub(crate) fn of(manager: Manager, suite: &str) -> Option<&'static System> {
        SYSTEMS.iter().find(|system| system.manager == manager && system.suite == suite)
    }

    pub(crate) fn name(&self) -> String {
        let manager = match self.manager {
            Manager::Apt => "apt",
            Manager::Dnf => "dnf",
            Manager::Pacman => "pacman",
            Manager::Flatpak => "flatpak",
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

    pub(crate) fn recipe(&self, tree: Tree) -> Recipe<'static> {
        let (packages, at_hand): (&[&str], &[&str]) = match (self.manager, tree) {
            (Manager::Apt, Tree::Usual) => (PACKAGES, AT_HAND),
            (Manager::Apt, Tree::Upgradable) => (USED, &[]),
            (Manager::Flatpak, _) => (FLATPAK, &[]),
            (Manager::Dnf | Manager::Pacman, _) if self.suite == "sid" => (OF_OTHERS_IN_SID, &[]),
            (Manager::Dnf | Manager::Pacman, _) => (OF_OTHERS, &[]),
        };
        let next = (tree == Tree::Upgradable).then_some(NEXT);
        Recipe { suite: self.suite, packages, at_hand, next, documentation: true }
    }

    /// What dnf says of an index that its signature does not fit.
    pub(crate) fn says_bad_repomd(&self) -> &'static str {
        if self.has_dnf5() { "Bad PGP signature" } else { "Bad GPG signature" }
    }

    /// What dnf says of an index that another key has signed.
    pub(crate) fn says_other_key(&self) -> &'static str {
        if self.has_dnf5() { "Signing key not found" } else { "Bad GPG signature" }
    }

    /// Whose `dnf` is dnf 5.
    pub(crate) fn has_dnf5(&self) -> bool {
        self.manager == Manager::Dnf && self.suite == "sid"
    }
}

/// All that are meant; the core where nothing is said.
pub(crate) fn chosen(managers: &[Manager], suites: &[String], all: bool) -> Result<Vec<System>> {
    let known = |suite: &String| SYSTEMS.iter().any(|system| system.suite == suite);
    if let Some(unknown) = suites.iter().find(|suite| !known(suite)) {
        let mut all: Vec<&str> = SYSTEMS.iter().map(|system| system.suite).collect();
        all.sort_unstable();
        all.dedup();
        let why = format!("nothing is verified on `{unknown}`\nhelp: there are: {}", all.join(", "));
        return Err(Usage(why).into());
    }
    let wanted = |system: &&System| {
        let named = managers.contains(&system.manager);
        let flatpak = system.manager == Manager::Flatpak;
        (managers.is_empty() || named)
            // It takes its time, and has nothing to do with a release of Debian: by its name, or with everything.
            && (all || named || !flatpak)
            && match suites.is_empty() {
                true => all || system.core || flatpak,
                false => suites.iter().any(|suite| suite == system.suite),
            }
    };
    let found: Vec<System> = SYSTEMS.iter().filter(wanted).copied().collect();
    match found.is_empty() {
        true => Err(Usage("none of these package managers is verified on these releases".to_owned()).into()),
        false => Ok(found),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(managers: &[Manager], suites: &[&str], all: bool) -> Vec<String> {
        let suites: Vec<String> = suites.iter().map(|suite| (*suite).to_owned()).collect();
        chosen(managers, &suites, all).unwrap().iter().map(System::name).collect()
    }

    #[test]
    fn who_asks_for_nothing_gets_the_core() {
        let core = ["apt on bookworm", "apt on trixie", "dnf on trixie", "pacman on trixie"];
        assert_eq!(names(&[], &[], false), core);
        assert_eq!(names(&[], &[], true).len(), SYSTEMS.len());
        assert_eq!(names(&[Manager::Apt], &[], false), core[..2]);
        assert_eq!(names(&[], &["sid"], false), ["apt on sid", "dnf on sid"]);
        assert_eq!(names(&[Manager::Dnf], &["sid"], false), ["dnf on sid"]);
        assert_eq!(names(&[Manager::Flatpak, Manager::Apt], &[], false)[2..], ["flatpak on trixie"]);
        assert_eq!(names(&[], &["trixie"], false), core[1..]);
        let unknown = chosen(&[], &["buster".to_owned()], false).unwrap_err();
        assert!(unknown.is::<Usage>());
        assert_eq!(
            unknown.to_string(),
            "nothing is verified on `buster`\nhelp: there are: bookworm, sid, trixie"
        );
        let nowhere = chosen(&[Manager::Pacman], &["bookworm".to_owned()], true).unwrap_err();
        assert!(nowhere.is::<Usage>());
    }
}
