//! Killed while it fetches and unpacks, and run again.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use tar::EntryType;

use super::server::{Answer, Server};
use super::unpack::{entry, gzip};
use crate::app::download::Wanted;
use crate::app::lookup::{Found, Whence};
use crate::app::store::Store;
use crate::app::{digest, files};
use crate::progress::Silent;

const FOLDER: &str = "MATHESAR_TEST_KILL";

/// Not a test: what is killed. Run by the one below, in a process of its own.
#[test]
fn victim() {
    let Some(folder) = std::env::var_os(FOLDER).map(PathBuf::from) else { return };
    let argument = |name: &str| fs::read_to_string(folder.join(name)).unwrap();
    let wanted =
        Wanted { name: "a.tar.gz".into(), url: argument("url"), sha256: argument("sha256"), size: None };
    // A machine that is busy is no broken server.
    let mut network = super::network();
    network.timeout = Duration::from_secs(30);
    let path = crate::app::download::fetch(&wanted, &folder.join("downloads"), &network, &Silent).unwrap();
    let store = Store::new(&folder.join("app"));
    let _lock = store.lock(&Silent).unwrap();
    let found = Found { path, sha256: wanted.sha256, size: 0, whence: Whence::Network };
    store.add(&found, "test", &Silent).unwrap();
}

#[test]
fn killed_at_any_moment_it_ends_well_the_next_time() {
    let mut tar = Vec::new();
    for (name, body) in
        [("manage.py", ""), ("requirements.txt", ""), ("mathesar/__init__.py", "__version__ = '1.0'\n")]
    {
        entry(&mut tar, name, EntryType::Regular, 0o644, body.as_bytes(), "");
    }
    // Bytes that do not compress, so that there is something to fetch.
    let mut noise = digest::of_bytes(b"seed");
    for number in 0..1500 {
        noise = digest::of_bytes(noise.as_bytes());
        entry(&mut tar, &format!("d/f{number}"), EntryType::Regular, 0o644, noise.repeat(20).as_bytes(), "");
    }
    let tarball = gzip(&tar);
    let server = Server::new(tarball.clone(), vec![Answer::Slow(tarball.len() / 8 + 1)]);
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("url"), format!("{}/a", server.address)).unwrap();
    fs::write(folder.path().join("sha256"), digest::of_bytes(&tarball)).unwrap();
    let start = || {
        Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "app::tests::kill::victim", "--nocapture"])
            .env(FOLDER, folder.path())
            .stdout(Stdio::null())
            .spawn()
            .unwrap()
    };
    let (mut downloading, mut unpacking) = (0, 0);
    for moment in 0..40u64 {
        let mut child = start();
        std::thread::sleep(Duration::from_millis(15 + moment * 11));
        child.kill().unwrap();
        child.wait().unwrap();
        let names = |name: &str| -> Vec<String> {
            let entries = fs::read_dir(folder.path().join(name)).into_iter().flatten().flatten();
            entries.map(|entry| entry.file_name().into_string().unwrap()).collect()
        };
        downloading += usize::from(names("downloads").iter().any(|name| name.ends_with(".partial")));
        unpacking += usize::from(names("app").iter().any(|name| name.ends_with(".new")));
        // What is listed is whole, whenever it was killed.
        let store = Store::new(&folder.path().join("app"));
        for release in store.list().unwrap() {
            assert!(store.verify(&release.id).unwrap().is_empty());
            files::remove_tree(&release.path).unwrap();
        }
        if moment % 8 == 7 {
            files::remove_tree(&folder.path().join("downloads")).unwrap();
        }
    }
    assert!(start().wait().unwrap().success());
    let store = Store::new(&folder.path().join("app"));
    let releases = store.list().unwrap();
    assert_eq!(releases.len(), 1);
    assert!(store.verify(&releases[0].id).unwrap().is_empty());
    let left = fs::read_dir(folder.path().join("app")).unwrap().count();
    assert_eq!(left, 2, "the lock and the release");
    eprintln!("killed 40 times, {downloading} of them while fetching, {unpacking} while unpacking");
}
