//! Portable copies: what a person can read with any PostgreSQL of the same major or a newer one.

use std::path::Path;

use crate::database::Scratch;
use crate::failure::{Exit, Failure};
use crate::process::Program;

/// What has to be there before a dump can be made.
pub fn check(client: &Path) -> Result<(), Failure> {
    for name in ["pg_dump", "pg_dumpall"] {
        if !client.join(name).exists() {
            return Err(Failure::new(format!("there is no {name} in {}", client.display()))
                .cause("it belongs to the same PostgreSQL as psql, and some distributions package it apart")
                .exit(Exit::Refused)
                .help("install the client programs of this PostgreSQL: on Debian `postgresql-client`"));
        }
    }
    Ok(())
}

/// Plain is fastest, as the whole is packed by several threads; only where that is far larger than its database, it is packed
/// by pg_dump, too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    Plain,
    /// By zlib, which every pg_restore can read.
    Packed,
}

/// One database, for `pg_restore`. `most`: as many bytes a plain one may have.
pub fn dump(server: &Scratch, database: &str, to: &Path, most: u64) -> Result<(), Failure> {
    run(custom(server.program("pg_dump", database), to, Level::Plain), database)?;
    if to.metadata().is_ok_and(|found| found.len() > most) {
        run(custom(server.program("pg_dump", database), to, Level::Packed), database)?;
    }
    Ok(())
}

/// In pg_dump's own format.
pub(super) fn custom(program: Program, to: &Path, level: Level) -> Program {
    let level = if level == Level::Plain { "--compress=0" } else { "--compress=1" };
    // Without a limit, whoever holds a lock in a forgotten session holds up every backup, for ever.
    let wait = "--lock-wait-timeout=60s";
    // In the database's own encoding: not everything that is in it has to be writable in another.
    let program = program.without_env("PGCLIENTENCODING");
    program.args(["--format=custom", level, wait, "--no-password", "--file"]).arg(to)
}

/// Roles with their passwords, and what belongs to no database.
pub fn globals(server: &Scratch, to: &Path) -> Result<(), Failure> {
    let program = server.program("pg_dumpall", "postgres");
    run(program.args(["--globals-only", "--no-password", "--file"]).arg(to), "roles")
}

pub(super) fn run(program: Program, what: &str) -> Result<(), Failure> {
    program
        .run()
        .map(drop)
        .map_err(|failure| failure.help(format!("the portable copy of {what} was not made")))
}

/// Whether a dump can be read to its end.
pub fn read(binaries: &crate::database::Binaries, dump: &Path) -> Result<(), Failure> {
    Program::new(binaries.client("pg_restore"))
        .args(["--file=/dev/null"])
        .arg(dump)
        .env("LC_ALL", "C")
        .current_dir("/")
        .run()
        .map(drop)
}
