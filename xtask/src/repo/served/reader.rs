//! What a package manager starts from, looked at as it does: each signature by the key that is served beside it, each file by its digest.

use std::collections::BTreeMap;
use std::fmt;

use anyhow::{Context as _, Result};

use super::Get;
use crate::digest;
use crate::repo::key::{Public, Ring};

/// Something is served that nobody could install from. It may be the middle of a publication.
#[derive(Debug)]
pub(super) struct Unsound {
    what: String,
    /// A publication that was killed looks so too: the next one has to go on from there.
    pub unfinished: bool,
}

impl fmt::Display for Unsound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl std::error::Error for Unsound {}

pub(super) fn unsound(what: String) -> anyhow::Error {
    Unsound { what, unfinished: false }.into()
}

pub(super) fn unfinished(what: String) -> anyhow::Error {
    Unsound { what, unfinished: true }.into()
}

pub(super) struct Reader<'a> {
    get: Get<'a>,
    /// What it starts from, by address.
    pub start: BTreeMap<String, Vec<u8>>,
    /// None: gpg is absent, and that was said.
    ring: Option<Ring>,
}

impl<'a> Reader<'a> {
    /// Who knows the key that is served as `key`, and no other. None: nothing of this is there, so that there is no such repository.
    pub(super) fn new(get: Get<'a>, key: &str, others: &[String]) -> Result<Option<Reader<'a>>> {
        let all: Vec<String> = [key.to_owned()].into_iter().chain(others.iter().cloned()).collect();
        let Some(start) = all_or_none(get, &all)? else { return Ok(None) };
        let ring = match crate::tools::on_path("gpg") {
            Some(_) => Some(ring(key, start.get(key).map(Vec::as_slice).unwrap_or_default())?),
            None => {
                crate::ui::warning(format!("not verified by {key}: gpg is not on PATH"));
                None
            }
        };
        Ok(Some(Reader { get, start, ring }))
    }

    /// Further ones, of which all are there or none is.
    pub(super) fn and(&mut self, others: &[String]) -> Result<bool> {
        let found = all_or_none(self.get, others)?;
        let there = found.is_some();
        self.start.extend(found.unwrap_or_default());
        Ok(there)
    }

    pub(super) fn text(&self, at: &str) -> Result<&str> {
        let bytes = self.start.get(at).with_context(|| format!("{at} was not asked for"))?;
        std::str::from_utf8(bytes).map_err(|_| unsound(format!("{at} is not UTF-8")))
    }

    pub(super) fn fetch(&self, at: &str) -> Result<Vec<u8>> {
        (self.get)(at)?.ok_or_else(|| unsound(format!("{at} is named and not there")))
    }

    pub(super) fn fetch_exact(&self, at: &str, sha256: &str) -> Result<Vec<u8>> {
        let bytes = self.fetch(at)?;
        match digest::bytes(&bytes) == sha256 {
            true => Ok(bytes),
            false => Err(unsound(format!("{at} has another digest than is told"))),
        }
    }

    /// A signature beside what it signs; the error says in which way that is wrong.
    pub(super) fn is_signed(
        &self,
        at: &str,
        data: &[u8],
        signature: &[u8],
        wrong: fn(String) -> anyhow::Error,
    ) -> Result<()> {
        let Some(ring) = &self.ring else { return Ok(()) };
        let known = ring.believes(signature, Some(data));
        known.map(drop).map_err(|cause| wrong(format!("{at} is no good signature: {cause:#}")))
    }

    /// What a signature is around.
    pub(super) fn within(&self, at: &str) -> Result<String> {
        let text = self.text(at)?;
        // apt wants these lines to the letter, and nothing around them; gpg does not.
        let whole = text.starts_with("-----BEGIN PGP SIGNED MESSAGE-----\n")
            && text.contains("\n-----BEGIN PGP SIGNATURE-----\n")
            && text.ends_with("\n-----END PGP SIGNATURE-----\n");
        if !whole {
            return Err(unsound(format!("{at} has no good signature: it is not signed inline")));
        }
        let Some(ring) = &self.ring else { return Ok(text.to_owned()) };
        ring.believes(text.as_bytes(), None)
            .map_err(|cause| unsound(format!("{at} has no good signature: {cause:#}")))
    }
}

fn ring(at: &str, armored: &[u8]) -> Result<Ring> {
    let key = Public { fingerprint: String::new(), armored: String::from_utf8_lossy(armored).into_owned() };
    Ring::of(&[key]).map_err(|cause| unsound(format!("{at} holds no key: {cause:#}")))
}

fn all_or_none(get: Get<'_>, all: &[String]) -> Result<Option<BTreeMap<String, Vec<u8>>>> {
    let mut found = BTreeMap::new();
    for at in all {
        found.extend(get(at)?.map(|bytes| (at.clone(), bytes)));
    }
    match all.iter().find(|at| !found.contains_key(*at)) {
        None => Ok(Some(found)),
        Some(_) if found.is_empty() => Ok(None),
        Some(absent) => Err(unfinished(format!("{absent} is not there"))),
    }
}
