//! Two tarballs: the installed tree, from which the Arch packages are made and which stands alone as well, and the
//! source, from which Homebrew and Flatpak build.

#[cfg(test)]
pub(crate) mod fixture;
mod source;
#[cfg(test)]
mod tests;

use anyhow::Result;
use serde::Serialize;

use super::{Channel, Context};
use crate::archive::{Content, Tree};
use crate::manifest::{FileChannel, Level, Package};
use crate::template;

pub(crate) const CHANNEL: Channel =
    Channel { name: "tarball", needs: &[], by_name: false, reads, unavailable: |_| None, build };

const README: &str = include_str!("README.txt.hbs");

/// What the README's template sees.
#[derive(Serialize)]
struct Readme<'a> {
    display_name: &'a str,
    name: &'a str,
    version: String,
    stem: String,
    homepage: &'a str,
    glibc: &'a str,
    unit: &'a str,
    user: &'a str,
    needs: Vec<ReadmeNeed<'a>>,
    wants: Vec<ReadmeNeed<'a>>,
}

#[derive(Serialize)]
struct ReadmeNeed<'a> {
    name: &'a str,
    why: &'a str,
}

fn build(ctx: &Context<'_>) -> Result<()> {
    let package = ctx.package;
    let stem = package.tarball_stem(ctx.target);
    let dest = ctx.out.join(format!("{stem}.tar.gz"));
    installed(ctx)?.write_tar_gz(&stem, &dest, package.epoch)?;
    let stem = package.source_stem();
    let dest = ctx.out.join(format!("{stem}.tar.gz"));
    source::tree(package, ctx.artifacts)?.write_tar_gz(&stem, &dest, package.epoch)
}

fn installed(ctx: &Context<'_>) -> Result<Tree> {
    let mut tree = Tree::default();
    for file in ctx.package.installed(FileChannel::Tarball, &ctx.artifacts.generated)? {
        tree.file(file.relative(), file.mode, Content::From(file.source.clone()))?;
    }
    tree.file("README.txt", 0o644, readme(ctx)?)?;
    Ok(tree)
}

fn readme(ctx: &Context<'_>) -> Result<String> {
    let manifest = &ctx.package.manifest;
    let of_level = |level| -> Vec<ReadmeNeed<'_>> {
        // The service's user comes with an installation, not with a program that is run where it lies.
        let fits = manifest
            .dependency
            .iter()
            .filter(|(name, dependency)| dependency.level == level && name.as_str() != "sysusers");
        fits.map(|(name, dependency)| ReadmeNeed { name, why: &dependency.why }).collect()
    };
    let data = Readme {
        display_name: &manifest.package.display_name,
        name: ctx.package.name(),
        version: ctx.package.full_version(),
        stem: ctx.package.tarball_stem(ctx.target),
        homepage: &manifest.package.homepage,
        glibc: &ctx.artifacts.glibc,
        unit: &manifest.service.unit,
        user: &manifest.service.user,
        needs: of_level(Level::Requires),
        wants: of_level(Level::Recommends),
    };
    template::render("xtask/src/channel/tarball/README.txt.hbs", README, &data)
}

/// Everything that git tracks goes into the source tarball; a file of the manifest may not be tracked yet.
fn reads(package: &Package) -> Vec<String> {
    let mut paths: Vec<String> = source::tracked(&package.root)
        // A failure here fails the build as well, with its reason.
        .unwrap_or_default()
        .into_iter()
        .filter_map(|file| file.path.into_os_string().into_string().ok())
        .collect();
    for entry in &package.manifest.file {
        let whole = !entry.source.starts_with("build:") && !entry.source.contains('*');
        if whole && !paths.contains(&entry.source) {
            paths.push(entry.source.clone());
        }
    }
    paths.sort();
    paths
}
