//! What `status` and `doctor` say about the private cluster; works while it is stopped.

use std::path::Path;

use super::cluster::{Cluster, existing_major};
use crate::failure::Failure;

/// The private cluster as it is now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// The server's process, while it runs.
    pub pid: Option<u32>,
    pub ready: bool,
    /// The major of the data; none before `db init`.
    pub major: Option<u32>,
    /// The server's programs.
    pub version: String,
    /// Of the whole data directory, in bytes.
    pub size: u64,
}

/// Text of a database was sorted by another version of the system's library than is there now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CollationMismatch {
    pub database: String,
    pub recorded: String,
    pub actual: String,
}

impl Cluster {
    pub fn status(&self) -> Result<Status, Failure> {
        let pid = self.leftover();
        Ok(Status {
            pid,
            ready: pid.is_some() && self.is_ready(),
            major: existing_major(&self.folder)?,
            version: self.binaries.version.clone(),
            size: size(&self.data()),
        })
    }

    /// Each database with its size in bytes, the server running.
    pub fn database_sizes(&self) -> Result<Vec<(String, u64)>, Failure> {
        let answer = self.admin(
            "postgres",
            "SELECT pg_database_size(oid), datname FROM pg_database WHERE datallowconn ORDER BY datname;",
        )?;
        let row = |line: &str| {
            let (size, name) = line.split_once('|')?;
            Some((name.to_owned(), size.parse().ok()?))
        };
        Ok(answer.lines().filter_map(row).collect())
    }

    /// Databases whose indexes over text may be wrong since the system's library changed, the server running.
    pub fn collation_mismatches(&self) -> Result<Vec<CollationMismatch>, Failure> {
        // Before 15 a database's own version was not kept.
        if self.binaries.major < 15 {
            return Ok(Vec::new());
        }
        let answer = self.admin(
            "postgres",
            "SELECT datcollversion, pg_database_collation_actual_version(oid), datname FROM pg_database\n\
             WHERE datcollversion <> pg_database_collation_actual_version(oid) ORDER BY datname;",
        )?;
        let row = |line: &str| {
            let mut fields = line.splitn(3, '|').map(str::to_owned);
            Some(CollationMismatch {
                recorded: fields.next()?,
                actual: fields.next()?,
                database: fields.next()?,
            })
        };
        Ok(answer.lines().filter_map(row).collect())
    }
}

/// Files that vanish meanwhile are PostgreSQL at work.
fn size(folder: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(folder) else { return 0 };
    let one = |entry: std::fs::DirEntry| match entry.metadata() {
        Ok(meta) if meta.is_dir() => size(&entry.path()),
        Ok(meta) => meta.len(),
        Err(_) => 0,
    };
    entries.flatten().map(one).sum()
}
