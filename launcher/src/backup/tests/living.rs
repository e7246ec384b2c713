//! Folders that somebody writes to while they are packed.

use std::fs::{self, File};
use std::path::Path;

use super::manifest;
use crate::backup::archive::{MANIFEST, Writer, unpack};
use crate::progress::{Progress, Silent};

/// Files that people upload meanwhile: as long as they were when they were opened.
#[test]
fn what_grows_and_shrinks_meanwhile_is_cut_or_filled_where_that_may_be() {
    let folder = tempfile::tempdir().unwrap();
    let scratch = folder.path();
    let file = scratch.join("media/growing");
    fs::create_dir(scratch.join("media")).unwrap();
    struct Meddler<'a>(&'a Path, u64, std::sync::atomic::AtomicBool);
    impl Progress for Meddler<'_> {
        fn start(&self, _: &str) {}
        fn bytes(&self, _: u64, _: Option<u64>) {
            if !self.2.swap(true, std::sync::atomic::Ordering::SeqCst) {
                fs::OpenOptions::new().write(true).open(self.0).unwrap().set_len(self.1).unwrap();
            }
        }
        fn note(&self, _: &str) {}
        fn done(&self, _: &str) {}
    }
    for (number, length) in [1_000_000, 200_000].into_iter().enumerate() {
        fs::write(&file, vec![b'x'; 500_000]).unwrap();
        let path = scratch.join(format!("{number}.tar.zst"));
        let mut writer = Writer::new(File::create(&path).unwrap(), 1).unwrap();
        writer.bytes(MANIFEST, 0o600, &manifest().to_bytes().unwrap()).unwrap();
        let meddler = Meddler(&file, length, false.into());
        writer.living_tree("media", &scratch.join("media"), &meddler).unwrap();
        writer.finish().unwrap();
        let into = scratch.join(number.to_string());
        unpack(&path, &into, &|_| true, &Silent).unwrap();
        assert_eq!(fs::read(into.join("media/growing")).unwrap().len(), 500_000);
        fs::write(&file, vec![b'x'; 500_000]).unwrap();
        let mut writer = Writer::new(File::create(&path).unwrap(), 1).unwrap();
        writer.bytes(MANIFEST, 0o600, &manifest().to_bytes().unwrap()).unwrap();
        let meddler = Meddler(&file, length, false.into());
        writer.tree("media", &scratch.join("media"), &meddler).unwrap_err();
    }
}
