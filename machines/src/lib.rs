//! Throw-away machines: Debian trees by mmdebstrap, an overlay each, booted by systemd-nspawn, gone with their value. Nothing here
//! knows of Mathesar.
#![cfg(target_os = "linux")]

mod base;
mod machine;
mod way;

pub use base::{Base, Recipe, missing, run_over, scratch, sources};
pub use machine::{Binds, LIMIT, Machine, Ran, until};
pub use way::Way;
