//! `python-sources.json`: Mathesar's Python dependencies by address and digest. app.lock has the digests only, so the
//! addresses come from the file that `cargo xtask pin` writes beside it.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result, bail};
use serde::Deserialize;
use serde_json::{Value, json};

/// Addresses of the files whose digests app.lock allows.
pub(super) const SIDECAR: &str = "packaging/app.lock.sources.json";

#[derive(Deserialize)]
struct Sidecar {
    files: Vec<File>,
}

#[derive(Deserialize)]
struct File {
    name: String,
    file: String,
    url: String,
    sha256: String,
}

/// Where a file can be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Use {
    Anywhere,
    /// On one of Flatpak's architectures.
    On(&'static str),
    /// Only by building it, which the sandbox does where no wheel exists.
    Source,
    Nowhere,
}

/// The sources, or why there are none.
pub(super) fn sources(lock: Option<&str>, sidecar: Option<&str>) -> Result<Result<Vec<Value>, &'static str>> {
    let Some(lock) = lock else {
        return Ok(Err("packaging/app.lock does not exist yet (`cargo xtask pin` writes it)"));
    };
    let Some(sidecar) = sidecar else {
        return Ok(Err("packaging/app.lock has no addresses beside it (`cargo xtask pin` writes them)"));
    };
    let sidecar: Sidecar = serde_json::from_str(sidecar).with_context(|| format!("cannot read {SIDECAR}"))?;
    for file in &sidecar.files {
        if !lock.contains(&format!("--hash=sha256:{}", file.sha256)) {
            bail!(
                "{SIDECAR} names {} with a digest that packaging/app.lock does not have\n\
                 help: `cargo xtask pin` writes both",
                file.file
            );
        }
    }
    let with_wheel: BTreeSet<&str> = sidecar
        .files
        .iter()
        .filter(|file| matches!(usable(&file.file), Use::Anywhere | Use::On(_)))
        .map(|file| file.name.as_str())
        .collect();
    let mut sources = BTreeMap::new();
    for file in &sidecar.files {
        let mut source = json!({
            "type": "file",
            "url": file.url,
            "sha256": file.sha256,
            "dest": "wheels",
            "dest-filename": file.file,
        });
        match usable(&file.file) {
            Use::Nowhere => continue,
            Use::Source if with_wheel.contains(file.name.as_str()) => continue,
            Use::On(arch) => source["only-arches"] = json!([arch]),
            Use::Anywhere | Use::Source => {}
        }
        sources.insert(&file.file, source);
    }
    if sources.is_empty() {
        return Ok(Err("packaging/app.lock names no file that runs in the sandbox"));
    }
    Ok(Ok(sources.into_values().collect()))
}

/// By the platform tag, the last part of a wheel's name (the binary distribution format of Python's packaging guide).
fn usable(file: &str) -> Use {
    let Some(stem) = file.strip_suffix(".whl") else { return Use::Source };
    let platform = stem.rsplit('-').next().unwrap_or_default();
    if platform == "any" {
        return Use::Anywhere;
    }
    // Several tags are joined by full stops, all of one architecture on Linux.
    let glibc = |tag: &str| tag.starts_with("manylinux") || tag.starts_with("linux_");
    match platform.split('.').find(|tag| glibc(tag)) {
        Some(tag) if tag.ends_with("_x86_64") => Use::On("x86_64"),
        Some(tag) if tag.ends_with("_aarch64") => Use::On("aarch64"),
        _ => Use::Nowhere,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOCK: &str =
        "idna==3.10 \\\n    --hash=sha256:aa \\\n    --hash=sha256:bb\nc==1 \\\n    --hash=sha256:cc\n";

    fn sidecar(files: &[(&str, &str, &str)]) -> String {
        let files: Vec<Value> = files
            .iter()
            .map(|(name, file, sha256)| {
                json!({ "name": name, "version": "1", "file": file, "url": format!("https://example.org/{file}"),
                        "sha256": sha256, "size": 1 })
            })
            .collect();
        json!({ "release-sha256": "x", "files": files }).to_string()
    }

    #[test]
    fn takes_what_runs_in_the_sandbox() {
        let sidecar = sidecar(&[
            ("idna", "idna-3.10.tar.gz", "aa"),
            ("idna", "idna-3.10-py3-none-any.whl", "bb"),
            ("c", "c-1.tar.gz", "cc"),
            ("x", "x-1-cp313-cp313-manylinux_2_17_x86_64.manylinux2014_x86_64.whl", "aa"),
            ("x", "x-1-cp313-cp313-manylinux_2_28_aarch64.whl", "aa"),
            ("x", "x-1-cp313-cp313-musllinux_1_2_x86_64.whl", "aa"),
            ("x", "x-1-cp313-cp313-macosx_11_0_arm64.whl", "aa"),
            ("x", "x-1-cp313-cp313-win_amd64.whl", "aa"),
            ("x", "x-1-cp313-cp313-manylinux_2_31_armv7l.whl", "aa"),
        ]);
        let sources = sources(Some(LOCK), Some(&sidecar)).unwrap().unwrap();
        let names: Vec<String> = sources
            .iter()
            .map(|source| format!("{} {}", source["dest-filename"].as_str().unwrap(), source["only-arches"]))
            .collect();
        assert_eq!(
            names,
            [
                "c-1.tar.gz null",
                "idna-3.10-py3-none-any.whl null",
                "x-1-cp313-cp313-manylinux_2_17_x86_64.manylinux2014_x86_64.whl [\"x86_64\"]",
                "x-1-cp313-cp313-manylinux_2_28_aarch64.whl [\"aarch64\"]",
            ]
        );
    }

    #[test]
    fn a_digest_that_the_lock_lacks_is_refused() {
        let sidecar = sidecar(&[("idna", "idna-3.10-py3-none-any.whl", "dd")]);
        let error = sources(Some(LOCK), Some(&sidecar)).unwrap_err().to_string();
        assert!(error.contains("idna-3.10-py3-none-any.whl"), "{error}");
    }

    #[test]
    fn says_why_there_are_none() {
        assert!(sources(None, Some("{}")).unwrap().is_err());
        assert!(sources(Some(LOCK), None).unwrap().is_err());
        assert!(sources(Some(LOCK), Some("{")).is_err());
    }
}
