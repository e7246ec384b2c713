//! What was found when it began, with the settings that are in force by now: for whatever comes after a restart.

use std::sync::{Arc, Mutex};

use super::lock_of;
use super::shown::Served;
use crate::installation::Fingerprint;
use crate::steps::World;

#[derive(Clone)]
pub(super) struct Present {
    worlds: Arc<Mutex<Worlds>>,
    pub(super) served: Served,
}

struct Worlds {
    now: Arc<World>,
    /// With the settings of a restart that has begun: a web server that does not start with them leaves them out of force.
    next: Option<(Fingerprint, Arc<World>)>,
}

impl Present {
    pub(super) fn new(world: &Arc<World>) -> Present {
        let worlds = Worlds { now: Arc::clone(world), next: None };
        Present { worlds: Arc::new(Mutex::new(worlds)), served: Served::default() }
    }

    pub(super) fn next(&self, world: World) {
        // The one before may have come into force.
        self.get();
        lock_of(&self.worlds).next = Some((world.installation.fingerprint(), Arc::new(world)));
    }

    pub(super) fn get(&self) -> Arc<World> {
        let in_force = self.served.get().and_then(|(_, in_force)| {
            let running = lock_of(&in_force);
            running.as_ref().map(|gunicorn| gunicorn.made_from.clone())
        });
        let mut worlds = lock_of(&self.worlds);
        if let Some((made_from, next)) = &worlds.next
            && in_force.as_ref() == Some(made_from)
        {
            worlds.now = Arc::clone(next);
            worlds.next = None;
        }
        Arc::clone(&worlds.now)
    }
}
