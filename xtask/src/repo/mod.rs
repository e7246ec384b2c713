//! `cargo xtask repo`: signed static repositories of packages, which any web server can serve, also while they change.

mod apt;
mod check;
mod dnf;
mod folder;
mod key;
mod names;
mod pacman;
mod page;
pub(crate) mod served;
mod site;
#[cfg(test)]
pub(crate) mod tests;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use jiff::Timestamp;

use crate::files::remove;
use crate::tools::Tools;
use crate::ui;
use crate::workspace::Workspace;

pub(crate) use check::Problems;
use check::is;
#[cfg(test)]
pub(crate) use check::run as check;
pub(crate) use folder::Facts;
pub(crate) use key::Key;
pub(crate) use site::Site;
use site::{KEEP, VALID_DAYS};

/// Make, extend, check and re-sign repositories that apt, dnf and pacman install from
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(clap::Subcommand)]
enum What {
    Build(Build),
    Add(Add),
    Sign(Sign),
    Check(Check),
}

/// Make signed repositories of the packages that are in a folder
///
/// DIR gets one folder for each package manager, with the packages, the signed index, the public key and the lines of configuration that
/// name it, and a page for people. It is made beside and renamed: who reads it sees the old one or the new one. A package manager whose
/// index this machine cannot make is left out, and that is said.
#[derive(clap::Args)]
struct Build {
    /// Where to; what is there is replaced if `repo build` has made it
    #[arg(value_name = "DIR")]
    dir: PathBuf,
    #[command(flatten)]
    how: How,
    /// The address that DIR will be served at
    #[arg(long, value_name = "URL")]
    url: String,
}

/// Add the packages that are in a folder to repositories that people read from meanwhile
///
/// Packages come first, then the index, and last the one file that names it: a reader at any instant sees the old state or the new one, whole.
/// A file that was published once is never changed; another one of its name is refused before anything is written. Of each package the newest
/// versions stay in the index; what no index names any more is removed a day later. Killed at any moment, it is run again.
#[derive(clap::Args)]
struct Add {
    /// What `repo build` has made
    #[arg(value_name = "DIR")]
    dir: PathBuf,
    #[command(flatten)]
    how: How,
}

/// Sign the indices that are there again, before they expire
///
/// apt believes an index until its Valid-Until. To be run daily: it does nothing as long as more than half of the time is left.
#[derive(clap::Args)]
struct Sign {
    /// What `repo build` has made
    #[arg(value_name = "DIR")]
    dir: PathBuf,
    /// The key to sign with: its fingerprint, in gpg's key ring (GNUPGHOME)
    #[arg(long, value_name = "FINGERPRINT")]
    key: String,
    /// Also where it is not time yet; with a new key, all of it
    #[arg(long)]
    again: bool,
}

/// Check every signature, digest and date that a package manager would look at
///
/// Ends with exit code 1 where something is wrong, each finding a line.
#[derive(clap::Args)]
struct Check {
    /// What `repo build` has made
    #[arg(value_name = "DIR")]
    dir: PathBuf,
    /// The key that has to have signed it: its fingerprint, in gpg's key ring (GNUPGHOME)
    #[arg(long, value_name = "FINGERPRINT")]
    key: String,
}

#[derive(clap::Args)]
struct How {
    /// Where the packages are, as `cargo xtask dist` leaves them
    #[arg(long, value_name = "DIR", default_value = "dist")]
    dist: PathBuf,
    /// The key to sign with: its fingerprint, in gpg's key ring (GNUPGHOME)
    #[arg(long, value_name = "FINGERPRINT")]
    key: String,
    /// How many versions of each package the index keeps; pacman's has the newest alone
    #[arg(long, value_name = "NUMBER", default_value_t = KEEP)]
    keep: usize,
    /// For how many days apt believes the index
    #[arg(long, value_name = "DAYS", default_value_t = VALID_DAYS)]
    valid_days: i64,
    /// The time of publication instead of now, as `2026-11-26T12:00:00Z`: the same time gives the same bytes, but for signatures
    #[arg(long, value_name = "TIME")]
    date: Option<Timestamp>,
}

