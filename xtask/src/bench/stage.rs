//! Where it all happens: a temporary folder with an installed launcher, and the user who runs everything.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};
use mathesar::database::{Binaries, Search};
use mathesar::release::Release;
use tempfile::TempDir;
use xshell::cmd;

use super::web;
use crate::tools::Tools;
use crate::workspace::Workspace;
use crate::{artifact, digest, dist, manifest, shell};

/// What is measured.
#[derive(clap::Args)]
pub(super) struct Sources {
    /// Another release than the sample application: its release.toml, with a file:// address
    #[arg(long, value_name = "FILE")]
    release_toml: Option<PathBuf>,
    /// Begin with this cache of uv, instead of fetching the packages
    #[arg(long, value_name = "DIR")]
    uv_cache: Option<PathBuf>,
    /// Measure this launcher, instead of building it
    #[arg(long, value_name = "FILE")]
    launcher: Option<PathBuf>,
}

pub(super) struct Stage {
    folder: TempDir,
    /// Who does everything where root calls, as PostgreSQL refuses root.
    user: Option<(u32, u32)>,
    pub port: u16,
    pub binaries: Binaries,
    pub release: Release,
    pub uv_cache: Option<PathBuf>,
}

impl Stage {
    pub(super) fn build(args: &Sources, workspace: &Workspace) -> Result<Stage> {
        let folder = TempDir::with_prefix("mathesar-bench-").context("cannot create a temporary folder")?;
        let here = std::env::current_dir().context("cannot tell the current folder")?;
        let launcher = match &args.launcher {
            Some(file) => here.join(file),
            None => {
                let package = manifest::load(workspace, &workspace.manifest())?;
                artifact::build(workspace, &package, dist::target(None)?)?.generated.join("bin/mathesar")
            }
        };
        let (toml, tarball) = match &args.release_toml {
            Some(file) => named(&here.join(file))?,
            None => sample(workspace, folder.path(), "1.0.0", &["base"])?,
        };
        let release =
            Release::parse(&toml).map_err(anyhow::Error::msg).context("cannot read the release.toml")?;
        let search = Search::new(None, None, release.postgresql.clone());
        let binaries =
            search.for_new()?.context("no PostgreSQL server is installed\nhelp: cargo xtask tools")?;
        let share = folder.path().join("prefix/share/mathesar");
        for folder in [folder.path().join("prefix/bin"), folder.path().join("work"), share.join("app")] {
            fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
        }
        let uv = Tools::new(workspace).python_tool("uv")?;
        let stage = Stage {
            user: ordinary_user()?,
            port: web::free_port()?,
            binaries,
            uv_cache: args.uv_cache.as_ref().map(|folder| here.join(folder)),
            release,
            folder,
        };
        copy(&launcher, &stage.launcher(), 0o755)?;
        copy(&uv, &stage.uv(), 0o755)?;
        copy(&tarball, &stage.tarball(), 0o644)?;
        fs::write(share.join("release.toml"), toml).context("cannot write release.toml")?;
        fs::set_permissions(stage.folder.path(), fs::Permissions::from_mode(0o755))
            .context("cannot open the temporary folder for others")?;
        stage.give(&stage.work())?;
        Ok(stage)
    }

    pub(super) fn work(&self) -> PathBuf {
        self.folder.path().join("work")
    }

    pub(super) fn launcher(&self) -> PathBuf {
        self.folder.path().join("prefix/bin/mathesar")
    }

    pub(super) fn uv(&self) -> PathBuf {
        self.folder.path().join("prefix/bin/uv")
    }

    pub(super) fn tarball(&self) -> PathBuf {
        let name = format!("mathesar-{}.tar.gz", self.release.version);
        self.folder.path().join("prefix/share/mathesar/app").join(name)
    }

