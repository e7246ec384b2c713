//! The parts of a CycloneDX document (<https://cyclonedx.org/docs/1.6/json/>), as far as they are used.

use anyhow::{Context as _, Result};
use serde::Serialize;
use serde_json::{Value, json};

#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Component {
    #[serde(rename = "type")]
    pub kind: &'static str,
    #[serde(rename = "bom-ref")]
    pub reference: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub supplier: Option<Value>,
    pub name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scope: Option<&'static str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub hashes: Vec<Value>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub licenses: Vec<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub purl: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub external_references: Vec<Value>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub components: Vec<Component>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub properties: Vec<Value>,
}

pub(super) fn sha256(digest: &str) -> Value {
    json!({ "alg": "SHA-256", "content": digest })
}

pub(super) fn property(name: &str, value: &str) -> Value {
    json!({ "name": format!("mathesar:{name}"), "value": value })
}

/// `kind`: `distribution`, `vcs`, `website`.
pub(super) fn link(kind: &str, url: &str) -> Value {
    json!({ "type": kind, "url": url })
}

/// Where a file is, and its digest.
pub(super) fn file(url: &str, digest: &str) -> Value {
    json!({ "type": "distribution", "url": url, "hashes": [sha256(digest)] })
}

/// As its authors declare it, in the spelling of SPDX: some crates write `MIT/Apache-2.0`.
pub(super) fn license(said: &str, of: &str) -> Result<Value> {
    let expression = spdx::Expression::canonicalize(said)
        .with_context(|| format!("the licence of {of} is no SPDX expression: {said}"))?
        .unwrap_or_else(|| said.to_owned());
    spdx::Expression::parse(&expression)
        .with_context(|| format!("the licence of {of} is no SPDX expression: {said}"))?;
    Ok(json!({ "expression": expression, "acknowledgement": "declared" }))
}

/// <https://github.com/package-url/purl-spec>; `kind` may have a namespace behind a slash.
pub(super) fn purl(kind: &str, name: &str, version: &str) -> String {
    format!("pkg:{kind}/{}@{}", encoded(name), encoded(version))
}

/// Something that a release at GitHub holds, or else something at an address.
pub(super) fn purl_of_release(url: &str, name: &str, version: &str, sha256: &str) -> String {
    let at_github = || {
        let (repository, rest) =
            url.strip_prefix("https://github.com/")?.split_once("/releases/download/")?;
        let (owner, repository) = repository.split_once('/')?;
        let (tag, _) = rest.split_once('/')?;
        let kind = format!("github/{}", encoded(&owner.to_lowercase()));
        Some(purl(&kind, &repository.to_lowercase(), tag))
    };
    at_github().unwrap_or_else(|| {
        let of_it = purl("generic", name, version);
        format!("{of_it}?checksum=sha256:{sha256}&download_url={}", encoded(url))
    })
}

fn encoded(text: &str) -> String {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b".-_~".contains(byte);
    text.bytes()
        .map(|byte| if plain(&byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn package_urls() {
        assert_eq!(purl("cargo", "zstd-sys", "2.0.16+zstd.1.5.7"), "pkg:cargo/zstd-sys@2.0.16%2Bzstd.1.5.7");
        let of = |url: &str| purl_of_release(url, "mathesar", "0.12.0", "ab");
        let release =
            "https://github.com/Mathesar-Foundation/mathesar/releases/download/0.12.0/mathesar.tar.gz";
        assert_eq!(of(release), "pkg:github/mathesar-foundation/mathesar@0.12.0");
        assert_eq!(
            of("https://example.org/m 1.tar.gz"),
            "pkg:generic/mathesar@0.12.0?checksum=sha256:ab&download_url=https%3A%2F%2Fexample.org%2Fm%201.tar.gz"
        );
    }

    #[test]
    fn licences_are_spelled_as_spdx_does() {
        let of = |said: &str| license(said, "x").map(|license| license["expression"].clone());
        assert_eq!(of("MIT/Apache-2.0").unwrap(), "MIT OR Apache-2.0");
        assert_eq!(
            of("Apache-2.0 WITH LLVM-exception OR MIT").unwrap(),
            "Apache-2.0 WITH LLVM-exception OR MIT"
        );
        let refused = of("as you like").unwrap_err().to_string();
        assert_eq!(refused, "the licence of x is no SPDX expression: as you like");
    }
}
