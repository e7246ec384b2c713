//! The Cargo.toml that cargo-generate-rpm reads. All of its paths are relative, so it says nothing about where it was made.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Result, bail};
use serde::Serialize;

use crate::artifact::elf::Elf;
use crate::manifest::{Distribution, Installed, Kind, Level, Package, Target};
use crate::template::sh;

/// Staged files, below the folder of the Cargo.toml.
pub(super) const ROOT: &str = "root";

/// Name and what follows it: `*` for any version, `>= 3.10`.
type Relations = BTreeMap<String, String>;

#[derive(Debug, Serialize)]
pub(super) struct CargoToml {
    package: CargoPackage,
}

#[derive(Debug, Serialize)]
struct CargoPackage {
    name: String,
    version: String,
    edition: &'static str,
    description: String,
    license: String,
    homepage: String,
    metadata: Metadata,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
struct Metadata {
    generate_rpm: GenerateRpm,
}

/// Its keys are written in two ways: `auto-req`, but `pre_install_script`.
#[derive(Debug, Serialize)]
struct GenerateRpm {
    release: String,
    summary: String,
    vendor: String,
    #[serde(flatten)]
    scripts: Scripts,
    assets: Vec<Asset>,
    requires: Relations,
    #[serde(skip_serializing_if = "Relations::is_empty")]
    recommends: Relations,
    #[serde(skip_serializing_if = "Relations::is_empty")]
    suggests: Relations,
}

/// The scriptlets' texts.
#[derive(Debug, Clone, Default, Serialize)]
pub(super) struct Scripts {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pre_install_script: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub post_install_script: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pre_uninstall_script: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub post_uninstall_script: Option<String>,
}

#[derive(Debug, Serialize)]
struct Asset {
    source: String,
    dest: String,
    mode: String,
    user: String,
    group: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    config: Option<&'static str>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    doc: bool,
}

/// Renders it; `program` is the launcher, `glibc` the version that it needs.
pub(super) fn manifest(
    package: &Package,
    files: &[Installed],
    program: &Elf,
    glibc: &str,
    target: Target,
    scripts: &Scripts,
) -> Result<CargoToml> {
    let identity = &package.manifest.package;
    if program.machine != target.cpu() {
        bail!("the launcher is built for {}, the package for {}", program.machine, target.cpu());
    }
    let mut requires = relations(package, Level::Requires);
    requires.extend(libraries(program, glibc));
    Ok(CargoToml {
        package: CargoPackage {
            name: identity.name.clone(),
            version: identity.version.clone(),
            edition: "2024",
            description: identity.summary.clone(),
            license: identity.license.clone(),
            homepage: identity.homepage.clone(),
            metadata: Metadata {
                generate_rpm: GenerateRpm {
                    release: identity.revision.to_string(),
                    summary: capitalised(&identity.summary),
                    vendor: package.manifest.rpm.vendor.clone(),
                    scripts: Scripts {
                        post_uninstall_script: Some(with_removal(
                            scripts.post_uninstall_script.as_deref().unwrap_or_default(),
                            &own_directories(package, files),
                        )),
                        ..scripts.clone()
                    },
                    assets: files.iter().map(asset).collect(),
                    requires,
                    recommends: relations(package, Level::Recommends),
                    suggests: relations(package, Level::Suggests),
                },
            },
        },
    })
}

/// Fedora and RHEL compress manual pages with gzip, and cargo-generate-rpm compresses nothing.
pub(super) fn is_compressed(file: &Installed) -> bool {
    file.kind == Kind::Man && !file.dest.ends_with(".gz")
}

/// Where the package puts it.
pub(super) fn destination(file: &Installed) -> String {
    if is_compressed(file) { format!("{}.gz", file.dest) } else { file.dest.clone() }
}

/// Debian wants a summary's first letter small, Fedora and openSUSE want it large.
fn capitalised(summary: &str) -> String {
    let mut rest = summary.chars();
    rest.next().map(|first| first.to_uppercase().chain(rest).collect()).unwrap_or_default()
}

/// Directories that nothing but this package fills: those of its own name and what is below them, the deepest first.
fn own_directories(package: &Package, files: &[Installed]) -> Vec<String> {
    let mut found = BTreeSet::new();
    for file in files {
        let folders = || Path::new(&file.dest).ancestors().skip(1);
        if let Some(own) = folders().filter(|folder| folder.ends_with(package.name())).last() {
            found.extend(folders().take_while(|folder| folder.starts_with(own)));
        }
    }
    found.iter().rev().map(|folder| folder.to_string_lossy().into_owned()).collect()
}

/// cargo-generate-rpm 0.21.1 fails on a directory, so rpm does not know that these are ours, and would leave them.
fn with_removal(script: &str, directories: &[String]) -> String {
    if directories.is_empty() {
        return script.to_owned();
    }
    let words: Vec<_> = directories.iter().map(|directory| sh(directory)).collect();
    format!("{script}if [ \"$1\" -eq 0 ]; then\n    rmdir {} 2>/dev/null || :\nfi\n", words.join(" "))
}

fn asset(file: &Installed) -> Asset {
    let dest = destination(file);
    Asset {
        source: format!("{ROOT}{dest}"),
        dest,
        mode: format!("{:04o}", file.mode),
        user: file.owner.clone(),
        group: file.group.clone(),
        config: (file.kind == Kind::Config).then_some("noreplace"),
        doc: matches!(file.kind, Kind::Man | Kind::Doc),
    }
}

fn relations(package: &Package, level: Level) -> Relations {
    let mut relations = Relations::new();
    for need in package.manifest.needs(&Distribution::RPM, level) {
        let (name, version) = match need.names.as_slice() {
            [one] => one.split_once(' ').unwrap_or((one, "*")),
            several => {
                relations.insert(format!("({})", several.join(" or ")), "*".into());
                continue;
            }
        };
        relations.insert(name.to_owned(), version.trim().to_owned());
    }
    relations
}

/// What rpm's own generator would find in the program, without a tool of the machine that builds.
fn libraries(program: &Elf, glibc: &str) -> Relations {
    let any = || "*".to_owned();
    let mut relations = Relations::from([(format!("libc.so.6(GLIBC_{glibc})(64bit)"), any())]);
    for library in program.needed.iter().filter(|library| *library != "libc.so.6") {
        relations.insert(format!("{library}()(64bit)"), any());
    }
    relations
}
