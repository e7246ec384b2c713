//! Whose a backup is: several installations may put theirs into one folder, and what one of them chooses by itself is its own.

use std::path::{Path, PathBuf};

use super::catalog::Entry;
use super::manifest::{Kind, Manifest};
use super::records::Known;
use crate::config::Config;
use crate::database::Address;
use crate::secrets::{self, FINGERPRINT};
use crate::transaction::Part;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whose {
    /// Of the data that are here.
    Own,
    /// Of the data that are here as well, made elsewhere, and restored or tried here.
    Brought,
    /// Made here, of data that others have replaced since: by a restore, or by another `database.url`.
    Earlier,
    Another,
    /// It does not say.
    Unknown,
}

impl Whose {
    /// What is never chosen by itself.
    pub fn is_foreign(self) -> bool {
        matches!(self, Whose::Another | Whose::Unknown)
    }

    /// What nobody else can want: whoever has made it would have to know.
    pub fn was_made_here(self) -> bool {
        matches!(self, Whose::Own | Whose::Earlier)
    }
}

/// This installation, as backups are compared with it.
#[derive(Debug, Clone)]
pub struct Here {
    pub(super) state: PathBuf,
    /// Of the data that are here; none: there are none.
    pub(super) origin: Option<String>,
}

impl Here {
    pub fn of(state: &Path, config: &Config) -> Here {
        let origin = match config.text("database.url") {
            None => identifier(&Part::Database.live(state)),
            Some(url) => Address::parse(url).ok().and_then(|address| {
                let key = secrets::read_file(&state.join("secrets").join(FINGERPRINT)).ok()??;
                Some(server(&address.host, address.port, &address.database, key.expose()))
            }),
        };
        Here { state: state.to_owned(), origin }
    }

    /// By what it says itself, and what was written down here of its digest.
    pub(super) fn judge(&self, manifest: &Manifest, known: Option<&Known>) -> Whose {
        // Of a cluster that was restored from another machine's backup there may be two, each with backups of its own.
        let made_here = manifest.state == self.state || known.is_some_and(|known| known.made_here);
        self.of_origin(of(manifest).as_deref(), made_here, known)
    }

    /// One that cannot be read.
    pub(super) fn recall(&self, known: &Known) -> Whose {
        self.of_origin(known.origin.as_deref(), known.made_here, Some(known))
    }

    fn of_origin(&self, origin: Option<&str>, made_here: bool, known: Option<&Known>) -> Whose {
        match origin {
            None => Whose::Unknown,
            Some(_) if origin == self.origin.as_deref() => match (made_here, known) {
                (true, _) => Whose::Own,
                (false, Some(_)) => Whose::Brought,
                (false, None) => Whose::Another,
            },
            Some(_) if known.is_some_and(|known| known.made_here) => Whose::Earlier,
            Some(_) => Whose::Another,
        }
    }
}

/// Which data it is of. A server's address alone tells nothing: every machine may have a `localhost`.
pub(super) fn of(manifest: &Manifest) -> Option<String> {
    match manifest.kind {
        Kind::Physical => manifest.postgresql.system_identifier.clone(),
        Kind::Logical => {
            let host = manifest.socket.as_ref()?.display().to_string();
            let key = manifest.secret_key_fingerprint.as_ref()?;
            Some(server(&host, manifest.port, &manifest.internal_database, key))
        }
    }
}

fn server(host: &str, port: u16, database: &str, key: &str) -> String {
    format!("{host}:{port}/{database} {key}")
}

/// By which PostgreSQL tells one cluster from others: the first number in its control file.
pub(super) fn identifier(data: &Path) -> Option<String> {
    let control = std::fs::read(data.join("global/pg_control")).ok()?;
    Some(u64::from_ne_bytes(control.get(..8)?.try_into().ok()?).to_string())
}

/// How many of others there are.
pub fn foreign(all: &[Entry]) -> usize {
    all.iter().filter(|entry| entry.is_readable() && entry.whose.is_foreign()).count()
}

/// How many there are that are not removed by itself, whatever their age, as they were made elsewhere.
pub fn made_elsewhere(all: &[Entry]) -> usize {
    all.iter().filter(|entry| entry.is_readable() && !entry.whose.was_made_here()).count()
}
