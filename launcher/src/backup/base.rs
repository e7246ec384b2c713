//! A physical copy of the running cluster, with the log that it needs, and the proof that it is whole.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::Value;

use crate::app::files;
use crate::database::{Binaries, Cluster};
use crate::failure::{Exit, Failure};
use crate::process::Program;
use crate::progress::Progress;

/// How often progress is told.
const BETWEEN: Duration = Duration::from_millis(300);

/// Whether the copy was compared with its list of digests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verified {
    Yes,
    /// Why not.
    NotRun(String),
}

/// What has to be so before a copy can be made.
pub fn check(cluster: &Cluster) -> Result<(), Failure> {
    let program = cluster.binaries.client("pg_basebackup");
    if !program.exists() {
        return Err(Failure::new(format!("there is no pg_basebackup in {}", cluster.binaries.client.display()))
            .cause("it belongs to the same PostgreSQL as psql, and some distributions package it apart")
            .exit(Exit::Refused)
            .help("install it: on Fedora and RHEL `dnf install postgresql-contrib`, else the package of psql's name with `-contrib` or `-server`"));
    }
    let tablespaces = cluster.data().join("pg_tblspc");
    let elsewhere = std::fs::read_dir(&tablespaces).is_ok_and(|mut entries| entries.next().is_some());
    if elsewhere {
        return Err(Failure::new("the cluster has tablespaces, and a backup cannot hold them")
            .cause(format!("they are listed in {}", tablespaces.display()))
            .exit(Exit::Refused)
            .help(
                "move their tables back: `ALTER TABLE … SET TABLESPACE pg_default`, then `DROP TABLESPACE …`",
            ));
    }
    Ok(())
}

/// Copies the running cluster into a fresh folder. Nothing of it is on the disk for sure: it is read again soon.
pub fn copy(cluster: &Cluster, into: &Path, size: u64, progress: &dyn Progress) -> Result<(), Failure> {
    check(cluster)?;
    let program = cluster
        .basebackup()?
        .args(["--format=plain", "--wal-method=fetch", "--checkpoint=fast", "--no-sync"])
        .args(["--label=mathesar", "--pgdata"])
        .arg(into);
    progress.start("Copying the database");
    let _log = cluster.hold_log()?;
    let ended = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !ended.load(Ordering::SeqCst) {
                progress.bytes(files::size(into), Some(size));
                std::thread::park_timeout(BETWEEN);
            }
        });
        let result = program.run().map(drop).map_err(|failure| explained(failure, into));
        ended.store(true, Ordering::SeqCst);
        result
    })?;
    progress.done(&format!("Copied the database ({})", crate::terminal::size(files::size(into))));
    Ok(())
}

/// Files by which PostgreSQL would recover by commands of the copy's own settings, or write elsewhere: no backup of ours has one.
const FOREIGN: [&str; 3] = ["recovery.signal", "standby.signal", "tablespace_map"];

/// Refuses a copy that would do more than start.
pub fn refuse_foreign(data: &Path) -> Result<(), Failure> {
    match FOREIGN.iter().find(|name| data.join(name).symlink_metadata().is_ok()) {
        None => Ok(()),
        Some(name) => {
            Err(Failure::new(format!("the backup's cluster holds {name}, which no backup of ours does"))
                .exit(Exit::Refused)
                .help("see which others there are: `mathesar backup list`"))
        }
    }
}

/// Settings of `ALTER SYSTEM`, which win over the launcher's own.
const SETTINGS: &str = "postgresql.auto.conf";

