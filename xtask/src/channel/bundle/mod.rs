//! The Flatpak itself in one file, as a repository takes it: the manifest, built by flatpak-builder on Flathub's runtime. By its name only,
//! as it compiles PostgreSQL and fetches a runtime of a gigabyte.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail, ensure};

use super::{Channel, Context};
use crate::digest;
use crate::tools::{Family, Tools, how_to_get, on_path};

/// The lines that build it; `verify flatpak` runs them too, on a stand-in for the runtime.
pub(crate) const SCRIPT: &str = include_str!("build.sh");

/// As flatpak calls it, and every page that tells how to set it up.
const REMOTE: &str = "flathub";
const ADD_REMOTE: &str =
    "flatpak remote-add --user --if-not-exists flathub https://dl.flathub.org/repo/flathub.flatpakrepo";

pub(crate) const CHANNEL: Channel = Channel {
    name: "bundle",
    needs: &["tarball", "flatpak"],
    by_name: true,
    reads: |_| Vec::new(),
    unavailable,
    build,
};

fn unavailable(_: &Tools) -> Option<String> {
    let missing = ["flatpak", "flatpak-builder"].into_iter().find(|program| on_path(program).is_none())?;
    let help = how_to_get(missing, Family::here()).map(|help| format!("\nhelp: {help}")).unwrap_or_default();
    Some(format!("{missing} is not on this machine{help}"))
}

fn build(ctx: &Context<'_>) -> Result<()> {
    let (package, cpu) = (ctx.package, ctx.target.cpu());
    ensure!(
        cpu == std::env::consts::ARCH,
        "a Flatpak for {cpu} is built on a computer of that kind, and this one is {}",
        std::env::consts::ARCH
    );
    let [tarballs, recipes] = ctx.needed else { bail!("the bundle is made of `tarball` and `flatpak`") };
    has_remote()?;
    let id = &package.manifest.flatpak.app_id;
    // It is published together with the bundle: nobody could fetch it yet.
    let (sources, tarball) = (ctx.work.join("sources"), format!("{}.tar.gz", package.source_stem()));
    at_hand(&tarballs.join(&tarball), &tarball, &sources)?;
    let log = ctx.work.join("log");
    let out = File::create(&log).with_context(|| format!("cannot create {}", log.display()))?;
    let err = out.try_clone().with_context(|| format!("cannot open {}", log.display()))?;
    let status = Command::new("sh")
        .args(["-euc", SCRIPT])
        .env("manifest", recipes.join(format!("flatpak/{id}.yml")))
        .envs([("id", id.as_str()), ("arch", cpu), ("remote", REMOTE)])
        .env("sources", &sources)
        .env("bundle", ctx.out.join(package.bundle_file(ctx.target)))
        .current_dir(ctx.work)
        .stdin(Stdio::null())
        .stdout(out)
        .stderr(err)
        .status()
        .context("cannot run sh")?;
    ensure!(status.success(), "flatpak-builder failed ({status}):\n{}", end_of(&log));
    Ok(())
}

fn has_remote() -> Result<()> {
    let asked = Command::new("flatpak").args(["remotes", "--user", "--columns=name"]).output();
    let told = asked.context("cannot run flatpak")?.stdout;
    let known = String::from_utf8_lossy(&told).lines().any(|line| line.trim() == REMOTE);
    ensure!(
        known,
        "this user's flatpak knows no `{REMOTE}`, where the runtime is had from\nhelp: {ADD_REMOTE}"
    );
    Ok(())
}

/// As flatpak-builder looks for it in a folder of extra sources.
fn at_hand(file: &Path, name: &str, sources: &Path) -> Result<()> {
    let folder = sources.join("downloads").join(digest::file(file)?);
    fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    fs::copy(file, folder.join(name)).with_context(|| format!("cannot copy {}", file.display()))?;
    Ok(())
}

/// Compilers talk much; what matters stands at the end, after the bar of a download.
pub(crate) fn last_lines(told: &str) -> String {
    let told = told.replace('\r', "\n");
    let last: Vec<&str> = told.lines().rev().take(25).collect();
    last.into_iter().rev().collect::<Vec<_>>().join("\n")
}

fn end_of(log: &Path) -> String {
    let told = fs::read(log).unwrap_or_default();
    last_lines(&String::from_utf8_lossy(&told))
}
