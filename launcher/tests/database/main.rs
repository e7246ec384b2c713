//! The database with real PostgreSQL servers, as an unprivileged user. What a machine lacks is told as `not run`.
#![allow(clippy::unwrap_used)]

mod embedded;
mod external;
mod faults;
mod harness;
mod private;
