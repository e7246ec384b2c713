//! What nobody may get in with by pacman: each is refused by pacman itself, for the right reason.

use anyhow::{Result, ensure};

use super::Scenario;
use super::guest::{ASSUMED, Guest, holds};

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario { name: "from the signed repository", run: signed },
    Scenario { name: "a tampered package", run: tampered_package },
    Scenario { name: "a tampered index", run: tampered_index },
    Scenario { name: "another key", run: another_key },
    Scenario { name: "no signature", run: unsigned },
];

/// The newest by name, and away again.
fn signed(guest: &Guest<'_>) -> Result<()> {
    guest.add_repository()?;
    guest.sh(&format!("pacman -S --noconfirm {ASSUMED} mathesar 2>&1; pacman -Qi mathesar; pacman -R --noconfirm mathesar 2>&1"))?;
    Ok(())
}

/// A copy of the repository, changed by a script, served in place of the true one; what pacman says to it, which has to hold each of `causes`.
fn refused(guest: &Guest<'_>, change: &str, causes: &[&str]) -> Result<()> {
    guest.sh(&format!(
        "rm -rf /srv/copy; cp -R /srv/repositories /srv/copy; cd /srv/copy/pacman/x86_64; {change}"
    ))?;
    guest.serve("/srv/copy")?;
    guest.sh("rm -rf /var/lib/pacman/sync /var/cache/pacman/pkg")?;
    let ran = guest.try_sh(&format!("pacman -Syy --noconfirm {ASSUMED} mathesar 2>&1"))?;
    guest.serve("/srv/repositories")?;
    ensure!(ran.code != Some(0), "taken: {}", ran.told());
    ensure!(guest.try_sh("test -e /usr/bin/mathesar")?.code == Some(1), "it was installed: {}", ran.told());
    causes.iter().try_for_each(|cause| holds(&ran.out, cause))
}

fn tampered_package(guest: &Guest<'_>) -> Result<()> {
    let change = "for package in *.pkg.tar.zst; do printf x | dd of=$package bs=1 seek=50000 conv=notrunc status=none; done";
    refused(guest, change, &["invalid or corrupted package"])
}

/// Both are an invalid database in the end; what is wrong with its signature is told before.
const INVALID: &str = "invalid or corrupted database (PGP signature)";

fn tampered_index(guest: &Guest<'_>) -> Result<()> {
    let change = "printf x | dd of=mathesar.db bs=1 seek=100 conv=notrunc status=none";
    refused(guest, change, &["mathesar: signature from \"", "\" is invalid", INVALID])
}

fn another_key(guest: &Guest<'_>) -> Result<()> {
    let change = "rm -r *; cp -R /srv/strangers/pacman/x86_64/* .";
    refused(guest, change, &["mathesar: key \"", "\" is unknown", INVALID])
}

fn unsigned(guest: &Guest<'_>) -> Result<()> {
    refused(guest, "rm *.sig", &["failed retrieving file 'mathesar.db.sig'"])
}
