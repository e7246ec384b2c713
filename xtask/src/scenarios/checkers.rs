//! What a distribution's own checkers say of the package, in that distribution's version of them.

use anyhow::{Result, ensure};

use super::Scenario;
use super::guest::Guest;
use crate::lint::OF_DEBIAN_12;

pub(super) const LINTIAN: &[Scenario] = &[Scenario { name: "lintian", run: lintian }];
pub(super) const RPMLINT: &[Scenario] = &[Scenario { name: "rpmlint", run: rpmlint }];

/// What is overridden stands with its reason in the package. Releases differ in what they find: what one does not, it need not override.
fn lintian(guest: &Guest<'_>) -> Result<()> {
    guest.sh("DEBIAN_FRONTEND=noninteractive apt-get -y install lintian 2>&1")?;
    let ran = guest.try_sh(
        "lintian --no-cfg --allow-root --profile debian -I --pedantic --tag-display-limit 0 \
         $(find /srv/repositories/apt -name 'mathesar_1.0.0-1_*.deb' -o -name 'mathesar-archive-keyring_*.deb') 2>&1",
    )?;
    let known = ["mismatched-override", OF_DEBIAN_12];
    let known = |line: &&str| line.starts_with("N: ") || known.iter().any(|tag| line.contains(tag));
    let found = ran.out.lines().filter(|line| !known(line));
    ensure!(ran.code == Some(0) && found.count() == 0, "{}", ran.told());
    Ok(())
}

fn rpmlint(guest: &Guest<'_>) -> Result<()> {
    // The packages are signed, and it looks at that.
    guest.sh("rpm --import /srv/repositories/dnf/mathesar.asc")?;
    let ran = guest.try_sh(
        "rpmlint --config /srv/packaging/rpm/rpmlint.toml $(find /srv/repositories/dnf -name 'mathesar-1.0.0-1.*.rpm') 2>&1",
    )?;
    ensure!(ran.code == Some(0) && ran.out.contains("0 errors, 0 warnings"), "{}", ran.told());
    Ok(())
}
