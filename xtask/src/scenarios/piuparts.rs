//! piuparts: whether anything is left of a package, or of others' files changed by it, after it was installed, removed and purged.

use std::time::Duration;

use anyhow::{Result, ensure};

use super::Scenario;
use super::guest::Guest;

pub(super) const SCENARIOS: &[Scenario] = &[Scenario { name: "piuparts", run: piuparts }];

/// It asks for a tree of the release, and an archive that has what the package depends on: here the machine as it is, and what was
/// fetched beforehand.
const MAKE: &str = "\
mkdir -p /srv/tree /srv/tmp /srv/archive
tar --one-file-system --exclude=./srv --exclude='./var/cache/apt/archives/*.deb' -C / -cf - . | tar -C /srv/tree -xf -
cp -a /dev/null /dev/zero /dev/full /dev/random /dev/urandom /dev/tty /srv/tree/dev
mkdir -p /srv/tree/dev/pts /srv/tree/dev/shm
# Of a machine that has booted.
find /srv/tree -xtype l -delete
rm -f /srv/tree/etc/apt/sources.list.d/*
echo 'deb [trusted=yes] http://127.0.0.1:8098 ./' >/srv/tree/etc/apt/sources.list
DEBIAN_FRONTEND=noninteractive apt-get -y install piuparts apt-utils 2>&1
cd /srv/archive
cp /var/cache/apt/archives/*.deb .
apt-ftparchive packages . >Packages
apt-ftparchive release . >/srv/Release
mv /srv/Release .
systemd-run --quiet --collect --unit=archive busybox httpd -f -p 127.0.0.1:8098 -h /srv/archive
";

fn piuparts(guest: &Guest<'_>) -> Result<()> {
    guest.sh(MAKE)?;
    let ran = guest.try_long(
        Duration::from_secs(900),
        "piuparts --existing-chroot /srv/tree --tmpdir /srv/tmp --keep-sources-list --no-eatmydata \
         --fail-if-inadequate --fail-on-broken-symlinks $(find /srv/repositories/apt -name 'mathesar_2.0.0-1_*.deb') 2>&1",
    )?;
    ensure!(ran.code == Some(0), "{}", ran.told());
    Ok(())
}
