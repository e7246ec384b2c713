//! The Cargo.toml that cargo-deb reads. All of its paths are relative, so it says nothing about where it was made.

use anyhow::{Result, bail};
use serde::Serialize;

use super::description;
use crate::artifact::elf::Elf;
use crate::manifest::{Distribution, Installed, Kind, Level, Need, Package, Target};

/// Staged files, below the folder of the Cargo.toml.
pub(super) const ROOT: &str = "root";
/// The units of timers.
pub(super) const UNITS: &str = "units";
pub(super) const SCRIPTS: &str = "scripts";

#[derive(Debug, Serialize)]
pub(super) struct CargoToml {
    /// Empty: keeps cargo from looking for a workspace in the folders above.
    workspace: Workspace,
    package: CargoPackage,
    bin: [Bin; 1],
}

#[derive(Debug, Serialize)]
struct Workspace {}

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
struct Bin {
    name: String,
    path: &'static str,
}

#[derive(Debug, Serialize)]
struct Metadata {
    deb: Deb,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
struct Deb {
    name: String,
    revision: String,
    maintainer: String,
    copyright: String,
    section: String,
    priority: String,
    extended_description: String,
    depends: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    recommends: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    suggests: Vec<String>,
    maintainer_scripts: &'static str,
    conf_files: Vec<String>,
    systemd_units: Vec<SystemdUnit>,
    /// Source, destination, mode.
    assets: Vec<[String; 3]>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
struct SystemdUnit {
    unit_name: String,
    unit_scripts: String,
    enable: bool,
    start: bool,
    restart_after_upgrade: bool,
    stop_on_upgrade: bool,
}

/// Renders it; `program` is the launcher, `glibc` the version that it needs.
pub(super) fn manifest(
    package: &Package,
    files: &[Installed],
    program: &Elf,
    glibc: &str,
    target: Target,
) -> Result<CargoToml> {
    let identity = &package.manifest.package;
    let service = &package.manifest.service;
    if program.machine != target.cpu() {
        bail!("the launcher is built for {}, the package for {}", program.machine, target.cpu());
    }
    // cargo-deb counts bytes and would put the rest into the extended description.
    if identity.summary.len() > 79 {
        bail!("the summary has {} bytes in UTF-8; Debian's first line holds 79", identity.summary.len());
    }
    let Some(unit) = files
        .iter()
        .find(|file| file.kind == Kind::Unit && file.dest.ends_with(&format!("/{}", service.unit)))
    else {
        bail!("no file of kind `unit` installs {}", service.unit);
    };
    let (unit_folder, _) = unit.relative().rsplit_once('/').unwrap_or_default();
    let unit_name = service.unit.strip_suffix(".service").unwrap_or(&service.unit);
    let template = format!("/{unit_folder}/{unit_name}@.service");

    let mut depends = libraries(program, glibc)?;
    depends.extend(relations(package, Level::Requires));
    Ok(CargoToml {
        workspace: Workspace {},
        bin: [Bin { name: identity.name.clone(), path: "main.rs" }],
        package: CargoPackage {
            name: identity.name.clone(),
            version: identity.version.clone(),
            edition: "2024",
            description: identity.summary.clone(),
            license: identity.license.clone(),
            homepage: identity.homepage.clone(),
            metadata: Metadata {
                deb: Deb {
                    name: identity.name.clone(),
                    revision: identity.revision.to_string(),
                    maintainer: identity.maintainer.clone(),
                    copyright: identity.copyright.clone(),
                    section: package.manifest.deb.section.clone(),
                    priority: package.manifest.deb.priority.clone(),
                    extended_description: description::extended(&identity.description),
                    depends,
                    recommends: relations(package, Level::Recommends),
                    suggests: relations(package, Level::Suggests),
                    maintainer_scripts: SCRIPTS,
                    conf_files: files
                        .iter()
                        .filter(|file| file.kind == Kind::Config)
                        .map(|file| file.dest.clone())
                        .collect(),
                    systemd_units: units(package, unit_name, unit_folder, files),
                    // Units come by `systemd-units`, the service's template with it; named twice they would be a warning.
                    assets: files
                        .iter()
                        .filter(|file| {
                            file.dest != unit.dest && file.dest != template && !of_timer(files, file)
                        })
                        .map(|file| {
                            let to = file.relative();
                            [format!("{ROOT}/{to}"), to.to_owned(), format!("{:o}", file.mode)]
                        })
                        .collect(),
                },
            },
        },
    })
}

/// Whether this is a timer's unit or that of what it starts, and no template: these stand in a folder of their own. Where
/// others lie beside them, cargo-deb takes `mathesar@.service` for the template of every unit.
pub(super) fn of_timer(files: &[Installed], file: &Installed) -> bool {
    let Some((stem, "timer" | "service")) = file.dest.rsplit_once('.') else { return false };
    let timer = format!("{stem}.timer");
    file.kind == Kind::Unit && !stem.ends_with('@') && files.iter().any(|other| other.dest == timer)
}

/// The service as the manifest says, and each timer with what it starts: that one is its administrator's to switch on, and an
/// upgrade leaves it and a backup that runs alone. Removal stops both, a purge forgets that it was on.
fn units(package: &Package, unit_name: &str, folder: &str, files: &[Installed]) -> Vec<SystemdUnit> {
    let service = &package.manifest.service;
    let timer = |file: &Installed| SystemdUnit {
        unit_name: file.relative().rsplit('/').next().unwrap_or_default().replace(".timer", ""),
        unit_scripts: UNITS.to_owned(),
        enable: false,
        start: false,
        restart_after_upgrade: false,
        stop_on_upgrade: false,
    };
    let service = SystemdUnit {
        unit_name: unit_name.to_owned(),
        unit_scripts: format!("{ROOT}/{folder}"),
        enable: service.enable,
        start: service.start,
        restart_after_upgrade: service.restart,
        stop_on_upgrade: service.restart,
    };
    let timers = files.iter().filter(|file| file.dest.ends_with(".timer"));
    std::iter::once(service).chain(timers.filter(|file| of_timer(files, file)).map(timer)).collect()
}

/// `a | b` for each need.
fn relations(package: &Package, level: Level) -> Vec<String> {
    let needs = package.manifest.needs(&Distribution::DEB, level);
    needs.iter().map(|Need { names, .. }| names.join(" | ")).collect()
}

/// Packages for the libraries that the program is linked against. Not by dpkg-shlibdeps: that knows the building machine
/// only, and asks for the version which that one happens to have.
fn libraries(program: &Elf, glibc: &str) -> Result<Vec<String>> {
    let mut packages = vec![format!("libc6 (>= {glibc})")];
    for library in &program.needed {
        match library.as_str() {
            "libc.so.6" | "libm.so.6" | "libdl.so.2" | "libpthread.so.0" | "librt.so.1" => {}
            loader if loader.starts_with("ld-linux-") => {}
            "libgcc_s.so.1" => packages.push("libgcc-s1".into()),
            other => bail!("the launcher is linked against {other}, whose Debian package is not known here"),
        }
    }
    Ok(packages)
}
