//! The package's units on a really booted systemd.
#![cfg(target_os = "linux")]
// Clippy knows #[test] functions, but not what they are made of.
#![allow(clippy::unwrap_used)]

mod autostart;
mod backup;
mod faults;
mod gone;
mod instance;
mod machine;
#[path = "../sample/mod.rs"]
mod sample;
mod service;
mod site;
mod unit;
mod unit_files;
