mod archive;
mod catalog;
mod hostile;
mod living;
mod retention;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use crate::backup::archive::{MANIFEST, Sealed, Writer};
use crate::backup::manifest::{App, Kind, MadeBy, Manifest, Postgresql};
use crate::failure::Failure;
use crate::progress::Progress;

/// Marsaglia's xorshift64: the same numbers for the same seed, everywhere.
pub(super) struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    pub fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    pub fn bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| (self.next() >> 32) as u8).collect()
    }
}

/// Of `MATHESAR_TEST_SEED`, where somebody wants others.
pub(super) fn seed() -> u64 {
    let seed = std::env::var("MATHESAR_TEST_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(4);
    println!("seed {seed}");
    seed
}

#[derive(Default)]
pub(super) struct Notes(Mutex<Vec<String>>);

impl Notes {
    pub fn all(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

impl Progress for Notes {
    fn start(&self, _: &str) {}
    fn bytes(&self, _: u64, _: Option<u64>) {}
    fn note(&self, what: &str) {
        self.0.lock().unwrap().push(what.to_owned());
    }
    fn done(&self, _: &str) {}
}

pub(super) fn manifest() -> Manifest {
    Manifest {
        format: 1,
        kind: Kind::Physical,
        created: "2026-11-23T06:50:00Z".to_owned(),
        made_by: MadeBy::Timer,
        note: None,
        launcher: "0.12.0".to_owned(),
        app: App {
            version: "0.12.0".to_owned(),
            sha256: "4ad861eb".repeat(8),
            id: "0.12.0-4ad861eb4ad8".to_owned(),
            source: "https://example.org/mathesar.tar.gz".to_owned(),
        },
        postgresql: Postgresql {
            version: "15.18".to_owned(),
            major: 15,
            system_identifier: Some("7578218837474934831".to_owned()),
        },
        python: Some("3.11.2".to_owned()),
        scope: "home".to_owned(),
        state: "/home/me/state".into(),
        socket: Some("/home/me/state/socket".into()),
        port: 5432,
        os_user: "me".to_owned(),
        internal_database: "mathesar_django".to_owned(),
        user_database: Some("mathesar".to_owned()),
        unpacked_bytes: 4 << 20,
        secret_key_fingerprint: Some("0123".to_owned()),
        cannot_keep: Vec::new(),
        lacks: Vec::new(),
        unlogged: Vec::new(),
    }
}

/// An archive with this manifest and what `fill` packs after it.
pub(super) fn packed(
    path: &Path,
    manifest: &Manifest,
    fill: impl FnOnce(&mut Writer) -> Result<(), Failure>,
) -> Result<Sealed, Failure> {
    let mut writer = Writer::new(File::create_new(path).unwrap(), 3)?;
    writer.bytes(MANIFEST, 0o600, &manifest.to_bytes()?)?;
    fill(&mut writer)?;
    writer.finish()
}

/// Error and exit code, as a person gets them, with the folder's name left out.
pub(super) fn said(failure: Failure, folder: &Path) -> String {
    let (exit, text) = crate::failure::report(&failure.into());
    let text = format!("exit {}\n{}", exit as i32, anstream::adapter::strip_str(&text));
    text.replace(&*folder.to_string_lossy(), "FOLDER")
}

/// Names in a folder, sorted.
pub(super) fn names(folder: &Path) -> Vec<PathBuf> {
    let mut all: Vec<PathBuf> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path().strip_prefix(folder).unwrap().to_owned())
        .collect();
    all.sort();
    all
}
