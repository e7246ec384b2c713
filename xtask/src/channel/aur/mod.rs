//! The AUR's package: PKGBUILD, `.SRCINFO` and install script around the published binary tarball. The pacman channel
//! makes its package from the same templates.

#[cfg(test)]
mod tests;

use std::path::Path;

use anyhow::{Context as _, Result};
use serde::Serialize;

use super::{Channel, Context, srcinfo};
use crate::artifact::elf;
use crate::digest;
use crate::files::write_new;
use crate::manifest::{Distribution, FileChannel, Installed, Kind, Level};
use crate::template;

pub(crate) const CHANNEL: Channel = Channel {
    name: "aur",
    needs: &["tarball"],
    by_name: false,
    reads: |_| Vec::new(),
    unavailable: |_| None,
    build,
};

const PKGBUILD: &str = include_str!("../../../../aur/PKGBUILD.hbs");
const INSTALL: &str = include_str!("../../../../aur/mathesar.install.hbs");

/// Which of the two packages a PKGBUILD makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flavour {
    /// The AUR's `-bin` package, which fetches the tarball from where it is published.
    Aur,
    /// Our own repository's package, whose tarball lies beside the PKGBUILD.
    Own,
}

/// Everything that the PKGBUILD's template and `.SRCINFO` say.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Pkgbuild {
    pub channel: &'static str,
    pub maintainer: String,
    pub repository: String,
    pub pkgname: String,
    pub pkgver: String,
    pub pkgrel: u32,
    pub pkgdesc: String,
    pub arch: String,
    pub url: String,
    pub license: String,
    pub depends: Vec<String>,
    pub optdepends: Vec<String>,
    pub provides: Vec<String>,
    pub conflicts: Vec<String>,
    pub options: Vec<String>,
    pub backup: Vec<String>,
    pub install: String,
    pub source: String,
    pub sha256: String,
    /// What is copied into the package, by its path below `$srcdir`.
    pub tree: Vec<String>,
    pub modes: Vec<Mode>,
}

/// A file whose permissions unpacking with makepkg's umask, 022, does not keep.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Mode {
    pub path: String,
    /// Octal.
    pub mode: String,
}

/// What the install script's template sees.
#[derive(Serialize)]
struct InstallScript<'a> {
    channel: &'static str,
    unit: &'a str,
    home: &'a str,
    start: bool,
    settings: String,
}

/// A PKGBUILD and its install script, ready to be written side by side.
pub(crate) struct Recipe {
    pub pkgbuild: Pkgbuild,
    pub pkgbuild_text: String,
    pub install_text: String,
}

impl Recipe {
    /// The recipe around the tarball `<needed>/<stem>.tar.gz`.
    pub(crate) fn new(ctx: &Context<'_>, flavour: Flavour) -> Result<Recipe> {
        let stem = ctx.package.tarball_stem(ctx.target);
        let tarball = ctx
            .needed
            .first()
            .map(|folder| folder.join(format!("{stem}.tar.gz")))
            .context("the channel `tarball` has to be built before the Arch packages")?;
        let files = ctx.package.installed(FileChannel::Tarball, &ctx.artifacts.generated)?;
        let pkgbuild = Pkgbuild::new(ctx, flavour, &files, digest::file(&tarball)?)?;
        let pkgbuild_text = template::render("aur/PKGBUILD.hbs", PKGBUILD, &pkgbuild)?;
        let service = &ctx.package.manifest.service;
        let script = InstallScript {
            channel: pkgbuild.channel,
            unit: &service.unit,
            home: &service.home,
            start: service.start,
            settings: settings_line(ctx.package.name(), &files),
        };
        let install_text = template::render("aur/mathesar.install.hbs", INSTALL, &script)?;
        Ok(Recipe { pkgbuild, pkgbuild_text, install_text })
    }

    /// Writes `PKGBUILD` and the install script into `folder`.
    pub(crate) fn write(&self, folder: &Path) -> Result<()> {
        write_new(&folder.join("PKGBUILD"), self.pkgbuild_text.as_bytes(), 0o644)?;
        write_new(&folder.join(&self.pkgbuild.install), self.install_text.as_bytes(), 0o644)
    }
}

