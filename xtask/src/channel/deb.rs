//! The Debian package, made by cargo-deb's library from a throw-away Cargo.toml.

pub(crate) mod child;
mod description;
mod render;
#[cfg(test)]
mod tests;

use std::path::Path;

use anyhow::{Context as _, Result};

use super::{Channel, Context, stage};
use crate::artifact::elf;
use crate::manifest::{FileChannel, Installed, Kind, Package};
use crate::tools::Tools;

pub(crate) const CHANNEL: Channel =
    Channel { name: "deb", needs: &[], by_name: false, reads, unavailable, build };

/// Scripts that Debian knows; of these cargo-deb takes what it finds.
const SCRIPTS: [&str; 4] = ["preinst", "postinst", "prerm", "postrm"];

fn reads(package: &Package) -> Vec<String> {
    vec![package.manifest.deb.scripts.clone()]
}

fn unavailable(_: &Tools) -> Option<String> {
    let found = std::env::var_os("PATH")
        .is_some_and(|path| std::env::split_paths(&path).any(|folder| folder.join("xz").is_file()));
    (!found).then(|| "`xz` is not installed (Debian: apt install xz-utils)".to_owned())
}

fn build(ctx: &Context<'_>) -> Result<()> {
    let package = ctx.package;
    let files = files(package, &ctx.artifacts.generated)?;
    let program = elf::inspect(&ctx.artifacts.generated.join("bin/mathesar"))?;
    let manifest = render::manifest(package, &files, &program, &ctx.artifacts.glibc, ctx.target)?;

    stage::stage(&files, &ctx.work.join(render::ROOT), package.epoch)?;
    for file in files.iter().filter(|file| render::of_timer(&files, file)) {
        let name = file.source.file_name().context("a unit without a name")?;
        let to = ctx.work.join(render::UNITS).join(name);
        stage::put(&to, &stage::read(&file.source)?, 0o644, package.epoch)?;
    }
    stage_scripts(ctx)?;
    // cargo wants a package to have something to build; nothing builds it.
    stage::put(&ctx.work.join("main.rs"), b"", 0o644, package.epoch)?;
    let text = toml::to_string(&manifest).context("cannot serialise the Cargo.toml for cargo-deb")?;
    let path = ctx.work.join("Cargo.toml");
    stage::put(&path, text.as_bytes(), 0o644, package.epoch)?;

    child::spawn(&child::Args {
        manifest: path,
        out: ctx.out.join(package.deb_file(ctx.target)),
        triple: ctx.target.triple().to_owned(),
        epoch: package.epoch,
    })
    .context("cannot build the .deb")
}

/// The manifest's files and Debian's changelog.
fn files(package: &Package, generated: &Path) -> Result<Vec<Installed>> {
    let mut files = package.installed(FileChannel::Deb, generated)?;
    files.push(Installed {
        source: generated.join("doc/changelog"),
        dest: format!("/usr/share/doc/{}/changelog.Debian.gz", package.name()),
        mode: 0o644,
        owner: "root".into(),
        group: "root".into(),
        kind: Kind::Doc,
    });
    Ok(stage::with_compressed_pages(files))
}

fn stage_scripts(ctx: &Context<'_>) -> Result<()> {
    let folder: &Path = &ctx.package.root.join(&ctx.package.manifest.deb.scripts);
    for name in SCRIPTS {
        let source = folder.join(name);
        if source.is_file() {
            let to = ctx.work.join(render::SCRIPTS).join(name);
            stage::put(&to, &stage::read(&source)?, 0o755, ctx.package.epoch)?;
        }
    }
    Ok(())
}
