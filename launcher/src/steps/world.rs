//! What the steps have found and made so far, and what is done in each.

use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::app::environment::Unsettled;
use crate::app::lookup::Found;
use crate::app::store::Installed;
use crate::application::{self, Variables};
use crate::database::{Cluster, External, Postgres};
use crate::failure::Failure;
use crate::installation::Installation;

/// One walk's surroundings.
pub struct World {
    pub installation: Installation,
    /// Starts the private cluster's server where nobody else has.
    pub postgres: Postgres,
    /// A running launcher has the database already.
    pub attached: bool,
    /// The address that is really listened on, where it is not `server.listen`.
    pub listen: Option<String>,
    /// The walk is there to make the first administrator, or serves nobody: nobody needs to exist before.
    pub for_admin: bool,
    /// The release that the walk is about.
    pub wanted: Wanted,
    /// A file's release is held as soon as it is unpacked: whoever goes on after a break-off goes on with it.
    pub holds: bool,
    slots: Mutex<Slots>,
    unsettled: Mutex<Option<Unsettled>>,
}

/// Which release a walk is about.
#[derive(Debug, Clone, Default)]
pub enum Wanted {
    /// The one that runs, or is to run: the current one, else the held one, else the pinned one.
    #[default]
    ToRun,
    /// The one that would come next, whichever is current: the held one, else the pinned one.
    Next,
    /// The pinned one, whichever is held.
    Pinned,
    /// One that is installed, by its id.
    Installed(String),
    /// A file's, whose digest was read already; `source` is what is recorded.
    File { found: Found, source: String },
    /// One that is installed, its files put back from its tarball.
    Again { id: String, tarball: Option<Found> },
}

#[derive(Default)]
struct Slots {
    release: Option<Installed>,
    cluster: Option<Cluster>,
    client: Option<PathBuf>,
    variables: Option<Variables>,
}

impl World {
    pub fn new(installation: Installation, postgres: Postgres, attached: bool) -> World {
        World {
            installation,
            postgres,
            attached,
            listen: None,
            for_admin: false,
            wanted: Wanted::default(),
            holds: false,
            slots: Mutex::default(),
            unsettled: Mutex::default(),
        }
    }

    /// What another walk has found, with other settings.
    pub fn like(installation: Installation, other: &World) -> Result<World, Failure> {
        let mut world = World::new(installation, other.postgres.clone(), other.attached);
        world.listen = other.listen.clone();
        {
            let (mut own, found) = (world.slots(), other.slots());
            own.release = found.release.clone();
            own.cluster = found.cluster.clone();
            own.client = found.client.clone();
        }
        Ok(world)
    }

    fn slots(&self) -> MutexGuard<'_, Slots> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn set_release(&self, release: Installed) {
        self.slots().release = Some(release);
    }

    /// Another release takes the place of the one that was found.
    pub fn change_release(&self, release: Installed) {
        let mut slots = self.slots();
        slots.release = Some(release);
        slots.variables = None;
    }

    pub(super) fn set_unsettled(&self, environment: Option<Unsettled>) {
        *self.unsettled.lock().unwrap_or_else(PoisonError::into_inner) = environment;
    }

    /// Whoever asks second waits until it is done.
    pub(super) fn settle(&self) -> Result<(), Failure> {
        let mut unsettled = self.unsettled.lock().unwrap_or_else(PoisonError::into_inner);
        unsettled.take().map_or(Ok(()), Unsettled::settle)
    }

    /// After a walk that has failed elsewhere: a finished environment is kept, which took minutes and a network. Without it
    /// the next walk builds another, so nothing is told of it here.
    pub fn keep_finished(&self) {
        let _ = self.settle();
    }

    pub(super) fn set_cluster(&self, cluster: Cluster) {
        self.slots().cluster = Some(cluster);
    }

    pub(super) fn set_client(&self, psql: Option<PathBuf>) {
        self.slots().client = psql;
    }

    pub(super) fn client(&self) -> Option<PathBuf> {
        self.slots().client.clone()
    }

    /// The release that runs, or is to run; after the step that finds it.
    pub fn release(&self) -> Result<Installed, Failure> {
        self.slots().release.clone().ok_or_else(|| {
            Failure::new("Mathesar is not installed yet").help("install it: `mathesar app install`")
        })
    }

    /// The private cluster, after the step that finds its programs; none where the server is the user's.
    pub fn cluster(&self) -> Option<Cluster> {
        self.slots().cluster.clone()
    }

    /// The user's server.
    pub fn external(&self) -> Result<Option<External>, Failure> {
        External::of(&self.installation.config)
    }

    pub fn listen(&self) -> &str {
        self.listen.as_deref().unwrap_or_else(|| self.installation.listen())
    }

    /// Mathesar's environment, the database with it.
    pub fn variables(&self) -> Result<Variables, Failure> {
        if let Some(variables) = &self.slots().variables {
            return Ok(variables.clone());
        }
        let release = self.release()?;
        let key = self.installation.secret_key()?;
        let mut variables =
            application::of(&self.installation, &key, &application::interpreter(&release.path))?;
        let of_database = match (self.external()?, self.cluster()) {
            (Some(external), _) => external.environment(),
            (None, Some(cluster)) => cluster.environment(),
            (None, None) => {
                return Err(Failure::new("there is no database yet").help("make it: `mathesar db init`"));
            }
        };
        variables.extend(of_database.into_iter().map(|(name, value)| (name.into(), value.into())));
        self.slots().variables = Some(variables.clone());
        Ok(variables)
    }

    /// The number that the database's next transaction gets: it moves with every write of anybody's.
    pub fn next_transaction(&self) -> Option<u64> {
        const ASK: &str = "SELECT pg_catalog.txid_snapshot_xmax(pg_catalog.txid_current_snapshot());";
        self.query(ASK).ok()?.trim().parse().ok()
    }

    /// Runs SQL in the internal database as Mathesar's own role.
    pub fn query(&self, sql: &str) -> Result<String, Failure> {
        if let Some(external) = self.external()? {
            let client = self.client().ok_or_else(|| Failure::new("there is no psql"))?;
            return external.query(&client, &self.installation.secrets, sql);
        }
        match self.cluster() {
            Some(cluster) => cluster.query(&cluster.settings.name, sql),
            None => Err(Failure::new("there is no database yet")),
        }
    }
}