pub(crate) fn run(args: &Args, workspace: &Workspace) -> Result<()> {
    let here = std::env::current_dir().context("cannot tell the current folder")?;
    let tools = Tools::new(workspace);
    let given = |how: &How| match how.dist.as_os_str() == "dist" {
        true => workspace.root.join("dist"),
        false => here.join(&how.dist),
    };
    match &args.what {
        What::Build(args) => {
            let packages = packages(&given(&args.how))?;
            let key = Key::of_ring(&args.how.key)?;
            let manifest = crate::manifest::load(workspace, &workspace.manifest())?;
            let site = Site {
                packages: &packages,
                tap: Some(manifest.manifest.homebrew.tap.as_str()),
                ..Site::new(&key, args.url.trim_end_matches('/'), manifest.name(), &tools)
            };
            build(&args.how.apply(site), &here.join(&args.dir))
        }
        What::Add(args) => {
            let dir = here.join(&args.dir);
            let (packages, key, facts) =
                (packages(&given(&args.how))?, Key::of_ring(&args.how.key)?, made(&dir)?);
            let site = Site { packages: &packages, ..Site::new(&key, &facts.url, &facts.name, &tools) };
            add(&args.how.apply(site), &dir)
        }
        What::Sign(args) => {
            let dir = here.join(&args.dir);
            let (key, facts) = (Key::of_ring(&args.key)?, made(&dir)?);
            sign(&Site { again: args.again, ..Site::new(&key, &facts.url, &facts.name, &tools) }, &dir)
        }
        What::Check(args) => {
            let dir = here.join(&args.dir);
            let (key, facts) = (Key::of_ring(&args.key)?, made(&dir)?);
            check::run(&Site::new(&key, &facts.url, &facts.name, &tools), &dir)
        }
    }
}

impl How {
    fn apply<'a>(&self, site: Site<'a>) -> Site<'a> {
        let now = self.date.unwrap_or(site.now);
        Site { keep: self.keep, valid_days: self.valid_days, now, ..site }
    }
}

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
        if [".deb", ".rpm", ".pkg.tar.zst"].iter().any(|ending| name.ends_with(ending)) {
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
    program: &'static str,
    conflicts: fn(&Site<'_>, &Path) -> Result<()>,
    add: Change,
    /// The present index, signed again.
    sign: Change,
    named: fn(&Site<'_>, &Path) -> Result<Files>,
    check: fn(&Site<'_>, &Path, &mut Problems) -> Result<()>,
}

const KINDS: [Kind; 3] = [
    Kind {
        name: "apt",
        ending: ".deb",
        program: "apt-ftparchive",
        conflicts: apt::conflicts,
        add: apt::add,
        sign: apt::resign,
        named: apt::named,
        check: apt::check,
    },
    Kind {
        name: "dnf",
        ending: ".rpm",
        program: "createrepo_c",
        conflicts: dnf::conflicts,
        add: dnf::add,
        sign: dnf::add,
        named: dnf::named,
        check: dnf::check,
    },
    Kind {
        name: "pacman",
        ending: ".pkg.tar.zst",
        program: "repo-add",
        conflicts: pacman::conflicts,
        add: pacman::add,
        sign: pacman::add,
        named: pacman::named,
        check: pacman::check,
    },
];

/// Makes `to`, or leaves what is there as it is.
pub(crate) fn build(site: &Site<'_>, to: &Path) -> Result<()> {
    if to.exists() && Facts::read(to)?.is_none() {
        let empty = fs::read_dir(to).is_ok_and(|mut entries| entries.next().is_none());
        if !empty {
            bail!("{} was not made by `cargo xtask repo build`: it is not replaced", to.display());
        }
    }
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

fn sign(site: &Site<'_>, dir: &Path) -> Result<()> {
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
    let site = &Site { withdrawn: facts.withdrawn.clone(), ..site.clone() };
    refuse_withdrawn(site)?;
    if facts.withdrawn.len() > known {
        // Decided: whatever changes an index from here on does it.
        facts.write(dir)?;
    }
    let kinds: Vec<&Kind> = KINDS.iter().filter(|kind| wanted(kind)).collect();
    let able = |kind: &&&Kind| {
        let able = site.tools.find(kind.program).is_some();
        if !able {
            ui::warning(format!("not made: {}: {} is not on PATH", kind.name, kind.program));
        }
        able
    };
    let kinds: Vec<&Kind> = kinds.iter().filter(able).copied().collect();
    for kind in &kinds {
        (kind.conflicts)(site, &dir.join(kind.name))?;
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
    page::write(site, dir)?;
    drop(scratch);
    let (mut all, mut named) = (Vec::new(), BTreeSet::new());
    for kind in KINDS.iter().filter(|kind| dir.join(kind.name).is_dir()) {
        let (there, of_it) = (kind.named)(site, &dir.join(kind.name))?;
        all.extend(there);
        named.extend(of_it);
    }
    folder::sweep(dir, &mut facts, &all, &named, site.now, site.grace)
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
