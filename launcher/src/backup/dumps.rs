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

/// One database, for `pg_restore`.
pub fn dump(server: &Scratch, database: &str, to: &Path) -> Result<(), Failure> {
    run(custom(server.program("pg_dump", database), to), database)
}

/// In pg_dump's own format, which any pg_restore reads, whatever it was built with. A fast level: the whole is packed again.
pub(super) fn custom(program: Program, to: &Path) -> Program {
    program.args(["--format=custom", "--compress=1", "--no-password", "--file"]).arg(to)
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
