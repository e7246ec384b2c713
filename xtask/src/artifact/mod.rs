//! What the channels pack: the launcher for a target, and everything that is generated around it.

mod build;
pub(crate) mod crates;
pub(crate) mod elf;
mod pages;
pub(crate) mod release_toml;
pub(crate) mod texts;
pub(crate) mod third_party;

use std::path::PathBuf;

pub(crate) use build::build;
#[cfg(test)]
pub(crate) use texts::lintian_overrides;

/// A folder `generated` that `build:` sources of the manifest are looked for in:
/// `bin/mathesar` (stripped), `man/*.1`, `man/*.5`, `completions/{mathesar.bash,_mathesar,mathesar.fish}`,
/// `share/{release.toml,mathesar.desktop,<app-id>.metainfo.xml,lintian-overrides}`, `doc/{copyright,changelog,THIRD-PARTY.txt}`.
#[derive(Debug, Clone)]
pub(crate) struct Artifacts {
    pub generated: PathBuf,
    /// glibc that the binary needs, as `2.34`, read from its ELF version table.
    pub glibc: String,
    /// SHA-256 over everything in `generated` (paths and contents).
    pub digest: String,
}