/// Compares the one file of settings that pg_verifybackup passes over, as pg_basebackup may write to it; ours does not.
pub fn same_settings(data: &Path) -> Result<(), Failure> {
    let list = data.join("backup_manifest");
    let text = std::fs::read(&list).map_err(|cause| Failure::io("read", &list, cause))?;
    let list: Value = serde_json::from_slice(&text)
        .map_err(|cause| Failure::new(format!("cannot understand {}", list.display())).cause(cause))?;
    let found = list["Files"].as_array().into_iter().flatten().find(|file| file["Path"] == SETTINGS);
    let wanted = found.filter(|file| file["Checksum-Algorithm"] == "CRC32C");
    let is = match std::fs::read(data.join(SETTINGS)) {
        Ok(bytes) => Some(bytes),
        Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => None,
        Err(cause) => return Err(Failure::io("read", &data.join(SETTINGS), cause)),
    };
    let same = match (wanted, &is) {
        (Some(file), Some(bytes)) => {
            file["Size"] == bytes.len() && file["Checksum"].as_str() == Some(&crc32c(bytes))
        }
        (None, None) => found.is_none(),
        _ => false,
    };
    match same {
        true => Ok(()),
        false => Err(Failure::new(format!("{SETTINGS} in the backup's cluster is another than was copied"))
            .exit(Exit::Refused)
            .help("see which others there are: `mathesar backup list`")),
    }
}

/// As PostgreSQL writes it: the bytes as they lie in memory.
fn crc32c(bytes: &[u8]) -> String {
    const REVERSED: u32 = 0x82F6_3B78;
    let crc = bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8)
            .fold(crc ^ u32::from(*byte), |crc, _| if crc & 1 == 1 { crc >> 1 ^ REVERSED } else { crc >> 1 })
    });
    (!crc).to_ne_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Compares every file of a copy with the list that was made with it. Reads only.
pub fn verify(binaries: &Binaries, data: &Path) -> Result<Verified, Failure> {
    let places = [binaries.server("pg_verifybackup"), binaries.client("pg_verifybackup")];
    let Some(program) = places.into_iter().find(|program| program.exists()) else {
        let why = format!("there is no pg_verifybackup in {}", binaries.bin.display());
        return Ok(Verified::NotRun(why));
    };
    let waldump =
        [binaries.server("pg_waldump"), binaries.client("pg_waldump")].into_iter().any(|one| one.exists());
    // It reads the log by pg_waldump.
    let without = if waldump { &[][..] } else { &["--no-parse-wal"][..] };
    Program::new(&program)
        .args(["--exit-on-error", "--quiet"])
        .args(without)
        .arg(data)
        .env("LC_ALL", "C")
        .current_dir("/")
        .run()
        .map_err(|failure| explained(failure, data))?;
    Ok(Verified::Yes)
}

fn explained(failure: Failure, folder: &Path) -> Failure {
    let said = std::error::Error::source(&failure).map(ToString::to_string).unwrap_or_default();
    let ended = [
        "due to administrator command",
        "the database system is shutting down",
        "server closed the connection",
    ];
    if ended.iter().any(|words| said.contains(words)) {
        return Failure::new("the database was stopped while it was copied")
            .exit(Exit::Refused)
            .help("make the backup again: `mathesar backup create`");
    }
    match crate::failure::look_for_room(&said, folder) {
        Some(help) => failure.help(help),
        None => failure,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_that_pg_verifybackup_passes_over_is_compared() {
        // The check value of the algorithm is e3069283.
        assert_eq!(u32::from_str_radix(&crc32c(b"123456789"), 16).unwrap().swap_bytes(), 0xe306_9283);
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join(SETTINGS);
        let list = |checksum: &str| {
            let file = serde_json::json!({
                "Path": SETTINGS, "Size": 9, "Checksum-Algorithm": "CRC32C", "Checksum": checksum
            });
            let text = serde_json::json!({ "Files": [file] }).to_string();
            std::fs::write(root.path().join("backup_manifest"), text).unwrap();
        };
        list(&crc32c(b"123456789"));
        assert!(same_settings(root.path()).is_err(), "it is missing");
        std::fs::write(&path, "123456789").unwrap();
        same_settings(root.path()).unwrap();
        std::fs::write(&path, "123456780").unwrap();
        let failure = same_settings(root.path()).unwrap_err();
        assert!(failure.to_string().contains("is another than was copied"), "{failure}");
        std::fs::remove_file(root.path().join("backup_manifest")).unwrap();
        assert!(same_settings(root.path()).unwrap_err().to_string().contains("backup_manifest"));
    }
}
