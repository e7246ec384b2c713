//! The page that people see at the repositories' address: for each system one block to copy.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use serde::Serialize;

use super::folder::{files, replace};
use super::{Facts, Site, names};
use crate::template;

const FILE: &str = "index.html";

#[derive(Serialize)]
struct Page<'a> {
    name: &'a str,
    url: &'a str,
    version: String,
    fingerprint: &'a str,
    blocks: Vec<Block>,
}

#[derive(Serialize)]
struct Block {
    id: &'static str,
    title: &'static str,
    /// What the browser says of such a system, each word enough.
    agents: &'static str,
    lines: String,
}

pub(super) fn write(site: &Site<'_>, dir: &Path) -> Result<()> {
    let newest = versions(site, dir)?.pop().unwrap_or_default();
    replace(&dir.join(FILE), text(site, dir, newest)?)
}

/// Nothing signs it, and people copy from it what root runs.
pub(super) fn check(site: &Site<'_>, dir: &Path) -> Result<()> {
    let path = dir.join(FILE);
    let found = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    // It comes last: a run that was interrupted leaves the one before, of an older version.
    for version in versions(site, dir)?.into_iter().rev().chain([String::new()]) {
        if text(site, dir, version)? == found {
            return Ok(());
        }
    }
    bail!("{} holds something else than was made", path.display())
}

fn text(site: &Site<'_>, dir: &Path, version: String) -> Result<String> {
    let tap = Facts::read(dir)?.and_then(|facts| facts.tap);
    let there = |kind: &str| dir.join(kind).is_dir();
    let keys: Vec<String> = site.published()?.into_iter().map(|key| key.fingerprint).collect();
    let page = Page {
        name: site.name,
        url: site.url,
        version,
        fingerprint: &site.key.fingerprint,
        blocks: blocks(site.name, site.url, &keys, there, tap.as_deref()),
    };
    let path = "xtask/src/repo/page/index.html.hbs";
    template::render(path, include_str!("page/index.html.hbs"), &page)
}

/// Of the package itself, whichever package manager has it, the newest last.
fn versions(site: &Site<'_>, dir: &Path) -> Result<Vec<String>> {
    let mut versions: Vec<String> = files(dir)?
        .iter()
        .filter_map(|path| names::parse(path.file_name()?.to_str()?))
        .filter(|named| named.name == site.name && !site.is_withdrawn(named))
        .map(|named| named.version)
        .collect();
    versions.sort_by(|a, b| names::compare(a, b));
    versions.dedup();
    Ok(versions)
}

fn blocks(
    name: &str,
    url: &str,
    keys: &[String],
    there: impl Fn(&str) -> bool,
    tap: Option<&str>,
) -> Vec<Block> {
    let mut blocks = Vec::new();
    if there("apt") {
        blocks.push(Block {
            id: "apt",
            title: "Debian, Ubuntu and what is made of them",
            agents: "debian ubuntu mint linux",
            lines: format!(
                "sudo curl -fsSLo /usr/share/keyrings/{name}-archive-keyring.asc {url}/apt/{name}.asc\n\
                 sudo curl -fsSLo /etc/apt/sources.list.d/{name}.sources {url}/apt/{name}.sources\n\
                 sudo apt update\nsudo apt install {name} {name}-archive-keyring"
            ),
        });
    }
    if there("dnf") {
        blocks.push(Block {
            id: "dnf",
            title: "Fedora, RHEL and its rebuilds",
            agents: "fedora red centos alma rocky",
            lines: format!(
                "sudo curl -fsSLo /etc/yum.repos.d/{name}.repo {url}/dnf/{name}.repo\nsudo dnf install {name}"
            ),
        });
    }
    if there("pacman") {
        let trust: String = keys.iter().map(|key| format!("sudo pacman-key --lsign-key {key}\n")).collect();
        blocks.push(Block {
            id: "pacman",
            title: "Arch Linux",
            agents: "arch manjaro",
            lines: format!(
                "curl -fsSL {url}/pacman/{name}.asc | sudo pacman-key --add -\n{trust}\
                 curl -fsSL {url}/pacman/{name}.conf | sudo tee -a /etc/pacman.conf\nsudo pacman -Sy {name}"
            ),
        });
    }
    if there("flatpak") {
        blocks.push(Block {
            id: "flatpak",
            title: "Any desktop with Flatpak",
            // No browser tells of it.
            agents: "flatpak",
            lines: format!("flatpak install --user {url}/flatpak/{name}.flatpakref"),
        });
    }
    if let Some(tap) = tap {
        blocks.push(Block {
            id: "brew",
            title: "macOS, and Linux with Homebrew",
            agents: "mac",
            lines: format!("brew install {tap}/{name}\nbrew services start {tap}/{name}"),
        });
    }
    blocks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_for_each_system_that_has_one() {
        let of = |there: &[&str], tap| -> Vec<&str> {
            blocks("mathesar", "https://p.example", &["AB12".into()], |kind| there.contains(&kind), tap)
                .iter()
                .map(|block| block.id)
                .collect()
        };
        assert_eq!(of(&["apt", "pacman"], None), ["apt", "pacman"]);
        assert_eq!(of(&["dnf"], Some("a/b")), ["dnf", "brew"]);
    }

    #[test]
    fn the_page_renders() {
        let url = "https://packages.example.org";
        let page = Page {
            name: "mathesar",
            url,
            version: "0.12.0-1".into(),
            fingerprint: "0123456789ABCDEF0123456789ABCDEF01234567",
            blocks: blocks(
                "mathesar",
                url,
                &["0123456789ABCDEF0123456789ABCDEF01234567".into()],
                |_| true,
                Some("a/b"),
            ),
        };
        let path = "xtask/src/repo/page/index.html.hbs";
        let text = template::render(path, include_str!("page/index.html.hbs"), &page).unwrap();
        insta::assert_snapshot!(text);
        // Nothing is fetched from anywhere else.
        assert_eq!(text.matches("src=").count(), 0);
    }
}
