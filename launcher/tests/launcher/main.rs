//! End-to-end tests of the `mathesar` binary.

mod bad;
mod change;
mod fuzz;
mod harness;
mod places;
mod show;
mod template;

use harness::Test;
