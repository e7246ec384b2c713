//! What nobody may get in with by dnf: each is refused by dnf itself, for the right reason.

use anyhow::{Result, ensure};

use super::Scenario;
use super::guest::{Act, Guest, holds};

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario { name: "a tampered package", run: tampered_package },
    Scenario { name: "a tampered index", run: tampered_index },
    Scenario { name: "a tampered signature", run: tampered_signature },
    Scenario { name: "another key", run: another_key },
    Scenario { name: "no signature", run: unsigned },
];

/// A copy of the repository, changed by a script, served in place of the true one; what dnf says to it, which has to hold `cause`.
fn refused(guest: &Guest<'_>, change: &str, cause: &str) -> Result<()> {
    guest.sh(&format!("rm -rf /srv/copy; cp -R /srv/repositories /srv/copy; cd /srv/copy/dnf; {change}"))?;
    guest.serve("/srv/copy")?;
    // The key that is trusted is the true one, whoever serves what.
    guest.sh("mkdir -p /etc/yum.repos.d; sed 's|^gpgkey=.*|gpgkey=file:///srv/repositories/dnf/mathesar.asc|' /srv/repositories/dnf/mathesar.repo >/etc/yum.repos.d/mathesar.repo")?;
    let ran = guest.manage(Act::Install("1.0.0-1"))?;
    guest.serve("/srv/repositories")?;
    guest.sh("rm -rf /var/cache/dnf /var/cache/libdnf5")?;
    ensure!(ran.code != Some(0), "taken: {}", ran.told());
    ensure!(guest.try_sh("test -e /usr/bin/mathesar")?.code == Some(1), "it was installed: {}", ran.told());
    holds(&ran.out, cause)
}

fn tampered_package(guest: &Guest<'_>) -> Result<()> {
    let change = "for rpm in Packages/mathesar-1.0.0-1.*.rpm; do printf x | dd of=$rpm bs=1 seek=50000 conv=notrunc status=none; done";
    refused(guest, change, "checksum doesn't match")
}

fn tampered_index(guest: &Guest<'_>) -> Result<()> {
    let change = "for index in index/*/repodata/*-primary.xml.*; do printf x | dd of=$index bs=1 seek=100 conv=notrunc status=none; done";
    refused(guest, change, "checksum")
}

fn tampered_signature(guest: &Guest<'_>) -> Result<()> {
    refused(guest, "echo '<!-- -->' >>$(echo index/*/repodata/repomd.xml)", guest.system.says_bad_repomd())
}

fn another_key(guest: &Guest<'_>) -> Result<()> {
    refused(guest, "rm -r ../dnf/*; cp -R /srv/strangers/dnf/* .", guest.system.says_other_key())
}

fn unsigned(guest: &Guest<'_>) -> Result<()> {
    refused(guest, "rm index/*/repodata/repomd.xml.asc", "repomd.xml.asc")
}
