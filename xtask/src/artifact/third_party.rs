//! The licences of every crate that the launcher is linked with, in full: most of them ask for that.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use walkdir::WalkDir;

use super::crates::{self, Crate};
use crate::manifest::Target;
use crate::workspace::Workspace;

/// What a crate carries of others' C and assembly, and compiles in.
pub(crate) struct Bundled {
    krate: &'static str,
    pub name: &'static str,
    /// Where it is offered under several, the one that is chosen.
    pub license: &'static str,
    pub repository: &'static str,
    /// The text, below the crate's folder, where it is not beside its Cargo.toml.
    text: &'static str,
}

const BUNDLED: [Bundled; 2] = [
    // Not its COPYING, the GPL-2.0: it is offered under either.
    Bundled {
        krate: "zstd-sys",
        name: "Zstandard (libzstd)",
        license: "BSD-3-Clause",
        repository: "https://github.com/facebook/zstd",
        text: "zstd/LICENSE",
    },
    // The licences of BoringSSL and OpenSSL lie beside its Cargo.toml.
    Bundled {
        krate: "ring",
        name: "Fiat-Crypto",
        license: "Apache-2.0",
        repository: "https://github.com/mit-plv/fiat-crypto",
        text: "third_party/fiat/LICENSE",
    },
];

/// A text: each crate with its licence, then each distinct licence text with the crates that it belongs to.
pub(crate) fn notices(workspace: &Workspace, target: Target) -> Result<String> {
    let linked = crates::linked(&workspace.root, target)?.crates;
    let mut text = String::from(
        "The launcher is linked with these libraries. Each stands with its version, its licence as an SPDX expression and its\nsource; the texts of the licences follow.\n\n",
    );
    // No crate of its own; its licences stand below, as they are those of most crates.
    text.push_str("Rust's standard library: MIT OR Apache-2.0\n  https://github.com/rust-lang/rust\n");
    // Keyed by the text without its white space, as copies differ in line ends and indentation only.
    let mut texts: BTreeMap<String, (String, BTreeSet<String>)> = BTreeMap::new();
    for library in &linked {
        let license = library.license.as_deref().unwrap_or("see its licence text");
        let name = format!("{} {}", library.name, library.version);
        text.push_str(&format!("{name}: {license}\n"));
        if let Some(repository) = &library.repository {
            text.push_str(&format!("  {repository}\n"));
        }
        let mut add = |found: String, name: String| {
            let key = found.split_whitespace().collect::<Vec<_>>().join(" ");
            texts.entry(key).or_insert_with(|| (found, BTreeSet::new())).1.insert(name);
        };
        for found in license_texts(&library.manifest_path)? {
            add(found, name.clone());
        }
        for bundled in bundled(library)? {
            text.push_str(&format!(
                "{} in {name}: {}\n  {}\n",
                bundled.name, bundled.license, bundled.repository
            ));
            let path = library.manifest_path.with_file_name(bundled.text);
            let found =
                std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
            add(found.replace('\r', ""), format!("{} in {name}", bundled.name));
        }
    }
    // In the order of the crates' names, not of the licences' first words.
    let mut texts: Vec<_> = texts.into_values().collect();
    texts.sort_by(|a, b| a.1.cmp(&b.1).then_with(|| a.0.cmp(&b.0)));
    for (license, crates) in texts {
        let crates = crates.into_iter().collect::<Vec<_>>().join(", ");
        text.push_str(&format!("\n{}\n{crates}\n\n{}\n", "-".repeat(78), license.trim_end()));
    }
    Ok(text)
}

/// Cargo does not know the licences of what a crate carries, only that it carries something.
pub(crate) fn bundled(library: &Crate) -> Result<Vec<&'static Bundled>> {
    let found: Vec<_> = BUNDLED.iter().filter(|bundled| bundled.krate == library.name).collect();
    if let (Some(links), true) = (&library.links, found.is_empty()) {
        bail!(
            "the crate {} brings the library `{links}`, whose licence is not known here\nhelp: name it in {}",
            library.name,
            file!()
        );
    }
    Ok(found)
}

/// The licence files beside a crate's Cargo.toml.
fn license_texts(manifest: &Path) -> Result<Vec<String>> {
    let folder = manifest.parent().unwrap_or(manifest);
    let mut texts = Vec::new();
    for entry in WalkDir::new(folder).min_depth(1).max_depth(1).sort_by_file_name() {
        let entry = entry.with_context(|| format!("cannot list {}", folder.display()))?;
        let name = entry.file_name().to_string_lossy().to_uppercase();
        let is_license = ["LICENSE", "LICENCE", "COPYING", "NOTICE", "UNLICENSE", "COPYRIGHT"]
            .iter()
            .any(|start| name.starts_with(start));
        if entry.file_type().is_file() && is_license {
            let path = entry.path();
            let bytes = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
            texts.push(String::from_utf8_lossy(&bytes).replace('\r', ""));
        }
    }
    Ok(texts)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::channel::testing::checkout;

    fn library(name: &str, links: Option<&str>) -> Crate {
        Crate {
            name: name.into(),
            version: "1.0.0".into(),
            license: None,
            repository: None,
            links: links.map(str::to_owned),
            manifest_path: std::path::PathBuf::new(),
        }
    }

    #[test]
    fn a_library_of_another_language_has_to_be_named() {
        assert!(bundled(&library("serde", None)).unwrap().is_empty());
        assert_eq!(bundled(&library("zstd-sys", Some("zstd"))).unwrap()[0].license, "BSD-3-Clause");
        let refused = bundled(&library("lzma-sys", Some("lzma"))).err().unwrap().to_string();
        assert!(refused.contains("the crate lzma-sys brings the library `lzma`"), "{refused}");
    }

    #[test]
    fn what_crates_carry_stands_there_with_its_licence() {
        let workspace = Workspace { root: checkout(), target: checkout().join("target") };
        let text = notices(&workspace, Target::X86_64Gnu).unwrap();
        for line in ["Zstandard (libzstd) in zstd-sys ", "Fiat-Crypto in ring "] {
            // Named, and above its text.
            assert_eq!(text.lines().filter(|found| found.contains(line)).count(), 2, "{line}");
        }
        assert!(text.contains("BSD License\n\nFor Zstandard software\n\nCopyright (c) Meta Platforms"));
    }
}
