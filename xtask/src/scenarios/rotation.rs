//! The repositories get another key: old, both, new, by the package managers themselves.

use std::fs;

use anyhow::{Context as _, Result, bail, ensure};
use machines::Ran;
use xshell::cmd;

use super::Scenario;
use super::guest::{DNF, Guest, KEYRING, OURS, holds};
use super::packages::URL;
use super::published::probe;
use super::system::Manager;
use crate::repo::{self, Facts, Key, Site};
use crate::shell;
use crate::tools::Tools;

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario { name: "keys rotate: a machine that slept", run: asleep },
    Scenario { name: "keys rotate", run: awake },
];

/// One repository at several times, a folder for each.
struct Times {
    /// As machines see it.
    at: String,
    /// The key that goes.
    old: String,
    /// The one that comes.
    new: String,
}

/// `old`, `both` and `new` have one version more each; in `later` nothing of the old key's is left, and `forged` is that with an index, and
/// a version more, by the old key.
fn times(guest: &Guest<'_>) -> Result<Times> {
    let how = if guest.announces { "keys" } else { "unannounced" };
    let name = format!("{}-{how}", guest.system.name().replace(' ', "-"));
    let dir = guest.packages.published().join(&name);
    let times = |new: &str| Times {
        at: format!("/srv/published/{name}"),
        old: guest.packages.key.fingerprint.clone(),
        new: new.to_owned(),
    };
    if dir.exists() {
        let next = Facts::read(&dir.join("both"))?.and_then(|facts| facts.keys.next);
        return Ok(times(&next.context("no next key was announced")?.fingerprint));
    }
    fs::create_dir_all(&dir).with_context(|| format!("cannot create {}", dir.display()))?;
    let (tools, key) = (Tools { folder: dir.join("tools") }, &guest.packages.key);
    // gpg's agent listens there, and the path of a socket has to be short.
    let home = tempfile::tempdir().context("cannot create a temporary folder")?;
    let next = Key::throw_away(&home.path().join("keys"), "The next key")?;
    let site = |key| Site { quiet: true, ..Site::new(key, URL, "mathesar", &tools) };
    let follows = |before: &str, after: &str| {
        let (from, to) = (dir.join(before), dir.join(after));
        let shell = shell::at(&dir)?;
        cmd!(shell, "cp -a {from} {to}").quiet().run().map(|()| to).map_err(anyhow::Error::from)
    };
    let version = |number| probe(guest, &dir, number).map(|package| [package]);
    repo::build(&Site { packages: &version(1)?, ..site(key) }, &dir.join("old"))?;
    let announced = Site { packages: &version(2)?, next: guest.announces.then_some(&next), ..site(key) };
    repo::add(&announced, &follows("old", "both")?)?;
    let signs = Site { packages: &version(3)?, again: !guest.announces, ..site(&next) };
    repo::add(&signs, &follows("both", "new")?)?;
    let alone = Site { packages: &version(4)?, keep: Some(1), grace: 0, ..site(&next) };
    repo::add(&alone, &follows("new", "later")?)?;
    let forged = Site { packages: &version(5)?, again: true, ..site(key) };
    repo::add(&forged, &follows("later", "forged")?)?;
    // Whoever has the old key has not the address of the new one's public half: dnf would take any key from there.
    for kind in ["dnf", "pacman"] {
        let file = format!("{kind}/mathesar.asc");
        let (from, to) = (dir.join("later").join(&file), dir.join("forged").join(&file));
        if from.exists() {
            fs::copy(&from, &to).with_context(|| format!("cannot copy {}", from.display()))?;
        }
    }
    Ok(times(&next.fingerprint))
}

impl Times {
    fn serve(&self, guest: &Guest<'_>, time: &str) -> Result<()> {
        guest.serve(&format!("{}/{time}", self.at))
    }
}

/// A machine that knows the old key, as the repository's page says, and has the first version.
fn begun(guest: &Guest<'_>, times: &Times) -> Result<()> {
    times.serve(guest, "old")?;
    guest.add_repository()?;
    let ran = guest.try_sh(&match guest.system.manager {
        Manager::Apt => format!("apt-get {OURS} -y install probe mathesar-archive-keyring 2>&1"),
        Manager::Dnf => format!("{} {DNF} install probe 2>&1", dnf(guest)),
        _ => "pacman -S --noconfirm probe 2>&1".to_owned(),
    })?;
    ensure!(ran.code == Some(0), "cannot install: {}", ran.told());
    has(guest, 1)
}

