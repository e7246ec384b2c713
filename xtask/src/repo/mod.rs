//! `cargo xtask repo`: signed static repositories of packages, which any web server can serve, also while they change.

mod apt;
mod asked;
mod check;
mod dnf;
mod flatpak;
mod folder;
mod key;
mod keys;
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

use crate::files::remove;
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
        programs: &["apt-ftparchive"],
        conflicts: apt::conflicts,
        add: apt::add,
        sign: apt::resign,
        named: apt::named,
        check: apt::check,
    },
    Kind {
        name: "dnf",
        ending: ".rpm",
        programs: &["createrepo_c"],
        conflicts: dnf::conflicts,
        add: dnf::add,
        sign: dnf::add,
        named: dnf::named,
        check: dnf::check,
    },
    Kind {
        name: "pacman",
        ending: ".pkg.tar.zst",
        programs: &["repo-add"],
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

/// Something else that is there is not replaced.
fn refuse_strange(to: &Path) -> Result<()> {
    if to.exists() && Facts::read(to)?.is_none() {
        let empty = fs::read_dir(to).is_ok_and(|mut entries| entries.next().is_none());
        if !empty {
            bail!("{} was not made by `cargo xtask repo build`: it is not replaced", to.display());
        }
    }
    Ok(())
}

/// Makes `to`, or leaves what is there as it is.
pub(crate) fn build(site: &Site<'_>, to: &Path) -> Result<()> {
    refuse_strange(to)?;
    let name = to.file_name().with_context(|| format!("{} is no folder to make", to.display()))?;
    let beside = |what: &str| to.with_file_name(format!(".{}.{what}", name.to_string_lossy()));
    let (fresh, old) = (beside("new"), beside("old"));
    remove(&fresh)?;
    fs::create_dir_all(&fresh).with_context(|| format!("cannot create {}", fresh.display()))?;
    Facts {
        format: 1,
        name: site.name.to_owned(),
        url: site.url.to_owned(),
        tap: site.tap.map(str::to_owned),
        superseded: Default::default(),
        withdrawn: Default::default(),
        keys: Default::default(),
    }
    .write(&fresh)?;
    add(site, &fresh)?;
    remove(&old)?;
    if to.exists() {
        fs::rename(to, &old).with_context(|| format!("cannot rename {}", to.display()))?;
    }
    fs::rename(&fresh, to).with_context(|| format!("cannot rename {}", fresh.display()))?;
    remove(&old)
}

/// Adds to what people read from meanwhile.
pub(crate) fn add(site: &Site<'_>, dir: &Path) -> Result<()> {
    change(site, dir, |kind| kind.add, |kind| site.packages.iter().any(|path| kind.takes(path)))
}

/// The present indices, signed again, or by the key that was announced.
pub(crate) fn sign(site: &Site<'_>, dir: &Path) -> Result<()> {
    change(site, dir, |kind| kind.sign, |kind| dir.join(kind.name).is_dir())
}

/// Takes a version of the package out of every index, for ever. Its files stay as long as those of any other that no index names.
pub(crate) fn withdraw(site: &Site<'_>, dir: &Path, version: &str) -> Result<()> {
    let site = Site { withdrawn: [version.to_owned()].into(), packages: &[], ..site.clone() };
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
    let _lock = folder::lock(dir)?;
    let mut facts = made(dir)?;
    let known = facts.withdrawn.len();
    facts.withdrawn.extend(site.withdrawn.iter().cloned());
    let keys = facts.keys.turned(site, dir)?;
    let site = &Site { withdrawn: facts.withdrawn.clone(), keys: keys.clone(), ..site.clone() };
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
    for kind in &kinds {
        (kind.conflicts)(site, &dir.join(kind.name))?;
    }
    if keys != facts.keys {
        // Before the first signature by another key: a run that follows a kill knows what is whose.
        facts.keys = keys;
        facts.write(dir)?;
    }
    let scratch = folder::scratch(dir)?;
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
