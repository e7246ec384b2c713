//! `cargo xtask bench release`: what it costs to publish one more version beside many, and to plan it.

mod packages;
mod planned;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use tempfile::TempDir;

use super::measure;
use super::report::{Report, Row};
use crate::files::remove;
use crate::manifest;
use crate::repo::Key;
use crate::tools::Tools;
use crate::ui;
use crate::workspace::Workspace;

/// Adding a version to repositories that hold many, beside the same by hand, and planning its release
///
/// The repositories hold small real packages of every version, for two architectures. By hand: apt-ftparchive over the pool, createrepo_c of
/// all, repo-add of what is new, each with its signatures, in the same run. `release plan` asks the tests' stand-in for GitHub, which serves
/// those repositories as well, and two git repositories.
#[derive(clap::Args)]
pub(super) struct Args {
    /// Runs of each; the median is shown
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..))]
    runs: u16,
    /// Versions that the repositories hold
    #[arg(long, value_name = "NUMBER", default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..))]
    versions: u32,
    /// kB of each package
    #[arg(long, value_name = "KB", default_value_t = 64)]
    size: u64,
    /// Make the repositories in DIR and leave them there, as another run can begin with them
    #[arg(long, value_name = "DIR")]
    at: Option<PathBuf>,
}

/// CPU seconds of `repo add`, of all it runs too.
const ADD: f64 = 5.0;
/// Seconds of `release plan`.
const PLAN: f64 = 5.0;

const BY_HAND: &str = include_str!("release/by_hand.sh");

/// What a package manager's packages end in, and what its part is called.
const KINDS: [(&str, &str, &str); 3] = [
    ("apt", ".deb", "repo add for apt, CPU s"),
    ("dnf", ".rpm", "repo add for dnf, CPU s"),
    ("pacman", ".pkg.tar.zst", "repo add for pacman, CPU s"),
];

/// Repositories with old versions, and the packages of the next.
struct Scene {
    folder: PathBuf,
    /// Made by `repo build`.
    site: PathBuf,
    /// The same packages as somebody without it would have them.
    hand: PathBuf,
    new: PathBuf,
    keys: PathBuf,
    key: Key,
}

pub(super) fn run(args: &Args, workspace: &Workspace) -> Result<()> {
    let tools = Tools::new(workspace);
    let needed = [
        "apt-ftparchive",
        "bsdtar",
        "createrepo_c",
        "dpkg-deb",
        "git",
        "gpg",
        "repo-add",
        "rpmbuild",
        "rpmsign",
        "xz",
    ];
    let missing: Vec<&str> = needed.into_iter().filter(|name| tools.find(name).is_none()).collect();
    if !missing.is_empty() {
        bail!("not on PATH: {}\nhelp: cargo xtask tools", missing.join(", "));
    }
    let temporary = TempDir::with_prefix("mathesar-bench-").context("cannot create a temporary folder")?;
    let folder = match &args.at {
        Some(at) => std::path::absolute(at).context("cannot tell the current folder")?,
        None => temporary.path().to_owned(),
    };
    let package = manifest::load(workspace, &workspace.manifest())?;
    let scene = Scene::new(args, &folder, workspace, &package)?;
    let mut report = Report::default();
    let kinds = KINDS.map(|(kind, ending, what)| (kind, vec![ending], what, None));
    let all =
        ("all", KINDS.map(|(_, ending, _)| ending).to_vec(), "repo add for all three, CPU s", Some(ADD));
    for (kind, endings, what, most) in kinds.into_iter().chain([all]) {
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        for run in 1..=args.runs {
            ui::verb("Measuring", format!("{what} ({run} of {})", args.runs));
            ours.push(scene.ours(workspace, kind, &endings)?);
            theirs.push(scene.by_hand(package.name(), kind)?);
        }
        report.add(match most {
            Some(most) => Row::beside(what, &ours, &theirs, most),
            None => Row::plain(what, &ours, &theirs),
        });
    }
    let planned = planned::Scene::new(workspace, &scene)?;
    let (mut wall, mut cpu) = (Vec::new(), Vec::new());
    for run in 1..=args.runs {
        ui::verb("Measuring", format!("release plan ({run} of {})", args.runs));
        let used = planned.plan()?;
        wall.push(used.wall);
        cpu.push(used.cpu);
    }
    report.add(Row::median("release plan on loopback, s", &wall, Some(PLAN)));
    report.add(Row::median("release plan on loopback, CPU s", &cpu, None));
    anstream::println!("{} versions, two architectures, {} kB each\n", args.versions, args.size);
    anstream::println!("{}", report.text());
    Ok(())
}

