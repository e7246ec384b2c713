//! The manifest's types. Every doc comment here is also the text that an editor shows, by way of
//! `packaging/mathesar.schema.json`. An `x-check` names the rule in `check` that the value has to pass.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::publishing::{Homebrew, Publishing};

/// Everything that the packages of Mathesar's launcher say about themselves.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct Manifest {
    /// Who and what the package is.
    pub package: Identity,
    /// The release of Mathesar that the packages install.
    pub app: App,
    /// The service that the packages set up.
    pub service: Service,
    /// What is installed, and where.
    pub file: Vec<FileEntry>,
    /// What the package needs, by a name of our own, and what each distribution calls it.
    pub dependency: BTreeMap<String, Dependency>,
    /// What only Debian packages need.
    pub deb: Deb,
    /// What only RPM packages need.
    pub rpm: Rpm,
    /// What only Arch packages need (the AUR's and the one in our own pacman repository).
    pub arch: Arch,
    /// What only the Flatpak needs.
    pub flatpak: Flatpak,
    /// What only the Homebrew formula needs.
    pub homebrew: Homebrew,
    /// Where it is published, and what is known of each place.
    pub release: Publishing,
}

/// Identity of the package.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct Identity {
    /// Package name, valid for Debian (Policy 5.6.1) and RPM alike: lower-case letters, digits, `+`, `-`, `.`.
    #[schemars(extend("x-check" = "package-name"))]
    pub name: String,
    /// Name as people read it.
    #[schemars(extend("x-check" = "line"))]
    pub display_name: String,
    /// Version of Mathesar that is shipped: digits and dots, as `0.12.0`. The Cargo workspace has the same.
    #[schemars(extend("x-check" = "version"))]
    pub version: String,
    /// Packaging revision, from 1: raised when the package changes and Mathesar does not.
    #[schemars(extend("x-check" = "revision"))]
    pub revision: u32,
    /// One line, under 80 characters, no article at its start and no full stop at its end.
    #[schemars(extend("x-check" = "summary"))]
    pub summary: String,
    /// Paragraphs parted by an empty line; lines that begin with `- ` are list items.
    #[schemars(extend("x-check" = "description"))]
    pub description: String,
    /// Licence of the launcher as an SPDX expression.
    #[schemars(extend("x-check" = "spdx"))]
    pub license: String,
    /// Copyright line of the launcher, without the word.
    #[schemars(extend("x-check" = "line"))]
    pub copyright: String,
    /// Mathesar's own site.
    #[schemars(extend("x-check" = "https-url"))]
    pub homepage: String,
    /// This repository; release assets are looked for below `<repository>/releases/download/v<version>-<revision>/`.
    #[schemars(extend("x-check" = "https-url"))]
    pub repository: String,
    /// `Name <address>`.
    #[schemars(extend("x-check" = "maintainer"))]
    pub maintainer: String,
    /// Categories of the freedesktop.org menu specification, the main one first.
    #[schemars(extend("x-check-items" = "category"))]
    pub categories: Vec<String>,
    /// Words that people search for.
    #[serde(default)]
    #[schemars(extend("x-check-items" = "keyword"))]
    pub keywords: Vec<String>,
    /// What the launcher is built for.
    #[schemars(extend("x-check-items" = "target"))]
    pub targets: Vec<Target>,
    /// Highest version of glibc that the binary may need, as `2.34`: the oldest supported distribution's.
    #[schemars(extend("x-check" = "glibc"))]
    pub glibc: String,
    /// Markdown changelog; its newest entry is `## <version>-<revision> (<yyyy-mm-dd>)`.
    #[schemars(extend("x-check" = "source"))]
    pub changelog: String,
}

/// What the launcher is built for: a Rust target triple.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize, JsonSchema)]
pub(crate) enum Target {
    #[serde(rename = "x86_64-unknown-linux-gnu")]
    X86_64Gnu,
    #[serde(rename = "aarch64-unknown-linux-gnu")]
    Aarch64Gnu,
}

