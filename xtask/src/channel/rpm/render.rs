//! The Cargo.toml that cargo-generate-rpm reads. All of its paths are relative, so it says nothing about where it was made.

use std::collections::BTreeMap;

use anyhow::{Result, bail};
use serde::Serialize;

use crate::artifact::elf::Elf;
use crate::manifest::{Distribution, Installed, Kind, Level, Package, Target};

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
#[derive(Debug, Default, Serialize)]
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
    if requires.keys().any(|name| name.starts_with('(')) {
        // As rpmbuild does: an rpm that does not know the form says so instead of looking for a package of that name.
        requires.insert("rpmlib(RichDependencies)".into(), "<= 4.12.0-1".into());
    }
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
                    summary: identity.summary.clone(),
                    vendor: package.manifest.rpm.vendor.clone(),
                    scripts: Scripts {
                        pre_install_script: scripts.pre_install_script.clone(),
                        post_install_script: scripts.post_install_script.clone(),
                        pre_uninstall_script: scripts.pre_uninstall_script.clone(),
                        post_uninstall_script: scripts.post_uninstall_script.clone(),
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
