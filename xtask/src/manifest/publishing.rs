//! The manifest's types for what is published by pushing it somewhere.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What only the Homebrew formula needs.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct Homebrew {
    /// The tap, as `owner/name`: `brew install owner/name/mathesar`.
    #[schemars(extend("x-check" = "tap"))]
    pub tap: String,
}

/// Where the packages are published; the GitHub repository, the tap and the AUR follow from the names above.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct Publishing {
    /// Where the signed repositories are served, without a slash at the end.
    #[schemars(extend("x-check" = "https-url"))]
    pub repositories: String,
    /// The ssh host keys of those that are pushed to, as `known_hosts` (sshd(8)) has them; no other one is believed.
    #[schemars(extend("x-check" = "source"))]
    pub known_hosts: String,
    /// Channels that take nothing at present. `release` says so instead of failing.
    #[serde(default)]
    pub paused: BTreeMap<Outlet, Paused>,
}

/// A place that packages are published at.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema, clap::ValueEnum,
)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Outlet {
    /// The GitHub release, with every package.
    Github,
    /// The signed repositories for apt, dnf and pacman.
    Repositories,
    /// The Homebrew tap.
    Tap,
    /// The Arch User Repository.
    Aur,
}

/// Why a channel takes nothing, and since when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct Paused {
    /// Since this day, as `2026-07-30`.
    #[schemars(extend("x-check" = "line"))]
    pub since: String,
    /// The reason.
    #[schemars(extend("x-check" = "line"))]
    pub why: String,
}
