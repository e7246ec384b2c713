//! What the repositories serve, read over the network as a package manager does it, by way of the one file that names the rest.

use std::collections::BTreeSet;
use std::io::Read as _;

use anyhow::{Context as _, Result};
use flate2::read::GzDecoder;
use jiff::Timestamp;

use super::apt::release::{Release, parse as parse_release};
use super::apt::stanza;
use super::flatpak::State;
use super::names;
use crate::digest;

/// What is at an address below the repositories'; nothing: not there.
pub(crate) type Get<'a> = &'a dyn Fn(&str) -> Result<Option<Vec<u8>>>;

/// The files that the indices name, by their names alone.
pub(crate) fn indexed(get: Get<'_>, name: &str) -> Result<BTreeSet<String>> {
    let mut all = BTreeSet::new();
    all.extend(apt(get).context("cannot read the repository for apt")?);
    all.extend(dnf(get).context("cannot read the repository for dnf")?);
    for architecture in ["x86_64", "aarch64"] {
        all.extend(pacman(get, name, architecture).context("cannot read the repository for pacman")?);
    }
    all.extend(flatpak(get).context("cannot read the repository for Flatpak")?);
    Ok(all)
}

/// The newest version of the package of this name.
pub(crate) fn newest(indexed: &BTreeSet<String>, name: &str) -> Option<String> {
    let named = indexed.iter().filter_map(|file| names::parse(file)).filter(|one| one.name == name);
    named.map(|one| one.version).max_by(|a, b| names::compare(a, b))
}

/// The versions that these repositories never name again.
pub(crate) fn withdrawn(get: Get<'_>) -> Result<BTreeSet<String>> {
    let Some(facts) = get(super::folder::FACTS)? else { return Ok(BTreeSet::new()) };
    let facts: super::Facts = serde_json::from_slice(&facts)
        .with_context(|| format!("cannot understand {}", super::folder::FACTS))?;
    Ok(facts.withdrawn)
}

/// Whether this is a file of this version of the package.
pub(crate) fn is_of(file: &str, name: &str, version: &str) -> bool {
    names::parse(file).is_some_and(|one| one.name == name && one.version == version)
}

/// Whether one version comes after another, as package managers see it.
pub(crate) fn is_newer(one: &str, other: &str) -> bool {
    names::compare(one, other).is_gt()
}

/// Below the repositories' address.
pub(crate) fn place(name: &str, file: &str) -> Option<String> {
    let named = names::parse(file)?;
    match file.rsplit('.').next()? {
        "deb" => Some(format!("apt/pool/main/{name}/{file}")),
        "rpm" => Some(format!("dnf/Packages/{file}")),
        "flatpak" => Some(format!("flatpak/bundles/{file}")),
        _ if named.architecture == "any" => None,
        _ => Some(format!("pacman/{}/{file}", named.architecture)),
    }
}

/// The digest of what is installed from a file: of an rpm all but its first two parts, as signing it changes these.
pub(crate) fn content(file: &str, bytes: &[u8]) -> Result<String> {
    if !file.ends_with(".rpm") {
        return Ok(digest::bytes(bytes));
    }
    let start = unsigned(bytes).with_context(|| format!("{file} is no rpm"))?;
    Ok(digest::bytes(bytes.get(start..).with_context(|| format!("{file} is cut"))?))
}

/// Where the header begins: behind the lead of 96 bytes and the signature, a header of its own that is filled up to 8 bytes.
fn unsigned(bytes: &[u8]) -> Option<usize> {
    const LEAD: usize = 96;
    (bytes.get(..4)? == [0xed, 0xab, 0xee, 0xdb]).then_some(())?;
    (bytes.get(LEAD..LEAD + 3)? == [0x8e, 0xad, 0xe8]).then_some(())?;
    let number = |at: usize| Some(u32::from_be_bytes(bytes.get(at..at + 4)?.try_into().ok()?) as usize);
    let (entries, size) = (number(LEAD + 8)?, number(LEAD + 12)?);
    let end = LEAD.checked_add(16)?.checked_add(entries.checked_mul(16)?)?.checked_add(size)?;
    let start = end.checked_next_multiple_of(8)?;
    (bytes.get(start..start + 3)? == [0x8e, 0xad, 0xe8]).then_some(start)
}

fn text(bytes: Vec<u8>) -> Result<String> {
    String::from_utf8(bytes).context("an index is not UTF-8")
}

fn release(get: Get<'_>) -> Result<Option<Release>> {
    let inline = get("apt/dists/stable/InRelease")?;
    inline.map(|inline| parse_release(&text(inline)?)).transpose()
}

/// How long apt believes its index; none: there is no index.
pub(crate) fn valid_until(get: Get<'_>) -> Result<Option<Timestamp>> {
    Ok(release(get)?.map(|release| release.valid_until))
}

