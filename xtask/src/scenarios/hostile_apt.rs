//! What nobody may get in with by apt: each is refused by apt itself, for the right reason.

use anyhow::{Result, ensure};

use super::Scenario;
use super::guest::{Act, Guest, KEYRING, holds};

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario { name: "a tampered package", run: tampered_package },
    Scenario { name: "a tampered index", run: tampered_index },
    Scenario { name: "a tampered signature", run: tampered_signature },
    Scenario { name: "another key", run: another_key },
    Scenario { name: "no signature", run: unsigned },
];

/// A copy of the repository, changed by a script, served in place of the true one; then as it was.
fn served(guest: &Guest<'_>, change: &str, look: impl FnOnce() -> Result<()>) -> Result<()> {
    guest.sh(&format!("rm -rf /srv/copy; cp -R /srv/repositories /srv/copy; cd /srv/copy/apt; {change}"))?;
    guest.serve("/srv/copy")?;
    let looked = look();
    guest.serve("/srv/repositories")?;
    guest.sh("apt-get clean; rm -rf /var/lib/apt/lists/*127.0.0.1*")?;
    looked
}

/// The key that is trusted is the true one, whoever serves what.
fn trust(guest: &Guest<'_>) -> Result<()> {
    let from = "/srv/repositories/apt/mathesar";
    guest.sh(&format!("cp {from}.asc {KEYRING}; cp {from}.sources /etc/apt/sources.list.d/")).map(drop)
}

fn not_installed(guest: &Guest<'_>) -> Result<()> {
    ensure!(guest.try_sh("test -e /usr/bin/mathesar")?.code == Some(1), "it was installed");
    Ok(())
}

fn tampered_package(guest: &Guest<'_>) -> Result<()> {
    // The same length, another byte.
    let change = "for deb in pool/main/mathesar/*_1.0.0-1_*.deb; do printf x | dd of=$deb bs=1 seek=5000 conv=notrunc status=none; done";
    served(guest, change, || {
        guest.add_repository()?;
        let ran = guest.manage(Act::Install("1.0.0-1"))?;
        ensure!(ran.code != Some(0), "taken: {}", ran.told());
        holds(&ran.out, "Hash Sum mismatch")?;
        not_installed(guest)
    })
}

fn tampered_index(guest: &Guest<'_>) -> Result<()> {
    let change = "cd dists/stable/main/binary-$(dpkg --print-architecture); sed -i 's/^Depends: .*/Depends: busybox/' Packages; gzip -kf9 Packages; xz -kf Packages; rm -rf by-hash";
    served(guest, change, || {
        trust(guest)?;
        let ran = guest.refresh()?;
        // apt keeps what it had, which is nothing.
        let known = guest.sh("apt-cache policy mathesar")?;
        ensure!(!known.contains("1.0.0-1"), "taken: {}", ran.told());
        holds(&ran.out, "File has unexpected size")
    })
}

fn another_key(guest: &Guest<'_>) -> Result<()> {
    served(guest, "rm -r ../apt/*; cp -R /srv/strangers/apt/* .", || {
        trust(guest)?;
        let ran = guest.refresh()?;
        ensure!(!guest.sh("apt-cache policy mathesar")?.contains("1.0.0-1"), "taken: {}", ran.told());
        holds(&ran.out, guest.system.says_unknown_key())
    })
}

fn tampered_signature(guest: &Guest<'_>) -> Result<()> {
    let change = "rm dists/stable/Release.gpg; sed -i 's/^Date: .*/Date: Thu, 01 Jan 2026 00:00:00 UTC/' dists/stable/InRelease";
    served(guest, change, || {
        trust(guest)?;
        let ran = guest.refresh()?;
        ensure!(!guest.sh("apt-cache policy mathesar")?.contains("1.0.0-1"), "taken: {}", ran.told());
        holds(&ran.out, guest.system.says_bad_signature())
    })
}

fn unsigned(guest: &Guest<'_>) -> Result<()> {
    served(guest, "rm dists/stable/Release.gpg dists/stable/InRelease", || {
        trust(guest)?;
        let ran = guest.refresh()?;
        ensure!(!guest.sh("apt-cache policy mathesar")?.contains("1.0.0-1"), "taken: {}", ran.told());
        holds(&ran.out, "is not signed")
    })
}
