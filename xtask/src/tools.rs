//! Programs that xtask runs: those of the machine, and those it installs below `target/tools`, pinned.

use std::path::PathBuf;

/// Where programs are found.
#[derive(Debug, Clone)]
pub(crate) struct Tools {
    /// `target/tools`, shared by every command of one checkout; `XTASK_TOOLS` puts it elsewhere.
    pub folder: PathBuf,
}
