//! Everything that can be done before anybody has to wait: checks, unpacking, the release.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use super::settings::{self, Brought};
use super::unpacked;
use crate::app::store::{FROM_BACKUP, Installed, Store};
use crate::app::{files, install};
use crate::backup::archive;
use crate::backup::base::Verified;
use crate::backup::manifest::{Kind, Manifest};
use crate::backup::room;
use crate::backup::sound::{self, OF_RELEASE};
use crate::backup::unlogged;
use crate::database::{Binaries, Durability};
use crate::failure::{Exit, Failure};
use crate::installation::Installation;
use crate::progress::Progress;
use crate::secrets::fingerprint;
use crate::transaction::{self, Journal, Part, copy, movable, point};

/// Ready to be put in place.
#[derive(Debug)]
pub struct Prepared {
    pub manifest: Manifest,
    /// The archive's.
    pub digest: String,
    pub release: Installed,
}

/// Whether this backup can be restored here at all, as far as its first entry tells; touches nothing.
pub fn look(installation: &Installation, path: &Path) -> Result<(Manifest, Binaries), Failure> {
    let manifest = archive::read_manifest(path)?;
    if manifest.kind != Kind::Physical {
        return Err(Failure::new(format!("{} is a copy of somebody's own server, made by pg_dump", path.display()))
            .exit(Exit::Refused)
            .cause("by its manifest it holds no cluster that could be put in place")
            .help(format!("unpack it: `tar --zstd -xf {}`, and give its `portable/*.dump` to `pg_restore` on a server of yours", path.display())));
    }
    if installation.is_external() {
        return Err(Failure::new("this installation uses a server of your own, and the backup is of a private cluster")
            .exit(Exit::Refused)
            .help("restore it into a private one: `mathesar config unset database.url`, or `mathesar --instance NAME restore …`"));
    }
    let major = manifest.postgresql.major;
    let binaries = installation.search().for_major(major).map_err(|failure| {
        failure.help(format!(
            "the backup is of PostgreSQL {major}, and no other major opens its cluster; the `portable/*.dump` in it can be read by any"
        ))
    })?;
    if settings::are_here(installation) {
        fits(installation, &manifest)?;
    }
    Ok((manifest, binaries))
}

/// Whether the settings in force are ones that its data can be read with.
fn fits(installation: &Installation, manifest: &Manifest) -> Result<(), Failure> {
    let name = installation.config.text("database.name").unwrap_or("mathesar_django");
    if name != manifest.internal_database {
        let theirs = &manifest.internal_database;
        return Err(Failure::new(format!("the backup's internal database is named {theirs}, not {name}"))
            .exit(Exit::Refused)
            .help(format!("name it so here as well: `mathesar config set database.name {theirs}`")));
    }
    let configured = installation.configured_key()?;
    if let (Some(key), Some(wanted)) = (&configured, &manifest.secret_key_fingerprint)
        && fingerprint(key) != *wanted
    {
        return Err(Failure::new("the configured secret key is another than the one that the backup was made with")
            .exit(Exit::Refused)
            .cause("stored database passwords can be read with that key only")
            .help("let the backup's key be used: `mathesar config unset app.secret-key`, `mathesar config unset app.secret-key-file`"));
    }
    Ok(())
}

/// The same of the settings that it brings itself, for where there are none yet.
pub(crate) fn fits_its_own(
    installation: &Installation,
    folder: &Path,
    manifest: &Manifest,
) -> Result<(), Failure> {
    let mut there = installation.again()?;
    match settings::of_backup(installation, folder) {
        Brought::Nothing | Brought::Unfit(_) => Ok(()),
        Brought::Fitting(config) => {
            there.config = config;
            fits(&there, manifest)
        }
    }
}

/// Unpacks it beside the data, checks it, and installs its release. The restores' lock is held.
pub fn prepare(
    installation: &Installation,
    path: &Path,
    id: &str,
    progress: &dyn Progress,
) -> Result<Prepared, Failure> {
    let state = &installation.layout.state;
    let (manifest, binaries) = look(installation, path)?;
    for part in Part::ALL {
        movable(&part.live(state))?;
    }
    if Journal::read(state)?.is_none() {
        transaction::sweep(state, &Part::ALL, true);
    }
    if transaction::is_taken(state, id) {
        return Err(
            Failure::new(format!("another transaction has the name {id}")).help("run the same command again")
        );
    }
    let into = unpacked(state, id);
    let above = into.parent().unwrap_or(state);
    room::to_unpack(above, &manifest)?;
    crate::installation::private_folder(above)?;
    let prepared = unpack(installation, path, &into, &binaries, progress);
    if prepared.is_err() {
        discard(state, id);
    }
    prepared
}

