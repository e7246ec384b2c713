//! The package that brings the keys: who upgrades gets the next one before it signs.
//!
//! Written here and not by dpkg-deb, whose bytes differ with its version: the same keys on the same day are the same file, whoever makes it.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use flate2::{Compression, GzBuilder};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use xshell::cmd;

use super::super::folder::{files, publish};
use super::super::key::{Public, Ring};
use super::super::{Problems, Site, names};
use super::stanza::Stanza;
use crate::archive::Tree;
use crate::shell;

pub(super) fn name(site: &Site<'_>) -> String {
    format!("{}-archive-keyring", site.name)
}

/// Where the keys are in a machine, without the slash in front. Text, which gpgv and sqv both read, as it is one block.
pub(super) fn place(site: &Site<'_>) -> String {
    format!("usr/share/keyrings/{}.asc", name(site))
}

/// The newest one, and a new one where it holds other keys; the index names that alone.
pub(super) fn add(
    site: &Site<'_>,
    folder: &Path,
    stanzas: &mut BTreeMap<String, Stanza>,
    scratch: &Path,
) -> Result<()> {
    // Whoever maintains the packages maintains this one; without packages nobody needs it.
    let Some(maintainer) = maintainer(site, stanzas) else { return Ok(()) };
    let keys = site.announced()?;
    let text = Ring::armored(&keys)?;
    // Also one that a killed run has left: it was served.
    let newest = newest(site, folder)?;
    let deb = match newest {
        Some((_, path)) if held(&path, &place(site)).is_some_and(|held| held == text) => path,
        newest => {
            let version = following(newest.map(|(version, _)| version).as_deref(), &day(site.now));
            let file = format!("{}_{version}_all.deb", name(site));
            let (fresh, to) = (scratch.join(&file), super::pool(site, folder).join(&file));
            let bytes =
                Keyring { site, version: &version, maintainer: &maintainer, keys: &keys }.deb(&text)?;
            std::fs::write(&fresh, bytes).with_context(|| format!("cannot write {}", fresh.display()))?;
            let work = scratch.join("published");
            std::fs::create_dir_all(&work).with_context(|| format!("cannot create {}", work.display()))?;
            publish(&fresh, &to, &work)?;
            to
        }
    };
    let listed = deb.strip_prefix(folder).unwrap_or(&deb).to_string_lossy().into_owned();
    stanzas.retain(|file, stanza| stanza.named.name != name(site) || *file == listed);
    if !stanzas.contains_key(&listed) {
        let made = super::read(&[deb], folder, &scratch.join("keyring"))?;
        stanzas.extend(made.into_iter().map(|stanza| (stanza.file.clone(), stanza)));
    }
    Ok(())
}

/// Whether the one that the index names holds the keys that are published.
pub(super) fn check(
    site: &Site<'_>,
    folder: &Path,
    stanzas: &BTreeMap<String, Stanza>,
    problems: &mut Problems,
) -> Result<()> {
    let text = Ring::armored(&site.announced()?)?;
    for stanza in stanzas.values().filter(|stanza| stanza.named.name == name(site)) {
        let deb = folder.join(&stanza.file);
        if held(&deb, &place(site)).is_none_or(|held| held != text) {
            problems.add(format!("{} holds other keys than sign here", deb.display()));
        }
    }
    Ok(())
}

fn maintainer(site: &Site<'_>, stanzas: &BTreeMap<String, Stanza>) -> Option<String> {
    let keyring = name(site);
    let others = stanzas.values().filter(|stanza| stanza.named.name != keyring);
    // Of the package itself, and of its newest version.
    let best = others.max_by(|a, b| {
        let ours = |one: &Stanza| one.named.name == site.name;
        ours(a).cmp(&ours(b)).then_with(|| names::compare(&a.named.version, &b.named.version))
    })?;
    best.text.lines().find_map(|line| line.strip_prefix("Maintainer:")).map(|value| value.trim().to_owned())
}

fn newest(site: &Site<'_>, folder: &Path) -> Result<Option<(String, PathBuf)>> {
    let of = |path: PathBuf| {
        let named = names::parse(path.file_name()?.to_str()?).filter(|named| named.name == name(site))?;
        Some((named.version, path))
    };
    let all = files(&super::pool(site, folder))?.into_iter().filter_map(of);
    Ok(all.max_by(|(a, _), (b, _)| names::compare(a, b)))
}

/// Midnight: a run that is repeated later on the same day makes the same file.
fn day(now: Timestamp) -> Timestamp {
    Timestamp::from_second(now.as_second() / 86_400 * 86_400).unwrap_or(now)
}

/// The day, and where there is one of it or of a later one already, a number.
fn following(newest: Option<&str>, day: &Timestamp) -> String {
    let today = day.strftime("%Y.%m.%d").to_string();
    let Some(newest) = newest.filter(|newest| names::compare(newest, &today).is_ge()) else { return today };
    let parts: Vec<&str> = newest.split('.').collect();
    let number: u64 = parts.get(3).and_then(|number| number.parse().ok()).unwrap_or(0);
    format!("{}.{}", parts.get(..3).unwrap_or(&parts).join("."), number + 1)
}

struct Keyring<'a> {
    site: &'a Site<'a>,
    version: &'a str,
    maintainer: &'a str,
    keys: &'a [Public],
}

