//! A backup put in the place of what is there: prepared beside it while that goes on serving, then exchanged by a transaction.

mod apply;
mod media;
mod prepare;
mod settings;

use std::path::{Path, PathBuf};

use crate::control::Lock;
use crate::failure::{Exit, Failure};
use crate::transaction::Part;

pub use crate::transaction::SETTINGS;
pub use apply::{Applied, apply};
pub(crate) use prepare::fits_its_own;
pub use prepare::{Prepared, discard, look, prepare};
pub use settings::Settings;

/// Where a backup is unpacked: on the database's disk, so that its largest part needs no second copy.
pub(crate) fn unpacked(state: &Path, id: &str) -> PathBuf {
    Part::Database.aside(state).join(id).join(crate::transaction::UNPACKED)
}

/// One at a time; what lies unpacked is nobody's without it.
pub fn lock(state: &Path) -> Result<Lock, Failure> {
    crate::installation::private_folder(state)?;
    Lock::take_for(state, crate::transaction::RESTORING, "restore", "a backup is being restored")
}

/// It becomes a folder's name, and comes by the command line of another process.
pub fn checked(id: &str) -> Result<&str, Failure> {
    let plain = !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    plain.then_some(id).ok_or_else(|| Failure::new(format!("`{id}` is no restore's")).exit(Exit::Usage))
}

/// Whether there is something here that nobody can make anew: then it is asked about, and backed up where it can be.
pub fn is_in_use(installation: &crate::installation::Installation) -> bool {
    let has_database = !matches!(crate::database::existing_major(&installation.database_folder()), Ok(None));
    let media = Part::Media.live(&installation.layout.state);
    has_database || std::fs::read_dir(media).is_ok_and(|mut entries| entries.next().is_some())
}
