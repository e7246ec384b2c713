//! The one graph of what has to be true before Mathesar answers. `plan` prints it, `start` walks it, and the commands for
//! one step alone walk a part of it.

mod access;
mod administrator;
mod event;
mod feed;
mod graph;
mod outlook;
mod tables;
mod work;
mod world;

pub use access::{Exposure, admin_exists, exposure, refused_elsewhere};
pub use administrator::{FIRST_ADMIN, FIRST_PASSWORD};
pub(crate) use event::Telling;
pub use event::{Event, Kind, Watcher, stage};
pub use feed::Feed;
pub use graph::walk;
pub use outlook::{Download, Outlook, Serving, State, outlook, refusal};
pub use tables::compare;
pub use work::{MIGRATED, migrated_by};
pub use world::{Wanted, World};

/// One thing that has to be true.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    Config,
    Release,
    Python,
    Static,
    Postgresql,
    Cluster,
    Database,
    Migrate,
    Activate,
    Admin,
    Server,
    // An upgrade's own; nothing of the graph needs them.
    Check,
    Copy,
    Hold,
    Exact,
    Sql,
    Health,
    Commit,
    Undo,
}

/// What an upgrade does besides.
const UPGRADE: &[Step] =
    &[Step::Check, Step::Copy, Step::Hold, Step::Exact, Step::Sql, Step::Health, Step::Commit, Step::Undo];

/// All but the last, in an order in which they may be done one after another.
pub const SETUP: &[Step] = &[
    Step::Config,
    Step::Release,
    Step::Postgresql,
    Step::Cluster,
    Step::Python,
    Step::Database,
    Step::Static,
    Step::Migrate,
    Step::Activate,
    Step::Admin,
];

impl Step {
    /// As scripts see it.
    pub fn name(self) -> &'static str {
        match self {
            Step::Config => "config",
            Step::Release => "release",
            Step::Python => "python",
            Step::Static => "static-files",
            Step::Postgresql => "postgresql",
            Step::Cluster => "cluster",
            Step::Database => "database",
            Step::Migrate => "migrate",
            Step::Activate => "activate",
            Step::Admin => "admin",
            Step::Server => "server",
            Step::Check => "check",
            Step::Copy => "copy",
            Step::Hold => "hold",
            Step::Exact => "exact-copy",
            Step::Sql => "sql",
            Step::Health => "health",
            Step::Commit => "commit",
            Step::Undo => "undo",
        }
    }

    pub fn parse(name: &str) -> Option<Step> {
        SETUP.iter().chain(UPGRADE).copied().chain([Step::Server]).find(|step| step.name() == name)
    }

    /// What a person reads.
    pub fn title(self) -> &'static str {
        match self {
            Step::Config => "settings and secrets",
            Step::Release => "the release of Mathesar",
            Step::Python => "its Python environment",
            Step::Static => "static files",
            Step::Postgresql => "PostgreSQL's programs",
            Step::Cluster => "the database cluster",
            Step::Database => "the database server",
            Step::Migrate => "Mathesar's tables",
            Step::Activate => "the current release",
            Step::Admin => "the administrator",
            Step::Server => "the web server",
            Step::Check => "the checks before it",
            Step::Copy => "the copy of the data, while it serves",
            Step::Hold => "the end of serving",
            Step::Exact => "the copy, exact to the last byte",
            Step::Sql => "the SQL in connected databases",
            Step::Health => "the new release's health",
            Step::Commit => "the decision",
            Step::Undo => "the way back",
        }
    }

    /// What has to be true before.
    pub fn needs(self) -> &'static [Step] {
        match self {
            Step::Config => &[],
            Step::Release | Step::Postgresql => &[Step::Config],
            Step::Python => &[Step::Release],
            Step::Static => &[Step::Python],
            Step::Cluster => &[Step::Postgresql],
            Step::Database => &[Step::Cluster],
            Step::Migrate => &[Step::Python, Step::Database],
            Step::Activate => &[Step::Static, Step::Migrate],
            Step::Admin => &[Step::Migrate],
            Step::Server => &[Step::Activate, Step::Admin],
            Step::Check
            | Step::Copy
            | Step::Hold
            | Step::Exact
            | Step::Sql
            | Step::Health
            | Step::Commit
            | Step::Undo => &[],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_is_one_that_works() {
        for (index, step) in SETUP.iter().enumerate() {
            for needed in step.needs() {
                assert!(SETUP[..index].contains(needed), "{step:?} stands before {needed:?}");
            }
            assert_eq!(Step::parse(step.name()), Some(*step));
        }
    }
}
