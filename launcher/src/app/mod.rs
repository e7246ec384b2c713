//! Mathesar releases: fetch, verify, unpack, Python environment, static files, the store, activation.
//!
//! `install` does all of it; every part alone is idempotent, and a killed one is simply run again.

mod aside;
pub mod broken;
pub mod digest;
pub mod download;
pub mod environment;
pub mod files;
pub mod install;
pub mod lookup;
pub mod network;
pub mod packages;
pub mod pins;
mod pip;
pub mod python;
pub(crate) mod record;
pub mod static_files;
pub mod store;
pub mod tools;
pub mod unpack;
mod uv;
mod venv;

#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use crate::config::Config;
use crate::layout::Layout;
use network::Network;

/// What of the settings the store of releases needs.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// Holds a folder a release.
    pub store: PathBuf,
    pub cache: PathBuf,
    /// Programs that a running server needs: not in the cache, which may be cleared at any time.
    pub tools: PathBuf,
    /// `<prefix>/share/mathesar` of the running binary, where it exists.
    pub share: Option<PathBuf>,
    pub network: Network,
    /// `python.interpreter`
    pub interpreter: Option<PathBuf>,
    /// `python.managed`
    pub managed: bool,
    /// `python.uv`
    pub uv: Option<PathBuf>,
    /// `python.index-url`
    pub index_url: Option<String>,
}

impl Settings {
    pub fn new(layout: &Layout, config: &Config) -> Settings {
        Settings {
            store: layout.state.join("app"),
            cache: layout.cache.clone(),
            tools: layout.tools(),
            share: share(),
            network: Network::new(config),
            interpreter: config.path("python.interpreter"),
            managed: config.bool("python.managed"),
            uv: config.path("python.uv"),
            index_url: config.text("python.index-url").map(str::to_owned),
        }
    }

    pub fn downloads(&self) -> PathBuf {
        self.cache.join("downloads")
    }

    /// Folders of wheels that serve before the index, those that exist.
    pub fn wheels(&self) -> Vec<PathBuf> {
        let beside = self.share.iter().map(|share| share.join("wheels"));
        beside.chain([self.cache.join("wheels")]).filter(|folder| folder.is_dir()).collect()
    }

    /// Folders where a file may lie that would else be fetched, in the order they are looked in.
    fn beside(&self, kind: &str) -> Vec<PathBuf> {
        self.share.iter().map(|share| share.join(kind)).collect()
    }
}

/// `<prefix>/share/mathesar`, beside `<prefix>/bin/mathesar`.
fn share() -> Option<PathBuf> {
    let binary = std::env::current_exe().ok()?.canonicalize().ok()?;
    let share: &Path = &binary.parent()?.parent()?.join("share/mathesar");
    share.is_dir().then(|| share.to_owned())
}
