//! What happens to machines that people have: no network, a full disk, a second installation.

use anyhow::{Result, ensure};

use super::Scenario;
use super::guest::{Act, Guest};
use super::life::{self, rows};

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario { name: "offline: begun", run: life::begun },
    Scenario { name: "offline: the next version", run: offline_upgrade },
    Scenario { name: "offline: and back", run: online_again },
    Scenario { name: "two instances", run: two_instances },
    Scenario { name: "full /var", run: full_var },
];

/// The package comes, its release does not: the old one goes on.
fn offline_upgrade(guest: &Guest<'_>) -> Result<()> {
    guest.sh("mount -t tmpfs tmpfs /usr/share/mathesar/app")?;
    guest.upgraded(&guest.managed(Act::Install("2.0.0-1"))?)?;
    guest.until("it is said that the next version cannot be had", || {
        let said = guest.sh("journalctl -b -u mathesar -o cat")?;
        Ok(said.contains("the upgrade cannot be prepared now, the present release goes on"))
    })?;
    let status = guest.status()?;
    ensure!(status["state"] == "running" && status["pending"].to_string().contains("2.0.0"), "{status}");
    guest.serves("1.0.0")?;
    let restarted = guest.try_sh("systemctl restart mathesar")?;
    ensure!(restarted.code == Some(0), "{}", restarted.told());
    guest.serves("1.0.0")?;
    rows(guest)
}

fn online_again(guest: &Guest<'_>) -> Result<()> {
    guest.sh("umount /usr/share/mathesar/app; systemctl restart mathesar")?;
    guest.serves("2.0.0")?;
    let pending = guest.status()?["pending"].to_string();
    ensure!(!pending.contains("2.0.0"), "still pending: {pending}");
    rows(guest)
}

/// One more, each with its own settings, data and port; a package serves both.
fn two_instances(guest: &Guest<'_>) -> Result<()> {
    let answers = |port: u32| -> Result<()> {
        let code = guest.sh(&format!(
            "curl -s -m 20 -o /dev/null -w '%{{http_code}}' http://127.0.0.1:{port}/auth/login/"
        ))?;
        ensure!(["200", "302"].contains(&code.as_str()), "port {port} answers {code}");
        Ok(())
    };
    guest.sh("mathesar --instance two config set server.listen 127.0.0.1:8001")?;
    guest.sh("mathesar --instance two config set server.workers 1")?;
    guest.sh("systemctl enable --now mathesar@two")?;
    answers(8000)?;
    answers(8001)?;
    let cats =
        guest.sh("mathesar --instance two db shell -- -XAtqc \"SELECT to_regclass('cats') IS NULL\"")?;
    ensure!(cats == "t", "the second has the first one's tables: {cats}");
    let before = guest.sh("systemctl show --value -p InvocationID mathesar@two")?;
    guest.upgraded(&guest.managed(Act::Reinstall("2.0.0-1"))?)?;
    guest.serves("2.0.0")?;
    answers(8001)?;
    // Whoever has made instances decides when they restart.
    let after = guest.sh("systemctl show --value -p InvocationID mathesar@two")?;
    ensure!(before == after, "the package has restarted the second");
    guest.sh("systemctl stop mathesar")?;
    answers(8001)?;
    guest.sh("systemctl start mathesar; systemctl disable --now mathesar@two")?;
    guest.serves("2.0.0")?;
    rows(guest)
}

/// How a full disk is told: by the kernel, apt, dnf (rpm and SQLite too), pacman, and curl in the last two.
const FULL: &[&str] = &[
    "No space left on device",
    "enough free space",
    "free disk space",
    "more space needed",
    "disk is full",
    "too full",
    "Failed writing",
    "Failure writing",
];

/// Nothing can be written: neither the package manager's records nor ours. With room again, all is as it was.
fn full_var(guest: &Guest<'_>) -> Result<()> {
    guest.sh("systemctl stop mathesar")?;
    // All of /var on a disk of its own, as many servers have it.
    guest.sh("mount -t tmpfs -o mode=755,size=$(($(du -sm /var | cut -f1) + 120))m tmpfs /mnt
         cp -a /var/. /mnt; mount --bind /mnt /var; systemctl restart systemd-journald")?;
    guest.sh("systemctl start mathesar")?;
    guest.serves("2.0.0")?;
    guest.sh("dd if=/dev/zero of=/var/fill bs=1M 2>/dev/null || :; dd if=/dev/zero of=/var/fill2 bs=1k 2>/dev/null || :")?;
    let ran = guest.manage(Act::Install("3.0.0-1"))?;
    // Whatever the package manager has made of it, whoever has data has them, and a restart is tried.
    let restarted = guest.try_sh("systemctl restart mathesar")?;
    let status = guest.try_sh("mathesar status 2>&1; systemctl status --no-pager mathesar 2>&1")?;
    guest.sh("rm /var/fill /var/fill2")?;
    ensure!(ran.code != Some(0) || restarted.code != Some(0), "nothing was full: {}", ran.told());
    // Whatever it was that failed, for this reason.
    let told = match ran.code {
        Some(0) => format!("{}\n{}", restarted.told(), status.told()),
        _ => ran.told(),
    };
    ensure!(FULL.iter().any(|words| told.contains(words)), "nobody says that /var is full: {told}");
    guest.repair()?;
    guest.managed(Act::Downgrade("2.0.0-1"))?;
    guest.sh("systemctl reset-failed mathesar; systemctl restart mathesar")?;
    guest.serves("2.0.0")?;
    rows(guest)
}