/// The pinned release of Mathesar (`cargo xtask pin` writes it).
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct App {
    /// Version of the release, equal to `package.version`.
    #[schemars(extend("x-check" = "version"))]
    pub version: String,
    /// Where the release tarball is.
    #[schemars(extend("x-check" = "https-url"))]
    pub url: String,
    /// SHA-256 of the tarball, 64 lower-case hexadecimal digits.
    #[schemars(extend("x-check" = "sha256"))]
    pub sha256: String,
    /// Size of the tarball in bytes, once it has been read.
    pub size: Option<u64>,
    /// Supported versions of Python.
    pub python: PythonRange,
    /// Supported major versions of PostgreSQL.
    pub postgresql: PostgresRange,
}

/// Supported versions of Python, as `3.12`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct PythonRange {
    /// Oldest supported.
    #[schemars(extend("x-check" = "minor-version"))]
    pub min: String,
    /// Newest supported.
    #[schemars(extend("x-check" = "minor-version"))]
    pub max: String,
    /// Tried first, in this order: those for which every wheel exists.
    #[serde(default)]
    #[schemars(extend("x-check-items" = "minor-version"))]
    pub prefer: Vec<String>,
}

/// Supported major versions of PostgreSQL.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct PostgresRange {
    /// Oldest supported.
    pub min: u32,
    /// Newest supported.
    pub max: u32,
}

/// The service, its user and its directories. The unit, sysusers and tmpfiles files are installed by `[[file]]` entries.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct Service {
    /// Name of the systemd unit, as `mathesar.service`; a `[[file]]` of kind `unit` has to install it.
    #[schemars(extend("x-check" = "unit-name"))]
    pub unit: String,
    /// The operating-system user that it runs as.
    #[schemars(extend("x-check" = "user"))]
    pub user: String,
    /// That user's group.
    #[schemars(extend("x-check" = "user"))]
    pub group: String,
    /// That user's home.
    #[schemars(extend("x-check" = "absolute"))]
    pub home: String,
    /// Debian: enable at first install, as Debian's custom is, unless the administrator or a preset said no. RPM and
    /// Arch always follow the presets.
    pub enable: bool,
    /// Debian: start at first install (by deb-systemd-invoke, so policy-rc.d is obeyed).
    pub start: bool,
    /// Restart after an upgrade.
    pub restart: bool,
}

/// Something that is installed.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct FileEntry {
    /// A path below the repository's root, or `build:` and a generated one (`build:bin/mathesar`); `*` in its name.
    #[schemars(extend("x-check" = "file-source"))]
    pub source: String,
    /// Absolute path; one that ends in `/` is a directory that keeps the source's name.
    #[schemars(extend("x-check" = "absolute"))]
    pub dest: String,
    /// What it is; decides what each package manager is told of it.
    pub kind: Kind,
    /// Permissions, octal, in quotes: `"0644"`. Default: 0755 for a binary, 0644 else.
    #[schemars(extend("x-check" = "mode"))]
    pub mode: Option<String>,
    /// Owner; default root. A .deb can say root only: there tmpfiles.d sets it.
    #[schemars(extend("x-check" = "user"))]
    pub owner: Option<String>,
    /// Group; default root.
    #[schemars(extend("x-check" = "user"))]
    pub group: Option<String>,
    /// Only in these channels; default: all that install files.
    pub channels: Option<Vec<FileChannel>>,
}

/// What a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Kind {
    /// A program; stripped, 0755.
    Binary,
    /// A conffile / `%config(noreplace)` / `backup=`: below /etc, and the administrator's once installed.
    Config,
    /// A systemd unit.
    Unit,
    /// sysusers.d (sysusers.d(5)).
    Sysusers,
    /// tmpfiles.d (tmpfiles.d(5)).
    Tmpfiles,
    /// A manual page, not compressed; the channels compress it.
    Man,
    /// A shell completion.
    Completion,
    /// A desktop entry.
    Desktop,
    /// AppStream metainfo.
    Metainfo,
    /// An icon of the icon theme specification.
    Icon,
    /// Documentation.
    Doc,
    /// The text of a licence, or Debian's copyright file.
    License,
    /// Anything else that the program reads.
    Data,
}

/// A channel that installs files by their list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum FileChannel {
    /// The Debian package.
    Deb,
    /// The RPM package.
    Rpm,
    /// The binary tarball, of which the Arch packages are made.
    Tarball,
}

/// Something that the package needs, by a name of our own.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct Dependency {
    /// How strongly.
    pub level: Level,
    /// Why; stands in the documentation and, where the format allows, beside the name.
    #[schemars(extend("x-check" = "line"))]
    pub why: String,
    /// What each distribution calls it.
    pub names: BTreeMap<Distribution, Names>,
}

