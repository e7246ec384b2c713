//! `cargo xtask`: builds, checks and publishes the packages. See `cargo xtask --help`.

mod artifact;
mod channel;
mod manifest;
mod template;
mod tools;

fn main() {}
