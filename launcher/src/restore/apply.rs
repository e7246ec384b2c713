//! The exchange, nobody being served: as short as it can be, and taken back as a whole where any of it fails.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::{SETTINGS, unpacked};
use crate::app::files;
use crate::backup::manifest::Manifest;
use crate::config::{self, Outside};
use crate::database::{Postgres, literal};
use crate::failure::Failure;
use crate::installation::Installation;
use crate::layout::Scope;
use crate::steps::{Step, Wanted, Watcher, World, stage, walk};
use crate::supervise::log::Sink;
use crate::supervise::{Cancel, in_full};
use crate::transaction::{self, Journal, Kind, Part, Stage, copy, point, swap_in};
use crate::upgrade::health;
use crate::upgrade::script::{self, Request, Sql};
use crate::web_settings::gunicorn;

/// What came of it.
#[derive(Debug)]
pub struct Applied {
    pub manifest: Manifest,
    /// The backup's settings are in force here now; otherwise they lie beside.
    pub settings: bool,
    /// Its release is held, as it is not the one that this launcher brings.
    pub held: bool,
}

/// Puts a prepared backup in place. The state lock is held, and nothing runs.
pub fn apply(
    installation: Installation,
    id: &str,
    watcher: &dyn Watcher,
    sink: &Arc<dyn Sink>,
    cancel: &Cancel,
) -> Result<Applied, Failure> {
    let state = installation.layout.state.clone();
    let folder = unpacked(&state, id);
    let path = folder.join("manifest.json");
    let text = std::fs::read(&path).map_err(|cause| Failure::io("read", &path, cause))?;
    let manifest = Manifest::parse(&text, &path)?;
    // First, as they may say where uploaded files are.
    let settings = place_settings(&installation, &folder, &state)?;
    let installation = installation.again()?;
    let store = installation.store();
    let pinned = crate::app::store::Store::id(&installation.pinned.version, &installation.pinned.sha256);
    let held = manifest.app.id != pinned;
    let own_media = installation.media() == Part::Media.live(&state);
    let parts: Vec<Part> = Part::ALL.into_iter().filter(|part| own_media || *part != Part::Media).collect();
    let from = store.current()?.map(|release| release.id);
    let mut journal = Journal::new(&state, Kind::Restore, from, manifest.app.id.clone(), parts);
    id.clone_into(&mut journal.id);
    // Nothing replaces it by itself: whoever restores an old one wants to see it first.
    journal.hold = held.then(|| manifest.app.id.clone());
    journal.write(&state)?;
    point("restore-open");
    let work =
        Work { installation: &installation, journal: &journal, manifest: &manifest, watcher, sink, cancel };
    if let Err(why) = work.forward(&folder) {
        let undone = stage(watcher, Step::Undo, |_| {
            if settings {
                files::remove_tree(&installation.layout.config_file())?;
            }
            transaction::undo(&state, &journal)
        });
        transaction::record(&state, &journal, "taken back", Some(&in_full(&why)));
        let failure = Failure::new(format!("the backup was not restored: {}", in_full(&why)));
        let failure = why.helps().iter().fold(failure, |failure, help| failure.help(help.clone()));
        return Err(match undone {
            Ok(()) => failure.help("everything is as it was before; nothing is lost"),
            Err(undone) => {
                failure.help(format!("the next start goes on taking it back: {}", in_full(&undone)))
            }
        });
    }
    journal.stage = Stage::Committed;
    journal.write(&state)?;
    point("restore-committed");
    if !own_media {
        add_media(&folder.join("media"), &installation.media())?;
    }
    files::remove_tree(&folder)?;
    transaction::finish(&state, &journal)?;
    transaction::record(&state, &journal, "done", None);
    Ok(Applied { manifest, settings, held })
}

struct Work<'a> {
    installation: &'a Installation,
    journal: &'a Journal,
    manifest: &'a Manifest,
    watcher: &'a dyn Watcher,
    sink: &'a Arc<dyn Sink>,
    cancel: &'a Cancel,
}

