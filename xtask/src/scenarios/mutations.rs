//! That the scenarios can fail: things that somebody could break, one at a time, each of which has to be caught, and by what.

use std::time::Instant;

use anyhow::{Context as _, Result, bail};

use super::guest::Guest;
use super::packages::{Change, Packages};
use super::report::{Ended, Row};
use super::system::{Manager, System, Tree};
use super::{Scenario, flatpak, life, makepkg, piuparts, rotation};
use crate::ui;
use crate::workspace::Workspace;

pub(super) struct Mutation {
    pub name: &'static str,
    pub manager: Manager,
    change: Change,
    /// The scenarios that are run, in their order; the last one has to catch it.
    scenarios: &'static [&'static str],
    /// What it has to say then.
    says: &'static str,
}

const STARTED: &[&str] = &["first install", "first start"];
const INSTALLED: &[&str] = &["first install"];
const REVISED: &[&str] =
    &["first install", "first start", "data and a reboot", "next revision, settings edited"];

pub(super) const MUTATIONS: &[Mutation] = &[
    apt(
        "the unit",
        Change::Package(
            "sed -i 's|^ExecStart=.*|ExecStart=/usr/bin/mathesar rum|' usr/lib/systemd/system/mathesar.service",
        ),
        STARTED,
        "unrecognized subcommand 'rum'",
    ),
    apt(
        "a dependency's name",
        Change::Package("sed -i 's/libcairo2/libcairo3/' DEBIAN/control"),
        INSTALLED,
        "libcairo3",
    ),
    apt("the conffile mark", Change::Package(": >DEBIAN/conffiles"), REVISED, "the settings are others"),
    apt(
        "the signature",
        Change::Repository("rm apt/dists/stable/InRelease apt/dists/stable/Release.gpg"),
        INSTALLED,
        "is not signed",
    ),
    apt(
        "a maintainer script",
        Change::Package("sed -i '/systemd-sysusers/s/.*/:/' DEBIAN/postinst"),
        INSTALLED,
        "getent passwd mathesar",
    ),
    apt(
        "the tmpfiles line",
        Change::Package("sed -i '/^z/d' usr/lib/tmpfiles.d/mathesar.conf"),
        INSTALLED,
        "root:root 640",
    ),
    apt(
        "the tmpfiles' folders",
        Change::Package("sed -i '/^d/d' usr/lib/tmpfiles.d/mathesar.conf"),
        INSTALLED,
        "/var/lib/mathesar: status Some(1)",
    ),
    // Only a warning, as of each setting that systemd does not know.
    apt(
        "a setting's name in a template",
        Change::Package("sed -i 's/^WatchdogSec=/WatchDogSec=/' usr/lib/systemd/system/mathesar@.service"),
        INSTALLED,
        "WatchDogSec",
    ),
    Mutation {
        name: "the PKGBUILD's digest",
        manager: Manager::Pacman,
        change: Change::Repository("sed -i \"s/^\\(sha256sums[^=]*=('\\)...../\\100000/\" aur/PKGBUILD"),
        scenarios: &["makepkg"],
        says: "did not pass the validity check",
    },
    // In the program itself: another rule of the same length.
    apt(
        "pg_hba",
        Change::Package(
            "LC_ALL=C sed -i 's/local all all scram-sha-256/local all all trust        /' usr/bin/mathesar",
        ),
        STARTED,
        "mathesar came in as mathesar_launcher",
    ),
    apt(
        "the purge rule",
        Change::Package("sed -i 's|^if .*= purge.*|&\\nrm -rf /var/lib/mathesar|' DEBIAN/postrm"),
        &["first install", "first start", "data and a reboot", "purge"],
        "`kept /var/lib/mathesar: it holds data` is not in",
    ),
    apt(
        "the hardening",
        Change::Package(
            "sed -i '/^Protect/d; /^Restrict/d; /^SystemCall/d; /^Private/d; /^Capability/d' usr/lib/systemd/system/mathesar.service",
        ),
        STARTED,
        "Overall exposure level",
    ),
    apt(
        "a file left behind",
        Change::Package("sed -i '2i date >/etc/mathesar-was-here' DEBIAN/postinst"),
        &["piuparts"],
        "/etc/mathesar-was-here",
    ),
    apt(
        "the restart",
        Change::Package("sed -i 's/try-restart/is-active/' DEBIAN/postinst"),
        REVISED,
        "it was not restarted",
    ),
    apt("the next key's announcement", Change::Announcement, &["keys rotate"], "Missing key"),
    Mutation {
        name: "the Flatpak's digest",
        manager: Manager::Flatpak,
        change: Change::Repository("sed -i '0,/sha256: \"...../s//sha256: \"00000/' flatpak-manifest/*.yml"),
        scenarios: &["Flatpak: build"],
        says: "Failed to download sources: module postgresql",
    },
    // The only permission.
    Mutation {
        name: "the Flatpak's network",
        manager: Manager::Flatpak,
        change: Change::Repository("sed -i 's/--share=network/--share=ipc/' flatpak-manifest/*.yml"),
        scenarios: &["Flatpak: build", "Flatpak: install"],
        says: "its permissions are [Context] shared=ipc",
    },
    Mutation {
        name: "the Flatpak's crates",
        manager: Manager::Flatpak,
        change: Change::Repository("sed -i 's/replace-with/replace/' flatpak-manifest/cargo-sources.json"),
        scenarios: &["Flatpak: build"],
        says: "no matching package named",
    },
];

