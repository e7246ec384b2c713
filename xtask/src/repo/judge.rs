//! Packages are read and judged before anything is written: a name that was used once is used for ever.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context as _, Result, bail, ensure};
use xshell::cmd;

use super::names::{self, Named};
use super::{Kind, Site};
use crate::{digest, shell};

/// All that these package managers would get.
pub(super) fn packages(site: &Site<'_>, kinds: &[&Kind], scratch: &Path) -> Result<()> {
    let mut seen: BTreeMap<String, &Path> = BTreeMap::new();
    for path in site.packages.iter().filter(|path| kinds.iter().any(|kind| kind.takes(path))) {
        let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let Some(named) = names::parse(&file) else {
            return Err(refused(format!(
                "{file:?} is not called as packages are: plain letters, digits and `._+~-`, and a known architecture\nhelp: cargo xtask dist"
            )));
        };
        if let Some(other) = seen.insert(file.clone(), path)
            && digest::file(path)? != digest::file(other)?
        {
            return Err(refused(format!(
                "{} and {} are two of one name\nhelp: remove one of them",
                other.display(),
                path.display()
            )));
        }
        judge(path, &file, &named, scratch).map_err(|cause| {
            refused(format!("{} is not published: {cause:#}\nhelp: cargo xtask dist", path.display()))
        })?;
    }
    Ok(())
}

fn refused(what: String) -> anyhow::Error {
    crate::Refused(what).into()
}

fn judge(path: &Path, file: &str, named: &Named, scratch: &Path) -> Result<()> {
    let within = match file.rsplit('.').next().unwrap_or_default() {
        "deb" => deb(path)?,
        "rpm" => rpm(path)?,
        "flatpak" => Named { architecture: bundle(path, scratch)?, ..named.clone() },
        _ => pacman(path)?,
    };
    ensure!(
        within == *named,
        "it is {} {} for {}, as whose name says otherwise",
        within.name,
        within.version,
        within.architecture
    );
    Ok(())
}

/// No file's name has the epoch.
fn named(name: &str, version: &str, architecture: &str) -> Named {
    let version = version.split_once(':').map_or(version, |(_, version)| version);
    Named { name: name.to_owned(), architecture: architecture.to_owned(), version: version.to_owned() }
}

fn deb(path: &Path) -> Result<Named> {
    let shell = shell::at(Path::new("/"))?;
    let said = cmd!(shell, "dpkg-deb --field {path} Package Version Architecture")
        .quiet()
        .ignore_stderr()
        .read()
        .context("dpkg-deb cannot read it")?;
    // To its end: the control part comes first.
    cmd!(shell, "dpkg-deb --contents {path}")
        .quiet()
        .ignore_stdout()
        .ignore_stderr()
        .run()
        .context("dpkg-deb cannot read it")?;
    let field = |name: &str| {
        let value = said.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        value.with_context(|| format!("its control file lacks `{name}`"))
    };
    Ok(named(field("Package")?, field("Version")?, field("Architecture")?))
}

fn rpm(path: &Path) -> Result<Named> {
    let shell = shell::at(Path::new("/"))?;
    cmd!(shell, "rpmkeys --checksig --nosignature {path}")
        .quiet()
        .ignore_stdout()
        .ignore_stderr()
        .run()
        .context("rpmkeys finds it broken")?;
    let format = "%{NAME} %{VERSION}-%{RELEASE} %{ARCH}";
    let said = cmd!(shell, "rpm --query --package --nosignature --queryformat {format} {path}")
        .quiet()
        .ignore_stderr()
        .read()
        .context("rpm cannot read it")?;
    let parts: Vec<&str> = said.split(' ').collect();
    let [name, version, architecture] = parts[..] else { bail!("rpm says `{said}`") };
    Ok(named(name, version, architecture))
}

fn pacman(path: &Path) -> Result<Named> {
    let shell = shell::at(Path::new("/"))?;
    let said = cmd!(shell, "bsdtar -xOf {path} .PKGINFO")
        .quiet()
        .ignore_stderr()
        .read()
        .context("bsdtar cannot read its .PKGINFO")?;
    let field = |name: &str| {
        let value = said.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(" = "));
        value.with_context(|| format!("its .PKGINFO lacks `{name}`"))
    };
    Ok(named(field("pkgname")?, field("pkgver")?, field("arch")?))
}

/// For which architecture; flatpak has no other way to look into one than to take it.
fn bundle(path: &Path, scratch: &Path) -> Result<String> {
    let work = tempfile::tempdir_in(scratch).context("cannot create a temporary folder")?;
    let shell = shell::at(work.path())?;
    shell.set_var("LC_ALL", "C.UTF-8");
    cmd!(shell, "ostree init --mode=archive --repo=repo").quiet().run()?;
    cmd!(shell, "flatpak build-import-bundle --no-update-summary repo {path}")
        .quiet()
        .ignore_stdout()
        .ignore_stderr()
        .run()
        .context("flatpak cannot read it")?;
    let reference = cmd!(shell, "ostree refs --repo=repo").quiet().read()?;
    let parts: Vec<&str> = reference.trim().split('/').collect();
    match parts[..] {
        ["app", _, architecture, _] => Ok(architecture.to_owned()),
        _ => bail!("it holds `{reference}`, and not one application"),
    }
}
