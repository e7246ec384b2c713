//! Who signs, who will, and who has: how one key takes the other's place.
//!
//! Three phases. Old: one key. Both: it signs, and the next one is published beside it, so that whoever looks in meanwhile knows both.
//! New: the next one signs. What the old one has signed and cannot be signed again, as no byte once served ever changes, are packages of dnf
//! and pacman: its public half stays in their files until the last of these is gone. apt looks at the index's signature alone.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Result, bail};
use serde::{Deserialize, Serialize};

use super::folder::files;
use super::key::{Public, Ring};
use super::{Key, Site};

/// Of one repository, as its facts have them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Keys {
    /// Which signs. None: nothing was signed yet.
    #[serde(default)]
    pub present: Option<Public>,
    /// Which will.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<Public>,
    /// Which have.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub former: Vec<Former>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Former {
    #[serde(flatten)]
    pub key: Public,
    /// What carries its signature, below the folder.
    pub packages: BTreeSet<String>,
}

impl Keys {
    /// As they are when this key signs. Nothing is written; what is there tells what the one before has signed.
    pub(super) fn turned(&self, site: &Site<'_>, dir: &Path) -> Result<Keys> {
        let key = site.key;
        let mut keys = self.clone();
        let is = |other: &Public| other.fingerprint == key.fingerprint;
        if let Some(before) = self.present.as_ref().filter(|before| !is(before)) {
            if !self.next.as_ref().is_some_and(is) && !site.again {
                bail!(crate::Refused(format!(
                    "{} signs here, and {} was not announced: who reads would refuse it\nhelp: announce it: `cargo xtask repo sign \
                     DIR --key {} --next {}`; if the present key is lost: `cargo xtask repo sign DIR --key {} --again`",
                    before.fingerprint, key.fingerprint, before.fingerprint, key.fingerprint, key.fingerprint
                )));
            }
            keys.former.retain(|former| !is(&former.key));
            let others: BTreeSet<&String> = keys.former.iter().flat_map(|former| &former.packages).collect();
            let packages = signed(dir)?.into_iter().filter(|package| !others.contains(package)).collect();
            keys.former.retain(|former| former.key.fingerprint != before.fingerprint);
            keys.former.push(Former { key: before.clone(), packages });
            keys.next = keys.next.filter(|next| !is(next));
        }
        keys.present = Some(key.public()?);
        if site.no_next {
            keys.next = None;
        }
        if let Some(next) = site.next {
            if next.fingerprint == key.fingerprint {
                bail!("{} signs already: another one is the next", key.fingerprint);
            }
            keys.next = Some(next.public()?);
        }
        Ok(keys)
    }

    /// Somebody may know one key and not the other: every package manager has to be told, and what was begun ended.
    pub(super) fn are_changing(&self) -> bool {
        self.next.is_some() || !self.former.is_empty()
    }

    /// Forgets keys of which nothing is left. True: there were some.
    pub(super) fn forget(&mut self, dir: &Path) -> bool {
        let before = self.former.len();
        self.former.retain(|former| former.packages.iter().any(|package| dir.join(package).exists()));
        self.former.len() < before
    }
}

/// The packages that are signed one by one.
fn signed(dir: &Path) -> Result<Vec<String>> {
    let mut all = Vec::new();
    for path in [files(&dir.join("dnf/Packages"))?, files(&dir.join("pacman"))?].concat() {
        let name = path.strip_prefix(dir).unwrap_or(&path).to_string_lossy().into_owned();
        all.extend([".rpm", ".pkg.tar.zst"].iter().any(|ending| name.ends_with(ending)).then_some(name));
    }
    Ok(all)
}

impl Site<'_> {
    /// Whose signatures of an index are to be believed: the present one's, and the next one's.
    pub(super) fn announced(&self) -> Result<Vec<Public>> {
        let mut all = match &self.keys.present {
            Some(present) => vec![present.clone()],
            None => vec![self.key.public()?],
        };
        all.extend(self.keys.next.clone());
        Ok(all)
    }

    /// Also those whose packages are still there.
    pub(super) fn published(&self) -> Result<Vec<Public>> {
        let mut all = self.announced()?;
        for former in &self.keys.former {
            if all.iter().all(|one| one.fingerprint != former.key.fingerprint) {
                all.push(former.key.clone());
            }
        }
        Ok(all)
    }

    /// That for dnf and pacman, which know one set of keys for packages and index.
    pub(super) fn published_text(&self) -> Result<String> {
        Ring::armored(&self.published()?)
    }

    /// Whether this is the signature of the key that signs now.
    pub(super) fn is_signed(&self, signature: &Path, data: Option<&Path>) -> bool {
        self.key.verify(signature, data).is_ok()
    }
}

/// What was asked for by `--next`.
pub(super) fn next(fingerprint: Option<&String>) -> Result<Option<Key>> {
    fingerprint.map(|fingerprint| Key::of_next(fingerprint)).transpose()
}
