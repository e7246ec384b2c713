//! PostgreSQL: the private cluster, or a server of the user's.
//!
//! The cluster listens on a socket only. `state/database` holds its data (`data`) and a lock that the server itself
//! keeps for as long as any of its processes lives, so that there is never a second one on the same data.

mod check;
mod cluster;
mod conf;
mod discover;
mod distribution;
mod embedded;
mod explain;
mod external;
mod held;
mod leftover;
mod provision;
mod psql;
mod regain;
mod running;
pub mod scratch;
mod service;
mod session;
mod settings;
mod status;
mod stragglers;
mod url;

pub use cluster::{Cluster, Owner, existing_major, os_user};
pub(crate) use cluster::{REPLICATION_SECRET, SECRETS, SUPERUSER_SECRET};
pub use conf::WRITES;
pub use discover::{Binaries, Origin, Search};
pub use distribution::Distribution;
pub use embedded::binaries as embedded_binaries;
pub use external::{External, Facts};
pub use held::HeldLog;
pub use provision::Provisioned;
pub use psql::{identifier, literal};
pub(crate) use regain::superuser_password;
pub use running::{Running, ServerCommand, adopt};
pub use scratch::{Durability, Scratch};
pub use service::Postgres;
pub use session::{Session, private_url};
pub use settings::Settings;
pub use status::{CollationMismatch, Status};
pub use stragglers::outlived;
pub(crate) use url::Address;

/// Mathesar's own role.
pub const ROLE: &str = "mathesar";
/// Names of Mathesar's schemas, and so of no role that it logs in as: `"$user"` in search_path would break its queries.
pub const RESERVED_ROLES: &[&str] = &["msar", "__msar", "mathesar_types"];
/// The launcher's superuser, which nothing but the launcher logs in as.
pub const SUPERUSER: &str = "mathesar_launcher";
/// The launcher's role for physical copies.
pub const REPLICATION: &str = "mathesar_backup";
/// A part of the socket's name; the cluster has no TCP port.
pub const PORT: u16 = 5432;

/// Whether a role that may make roles is kept to those: before 16 it may give itself all but superusers'.
pub const fn contains_role_makers(major: u32) -> bool {
    major >= 16
}
