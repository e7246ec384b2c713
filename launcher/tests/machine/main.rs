//! The package's units on a really booted systemd. `machine` and `base` know nothing of Mathesar.
#![cfg(target_os = "linux")]
// Clippy knows #[test] functions, but not what they are made of.
#![allow(clippy::unwrap_used)]

mod autostart;
mod backup;
mod base;
mod faults;
mod instance;
mod machine;
#[path = "../sample/mod.rs"]
mod sample;
mod service;
mod site;
mod unit;
mod unit_files;
