//! A superuser's password that was lost: taken back from where else it stands, or set anew while no server runs.

use std::path::Path;

use super::SUPERUSER;
use super::cluster::{Cluster, SUPERUSER_PASSWORDS, SUPERUSER_SECRET};
use super::psql::{identifier, literal, password_in};
use crate::careful;
use crate::failure::{Exit, Failure};
use crate::process::Program;
use crate::secrets::{self, Secret};

/// Words of the statement are nobody's to read, and an error ends the program.
const SINGLE: &[&str] = &[
    "exit_on_error=on",
    "log_statement=none",
    "log_min_error_statement=panic",
    "log_min_duration_statement=-1",
    "log_destination=stderr",
    "search_path=pg_catalog",
    "default_transaction_read_only=off",
    "password_encryption=scram-sha-256",
];

/// The password that a server on such data would be entered by, with secrets of its own in this folder; none: it would get a new one.
pub(crate) fn superuser_password(folder: &Path) -> Result<Option<Secret>, Failure> {
    Ok(secrets::read_file(&folder.join(SUPERUSER_SECRET))?.or_else(|| copied(folder)))
}

fn copied(folder: &Path) -> Option<Secret> {
    careful::read_text(&folder.join(SUPERUSER_PASSWORDS)).ok().and_then(|text| password_in(&text))
}

impl Cluster {
    /// With the lock held, while no server runs: the superuser has a password that we know. Says what was done for that.
    pub(super) fn regain_superuser(&self) -> Result<Option<String>, Failure> {
        if self.secrets.read(SUPERUSER_SECRET)?.is_some() {
            return Ok(None);
        }
        let place = self.secrets.folder().join(SUPERUSER_SECRET);
        if let Some(password) = copied(self.secrets.folder()) {
            self.secrets.keep(SUPERUSER_SECRET, &password)?;
            return Ok(Some(format!(
                "{} was missing; taken back from {SUPERUSER_PASSWORDS} beside it",
                place.display()
            )));
        }
        let password = secrets::fresh()?;
        self.set_password(&password)?;
        // Killed before this, the next start sets another.
        self.secrets.keep(SUPERUSER_SECRET, &password)?;
        Ok(Some(format!("{} was missing; the database's superuser has a new password", place.display())))
    }

    fn set_password(&self, password: &Secret) -> Result<(), Failure> {
        let statement =
            format!("ALTER ROLE {} PASSWORD {}\n", identifier(SUPERUSER), literal(password.expose()));
        Program::new(self.binaries.server("postgres"))
            .arg("--single")
            .args(SINGLE.iter().flat_map(|setting| ["-c", setting]))
            .arg("-D")
            .arg(self.data())
            .arg("postgres")
            .env("LC_MESSAGES", "C")
            .current_dir("/")
            .user(self.owner.user)
            .input(statement)
            .run()
            .map(drop)
            .map_err(|failure| {
                Failure::new("cannot set a new password for the database's superuser, whose own is lost")
                    .cause(failure.whole())
                    .help(format!(
                        "put {} back from a backup: `mathesar backup list`",
                        self.secrets.folder().join(SUPERUSER_SECRET).display()
                    ))
            })
    }

    /// A server runs, and nobody can get in.
    pub(super) fn no_password(&self) -> Failure {
        let path = self.secrets.path(SUPERUSER_SECRET);
        Failure::new(format!(
            "the password of the database's superuser is lost: {} is missing",
            path.display()
        ))
        .cause("another one can be set only before the database's server starts")
        .exit(Exit::Refused)
        .help("restart everything, which does so: `mathesar restart --everything`")
    }
}
