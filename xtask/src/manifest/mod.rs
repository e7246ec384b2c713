//! `packaging/mathesar.toml`: read, checked, and turned into a [`Package`]. No output, no side effects.

mod changelog;
mod depends;
mod files;
mod model;
mod package;

pub(crate) use changelog::Release;
pub(crate) use depends::Need;
pub(crate) use files::Installed;
pub(crate) use model::*;
pub(crate) use package::Package;
