//! What has to be right before an upgrade touches anything.

use std::cmp::Ordering;
use std::path::Path;

use crate::backup::create::LOCK as BACKUP;
use crate::control::Lock;
use crate::database::{Cluster, literal};
use crate::failure::{Exit, Failure};
use crate::installation::Installation;
use crate::progress::Progress;
use crate::steps::compare;
use crate::transaction::copy;
use crate::transaction::{Part, movable};

/// Upstream: installations up to 0.1.7 cannot be brought to 0.2.0 or later.
const LAST_OF_THE_OLD: &str = "0.1.7";
const FIRST_OF_THE_NEW: &str = "0.2.0";

/// From and to, by version.
pub fn jump(from: &str, to: &str) -> Result<(), Failure> {
    if compare(from, LAST_OF_THE_OLD) != Ordering::Greater && compare(to, FIRST_OF_THE_NEW) != Ordering::Less
    {
        return Err(Failure::new(format!("Mathesar {from} cannot be upgraded to {to}"))
            .exit(Exit::Refused)
            .cause(format!("its makers give no way from {LAST_OF_THE_OLD} or earlier to {FIRST_OF_THE_NEW} or later"))
            .help("start a new installation beside it, and connect its databases there: `mathesar --instance NAME start`"));
    }
    if compare(to, from) == Ordering::Less {
        return Err(Failure::new(format!("Mathesar {to} is older than {from}, which runs"))
            .exit(Exit::Refused)
            .cause("an older release may not understand what a newer one has made of the tables")
            .help("go back to before an upgrade: `mathesar rollback`"));
    }
    Ok(())
}

/// A backup that is being made would be broken off where serving stops.
pub fn no_backup(state: &Path) -> Result<(), Failure> {
    match Lock::is_held(state, BACKUP) {
        false => Ok(()),
        true => Err(Failure::new("a backup is being made, and an upgrade would break it off")
            .exit(Exit::Refused)
            .help("wait until it is done, then run the same command again")),
    }
}

/// Room for the copy, and no more than that: what the release itself needs is found out by its installation.
pub fn room(installation: &Installation, progress: &dyn Progress) -> Result<(), Failure> {
    if installation.is_external() {
        progress.note(
            "the database is a server of yours, which the launcher cannot take back: after a failure the old release and its SQL \
             are put back, its tables are not. Make a backup of it first: `mathesar backup create`",
        );
        return Ok(());
    }
    let data = Part::Database.live(&installation.layout.state);
    tablespaces(&data)?;
    movable(&data)?;
    /// For PostgreSQL's log and the new release's migrations.
    const SPARE: u64 = 64 << 20;
    let needed = copy::size(&data) + SPARE;
    let free = free(&data).unwrap_or(u64::MAX);
    if free < needed {
        use crate::terminal::size;
        return Err(Failure::new(format!(
            "too little room for a copy of the data beside {}",
            data.display()
        ))
        .cause(format!("{} are needed, {} are free", size(needed), size(free)))
        .exit(Exit::Refused)
        .help("make room, for example by `mathesar backup prune` or `mathesar app prune`"));
    }
    Ok(())
}

/// Says which connected databases are no part of the copy. The server runs.
pub fn tell_of_others(cluster: &Cluster, progress: &dyn Progress) {
    let own = literal(&cluster.socket.to_string_lossy());
    let sql = format!(
        "SELECT d.name || ' on ' || s.host FROM mathesar_database d JOIN mathesar_server s ON s.id = d.server_id\n\
         WHERE s.host <> {own} ORDER BY 1;"
    );
    // A release that keeps them otherwise tells them later, when they get its SQL.
    for other in cluster.query(&cluster.settings.name, &sql).unwrap_or_default().lines() {
        progress.note(&format!(
            "the database {other} is no part of the copy: after a failure the old release's SQL is put back there, and nothing else"
        ));
    }
}

/// Whether databases on other servers are connected: none of them is taken back with the data. The server runs; where it does not
/// say, they may be.
pub fn has_others(cluster: &Cluster) -> bool {
    let own = literal(&cluster.socket.to_string_lossy());
    let sql = format!(
        "SELECT EXISTS (SELECT FROM mathesar_database d JOIN mathesar_server s ON s.id = d.server_id WHERE s.host <> {own});"
    );
    cluster.query(&cluster.settings.name, &sql).map_or(true, |answer| answer.trim() == "t")
}

fn free(folder: &Path) -> Option<u64> {
    let found = rustix::fs::statvfs(folder).ok()?;
    Some(found.f_bavail.saturating_mul(found.f_frsize))
}

/// The private cluster has none of its own accord.
fn tablespaces(data: &Path) -> Result<(), Failure> {
    let any = std::fs::read_dir(data.join("pg_tblspc")).is_ok_and(|mut entries| entries.next().is_some());
    if any {
        return Err(Failure::new("the private cluster has tablespaces elsewhere, which are not copied")
            .exit(Exit::Refused)
            .help("move their tables back: `ALTER DATABASE … SET TABLESPACE pg_default` in `mathesar db shell --superuser`"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn some_jumps_are_impossible() {
        assert!(jump("0.9.0", "0.10.1").is_ok());
        assert!(jump("0.9.0", "0.9.0").is_ok());
        assert!(jump("0.1.6", "0.1.7").is_ok());
        for (from, to) in [("0.1.7", "0.2.0"), ("0.1.4", "0.12.0"), ("0.10.1", "0.9.0")] {
            assert_eq!(jump(from, to).unwrap_err().exit, Exit::Refused, "{from} {to}");
        }
    }
}
