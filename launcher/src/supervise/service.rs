//! What the supervisor needs of a service; PostgreSQL and gunicorn are two.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::failure::Failure;

/// Set when a start that is under way is no longer wanted.
#[derive(Debug, Clone, Default)]
pub struct Cancel(Arc<AtomicBool>);

impl Cancel {
    pub fn cancel(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    pub fn cancelled(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }

    /// Refuses to go on once somebody has asked for the end.
    pub(crate) fn check(&self) -> Result<(), Failure> {
        if self.cancelled() { Err(Failure::new("it was told to stop")) } else { Ok(()) }
    }

    /// What fails then, fails because everything ends.
    pub(crate) fn or(&self, why: Failure) -> Failure {
        self.check().err().unwrap_or(why)
    }

    pub(crate) fn clear(&self) {
        self.0.store(false, Ordering::SeqCst);
    }
}

/// Tells the supervisor that a service's process ended without being asked to.
#[derive(Clone)]
pub struct Exits(pub(crate) Arc<dyn Fn(String) + Send + Sync>);

impl Exits {
    pub fn new(tell: impl Fn(String) + Send + Sync + 'static) -> Exits {
        Exits(Arc::new(tell))
    }

    pub fn ended(&self, how: String) {
        (self.0)(how);
    }
}

/// Something that runs. Its methods are called from a thread of its own, one at a time, and may block.
pub trait Service: Send {
    fn name(&self) -> &'static str;

    /// Starts it, and returns when it does its work. Looks at `cancel` at least once a second. After an error nothing
    /// of it runs. Starting what runs already is right after its process died and left something behind.
    fn start(&mut self, exits: &Exits, cancel: &Cancel) -> Result<(), Failure>;

    /// Whether it does its work; must come back within some seconds.
    fn probe(&mut self) -> Result<(), Failure>;

    /// Another one in its place, without a gap where the service can do that. After an error the old one goes on.
    fn replace(&mut self, exits: &Exits, cancel: &Cancel) -> Result<(), Failure>;

    /// Ends it in good order; after its grace by force. Harmless when nothing runs.
    fn stop(&mut self);
}