impl Work<'_> {
    fn forward(&self, folder: &Path) -> Result<(), Failure> {
        let state = &self.installation.layout.state;
        stage(self.watcher, Step::Exact, |_| {
            for part in &self.journal.parts {
                let new = part.side(state, &self.journal.id).join("new");
                let name = if *part == Part::Database { "cluster" } else { part.name() };
                crate::installation::private_folder(new.parent().unwrap_or(state))?;
                match folder.join(name) {
                    from if from.is_dir() => move_to(&from, &new)?,
                    // Nobody had uploaded anything.
                    _ => crate::installation::private_folder(&new)?,
                }
            }
            point("restore-placed");
            for part in &self.journal.parts {
                swap_in(&part.live(state), &part.side(state, &self.journal.id))?;
                point("restore-swapped");
            }
            Ok(())
        })?;
        // Secrets, and perhaps another major's programs, came with the data.
        let installation = self.installation.again()?;
        let timeout =
            installation.config.duration("database.start-timeout").unwrap_or(Duration::from_secs(300));
        let postgres = Postgres::new(Arc::clone(self.sink), timeout);
        let mut world = World::new(installation, postgres, false);
        world.for_admin = true;
        world.wanted = Wanted::Installed(self.manifest.app.id.clone());
        let result = self.prove(&world);
        world.postgres.bring_down();
        result
    }

    /// Starts its database, tells it where it lives now, and lets the application write and read.
    fn prove(&self, world: &World) -> Result<(), Failure> {
        walk(&[Step::Database, Step::Static], self.watcher, &|step, progress| world.work(step, progress))?;
        point("restore-started");
        let cluster = world.cluster().ok_or_else(|| Failure::new("the backup has no cluster"))?;
        let own = cluster.socket.to_string_lossy().into_owned();
        if let Some(old) = self.manifest.socket.as_ref().map(|path| path.to_string_lossy().into_owned())
            && old != own
        {
            // Where somebody has connected this very path before, that one stays.
            let (old, new) = (literal(&old), literal(&own));
            world.query(&format!(
                "UPDATE mathesar_server SET host = {new} WHERE host = {old} AND NOT EXISTS (SELECT FROM mathesar_server other \
                 WHERE other.host = {new} AND other.port IS NOT DISTINCT FROM mathesar_server.port);"
            ))?;
        }
        let config = &world.installation.config;
        let request = Request { migrate: false, sql: Sql::None, write: true, own_host: Some(own) };
        let release = world.release()?;
        let limit = |name: &str, otherwise| config.duration(name).unwrap_or(Duration::from_secs(otherwise));
        stage(self.watcher, Step::Health, |progress| {
            let (variables, sink) = (world.variables()?, self.sink);
            script::run(
                &release,
                &variables,
                &request,
                limit("upgrade.migrate-timeout", 3600),
                self.cancel,
                sink,
                progress,
            )?;
            health::page(gunicorn(world)?, limit("upgrade.health-timeout", 120), self.cancel, sink)
        })?;
        world.remember_tables(&release.id)?;
        point("restore-healthy");
        match self.cancel.cancelled() {
            true => Err(Failure::new("it was told to stop")),
            false => Ok(()),
        }
    }
}

/// Where there are none here and they load without a mistake, the backup's; beside in any case. True: they are in force.
fn place_settings(installation: &Installation, folder: &Path, state: &Path) -> Result<bool, Failure> {
    let (from, beside) = (folder.join("config"), state.join(SETTINGS));
    if !from.is_dir() {
        return Ok(false);
    }
    files::remove_tree(&beside)?;
    copy::begin(&from, &beside, &Cancel::default(), &crate::progress::Silent)?;
    let layout = &installation.layout;
    let text = std::fs::read(from.join("mathesar.conf")).unwrap_or_default();
    if layout.scope == Scope::System || layout.config_file().exists() || text.is_empty() {
        return Ok(false);
    }
    crate::installation::private_folder(&layout.config)?;
    files::write(&layout.config_file(), &text)?;
    let outside =
        Outside { environment: installation.environment.clone(), service_variables: false, flags: &[] };
    if config::load(layout, &outside).accept().is_err() {
        // Of another machine, where other paths are right.
        files::remove_tree(&layout.config_file())?;
        return Ok(false);
    }
    Ok(true)
}

/// A rename; a copy where that is another disk.
pub(super) fn move_to(from: &Path, to: &Path) -> Result<(), Failure> {
    match std::fs::rename(from, to) {
        Ok(()) => to.parent().map_or(Ok(()), files::sync_folder),
        Err(cause) if cause.kind() == std::io::ErrorKind::CrossesDevices => {
            let half = files::beside(to, "new");
            files::remove_tree(&half)?;
            copy::begin(from, &half, &Cancel::default(), &crate::progress::Silent)?;
            files::rename(&half, to)?;
            files::remove_tree(from)
        }
        Err(cause) => Err(Failure::io("move", from, cause)),
    }
}

/// Into a folder of the user's: nothing there is removed, and nothing replaced.
fn add_media(from: &Path, to: &Path) -> Result<(), Failure> {
    if !from.is_dir() {
        return Ok(());
    }
    let mut all = Vec::new();
    files::walk(from, &mut |path, found| {
        if found.is_file() {
            all.push(path.to_owned());
        }
    })
    .map_err(|cause| Failure::io("read", from, cause))?;
    for path in all {
        let target = to.join(path.strip_prefix(from).unwrap_or(&path));
        if target.exists() {
            continue;
        }
        if let Some(folder) = target.parent() {
            files::create_folder(folder)?;
        }
        let beside = files::beside(&target, "new");
        std::fs::copy(&path, &beside).map_err(|cause| Failure::io("write", &beside, cause))?;
        files::rename(&beside, &target)?;
    }
    Ok(())
}
