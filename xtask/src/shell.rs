//! Short programs by xshell: each `{argument}` stays one word, whatever is in it, and a failure names the command line.

use std::path::Path;

use anyhow::{Context as _, Result};
use xshell::Shell;

/// A shell whose commands run in `folder`.
pub(crate) fn at(folder: &Path) -> Result<Shell> {
    let shell = Shell::new().context("cannot tell the current folder")?;
    shell.change_dir(folder);
    Ok(shell)
}

/// The cargo that runs this xtask, else the one on PATH.
pub(crate) fn cargo() -> std::ffi::OsString {
    std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}