/// How strongly something is needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Level {
    /// Nothing works without it.
    Requires,
    /// Installed by default where the package manager knows the idea.
    Recommends,
    /// Mentioned.
    Suggests,
}

/// A distribution, with its release where the names differ by release.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize, JsonSchema)]
pub(crate) enum Distribution {
    /// Debian 12, bookworm.
    #[serde(rename = "debian-12")]
    Debian12,
    /// Debian 13, trixie.
    #[serde(rename = "debian-13")]
    Debian13,
    /// Ubuntu 22.04, jammy.
    #[serde(rename = "ubuntu-22.04")]
    Ubuntu2204,
    /// Ubuntu 24.04, noble.
    #[serde(rename = "ubuntu-24.04")]
    Ubuntu2404,
    /// Ubuntu 26.04, resolute.
    #[serde(rename = "ubuntu-26.04")]
    Ubuntu2604,
    /// Fedora 42 and later.
    #[serde(rename = "fedora")]
    Fedora,
    /// RHEL 9 and its rebuilds.
    #[serde(rename = "rhel-9")]
    Rhel9,
    /// RHEL 10 and its rebuilds.
    #[serde(rename = "rhel-10")]
    Rhel10,
    /// openSUSE Leap 16 and Tumbleweed.
    #[serde(rename = "opensuse")]
    OpenSuse,
    /// Arch Linux.
    #[serde(rename = "arch")]
    Arch,
    /// Homebrew, on macOS and Linux.
    #[serde(rename = "homebrew")]
    Homebrew,
}

/// What one distribution calls a dependency.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(crate) enum Names {
    /// One package, in the distribution's own syntax: `python3 (>= 3.10)`, `python3 >= 3.10`, `python>=3.10`.
    One(String),
    /// Any of these, the preferred one first.
    AnyOf(Vec<String>),
    /// None, and why.
    None(NoName),
}

/// Why a distribution needs no package for a dependency.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct NoName {
    /// The reason.
    #[schemars(extend("x-check" = "line"))]
    pub none: String,
}

/// What only Debian packages need.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct Deb {
    /// Section (Policy 2.4).
    #[schemars(extend("x-check" = "deb-section"))]
    pub section: String,
    /// Priority (Policy 2.5).
    #[schemars(extend("x-check" = "deb-priority"))]
    pub priority: String,
    /// Folder with the maintainer scripts `postinst`, `prerm`, `postrm`, each with `#DEBHELPER#`.
    #[schemars(extend("x-check" = "source"))]
    pub scripts: String,
}

/// What only RPM packages need.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct Rpm {
    /// Vendor tag.
    #[schemars(extend("x-check" = "line"))]
    pub vendor: String,
    /// Folder with the scriptlets `pre`, `post`, `preun`, `postun` (those that are there), as `NAME.sh`.
    #[schemars(extend("x-check" = "source"))]
    pub scripts: String,
}

/// What only Arch packages need.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct Arch {
    /// Name in the AUR; it ends in `-bin`, as the package is made from a binary tarball.
    #[schemars(extend("x-check" = "package-name"))]
    pub aur_name: String,
}

/// What only the Flatpak needs.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct Flatpak {
    /// Application id, a reversed domain name that the publisher controls.
    #[schemars(extend("x-check" = "app-id"))]
    pub app_id: String,
    /// Version of the freedesktop.org runtime, as `25.08`.
    #[schemars(extend("x-check" = "runtime-version"))]
    pub runtime_version: String,
    /// Permissions (flatpak-build-finish(1)).
    #[schemars(extend("x-check-items" = "finish-arg"))]
    pub finish_args: Vec<String>,
    /// PostgreSQL, built from source.
    pub postgresql: SourceArchive,
}

/// A source archive by address and digest.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct SourceArchive {
    /// Version.
    #[schemars(extend("x-check" = "version"))]
    pub version: String,
    /// Address.
    #[schemars(extend("x-check" = "https-url"))]
    pub url: String,
    /// SHA-256, 64 lower-case hexadecimal digits.
    #[schemars(extend("x-check" = "sha256"))]
    pub sha256: String,
}
