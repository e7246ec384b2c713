//! Everything that `release plan` asks, on loopback: the tests' stand-in for GitHub and for the web server of the repositories, two git
//! repositories, and a checkout from which something could be published.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;

use super::super::measure::{self, Used};
use super::run_through;
use crate::digest;
use crate::dist::{Entry, Index};
use crate::files::remove;
use crate::manifest::{self, Package};
use crate::scenarios::record::{Outcome, Record};
use crate::shell;
use crate::workspace::Workspace;

pub(super) struct Scene {
    folder: PathBuf,
    server: Server,
}

/// Ended with the bench.
struct Server {
    child: Child,
    url: String,
    token: String,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The newest version that the channels serve.
const SERVED: &str = "0.0.1";

impl Scene {
    pub(super) fn new(workspace: &Workspace, repositories: &super::Scene) -> Result<Scene> {
        let folder = repositories.folder.join("planned");
        remove(&folder)?;
        let server = folder.join("server");
        fs::create_dir_all(&server).with_context(|| format!("cannot create {}", server.display()))?;
        let (from, to) = (&repositories.site, server.join("packages"));
        run_through(Command::new("cp").args(["--archive", "--link"]).arg(from).arg(to))?;
        for name in ["tap", "aur"] {
            git(&folder, &["init", "--quiet", "--bare", "--initial-branch=main", &format!("{name}.git")])?;
        }
        let package = checkout(workspace, &folder)?;
        let formula = format!("class X < Formula\n  version \"{SERVED}\"\nend\n");
        push(&folder, "tap", &format!("Formula/{}.rb", package.name()), &formula)?;
        dist(&package, &folder, &repositories.new)?;
        Ok(Scene { server: Server::start(workspace, &server)?, folder })
    }

