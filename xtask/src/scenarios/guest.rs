//! One machine that installs from repositories, and what scenarios ask of it.

use std::net::SocketAddr;
use std::path::Path;
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use machines::{Base, Machine, Ran, Way};
use serde_json::Value;

use super::packages::{Packages, URL};
use super::system::{Manager, System, Tree};
use crate::ui;

/// `P`: where its packages come from; from this checkout, if nothing is said.
pub(crate) struct Guest<'a, P = &'a Packages> {
    pub system: &'a System,
    pub packages: P,
    /// Whether its repositories tell of a key before it signs.
    pub announces: bool,
    machine: Rc<Machine>,
    /// A tree in the machine that everything is run in; the machine itself, if there is none.
    root: Option<&'static str>,
}

/// Nothing of Mathesar's takes longer in a machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// Only our repository is asked for news: there is no network.
pub(super) const OURS: &str = "-o Dir::Etc::sourcelist=/etc/apt/sources.list.d/mathesar.sources -o Dir::Etc::sourceparts=- \
                    -o APT::Get::List-Cleanup=0";
/// dnf 4 says so, dnf 5 asks for what is written here.
pub(super) const DNF: &str = "-y --releasever=1 --disablerepo=* --enablerepo=mathesar";
/// Arch's names of what Debian's packages bring here.
pub(super) const ASSUMED: &str = "--assume-installed glibc=2.41 --assume-installed gcc-libs --assume-installed cairo \
                       --assume-installed ca-certificates --assume-installed python=3.13";
/// What Arch's own hooks of systemd do after every transaction.
pub(super) const HOOKS: &str = "systemd-sysusers >/dev/null 2>&1; systemd-tmpfiles --create mathesar.conf 2>/dev/null || :; systemctl daemon-reload";
/// Where apt's keys are.
pub(super) const KEYRING: &str = "/usr/share/keyrings/mathesar-archive-keyring.asc";
const ANSWERS: &str = "-o Dpkg::Options::=--force-confdef -o Dpkg::Options::=--force-confold";

