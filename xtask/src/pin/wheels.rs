//! Which wheel fits which Python and platform: to tell what has to be built from source.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result};

use crate::manifest::PythonRange;

/// A platform that the launcher runs on.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Platform {
    pub label: &'static str,
    cpu: &'static str,
    is_mac: bool,
}

pub(super) const PLATFORMS: &[Platform] = &[
    Platform { label: "linux x86_64", cpu: "x86_64", is_mac: false },
    Platform { label: "linux aarch64", cpu: "aarch64", is_mac: false },
    Platform { label: "macOS x86_64", cpu: "x86_64", is_mac: true },
    Platform { label: "macOS arm64", cpu: "arm64", is_mac: true },
];

impl Platform {
    /// uv's name of it.
    pub(super) fn uv(&self, glibc: &str) -> String {
        match (self.is_mac, self.cpu) {
            (true, "arm64") => "aarch64-apple-darwin".into(),
            (true, cpu) => format!("{cpu}-apple-darwin"),
            (false, cpu) => format!("{cpu}-manylinux_{}", glibc.replace('.', "_")),
        }
    }

    /// Whether a platform tag of a wheel (PEP 425, 600) is for it.
    fn takes(&self, tag: &str, glibc: u32) -> bool {
        if tag == "any" {
            return true;
        }
        if self.is_mac {
            return tag.starts_with("macosx_")
                && [self.cpu, "universal2"].iter().any(|cpu| tag.ends_with(&format!("_{cpu}")));
        }
        let Some(rest) = tag.strip_suffix(&format!("_{}", self.cpu)) else { return false };
        match rest {
            "linux" | "manylinux1" | "manylinux2010" | "manylinux2014" => true,
            _ => rest
                .strip_prefix("manylinux_2_")
                .and_then(|minor| minor.parse::<u32>().ok())
                .is_some_and(|needs| needs <= glibc),
        }
    }
}

/// `3.10` to `3.12` as 10, 11, 12.
pub(super) fn minors(range: &PythonRange) -> Result<Vec<u32>> {
    let minor = |text: &str| {
        text.strip_prefix("3.")
            .and_then(|minor| minor.parse().ok())
            .with_context(|| format!("`{text}` is no version of Python, as `3.12`"))
    };
    Ok((minor(&range.min)?..=minor(&range.max)?).collect())
}

/// Whether a file is a wheel that CPython 3.`minor` takes on the platform.
pub(super) fn fits(file: &str, minor: u32, platform: &Platform, glibc: &str) -> bool {
    let Some((pythons, abis, platforms)) = tags(file) else { return false };
    let glibc = glibc.strip_prefix("2.").and_then(|minor| minor.parse().ok()).unwrap_or(0);
    let python = pythons.split('.').any(|python| match python {
        "py3" => true,
        _ => match python.strip_prefix("cp3").and_then(|minor| minor.parse::<u32>().ok()) {
            Some(built) => {
                let abi = |wanted: &str| abis.split('.').any(|abi| abi == wanted);
                (built == minor && (abi(&format!("cp3{minor}")) || abi("none")))
                    || (built <= minor && abi("abi3"))
            }
            None => python
                .strip_prefix("py3")
                .and_then(|built| built.parse::<u32>().ok())
                .is_some_and(|built| built <= minor),
        },
    });
    python && platforms.split('.').any(|tag| platform.takes(tag, glibc))
}

/// Whether Linux (glibc) on one of our processors can use it: a source archive, or a wheel for CPython.
pub(super) fn is_for_linux(file: &str) -> bool {
    let Some((pythons, _, platforms)) = tags(file) else { return true };
    let is_python = pythons.split('.').any(|python| python.starts_with("py3") || python.starts_with("cp3"));
    let linux = PLATFORMS.iter().filter(|platform| !platform.is_mac);
    is_python && platforms.split('.').any(|tag| linux.clone().any(|platform| platform.takes(tag, u32::MAX)))
}

/// Python, ABI and platform tags of a wheel's name.
fn tags(file: &str) -> Option<(&str, &str, &str)> {
    let mut parts = file.strip_suffix(".whl")?.rsplit('-');
    let (platforms, abis, pythons) = (parts.next()?, parts.next()?, parts.next()?);
    Some((pythons, abis, platforms))
}

/// Packages without a fitting wheel.
#[derive(Debug, Default)]
pub(super) struct Lacking {
    packages: BTreeMap<String, BTreeMap<&'static str, BTreeSet<u32>>>,
}

impl Lacking {
    pub(super) fn add(&mut self, package: &str, minor: u32, platform: &'static Platform) {
        self.packages.entry(package.to_owned()).or_default().entry(platform.label).or_default().insert(minor);
    }

    /// One line a package and set of Pythons.
    pub(super) fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for (package, platforms) in &self.packages {
            let mut grouped: BTreeMap<&BTreeSet<u32>, Vec<&str>> = BTreeMap::new();
            for (platform, minors) in platforms {
                grouped.entry(minors).or_default().push(platform);
            }
            for (minors, on) in grouped {
                let minors: Vec<String> = minors.iter().map(|minor| format!("3.{minor}")).collect();
                let on = match on.len() == PLATFORMS.len() {
                    true => "every platform".to_owned(),
                    false => on.join(", "),
                };
                lines.push(format!(
                    "no wheel of {package} for Python {} on {on}: built from source there",
                    minors.join(", ")
                ));
            }
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wheels_fit_or_do_not() {
        let fits_on = |file: &str, minor: u32| {
            PLATFORMS
                .iter()
                .filter(|platform| fits(file, minor, platform, "2.34"))
                .map(|platform| platform.label)
                .collect::<Vec<_>>()
                .join(", ")
        };
        let mut all = String::new();
        for (file, minor) in [
            ("idna-3.10-py3-none-any.whl", 14),
            ("six-1.17.0-py2.py3-none-any.whl", 10),
            ("x-1-cp312-cp312-manylinux2014_x86_64.manylinux_2_17_x86_64.whl", 12),
            ("x-1-cp312-cp312-manylinux2014_x86_64.manylinux_2_17_x86_64.whl", 13),
            ("x-1-cp312-cp312-manylinux_2_39_aarch64.whl", 12),
            ("x-1-cp312-cp312-musllinux_1_2_x86_64.whl", 12),
            ("x-1-cp39-abi3-macosx_10_9_universal2.whl", 13),
            ("x-1-cp313-abi3-manylinux_2_28_aarch64.whl", 12),
            ("x-1-cp314-cp314t-manylinux_2_28_x86_64.whl", 14),
            ("x-1-pp310-pypy310_pp73-manylinux_2_28_x86_64.whl", 10),
            ("x-1-1build-py3-none-macosx_11_0_arm64.whl", 11),
            ("x-1-cp312-cp312-win_amd64.whl", 12),
            ("x-1.tar.gz", 12),
        ] {
            all.push_str(&format!(
                "{file} 3.{minor}: [{}], linux {}\n",
                fits_on(file, minor),
                is_for_linux(file)
            ));
        }
        insta::assert_snapshot!(all);
    }

    #[test]
    fn the_report_is_grouped() {
        let mut lacking = Lacking::default();
        for platform in PLATFORMS {
            lacking.add("django-allauth==1", 12, platform);
            lacking.add("django-allauth==1", 13, platform);
        }
        lacking.add("clevercsv==2", 13, &PLATFORMS[1]);
        insta::assert_snapshot!(lacking.lines().join("\n"));
        let range = PythonRange { min: "3.9".into(), max: "3.11".into(), prefer: Vec::new() };
        assert_eq!(minors(&range).unwrap(), [9, 10, 11]);
    }
}
