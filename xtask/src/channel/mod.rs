//! Package and artifacts to files for `dist/`, one module a channel, each with one entry point. Rendering is pure; only
//! `build` writes, and only below the folders that its context names.

pub(crate) mod aur;
pub(crate) mod bundle;
mod cargo_lock;
pub(crate) mod deb;
pub(crate) mod flatpak;
pub(crate) mod homebrew;
pub(crate) mod pacman;
pub(crate) mod rpm;
pub(crate) mod sbom;
pub(crate) mod srcinfo;
pub(crate) mod stage;
pub(crate) mod tarball;
#[cfg(test)]
pub(crate) mod testing;

use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::artifact::Artifacts;
use crate::manifest::{Package, Target};
use crate::tools::Tools;

/// What a channel is given.
pub(crate) struct Context<'a> {
    pub package: &'a Package,
    pub artifacts: &'a Artifacts,
    pub target: Target,
    /// Absolute, empty, its own: for whatever it needs on the way.
    pub work: &'a Path,
    /// Absolute, empty, its own: what is here afterwards goes to `dist/` under the same relative path.
    pub out: &'a Path,
    /// The `out` folders of the channels in `needs`, in that order.
    pub needed: &'a [PathBuf],
    pub tools: &'a Tools,
}

/// A channel.
pub(crate) struct Channel {
    pub name: &'static str,
    /// Channels whose files it is made from.
    pub needs: &'static [&'static str],
    /// Built where it is named, and by nobody who names none.
    pub by_name: bool,
    /// Paths below the root that it reads beside the package, the artifacts and its own code: for the inputs' digest.
    pub reads: fn(&Package) -> Vec<String>,
    /// Why it cannot be built on this machine, if so.
    pub unavailable: fn(&Tools) -> Option<String>,
    pub build: fn(&Context<'_>) -> Result<()>,
}

/// All of them, each after those it needs.
pub(crate) const ALL: &[&Channel] = &[
    &tarball::CHANNEL,
    &deb::CHANNEL,
    &rpm::CHANNEL,
    &aur::CHANNEL,
    &pacman::CHANNEL,
    &flatpak::CHANNEL,
    &bundle::CHANNEL,
    &homebrew::CHANNEL,
    &sbom::CHANNEL,
];
