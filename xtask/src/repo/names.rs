//! What a package's file name says, and which of several versions are kept.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

/// Name, version with revision, architecture.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Named {
    pub name: String,
    pub architecture: String,
    pub version: String,
}

/// As the package managers call them: a folder may be named after one.
const ARCHITECTURES: [&str; 7] = ["amd64", "arm64", "all", "x86_64", "aarch64", "noarch", "any"];

/// Nothing that means something to a shell, a web server, a list or a page.
fn is_plain(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_alphanumeric())
        && text.chars().all(|one| one.is_ascii_alphanumeric() || "._+~-".contains(one))
}

/// `name_version_arch.deb`, `name-version-release.arch.rpm`, `name-version-release-arch.pkg.tar.zst` or `.flatpak`; none: no package is called so.
pub(super) fn parse(file: &str) -> Option<Named> {
    let named = |name: &str, version: String, architecture: &str| {
        (is_plain(name) && is_plain(&version) && ARCHITECTURES.contains(&architecture)).then(|| Named {
            name: name.to_owned(),
            architecture: architecture.to_owned(),
            version,
        })
    };
    if let Some(stem) = file.strip_suffix(".deb") {
        let mut parts = stem.split('_');
        let (name, version, architecture) = (parts.next()?, parts.next()?, parts.next()?);
        return parts.next().is_none().then(|| named(name, version.to_owned(), architecture))?;
    }
    let (rest, architecture) = match file.strip_suffix(".rpm") {
        Some(stem) => stem.rsplit_once('.')?,
        None => {
            let stem = file.strip_suffix(".pkg.tar.zst").or_else(|| file.strip_suffix(".flatpak"));
            stem?.rsplit_once('-')?
        }
    };
    let (rest, revision) = rest.rsplit_once('-')?;
    let (name, version) = rest.rsplit_once('-')?;
    named(name, format!("{version}-{revision}"), architecture)
}

/// As dpkg does it (deb-version(7)): the version, then the revision behind the last hyphen. rpm and pacman agree where versions are made of numbers, dots
/// and `~`.
pub(super) fn compare(one: &str, other: &str) -> Ordering {
    let parts = |text| str::rsplit_once(text, '-').unwrap_or((text, ""));
    let ((one, one_revision), (other, other_revision)) = (parts(one), parts(other));
    of_part(one, other).then_with(|| of_part(one_revision, other_revision))
}

/// In turn what is no number, by its characters, and what is one, by its value.
fn of_part(one: &str, other: &str) -> Ordering {
    let (mut one, mut other) = (one.as_bytes(), other.as_bytes());
    loop {
        let (a, b) = (split(&mut one, false), split(&mut other, false));
        // An end stands between `~` and everything else, letters before all but these.
        let rank = |byte: Option<&u8>| match byte {
            None => 1,
            Some(b'~') => 0,
            Some(byte) if byte.is_ascii_alphabetic() => 2 + u16::from(*byte),
            Some(byte) => 300 + u16::from(*byte),
        };
        let words = (0..a.len().max(b.len())).map(|at| rank(a.get(at)).cmp(&rank(b.get(at))));
        let (a, b) = (split(&mut one, true), split(&mut other, true));
        let numbers = a.len().cmp(&b.len()).then(a.cmp(b));
        let ordering = words.fold(Ordering::Equal, Ordering::then).then(numbers);
        if ordering != Ordering::Equal || (one.is_empty() && other.is_empty()) {
            return ordering;
        }
    }
}

/// Takes a run of digits, without zeros in front, or of all else from the beginning.
fn split<'a>(text: &mut &'a [u8], digits: bool) -> &'a [u8] {
    let end = text.iter().position(|byte| byte.is_ascii_digit() != digits).unwrap_or(text.len());
    let (run, rest) = text.split_at(end);
    *text = rest;
    let zeros = if digits { run.iter().take_while(|byte| **byte == b'0').count() } else { 0 };
    &run[zeros..]
}