/// What a package manager is asked for.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Act<'a> {
    Install(&'a str),
    Downgrade(&'a str),
    Reinstall(&'a str),
    Remove,
    Purge,
}

impl<'a> Guest<'a> {
    /// `repositories`: others than the packages' own.
    pub(crate) fn boot(
        system: &'a System,
        tree: Tree,
        packages: &'a Packages,
        repositories: &Path,
    ) -> Result<Guest<'a>> {
        let tell = |what: &str| ui::verb("Machine", what);
        let base = Base::debian(&packages.store, &system.recipe(tree), &tell)?;
        let binds = packages.binds(repositories);
        let binds: Vec<(&Path, &str)> = binds.iter().map(|(here, there)| (here.as_path(), *there)).collect();
        let writable = packages.writable();
        let writable: Vec<(&Path, &str)> =
            writable.iter().map(|(here, there)| (here.as_path(), *there)).collect();
        // Only Flatpak's machine changes what outlives it.
        let writable = if system.manager == Manager::Flatpak { writable.as_slice() } else { &[] };
        let machine = Rc::new(Machine::boot_with(base, &packages.store, &binds, writable)?);
        let guest = Guest::over(system, machine, packages)?;
        guest.serve("/srv/repositories")?;
        Ok(guest)
    }

    /// The same machine, seen from a tree in it.
    pub(crate) fn inside(&self, root: &'static str) -> Guest<'a> {
        Guest {
            system: self.system,
            packages: self.packages,
            announces: self.announces,
            machine: Rc::clone(&self.machine),
            root: Some(root),
        }
    }

    /// The same machine, for packages from elsewhere.
    pub(crate) fn visiting<P>(&self, packages: P) -> Guest<'a, P> {
        let machine = Rc::clone(&self.machine);
        Guest { system: self.system, packages, announces: self.announces, machine, root: self.root }
    }

    /// A web server on loopback that serves a folder of the machine's, in place of the one before.
    pub(crate) fn serve(&self, folder: &str) -> Result<()> {
        let port = URL.rsplit(':').next().unwrap_or_default();
        self.sh(&format!(
            "systemctl stop repository 2>/dev/null || :
             systemd-run --quiet --collect --unit=repository busybox httpd -f -p 127.0.0.1:{port} -h {folder}"
        ))?;
        self.until("the repository is served", || {
            // Some have one package manager's alone.
            let there = |file: &str| format!("curl -sf -o /dev/null {URL}/{file}");
            let files = [
                "apt/mathesar.asc",
                "dnf/mathesar.asc",
                "pacman/mathesar.asc",
                "flatpak/mathesar.flatpakrepo",
            ];
            Ok(self.try_sh(&files.map(there).join(" || "))?.code == Some(0))
        })
    }

    pub(crate) fn reboot(&self) -> Result<()> {
        self.machine.reboot()?;
        self.serve("/srv/repositories")
    }

    /// Tells the package manager of our repository, as its page says.
    pub(crate) fn add_repository(&self) -> Result<()> {
        if self.system.manager == Manager::Pacman {
            return self.trust_pacman();
        }
        let (from, to) = match self.system.manager {
            Manager::Apt => ("apt/mathesar.sources", "/etc/apt/sources.list.d/mathesar.sources"),
            Manager::Dnf | Manager::Pacman | Manager::Flatpak => {
                ("dnf/mathesar.repo", "/etc/yum.repos.d/mathesar.repo")
            }
        };
        self.sh(&format!("mkdir -p $(dirname {to}); curl -sf -o {to} {URL}/{from}"))?;
        if self.system.manager == Manager::Apt {
            self.sh(&format!("curl -sf -o {KEYRING} {URL}/apt/mathesar.asc"))?;
        }
        self.refresh()?.ok().map(drop).map_err(anyhow::Error::msg)
    }

    /// The key, as an administrator takes it.
    fn trust_pacman(&self) -> Result<()> {
        self.prepare_pacman()?;
        self.sh(&format!(
            "curl -sf {URL}/pacman/mathesar.conf >>/etc/pacman.conf
             curl -sf -o /tmp/key {URL}/pacman/mathesar.asc
             pacman-key --add /tmp/key 2>&1
             pacman-key --lsign-key $(gpg --show-keys --with-colons /tmp/key | sed -n 's/^fpr:*\\([^:]*\\).*/\\1/p' | head -n 1) 2>&1"
        ))?;
        self.refresh()?.ok().map(drop).map_err(anyhow::Error::msg)
    }

    /// Brings a new package of a service that runs into force: with pacman that is the administrator's to do.
    pub(crate) fn upgraded(&self, said: &str) -> Result<()> {
        if self.system.manager == Manager::Pacman {
            holds(said, "When it suits: systemctl restart mathesar.service")?;
            self.sh("systemctl restart mathesar")?;
        }
        Ok(())
    }
}

impl<'a, P> Guest<'a, P> {
    pub(crate) fn over(system: &'a System, machine: Rc<Machine>, packages: P) -> Result<Guest<'a, P>> {
        let guest = Guest { system, packages, announces: true, machine, root: None };
        if system.has_dnf5() {
            // Debian's has a plug-in on that makes a repository of what was installed, and fails.
            guest.sh("find /etc/dnf/libdnf5-plugins -name local.conf -exec sed -i 's/^enabled.*/enabled = 0/' {} +")?;
        }
        Ok(guest)
    }

    /// What Arch itself brings, as far as it is needed, where pacman is Debian's.
    pub(crate) fn prepare_pacman(&self) -> Result<()> {
        self.sh(
            "mkdir -p /var/lib/pacman /etc/pacman.d
             ln -sf bash /bin/sh
             printf '[options]\nArchitecture = x86_64\nSigLevel = Required DatabaseRequired\nLocalFileSigLevel = Optional\nRemoteFileSigLevel = Required\n\n' >/etc/pacman.conf
             pacman-key --init 2>&1",
        )
        .map(drop)
    }

    /// From an address in the machine to a host and port as this computer knows them.
    pub(crate) fn way(&self, at: SocketAddr, to: (String, u16)) -> Result<Way> {
        self.machine.way(at, to)
    }

    pub(crate) fn sh(&self, script: &str) -> Result<String> {
        match self.try_sh(script)?.ok() {
            Ok(out) => Ok(out),
            Err(told) => bail!("`{script}` in the machine: {told}"),
        }
    }

    pub(crate) fn try_sh(&self, script: &str) -> Result<Ran> {
        match self.root {
            None => self.machine.try_sh(script),
            Some(root) => self.machine.run(&["chroot", root, "sh", "-euc", script], ""),
        }
    }

    /// As another user, in a shell.
    pub(crate) fn sh_as(&self, user: &str, script: &str) -> Result<Ran> {
        self.machine.sh_as(user, script)
    }

    /// What takes longer than anything else.
    pub(crate) fn try_long(&self, limit: Duration, script: &str) -> Result<Ran> {
        self.machine.try_long(limit, script)
    }

    /// What a package manager asks for after it was interrupted.
    pub(crate) fn repair(&self) -> Result<()> {
        if self.system.manager == Manager::Apt {
            self.sh("dpkg --configure -a 2>&1; apt-get -y -f install 2>&1")?;
        }
        Ok(())
    }

    /// The version of a package that is installed.
    pub(crate) fn version_of(&self, package: &str) -> Result<String> {
        self.sh(&match self.system.manager {
            Manager::Apt => format!("dpkg-query -W -f '${{Version}}' {package}"),
            Manager::Dnf => format!("rpm -q --queryformat '%{{VERSION}}-%{{RELEASE}}' {package}"),
            Manager::Pacman => format!("pacman -Q {package} | cut -d ' ' -f 2"),
            Manager::Flatpak => bail!("its scenarios ask by themselves"),
        })
    }

    /// Asks our repository for news.
    pub(crate) fn refresh(&self) -> Result<Ran> {
        self.try_sh(&match self.system.manager {
            Manager::Apt => format!("apt-get {OURS} update 2>&1"),
            Manager::Dnf if self.system.has_dnf5() => format!("dnf5 {DNF} makecache --refresh 2>&1"),
            Manager::Dnf => format!("dnf {DNF} makecache --refresh 2>&1"),
            Manager::Pacman => "pacman -Syy 2>&1".to_owned(),
            Manager::Flatpak => bail!("its scenarios ask by themselves"),
        })
    }

    /// Does it, with nobody to ask.
    pub(crate) fn manage(&self, act: Act<'_>) -> Result<Ran> {
        let apt = |what: &str| format!("DEBIAN_FRONTEND=noninteractive apt-get -y {ANSWERS} {what} 2>&1");
        let program = if self.system.has_dnf5() { "dnf5" } else { "dnf" };
        let dnf = |what: &str| format!("{program} {DNF} {what} 2>&1");
        let pacman = |version: &str| {
            let url = format!("{URL}/pacman/x86_64/mathesar-{version}-x86_64.pkg.tar.zst");
            format!("pacman -U --noconfirm {ASSUMED} {url} 2>&1; {HOOKS}")
        };
        self.try_sh(&match (self.system.manager, act) {
            (Manager::Apt, Act::Install(version)) => apt(&format!("install mathesar={version}")),
            (Manager::Apt, Act::Downgrade(version)) => {
                apt(&format!("install --allow-downgrades mathesar={version}"))
            }
            (Manager::Apt, Act::Reinstall(version)) => {
                apt(&format!("install --reinstall mathesar={version}"))
            }
            (Manager::Apt, Act::Remove) => apt("remove mathesar"),
            (Manager::Apt, Act::Purge) => apt("purge mathesar"),
            (Manager::Dnf, Act::Install(version)) => dnf(&format!("install mathesar-{version}")),
            (Manager::Dnf, Act::Downgrade(version)) => dnf(&format!("downgrade mathesar-{version}")),
            (Manager::Dnf, Act::Reinstall(version)) => dnf(&format!("reinstall mathesar-{version}")),
            (Manager::Dnf, Act::Remove) => dnf("remove mathesar"),
            (Manager::Pacman, Act::Install(version) | Act::Downgrade(version) | Act::Reinstall(version)) => {
                pacman(version)
            }
            (Manager::Pacman, Act::Remove) => format!("pacman -R --noconfirm mathesar 2>&1; {HOOKS}"),
            (Manager::Flatpak, _) => bail!("its scenarios ask by themselves"),
            (Manager::Dnf | Manager::Pacman, Act::Purge) => bail!("only apt knows a purge"),
        })
    }

    /// The same, for one that has to end well; what it said.
    pub(crate) fn managed(&self, act: Act<'_>) -> Result<String> {
        let said = self.manage(act)?.ok().map_err(|told| anyhow::anyhow!("{act:?}: {told}"))?;
        // dnf says "Complete!" all the same.
        ensure!(!said.contains("scriptlet failed"), "{act:?}: {said}");
        Ok(said)
    }

    pub(crate) fn until(&self, what: &str, mut ask: impl FnMut() -> Result<bool>) -> Result<()> {
        let end = Instant::now() + PATIENCE;
        while !ask()? {
            if Instant::now() > end {
                bail!("never came about: {what}");
            }
            std::thread::sleep(Duration::from_millis(200));
        }
        Ok(())
    }

    pub(crate) fn status(&self) -> Result<Value> {
        let ran = self.try_sh("mathesar status --json")?;
        serde_json::from_str(&ran.out).with_context(|| format!("`mathesar status --json`: {}", ran.told()))
    }

    /// It serves this release, and the page answers.
    pub(crate) fn serves(&self, version: &str) -> Result<()> {
        let mut last = String::new();
        self.until(&format!("Mathesar {version} runs"), || {
            let status = self.status()?;
            last = status.to_string();
            Ok(status["state"] == "running" && status["version"] == version)
        })
        .context(last)?;
        let code =
            self.sh("curl -s -m 20 -o /dev/null -w '%{http_code}' http://127.0.0.1:8000/auth/login/")?;
        ensure!(["200", "302"].contains(&code.as_str()), "the page answers {code}");
        Ok(())
    }

    pub(crate) fn property(&self, name: &str) -> Result<String> {
        self.sh(&format!("systemctl show --value -p {name} mathesar"))
    }

    /// SQL in the database that people have, as Mathesar's own user.
    pub(crate) fn sql(&self, statement: &str) -> Result<String> {
        let quoted = crate::template::sh(statement);
        self.sh(&format!(
            "runuser -u mathesar -- sh -c 'cd / && exec psql -XAtqw -v ON_ERROR_STOP=1 -h /run/mathesar -d mathesar -c \"$0\"' {quoted}"
        ))
    }

    /// What somebody wants to read after a failure.
    pub(crate) fn evidence(&self) -> String {
        let script =
            "journalctl --no-pager -o short-monotonic -u mathesar -n 40; systemctl --no-pager --failed";
        self.try_sh(script).map(|ran| ran.told()).unwrap_or_default()
    }
}

/// `text` holds `part`, or it is said what it is.
pub(crate) fn holds(text: &str, part: &str) -> Result<()> {
    ensure!(text.contains(part), "`{part}` is not in: {text}");
    Ok(())
}
