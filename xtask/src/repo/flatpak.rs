//! For Flatpak: bundles, and the ostree repository that they are committed to, by flatpak and ostree themselves.
//!
//! Whoever reads while it changes: `summary.idx` names everything else by digests, its signature too (`summaries/DIGEST.idx.sig`, Flatpak 1.9.3
//! and later), so what is new is put together beside, moved to its place, and named last. `index.json` is ours: what the present repository
//! consists of, so that a killed run is followed by one that goes on.

mod check;
mod stage;
mod state;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

use super::folder::{Texts, files, publish, replace_all, same};
use super::key::Ring;
use super::names::{self, Named};
use super::{Site, served};
pub(super) use check::check;
use stage::Stage;
pub(super) use state::State;
use state::Version;

const ENDING: &str = ".flatpak";
const BUNDLES: &str = "bundles";
const REPOSITORY: &str = "repo";
/// Of every application: there is one line of versions.
const BRANCH: &str = "stable";

/// Refused before anything is written.
pub(super) fn conflicts(site: &Site<'_>, folder: &Path) -> Result<()> {
    for (bundle, file) in site.new_of(ENDING)? {
        same(bundle, &folder.join(BUNDLES).join(file))?;
    }
    if let Some(last) = State::read(folder)?.versions.last()
        && site.now.as_second() < last.time
    {
        bail!(crate::Refused(format!(
            "{} was published later than it is now: nobody would be given what is older\nhelp: look at this computer's clock: date",
            last.file
        )));
    }
    Ok(())
}

pub(super) fn add(site: &Site<'_>, folder: &Path, scratch: &Path) -> Result<bool> {
    let before = State::read(folder)?;
    let mut state = before.clone();
    let stage = Stage::begin(&folder.join(REPOSITORY), &before, scratch)?;
    let mut new = site.new_of(ENDING)?;
    new.sort_by(|(_, a), (_, b)| names::compare(&version(a), &version(b)));
    for (bundle, file) in new {
        publish(bundle, &folder.join(BUNDLES).join(file), scratch)?;
        if state.versions.iter().any(|one| one.file == file) {
            continue;
        }
        let named = names::parse(file).with_context(|| format!("{file} is not called as packages are"))?;
        if let Some(newest) = state.newest(&named.architecture)
            && served::is_newer(&version(&newest.file), &named.version)
        {
            // Readers get what was committed last.
            crate::ui::warning(format!(
                "{file} can be fetched, and Flatpak does not bring it: {} is newer",
                newest.file
            ));
            continue;
        }
        state.versions.push(stage.import(site, bundle, file, &named)?);
    }
    let mut dropped = withdraw(site, &stage, &mut state)?;
    dropped.extend(state.keep(site.keeps(), |one| site.stays(one)));
    state.keys = site.announced()?.into_iter().map(|key| key.fingerprint).collect();
    state.signed = site.key.fingerprint.clone();
    replace_all(texts(site, folder, &state)?)?;
    let same =
        before.versions == state.versions && before.keys == state.keys && before.signed == state.signed;
    if same && !site.again && stage.is_live(&before) {
        return Ok(false);
    }
    stage.drop_commits(&dropped)?;
    if site.again || (before.signed != state.signed && !before.versions.is_empty()) {
        stage.sign(site, &state.versions)?;
    }
    stage.summarize(site)?;
    stage.drop_commits(&stage.replaced(&before, &state)?)?;
    stage.publish(&folder.join(REPOSITORY), state, |state| state.write(folder)).map(|()| true)
}

fn version(file: &str) -> String {
    names::parse(file).map(|named| named.version).unwrap_or_default()
}

/// What is withdrawn and was the newest gives its place to the newest of the others: Flatpak takes a later commit for an update. Gives the commits
/// that have others in their place.
fn withdraw(site: &Site<'_>, stage: &Stage, state: &mut State) -> Result<Vec<String>> {
    let mut replaced = Vec::new();
    let architectures: BTreeSet<String> = state.versions.iter().map(|one| one.architecture.clone()).collect();
    for architecture in architectures {
        let newest = state.newest(&architecture).filter(|newest| !site.stays(newest)).cloned();
        let Some(newest) = newest else { continue };
        let others = state.versions.iter().filter(|one| one.architecture == architecture && site.stays(one));
        match others.max_by(|a, b| names::compare(&version(&a.file), &version(&b.file))) {
            Some(other) => {
                let (again, before) = (stage.again(site, other)?, other.commit.clone());
                state.versions.retain(|one| one.commit != before);
                state.versions.push(again);
                replaced.push(before);
            }
            None => stage.forget(&newest.reference)?,
        }
    }
    Ok(replaced)
}

impl Site<'_> {
    /// The versions that are not withdrawn.
    fn stays(&self, one: &Version) -> bool {
        names::parse(&one.file).is_none_or(|named| !self.is_withdrawn(&named))
    }
}

/// What people give to Flatpak: the application with its source, and the source alone.
fn texts(site: &Site<'_>, folder: &Path, state: &State) -> Result<Texts> {
    let (name, url) = (site.name, site.url);
    let key = base64(&Ring::armored(&site.announced()?)?);
    let source = format!("Title=Mathesar\nUrl={url}/flatpak/{REPOSITORY}/\nGPGKey={key}\n");
    let mut all = vec![(folder.join(format!("{name}.flatpakrepo")), format!("[Flatpak Repo]\n{source}"))];
    if let Some(newest) = state.versions.last() {
        let application = format!(
            "[Flatpak Ref]\nName={}\nBranch={BRANCH}\nIsRuntime=false\nSuggestRemoteName={name}\n\
             RuntimeRepo=https://dl.flathub.org/repo/flathub.flatpakrepo\n{source}",
            newest.id()
        );
        all.push((folder.join(format!("{name}.flatpakref")), application));
    }
    Ok(all)
}

/// Of the bytes within an armored key: the lines between its head and its checksum (RFC 9580, section 6).
fn base64(armored: &str) -> String {
    let body = armored.lines().skip_while(|line| !line.is_empty()).skip(1);
    body.take_while(|line| !line.starts_with(['=', '-'])).collect()
}

/// What is there, and what of it the present repository consists of.
pub(super) fn named(site: &Site<'_>, folder: &Path) -> Result<super::Files> {
    let (state, repository, bundles) = (State::read(folder)?, folder.join(REPOSITORY), folder.join(BUNDLES));
    let mut all = files(&bundles)?;
    let of = |path: &PathBuf| -> Option<Named> { names::parse(path.file_name()?.to_str()?) };
    let kept = names::kept(all.iter().filter_map(of).filter(|one| !site.is_withdrawn(one)), site.keeps());
    let mut named: BTreeSet<PathBuf> =
        all.iter().filter(|path| of(path).is_some_and(|one| kept.contains(&one))).cloned().collect();
    for kind in stage::BY_DIGEST {
        all.extend(files(&repository.join(kind))?);
    }
    named.extend(state.files.iter().map(|file| repository.join(file)));
    Ok((all, named))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_written_in_one_line() {
        let armored =
            "-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nmDME\nAB==\n=x1Yz\n-----END PGP PUBLIC KEY BLOCK-----\n";
        assert_eq!(base64(armored), "mDMEAB==");
    }
}
