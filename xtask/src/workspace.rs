//! Where the checkout is, and what belongs to it.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use xshell::cmd;

use crate::shell;

/// One checkout of this repository.
#[derive(Debug, Clone)]
pub(crate) struct Workspace {
    pub root: PathBuf,
    /// Cargo's target folder: CARGO_TARGET_DIR or `target`.
    pub target: PathBuf,
}

impl Workspace {
    /// The checkout that holds the current folder. Not where xtask was compiled: a test runs one xtask in several clones.
    pub(crate) fn find() -> Result<Workspace> {
        let here = std::env::current_dir().context("cannot tell the current folder")?;
        let Some(root) = here.ancestors().find(|folder| folder.join("packaging/mathesar.toml").is_file())
        else {
            bail!("no packaging/mathesar.toml in {} or above it", here.display());
        };
        let target = match std::env::var_os("CARGO_TARGET_DIR") {
            Some(folder) => root.join(folder),
            None => root.join("target"),
        };
        Ok(Workspace { root: root.to_owned(), target })
    }

    /// The manifest that is used where none is named.
    pub(crate) fn manifest(&self) -> PathBuf {
        self.root.join("packaging/mathesar.toml")
    }

    /// What is checked out; none in a source tarball, or before the first commit.
    pub(crate) fn head(&self) -> Result<Option<Head>> {
        let Some(commit) = git(&self.root, &["log", "-1", "--format=%H"])? else {
            return Ok(None);
        };
        let changed = git(&self.root, &["status", "--porcelain"])?.unwrap_or_default();
        Ok(Some(Head { commit: commit.trim().to_owned(), dirty: !changed.trim().is_empty() }))
    }

    /// SOURCE_DATE_EPOCH: the environment's, else the time of the newest commit.
    pub(crate) fn epoch(&self) -> Result<Option<u64>> {
        if let Some(text) = std::env::var_os("SOURCE_DATE_EPOCH") {
            let text = text.to_string_lossy();
            // rpm and tar have 32 and 33 bits for it.
            let epoch: u32 = text.parse().with_context(|| {
                format!("cannot read SOURCE_DATE_EPOCH=`{text}` as seconds since 1970, up to {}", u32::MAX)
            })?;
            return Ok(Some(epoch.into()));
        }
        Ok(git(&self.root, &["log", "-1", "--format=%ct"])?.and_then(|text| text.trim().parse().ok()))
    }
}

/// The commit, and whether something is there beside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Head {
    pub commit: String,
    pub dirty: bool,
}

/// What git prints, or nothing where this is no git checkout (a source tarball) or it has no commit. A git that refuses, as in a folder of
/// another user's, is an error: with another time every package would be another one.
fn git(root: &Path, args: &[&str]) -> Result<Option<String>> {
    if !root.join(".git").exists() {
        return Ok(None);
    }
    let shell = shell::at(root)?;
    let mut git = cmd!(shell, "git {args...}").env("LC_ALL", "C").quiet().ignore_status();
    // A git hook sets these, and they would name another repository.
    for variable in ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX"] {
        git = git.env_remove(variable);
    }
    let output = git.output().context("cannot run git")?;
    let told = String::from_utf8_lossy(&output.stderr);
    match output.status.success() {
        true => Ok(Some(String::from_utf8_lossy(&output.stdout).into_owned())),
        false if told.contains("does not have any commits yet") => Ok(None),
        false => bail!("cannot ask git {} in {}: {}", args.join(" "), root.display(), told.trim()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(root: &Path) -> Result<Option<String>> {
        git(root, &["log", "-1", "--format=%ct"])
    }

    #[test]
    fn no_time_is_not_the_same_as_no_answer() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        assert_eq!(time(root).unwrap(), None, "no checkout");
        std::fs::write(root.join(".git"), "nonsense").unwrap();
        assert!(time(root).unwrap_err().to_string().starts_with("cannot ask git log"));
        std::fs::remove_file(root.join(".git")).unwrap();
        let made = std::process::Command::new("git").args(["init", "--quiet"]).arg(root).status();
        assert!(made.is_ok_and(|status| status.success()));
        assert_eq!(time(root).unwrap(), None, "no commit yet");
    }
}
