//! The next repository, put together beside the present one, of hard links to what both have.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};
use xshell::{Cmd, Shell, cmd};

use super::BRANCH;
use super::state::{State, Version};
use crate::repo::Site;
use crate::repo::folder::{files, replace, sync_parent};
use crate::repo::key::Ring;
use crate::repo::names::Named;
use crate::{digest, shell};

/// Folders of the repository whose files have digests or commits for names.
pub(super) const BY_DIGEST: [&str; 3] = ["objects", "deltas", "summaries"];

pub(super) struct Stage {
    repository: PathBuf,
    live: PathBuf,
    scratch: PathBuf,
    shell: Shell,
}

impl Stage {
    pub(super) fn begin(live: &Path, state: &State, scratch: &Path) -> Result<Stage> {
        let (repository, shell) = (scratch.join("repo"), shell::at(scratch)?);
        shell.set_var("LC_ALL", "C.UTF-8");
        let stage = Stage { repository, live: live.to_owned(), scratch: scratch.to_owned(), shell };
        stage.init(&stage.repository)?;
        for file in &state.files {
            stage.link(file)?;
        }
        for (reference, commit) in &state.references {
            let to = stage.repository.join("refs/heads").join(reference);
            replace(&to, format!("{commit}\n"))?;
        }
        // The last one's summaries are where flatpak makes differences from.
        if live.join("summary.idx").exists() {
            stage.link("summary.idx")?;
        }
        Ok(stage)
    }

    fn init(&self, repository: &Path) -> Result<()> {
        let Stage { shell, .. } = self;
        run(cmd!(shell, "ostree init --mode=archive --repo={repository}")).map(drop)
    }

    fn link(&self, file: &str) -> Result<()> {
        let (from, to) = (self.live.join(file), self.repository.join(file));
        if let Some(folder) = to.parent() {
            fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
        }
        fs::hard_link(&from, &to).with_context(|| format!("cannot link {}", from.display()))
    }

    /// A bundle's content as the newest commit of its application.
    pub(super) fn import(
        &self,
        site: &Site<'_>,
        bundle: &Path,
        file: &str,
        named: &Named,
    ) -> Result<Version> {
        let incoming = self.scratch.join("incoming");
        crate::files::remove(&incoming)?;
        self.init(&incoming)?;
        let Stage { shell, .. } = self;
        run(cmd!(shell, "flatpak build-import-bundle --no-update-summary {incoming} {bundle}"))?;
        let all = run(cmd!(shell, "ostree refs --repo={incoming}"))?;
        let from = all.trim();
        let parts: Vec<&str> = from.split('/').collect();
        let ["app", id, architecture, _] = parts[..] else {
            bail!("{} holds `{from}`, and not one application", bundle.display());
        };
        ensure!(
            architecture == named.architecture,
            "{} is an application for {architecture}, as whose name says {}",
            bundle.display(),
            named.architecture
        );
        let reference = format!("app/{id}/{architecture}/{BRANCH}");
        let of = format!("--src-repo={}", incoming.display());
        let commit = self.commit(site, &[&of, &format!("--src-ref={from}")], &reference, named)?;
        crate::files::remove(&incoming)?;
        let (file, architecture) = (file.to_owned(), architecture.to_owned());
        Ok(Version { file, architecture, reference, commit, time: site.now.as_second() })
    }

    /// A version that was committed before others, once more.
    pub(super) fn again(&self, site: &Site<'_>, version: &Version) -> Result<Version> {
        let named = crate::repo::names::parse(&version.file).context("a bundle has no version")?;
        let from = format!("--src-ref={}", version.commit);
        let commit = self.commit(site, &[&from], &version.reference, &named)?;
        Ok(Version { commit, time: site.now.as_second(), ..version.clone() })
    }