const fn apt(
    name: &'static str,
    change: Change,
    scenarios: &'static [&'static str],
    says: &'static str,
) -> Mutation {
    Mutation { name, manager: Manager::Apt, change, scenarios, says }
}

pub(super) const SUITE: &str = "trixie";

/// In the place of a system's name.
pub(super) const SYSTEM: &str = "broken on purpose";

/// Breaks it, and runs what has to notice.
pub(super) fn run(mutation: &Mutation, workspace: &Workspace, packages: &Packages) -> Row {
    let begun = Instant::now();
    let caught = caught(mutation, workspace, packages);
    let ended = match caught {
        Ok((scenario, how)) => {
            ui::verb("Caught", format_args!("{}, by {scenario}: {how}", mutation.name));
            Ended::Well
        }
        Err(error) => {
            ui::error(&error.context(format!("broken on purpose: {}", mutation.name)));
            Ended::Badly
        }
    };
    Row { system: SYSTEM.to_owned(), scenario: mutation.name, ended, took: begun.elapsed() }
}

/// The scenario that has failed, and what it said.
fn caught(mutation: &Mutation, workspace: &Workspace, packages: &Packages) -> Result<(&'static str, String)> {
    let system = System::of(mutation.manager, SUITE).context("no such system")?;
    let folder = packages.mutated(workspace, &mutation.change)?;
    let mut guest = Guest::boot(system, Tree::Usual, packages, &folder.path().join("repositories"))?;
    guest.announces = !matches!(mutation.change, Change::Announcement);
    let (last, before) = mutation.scenarios.split_last().context("a mutation without scenarios")?;
    for name in before {
        (find(name)?.run)(&guest).with_context(|| format!("caught too early, by {name}"))?;
    }
    match (find(last)?.run)(&guest) {
        Ok(()) => bail!("nothing has caught it: {last} passed"),
        Err(error) => {
            let text = format!("{error:#}");
            let Some(line) = text.lines().find(|line| line.contains(mutation.says)) else {
                return Err(error.context(format!("{last} does not say `{}`", mutation.says)));
            };
            Ok((last, line.trim().chars().take(160).collect()))
        }
    }
}

fn find(name: &str) -> Result<&'static Scenario> {
    let more = makepkg::SCENARIOS.iter().chain(piuparts::SCENARIOS).chain(flatpak::SCENARIOS);
    let more = more.chain(rotation::SCENARIOS);
    let mut all = life::SCENARIOS.iter().chain(more);
    all.find(|scenario| scenario.name == name).with_context(|| format!("no scenario is named {name}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mutation_names_scenarios_that_exist() {
        for mutation in MUTATIONS {
            assert!(!mutation.scenarios.is_empty(), "{}", mutation.name);
            assert!(System::of(mutation.manager, SUITE).is_some(), "{}", mutation.name);
            for name in mutation.scenarios {
                find(name).unwrap();
            }
        }
    }
}