fn dnf(guest: &Guest<'_>) -> &'static str {
    if guest.system.has_dnf5() { "dnf5" } else { "dnf" }
}

/// What people do every day: news, and all that is newer.
fn upgrade(guest: &Guest<'_>) -> Result<Ran> {
    guest.try_sh(&match guest.system.manager {
        Manager::Apt => format!(
            "{{ apt-get {OURS} update && DEBIAN_FRONTEND=noninteractive apt-get {OURS} -y upgrade; }} 2>&1"
        ),
        Manager::Dnf => format!("{} {DNF} --refresh upgrade probe 2>&1", dnf(guest)),
        // Twice y: pacman knows a database by the second of its time, and here two are published within one.
        Manager::Pacman => "pacman -Syyu --noconfirm 2>&1".to_owned(),
        Manager::Flatpak => bail!("its repository has another kind of key"),
    })
}

fn upgraded(guest: &Guest<'_>, to: u32) -> Result<()> {
    let ran = upgrade(guest)?;
    ensure!(ran.code == Some(0), "cannot upgrade to {to}: {}", ran.told());
    // apt goes on after a warning with what it had.
    ensure!(!ran.out.lines().any(|line| line.starts_with("W: ")), "warned: {}", ran.told());
    has(guest, to).with_context(|| ran.out)
}

/// The version that is installed.
fn has(guest: &Guest<'_>, version: u32) -> Result<()> {
    let found = guest.version_of("probe")?;
    ensure!(found == format!("{version}-1"), "version {found} is installed, not {version}-1");
    Ok(())
}

/// It does not take what is served, says why, and stays as it is.
fn refused(guest: &Guest<'_>, ran: &Ran, causes: &[&str], stays: u32) -> Result<()> {
    for cause in causes {
        holds(&ran.out, cause)?;
    }
    // apt has what it read before, and dnf goes on without the repository: both end well.
    ensure!(guest.system.manager != Manager::Pacman || ran.code != Some(0), "taken: {}", ran.told());
    has(guest, stays)
}

/// What the package manager says of an index by a key that it does not know.
fn unknown<'a>(guest: &Guest<'_>, key: &'a str) -> Vec<&'a str> {
    match guest.system.manager {
        // gpgv names a key by the end of its fingerprint, sqv by all of it; so does pacman.
        Manager::Apt => vec![guest.system.says_unknown_key(), &key[key.len() - 16..]],
        Manager::Dnf => vec![guest.system.says_other_key()],
        _ => vec![&key[key.len() - 16..], "invalid or corrupted database"],
    }
}

/// The machine is as it was before.
fn forget(guest: &Guest<'_>) -> Result<()> {
    guest.sh(match guest.system.manager {
        Manager::Apt => {
            "dpkg -P probe mathesar-archive-keyring 2>&1; test ! -e /usr/share/keyrings/mathesar-archive-keyring.asc; \
             apt-get clean; rm -rf /etc/apt/sources.list.d/mathesar.sources /var/lib/apt/lists/*127.0.0.1*"
        }
        Manager::Dnf => {
            "rpm -e probe; rpm -e --allmatches gpg-pubkey; rm -rf /var/cache/dnf /var/cache/libdnf5 /etc/yum.repos.d/mathesar.repo"
        }
        _ => {
            "pacman -R --noconfirm probe 2>&1; gpgconf --homedir /etc/pacman.d/gnupg --kill all; \
             rm -rf /etc/pacman.d/gnupg /var/lib/pacman/sync /var/cache/pacman/pkg"
        }
    })?;
    guest.serve("/srv/repositories")
}

/// It saw nothing of the time when both keys were published.
fn asleep(guest: &Guest<'_>) -> Result<()> {
    let times = times(guest)?;
    begun(guest, &times)?;
    times.serve(guest, "new")?;
    let ran = match guest.system.manager {
        // With -y it takes the key from its address; whoever is asked can say no.
        Manager::Dnf => {
            let ask = DNF.replace("-y", "--assumeno");
            guest.try_sh(&format!("{} {ask} --refresh upgrade probe 2>&1", dnf(guest)))?
        }
        _ => upgrade(guest)?,
    };
    refused(guest, &ran, &unknown(guest, &times.new), 1)?;
    match guest.system.manager {
        Manager::Apt => guest.sh(&format!("curl -fsSLo {KEYRING} {URL}/apt/mathesar.asc"))?,
        Manager::Dnf => String::new(),
        _ => trust(guest, &times.new)?,
    };
    upgraded(guest, 3)?;
    forget(guest)
}

/// What the page says of a key, for pacman.
fn trust(guest: &Guest<'_>, key: &str) -> Result<String> {
    guest.sh(&format!(
        "{{ curl -fsSL {URL}/pacman/mathesar.asc | pacman-key --add - && pacman-key --lsign-key {key}; }} 2>&1"
    ))
}

/// It upgrades all the time.
fn awake(guest: &Guest<'_>) -> Result<()> {
    let times = times(guest)?;
    begun(guest, &times)?;
    times.serve(guest, "both")?;
    upgraded(guest, 2)?;
    if guest.system.manager == Manager::Pacman {
        trust(guest, &times.new)?;
    }
    // From here on by itself.
    times.serve(guest, "new")?;
    upgraded(guest, 3)?;
    times.serve(guest, "later")?;
    upgraded(guest, 4)?;
    withdrawn(guest, &times)?;
    times.serve(guest, "forged")?;
    let ran = upgrade(guest)?;
    refused(guest, &ran, &unknown(guest, &times.old), 4)?;
    // And goes on.
    times.serve(guest, "later")?;
    upgraded(guest, 4)?;
    forget(guest)
}

/// The old key is believed no more: apt's package has seen to it, others are told.
fn withdrawn(guest: &Guest<'_>, times: &Times) -> Result<()> {
    let old = &times.old;
    match guest.system.manager {
        Manager::Apt => guest.sh(&format!(
            "dpkg -V mathesar-archive-keyring; cmp {KEYRING} {}/later/apt/mathesar.asc",
            times.at
        ))?,
        Manager::Dnf => guest.sh(&format!(
            "rpm -q gpg-pubkey --qf '%{{NAME}}-%{{VERSION}}-%{{RELEASE}}\\n' | grep -i {} | xargs rpm -e; \
             rm -rf /var/cache/dnf/mathesar-* /var/cache/libdnf5/mathesar-*",
            &old[old.len() - 8..]
        ))?,
        _ => guest.sh(&format!("pacman-key --delete {old} 2>&1"))?,
    };
    Ok(())
}
