//! All of it: from a pin or a file to a complete release in the store.

use std::path::Path;

use super::download::Wanted;
use super::environment::{self, Pythons};
use super::lookup::{self, Found, Whence};
use super::store::{Installed, Store};
use super::{Settings, files, python, static_files};
use crate::failure::{Exit, Failure};
use crate::progress::Progress;
use crate::release::Release;

/// The pinned release's tarball.
pub fn wanted(pinned: &Release) -> Wanted {
    Wanted {
        name: format!("mathesar-{}.tar.gz", pinned.version),
        url: pinned.url.clone(),
        sha256: pinned.sha256.clone(),
        size: pinned.size,
    }
}

/// The tarball: the file that was named, else the pinned one.
pub fn tarball(
    pinned: &Release,
    from: Option<&Path>,
    settings: &Settings,
    progress: &dyn Progress,
) -> Result<Found, Failure> {
    match from {
        Some(path) => {
            let found = lookup::named(path)?;
            progress.note(&format!("{} has the SHA-256 {}", path.display(), found.sha256));
            Ok(found)
        }
        None => lookup::find(&wanted(pinned), "app", settings, progress),
    }
}

/// Fetches (or takes `from`) and unpacks; what is there already stays.
pub fn unpack(
    pinned: &Release,
    from: Option<&Path>,
    settings: &Settings,
    progress: &dyn Progress,
) -> Result<Installed, Failure> {
    let store = Store::new(&settings.store);
    let _lock = store.lock(progress)?;
    unpack_locked(&store, pinned, from, settings, progress)
}

/// Unpacks a file whose digest was read; `source` is what is recorded as its origin.
pub fn unpack_file(
    found: &Found,
    source: &str,
    settings: &Settings,
    progress: &dyn Progress,
) -> Result<Installed, Failure> {
    let store = Store::new(&settings.store);
    let _lock = store.lock(progress)?;
    progress.note(&format!("{source} has the SHA-256 {}", found.sha256));
    store.add(found, source, progress)
}

/// Puts a release's files back: from this file, else from where its tarball came from.
pub fn again(
    id: &str,
    tarball: Option<&Found>,
    pinned: &Release,
    settings: &Settings,
    progress: &dyn Progress,
) -> Result<Installed, Failure> {
    let store = Store::new(&settings.store);
    let _lock = store.lock(progress)?;
    let release = store.find(id)?;
    let tarball = match tarball {
        Some(tarball) => tarball.clone(),
        None => origin(&release, pinned, settings, progress)?,
    };
    store.restore(&release, &tarball, progress)?;
    store.find(id)
}

fn origin(
    release: &Installed,
    pinned: &Release,
    settings: &Settings,
    progress: &dyn Progress,
) -> Result<Found, Failure> {
    if release.sha256 == pinned.sha256 {
        return lookup::find(&wanted(pinned), "app", settings, progress);
    }
    if release.source.contains("://") {
        let wanted = Wanted {
            name: format!("mathesar-{}.tar.gz", release.version),
            url: release.source.clone(),
            sha256: release.sha256.clone(),
            size: None,
        };
        return lookup::find(&wanted, "app", settings, progress);
    }
    lookup::named(Path::new(&release.source)).map_err(|failure| {
        failure.help(format!(
            "name its tarball, whose SHA-256 is {}: `mathesar app install --again --from FILE`",
            release.sha256
        ))
    })
}

fn unpack_locked(
    store: &Store,
    pinned: &Release,
    from: Option<&Path>,
    settings: &Settings,
    progress: &dyn Progress,
) -> Result<Installed, Failure> {
    let there = match from {
        Some(_) => None,
        // One that a backup has brought, and that nobody has taken yet, is compared with the tarball.
        None => {
            let trusted = |there: &Installed| there.current || !there.is_from_backup();
            store.list()?.into_iter().find(|there| there.sha256 == pinned.sha256 && trusted(there))
        }
    };
    let release = match there {
        Some(there) => there,
        None => {
            let found = tarball(pinned, from, settings, progress)?;
            let source = match found.whence {
                Whence::Network => pinned.url.clone(),
                _ => found.path.to_string_lossy().into_owned(),
            };
            store.add(&found, &source, progress)?
        }
    };
    if from.is_none() && release.version != pinned.version {
        return Err(Failure::new(format!(
            "the pinned tarball says that it is {}, not {}",
            release.version, pinned.version
        ))
        .exit(Exit::Refused));
    }
    Ok(release)
}

/// Fetches (or takes `from`), unpacks, and prepares a release; does not activate it. What is there already stays.
pub fn install(
    pinned: &Release,
    from: Option<&Path>,
    settings: &Settings,
    progress: &dyn Progress,
) -> Result<Installed, Failure> {
    let store = Store::new(&settings.store);
    let _lock = store.lock(progress)?;
    let release = unpack_locked(&store, pinned, from, settings, progress)?;
    prepare(&release, pinned, settings, progress)?;
    if from.is_some() {
        store.hold(Some(&release.id))?;
    }
    store.find(&release.id)
}

/// Environment and static files of an unpacked release: also what `start` does to the current one.
pub fn prepare(
    release: &Installed,
    pinned: &Release,
    settings: &Settings,
    progress: &dyn Progress,
) -> Result<(), Failure> {
    take_lock(release, settings)?;
    let pythons = Pythons { supported: &pinned.python, places: python::Places::of_this_process() };
    environment::ensure(&release.path, &pythons, settings, progress)?;
    static_files::ensure(&release.path, progress)
}

/// The lock goes with the release: the environment can be built again after a newer package has brought another one.
pub(crate) fn take_lock(release: &Installed, settings: &Settings) -> Result<(), Failure> {
    let to = release.path.join("app.lock");
    let Some(lock) = settings.share.as_ref().map(|share| share.join("app.lock")) else { return Ok(()) };
    if to.exists() || !lock.is_file() {
        return Ok(());
    }
    let text = std::fs::read_to_string(&lock).map_err(|cause| Failure::io("read", &lock, cause))?;
    let line = format!("# release-sha256: {}", release.sha256);
    if text.lines().any(|found| found.trim_end() == line) {
        files::write(&to, text.as_bytes())?;
    }
    Ok(())
}
