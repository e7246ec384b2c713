//! From the AUR's recipe: built by makepkg as an ordinary user, installed by pacman.

use anyhow::{Result, ensure};

use super::Scenario;
use super::guest::{ASSUMED, Guest, HOOKS, holds};
use super::life;

pub(super) const SCENARIOS: &[Scenario] = &[Scenario { name: "makepkg", run: makepkg }];

fn makepkg(guest: &Guest<'_>) -> Result<()> {
    guest.add_repository()?;
    guest.sh(
        "useradd -m builder; mkdir /home/builder/aur; cp /srv/repositories/aur/* /home/builder/aur; chown -R builder /home/builder/aur",
    )?;
    let refused = guest.try_sh("cd /home/builder/aur; makepkg 2>&1")?;
    ensure!(refused.code != Some(0), "makepkg as root: {}", refused.told());
    let built =
        guest.sh_as("builder", "cd ~builder/aur; PKGEXT=.pkg.tar.zst makepkg --nodeps --nocolor 2>&1")?;
    ensure!(built.code == Some(0), "makepkg: {}", built.told());
    // Its own digests, and not what we believe of them.
    holds(&built.out, "x86_64-linux-gnu.tar.gz ... Passed")?;
    let said = guest
        .sh(&format!("pacman -U --noconfirm {ASSUMED} /home/builder/aur/*.pkg.tar.zst 2>&1; {HOOKS}"))?;
    holds(&said, "mathesar-bin")?;
    life::installed(guest)?;
    guest.sh("mathesar start")?;
    guest.serves("1.0.0")?;
    guest.sh("pacman -R --noconfirm mathesar-bin 2>&1; test ! -e /usr/bin/mathesar")?;
    Ok(())
}
