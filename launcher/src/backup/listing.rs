//! What a look for backups has found, and where it could not look.

use super::catalog::Entry;
use crate::terminal::note;

/// Those that can be seen.
#[derive(Debug, Default)]
pub struct Listing {
    /// Newest first.
    pub all: Vec<Entry>,
    /// Which folders could not be read, and why: what lies there is not known.
    pub unread: Vec<String>,
}

impl Listing {
    /// For whoever goes on with the others.
    pub fn warn(&self) {
        for why in &self.unread {
            note(format_args!("{why}: the backups there are not seen"));
        }
    }
}
