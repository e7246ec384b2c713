//! End-to-end tests of the `mathesar` binary.

// Clippy knows #[test] functions, but not what they are made of.
#![allow(clippy::unwrap_used)]

mod bad;
mod change;
mod cures;
mod fuzz;
mod harness;
mod places;
mod show;
mod template;

use harness::Test;
