//! Real servers, real tarballs, real wheels.

mod download;
mod environment;
mod install;
mod kill;
mod proxy;
mod server;
mod unpack;
mod whole;

use std::path::Path;
use std::sync::Mutex;

use super::Settings;
use super::network::Network;
use crate::failure::Failure;
use crate::progress::Progress;

/// Remembers what was said.
#[derive(Default)]
pub(super) struct Told(Mutex<Vec<String>>);

impl Told {
    pub fn all(&self) -> String {
        self.0.lock().unwrap().join("\n")
    }
}

impl Progress for Told {
    fn start(&self, what: &str) {
        self.0.lock().unwrap().push(format!("start {what}"));
    }
    fn bytes(&self, _: u64, _: Option<u64>) {}
    fn note(&self, what: &str) {
        self.0.lock().unwrap().push(format!("note {what}"));
    }
    fn done(&self, what: &str) {
        self.0.lock().unwrap().push(format!("done {what}"));
    }
}

/// As a person reads it.
pub(super) fn said(failure: Failure) -> String {
    let (exit, text) = crate::failure::report(&anyhow::Error::new(failure));
    format!("exit {}\n{}", exit as i32, anstream::adapter::strip_str(&text))
}

pub(super) fn settings(folder: &Path) -> Settings {
    Settings {
        store: folder.join("state/app"),
        cache: folder.join("cache"),
        tools: folder.join("state/tools"),
        share: Some(folder.join("share")),
        network: network(),
        ..Settings::default()
    }
}

pub(super) fn network() -> Network {
    Network {
        timeout: std::time::Duration::from_millis(1500),
        attempts: 3,
        pause: std::time::Duration::from_millis(5),
        ..Network::default()
    }
}