    fn commit(&self, site: &Site<'_>, from: &[&str], reference: &str, named: &Named) -> Result<String> {
        let Stage { shell, repository, .. } = self;
        let time = format!("--timestamp=@{}", site.now.as_second());
        let subject = format!("--subject={} {}", named.name, named.version);
        let key = format!("--gpg-sign={}", site.key.fingerprint);
        let made = cmd!(
            shell,
            "flatpak build-commit-from --force --no-update-summary {time} {subject} {key} {from...} {repository} {reference}"
        );
        run(with_key(site, made))?;
        run(cmd!(shell, "ostree rev-parse --repo={repository} {reference}"))
            .map(|commit| commit.trim().to_owned())
    }

    /// Nobody gets this application any more.
    pub(super) fn forget(&self, reference: &str) -> Result<()> {
        let Stage { shell, repository, .. } = self;
        run(cmd!(shell, "ostree refs --repo={repository} --delete {reference}")).map(drop)
    }

    /// Takes them out, with what no other has. All others stay, also those that a commit in between no longer leads to.
    pub(super) fn drop_commits(&self, commits: &[String]) -> Result<()> {
        let Stage { shell, repository, .. } = self;
        for commit in commits {
            let there =
                repository.join("objects").join(&commit[..2]).join(format!("{}.commit", &commit[2..]));
            if there.exists() {
                run(cmd!(shell, "ostree prune --repo={repository} --delete-commit={commit}"))?;
            }
        }
        run(cmd!(shell, "ostree prune --repo={repository}")).map(drop)
    }

    /// Commits that a reference had and has no longer, and that are of no version: a software centre's older lists.
    pub(super) fn replaced(&self, before: &State, state: &State) -> Result<Vec<String>> {
        let now = self.references()?;
        let used = |commit: &String| {
            now.values().any(|one| one == commit) || state.versions.iter().any(|one| one.commit == *commit)
        };
        Ok(before.references.values().filter(|commit| !used(commit)).cloned().collect())
    }

    fn references(&self) -> Result<BTreeMap<String, String>> {
        let folder = self.repository.join("refs/heads");
        let mut all = BTreeMap::new();
        for path in files(&folder)? {
            let name = path.strip_prefix(&folder).unwrap_or(&path).to_string_lossy().into_owned();
            let commit =
                fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
            all.insert(name, commit.trim().to_owned());
        }
        Ok(all)
    }

    /// Adds a signature to each version, and to what a software centre shows.
    pub(super) fn sign(&self, site: &Site<'_>, versions: &[Version]) -> Result<()> {
        let (Stage { shell, repository, .. }, key) = (self, &site.key.fingerprint);
        let mut commits: BTreeSet<String> = self.references()?.into_values().collect();
        commits.extend(versions.iter().map(|version| version.commit.clone()));
        for commit in commits {
            let signed = with_key(site, cmd!(shell, "ostree gpg-sign --repo={repository} {commit} {key}"));
            if let Err(cause) = run(signed)
                && !format!("{cause:#}").contains("already signed")
            {
                return Err(cause);
            }
        }
        Ok(())
    }

    /// The signed index over all of it, with what a software centre shows, and with each version in one piece for a quick download.
    pub(super) fn summarize(&self, site: &Site<'_>) -> Result<()> {
        let Stage { shell, repository, .. } = self;
        let armored = self.scratch.join("keys.asc");
        let keys = self.scratch.join("keys.gpg");
        fs::write(&armored, Ring::armored(&site.announced()?)?)
            .with_context(|| format!("cannot write {}", armored.display()))?;
        let text = |path: &Path| path.to_string_lossy().into_owned();
        site.key.gpg(&["--yes", "--output", &text(&keys), "--dearmor", &text(&armored)])?;
        let (keys, key) =
            (format!("--gpg-import={}", keys.display()), format!("--gpg-sign={}", site.key.fingerprint));
        let branch = format!("--default-branch={BRANCH}");
        let made = cmd!(
            shell,
            "flatpak build-update-repo --title=Mathesar {branch} {keys} {key} --generate-static-deltas {repository}"
        );
        run(with_key(site, made)).map(drop)
    }

