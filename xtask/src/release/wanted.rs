//! Which files of `dist/` each channel is to have, and under which names. No input, no output.

use anyhow::{Result, bail};

use crate::dist::{Entry, Index};
use crate::manifest::Outlet;

/// A file for a channel: what the channel calls it, and where it is below `dist/`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wanted {
    pub name: String,
    pub path: String,
}

pub(super) const SUMS: &str = "SHA256SUMS";

pub(super) fn of(channel: Outlet, index: &Index) -> Result<Vec<Wanted>> {
    let of_paths = |paths: Vec<&str>| paths.into_iter().map(str::to_owned).collect();
    of_names(channel, &of_paths(index.files.iter().map(|file: &Entry| file.path.as_str()).collect()))
}

/// The same from paths alone, as a published SHA256SUMS has them.
pub(super) fn of_names(channel: Outlet, paths: &Vec<String>) -> Result<Vec<Wanted>> {
    let mut found = Vec::new();
    for path in paths {
        let name = match channel {
            Outlet::Github if !path.contains('/') => path.clone(),
            Outlet::Repositories if !path.contains('/') && is_package(path) => path.clone(),
            Outlet::Tap => match path.strip_prefix("homebrew/") {
                Some(formula) => format!("Formula/{formula}"),
                None => continue,
            },
            Outlet::Aur => match path.strip_prefix("aur/") {
                Some(recipe) => recipe.to_owned(),
                None => continue,
            },
            _ => continue,
        };
        found.push(Wanted { name, path: path.clone() });
    }
    if channel == Outlet::Github {
        found.push(Wanted { name: SUMS.into(), path: SUMS.into() });
        for wanted in &found {
            asset_name(&wanted.name)?;
        }
    }
    Ok(found)
}

fn is_package(path: &str) -> bool {
    [".deb", ".rpm", ".pkg.tar.zst", ".flatpak"].iter().any(|ending| path.ends_with(ending))
}

/// GitHub renames an asset whose name has other characters (`~` becomes `.`), and drops full stops at its ends: every address in a formula
/// or a PKGBUILD would then lead nowhere.
fn asset_name(name: &str) -> Result<()> {
    let kept = |c: char| c.is_ascii_alphanumeric() || "._+-".contains(c);
    match name.chars().find(|c| !kept(*c)) {
        Some(odd) => bail!(crate::Refused(format!(
            "GitHub would publish {name} under another name, as it changes `{odd}`\nhelp: choose another name or version in \
             packaging/mathesar.toml: letters, digits and `._+-`"
        ))),
        None if name.is_empty() || name.starts_with('.') || name.ends_with('.') => {
            bail!(crate::Refused(format!(
                "GitHub would publish `{name}` under another name, as it drops full stops at the ends\nhelp: choose another name in \
                 packaging/mathesar.toml"
            )))
        }
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_channel_gets_its_own() {
        let paths = [
            "aur/.SRCINFO",
            "aur/PKGBUILD",
            "flatpak/io.github.x.json",
            "homebrew/mathesar.rb",
            "mathesar-0.12.0-1.x86_64.rpm",
            "mathesar-0.12.0-1-src.tar.gz",
            "mathesar-0.12.0-1-x86_64-linux-gnu.cdx.json",
            "mathesar_0.12.0-1_amd64.deb",
        ]
        .map(str::to_owned)
        .to_vec();
        let names = |channel| -> Vec<String> {
            of_names(channel, &paths).unwrap().into_iter().map(|wanted| wanted.name).collect()
        };
        assert_eq!(
            names(Outlet::Github),
            [
                "mathesar-0.12.0-1.x86_64.rpm",
                "mathesar-0.12.0-1-src.tar.gz",
                "mathesar-0.12.0-1-x86_64-linux-gnu.cdx.json",
                "mathesar_0.12.0-1_amd64.deb",
                SUMS
            ]
        );
        assert_eq!(
            names(Outlet::Repositories),
            ["mathesar-0.12.0-1.x86_64.rpm", "mathesar_0.12.0-1_amd64.deb"]
        );
        assert_eq!(names(Outlet::Tap), ["Formula/mathesar.rb"]);
        assert_eq!(names(Outlet::Aur), [".SRCINFO", "PKGBUILD"]);
    }

    #[test]
    fn names_that_github_would_change_are_refused() {
        for good in ["mathesar_0.12.0-1_amd64.deb", "a+b.tar.gz", "SHA256SUMS"] {
            assert!(asset_name(good).is_ok(), "{good}");
        }
        for bad in
            ["a_1.0~rc1_amd64.deb", "a b", "ü.deb", ".hidden", "end.", "", "a(1).deb", "a@1", "a/b", "a\nb"]
        {
            let refused = asset_name(bad).unwrap_err();
            assert!(refused.is::<crate::Refused>(), "{bad}: {refused}");
        }
    }
}
