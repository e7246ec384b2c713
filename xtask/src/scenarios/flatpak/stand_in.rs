//! The runtime that the Flatpak is built and run on: a stand-in of Debian's packages under the names of freedesktop's, kept by what it is
//! made of. It proves the manifest, the build without a network, the permissions and the running; not the real runtime's list of
//! libraries.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};
use machines::{Base, Recipe};

use crate::scenarios::system::{Manager, SUITE_OF_FLATPAK, System, Tree};
use crate::workspace::Workspace;
use crate::{digest, ui};

/// What the build of PostgreSQL and of the launcher asks for, of what the real one has.
const SDK: &[&str] = &[
    "bison",
    "bzip2",
    "ca-certificates",
    "desktop-file-utils",
    "file",
    "flex",
    "gcc",
    "gettext-base",
    "libc6-dev",
    "libcairo2",
    "libicu-dev",
    "libssl-dev",
    "make",
    "patch",
    "perl",
    "pkg-config",
    "python3",
    "python3-venv",
    "xz-utils",
    "zlib1g-dev",
];

/// A tree of its own, so that a library that only the SDK has is missed.
const PLATFORM: &[&str] = &["ca-certificates", "libcairo2", "libicu76", "python3", "python3-venv"];

const SCRIPT: &str = include_str!("stand_in.sh");

/// Of the folders and their locks below `target/machines`.
const PREFIX: &str = "flatpak-";

/// Not removed while somebody holds one of these.
pub(crate) struct StandIn {
    folder: PathBuf,
    /// `26.08`
    pub version: String,
    _in_use: File,
}

impl StandIn {
    /// This week's for the manifest's version and this checkout's Rust; made now where it is not there yet.
    pub(crate) fn make(workspace: &Workspace, store: &Path, version: &str) -> Result<StandIn> {
        let tell = |what: &str| ui::verb("Machine", what);
        let tree = |packages| {
            let recipe =
                Recipe { suite: SUITE_OF_FLATPAK, packages, at_hand: &[], next: None, documentation: false };
            Base::debian(store, &recipe, &tell)
        };
        let (sdk, platform) = (tree(SDK)?, tree(PLATFORM)?);
        let (toolchain, rust) = toolchain(workspace)?;
        let mut key = digest::Parts::default();
        key.add("script", SCRIPT).add("version", version).add("rust", &rust);
        for tree in [&sdk, &platform] {
            // The recipe's digest and the week.
            key.add("tree", &tree.tree.file_name().unwrap_or_default().to_string_lossy());
        }
        let folder = store.join(format!("{PREFIX}{}", &key.finish()[..10]));
        fs::create_dir_all(folder.join("build"))
            .with_context(|| format!("cannot create {}", folder.display()))?;
        let in_use = lock(&folder)?;
        if !folder.join("repo").is_dir() {
            ui::verb("Making", format_args!("a stand-in for the runtime {version} in {}", folder.display()));
            let tools = machine(store)?;
            let partial = machines::scratch(store, "runtime")?;
            let binds = [
                (sdk.tree.as_path(), "/sdk"),
                (&platform.tree, "/platform"),
                (&toolchain, "/toolchain"),
                (partial.path(), "/out"),
            ];
            machines::run_over(&tools, store, &format!("version={version}\n{SCRIPT}"), &binds)
                .context("cannot make a stand-in for the runtime")?;
            fs::rename(partial.path().join("repo"), folder.join("repo"))
                .with_context(|| format!("cannot move a repository to {}", folder.display()))?;
        }
        in_use.unlock().and_then(|()| in_use.lock_shared()).context("cannot share a lock")?;
        sweep(store, &folder);
        Ok(StandIn { folder, version: version.to_owned(), _in_use: in_use })
    }

    /// The ostree repository.
    pub(super) fn repository(&self) -> PathBuf {
        self.folder.join("repo")
    }

    /// What flatpak-builder keeps between two builds: whatever has not changed is not built again.
    pub(super) fn build(&self) -> PathBuf {
        self.folder.join("build")
    }

    /// Nobody else builds there as long as it lives.
    pub(super) fn alone(&self) -> Result<File> {
        lock(&self.build())
    }
}

/// The tree of the machine that Flatpak runs in.
pub(super) fn machine(store: &Path) -> Result<Base> {
    let system = System::of(Manager::Flatpak, SUITE_OF_FLATPAK).context("no such system")?;
    Base::debian(store, &system.recipe(Tree::Usual), &|what| ui::verb("Machine", what))
}

fn lock(folder: &Path) -> Result<File> {
    let path = folder.with_extension("lock");
    let file = File::create(&path).with_context(|| format!("cannot create {}", path.display()))?;
    file.lock().with_context(|| format!("cannot lock {}", path.display()))?;
    Ok(file)
}

/// The folder of the Rust that this checkout is built with, and what it says of itself.
fn toolchain(workspace: &Workspace) -> Result<(PathBuf, String)> {
    let ask = |arguments: &[&str]| -> Result<String> {
        let output = Command::new("rustc")
            .args(arguments)
            .current_dir(&workspace.root)
            .stdin(Stdio::null())
            .output()
            .context("cannot run rustc")?;
        match output.status.success() {
            true => Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned()),
            false => bail!("rustc {}: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr)),
        }
    };
    let folder = PathBuf::from(ask(&["--print", "sysroot"])?);
    if !folder.join("bin/cargo").is_file() {
        bail!(
            "cannot find cargo in {}, the folder of this Rust\nhelp: install Rust by rustup",
            folder.display()
        );
    }
    Ok((folder, ask(&["-vV"])?))
}

/// Removes those of other weeks that nobody uses.
fn sweep(store: &Path, keep: &Path) {
    for entry in fs::read_dir(store).into_iter().flatten().flatten() {
        let folder = entry.path();
        let ours = entry.file_name().to_string_lossy().starts_with(PREFIX) && folder.is_dir();
        if !ours || folder == keep {
            continue;
        }
        let lock = folder.with_extension("lock");
        let unused = File::create(&lock).is_ok_and(|lock| lock.try_lock().is_ok());
        if unused && fs::remove_dir_all(&folder).is_ok() {
            let _ = fs::remove_file(lock);
        }
    }
}
