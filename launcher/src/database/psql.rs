//! Runs SQL by psql: statements on standard input, passwords in a 0600 file, nothing of either on a command line.

use std::path::{Path, PathBuf};

use super::SUPERUSER;
use super::cluster::SUPERUSER_SECRET;
use crate::cure;
use crate::failure::{Exit, Failure};
use crate::process::{Program, User};
use crate::secrets::{Secret, Secrets, one_line};

/// How psql reaches a server.
#[derive(Debug)]
pub(super) struct Psql {
    pub program: PathBuf,
    pub host: String,
    pub port: u16,
    pub role: String,
    pub database: String,
    pub passwords: Option<PathBuf>,
    pub user: Option<User>,
    pub variables: Vec<(&'static str, String)>,
}

/// For sessions with a superuser's rights in databases of other people's: what an owner can set for a database or a role counts less
/// than what the client asks for, and no operator of theirs is ever found. The application's own tables are not found either.
pub(super) fn on_guard(major: u32) -> (&'static str, String) {
    let mut options = "-c search_path=pg_catalog -c role=none -c statement_timeout=0 -c lock_timeout=60s \
                       -c idle_in_transaction_session_timeout=0 -c idle_session_timeout=0 \
                       -c default_transaction_read_only=off -c row_security=off -c check_function_bodies=off \
                       -c session_preload_libraries= -c local_preload_libraries="
        .to_owned();
    if major >= 17 {
        options.push_str(" -c transaction_timeout=0 -c event_triggers=off");
    }
    ("PGOPTIONS", options)
}

impl Psql {
    /// The answer without decoration: fields apart by `|`, one row a line.
    pub fn run(&self, sql: &str) -> Result<String, Failure> {
        let output = self.program(sql).run().map_err(|failure| self.explained(failure))?;
        Ok(String::from_utf8_lossy(&output.stdout).trim_end().to_owned())
    }

    /// Our superuser's password may have been replaced by that of another time, as from a copy of the secrets.
    fn explained(&self, failure: Failure) -> Failure {
        let refused = format!("password authentication failed for user \"{SUPERUSER}\"");
        let Some(passwords) = self.passwords.as_ref().filter(|_| failure.whole().contains(&refused)) else {
            return failure;
        };
        let file = cure::path(passwords);
        let secret = cure::path(&passwords.with_file_name(SUPERUSER_SECRET));
        Failure::new("the database refuses the password that the launcher keeps for its superuser")
            .cause(failure.whole())
            .exit(Exit::Refused)
            .help(format!(
                "let the launcher set another, which needs no password: `rm {secret} {file}`, then `mathesar restart --everything`"
            ))
    }

    pub fn program(&self, sql: &str) -> Program {
        self.bare().args(["-XAtqw", "-v", "ON_ERROR_STOP=1", "-f", "-"]).input(sql)
    }

    /// Without arguments: for pg_dump too.
    pub fn bare(&self) -> Program {
        let mut program = Program::new(&self.program)
            // By variables, as a `database` on the command line could be a connection string.
            .env("PGHOST", &self.host)
            .env("PGPORT", self.port.to_string())
            .env("PGUSER", &self.role)
            .env("PGDATABASE", &self.database)
            .env("PGCLIENTENCODING", "UTF8")
            .env("PGAPPNAME", "mathesar")
            // A person's service file and client certificates are none of ours.
            .env("PGSYSCONFDIR", "/nonexistent")
            .env("PGPASSFILE", self.passwords.as_deref().unwrap_or(Path::new("/nonexistent")))
            // Causes are told from the words.
            .env("LC_ALL", "C")
            .current_dir("/")
            .user(self.user);
        for (name, value) in &self.variables {
            program = program.env(name, value);
        }
        program
    }
}

/// A PGPASSFILE with this one password, for whatever it is used with.
pub(super) fn password_file(secrets: &Secrets, name: &str, password: &Secret) -> Result<PathBuf, Failure> {
    secrets.derived(name, &format!("*:*:*:*:{}\n", escape(password.expose())))
}

/// The password of such a file, where it holds one line.
pub(super) fn password_in(text: &str) -> Option<Secret> {
    let (mut fields, mut password) = (0, String::new());
    let line = one_line(text)?;
    let mut characters = line.expose().chars();
    while let Some(character) = characters.next() {
        match character {
            ':' if fields < 4 => {
                fields += 1;
                password.clear();
            }
            ':' => return None,
            '\\' => password.extend(characters.next()),
            other => password.push(other),
        }
    }
    (fields == 4 && !password.is_empty()).then(|| Secret::new(password))
}

fn escape(password: &str) -> String {
    password.replace('\\', "\\\\").replace(':', "\\:")
}

/// A string constant of SQL. Never holds a NUL: configuration and secrets refuse it.
pub fn literal(text: &str) -> String {
    let doubled = text.replace('\'', "''");
    match doubled.contains('\\') {
        // Means the same whatever standard_conforming_strings says.
        true => format!(" E'{}'", doubled.replace('\\', "\\\\")),
        false => format!("'{doubled}'"),
    }
}

/// A quoted identifier of SQL.
pub fn identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn odd_characters_are_quoted() {
        assert_eq!(literal("'\"$\\ )#"), " E'''\"$\\\\ )#'");
        assert_eq!(literal("it's"), "'it''s'");
        assert_eq!(identifier("a\"b"), "\"a\"\"b\"");
        assert_eq!(escape("a:b\\c"), "a\\:b\\\\c");
    }

    #[test]
    fn a_password_is_read_as_it_was_written() {
        let of = |text: &str| password_in(text).map(|password| password.expose().to_owned());
        for password in ["a", "a:b\\c", "\\\\:"] {
            assert_eq!(of(&format!("*:*:*:*:{}\n", escape(password))), Some(password.to_owned()));
        }
        for nothing in ["", "*:*:*:*:\n", "secret", "*:*:*:*:a\n*:*:*:*:b\n", "*:*:*:*:a:b"] {
            assert_eq!(of(nothing), None, "{nothing}");
        }
    }
}
