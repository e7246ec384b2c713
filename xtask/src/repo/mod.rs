//! `cargo xtask repo`: signed static repositories of the packages in dist/, which any web server can serve.

mod apt;
mod dnf;
mod key;
mod pacman;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

use crate::files::remove;
use crate::tools::Tools;
use crate::ui;
use crate::workspace::Workspace;

pub(crate) use key::Key;

/// Make repositories that apt, dnf and pacman install from
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(clap::Subcommand)]
enum What {
    Build(Build),
}

/// Make signed repositories of the packages that are in a folder
///
/// DIR gets one folder for each package manager, with the packages, the signed index, the public key and the lines of configuration that
/// name it. It is made beside and renamed: who reads it sees the old one or the new one. A package manager whose index this machine cannot
/// make is left out, and that is said.
#[derive(clap::Args)]
struct Build {
    /// Where to; what is there is replaced if `repo build` has made it
    #[arg(value_name = "DIR")]
    dir: PathBuf,
    /// Where the packages are, as `cargo xtask dist` leaves them
    #[arg(long, value_name = "DIR", default_value = "dist")]
    dist: PathBuf,
    /// The key to sign with: its fingerprint, in gpg's key ring (GNUPGHOME)
    #[arg(long, value_name = "FINGERPRINT")]
    key: String,
    /// The address that DIR will be served at
    #[arg(long, value_name = "URL")]
    url: String,
}

/// What every kind of repository is made from.
pub(crate) struct Site<'a> {
    /// The packages, of one or several versions.
    pub packages: &'a [PathBuf],
    pub key: &'a Key,
    /// Without a slash at its end.
    pub url: &'a str,
    /// Of the package, and of the repository.
    pub name: &'a str,
    pub tools: &'a Tools,
}

/// In a folder that was made here: so that nothing else is ever replaced.
const MARK: &str = ".made-by-xtask-repo";

pub(crate) fn run(args: &Args, workspace: &Workspace) -> Result<()> {
    let What::Build(args) = &args.what;
    let here = std::env::current_dir().context("cannot tell the current folder")?;
    let dist = match args.dist.as_os_str() == "dist" {
        true => workspace.root.join("dist"),
        false => here.join(&args.dist),
    };
    let packages = packages(&dist)?;
    let key = Key::of_ring(&args.key)?;
    let tools = Tools::new(workspace);
    let url = args.url.trim_end_matches('/');
    let manifest = crate::manifest::load(workspace, &workspace.manifest())?;
    let site = Site { packages: &packages, key: &key, url, name: manifest.name(), tools: &tools };
    build(&site, &here.join(&args.dir))
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

/// Makes `to`, or leaves what is there as it is.
pub(crate) fn build(site: &Site<'_>, to: &Path) -> Result<()> {
    if to.exists() && !to.join(MARK).exists() {
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
    fs::write(fresh.join(MARK), "").context("cannot write to the new repository")?;
    for (kind, ending, program, make) in [
        ("apt", ".deb", "apt-ftparchive", apt::build as fn(&Site<'_>, &Path) -> Result<()>),
        ("dnf", ".rpm", "createrepo_c", dnf::build),
        ("pacman", ".pkg.tar.zst", "repo-add", pacman::build),
    ] {
        if !site.packages.iter().any(|path| path.to_string_lossy().ends_with(ending)) {
            continue;
        }
        if site.tools.find(program).is_none() {
            ui::warning(format!("not made: {kind}: {program} is not on PATH"));
            continue;
        }
        let folder = fresh.join(kind);
        fs::create_dir(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
        make(site, &folder).with_context(|| format!("cannot make the repository for {kind}"))?;
        ui::verb("Signed", format_args!("the repository for {kind}"));
    }
    remove(&old)?;
    if to.exists() {
        fs::rename(to, &old).with_context(|| format!("cannot rename {}", to.display()))?;
    }
    fs::rename(&fresh, to).with_context(|| format!("cannot rename {}", fresh.display()))?;
    remove(&old)
}

impl Site<'_> {
    /// The packages with this ending, copied into a folder.
    fn copy(&self, ending: &str, to: &Path) -> Result<Vec<PathBuf>> {
        fs::create_dir_all(to).with_context(|| format!("cannot create {}", to.display()))?;
        let mut copies = Vec::new();
        for package in self.packages.iter().filter(|path| path.to_string_lossy().ends_with(ending)) {
            let copy = to.join(package.file_name().context("a package without a name")?);
            fs::copy(package, &copy).with_context(|| format!("cannot copy {}", package.display()))?;
            copies.push(copy);
        }
        Ok(copies)
    }
}

fn write(path: &Path, text: impl AsRef<[u8]>) -> Result<()> {
    fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}
