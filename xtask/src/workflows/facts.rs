//! What the templates of the workflows are told: facts of the manifest, and which actions are used at which commits.

use anyhow::{Context as _, Result, bail};
use serde::Serialize;

use crate::manifest::{Manifest, Outlet, Target};
use crate::tools::{Family, PROGRAMS, packages};

#[derive(Serialize)]
pub(super) struct Facts {
    actions: Actions,
    /// One job each, one after the other: what `dist/` holds of the targets before, `cargo xtask dist` keeps.
    builds: Vec<Build>,
    /// The last of them, whose dist/ has everything.
    last: Build,
    /// Where it says "Linux" and no more.
    image: &'static str,
    package: String,
    /// Debian's packages for each kind of work, in one line.
    to_build: String,
    to_bundle: String,
    to_verify: String,
    to_publish: String,
    /// Where the repositories are served, without a slash at the end.
    site: String,
    /// Who owns the tap and the repositories.
    owner: String,
    /// The names of their git repositories.
    site_repository: String,
    tap_repository: String,
    /// By https: readable by everybody, writable with a token that is made for one run.
    tap: String,
    aur: String,
    aur_takes: bool,
    /// `owner/name` of Mathesar itself.
    upstream: String,
}

#[derive(Clone, Serialize)]
struct Build {
    id: String,
    cpu: &'static str,
    /// Debian's name of it.
    deb: &'static str,
    image: &'static str,
    after: Option<String>,
    last: bool,
}

/// An action at one commit, and the tag that names it.
#[derive(Serialize)]
struct Action {
    uses: &'static str,
    tag: &'static str,
}

#[derive(Serialize)]
struct Actions {
    checkout: Action,
    upload: Action,
    download: Action,
    attest: Action,
    app_token: Action,
}

/// Of each the commit that its tag names in its own repository.
const ACTIONS: Actions = Actions {
    checkout: Action { uses: "actions/checkout@3d3c42e5aac5ba805825da76410c181273ba90b1", tag: "v7.0.1" },
    upload: Action {
        uses: "actions/upload-artifact@bbbca2ddaa5d8feaa63e36b76fdaad77386f024f",
        tag: "v7.0.0",
    },
    download: Action {
        uses: "actions/download-artifact@3e5f45b2cfb9172054b4087a40e8e0b5a5461e7c",
        tag: "v8.0.1",
    },
    attest: Action { uses: "actions/attest@1e69f48acb82d1966a394da916b4c1698aa569d6", tag: "v4.2.2" },
    app_token: Action {
        uses: "actions/create-github-app-token@1b10c78c7865c340bc4f6099eb2f838309f1e8c3",
        tag: "v3.1.1",
    },
};

const TO_BUILD: &[&str] = &["makepkg", "bsdtar", "fakeroot", "zstd", "xz"];
const TO_BUNDLE: &[&str] = &["flatpak", "flatpak-builder"];
const TO_VERIFY: &[&str] = &["systemd-nspawn", "mmdebstrap", "dpkg-deb", "rpm"];
/// Indices and signatures; no compiler.
const TO_PUBLISH: &[&str] =
    &["apt-ftparchive", "createrepo_c", "rpmsign", "gpg", "pacman", "bsdtar", "zstd", "flatpak", "ostree"];

impl Facts {
    pub(super) fn of(manifest: &Manifest) -> Result<Facts> {
        let builds = builds(&manifest.package.targets);
        let last = builds.last().context("`package.targets` is empty")?.clone();
        let site = &manifest.release.repositories;
        let (owner, site_repository) = pages(site).with_context(|| {
            format!("{site} is not at GitHub Pages, where release.yml could publish\nhelp: `release.repositories` is to be https://OWNER.github.io/NAME")
        })?;
        let (tap_owner, tap) =
            manifest.homebrew.tap.split_once('/').context("`homebrew.tap` is no OWNER/NAME")?;
        if tap_owner != owner {
            bail!(
                "the tap is {tap_owner}'s and the repositories are {owner}'s, and release.yml asks for one token for both\nhelp: `homebrew.tap` and `release.repositories` are to have one owner"
            );
        }
        let upstream = upstream(&manifest.app.url)
            .with_context(|| format!("{} is not of a release at GitHub", manifest.app.url))?;
        let to_verify = [TO_BUILD, TO_PUBLISH, TO_VERIFY].concat();
        Ok(Facts {
            actions: ACTIONS,
            image: image(Target::X86_64Gnu),
            builds,
            last,
            package: manifest.package.name.clone(),
            to_build: debian(TO_BUILD),
            // What flatpak-builder only recommends: `strip` of debug information, and what appstreamcli reads the icon with.
            to_bundle: format!("{} elfutils appstream librsvg2-common", debian(TO_BUNDLE)),
            // Ubuntu has its own archive's keys alone.
            to_verify: format!("{} debian-archive-keyring", debian(&to_verify)),
            to_publish: debian(TO_PUBLISH),
            site: site.clone(),
            tap_repository: format!("homebrew-{tap}"),
            tap: format!("https://github.com/{owner}/homebrew-{tap}.git"),
            owner,
            site_repository,
            aur: format!("https://aur.archlinux.org/{}.git", manifest.arch.aur_name),
            aur_takes: !manifest.release.paused.contains_key(&Outlet::Aur),
            upstream,
        })
    }
}

