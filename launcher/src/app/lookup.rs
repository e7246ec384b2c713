//! Where a pinned file is found: beside the launcher, in the cache, on the network.

use std::path::{Path, PathBuf};

use super::Settings;
use super::download::{self, Wanted};
use super::{digest, files};
use crate::failure::{Exit, Failure};
use crate::progress::Progress;

/// A file of this machine whose digest was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    pub path: PathBuf,
    pub sha256: String,
    pub size: u64,
    pub whence: Whence,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whence {
    /// `--from FILE`
    Named,
    /// `<prefix>/share/mathesar`
    Beside,
    Cache,
    Network,
}

/// A file that a person names is taken under its own digest.
pub fn named(path: &Path) -> Result<Found, Failure> {
    match path.metadata() {
        Ok(found) if found.is_file() => {}
        Ok(_) => return Err(Failure::new(format!("{} is no file", path.display())).exit(Exit::Usage)),
        Err(cause) => return Err(Failure::io("read", path, cause).exit(Exit::Usage)),
    }
    let (sha256, size) = digest::of_file(path)?;
    Ok(Found { path: path.to_owned(), sha256, size, whence: Whence::Named })
}

/// Places where the file may lie already, without looking: for `plan`, and for the message of an offline machine.
pub fn places(wanted: &Wanted, kind: &str, settings: &Settings) -> Vec<(PathBuf, Whence)> {
    let mut places: Vec<(PathBuf, Whence)> = Vec::new();
    for folder in settings.beside(kind) {
        places.push((folder.join(&wanted.name), Whence::Beside));
        // As upstream calls it, for whoever has only copied it there.
        let upstream = wanted.url.rsplit('/').next().unwrap_or_default();
        if !upstream.is_empty() && upstream != wanted.name {
            places.push((folder.join(upstream), Whence::Beside));
        }
    }
    places.push((settings.downloads().join(wanted.cached_name()), Whence::Cache));
    places.push((settings.downloads().join(&wanted.name), Whence::Cache));
    if kind == "wheels" {
        places.push((settings.cache.join("wheels").join(&wanted.name), Whence::Cache));
    }
    places
}

/// The file where it lies already; others of its name are told and passed over.
pub fn here(
    wanted: &Wanted,
    kind: &str,
    settings: &Settings,
    progress: &dyn Progress,
) -> Result<Option<Found>, Failure> {
    for (path, whence) in places(wanted, kind, settings) {
        if !path.is_file() {
            continue;
        }
        let (sha256, size) = digest::of_file(&path)?;
        if sha256 == wanted.sha256 {
            return Ok(Some(Found { path, sha256, size, whence }));
        }
        let expected = &wanted.sha256;
        progress
            .note(&format!("{} is not used: its SHA-256 is {sha256}, expected {expected}", path.display()));
        if path.ends_with(wanted.cached_name()) {
            // The launcher's own copy, damaged.
            files::remove_tree(&path)?;
        }
    }
    Ok(None)
}

/// The file, fetched where it has to be. `kind` is the folder in `share/mathesar`: `app` or `wheels`.
pub fn find(
    wanted: &Wanted,
    kind: &str,
    settings: &Settings,
    progress: &dyn Progress,
) -> Result<Found, Failure> {
    if let Some(found) = here(wanted, kind, settings, progress)? {
        return Ok(found);
    }
    if settings.network.offline {
        return Err(missing(wanted, kind, settings));
    }
    let path = download::fetch(wanted, &settings.downloads(), &settings.network, progress)?;
    let size = path.metadata().map_err(|cause| Failure::io("read", &path, cause))?.len();
    Ok(Found { path, sha256: wanted.sha256.clone(), size, whence: Whence::Network })
}

/// Wanted, and not to be fetched.
pub fn missing(wanted: &Wanted, kind: &str, settings: &Settings) -> Failure {
    let to = settings.downloads().join(&wanted.name);
    let mut failure =
        Failure::new(format!("{} is not on this machine, and the network is not to be used", wanted.name))
            .cause(format!("`network.offline` is set; wanted: {} (SHA-256 {})", wanted.url, wanted.sha256))
            .exit(Exit::Refused)
            .help(format!(
                "fetch it elsewhere and put it here: `mkdir -p {}`, `cp {} {}`",
                to.parent().unwrap_or(&to).display(),
                wanted.name,
                to.display()
            ));
    if let Some(folder) = settings.beside(kind).first() {
        failure = failure.help(format!("or there, for every user: {}", folder.join(&wanted.name).display()));
    }
    failure
}
