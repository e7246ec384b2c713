//! Folders for work that is thrown away, or moved into place when it is whole: in `state/staging`, for us alone.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use crate::app::files;
use crate::failure::Failure;
use crate::installation::private_folder;

/// Removed when it is dropped; what a killed process has left, at the next one.
#[derive(Debug)]
pub struct Staging {
    path: PathBuf,
}

impl Staging {
    /// A fresh folder; those of dead processes are swept.
    pub fn new(state: &Path, what: &str) -> Result<Staging, Failure> {
        let above = above(state);
        private_folder(&above)?;
        files::sweep(&above);
        let path = files::beside(&above.join(what), "new");
        files::remove_tree(&path)?;
        DirBuilder::new().mode(0o700).create(&path).map_err(|cause| Failure::io("create", &path, cause))?;
        Ok(Staging { path })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// Where all of them lie.
pub fn above(state: &Path) -> PathBuf {
    state.join("staging")
}

impl Drop for Staging {
    fn drop(&mut self) {
        let _ = files::remove_tree(&self.path);
        // The last one takes the folder along.
        if let Some(above) = self.path.parent() {
            let _ = std::fs::remove_dir(above);
        }
    }
}