    /// A program as the ordinary user, who knows little.
    pub(super) fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.env_clear().stdin(Stdio::null()).current_dir(self.work());
        command.env("PATH", "/usr/bin:/bin:/usr/local/bin").env("LANG", "C.UTF-8").env("HOME", self.work());
        for name in ["HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy"] {
            if let Some(value) = std::env::var_os(name) {
                command.env(name, value);
            }
        }
        if let Some(value) = std::env::var_os("SSL_CERT_FILE") {
            command.env("SSL_CERT_FILE", value);
        }
        if let Some((uid, gid)) = self.user {
            command.uid(uid).gid(gid);
        }
        command
    }

    /// A copy of a file where the ordinary user can read it.
    pub(super) fn public(&self, file: &Path) -> Result<PathBuf> {
        let name = file.file_name().with_context(|| format!("{} is no file", file.display()))?;
        let to = self.folder.path().join(name);
        copy(file, &to, 0o644)?;
        Ok(to)
    }

    /// An empty folder of the ordinary user's.
    pub(super) fn folder(&self, name: &str) -> Result<PathBuf> {
        let folder = self.work().join(name);
        fs::create_dir(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
        self.give(&folder)?;
        Ok(folder)
    }

    pub(super) fn give(&self, path: &Path) -> Result<()> {
        let Some((uid, gid)) = self.user else { return Ok(()) };
        for entry in walkdir::WalkDir::new(path) {
            let entry = entry.with_context(|| format!("cannot list {}", path.display()))?;
            if !entry.path_is_symlink() {
                chown(entry.path(), Some(uid), Some(gid))
                    .with_context(|| format!("cannot give away {}", entry.path().display()))?;
            }
        }
        Ok(())
    }

    /// What was written before is no burden of what comes.
    pub(super) fn settle(&self) {
        rustix::fs::sync();
    }
}

fn copy(from: &Path, to: &Path, mode: u32) -> Result<()> {
    fs::copy(from, to).with_context(|| format!("cannot copy {}", from.display()))?;
    fs::set_permissions(to, fs::Permissions::from_mode(mode))
        .with_context(|| format!("cannot set the mode of {}", to.display()))
}

/// The release.toml that was named, and the tarball that it names.
fn named(file: &Path) -> Result<(String, PathBuf)> {
    let text = fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    let release = Release::parse(&text).map_err(anyhow::Error::msg);
    let release = release.with_context(|| format!("cannot read {}", file.display()))?;
    let Some(tarball) = release.url.strip_prefix("file://") else {
        bail!("{} has no file:// address: fetch {} and name it so", file.display(), release.url);
    };
    Ok((text, PathBuf::from(tarball)))
}

/// The sample application as a release: folders of it, each laid over those before.
pub(super) fn sample(
    workspace: &Workspace,
    folder: &Path,
    version: &str,
    overlays: &[&str],
) -> Result<(String, PathBuf)> {
    let sources = workspace.root.join("launcher/tests/sample-app");
    let tree = TempDir::new_in(folder).context("cannot create a temporary folder")?;
    let tarball = folder.join(format!("sample-{version}.tar.gz"));
    let shell = shell::at(tree.path())?;
    for overlay in overlays {
        let from = sources.join(overlay).join(".");
        cmd!(shell, "cp -R {from} .").quiet().run()?;
    }
    cmd!(shell, "tar --create --gzip --exclude=__pycache__ --file {tarball} .").quiet().run()?;
    let (sha256, url) = (digest::file(&tarball)?, tarball.display());
    let toml = format!(
        "version = \"{version}\"\nurl = \"file://{url}\"\nsha256 = \"{sha256}\"\n\n[python]\nmin = \"3.10\"\n\
         max = \"3.14\"\nprefer = [\"3.12\", \"3.11\"]\n\n[postgresql]\nmin = 14\nmax = 18\n"
    );
    Ok((toml, tarball))
}

/// `nobody`, for root.
fn ordinary_user() -> Result<Option<(u32, u32)>> {
    if !rustix::process::geteuid().is_root() {
        return Ok(None);
    }
    let passwd = fs::read_to_string(Path::new("/etc/passwd")).context("cannot read /etc/passwd")?;
    let nobody = passwd.lines().find(|line| line.starts_with("nobody:"));
    let fields: Vec<&str> = nobody.context("there is no user `nobody`")?.split(':').collect();
    let number = |index: usize| fields.get(index).and_then(|field| field.parse().ok());
    number(2).zip(number(3)).map(Some).context("cannot read the line of `nobody` in /etc/passwd")
}
