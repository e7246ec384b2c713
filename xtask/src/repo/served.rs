//! What the repositories serve, read over the network as a package manager does it, by way of the one file that names the rest.

mod reader;

use std::collections::BTreeSet;
use std::io::Read as _;
use std::time::Duration;

use anyhow::{Context as _, Result};
use flate2::read::GzDecoder;
use jiff::Timestamp;

use super::apt::release::{Release, parse as parse_release};
use super::apt::stanza;
use super::dnf::data;
use super::flatpak::State;
use super::names;
use crate::digest;
use reader::{Reader, Unsound, unfinished, unsound};

const SUITE: &str = "apt/dists/stable";
const PUBLISHING: Duration = Duration::from_millis(500);

/// What is at an address below the repositories'; nothing: not there.
pub(crate) type Get<'a> = &'a dyn Fn(&str) -> Result<Option<Vec<u8>>>;

type Kind = fn(Get<'_>, &str) -> Result<Vec<String>>;

const KINDS: [(&str, Kind); 4] = [("apt", apt), ("dnf", dnf), ("pacman", pacman), ("Flatpak", flatpak)];

/// The files that the indices name, by their names alone: of those indices that a package manager would believe. What a killed publication may
/// have left is told, and taken for what nobody has published yet, so that the next one goes on; an error is all else that is wrong.
pub(crate) fn indexed(get: Get<'_>, name: &str) -> Result<BTreeSet<String>> {
    let mut all = BTreeSet::new();
    for (title, kind) in KINDS {
        let mut found = kind(get, name);
        if found.as_ref().is_err_and(|cause| cause.is::<Unsound>()) {
            // Somebody may publish at this very moment: of two files that belong together one is new already.
            std::thread::sleep(PUBLISHING);
            found = kind(get, name);
        }
        let unfinished =
            |cause: &anyhow::Error| cause.downcast_ref().is_some_and(|one: &Unsound| one.unfinished);
        match found {
            Err(cause) if unfinished(&cause) => {
                crate::ui::warning(format!("nobody can read the repository for {title}: {cause:#}"));
            }
            found => all.extend(found.with_context(|| format!("cannot read the repository for {title}"))?),
        }
    }
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

fn release(get: Get<'_>) -> Result<Option<Release>> {
    let Some(inline) = get(&format!("{SUITE}/InRelease"))? else { return Ok(None) };
    parse_release(std::str::from_utf8(&inline).context("InRelease is not UTF-8")?).map(Some)
}

/// How long apt believes its index; none: there is no index.
pub(crate) fn valid_until(get: Get<'_>) -> Result<Option<Timestamp>> {
    Ok(release(get)?.map(|release| release.valid_until))
}

fn apt(get: Get<'_>, name: &str) -> Result<Vec<String>> {
    let [sources, inline, plain, beside] = [
        format!("apt/{name}.sources"),
        format!("{SUITE}/InRelease"),
        format!("{SUITE}/Release"),
        format!("{SUITE}/Release.gpg"),
    ];
    let others = [sources, inline.clone(), plain.clone(), beside.clone()];
    let Some(reader) = Reader::new(get, &format!("apt/{name}.asc"), &others)? else { return Ok(Vec::new()) };
    let release = parse_release(&reader.within(&inline)?)?;
    reader.is_signed(&beside, &reader.start[&plain], &reader.start[&beside], unfinished)?;
    let mut all = Vec::new();
    for (path, (sha256, _)) in &release.files {
        let folder = path.rsplit_once('/').map(|(folder, _)| folder).unwrap_or_default();
        let index = reader.fetch_exact(&format!("{SUITE}/{folder}/by-hash/SHA256/{sha256}"), sha256)?;
        if path.ends_with("/Packages") {
            let stanzas = stanza::parse(&String::from_utf8(index).context("an index is not UTF-8")?)?;
            all.extend(stanzas.iter().filter_map(|one| one.file.rsplit('/').next()).map(str::to_owned));
        }
    }
    Ok(all)
}

fn dnf(get: Get<'_>, name: &str) -> Result<Vec<String>> {
    let [list, source] = ["dnf/mirrorlist".to_owned(), format!("dnf/{name}.repo")];
    let others = [list.clone(), source.clone()];
    let Some(reader) = Reader::new(get, &format!("dnf/{name}.asc"), &others)? else { return Ok(Vec::new()) };
    let to = reader.text(&list)?.trim();
    let generation = to.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
    // Where machines look for the list, the index has to be too.
    let named = format!("mirrorlist={}/mirrorlist", to.trim_end_matches(&format!("/index/{generation}/")));
    if !reader.text(&source)?.lines().any(|line| line == named) {
        return Err(unsound(format!("{list} leads to {to}, and {source} elsewhere")));
    }
    let at = |file: &str| format!("dnf/index/{generation}/{file}");
    let [index, signature] = ["repodata/repomd.xml", "repodata/repomd.xml.asc"].map(at);
    let text = reader.fetch(&index)?;
    reader.is_signed(&signature, &text, &reader.fetch(&signature)?, unsound)?;
    for (file, sha256) in data(&String::from_utf8(text).context("an index is not UTF-8")?)
        .ok_or_else(|| unsound(format!("{index} cannot be understood")))?
    {
        reader.fetch_exact(&at(&file), &sha256)?;
    }
    let packages = String::from_utf8(reader.fetch(&at("packages"))?).context("an index is not UTF-8")?;
    Ok(packages.lines().filter_map(|path| path.rsplit('/').next()).map(str::to_owned).collect())
}

fn flatpak(get: Get<'_>, _: &str) -> Result<Vec<String>> {
    let Some(index) = get("flatpak/index.json")? else { return Ok(Vec::new()) };
    let state = State::parse(&index).context("cannot understand flatpak/index.json")?;
    let at = "flatpak/repo/summary.idx";
    let summary = get(at)?.with_context(|| format!("{at} is not there"))?;
    anyhow::ensure!(digest::bytes(&summary) == state.index, "{at} is not what flatpak/index.json tells of");
    Ok(state.versions.into_iter().map(|version| version.file).collect())
}

fn pacman(get: Get<'_>, name: &str) -> Result<Vec<String>> {
    let lines = format!("pacman/{name}.conf");
    let reader = Reader::new(get, &format!("pacman/{name}.asc"), &[lines])?;
    let Some(mut reader) = reader else { return Ok(Vec::new()) };
    let (mut all, mut databases) = (Vec::new(), 0);
    for architecture in ["x86_64", "aarch64"] {
        let at = |file: &str| format!("pacman/{architecture}/{file}");
        let pairs =
            ["db", "files"].map(|end| [at(&format!("{name}.{end}")), at(&format!("{name}.{end}.sig"))]);
        if !reader.and(pairs.as_flattened())? {
            continue;
        }
        databases += 1;
        for [data, signature] in &pairs {
            reader.is_signed(signature, &reader.start[data], &reader.start[signature], unfinished)?;
        }
        for file in in_database(&reader.start[&pairs[0][0]])? {
            reader.fetch(&at(&format!("{file}.sig")))?;
            all.push(file);
        }
    }
    match databases {
        0 => Err(unfinished(format!("no pacman/*/{name}.db is there"))),
        _ => Ok(all),
    }
}

fn in_database(database: &[u8]) -> Result<Vec<String>> {
    let mut all = Vec::new();
    let mut archive = tar::Archive::new(GzDecoder::new(database));
    for entry in archive.entries().context("a database is no archive")? {
        let mut entry = entry.context("a database is cut")?;
        if !entry.path().is_ok_and(|path| path.ends_with("desc")) {
            continue;
        }
        let mut desc = String::new();
        entry.read_to_string(&mut desc).context("a database is cut")?;
        all.extend(super::pacman::field(&desc, "FILENAME"));
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
