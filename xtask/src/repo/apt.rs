//! For apt: a pool, one suite, indices by apt-ftparchive that are merged with those that are there, signed inline and beside.
//!
//! Whoever reads while it changes: InRelease is one file, replaced whole and last; what it names lies under its digest (by-hash,
//! <https://wiki.debian.org/DebianRepository/Format>) and stays there for a while after it is superseded.

mod keyring;
pub(super) mod release;
pub(super) mod stanza;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use flate2::{Compression, GzBuilder};
use xshell::cmd;

use super::check::hold;
use super::folder::{Texts, files, place, publish, replace, replace_all, same};
use super::key::Ring;
use super::{Problems, Site, names};
use crate::{digest, shell};

use release::Release;
use stanza::Stanza;

const SUITE: &str = "stable";
/// Always there, so that a machine of either finds an index, if an empty one.
const ARCHITECTURES: [&str; 2] = ["amd64", "arm64"];
const INDEX: [&str; 3] = ["Packages", "Packages.gz", "Packages.xz"];

fn suite(folder: &Path) -> PathBuf {
    folder.join("dists").join(SUITE)
}

fn pool(site: &Site<'_>, folder: &Path) -> PathBuf {
    folder.join("pool/main").join(site.name)
}

/// Refused before anything is written.
pub(super) fn conflicts(site: &Site<'_>, folder: &Path) -> Result<()> {
    for (deb, file) in site.new_of(".deb")? {
        same(deb, &pool(site, folder).join(file))?;
    }
    let Some(present) = Release::read(&suite(folder))? else { return Ok(()) };
    match present.date > site.now {
        false => Ok(()),
        true => bail!(crate::Refused(format!(
            "the index was signed at {}, and this computer's clock says {}\nhelp: set the clock: `timedatectl`",
            present.date, site.now
        ))),
    }
}

pub(super) fn add(site: &Site<'_>, folder: &Path, scratch: &Path) -> Result<bool> {
    let present = Release::read(&suite(folder))?;
    let mut stanzas = match &present {
        Some(present) => stanzas(&suite(folder), present)?,
        None => BTreeMap::new(),
    };
    let pool = pool(site, folder);
    let mut fresh = Vec::new();
    for (deb, file) in site.new_of(".deb")? {
        publish(deb, &pool.join(file), scratch)?;
        fresh.push(pool.join(file));
    }
    for stanza in read(&fresh, folder, scratch)? {
        stanzas.insert(stanza.file.clone(), stanza);
    }
    let kept = names::kept(
        stanzas.values().map(|stanza| stanza.named.clone()).filter(|named| !site.is_withdrawn(named)),
        site.keeps(),
    );
    stanzas.retain(|_, stanza| kept.contains(&stanza.named));
    keyring::add(site, folder, &mut stanzas, scratch)?;
    sign(site, folder, &stanzas, present.as_ref(), scratch)
}

/// The present indices, with another date and signature.
pub(super) fn resign(site: &Site<'_>, folder: &Path, scratch: &Path) -> Result<bool> {
    let Some(present) = Release::read(&suite(folder))? else { return Ok(false) };
    let mut stanzas = stanzas(&suite(folder), &present)?;
    keyring::add(site, folder, &mut stanzas, scratch)?;
    sign(site, folder, &stanzas, Some(&present), scratch)
}

/// Of these debs alone; those that are indexed already are not read again.
fn read(debs: &[PathBuf], folder: &Path, scratch: &Path) -> Result<Vec<Stanza>> {
    if debs.is_empty() {
        return Ok(Vec::new());
    }
    let root = scratch.join("apt");
    for deb in debs {
        let there = root.join(deb.strip_prefix(folder).context("a package outside of its repository")?);
        let parent = there.parent().context("a package without a folder")?;
        fs::create_dir_all(parent).with_context(|| format!("cannot create {}", parent.display()))?;
        fs::hard_link(deb, &there).with_context(|| format!("cannot link {}", there.display()))?;
    }
    let shell = shell::at(&root)?;
    let text =
        cmd!(shell, "apt-ftparchive -o APT::FTPArchive::DoByHash=false packages pool").quiet().read()?;
    stanza::parse(&text)
}

