//! The tap and the AUR are git repositories: cloned anew each time, committed to where something differs, pushed, and rebased where somebody
//! else was faster.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use jiff::Timestamp;
use tempfile::TempDir;

use super::live::word;
use crate::files::{remove, replace_bytes};
use crate::manifest::Outlet;

/// What folders of clones are called, and how long nobody needs one.
const CLONES: &str = "clones.";
const OLD: Duration = Duration::from_secs(24 * 3600);

/// How often somebody else may be faster.
const TRIES: u32 = 6;

pub(super) struct Remote<'a> {
    pub url: &'a str,
    /// The text of `known_hosts`: hosts with other keys are refused.
    pub known_hosts: &'a str,
    /// `Name <address>`
    pub committer: &'a str,
    /// Of its own; the clone is in it.
    pub folder: PathBuf,
}

/// What is to stand in a repository: path and content; without content, that nothing stands there.
pub(super) type Files = [(String, Option<Vec<u8>>)];

impl Remote<'_> {
    fn clone_folder(&self) -> PathBuf {
        self.folder.join("clone")
    }

    fn hosts(&self) -> PathBuf {
        self.folder.join("known_hosts")
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut git = Command::new("git");
        // What the user has set up for their own work (hooks, signing, templates) is none of this.
        git.args(["-c", "core.hooksPath=/dev/null", "-c", "commit.gpgSign=false", "-c", "gc.auto=0"]);
        git.args(["-c", "core.autocrlf=false", "-c", "init.templateDir="]).args(arguments);
        for variable in ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX", "GIT_SSH"] {
            git.env_remove(variable);
        }
        // ssh is run by a shell, and reads a file's name for several where it has spaces.
        let hosts = crate::template::sh(&format!("UserKnownHostsFile=\"{}\"", self.hosts().display()));
        git.env(
            "GIT_SSH_COMMAND",
            format!(
                "ssh -o BatchMode=yes -o StrictHostKeyChecking=yes -o {hosts} -o GlobalKnownHostsFile=/dev/null \
                 -o UpdateHostKeys=no -o ConnectTimeout=30 -o ServerAliveInterval=15"
            ),
        );
        git.env("GIT_TERMINAL_PROMPT", "0").env("LC_ALL", "C");
        // Of no use to it, and its helpers have no need to see it.
        git.env_remove("GITHUB_TOKEN").stdin(Stdio::null());
        git
    }

    /// What git prints, or what it says of its failure.
    fn git(&self, arguments: &[&str]) -> Result<Vec<u8>> {
        let mut git = self.command(arguments);
        if self.clone_folder().is_dir() {
            git.current_dir(self.clone_folder());
        }
        let output = git.output().context("cannot run git")?;
        if output.status.success() {
            return Ok(output.stdout);
        }
        let said = String::from_utf8_lossy(&output.stderr);
        let what = arguments.first().copied().unwrap_or_default();
        bail!("git {what} of {}: {}", self.url, said.trim().replace('\n', "; "))
    }

    /// Anew, whatever a killed run has left.
    pub(super) fn fetch(&self) -> Result<()> {
        remove(&self.folder)?;
        fs::create_dir_all(&self.folder)
            .with_context(|| format!("cannot create {}", self.folder.display()))?;
        replace_bytes(&self.hosts(), self.known_hosts.as_bytes(), 0o644)?;
        let to = self.clone_folder();
        let to = to.to_str().context("a folder whose name is not UTF-8")?;
        self.git(&["clone", "--quiet", "--no-tags", "--", self.url, to]).map(drop)
    }

    /// A file as the remote has it.
    pub(super) fn read(&self, path: &str) -> Result<Option<Vec<u8>>> {
        if self.head()?.is_none() {
            return Ok(None);
        }
        self.read_at("HEAD", path)
    }

    /// As it was in a commit.
    pub(super) fn read_at(&self, commit: &str, path: &str) -> Result<Option<Vec<u8>>> {
        match self.git(&["ls-tree", "--name-only", commit, "--", path])?.is_empty() {
            true => Ok(None),
            false => self.git(&["cat-file", "blob", &format!("{commit}:{path}")]).map(Some),
        }
    }

    /// None: nobody has committed anything yet, as in the AUR's new packages.
    fn head(&self) -> Result<Option<String>> {
        let found = self.git(&["for-each-ref", "--format=%(objectname)", "refs/heads"])?;
        match found.is_empty() {
            true => Ok(None),
            false => {
                let head = self.git(&["rev-parse", "HEAD"])?;
                Ok(Some(String::from_utf8_lossy(&head).trim().to_owned()))
            }
        }
    }

    fn branch(&self) -> Result<String> {
        let found = self.git(&["symbolic-ref", "--short", "HEAD"])?;
        Ok(String::from_utf8_lossy(&found).trim().to_owned())
    }

    /// Whether it would take a push, without one.
    pub(super) fn try_push(&self, channel: Outlet) -> Result<()> {
        self.would_take()
            .with_context(|| format!("{} would not take a push\nhelp: ssh-add -l", word(channel)))
    }

    fn would_take(&self) -> Result<()> {
        if self.head()?.is_none() {
            return Ok(());
        }
        let branch = self.branch()?;
        self.git(&["push", "--quiet", "--dry-run", "origin", &format!("HEAD:refs/heads/{branch}")]).map(drop)
    }

    /// Makes these files stand there, and no commit where they do. In between, whatever somebody else has pushed is asked for by `fits`.
    /// The same files on the same commit at the same time are the same commit. What was done, in words.
    pub(super) fn push(
        &self,
        files: &Files,
        message: &str,
        at: Timestamp,
        fits: &dyn Fn() -> Result<()>,
    ) -> Result<String> {
        self.fetch()?;
        for number in 0..TRIES {
            fits()?;
            if !self.commit(files, message, at)? {
                return Ok("there already".to_owned());
            }
            let branch = self.branch()?;
            let pushed = self.git(&["push", "--quiet", "origin", &format!("HEAD:refs/heads/{branch}")]);
            let Err(error) = pushed else {
                return Ok(format!("{} on {branch}", self.head()?.unwrap_or_default()));
            };
            let raced = ["fetch first", "non-fast-forward", "cannot lock ref", "failed to update ref"];
            if number + 1 == TRIES || !raced.iter().any(|sign| error.to_string().contains(sign)) {
                return Err(error);
            }
            // Ours is one commit of whole files: made again upon theirs, it is rebased, and cannot be in conflict.
            self.git(&["fetch", "--quiet", "--no-tags", "origin", &branch])?;
            self.git(&["reset", "--quiet", "--hard", "FETCH_HEAD"])?;
        }
        bail!("somebody else pushes to {} all the time\nhelp: run the same command again", self.url)
    }

    /// The commits that have changed a file, with their titles; the newest is the first.
    pub(super) fn changes(&self, path: &str) -> Result<Vec<(String, String)>> {
        let log = self.git(&["log", "--format=%H %s", "--", path])?;
        let log = String::from_utf8_lossy(&log).into_owned();
        Ok(log.lines().filter_map(|line| line.split_once(' ')).map(|(a, b)| (a.into(), b.into())).collect())
    }

    fn commit(&self, files: &Files, message: &str, at: Timestamp) -> Result<bool> {
        for (path, content) in files {
            let Some(content) = content else {
                self.git(&["rm", "--quiet", "--force", "--ignore-unmatch", "--", path])?;
                continue;
            };
            let to = self.clone_folder().join(path);
            if let Some(folder) = to.parent() {
                fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
            }
            replace_bytes(&to, content, 0o644)?;
            self.git(&["add", "--force", "--", path])?;
        }
        if self.git(&["status", "--porcelain", "--untracked-files=no"])?.is_empty() {
            return Ok(false);
        }
        let (name, mail) = self.committer.split_once(" <").context("a maintainer without an address")?;
        let mut git = self.command(&["commit", "--quiet", "--message", message]);
        let date = format!("{} +0000", at.as_second());
        for who in ["AUTHOR", "COMMITTER"] {
            git.env(format!("GIT_{who}_NAME"), name).env(format!("GIT_{who}_DATE"), &date);
            git.env(format!("GIT_{who}_EMAIL"), mail.trim_end_matches('>'));
        }
        let output = git.current_dir(self.clone_folder()).output().context("cannot run git")?;
        if !output.status.success() {
            bail!("cannot commit for {}: {}", self.url, String::from_utf8_lossy(&output.stderr).trim());
        }
        Ok(true)
    }
}