/// What was refused leaves nothing.
pub fn discard(state: &Path, id: &str) {
    let above = Part::Database.aside(state);
    let _ = files::remove_tree(&above.join(id));
    // In an installation that was empty: each only if nothing is in it.
    let _ = std::fs::remove_dir(&above);
    let _ = std::fs::remove_dir(state.join("database"));
}

fn unpack(
    installation: &Installation,
    path: &Path,
    into: &Path,
    binaries: &Binaries,
    progress: &dyn Progress,
) -> Result<Prepared, Failure> {
    progress.start("Unpacking the backup");
    let archive::Unpacked { manifest, digest } = archive::unpack(
        path,
        into,
        &|name| !name.starts_with("portable/") && sound::is_wanted(name),
        progress,
    )?;
    progress.done(&format!("Unpacked {}: its digest is right", path.display()));
    manifest.tell_what_is_missing(progress);
    // The archive's modes are whoever's who packed it.
    for name in ["secrets", "config"] {
        let folder = into.join(name);
        if folder.is_dir() {
            std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o700))
                .map_err(|cause| Failure::io("close", &folder, cause))?;
        }
    }
    match sound::cluster(binaries, into)? {
        Verified::Yes => progress.done("Verified the cluster by pg_verifybackup"),
        Verified::NotRun(why) => {
            progress.note(&format!("the cluster was not compared with its digests: {why}"))
        }
    }
    sound::kind(into, &manifest, &sound::checks(into, path)?)?;
    sound::key(into, &manifest)?;
    fits(&settings::in_force(installation, into)?.0, &manifest)?;
    opens(installation, binaries, into, &manifest, progress)?;
    point("restore-unpacked");
    let store = installation.store();
    let release = match store.find(&manifest.app.id) {
        Ok(there) => {
            // Nothing is made of it here; elsewhere it would be refused, as the drill says.
            if let Err(failure) = sound::release(into, &manifest) {
                let version = &manifest.app.version;
                progress.note(&format!(
                    "{}; the Mathesar {version} that is installed here is used, and where none is, no restore takes this backup",
                    failure.whole()
                ));
            }
            there
        }
        Err(_) => add(&store, &manifest, into, progress)?,
    };
    // So that nothing needs the network while nobody is served.
    let _lock = store.lock(progress)?;
    install::prepare(&release, &installation.pinned, &installation.app(), progress)?;
    Ok(Prepared { release: store.find(&manifest.app.id)?, manifest, digest })
}

/// That the launcher will get into the database, before anybody has to wait for it; it has replayed its log by then, too.
fn opens(
    installation: &Installation,
    binaries: &Binaries,
    into: &Path,
    manifest: &Manifest,
    progress: &dyn Progress,
) -> Result<(), Failure> {
    progress.start("Starting a PostgreSQL on it");
    let limit = installation.config.duration("database.start-timeout").unwrap_or(Duration::from_secs(300));
    let place = into.parent().unwrap_or(into);
    let server = sound::server(binaries, into, place, Durability::Kept, limit)?;
    // It has set them back to their beginning when it replayed its log, and from now on it is ended in order.
    unlogged::set(&server, &manifest.unlogged)?;
    server.stop()?;
    progress.done("Opened its database");
    Ok(())
}

/// The release as the backup has it.
fn add(
    store: &Store,
    manifest: &Manifest,
    folder: &Path,
    progress: &dyn Progress,
) -> Result<Installed, Failure> {
    sound::release(folder, manifest)?;
    let (id, from) = (&manifest.app.id, &folder.join("release"));
    let _lock = store.lock(progress)?;
    let place = store.folder.join(id);
    let beside = files::beside(&store.folder.join("release"), "new");
    files::remove_tree(&beside)?;
    // Of what the archive has, the release's own: never an environment.
    let entries = std::fs::read_dir(from).map_err(|cause| Failure::io("read", from, cause))?;
    for entry in entries.flatten().filter(|entry| !OF_RELEASE.iter().any(|name| entry.file_name() == *name)) {
        files::remove_tree(&entry.path())?;
    }
    files::write(&from.join(FROM_BACKUP), b"")?;
    copy::relocate(from, &beside)?;
    files::discard(&place)?;
    files::rename(&beside, &place)?;
    progress.done(&format!("Brought Mathesar {} back from the backup", manifest.app.version));
    store.find(id)
}