    /// The command as it is typed.
    pub(super) fn plan(&self) -> Result<Used> {
        let Server { url, token, .. } = &self.server;
        let part = |name: &str| self.folder.join(name);
        let plan = part("plan.json");
        remove(&plan)?;
        let mut command = Command::new(std::env::current_exe().context("cannot tell which program this is")?);
        command.args(["release", "plan", "--api", url, "--repositories-url", &format!("{url}/packages")]);
        for (option, name) in
            [("--dist", "dist"), ("--verified", "verified.json"), ("--tap", "tap.git"), ("--aur", "aur.git")]
        {
            command.arg(option).arg(part(name));
        }
        command.arg("--out").arg(&plan).current_dir(part("checkout"));
        command.env("GITHUB_TOKEN", token).env_remove("CARGO_TARGET_DIR");
        let used = measure::used("release plan", &command)?;
        // A plan that has asked nobody would be quick.
        let text = fs::read_to_string(&plan).with_context(|| format!("cannot read {}", plan.display()))?;
        let made: Value = serde_json::from_str(&text).context("cannot read the plan")?;
        let channels = made["channels"].as_array().map_or(&[][..], Vec::as_slice);
        let asked = channels.iter().filter(|part| !part["live"]["newest"].is_null()).count();
        ensure!(asked >= 2, "the plan knows what {asked} channels serve, and two serve something");
        Ok(used)
    }
}

impl Server {
    /// An ignored test of xtask, started without cargo so that it can be ended.
    fn start(workspace: &Workspace, folder: &Path) -> Result<Server> {
        const NAME: &str = "release::tests::serve";
        let output = Command::new(shell::cargo())
            .args(["test", "--locked", "--package", "xtask", "--bin", "xtask", "--no-run"])
            .args(["--message-format", "json"])
            .current_dir(&workspace.root)
            .stderr(Stdio::inherit())
            .output()
            .context("cannot run cargo")?;
        ensure!(output.status.success(), "cannot build the stand-in for GitHub: see above");
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let mut built = said.lines().filter_map(|line| {
            let line: Value = serde_json::from_str(line).ok()?;
            line["executable"].as_str().map(PathBuf::from)
        });
        let program = built.next_back().context("cargo tells of no program with xtask's tests")?;
        let mut child = Command::new(&program)
            .args(["--exact", NAME, "--ignored", "--nocapture"])
            .env("RELEASE_STAND_IN", folder)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot run {}", program.display()))?;
        let said = child.stdout.take().context("the stand-in has no standard output")?;
        let mut server = Server { child, url: String::new(), token: String::new() };
        for line in BufReader::new(said).lines() {
            let line = line.context("cannot read what the stand-in says")?;
            let word = |start: &str| {
                let at = line.find(start)? + start.len();
                line[at..].split([' ', ',']).next().map(str::to_owned)
            };
            if let (Some(address), Some(token)) = (word("http://"), word("GITHUB_TOKEN=")) {
                (server.url, server.token) = (format!("http://{address}"), token);
                return Ok(server);
            }
        }
        bail!("the stand-in for GitHub ended: {NAME}")
    }
}

/// A clone with a lock, as nothing is planned without one, and the word that it was verified.
fn checkout(workspace: &Workspace, folder: &Path) -> Result<Package> {
    let clone = folder.join("checkout");
    let root = workspace.root.display().to_string();
    git(folder, &["clone", "--quiet", "--shared", &root, "checkout"])?;
    let here = Workspace { target: clone.join("target"), root: clone };
    let app = manifest::load(&here, &here.manifest())?.manifest.app;
    let lock = format!("# release-sha256: {}\nidna==3.10 \\\n    --hash=sha256:{}\n", app.sha256, app.sha256);
    fs::write(here.root.join("packaging/app.lock"), lock).context("cannot write app.lock")?;
    git(&here.root, &["add", "--force", "packaging/app.lock"])?;
    git(&here.root, &["commit", "--quiet", "--allow-empty", "-m", "A lock"])?;
    let head = here.head()?.context("a clone without a commit")?;
    let results = ["apt", "dnf", "pacman"].map(|name| (format!("{name} on a bench: x"), Outcome::Passed));
    let record = Record { format: 1, commit: head.commit, dirty: head.dirty, results: results.into() };
    fs::write(folder.join("verified.json"), serde_json::to_string(&record)?)
        .context("cannot write what was verified")?;
    manifest::load(&here, &here.manifest())
}

/// The new packages, and the rest of what is published, at a size like theirs.
fn dist(package: &Package, folder: &Path, new: &Path) -> Result<()> {
    let dist = folder.join("dist");
    run_through(Command::new("cp").arg("--archive").arg(new).arg(&dist))?;
    let (name, stem) = (package.name(), package.source_stem());
    let packed = crate::repo::packages(new)?.into_iter().next().context("no package is there")?;
    let packed = fs::read(&packed).with_context(|| format!("cannot read {}", packed.display()))?;
    let version = &package.manifest.package.version;
    let formula = format!("class X < Formula\n  version \"{version}\"\nend\n").into_bytes();
    let mut files =
        vec![(format!("{stem}.tar.gz"), packed.clone()), (format!("homebrew/{name}.rb"), formula)];
    for target in crate::manifest::Target::ALL {
        files.push((format!("{}.tar.gz", package.tarball_stem(target)), packed.clone()));
        files.push((package.sbom_file(target), b"{}\n".to_vec()));
    }
    for recipe in ["PKGBUILD", ".SRCINFO"] {
        files.push((format!("aur/{recipe}"), format!("pkgver={version}\n").into_bytes()));
    }
    for (path, content) in files {
        let path = dist.join(path);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).with_context(|| format!("cannot create {}", parent.display()))?;
        }
        fs::write(&path, content).with_context(|| format!("cannot write {}", path.display()))?;
    }
    let mut entries = Vec::new();
    for entry in walkdir::WalkDir::new(&dist).sort_by_file_name() {
        let entry = entry.with_context(|| format!("cannot list {}", dist.display()))?;
        if entry.file_type().is_file() {
            let path = entry.path().strip_prefix(&dist).unwrap_or(entry.path());
            entries.push(Entry {
                path: path.to_string_lossy().into_owned(),
                channel: String::new(),
                target: "x86_64-unknown-linux-gnu".into(),
                size: entry.metadata()?.len(),
                sha256: digest::file(entry.path())?,
            });
        }
    }
    let identity = &package.manifest.package;
    let index = Index {
        format: Index::FORMAT,
        name: identity.name.clone(),
        version: identity.version.clone(),
        revision: identity.revision,
        epoch: package.epoch,
        inputs: BTreeMap::new(),
        files: entries,
    };
    fs::write(dist.join("SHA256SUMS"), index.sums()).context("cannot write SHA256SUMS")?;
    fs::write(dist.join(Index::FILE), serde_json::to_string(&index)?).context("cannot write dist.json")
}

fn push(folder: &Path, name: &str, path: &str, text: &str) -> Result<()> {
    let clone = folder.join("clone");
    git(folder, &["clone", "--quiet", &format!("{name}.git"), "clone"])?;
    let file = clone.join(path);
    if let Some(parent) = file.parent() {
        fs::create_dir_all(parent).with_context(|| format!("cannot create {}", parent.display()))?;
    }
    fs::write(&file, text).with_context(|| format!("cannot write {}", file.display()))?;
    git(&clone, &["add", "--force", "."])?;
    git(&clone, &["commit", "--quiet", "-m", "An older version"])?;
    git(&clone, &["push", "--quiet", "origin", "HEAD:main"])?;
    remove(&clone)
}

fn git(folder: &Path, arguments: &[&str]) -> Result<()> {
    let mut git = Command::new("git");
    git.args(["-c", "user.name=Bench", "-c", "user.email=b@localhost", "-c", "commit.gpgSign=false"]);
    run_through(git.args(arguments).current_dir(folder))
}
