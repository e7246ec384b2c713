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

/// `name_version_arch.deb`, `name-version-release.arch.rpm`, `name-version-release-arch.pkg.tar.zst` or `.flatpak`; none: no package is called so.
pub(super) fn parse(file: &str) -> Option<Named> {
    let named = |name: &str, version: String, architecture: &str| {
        let plain = |text: &str| !text.is_empty() && !text.contains(['/', ' ', '\'', '"']);
        (plain(name) && plain(&version) && plain(architecture)).then(|| Named {
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

/// Runs of digits by their number, `~` before everything, the rest by its characters: what dpkg, rpm and pacman agree in.
pub(super) fn compare(one: &str, other: &str) -> Ordering {
    let (mut one, mut other) = (one.as_bytes(), other.as_bytes());
    loop {
        let digits = |text: &[u8]| text.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let (left, right) = (digits(one), digits(other));
        let bare = |text: &[u8], count: usize| {
            let zeros = text[..count].iter().take_while(|byte| **byte == b'0').count();
            text[zeros..count].to_vec()
        };
        let (a, b) = (bare(one, left), bare(other, right));
        let ordering = a.len().cmp(&b.len()).then(a.cmp(&b));
        (one, other) = (&one[left..], &other[right..]);
        // An end stands between `~` and everything else.
        let rank = |byte: Option<&u8>| match byte {
            None => 1,
            Some(b'~') => 0,
            Some(byte) => 2 + u16::from(*byte),
        };
        let ordering = ordering.then(rank(one.first()).cmp(&rank(other.first())));
        if ordering != Ordering::Equal || one.is_empty() {
            return ordering;
        }
        (one, other) = (&one[1..], &other[1..]);
    }
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
