//! The pacman package: the AUR's PKGBUILD with a local source, built by the machine's makepkg so that the package is what
//! makepkg makes of it, but by nothing else of the machine.

mod scratch;
#[cfg(test)]
mod tests;

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use serde::Serialize;
use xshell::cmd;

use super::aur::{Flavour, Recipe};
use super::{Channel, Context};
use crate::files::write_new;
use crate::template;
use crate::tools::Tools;
use crate::ui;
use scratch::Scratch;

pub(crate) const CHANNEL: Channel = Channel {
    name: "pacman",
    needs: &["tarball"],
    by_name: false,
    reads: |_| Vec::new(),
    unavailable,
    build,
};

const CONFIG: &str = include_str!("../../../../aur/makepkg.conf.hbs");

/// Stands in `.BUILDINFO` for the folder of the build, wherever that was.
const RECORDED: &str = "/build";

/// What makepkg calls on the way to a package from a tarball, and the Debian package that has it.
const PROGRAMS: [(&str, &str); 6] = [
    ("makepkg", "makepkg"),
    ("bsdtar", "libarchive-tools"),
    ("fakeroot", "fakeroot"),
    ("file", "file"),
    ("gzip", "gzip"),
    ("zstd", "zstd"),
];

/// What the template of makepkg's configuration sees.
#[derive(Serialize)]
struct Config<'a> {
    arch: &'a str,
    chost: &'a str,
    packager: &'a str,
    recorded: &'a str,
}

fn unavailable(_: &Tools) -> Option<String> {
    missing(&std::env::var_os("PATH").unwrap_or_default())
}

fn missing(path: &OsStr) -> Option<String> {
    let (programs, packages): (Vec<&str>, Vec<&str>) =
        PROGRAMS.iter().filter(|(program, _)| !on_path(path, program)).copied().unzip();
    if programs.is_empty() {
        return None;
    }
    Some(format!(
        "makepkg builds it, and not on this machine: `{}`\nhelp: on Debian or Ubuntu, `apt-get install {}`",
        programs.join("`, `"),
        packages.join(" ")
    ))
}

fn on_path(path: &OsStr, program: &str) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    std::env::split_paths(path).map(|folder| folder.join(program)).any(|file| {
        file.metadata().is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
    })
}

fn build(ctx: &Context<'_>) -> Result<()> {
    let recipe = Recipe::new(ctx, Flavour::Own)?;
    let scratch = Scratch::new()?;
    let folder = scratch.folder();
    let config_file = stage(ctx, &recipe, &folder)?;
    scratch.hand_over()?;
    makepkg(&scratch, &folder, &config_file, ctx.package.epoch)?;
    let name = ctx.package.pacman_file(ctx.target);
    let built = folder.join(&name);
    let dest = ctx.out.join(&name);
    let bytes = scratch::read(&built)
        .with_context(|| format!("makepkg has not made {name}: cannot read {}", built.display()))?;
    std::fs::write(&dest, bytes).with_context(|| format!("cannot write {}", dest.display()))?;
    warn_where_the_folder_is_recorded(&dest)
}

/// Everything that makepkg reads, into its own folder; returns its configuration file.
fn stage(ctx: &Context<'_>, recipe: &Recipe, folder: &Path) -> Result<PathBuf> {
    recipe.write(folder)?;
    let tarball = &recipe.pkgbuild.source;
    let source = ctx.needed.first().map(|needed| needed.join(tarball)).context("no tarball")?;
    std::fs::copy(&source, folder.join(tarball))
        .with_context(|| format!("cannot copy {} to {}", source.display(), folder.display()))?;
    let config = Config {
        arch: ctx.target.cpu(),
        chost: &format!("{}-pc-linux-gnu", ctx.target.cpu()),
        packager: &recipe.pkgbuild.maintainer,
        recorded: RECORDED,
    };
    let config_file = folder.join("makepkg.conf");
    let text = template::render("aur/makepkg.conf.hbs", CONFIG, &config)?;
    write_new(&config_file, text.as_bytes(), 0o644)?;
    Ok(config_file)
}

fn makepkg(scratch: &Scratch, folder: &Path, config: &Path, epoch: u64) -> Result<()> {
    let mut command = Command::new("makepkg");
    command.arg("--config").arg(config);
    command.args(["--nodeps", "--force", "--nocolor", "--nocheck", "--nosign", "--noconfirm"]);
    command.current_dir(folder).env_clear();
    command.envs(std::env::var_os("PATH").map(|path| ("PATH", path)));
    command
        .env("HOME", folder)
        .env("LC_ALL", "C")
        .env("TZ", "UTC")
        .env("SOURCE_DATE_EPOCH", epoch.to_string());
    // .BUILDINFO would list the packages of this machine, and nothing of them goes into ours. It also keeps the
    // pacman database, if there is one, out of it.
    command.env("PACMAN", "true");
    scratch.as_builder(&mut command);
    let output = command.output().context("cannot run makepkg")?;
    if !output.status.success() {
        let told = [output.stdout.as_slice(), output.stderr.as_slice()].concat();
        bail!("{command:?} failed ({}):\n{}", output.status, String::from_utf8_lossy(&told).trim_end());
    }
    Ok(())
}

/// A makepkg that has changed inside might record the folder again: the package is good then, but not reproducible.
fn warn_where_the_folder_is_recorded(built: &Path) -> Result<()> {
    let info = member(built, ".BUILDINFO")?;
    let wrong = |line: &&str| {
        ["builddir = ", "startdir = "]
            .iter()
            .any(|key| line.strip_prefix(key).is_some_and(|folder| folder != RECORDED))
    };
    if let Some(line) = info.lines().find(wrong) {
        ui::warning(format!(
            "this makepkg records where it builds (`{line}`), so the package is not reproducible"
        ));
    }
    Ok(())
}

/// A text in a package.
fn member(package: &Path, name: &str) -> Result<String> {
    let shell = crate::shell::at(std::path::Path::new("/"))?;
    cmd!(shell, "bsdtar -xOf {package} {name}")
        // It complains of a locale that the machine does not have.
        .env("LC_ALL", "C")
        .quiet()
        .read()
        .with_context(|| format!("cannot read {name} of {}", package.display()))
}
