//! `packaging/mathesar.toml`: read, checked, and turned into a [`Package`]. No output, no side effects.

mod changelog;
mod check;
mod cross;
mod depends;
mod files;
mod model;
mod package;
mod problem;
mod publishing;
mod read;
mod schema;
#[cfg(test)]
mod tests;
mod walk;

pub(crate) use changelog::Release;
pub(crate) use depends::Need;
pub(crate) use files::Installed;
pub(crate) use model::*;
pub(crate) use package::Package;
pub(crate) use problem::Problems;
pub(crate) use publishing::{Outlet, Paused};
pub(crate) use read::load;
pub(crate) use schema::schema_json;
