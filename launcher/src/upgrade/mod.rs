//! The upgrade: a transaction over application and data. Whatever fails before its commit, the old release serves the old data
//! again, as they were when serving stopped.

pub mod automatic;
pub mod back;
pub mod health;
pub mod preflight;
pub mod refusal;
pub mod releases;
mod run;
pub mod script;
pub mod written;

use std::time::Duration;

use crate::failure::Failure;

pub use back::Back;
pub use run::{Run, finish_sql};

/// Whoever serves visitors meanwhile.
pub trait Serving: Send + Sync {
    /// Nobody is served any more, and everything is down: gunicorn after its last answer, PostgreSQL in good order.
    fn hold(&self) -> Result<(), Failure>;

    /// Everything is up again, with the release that is current now.
    fn resume(&self) -> Result<(), Failure>;

    /// Whether anybody is served at all.
    fn is_somebody(&self) -> bool {
        true
    }
}

/// Nobody does: Mathesar is stopped.
#[derive(Debug, Clone, Copy)]
pub struct Nobody;

impl Serving for Nobody {
    fn hold(&self) -> Result<(), Failure> {
        Ok(())
    }

    fn resume(&self) -> Result<(), Failure> {
        Ok(())
    }

    fn is_somebody(&self) -> bool {
        false
    }
}

/// How it ended well.
#[derive(Debug)]
pub struct Done {
    /// From the last answer of the old release to the first of the new one; none where nobody was served.
    pub downtime: Option<Duration>,
    pub databases: Vec<script::Database>,
}