    /// Whether readers have the index of this state.
    pub(super) fn is_live(&self, state: &State) -> bool {
        digest::file(&self.live.join("summary.idx")).is_ok_and(|found| found == state.index)
    }

    /// First what has a name of its own, then our record of it, and last the index that readers begin with.
    pub(super) fn publish(
        &self,
        live: &Path,
        mut state: State,
        write: impl FnOnce(&State) -> Result<()>,
    ) -> Result<()> {
        let mut own = BTreeSet::new();
        for kind in BY_DIGEST {
            for path in files(&self.repository.join(kind))? {
                own.insert(self.name(&path)?);
            }
        }
        for file in &own {
            // A difference is called after its commits and not its bytes: what a killed run has left, and no index names, may be another one.
            if file.starts_with("deltas/") && !state.files.contains(file) {
                crate::files::remove(&live.join(file))?;
            }
            self.place(live, file)?;
        }
        sync(live)?;
        state.references = self.references()?;
        let index = self.repository.join("summary.idx");
        state.index = digest::file(&index)?;
        state.files = own;
        write(&state)?;
        let present = files(&live.join("refs/heads"))?;
        for (reference, commit) in &state.references {
            replace(&live.join("refs/heads").join(reference), format!("{commit}\n"))?;
        }
        for path in present {
            let name =
                path.strip_prefix(live.join("refs/heads")).unwrap_or(&path).to_string_lossy().into_owned();
            if !state.references.contains_key(&name) {
                crate::files::remove(&path)?;
            }
        }
        // Before Flatpak 1.9.3 these two are read one after the other; later ones begin with the last of these.
        for file in ["config", "summary.sig", "summary", "summary.idx.sig", "summary.idx"] {
            self.place(live, file)?;
        }
        sync_parent(&live.join("summary.idx"))
    }

    fn name(&self, path: &Path) -> Result<String> {
        let name = path.strip_prefix(&self.repository).context("a file outside of the repository")?;
        Ok(name.to_str().context("a file's name is not UTF-8")?.to_owned())
    }

    fn place(&self, live: &Path, file: &str) -> Result<()> {
        let (from, to) = (self.repository.join(file), live.join(file));
        if let (Ok(one), Ok(other)) = (from.metadata(), to.metadata()) {
            // Signatures are added to what has a name by its digest.
            let may_change = !BY_DIGEST.iter().any(|kind| file.starts_with(kind))
                || [".commitmeta", ".sig"].iter().any(|end| file.ends_with(end));
            if one.ino() == other.ino() || !may_change || same(&from, &to) {
                return Ok(());
            }
        }
        if let Some(folder) = to.parent() {
            fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
        }
        fs::rename(&from, &to).with_context(|| format!("cannot rename {}", from.display()))
    }
}

fn same(one: &Path, other: &Path) -> bool {
    matches!((fs::read(one), fs::read(other)), (Ok(one), Ok(other)) if one == other)
}

/// Thousands of small files, as ostree itself does it: by one call for the whole file system.
fn sync(folder: &Path) -> Result<()> {
    let synced = fs::File::open(folder)
        .map_err(anyhow::Error::from)
        .and_then(|folder| rustix::fs::syncfs(&folder).map_err(anyhow::Error::from));
    synced.with_context(|| format!("cannot sync {}", folder.display()))
}

fn with_key<'a>(site: &Site<'_>, command: Cmd<'a>) -> Cmd<'a> {
    let mut command = command;
    for (variable, value) in site.key.environment() {
        command = command.env(variable, value);
    }
    command
}

/// What it prints; what it says where it fails is the cause.
pub(super) fn run(command: Cmd<'_>) -> Result<String> {
    let shown = command.to_string();
    let output = command.quiet().ignore_status().output().with_context(|| format!("cannot run `{shown}`"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    bail!("`{shown}` ended with {}: {said}", output.status)
}