/// The version that a formula, or a `.SRCINFO`, is of, with the package's revision.
pub(super) fn version_of(path: &str, text: &str) -> Option<String> {
    let value = |key: &str, quoted: bool| {
        let line = text.lines().find_map(|line| line.trim().strip_prefix(key))?;
        match quoted {
            true => Some(line.trim().trim_matches('"').to_owned()),
            false => line.trim().strip_prefix('=').map(|value| value.trim().to_owned()),
        }
    };
    if path.ends_with(".rb") {
        let version = value("version ", true)?;
        // Homebrew counts from 0, and says 0 by silence.
        let revision: u32 = value("revision ", true).and_then(|text| text.parse().ok()).unwrap_or(0);
        return Some(format!("{version}-{}", revision + 1));
    }
    path.ends_with(".SRCINFO")
        .then(|| Some(format!("{}-{}", value("pkgver", false)?, value("pkgrel", false)?)))?
}

/// A folder for the clones of one run alone: another command may run beside it, and what git was doing when it was killed, it does on.
pub(super) fn clones(work: &Path) -> Result<TempDir> {
    fs::create_dir_all(work).with_context(|| format!("cannot create {}", work.display()))?;
    for entry in fs::read_dir(work).with_context(|| format!("cannot list {}", work.display()))?.flatten() {
        let modified = entry.metadata().ok().and_then(|found| found.modified().ok());
        let old = modified.and_then(|when| when.elapsed().ok()).is_some_and(|age| age > OLD);
        if old && entry.file_name().to_string_lossy().starts_with(CLONES) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
    let made = tempfile::Builder::new().prefix(CLONES).tempdir_in(work);
    made.with_context(|| format!("cannot create a folder in {}", work.display()))
}

/// A folder for a clone, by what it is of.
pub(super) fn folder(work: &Path, name: &str) -> PathBuf {
    work.join(format!("{name}.git"))
}

#[cfg(test)]
#[path = "git_tests.rs"]
mod tests;
