//! Without systemd: in a chroot, as images are built.

use anyhow::{Result, ensure};

use super::Scenario;
use super::guest::{Act, Guest};
use super::life;
use super::system::Manager;

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario { name: "without systemd: install", run: install },
    Scenario { name: "without systemd: start", run: start },
];

/// A tree of its own over the machine's, with its network; whatever runs in it sees no systemd.
const MAKE: &str = "\
mkdir -p /image
mount -t tmpfs -o mode=755 tmpfs /image
mkdir /image/upper /image/work /image/root
mount -t overlay overlay -o lowerdir=/,upperdir=/image/upper,workdir=/image/work /image/root
mount -t proc proc /image/root/proc
mount --rbind /dev /image/root/dev
mkdir -p /image/root/usr/share/mathesar/app /image/root/usr/share/mathesar/wheels
mount --bind /usr/share/mathesar/app /image/root/usr/share/mathesar/app
mount --bind /usr/share/mathesar/wheels /image/root/usr/share/mathesar/wheels
printf '#!/bin/sh\\nexit 101\\n' >/image/root/usr/sbin/policy-rc.d
chmod 755 /image/root/usr/sbin/policy-rc.d
test ! -e /image/root/run/systemd/system
";

fn install(guest: &Guest<'_>) -> Result<()> {
    guest.sh(MAKE)?;
    let image = guest.inside("/image/root");
    image.add_repository()?;
    image.managed(Act::Install("1.0.0-1"))?;
    life::installed(&image)?;
    let running = image.try_sh("pgrep -u mathesar -a")?;
    ensure!(running.code == Some(1), "something runs: {}", running.told());
    Ok(())
}

/// Whoever builds an image, or has no systemd, starts it as any program.
fn start(guest: &Guest<'_>) -> Result<()> {
    let image = guest.inside("/image/root");
    image.sh("mathesar start 2>&1")?;
    image.serves("1.0.0")?;
    for folder in ["/var/lib/mathesar", "/var/cache/mathesar"] {
        let found = image.sh(&format!("stat -c '%U:%G %a' {folder}"))?;
        ensure!(found == "mathesar:mathesar 750", "{folder}: {found}");
    }
    let who = image.sh(
        "ps -o user= -p $(mathesar status --json | sed -n 's/.*\"pid\": *\\([0-9]*\\).*/\\1/p' | head -n 1)",
    )?;
    ensure!(who.trim() == "mathesar", "it runs as {who}");
    image.sh("mathesar stop")?;
    if guest.system.manager == Manager::Apt {
        image.managed(Act::Purge)?;
    }
    Ok(())
}
