//! The checked manifest with what follows from it: file names, addresses, architecture names.

use std::path::PathBuf;

use super::{Manifest, Release, Target};

/// What the channels render from.
#[derive(Debug, Clone)]
pub(crate) struct Package {
    /// The repository's root: relative sources of the manifest start here.
    pub root: PathBuf,
    /// The manifest.
    pub manifest: Manifest,
    /// Its text, as it goes into the source tarball.
    pub manifest_text: String,
    /// The changelog, newest entry first.
    pub changelog: Vec<Release>,
    /// `packaging/app.lock`, where it exists and belongs to `[app]`.
    pub lock: Option<String>,
    /// SOURCE_DATE_EPOCH: every time stamp in every package, in seconds since 1970.
    pub epoch: u64,
}

impl Package {
    pub(crate) fn name(&self) -> &str {
        &self.manifest.package.name
    }

    /// `0.12.0-1`
    pub(crate) fn full_version(&self) -> String {
        format!("{}-{}", self.manifest.package.version, self.manifest.package.revision)
    }

    /// `v0.12.0-1`, the git tag and GitHub release.
    pub(crate) fn tag(&self) -> String {
        format!("v{}", self.full_version())
    }

    /// Where a file of `dist/` is served from once it is published.
    pub(crate) fn asset_url(&self, file_name: &str) -> String {
        format!("{}/releases/download/{}/{file_name}", self.manifest.package.repository, self.tag())
    }

    pub(crate) fn deb_file(&self, target: Target) -> String {
        format!("{}_{}_{}.deb", self.name(), self.full_version(), target.deb_arch())
    }

    pub(crate) fn rpm_file(&self, target: Target) -> String {
        format!("{}-{}.{}.rpm", self.name(), self.full_version(), target.cpu())
    }

    pub(crate) fn pacman_file(&self, target: Target) -> String {
        format!("{}-{}-{}.pkg.tar.zst", self.name(), self.full_version(), target.cpu())
    }

    /// The Flatpak, for one kind of computer.
    pub(crate) fn bundle_file(&self, target: Target) -> String {
        format!("{}-{}-{}.flatpak", self.name(), self.full_version(), target.cpu())
    }

    /// The bill of materials: of a target, as its crates and the binary's digest are.
    pub(crate) fn sbom_file(&self, target: Target) -> String {
        format!("{}.cdx.json", self.tarball_stem(target))
    }

    /// Top folder of the binary tarball, and its file name without `.tar.gz`.
    pub(crate) fn tarball_stem(&self, target: Target) -> String {
        format!("{}-{}-{}-linux-gnu", self.name(), self.full_version(), target.cpu())
    }

    /// Top folder of the source tarball, and its file name without `.tar.gz`.
    pub(crate) fn source_stem(&self) -> String {
        format!("{}-{}-src", self.name(), self.full_version())
    }
}

impl Target {
    pub(crate) const ALL: [Target; 2] = [Target::X86_64Gnu, Target::Aarch64Gnu];

    pub(crate) fn triple(self) -> &'static str {
        match self {
            Target::X86_64Gnu => "x86_64-unknown-linux-gnu",
            Target::Aarch64Gnu => "aarch64-unknown-linux-gnu",
        }
    }

    /// The architecture as RPM, Arch and `uname -m` name it.
    pub(crate) fn cpu(self) -> &'static str {
        match self {
            Target::X86_64Gnu => "x86_64",
            Target::Aarch64Gnu => "aarch64",
        }
    }

    /// The architecture as dpkg names it.
    pub(crate) fn deb_arch(self) -> &'static str {
        match self {
            Target::X86_64Gnu => "amd64",
            Target::Aarch64Gnu => "arm64",
        }
    }
}