/// The native one: nothing is compiled for another processor.
fn image(target: Target) -> &'static str {
    match target {
        Target::X86_64Gnu => "ubuntu-24.04",
        Target::Aarch64Gnu => "ubuntu-24.04-arm",
    }
}

/// x86_64 last: dist/ has one PKGBUILD, which is of the target that was built last.
fn builds(targets: &[Target]) -> Vec<Build> {
    let mut targets = targets.to_vec();
    targets.sort_by_key(|target| *target == Target::X86_64Gnu);
    let mut builds: Vec<Build> = Vec::new();
    for (number, target) in targets.iter().enumerate() {
        builds.push(Build {
            id: format!("build-{}", target.cpu()),
            cpu: target.cpu(),
            deb: target.deb_arch(),
            image: image(*target),
            after: builds.last().map(|before| before.id.clone()),
            last: number + 1 == targets.len(),
        });
    }
    builds
}

fn debian(names: &[&str]) -> String {
    let programs = PROGRAMS.iter().filter(|program| names.contains(&program.name));
    packages(programs, Family::Debian).join(" ")
}

/// Owner and name of the repository behind an address of GitHub Pages.
fn pages(url: &str) -> Option<(String, String)> {
    let (owner, name) = url.strip_prefix("https://")?.trim_end_matches('/').split_once(".github.io/")?;
    (!name.contains('/')).then(|| (owner.to_owned(), name.to_owned()))
}

fn upstream(url: &str) -> Option<String> {
    let (repository, _) = url.strip_prefix("https://github.com/")?.split_once("/releases/download/")?;
    (repository.split('/').count() == 2).then(|| repository.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        assert_eq!(pages("https://a.github.io/b"), Some(("a".into(), "b".into())));
        assert_eq!(pages("https://a.github.io/b/c"), None);
        assert_eq!(pages("https://example.org/b"), None);
        assert_eq!(upstream("https://github.com/a/b/releases/download/1/c").as_deref(), Some("a/b"));
        assert_eq!(upstream("https://example.org/a/b/releases/download/1/c"), None);
    }

    #[test]
    fn every_program_that_a_job_installs_is_known() {
        for name in [TO_BUILD, TO_BUNDLE, TO_VERIFY, TO_PUBLISH].concat() {
            assert!(PROGRAMS.iter().any(|program| program.name == name), "{name}");
        }
    }

    #[test]
    fn each_target_is_built_after_the_one_before() {
        let builds = builds(&[Target::X86_64Gnu, Target::Aarch64Gnu]);
        let told: Vec<_> =
            builds.iter().map(|one| (one.id.as_str(), one.after.as_deref(), one.last)).collect();
        assert_eq!(told, [("build-aarch64", None, false), ("build-x86_64", Some("build-aarch64"), true)]);
    }

    #[test]
    fn what_cannot_be_published_by_the_workflow_is_refused() {
        let text = include_str!("../testdata/mathesar.toml");
        let says = |from: &str, to: &str| {
            let manifest = crate::pin::parse(&text.replace(from, to)).unwrap();
            Facts::of(&manifest).err().unwrap().to_string()
        };
        let elsewhere =
            says("https://mathesar-everywhere.github.io/packages", "https://example.org/packages");
        assert!(elsewhere.contains("help: `release.repositories`"), "{elsewhere}");
        let others = says("tap = \"mathesar-everywhere/mathesar\"", "tap = \"others/mathesar\"");
        assert!(others.starts_with("the tap is others's"), "{others}");
    }
}
