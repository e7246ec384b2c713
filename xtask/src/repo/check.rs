//! `repo check`: everything that a package manager would look at, and all that is wrong at once.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, bail, ensure};

use super::folder::Texts;
use super::{Facts, KINDS, Site, page};
use crate::{digest, ui};

/// What is wrong, in words.
#[derive(Default)]
pub(crate) struct Problems(Vec<String>);

impl Problems {
    pub(super) fn add(&mut self, what: String) {
        self.0.push(what);
    }

    #[cfg(test)]
    pub(super) fn texts(&self) -> &[String] {
        &self.0
    }

    pub(super) fn of(&mut self, checked: Result<()>) {
        self.0.extend(checked.err().map(|error| format!("{error:#}")));
    }
}

/// Files that hold these texts: by them a machine comes to know the repository, and nothing signs them.
pub(super) fn hold(texts: Texts, problems: &mut Problems) {
    for (path, text) in texts {
        match fs::read(&path) {
            Ok(found) if found == text.as_bytes() => {}
            Ok(_) => problems.add(format!("{} holds something else than was made", path.display())),
            Err(_) => problems.add(format!("{} is missing", path.display())),
        }
    }
}

/// A file with this digest, and size where it is known.
pub(super) fn is(file: &Path, sha256: &str, size: Option<u64>) -> Result<()> {
    let found = file.metadata().with_context(|| format!("{} is missing", file.display()))?;
    if let Some(size) = size {
        ensure!(found.len() == size, "{} has {} bytes, not {size}", file.display(), found.len());
    }
    let digest = digest::file(file)?;
    ensure!(digest == sha256, "{} has the digest {digest}, not {sha256}", file.display());
    Ok(())
}

pub(crate) fn run(site: &Site<'_>, dir: &Path) -> Result<()> {
    let facts = Facts::read(dir)?;
    let mut site = site.clone();
    if let Some(facts) = &facts {
        (site.keys, site.withdrawn) = (facts.keys.clone(), facts.withdrawn.clone());
        // What machines are told is where it was made to be served.
        site.url = &facts.url;
    }
    let site = &site;
    let mut problems = Problems::default();
    let mut seen = Vec::new();
    for kind in KINDS.iter().filter(|kind| dir.join(kind.name).is_dir()) {
        // One that cannot be understood is a finding, and the others are looked at all the same.
        let checked = (kind.check)(site, &dir.join(kind.name), &mut problems);
        problems.of(checked.with_context(|| format!("cannot check the repository for {}", kind.name)));
        seen.push(kind.name);
    }
    if seen.is_empty() {
        bail!("no repository is in {}", dir.display());
    }
    problems.of(page::check(site, dir));
    for problem in &problems.0 {
        ui::error(&anyhow::anyhow!("{problem}"));
    }
    match problems.0.len() {
        0 => {
            ui::verb("Checked", format_args!("{}: every signature, digest and date", seen.join(", ")));
            Ok(())
        }
        count => bail!("{count} of what package managers look at is wrong in {}", dir.display()),
    }
}