impl Keyring<'_> {
    fn deb(&self, text: &str) -> Result<Vec<u8>> {
        let (name, place, day) = (name(self.site), place(self.site), day(self.site.now));
        let doc = format!("usr/share/doc/{name}");
        let content = [
            (place, text.as_bytes().to_vec()),
            (format!("{doc}/changelog.gz"), gzip(&self.changelog(&name, day))?),
            (format!("{doc}/copyright"), self.copyright().into_bytes()),
        ];
        let shell = shell::at(Path::new("/"))?;
        let (mut data, mut sums, mut size) = (Tree::default(), String::new(), 0);
        for (path, bytes) in content {
            let sum = cmd!(shell, "md5sum").stdin(&bytes).quiet().read()?;
            let sum = sum.split_whitespace().next().context("md5sum says nothing")?;
            sums.push_str(&format!("{sum}  {path}\n"));
            size += bytes.len().div_ceil(1024);
            data.file(path, 0o644, crate::archive::Content::Bytes(bytes))?;
        }
        let mut control = Tree::default();
        control.file("control", 0o644, self.control(&name, size))?;
        control.file("md5sums", 0o644, sums)?;
        let epoch = u64::try_from(day.as_second()).context("it is before 1970")?;
        let members = [
            ("debian-binary", b"2.0\n".to_vec()),
            ("control.tar.gz", control.tar_gz_bare(epoch)?),
            ("data.tar.gz", data.tar_gz_bare(epoch)?),
        ];
        // ar(5), as deb(5) has it.
        let mut deb = b"!<arch>\n".to_vec();
        for (name, bytes) in members {
            deb.extend(format!("{name:<16}{epoch:<12}0     0     100644  {:<10}`\n", bytes.len()).as_bytes());
            deb.extend(&bytes);
            deb.resize(deb.len().next_multiple_of(2), b'\n');
        }
        Ok(deb)
    }

    fn control(&self, name: &str, size: usize) -> String {
        format!(
            "Package: {name}\nVersion: {}\nArchitecture: all\nMaintainer: {}\nInstalled-Size: {size}\nSection: misc\nPriority: optional\n\
             Multi-Arch: foreign\nDescription: keys of the repository that has {}\n \
             The repository at {}\n is signed by these keys. An upgrade of this package brings the next\n \
             key before it signs, so that apt goes on believing the repository.\n",
            self.version, self.maintainer, self.site.name, self.site.url
        )
    }

    fn changelog(&self, name: &str, day: Timestamp) -> String {
        let keys: Vec<&str> = self.keys.iter().map(|key| key.fingerprint.as_str()).collect();
        let date = day.to_zoned(TimeZone::UTC).strftime("%a, %d %b %Y %H:%M:%S +0000").to_string();
        format!(
            "{name} ({}) stable; urgency=medium\n\n  * The keys are\n    {}.\n\n -- {}  {date}\n",
            self.version,
            keys.join(",\n    "),
            self.maintainer
        )
    }

    fn copyright(&self) -> String {
        let year = day(self.site.now).strftime("%Y").to_string();
        format!(
            "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\n\nFiles: *\nCopyright: {year} {}\nLicense: CC0-1.0\n \
             On Debian systems the text of this licence is in\n /usr/share/common-licenses/CC0-1.0.\n",
            self.maintainer
        )
    }
}

fn gzip(text: &str) -> Result<Vec<u8>> {
    let mut gzip = GzBuilder::new().mtime(0).operating_system(3).write(Vec::new(), Compression::best());
    gzip.write_all(text.as_bytes()).and_then(|()| gzip.finish()).context("cannot compress a changelog")
}

/// A file in such a package. None: it has none, or was not made here.
fn held(deb: &Path, place: &str) -> Option<String> {
    let bytes = std::fs::read(deb).ok()?;
    let mut rest = bytes.strip_prefix(b"!<arch>\n")?;
    loop {
        let (header, after) = rest.split_at_checked(60)?;
        let size: usize = std::str::from_utf8(header.get(48..58)?).ok()?.trim().parse().ok()?;
        let member = after.get(..size)?;
        if header.starts_with(b"data.tar.gz ") {
            let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(member));
            let mut entries = archive.entries().ok()?.flatten();
            let mut entry = entries.find(|entry| entry.path().is_ok_and(|path| path == Path::new(place)))?;
            let mut text = String::new();
            return entry.read_to_string(&mut text).ok().map(|_| text);
        }
        rest = after.get(size.next_multiple_of(2)..)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_only_grow() {
        let day = day(Timestamp::from_second(1_795_652_401).unwrap());
        assert_eq!(day.to_string(), "2026-11-26T00:00:00Z");
        assert_eq!(following(None, &day), "2026.11.26");
        for (newest, wanted) in [
            ("2026.11.25.4", "2026.11.26"),
            ("2025.12.31", "2026.11.26"),
            ("2026.11.26", "2026.11.26.1"),
            ("2026.11.26.9", "2026.11.26.10"),
            // Of a clock that went wrong.
            ("2027.01.01", "2027.01.01.1"),
        ] {
            assert_eq!(following(Some(newest), &day), wanted, "{newest}");
            assert!(names::compare(newest, wanted).is_lt());
        }
    }

    #[test]
    fn what_is_no_package_of_ours_holds_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let deb = folder.path().join("x.deb");
        for bytes in [&b""[..], b"!<arch>\n", b"!<arch>\ndata.tar.gz ", &[b' '; 100]] {
            std::fs::write(&deb, bytes).unwrap();
            assert_eq!(held(&deb, "x"), None);
        }
    }
}
