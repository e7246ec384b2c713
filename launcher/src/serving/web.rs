//! The first gunicorn, begun while the rest is still being prepared.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use super::lock_of;
use crate::server::{Listener, Warm};
use crate::steps::{Step, World};
use crate::supervise::log::Sink;
use crate::web_settings::gunicorn;

/// Begins the first gunicorn as soon as it can be of use: once there is an environment, the database is known, and one of the two
/// that need a processor of their own for seconds, static files and tables, is done.
#[derive(Default)]
pub(super) struct Warming {
    done: Mutex<BTreeSet<Step>>,
    warm: Mutex<Option<Warm>>,
}

impl Warming {
    pub(super) fn after(&self, step: Step, world: &World, listener: &Listener, sink: &Arc<dyn Sink>) {
        let can_begin = |done: &BTreeSet<Step>| {
            [Step::Python, Step::Postgresql].iter().all(|step| done.contains(step))
                && [Step::Static, Step::Migrate].iter().any(|step| done.contains(step))
        };
        {
            let mut done = lock_of(&self.done);
            let before = can_begin(&done);
            done.insert(step);
            if before || !can_begin(&done) {
                return;
            }
        }
        // What is wrong is said by the start itself, which does without.
        let warm = gunicorn(world).and_then(|settings| Warm::begin(settings, listener, sink));
        *lock_of(&self.warm) = warm.ok();
    }

    pub(super) fn take(&self) -> Option<Warm> {
        lock_of(&self.warm).take()
    }
}
