//! For apt: a flat pool, one suite, indices by apt-ftparchive, signed inline and beside.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};
use xshell::cmd;

use super::{Site, write};
use crate::shell;

const SUITE: &str = "stable";

pub(super) fn build(site: &Site<'_>, folder: &Path) -> Result<()> {
    let name = site.name;
    let debs = site.copy(".deb", &folder.join("pool/main").join(name))?;
    let architectures: BTreeSet<String> = debs
        .iter()
        .filter_map(|deb| {
            let stem = deb.file_stem()?.to_str()?;
            stem.rsplit_once('_').map(|(_, architecture)| architecture.to_owned())
        })
        .collect();
    let shell = shell::at(folder)?;
    let suite = folder.join("dists").join(SUITE);
    for architecture in &architectures {
        let index = suite.join("main").join(format!("binary-{architecture}"));
        fs::create_dir_all(&index).with_context(|| format!("cannot create {}", index.display()))?;
        let text = cmd!(shell, "apt-ftparchive --arch {architecture} packages pool").quiet().read()?;
        write(&index.join("Packages"), format!("{text}\n"))?;
        let packages = index.join("Packages");
        cmd!(shell, "xz --keep --threads=1 {packages}").quiet().run()?;
        cmd!(shell, "gzip --keep --no-name -9 {packages}").quiet().run()?;
    }
    let all: Vec<&str> = architectures.iter().map(String::as_str).collect();
    // Label and Origin never change: apt then refuses the update.
    let facts = [
        ("Origin", "Mathesar Everywhere"),
        ("Label", "Mathesar"),
        ("Suite", SUITE),
        ("Codename", SUITE),
        ("Architectures", &all.join(" ")),
        ("Components", "main"),
        // An index that is replaced while somebody reads is still there under its digest.
        ("Acquire-By-Hash", "yes"),
        ("Description", "Mathesar's launcher"),
    ];
    let options: Vec<String> = facts
        .iter()
        .flat_map(|(key, value)| ["-o".to_owned(), format!("APT::FTPArchive::Release::{key}={value}")])
        .collect();
    let dists = format!("dists/{SUITE}");
    let text = cmd!(shell, "apt-ftparchive {options...} release {dists}").quiet().read()?;
    let release = suite.join("Release");
    write(&release, format!("{text}\n"))?;
    by_hashes(&suite, &architectures)?;
    site.key.sign(&["--clear-sign"], &release, &suite.join("InRelease"))?;
    site.key.sign(&["--armor", "--detach-sign"], &release, &suite.join("Release.gpg"))?;
    let public = site.key.public()?;
    write(&folder.join(format!("{name}.asc")), &public)?;
    write(&folder.join(format!("{name}.sources")), sources(site.url, &all, &public))
}

/// Each index under its SHA-256 as well.
fn by_hashes(suite: &Path, architectures: &BTreeSet<String>) -> Result<()> {
    for architecture in architectures {
        let index = suite.join("main").join(format!("binary-{architecture}"));
        let folder = index.join("by-hash/SHA256");
        fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
        for name in ["Packages", "Packages.xz", "Packages.gz"] {
            let file = index.join(name);
            let copy = folder.join(crate::digest::file(&file)?);
            fs::copy(&file, &copy).with_context(|| format!("cannot copy {}", file.display()))?;
        }
    }
    Ok(())
}

/// For /etc/apt/sources.list.d, the key in it (deb822: sources.list(5), "Signed-By").
fn sources(url: &str, architectures: &[&str], public: &str) -> String {
    let key: String = public
        .lines()
        .map(|line| if line.is_empty() { "  .\n".to_owned() } else { format!("  {line}\n") })
        .collect();
    format!(
        "Types: deb\nURIs: {url}/apt\nSuites: {SUITE}\nComponents: main\nArchitectures: {}\nSigned-By:\n{key}",
        architectures.join(" ")
    )
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_key_is_a_field_of_several_lines() {
        let text = super::sources(
            "https://example.org",
            &["amd64", "arm64"],
            "-----BEGIN-----\n\nabc\n-----END-----\n",
        );
        insta::assert_snapshot!(text);
    }
}
