//! What transactions that were taken back could not remove, and restores that were killed before theirs began.

use std::path::Path;

use super::kept::Kept;
use super::swap::Part;
use crate::app::files;

/// In a restore's folder: the backup, unpacked.
pub const UNPACKED: &str = "unpacked";
/// The lock of whoever has one there.
pub const RESTORING: &str = "restore.lock";

/// Removes it; no transaction is under way, and `alone`: nobody is preparing a restore either.
pub fn sweep(state: &Path, parts: &[Part], alone: bool) {
    for part in parts {
        for entry in std::fs::read_dir(part.aside(state)).into_iter().flatten().flatten() {
            let folder = entry.path();
            let whole = Part::Database.aside(state).join(entry.file_name());
            let in_use = !alone && folder.join(UNPACKED).exists();
            if !Kept::is_marked(&whole) && !in_use {
                let _ = files::remove_tree(&folder);
            }
        }
    }
}
