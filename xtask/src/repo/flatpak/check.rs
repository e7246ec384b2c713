//! Everything that Flatpak would look at, by flatpak and ostree with the published keys alone.

use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use xshell::cmd;

use super::stage::run;
use super::state::State;
use super::{BUNDLES, REPOSITORY, texts};
use crate::repo::check::hold;
use crate::repo::key::Ring;
use crate::repo::{Problems, Site};
use crate::{digest, shell};

pub(in crate::repo) fn check(site: &Site<'_>, folder: &Path, problems: &mut Problems) -> Result<()> {
    let (state, repository) = (State::read(folder)?, folder.join(REPOSITORY));
    for file in state.files.iter().filter(|file| !repository.join(file).is_file()) {
        problems.add(format!("{} is missing", repository.join(file).display()));
    }
    for version in &state.versions {
        let bundle = folder.join(BUNDLES).join(&version.file);
        if !bundle.is_file() {
            problems.add(format!("{} is missing", bundle.display()));
        }
    }
    hold(texts(site, folder, &state)?, problems);
    let index = repository.join("summary.idx");
    let found = digest::file(&index).with_context(|| format!("{} is missing", index.display()))?;
    if found != state.index {
        problems.add(format!("{} is not what index.json tells of", index.display()));
    }
    // A reader's own, who knows the key that signs and nothing else.
    let reader = tempfile::tempdir().context("cannot create a temporary folder")?;
    let key = reader.path().join("key.asc");
    let keys = site.key.public()?;
    std::fs::write(&key, Ring::armored(std::slice::from_ref(&keys))?).context("cannot write a key")?;
    let shell = shell::at(reader.path())?;
    shell.set_var("LC_ALL", "C.UTF-8");
    shell.set_var("HOME", reader.path());
    shell.set_var("FLATPAK_USER_DIR", reader.path().join("flatpak"));
    let url = format!("file://{}", repository.display());
    let source = format!("--gpg-import={}", key.display());
    let installed = || -> Result<()> {
        run(cmd!(shell, "flatpak --user remote-add {source} checked {url}"))?;
        let listed = run(cmd!(shell, "flatpak --user remote-ls --columns=application,branch,arch checked"))?;
        for (reference, _) in state.references.iter().filter(|(reference, _)| reference.starts_with("app/")) {
            let id = reference.split('/').nth(1).unwrap_or_default();
            ensure!(listed.contains(id), "it does not list {id}");
        }
        Ok(())
    };
    problems.of(installed().with_context(|| format!("flatpak refuses {}", repository.display())));
    // File by file, and the newest ones once more in the one piece that readers fetch.
    let pulled = || -> Result<()> {
        for repository in ["files", "pieces"] {
            run(cmd!(shell, "ostree init --mode=bare-user-only --repo={repository}"))?;
            run(cmd!(
                shell,
                "ostree remote add --repo={repository} {source} --set=gpg-verify-summary=true checked {url}"
            ))?;
        }
        for version in &state.versions {
            let commit = &version.commit;
            run(cmd!(shell, "ostree pull --repo=files --untrusted --disable-static-deltas checked {commit}"))
                .with_context(|| version.file.clone())?;
        }
        for reference in state.references.keys() {
            run(cmd!(
                shell,
                "ostree pull --repo=files --untrusted --disable-static-deltas checked {reference}"
            ))?;
            if reference.starts_with("app/") {
                run(cmd!(
                    shell,
                    "ostree pull --repo=pieces --untrusted --require-static-deltas checked {reference}"
                ))?;
            }
        }
        Ok(())
    };
    problems.of(pulled().with_context(|| format!("ostree refuses {}", repository.display())));
    Ok(())
}
