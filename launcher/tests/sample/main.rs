//! The sample application itself, installed and run by hand: what other tests build on has to be so.

// Clippy knows #[test] functions, but not what they are made of.
#![allow(clippy::unwrap_used)]

mod life;
mod releases;
#[path = "mod.rs"]
mod sample;
mod upgrade;
mod world;
