//! What a visitor of the repositories does, in a machine that reaches nothing else: the page's own lines, and what comes after them.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use machines::Way;

use super::address::Address;
use super::{flatpak, keys};
use crate::scenarios::guest::{ASSUMED, Act, Guest, HOOKS, holds};
use crate::scenarios::life;
use crate::scenarios::system::Manager;
use crate::template::sh;
use crate::ui;

pub(super) const NAME: &str = "mathesar";

/// What one system's visitor finds at the address, and what is to come of it.
#[derive(Debug)]
pub(super) struct Served {
    pub at: Address,
    /// As the page has them.
    pub lines: Vec<String>,
    /// The newest version that the package manager's index names.
    pub newest: String,
    pub expect: Option<String>,
    /// Fingerprints; none: nobody has said whose it is.
    pub keys: Vec<String>,
    /// As long as the machine is to reach the address.
    pub way: Option<Way>,
}

/// One thing that the visitor does, after those before.
pub(super) struct Step {
    pub name: &'static str,
    pub run: fn(&Guest<'_, Served>) -> Result<()>,
}

pub(super) const KEY: &str = "served: key";
pub(super) const PLAN: &str = "served: plan";
pub(super) const START: &str = "served: start";

pub(super) const STEPS: &[Step] = &[
    Step { name: "served: install", run: install },
    Step { name: KEY, run: key },
    Step { name: PLAN, run: plan },
    Step { name: START, run: start },
    Step { name: "served: remove", run: remove },
];

/// With everything that the package needs, and for an application that is at hand.
const LONG: Duration = Duration::from_secs(900);

/// Programs that stand before the machine's own: nobody is there to be asked.
const BEFORE: &str = "/opt/visitor";

/// The page's lines as they are, one after another; a newcomer's shell, but that a pipe's every part has to end well.
pub(super) fn install(guest: &Guest<'_, Served>) -> Result<()> {
    let served = &guest.packages;
    if let Some(expected) = &served.expect {
        ensure!(
            served.newest == *expected,
            "the newest version in the index is {}, and {expected} is expected",
            served.newest
        );
    }
    let (url, lines) = (&served.at.url, &served.lines);
    ensure!(
        lines.iter().any(|line| line.contains(url.as_str())),
        "the page's lines do not name {url}, where it is served: {}\nhelp: `cargo xtask repo build --url` says at which address",
        lines.join("; ")
    );
    prepare(guest)?;
    let by_flatpak = guest.system.manager == Manager::Flatpak;
    for line in lines {
        let begun = Instant::now();
        let script = format!("PATH={BEFORE}:$PATH exec bash -o pipefail -c {} 2>&1", sh(line));
        let script = if by_flatpak { flatpak::as_visitor(&script) } else { script };
        let ran = guest.try_long(LONG, &script)?;
        ensure!(ran.code == Some(0), "`{line}`: {}", ran.told());
        let took = begun.elapsed().as_secs_f64();
        ui::verb("Entered", format_args!("{}: {line} ({took:.1} s)", guest.system.name()));
        // dnf says "Complete!" all the same.
        ensure!(!ran.out.contains("scriptlet failed"), "`{line}`: {}", ran.told());
    }
    if guest.system.manager == Manager::Pacman {
        guest.sh(HOOKS)?;
    }
    let found = if by_flatpak { flatpak::version(guest, NAME)? } else { guest.version_of(NAME)? };
    ensure!(
        found == served.newest,
        "version {found} is installed, and the newest in the index is {}",
        served.newest
    );
    if served.keys.is_empty() {
        keys::warn(guest)?;
    }
    Ok(())
}

/// What the system's own installation has brought, and nobody there to be asked.
fn prepare(guest: &Guest<'_, Served>) -> Result<()> {
    let own = if guest.system.has_dnf5() { "/usr/bin/dnf5" } else { "/usr/bin/dnf" };
    let programs = [
        ("sudo", "exec \"$@\"".to_owned()),
        ("apt", "DEBIAN_FRONTEND=noninteractive exec apt-get -y \"$@\"".to_owned()),
        // Debian's has no release of Fedora's to tell.
        ("dnf", format!("exec {own} -y --releasever=1 \"$@\"")),
        ("flatpak", flatpak::PROGRAM.to_owned()),
        ("pacman", format!("exec /usr/bin/pacman --noconfirm {ASSUMED} \"$@\"")),
    ];
    let mut script = format!("mkdir -p {BEFORE}\n");
    for (name, text) in programs {
        let text = sh(&format!("#!/bin/sh\n{text}\n"));
        script += &format!("printf %s {text} >{BEFORE}/{name}; chmod 755 {BEFORE}/{name}\n");
    }
    if let Some(line) = guest.packages.at.in_hosts() {
        script += &format!("grep -qxF {0} /etc/hosts 2>/dev/null || echo {0} >>/etc/hosts\n", sh(&line));
    }
    guest.sh(&script)?;
    match guest.system.manager {
        Manager::Apt => {
            // Debian's own archive is not reached, and it is as well not to wait before that is tried again.
            guest.sh("echo 'Acquire::Retries::Delay \"false\";' >/etc/apt/apt.conf.d/99visitor")?;
            if guest.packages.at.tls {
                guest.sh("DEBIAN_FRONTEND=noninteractive apt-get -y install ca-certificates 2>&1")?;
            }
        }
        Manager::Flatpak => flatpak::prepare(guest)?,
        Manager::Dnf => {
            // As Fedora has them, where the files are Debian's.
            guest.sh(&format!(
                "mkdir -p /etc/yum.repos.d
                 rpm -q fedora-names >/dev/null || {{
                     printf %s {} >/tmp/fedora-names.spec
                     rpmbuild -bb --quiet --define '_topdir /tmp/rpmbuild' /tmp/fedora-names.spec
                     rpm -i --nosignature $(find /tmp/rpmbuild/RPMS -name '*.rpm')
                 }} 2>&1",
                sh(crate::scenarios::packages::NAMES_OF_FEDORA)
            ))?;
        }
        Manager::Pacman => guest.prepare_pacman()?,
    }
    Ok(())
}

/// What the package manager believes from now on is what was told by other means.
pub(super) fn key(guest: &Guest<'_, Served>) -> Result<()> {
    let trusted = keys::trusted(guest)?;
    keys::judge(&trusted, &guest.packages.keys)
}

fn plan(guest: &Guest<'_, Served>) -> Result<()> {
    let release = release(&guest.packages.newest)?;
    holds(&guest.sh("mathesar --version")?, &format!("Mathesar {release} (pinned by "))?;
    let ran = guest.try_sh("mathesar plan 2>&1")?;
    ensure!(ran.code == Some(0), "mathesar plan: {}", ran.told());
    holds(&ran.out, release)
}

fn start(guest: &Guest<'_, Served>) -> Result<()> {
    let ran = guest.try_long(LONG, "mathesar start 2>&1")?;
    ensure!(ran.code == Some(0), "mathesar start: {}", ran.told());
    guest.serves(release(&guest.packages.newest)?)
}

fn remove(guest: &Guest<'_, Served>) -> Result<()> {
    if guest.system.manager == Manager::Flatpak {
        return flatpak::remove(guest);
    }
    life::edit(guest)?;
    guest.managed(Act::Remove)?;
    let left = guest.try_sh("pgrep -u mathesar -a")?;
    ensure!(left.code == Some(1), "processes are left: {}", left.told());
    guest.sh("test ! -e /usr/bin/mathesar")?;
    life::edited_file_is_kept(guest)
}

/// Of Mathesar: the package's without its revision.
fn release(version: &str) -> Result<&str> {
    let (release, _) = version.rsplit_once('-').with_context(|| format!("{version} has no revision"))?;
    Ok(release)
}