/// Those that the signed index names: what a killed run has left beside it is not among them.
fn stanzas(suite: &Path, release: &Release) -> Result<BTreeMap<String, Stanza>> {
    let mut all = BTreeMap::new();
    for (path, (digest, _)) in &release.files {
        let Some(folder) = path.strip_suffix("/Packages") else { continue };
        let file = suite.join(folder).join("by-hash/SHA256").join(digest);
        let text = fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
        all.extend(stanza::parse(&text)?.into_iter().map(|stanza| (stanza.file.clone(), stanza)));
    }
    Ok(all)
}

fn sign(
    site: &Site<'_>,
    folder: &Path,
    stanzas: &BTreeMap<String, Stanza>,
    present: Option<&Release>,
    scratch: &Path,
) -> Result<bool> {
    let suite = suite(folder);
    let mut architectures: BTreeSet<&str> = ARCHITECTURES.into();
    architectures
        .extend(stanzas.values().map(|one| one.named.architecture.as_str()).filter(|one| *one != "all"));
    let mut listed = BTreeMap::new();
    let mut contents = Vec::new();
    for architecture in &architectures {
        let mut of_it: Vec<&Stanza> = stanzas
            .values()
            .filter(|one| [architecture, "all"].contains(&one.named.architecture.as_str()))
            .collect();
        of_it.sort_by(|a, b| {
            a.named.name.cmp(&b.named.name).then_with(|| names::compare(&a.named.version, &b.named.version))
        });
        let text: Vec<&str> = of_it.iter().map(|one| one.text.as_str()).collect();
        let text = if text.is_empty() { String::new() } else { format!("{}\n", text.join("\n")) };
        for name in INDEX {
            let content = match name {
                "Packages" => text.clone().into_bytes(),
                "Packages.gz" => gzip(&text)?,
                _ => xz(&text, scratch)?,
            };
            let path = format!("main/binary-{architecture}/{name}");
            listed.insert(path.clone(), (digest::bytes(&content), content.len() as u64));
            contents.push((path, content));
        }
    }
    let release = Release { files: listed, ..Release::new(site, &architectures) };
    if let Some(present) = present {
        let same = present.files == release.files && site.is_signed(&suite.join("InRelease"), None);
        if !site.again && same && present.is_fresh(site) {
            // A killed run may have left other ones.
            contents.iter().try_for_each(|(path, content)| replace(&suite.join(path), content))?;
            return tell(site, folder, &architectures).map(|()| false);
        }
    }
    for (path, content) in &contents {
        let index = suite.join(path);
        let hashed = index.with_file_name("by-hash/SHA256").join(digest::bytes(content));
        if !hashed.exists() {
            let fresh = scratch.join("index");
            fs::write(&fresh, content).with_context(|| format!("cannot write {}", fresh.display()))?;
            place(&fresh, &hashed)?;
        }
    }
    let text = scratch.join("Release");
    fs::write(&text, release.text()).with_context(|| format!("cannot write {}", text.display()))?;
    let (beside, inline) = (scratch.join("Release.gpg"), scratch.join("InRelease"));
    site.key.sign(&["--armor", "--detach-sign"], &text, &beside, site.now)?;
    site.key.sign(&["--clear-sign"], &text, &inline, site.now)?;
    // For whoever reads without by-hash; apt does not. Written before anything is renamed: a full disk ends it here, or not at all.
    let mut plain = Vec::new();
    for (number, (path, content)) in contents.iter().enumerate() {
        let fresh = scratch.join(format!("index-{number}"));
        fs::write(&fresh, content).with_context(|| format!("cannot write {}", fresh.display()))?;
        plain.push((fresh, suite.join(path)));
    }
    plain.iter().try_for_each(|(fresh, to)| place(fresh, to))?;
    place(&beside, &suite.join("Release.gpg"))?;
    place(&text, &suite.join("Release"))?;
    // From here on everybody reads the new one.
    place(&inline, &suite.join("InRelease"))?;
    // Last: a new key was in it before, and a withdrawn one is so until nothing of it is read.
    tell(site, folder, &architectures).map(|()| true)
}

