//! The key that encrypts the passwords which Mathesar stores.

use super::{Installation, MIGRATED};
use crate::failure::{Exit, Failure};
use crate::secrets::{self, Secret};

impl Installation {
    /// The key that encrypts stored passwords: the configured one, or ours, made here where there is none.
    pub fn secret_key(&self) -> Result<Secret, Failure> {
        self.refuse_lost_key()?;
        self.secrets.secret_key(self.configured_key()?.as_ref())
    }

    /// The same, making nothing: none where there is none yet.
    pub(crate) fn known_key(&self) -> Result<Option<Secret>, Failure> {
        self.refuse_lost_key()?;
        self.secrets.known_key(self.configured_key()?.as_ref())
    }

    /// Mathesar's tables were made with a key, and nothing of it is left: a new one would be taken for theirs.
    pub(crate) fn has_lost_key(&self) -> Result<bool, Failure> {
        Ok(self.layout.state.join(MIGRATED).exists()
            && self.configured_key()?.is_none()
            && self.secrets.is_without_key()?)
    }

    fn refuse_lost_key(&self) -> Result<(), Failure> {
        if !self.has_lost_key()? {
            return Ok(());
        }
        let folder = self.secrets.folder().display();
        Err(self.secrets.lost(Failure::new(format!(
            "the secret key of Mathesar's data is gone from {folder}, with its fingerprint"
        ))))
    }

    pub(crate) fn configured_key(&self) -> Result<Option<Secret>, Failure> {
        match (self.config.path("app.secret-key-file"), self.config.text("app.secret-key")) {
            (Some(path), _) => secrets::read_file(&path)?.map(Some).ok_or_else(|| {
                Failure::new(format!("`app.secret-key-file` names {}, which does not exist", path.display()))
                    .exit(Exit::Refused)
                    .help("put the key there, or let the launcher keep one: `mathesar config unset app.secret-key-file`")
            }),
            (None, text) => Ok(text.map(Secret::new)),
        }
    }
}
