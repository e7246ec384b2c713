//! Cargo.lock, as far as it tells where a crate comes from.

use serde::Deserialize;

pub(super) const CRATES_IO: &str = "registry+https://github.com/rust-lang/crates.io-index";

#[derive(Deserialize)]
pub(super) struct Lock {
    pub package: Vec<Locked>,
}

#[derive(Deserialize)]
pub(super) struct Locked {
    pub name: String,
    pub version: String,
    pub source: Option<String>,
    pub checksum: Option<String>,
    #[serde(default)]
    pub dependencies: Vec<String>,
}