fn apt(get: Get<'_>) -> Result<Vec<String>> {
    let Some(release) = release(get)? else { return Ok(Vec::new()) };
    let mut all = Vec::new();
    for (path, (sha256, _)) in &release.files {
        let Some(folder) = path.strip_suffix("/Packages") else { continue };
        let at = format!("apt/dists/stable/{folder}/by-hash/SHA256/{sha256}");
        let index = get(&at)?.with_context(|| format!("{at} is named and not there"))?;
        anyhow::ensure!(digest::bytes(&index) == *sha256, "{at} has another digest");
        let stanzas = stanza::parse(&text(index)?)?;
        all.extend(stanzas.iter().filter_map(|one| one.file.rsplit('/').next()).map(str::to_owned));
    }
    Ok(all)
}

fn dnf(get: Get<'_>) -> Result<Vec<String>> {
    let Some(list) = get("dnf/mirrorlist")? else { return Ok(Vec::new()) };
    let list = text(list)?;
    let generation = list.trim().trim_end_matches('/').rsplit('/').next().unwrap_or_default().to_owned();
    let at = format!("dnf/index/{generation}/packages");
    let packages = get(&at)?.with_context(|| format!("{at} is named and not there"))?;
    Ok(text(packages)?.lines().filter_map(|path| path.rsplit('/').next()).map(str::to_owned).collect())
}

fn flatpak(get: Get<'_>) -> Result<Vec<String>> {
    let Some(index) = get("flatpak/index.json")? else { return Ok(Vec::new()) };
    let state = State::parse(&index).context("cannot understand flatpak/index.json")?;
    let at = "flatpak/repo/summary.idx";
    let summary = get(at)?.with_context(|| format!("{at} is not there"))?;
    anyhow::ensure!(digest::bytes(&summary) == state.index, "{at} is not what flatpak/index.json tells of");
    Ok(state.versions.into_iter().map(|version| version.file).collect())
}

fn pacman(get: Get<'_>, name: &str, architecture: &str) -> Result<Vec<String>> {
    let Some(database) = get(&format!("pacman/{architecture}/{name}.db"))? else { return Ok(Vec::new()) };
    let mut all = Vec::new();
    let mut archive = tar::Archive::new(GzDecoder::new(database.as_slice()));
    for entry in archive.entries().context("a database is no archive")? {
        let mut entry = entry.context("a database is cut")?;
        if !entry.path().is_ok_and(|path| path.ends_with("desc")) {
            continue;
        }
        let mut desc = String::new();
        entry.read_to_string(&mut desc).context("a database is cut")?;
        let file = desc.split_once("%FILENAME%\n").and_then(|(_, rest)| rest.lines().next());
        all.extend(file.map(str::to_owned));
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_have_places() {
        let says = |file: &str| place("mathesar", file);
        assert_eq!(
            says("mathesar_0.12.0-1_amd64.deb").as_deref(),
            Some("apt/pool/main/mathesar/mathesar_0.12.0-1_amd64.deb")
        );
        assert_eq!(
            says("mathesar-0.12.0-1.x86_64.rpm").as_deref(),
            Some("dnf/Packages/mathesar-0.12.0-1.x86_64.rpm")
        );
        let arch = "mathesar-0.12.0-1-x86_64.pkg.tar.zst";
        assert_eq!(says(arch), Some(format!("pacman/x86_64/{arch}")));
        assert_eq!(
            says("mathesar-1-1-x86_64.flatpak"),
            Some("flatpak/bundles/mathesar-1-1-x86_64.flatpak".into())
        );
        assert_eq!(says("../x"), None);
        let all = [arch, "mathesar_0.9.0-1_amd64.deb", "other_2-1_all.deb"].map(str::to_owned);
        assert_eq!(newest(&all.into(), "mathesar").as_deref(), Some("0.12.0-1"));
    }

    #[test]
    fn what_is_no_rpm_is_none() {
        let mut rpm = vec![0xed, 0xab, 0xee, 0xdb];
        rpm.resize(96, 0);
        rpm.extend([0x8e, 0xad, 0xe8, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 3, b's', b'i', b'g']);
        rpm.resize(120, 0);
        rpm.extend([0x8e, 0xad, 0xe8, b'x']);
        assert_eq!(content("a.rpm", &rpm).unwrap(), digest::bytes(&[0x8e, 0xad, 0xe8, b'x']));
        for cut in 0..rpm.len() - 1 {
            assert!(content("a.rpm", &rpm[..cut]).is_err(), "{cut}");
        }
        rpm[104..112].fill(0xff);
        assert!(content("a.rpm", &rpm).is_err());
    }
}
