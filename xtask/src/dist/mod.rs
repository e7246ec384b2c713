//! `cargo xtask dist`: every format from the one manifest.

mod index;
mod inputs;
mod publish;
mod schedule;
mod selected;
#[cfg(test)]
mod tests;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context as _, Result, bail};
use clap::ValueEnum;

use crate::artifact;
use crate::channel::{self, Channel};
use crate::manifest::{self, Package, Target};
use crate::template;
use crate::tools::Tools;
use crate::ui;
use crate::workspace::Workspace;

pub(crate) use index::{Entry, Index, is_plain};
use selected::selected;

/// Build the packages: every channel, or those named, into dist/.
///
/// A channel whose inputs have not changed is not built again. dist/ is only touched when all that was asked for has been built; it never
/// holds half a package, nor packages of different states of the checkout.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// What to build; all that this machine can, if none is named, but for the Flatpak's bundle, which takes its time
    #[arg(value_name = "CHANNEL")]
    channels: Vec<ChannelName>,
    /// Rust target triple to build for; this machine's by default
    #[arg(long, value_name = "TRIPLE")]
    target: Option<String>,
    /// Another manifest: the same packages around another release
    #[arg(long, value_name = "FILE")]
    manifest: Option<PathBuf>,
    /// Where to put the packages
    #[arg(long, value_name = "DIR", default_value = "dist")]
    out: PathBuf,
    /// Build the named channels even if nothing has changed
    #[arg(long)]
    force: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum ChannelName {
    Deb,
    Rpm,
    Aur,
    Pacman,
    Flatpak,
    Bundle,
    Homebrew,
    Tarball,
    Sbom,
}

impl ChannelName {
    fn channel(self) -> &'static Channel {
        match self {
            ChannelName::Deb => &channel::deb::CHANNEL,
            ChannelName::Rpm => &channel::rpm::CHANNEL,
            ChannelName::Aur => &channel::aur::CHANNEL,
            ChannelName::Pacman => &channel::pacman::CHANNEL,
            ChannelName::Flatpak => &channel::flatpak::CHANNEL,
            ChannelName::Bundle => &channel::bundle::CHANNEL,
            ChannelName::Homebrew => &channel::homebrew::CHANNEL,
            ChannelName::Tarball => &channel::tarball::CHANNEL,
            ChannelName::Sbom => &channel::sbom::CHANNEL,
        }
    }
}

pub(crate) fn run(args: &Args, workspace: &Workspace) -> Result<()> {
    let started = Instant::now();
    let here = std::env::current_dir().context("cannot tell the current folder")?;
    let manifest = args.manifest.as_ref().map_or_else(|| workspace.manifest(), |path| here.join(path));
    // A relative --out starts where the command was typed; the default is the checkout's own dist/.
    let out = match args.out.as_os_str() == "dist" {
        true => workspace.root.join("dist"),
        false => here.join(&args.out),
    };
    let target = target(args.target.as_deref())?;
    let package = manifest::load(workspace, &manifest)?;
    if !package.manifest.package.targets.contains(&target) {
        bail!("{} is not among `package.targets` of {}", target.triple(), manifest.display());
    }
    let _lock = lock(workspace)?;
    let tools = Tools::new(workspace);
    let (channels, left_out) = selected(&args.channels, &tools)?;
    let artifacts = std::thread::scope(|scope| {
        // The tool takes about as long to build as the launcher does, and is needed once a checkout.
        if channels.iter().any(|channel| channel.name == "rpm") {
            scope.spawn(|| tools.cargo_generate_rpm());
        }
        artifact::build(workspace, &package, target)
    })?;
    let inputs = inputs::digests(workspace, &package, &artifacts, target, &tools)?;
    let forced: Vec<&str> = match args.force {
        true if args.channels.is_empty() => channels.iter().map(|channel| channel.name).collect(),
        true => args.channels.iter().map(|name| name.channel().name).collect(),
        false => Vec::new(),
    };
    let job = schedule::Job {
        workspace,
        package: &package,
        artifacts: &artifacts,
        target,
        tools: &tools,
        inputs: &inputs,
    };
    let built = schedule::run(&job, &channels, &forced)?;
    let index = publish::publish(&out, &package, target, &inputs, &built)?;
    for (name, why) in left_out {
        ui::warning(format_args!("{name} is not built: {why}"));
    }
    report(&package, target, &out, &index, &here);
    ui::verb(
        "Finished",
        format_args!("{} in {:.1} s", package.full_version(), started.elapsed().as_secs_f64()),
    );
    Ok(())
}

/// The target that is named, or this machine's.
pub(crate) fn target(named: Option<&str>) -> Result<Target> {
    let name = named.map_or_else(|| format!("{}-unknown-linux-gnu", std::env::consts::ARCH), str::to_owned);
    let known = Target::ALL.into_iter().find(|target| target.triple() == name);
    known.with_context(|| {
        let names = Target::ALL.map(Target::triple).join(", ");
        format!("`{name}` is no target that packages are made for; there are: {names}")
    })
}

/// One build at a time: another one waits, and says for whom.
fn lock(workspace: &Workspace) -> Result<File> {
    let folder = workspace.target.join("xtask");
    fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    let path = folder.join("dist.lock");
    let file = File::create(&path).with_context(|| format!("cannot open {}", path.display()))?;
    if file.try_lock().is_err() {
        ui::verb("Waiting", format_args!("for another `cargo xtask dist` ({})", path.display()));
        file.lock().with_context(|| format!("cannot lock {}", path.display()))?;
    }
    Ok(file)
}

fn report(package: &Package, target: Target, out: &Path, index: &index::Index, here: &Path) {
    let shown = out.strip_prefix(here).unwrap_or(out);
    ui::verb("Packages", format_args!("in {}/", shown.display()));
    for file in &index.files {
        anstream::eprintln!("{:>12} {:>9}  {}", file.channel, size(file.size), file.path);
    }
    let has = |name: &str| index.files.iter().any(|file| file.path == name);
    for (name, command) in [
        (package.deb_file(target), "sudo apt install"),
        (package.rpm_file(target), "sudo dnf install"),
        (package.pacman_file(target), "sudo pacman -U"),
    ] {
        if has(&name) {
            ui::verb("Install", format_args!("with `{command} {}`", word(&shown.join(&name))));
        }
    }
}

/// A path as the package managers take it for one, not for a package's name, and as a shell takes it for one word.
fn word(path: &Path) -> String {
    let text = if path.is_absolute() { path.display().to_string() } else { format!("./{}", path.display()) };
    match text.chars().all(|c| c.is_ascii_alphanumeric() || "/._+-~:@".contains(c)) {
        true => text,
        false => template::sh(&text),
    }
}

fn size(bytes: u64) -> String {
    match bytes {
        0..1_000 => format!("{bytes} B"),
        1_000..1_000_000 => format!("{:.1} kB", bytes as f64 / 1e3),
        _ => format!("{:.2} MB", bytes as f64 / 1e6),
    }
}
