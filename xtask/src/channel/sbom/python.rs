//! The Python packages of `packaging/app.lock`, each with the digests of all its files that the lock allows.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result, ensure};
use serde::Deserialize;
use serde_json::json;

use super::component::{Component, file, property, purl, sha256};
use crate::pin::lock::{self, SOURCES};

#[derive(Deserialize)]
struct Sources {
    files: Vec<Source>,
}

#[derive(Deserialize)]
struct Source {
    name: String,
    version: String,
    url: String,
    sha256: String,
}

/// One version of a package; on which systems it is installed says its marker.
#[derive(Default)]
struct Locked {
    digests: BTreeSet<String>,
    markers: BTreeSet<String>,
}

pub(super) fn packages(lock: &str, sources: Option<&str>) -> Result<Vec<Component>> {
    let sources: Vec<Source> = match sources {
        Some(text) => {
            let sources: Sources =
                serde_json::from_str(text).with_context(|| format!("cannot read {SOURCES}"))?;
            sources.files
        }
        None => Vec::new(),
    };
    let mut all: BTreeMap<(String, String), Locked> = BTreeMap::new();
    for requirement in lock::requirements(lock) {
        let what = || format!("cannot tell what {} requires: {requirement}", lock::PATH);
        let (what_for, hashes) = requirement.split_once(" --hash=").with_context(what)?;
        let (pinned, marker) = match what_for.split_once(';') {
            Some((pinned, marker)) => (pinned.trim(), Some(marker.trim())),
            None => (what_for.trim(), None),
        };
        let (name, version) = pinned.split_once("==").with_context(what)?;
        let name = name.split('[').next().unwrap_or_default().trim();
        ensure!(!name.is_empty() && !version.contains([' ', '*', ',']), "{}", what());
        let locked = all.entry((normal(name), version.trim().to_owned())).or_default();
        for hash in hashes.split(" --hash=") {
            let digest = hash.trim().strip_prefix("sha256:").with_context(what)?;
            locked.digests.insert(digest.to_owned());
        }
        locked.markers.extend(marker.map(str::to_owned));
    }
    let of = |((name, version), locked): ((String, String), Locked)| {
        let files = sources.iter().filter(|source| {
            normal(&source.name) == name
                && source.version == version
                && locked.digests.contains(&source.sha256)
        });
        let mut external = Vec::new();
        let mut nameless = locked.digests.clone();
        for source in files {
            nameless.remove(&source.sha256);
            external.push(file(&source.url, &source.sha256));
        }
        if !nameless.is_empty() {
            // For other systems than Linux: their addresses are not kept.
            let hashes: Vec<_> = nameless.iter().map(|digest| sha256(digest)).collect();
            let url = format!("https://pypi.org/simple/{name}/");
            let comment = "each of the digests is that of one file there";
            external
                .push(json!({ "type": "distribution", "url": url, "comment": comment, "hashes": hashes }));
        }
        let purl = purl("pypi", &name, &version);
        Component {
            kind: "library",
            reference: purl.clone(),
            name,
            version: Some(version),
            purl: Some(purl),
            external_references: external,
            properties: locked.markers.iter().map(|marker| property("python-marker", marker)).collect(),
            ..Component::default()
        }
    };
    Ok(all.into_iter().map(of).collect())
}

/// As the index writes names (PEP 503).
fn normal(name: &str) -> String {
    let parts: Vec<String> =
        name.split(['-', '_', '.']).filter(|part| !part.is_empty()).map(str::to_lowercase).collect();
    parts.join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOCK: &str = "# release-sha256: abc\nPy_YAML==6.0 \\\n    --hash=sha256:bb \\\n    --hash=sha256:aa\n\
        psycopg[binary]==3.2 ; python_version < '3.13' \\\n    --hash=sha256:cc\n\
        psycopg[binary]==3.3 ; python_version >= '3.13' \\\n    --hash=sha256:dd\n";

    #[test]
    fn every_package_with_every_digest() {
        let sources = r#"{"release-sha256": "abc", "files": [
            {"name": "py-yaml", "version": "6.0", "file": "a.whl", "url": "https://files.example/a.whl", "sha256": "aa"},
            {"name": "py-yaml", "version": "6.0", "file": "z.whl", "url": "https://files.example/z.whl", "sha256": "zz"}]}"#;
        let packages = packages(LOCK, Some(sources)).unwrap();
        let purls: Vec<&str> = packages.iter().map(|one| one.reference.as_str()).collect();
        assert_eq!(purls, ["pkg:pypi/psycopg@3.2", "pkg:pypi/psycopg@3.3", "pkg:pypi/py-yaml@6.0"]);
        let yaml = &packages[2].external_references;
        assert_eq!(yaml.len(), 2, "{yaml:?}");
        assert_eq!(yaml[0], file("https://files.example/a.whl", "aa"));
        assert_eq!(
            (&yaml[1]["url"], &yaml[1]["hashes"][0]["content"]),
            (&json!("https://pypi.org/simple/py-yaml/"), &json!("bb"))
        );
        assert_eq!(packages[0].properties, [property("python-marker", "python_version < '3.13'")]);
        // Without the addresses no digest is lost.
        let bare = super::packages(LOCK, None).unwrap();
        assert_eq!(bare[2].external_references[0]["hashes"].as_array().unwrap().len(), 2);
    }

    #[test]
    fn what_pins_nothing_is_refused() {
        for bad in [
            "idna==3.10\n",
            "idna>=3 --hash=sha256:aa\n",
            "idna==3.* --hash=sha256:aa\n",
            "idna==3 --hash=md5:aa\n",
        ] {
            let error = packages(bad, None).err().unwrap().to_string();
            assert!(error.starts_with("cannot tell what packaging/app.lock requires: idna"), "{error}");
        }
    }
}