/// The files by which a machine comes to know the repository.
fn texts(site: &Site<'_>, folder: &Path, architectures: &[&str]) -> Result<Texts> {
    Ok(vec![
        (folder.join(format!("{}.asc", site.name)), Ring::armored(&site.announced()?)?),
        (folder.join(format!("{}.sources", site.name)), sources(site, architectures)),
    ])
}

fn tell(site: &Site<'_>, folder: &Path, architectures: &BTreeSet<&str>) -> Result<()> {
    replace_all(texts(site, folder, &architectures.iter().copied().collect::<Vec<_>>())?)
}

fn gzip(text: &str) -> Result<Vec<u8>> {
    let mut gzip = GzBuilder::new().mtime(0).operating_system(255).write(Vec::new(), Compression::best());
    gzip.write_all(text.as_bytes()).and_then(|()| gzip.finish()).context("cannot compress an index")
}

fn xz(text: &str, scratch: &Path) -> Result<Vec<u8>> {
    let shell = shell::at(scratch)?;
    let output = cmd!(shell, "xz --threads=1 --stdout").stdin(text).quiet().output()?;
    Ok(output.stdout)
}

/// What is there, and what of it the present index names.
pub(super) fn named(_: &Site<'_>, folder: &Path) -> Result<super::Files> {
    let suite = suite(folder);
    let mut all = files(&folder.join("pool"))?;
    all.extend(files(&suite)?.into_iter().filter(|path| path.to_string_lossy().contains("/by-hash/")));
    let mut named = BTreeSet::new();
    if let Some(release) = Release::read(&suite)? {
        for (path, (digest, _)) in &release.files {
            named.insert(suite.join(path).with_file_name("by-hash/SHA256").join(digest));
        }
        named.extend(stanzas(&suite, &release)?.into_keys().map(|file| folder.join(file)));
    }
    Ok((all, named))
}

/// Everything that apt would look at.
pub(super) fn check(site: &Site<'_>, folder: &Path, problems: &mut Problems) -> Result<()> {
    let suite = suite(folder);
    let inline = suite.join("InRelease");
    let Some(release) = Release::read(&suite)? else {
        problems.add(format!("{} is missing", inline.display()));
        return Ok(());
    };
    problems.of(site.key.verify(&inline, None));
    problems.of(site.key.verify(&suite.join("Release.gpg"), Some(&suite.join("Release"))));
    if release.valid_until <= site.now {
        problems.add(format!("{} was valid until {}", inline.display(), release.valid_until));
    }
    for (path, (digest, size)) in &release.files {
        let index = suite.join(path);
        for file in [&index.with_file_name("by-hash/SHA256").join(digest), &index] {
            problems.of(super::is(file, digest, Some(*size)));
        }
    }
    let architectures: Vec<&str> = release.architectures.iter().map(String::as_str).collect();
    hold(texts(site, folder, &architectures)?, problems);
    let stanzas = stanzas(&suite, &release)?;
    for stanza in stanzas.values() {
        problems.of(super::is(&folder.join(&stanza.file), &stanza.sha256, Some(stanza.size)));
    }
    keyring::check(site, folder, &stanzas, problems)
}

/// For /etc/apt/sources.list.d (deb822: sources.list(5)). The keys are named and not in it: a package replaces them.
fn sources(site: &Site<'_>, architectures: &[&str]) -> String {
    format!(
        "Types: deb\nURIs: {}/apt\nSuites: {SUITE}\nComponents: main\nArchitectures: {}\nSigned-By: /{}\n",
        site.url,
        architectures.join(" "),
        keyring::place(site)
    )
}
