//! `cargo xtask repo`: signed static repositories of packages, which any web server can serve, also while they change.

mod apt;
mod asked;
mod check;
mod dnf;
mod flatpak;
mod folder;
mod judge;
mod key;
mod keys;
mod make;
mod names;
mod pacman;
mod page;
pub(crate) mod served;
mod site;
#[cfg(test)]
pub(crate) mod tests;
mod tried;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

use crate::ui;

pub(crate) use asked::{Args, run};
pub(crate) use check::Problems;
use check::is;
pub(crate) use check::run as check;
pub(crate) use folder::Facts;
pub(crate) use key::Key;
pub(crate) use site::Site;
pub(crate) use tried::try_change;

fn made(dir: &Path) -> Result<Facts> {
    make::recover(dir)?;
    Facts::read(dir)?.with_context(|| {
        format!(
            "{} holds no repositories\nhelp: make them: `cargo xtask repo build DIR --key … --url …`",
            dir.display()
        )
    })
}

/// Every package below a folder.
pub(crate) fn packages(folder: &Path) -> Result<Vec<PathBuf>> {
    let files = walkdir::WalkDir::new(folder).sort_by_file_name().into_iter();
    let mut found = Vec::new();
    for file in files {
        let file = file.with_context(|| format!("cannot list {}", folder.display()))?;
        let name = file.file_name().to_string_lossy();
        if [".deb", ".rpm", ".pkg.tar.zst", ".flatpak"].iter().any(|ending| name.ends_with(ending)) {
            found.push(file.into_path());
        }
    }
    match found.is_empty() {
        true => bail!("no package is in {}\nhelp: cargo xtask dist", folder.display()),
        false => Ok(found),
    }
}

