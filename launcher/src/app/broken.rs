//! What can be said of an environment in which something has failed.

use std::path::Path;

use super::environment::{NEEDED, damage};
use super::packages::Look;
use crate::process::Program;

/// What is wrong with an environment, and what helps: for whatever has failed in it.
pub fn advice(release: &Path) -> Option<String> {
    let damaged = damage(release, Look::Sizes).ok().filter(|damaged| !damaged.is_empty())?;
    Some(format!(
        "the Python environment has lost files ({damaged}); build it again: `mathesar app install --again`"
    ))
}

/// What can be seen to be wrong with an environment that is there.
pub(super) fn why(release: &Path) -> Option<String> {
    match damage(release, Look::Digests) {
        Ok(damaged) if !damaged.is_empty() => return Some(damaged.to_string()),
        Err(failure) => return Some(failure.whole()),
        Ok(_) => {}
    }
    let python = release.join("venv/bin/python");
    let said = Program::new(python).args(["-I", "-B", "-c", NEEDED]).current_dir("/").run();
    said.err().map(|failure| failure.whole())
}