impl Pkgbuild {
    fn new(ctx: &Context<'_>, flavour: Flavour, files: &[Installed], sha256: String) -> Result<Pkgbuild> {
        let package = ctx.package;
        let manifest = &package.manifest;
        let identity = &manifest.package;
        let stem = package.tarball_stem(ctx.target);
        let tarball = format!("{stem}.tar.gz");
        let mut depends = vec![format!("glibc>={}", ctx.artifacts.glibc)];
        if needs_libgcc(files)? {
            depends.push("gcc-libs".to_owned());
        }
        // pacman knows no alternatives: the preferred name stands for them.
        let requires = manifest.needs(&Distribution::ARCH, Level::Requires);
        depends.extend(requires.iter().filter_map(|need| need.names.first()).map(|name| one_line(name)));
        let mut optdepends = Vec::new();
        for level in [Level::Recommends, Level::Suggests] {
            for need in manifest.needs(&Distribution::ARCH, level) {
                optdepends.extend(need.names.iter().map(|name| one_line(&format!("{name}: {}", need.why))));
            }
        }
        let mut tops: Vec<&str> = files.iter().filter_map(|file| file.relative().split('/').next()).collect();
        tops.dedup();
        let own = flavour == Flavour::Own;
        Ok(Pkgbuild {
            channel: if own { "pacman" } else { "aur" },
            maintainer: one_line(&identity.maintainer),
            repository: identity.repository.clone(),
            pkgname: if own { package.name().to_owned() } else { manifest.arch.aur_name.clone() },
            pkgver: identity.version.clone(),
            pkgrel: identity.revision,
            pkgdesc: one_line(&identity.summary),
            arch: ctx.target.cpu().to_owned(),
            url: identity.homepage.clone(),
            license: one_line(&identity.license),
            depends,
            optdepends,
            provides: if own { vec![] } else { vec![format!("{}={}", package.name(), identity.version)] },
            conflicts: if own { vec![] } else { vec![package.name().to_owned()] },
            options: vec!["!strip".to_owned(), "!debug".to_owned()],
            backup: of_kind(files, Kind::Config).map(|file| file.relative().to_owned()).collect(),
            install: format!("{}.install", package.name()),
            source: if own { tarball } else { package.asset_url(&tarball) },
            sha256,
            tree: tops.iter().map(|top| format!("{stem}/{top}")).collect(),
            modes: files
                .iter()
                .filter(|file| file.mode & 0o7022 != 0)
                .map(|file| Mode { path: file.relative().to_owned(), mode: format!("{:04o}", file.mode) })
                .collect(),
        })
    }
}

fn build(ctx: &Context<'_>) -> Result<()> {
    let folder = ctx.out.join("aur");
    std::fs::create_dir(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    let recipe = Recipe::new(ctx, Flavour::Aur)?;
    recipe.write(&folder)?;
    write_new(&folder.join(".SRCINFO"), srcinfo::render(&recipe.pkgbuild).as_bytes(), 0o644)
}

fn of_kind(files: &[Installed], kind: Kind) -> impl Iterator<Item = &Installed> {
    files.iter().filter(move |file| file.kind == kind)
}

/// makepkg does the same to what it prints and what it packs, by a locale's idea of white space: done here, every locale agrees.
fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn settings_line(name: &str, files: &[Installed]) -> String {
    match of_kind(files, Kind::Config).next() {
        Some(file) => format!("==> Settings: {}; help: {name} --help", file.dest),
        None => format!("==> Help: {name} --help"),
    }
}

/// Whether a program among `files` is linked to libgcc_s, which Arch packages apart from glibc.
fn needs_libgcc(files: &[Installed]) -> Result<bool> {
    for file in of_kind(files, Kind::Binary) {
        if elf::inspect(&file.source)?.needed.iter().any(|name| name == "libgcc_s.so.1") {
            return Ok(true);
        }
    }
    Ok(false)
}