/// Of each name and architecture the newest so many versions.
pub(super) fn kept(all: impl IntoIterator<Item = Named>, keep: usize) -> BTreeSet<Named> {
    let mut versions: BTreeMap<(String, String), Vec<Named>> = BTreeMap::new();
    for one in all {
        versions.entry((one.name.clone(), one.architecture.clone())).or_default().push(one);
    }
    let mut kept = BTreeSet::new();
    for mut of_one in versions.into_values() {
        of_one.sort_by(|a, b| compare(&b.version, &a.version));
        of_one.dedup();
        kept.extend(of_one.into_iter().take(keep.max(1)));
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_name_is_read() {
        let said =
            |file: &str| parse(file).map(|one| format!("{} {} {}", one.name, one.version, one.architecture));
        assert_eq!(said("mathesar_0.12.0-1_amd64.deb").as_deref(), Some("mathesar 0.12.0-1 amd64"));
        assert_eq!(said("mathesar-0.12.0-1.x86_64.rpm").as_deref(), Some("mathesar 0.12.0-1 x86_64"));
        let file = "mathesar-archive-keyring-2026.1-2-any.pkg.tar.zst";
        assert_eq!(said(file).as_deref(), Some("mathesar-archive-keyring 2026.1-2 any"));
        assert_eq!(said("mathesar-0.12.0-1-x86_64.flatpak").as_deref(), Some("mathesar 0.12.0-1 x86_64"));
        for odd in [
            "mathesar.deb",
            "a_b_c_d.deb",
            "x.rpm",
            "-1-1-any.pkg.tar.zst",
            "a b_1_all.deb",
            "mathesar.tar.gz",
            "mathesar-1-1-...pkg.tar.zst",
            "mathesar-1-1-...rpm",
            "mathesar-1-1.sparc.rpm",
            ".._1_amd64.deb",
            "mathesar-<&>-1.noarch.rpm",
            "mathesar-1-1\n.noarch.rpm",
            "mathesar-1-1&.noarch.rpm",
        ] {
            assert_eq!(parse(odd), None, "{odd}");
        }
    }

    #[test]
    fn the_newest_are_kept() {
        let order = ["0.9.0~rc1-1", "0.9.0-1", "0.9.0-2", "0.9.0-10", "0.10.0-1", "1.0-1"];
        for pair in order.windows(2) {
            assert_eq!(compare(pair[0], pair[1]), Ordering::Less, "{pair:?}");
            assert_eq!(compare(pair[1], pair[0]), Ordering::Greater, "{pair:?}");
        }
        assert_eq!(compare("1.01-1", "1.1-1"), Ordering::Equal);
    }

    #[test]
    fn versions_are_in_dpkgs_order() {
        let all = [
            "1.0~~-1",
            "1.0~rc1-1",
            "1.0-1",
            "1.0-1.1",
            "1.0-10",
            "1.0a-1",
            "1.0ab-1",
            "1.0+git-1",
            "1.0.1-1",
            "1.0.a-1",
            "1.00.2-1",
            "1.10-1",
            "a1-1",
            "ab-1",
            "2-1",
            "2",
            "2026.11.27",
            "2026.11.27.1",
        ];
        if std::process::Command::new("dpkg").arg("--version").output().is_err() {
            return println!("not run: dpkg is not on PATH");
        }
        for one in all {
            for other in all {
                let says = |how: &str| {
                    let mut dpkg = std::process::Command::new("dpkg");
                    dpkg.args(["--compare-versions", one, how, other]).status().unwrap().success()
                };
                let wanted = match compare(one, other) {
                    Ordering::Less => "lt",
                    Ordering::Equal => "eq",
                    Ordering::Greater => "gt",
                };
                assert!(says(wanted), "{one} {wanted} {other}");
            }
        }
    }

    #[test]
    fn so_many_are_kept() {
        let one = |version: &str, architecture: &str| Named {
            name: "mathesar".into(),
            architecture: architecture.into(),
            version: version.into(),
        };
        let all = [
            one("0.9.0-1", "amd64"),
            one("0.10.0-1", "amd64"),
            one("0.9.0-2", "amd64"),
            one("0.1-1", "arm64"),
        ];
        let left: Vec<String> = kept(all, 2).into_iter().map(|one| one.version).collect();
        assert_eq!(left, ["0.10.0-1", "0.9.0-2", "0.1-1"]);
    }
}
