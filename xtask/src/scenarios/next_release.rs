//! A distribution upgrade: another Python, and another PostgreSQL beside the one that the data are of.

use std::time::Duration;

use anyhow::{Result, ensure};

use super::Scenario;
use super::guest::{Guest, holds};
use super::life::{self, rows};

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario { name: "distribution upgrade: begun", run: begun },
    Scenario { name: "distribution upgrade: to trixie", run: upgrade },
    Scenario { name: "distribution upgrade: PostgreSQL 15 gone", run: without_postgresql },
    Scenario { name: "distribution upgrade: and back", run: and_back },
];

/// Of the release's environment.
const PYTHON: &str = "grep -h ^version /var/lib/mathesar/app/*/venv/pyvenv.cfg";

const LIMIT: Duration = Duration::from_secs(900);

fn begun(guest: &Guest<'_>) -> Result<()> {
    life::begun(guest)?;
    holds(&guest.sh(PYTHON)?, "3.11")
}

fn upgrade(guest: &Guest<'_>) -> Result<()> {
    // The repository has later ones, one of them broken.
    guest.sh("apt-mark hold mathesar")?;
    let ran = guest.try_long(
        LIMIT,
        "DEBIAN_FRONTEND=noninteractive apt-get -y -o Dpkg::Options::=--force-confdef -o Dpkg::Options::=--force-confold --no-download full-upgrade 2>&1",
    )?;
    ensure!(ran.code == Some(0), "apt-get full-upgrade: {}", ran.told());
    // As Debian's release notes say; PostgreSQL's servers are kept by a rule of their own.
    guest.sh("DEBIAN_FRONTEND=noninteractive apt-get -y autoremove 2>&1")?;
    guest.sh("grep -q VERSION_CODENAME=trixie /etc/os-release; test -x /usr/bin/python3.13; test ! -e /usr/bin/python3.11")?;
    guest.sh("test -d /usr/lib/postgresql/15/bin; test -d /usr/lib/postgresql/17/bin")?;
    guest.reboot()?;
    guest.serves("1.0.0")?;
    holds(&guest.sh(PYTHON)?, "3.13")?;
    let status = guest.status()?;
    let server = status["database"]["postgresql"].as_str().unwrap_or_default().to_owned();
    ensure!(server.starts_with("15."), "it runs PostgreSQL {server}");
    life::doctor(guest)?;
    rows(guest)
}

fn without_postgresql(guest: &Guest<'_>) -> Result<()> {
    guest.sh("mkdir -p /srv/15; cp /var/cache/apt/archives/postgresql-15_*.deb /srv/15")?;
    let before = guest.sh("stat -c '%i %Y' /var/lib/mathesar/database/data/PG_VERSION")?;
    guest
        .sh("systemctl stop mathesar; DEBIAN_FRONTEND=noninteractive apt-get -y remove postgresql-15 2>&1")?;
    guest.try_sh("systemctl start mathesar")?;
    guest.until("the service gives up", || Ok(guest.property("ActiveState")? == "failed"))?;
    let code = guest.property("ExecMainStatus")?;
    ensure!(code == "4", "it ended with {code}: {}", guest.evidence());
    holds(&guest.sh("journalctl -b -u mathesar -o cat")?, "postgresql-15")?;
    let by_hand = guest.try_sh("mathesar start 2>&1")?;
    ensure!(by_hand.code == Some(4), "mathesar start: {}", by_hand.told());
    holds(&by_hand.out, "apt install postgresql-15")?;
    let after = guest.sh("stat -c '%i %Y' /var/lib/mathesar/database/data/PG_VERSION")?;
    ensure!(before == after, "the cluster was touched");
    Ok(())
}

fn and_back(guest: &Guest<'_>) -> Result<()> {
    guest.sh("dpkg -i /srv/15/*.deb 2>&1; systemctl reset-failed mathesar; systemctl start mathesar")?;
    guest.serves("1.0.0")?;
    rows(guest)
}