/// One package manager's.
struct Kind {
    name: &'static str,
    ending: &'static str,
    /// Without which its index cannot be made.
    programs: &'static [&'static str],
    conflicts: fn(&Site<'_>, &Path) -> Result<()>,
    add: Change,
    /// The present index, signed again.
    sign: Change,
    named: fn(&Site<'_>, &Path) -> Result<Files>,
    check: fn(&Site<'_>, &Path, &mut Problems) -> Result<()>,
}

const KINDS: [Kind; 4] = [
    Kind {
        name: "apt",
        ending: ".deb",
        programs: &["apt-ftparchive", "dpkg-deb"],
        conflicts: apt::conflicts,
        add: apt::add,
        sign: apt::resign,
        named: apt::named,
        check: apt::check,
    },
    Kind {
        name: "dnf",
        ending: ".rpm",
        programs: &["createrepo_c", "rpmkeys"],
        conflicts: dnf::conflicts,
        add: dnf::add,
        sign: dnf::add,
        named: dnf::named,
        check: dnf::check,
    },
    Kind {
        name: "pacman",
        ending: ".pkg.tar.zst",
        programs: &["repo-add", "bsdtar"],
        conflicts: pacman::conflicts,
        add: pacman::add,
        sign: pacman::add,
        named: pacman::named,
        check: pacman::check,
    },
    Kind {
        name: "flatpak",
        ending: ".flatpak",
        programs: &["flatpak", "ostree"],
        conflicts: flatpak::conflicts,
        add: flatpak::add,
        sign: flatpak::add,
        named: flatpak::named,
        check: flatpak::check,
    },
];

/// Makes `to`, where nothing is.
pub(crate) fn build(site: &Site<'_>, to: &Path) -> Result<()> {
    make::build(site, to)
}

/// Adds to what people read from meanwhile.
pub(crate) fn add(site: &Site<'_>, dir: &Path) -> Result<()> {
    let site = &Site { keep: Some(site.keep.or(made(dir)?.keep).unwrap_or(site::KEEP)), ..site.clone() };
    change(site, dir, |kind| kind.add, |kind| site.packages.iter().any(|path| kind.takes(path)))
}

/// The present indices, signed again, or by the key that was announced.
pub(crate) fn sign(site: &Site<'_>, dir: &Path) -> Result<()> {
    let site = &Site { keep: None, ..site.clone() };
    change(site, dir, |kind| kind.sign, |kind| dir.join(kind.name).is_dir())
}

/// Takes a version of the package out of every index, for ever. Its files stay as long as those of any other that no index names.
pub(crate) fn withdraw(site: &Site<'_>, dir: &Path, version: &str) -> Result<()> {
    let site = Site { withdrawn: [version.to_owned()].into(), packages: &[], keep: None, ..site.clone() };
    change(&site, dir, |kind| kind.add, |kind| dir.join(kind.name).is_dir())
}

/// What is there, and what of it the present index names.
type Files = (Vec<PathBuf>, BTreeSet<PathBuf>);

/// In this folder, by way of a scratch folder. True: people read something else now.
type Change = fn(&Site<'_>, &Path, &Path) -> Result<bool>;

fn change(
    site: &Site<'_>,
    dir: &Path,
    what: impl Fn(&Kind) -> Change,
    wanted: impl Fn(&Kind) -> bool,
) -> Result<()> {
    // Before a lock is put there: a folder that was not made here stays as it is.
    made(dir)?;
    let _lock = folder::lock(dir)?;
    let mut facts = made(dir)?;
    let known = facts.withdrawn.len();
    facts.withdrawn.extend(site.withdrawn.iter().cloned());
    let keys = facts.keys.turned(site, dir)?;
    let to_keep = site.keep.or(facts.keep);
    // What publishes nothing new drops nothing either.
    let keep = Some(site.keep.unwrap_or(usize::MAX));
    let site = &Site { keep, withdrawn: facts.withdrawn.clone(), keys: keys.clone(), ..site.clone() };
    refuse_withdrawn(site)?;
    if facts.withdrawn.len() > known {
        // Decided: whatever changes an index from here on does it.
        facts.write(dir)?;
    }
    let mut kinds = Vec::new();
    for kind in &KINDS {
        let all = keys.are_changing() && dir.join(kind.name).is_dir();
        let lacks = kind.programs.iter().find(|program| site.tools.find(program).is_none());
        match (lacks, all || wanted(kind)) {
            (_, false) => {}
            (None, true) => kinds.push(kind),
            (Some(program), true) if all => bail!(
                "the keys change, and {} cannot be told: {program} is not on PATH\nhelp: cargo xtask tools",
                kind.name
            ),
            (Some(program), true) => {
                ui::warning(format!("not made: {}: {program} is not on PATH", kind.name));
            }
        }
    }
    let scratch = folder::scratch(dir)?;
    judge::packages(site, &kinds, scratch.path())?;
    for kind in &kinds {
        (kind.conflicts)(site, &dir.join(kind.name))?;
    }
    if keys != facts.keys || to_keep != facts.keep {
        // Before the first signature by another key: a run that follows a kill knows what is whose.
        (facts.keys, facts.keep) = (keys, to_keep);
        facts.write(dir)?;
    }
    for kind in &kinds {
        let folder = dir.join(kind.name);
        fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
        let scratch = scratch.path().join(kind.name);
        fs::create_dir(&scratch).with_context(|| format!("cannot create {}", scratch.display()))?;
        let changed = what(kind)(site, &folder, &scratch)
            .with_context(|| format!("cannot make the repository for {}", kind.name))?;
        if site.quiet {
            continue;
        }
        ui::verb(
            if changed { "Signed" } else { "Unchanged" },
            format_args!("the repository for {}", kind.name),
        );
    }
    drop(scratch);
    // Older files that no index names, of pacman and Flatpak, stay or go by this number alone.
    let site = &Site { keep: to_keep.or(Some(usize::MAX)), ..site.clone() };
    let (mut all, mut named) = (Vec::new(), BTreeSet::new());
    for kind in KINDS.iter().filter(|kind| dir.join(kind.name).is_dir()) {
        let (there, of_it) = (kind.named)(site, &dir.join(kind.name))?;
        all.extend(there);
        named.extend(of_it);
    }
    folder::sweep(dir, &mut facts, &all, &named, site.now, site.grace)?;
    let mut site = site.clone();
    if facts.keys.forget(dir) {
        site.keys = facts.keys.clone();
        facts.write(dir)?;
        for kind in
            KINDS.iter().filter(|kind| dir.join(kind.name).is_dir() && ["dnf", "pacman"].contains(&kind.name))
        {
            let file = dir.join(kind.name).join(format!("{}.asc", site.name));
            folder::replace(&file, site.published_text()?)?;
        }
    }
    page::write(&site, dir)
}

fn refuse_withdrawn(site: &Site<'_>) -> Result<()> {
    for path in site.packages {
        let named = path.file_name().and_then(|name| names::parse(name.to_str()?));
        if let Some(named) = named.filter(|named| site.is_withdrawn(named)) {
            bail!(crate::Refused(format!(
                "{} of {} was withdrawn\nhelp: raise the revision, `cargo xtask bump`, and build again",
                named.version, named.name
            )));
        }
    }
    Ok(())
}

impl Kind {
    fn takes(&self, path: &Path) -> bool {
        path.to_string_lossy().ends_with(self.ending)
    }
}