impl Scene {
    fn new(args: &Args, at: &Path, workspace: &Workspace, package: &manifest::Package) -> Result<Scene> {
        let folder = at.join(format!("{}-versions-of-{}-kB", args.versions, args.size));
        let part = |name: &str| folder.join(name);
        let (site, keys, fingerprint) = (part("site"), part("keys"), part("fingerprint"));
        if let (true, Ok(fingerprint)) = (site.is_dir(), fs::read_to_string(&fingerprint)) {
            let key = Key::at(&keys, fingerprint.trim());
            return Ok(Scene { site, hand: part("hand"), new: part("new"), keys, key, folder });
        }
        remove(&folder)?;
        ui::verb("Preparing", format!("packages of {} versions", args.versions));
        let (old, new, hand) = (part("old"), part("new"), part("hand"));
        let maker = packages::Maker { name: package.name(), work: part("work"), bytes: args.size * 1000 };
        let versions: Vec<String> = (1..=args.versions).map(|number| format!("0.0.{number}")).collect();
        maker.make(&versions, "1", &old)?;
        let identity = &package.manifest.package;
        maker.make(std::slice::from_ref(&identity.version), &identity.revision.to_string(), &new)?;
        ui::verb("Preparing", "the repositories");
        let key = Key::throw_away(&keys, "A bench")?;
        let scene = Scene { site, hand, new, keys, key, folder };
        let fresh = scene.folder.join("fresh");
        let mut build = scene.xtask(workspace, "build", &fresh, &old)?;
        run_through(build.args(["--url", "http://127.0.0.1:1"]))?;
        let by = |what: &str, name: &str| scene.folder.join(what).join(name);
        // Signed already, by whoever has published them.
        for (from, to) in [("apt/pool", "apt"), ("dnf/Packages", "dnf"), ("pacman", "")] {
            let to = by("hand", to);
            fs::create_dir_all(&to).with_context(|| format!("cannot create {}", to.display()))?;
            run_through(Command::new("cp").arg("--archive").arg(fresh.join(from)).arg(to))?;
        }
        fs::write(&fingerprint, &scene.key.fingerprint).context("cannot write the key's fingerprint")?;
        fs::rename(&fresh, &scene.site).with_context(|| format!("cannot rename {}", fresh.display()))?;
        Ok(scene)
    }

    /// `xtask repo WHAT`, with the packages in `dist`.
    fn xtask(&self, workspace: &Workspace, what: &str, dir: &Path, dist: &Path) -> Result<Command> {
        let mut command = Command::new(std::env::current_exe().context("cannot tell which program this is")?);
        command.args(["repo", what]).arg(dir).arg("--dist").arg(dist);
        command.args(["--key", &self.key.fingerprint, "--keep", "100000"]);
        command.env("GNUPGHOME", &self.keys).current_dir(&workspace.root);
        Ok(command)
    }

    /// Nothing in it is ever written in place, so that links will do.
    fn copy(&self, of: &Path, name: &str) -> Result<PathBuf> {
        let to = self.folder.join(name);
        remove(&to)?;
        run_through(Command::new("cp").args(["--archive", "--link"]).arg(of).arg(&to))?;
        Ok(to)
    }

    /// CPU seconds to add the packages with one of these endings.
    fn ours(&self, workspace: &Workspace, kind: &str, endings: &[&str]) -> Result<f64> {
        let dist = self.folder.join(format!("dist-{kind}"));
        remove(&dist)?;
        fs::create_dir_all(&dist).with_context(|| format!("cannot create {}", dist.display()))?;
        for file in crate::repo::packages(&self.new)? {
            let name = file.file_name().unwrap_or_default();
            if endings.iter().any(|ending| name.to_string_lossy().ends_with(ending)) {
                fs::copy(&file, dist.join(name))
                    .with_context(|| format!("cannot copy {}", file.display()))?;
            }
        }
        let dir = self.copy(&self.site, "added")?;
        let used = measure::used("repo add", &self.xtask(workspace, "add", &dir, &dist)?)?;
        Ok(used.cpu)
    }

    fn by_hand(&self, name: &str, kind: &str) -> Result<f64> {
        let dir = self.copy(&self.hand, "added-by-hand")?;
        let mut command = Command::new("sh");
        command.args(["-c", BY_HAND, "sh", kind]).current_dir(&dir);
        command.env("GNUPGHOME", &self.keys).env("KEY", &self.key.fingerprint);
        command.env("NEW", &self.new).env("NAME", name);
        Ok(measure::used("what is done by hand", &command)?.cpu)
    }
}

/// A program whose words are told when it fails.
fn run_through(command: &mut Command) -> Result<()> {
    let program = command.get_program().display().to_string();
    let output = command.output().with_context(|| format!("cannot run {program}"))?;
    if !output.status.success() {
        bail!("{program} ended with {}: {}", output.status, String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}
