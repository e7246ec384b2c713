//! The drill and a restore are of one mind: what one of them refuses, the other does not call good.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use mathesar::backup::archive;
use serde_json::{Value, json};

use crate::harness::Home;
use crate::restore::{backed_up, backup_of, shown};
use crate::restore_refused::{sealed_anew, with_manifest};
use crate::upgrade::{precious, rita_reads};

fn edit(path: &Path, change: impl FnOnce(&mut Value)) {
    let mut value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    change(&mut value);
    fs::write(path, value.to_string()).unwrap();
}

fn walk(folder: &Path, found: &mut dyn FnMut(&Path)) {
    for entry in fs::read_dir(folder).unwrap().flatten() {
        match entry.file_type().unwrap().is_dir() {
            true => walk(&entry.path(), found),
            false => found(&entry.path()),
        }
    }
}

#[test]
fn what_a_restore_refuses_is_no_good_backup() {
    let Some(home) = Home::prepared() else { return };
    let (backup, before, table) = backed_up(&home);
    home.ok(&["backup", "verify", &shown(&backup)]);
    let refused = |path: &Path, wanted: &str| {
        for args in [&["backup", "verify"][..], &["restore", "--yes", "--without-backup"]] {
            let output = home.mathesar(&[args, &[&shown(path)]].concat());
            // By one exit code for one cause: whatever is wrong with the archive itself, nobody is kept waiting for it.
            assert_eq!(output.status, 4, "{args:?} {wanted}: {}", output.stderr);
            assert!(!output.stderr.contains("everything is as it was before"), "{args:?}: {}", output.stderr);
            assert!(output.stderr.contains(wanted), "{args:?} {wanted}: {}", output.stderr);
        }
        assert_eq!(home.status()["state"], "running", "{wanted}");
    };
    let manifests: [(&str, Value, &str); 3] = [
        ("id", json!("../../outside"), "`app.id` is not what its version and digest say"),
        ("version", json!("99"), "`app.id` is not what its version and digest say"),
        ("sha256", json!("4ad8"), "`app.sha256` is no digest"),
    ];
    for (name, value, wanted) in manifests {
        refused(&with_manifest(&home, &backup, |manifest| manifest["app"][name] = value), wanted);
    }
    let large =
        with_manifest(&home, &backup, |manifest| manifest["unpacked_bytes"] = json!(43_000_000_000_000_u64));
    refused(&large, "about 43000.03 GB are needed and");
    refused(&large, "that have to stay free");
    refused(&large, "`mathesar backup prune`, `mathesar app prune`");
    let sealed = |change: &dyn Fn(&Path)| sealed_anew(&home, &backup, |folder| change(folder));
    let settings = sealed(&|folder| {
        let path = folder.join("cluster/postgresql.auto.conf");
        fs::write(&path, fs::read_to_string(&path).unwrap() + "shared_preload_libraries = 'nothing'\n")
            .unwrap();
    });
    refused(&settings, "postgresql.auto.conf in the backup's cluster is another than was copied");
    let key = sealed(&|folder| fs::write(folder.join("secrets/secret-key"), "another\n").unwrap());
    refused(&key, "the secret key in the backup is another than the data were made with");
    let superuser =
        sealed(&|folder| fs::write(folder.join("secrets/database-superuser"), "another\n").unwrap());
    refused(&superuser, "`secrets/database-superuser` is not the one that it was made with");
    let without = sealed(&|folder| {
        for name in ["database-superuser", "database-superuser.pgpass"] {
            fs::remove_file(folder.join("secrets").join(name)).unwrap();
        }
    });
    let output = home.ok(&["backup", "verify", &shown(&without)]);
    assert!(output.stdout.contains("not run: its password is not in the backup"), "{}", output.stdout);
    let replication =
        sealed(&|folder| fs::write(folder.join("secrets/database-replication"), "two\nlines\n").unwrap());
    refused(&replication, "secrets/database-replication must hold one line");
    let kept =
        sealed(&|folder| fs::write(folder.join("secrets/secret-key.fingerprint"), "another\n").unwrap());
    refused(&kept, "is that of another secret key");
    let database = sealed(&|folder| {
        edit(&folder.join("manifest.json"), |manifest| manifest["internal_database"] = json!("elsewhere"));
    });
    refused(&database, "elsewhere");
    let checks = sealed(&|folder| fs::write(folder.join("checks.json"), r#"{"tables":[]}"#).unwrap());
    refused(&checks, "does not tell what its tables hold");

    // A copy that nobody lists is one that nobody reads to its end.
    let few = sealed(&|folder| {
        edit(&folder.join("checks.json"), |checks| checks["dumps"].as_array_mut().unwrap().truncate(1));
    });
    let output = home.mathesar(&["backup", "verify", &shown(&few)]);
    assert_eq!(output.status, 1, "{}", output.stderr);
    assert!(output.stderr.contains("portable copies: there is none of the database"), "{}", output.stderr);

    let kind =
        sealed(&|folder| edit(&folder.join("manifest.json"), |manifest| manifest["kind"] = json!("logical")));
    let output = home.mathesar(&["backup", "verify", &shown(&kind)]);
    assert_eq!(output.status, 4, "{}", output.stderr);
    let said = "it says that this is a copy made by pg_dump, and it holds a cluster";
    assert!(output.stderr.contains(said) && !output.stderr.contains("pg_largeobject"), "{}", output.stderr);

    // Here it is installed, and a restore needs it not; elsewhere it would.
    let release = sealed(&|folder| fs::write(folder.join("release/tree/manage.py"), "other").unwrap());
    let output = home.mathesar(&["backup", "verify", &shown(&release)]);
    assert_eq!(output.status, 4, "{}", output.stderr);
    assert!(output.stderr.contains("manage.py: changed"), "{}", output.stderr);
    let where_it_works = "a restore works only where Mathesar 1.0.0 is installed already, as it is here";
    assert!(output.stderr.contains(where_it_works), "{}", output.stderr);
    let output = home.ok(&["restore", "--yes", "--without-backup", &shown(&release)]);
    let said = "manage.py: changed; the Mathesar 1.0.0 that is installed here is used";
    assert!(output.stderr.contains(said), "{}", output.stderr);
    assert_eq!(precious(&home), before);
    let Some(empty) = Home::installed() else { return };
    let moved = empty.folder().join("moved.tar.zst");
    fs::copy(&release, &moved).unwrap();
    crate::machine::give(&moved, empty.user);
    let id = archive::read_manifest(&release).unwrap().app.id;
    let there = empty.layout.state.join("app").join(id);
    if there.exists() {
        fs::rename(&there, empty.folder().join("elsewhere")).unwrap();
    }
    let output = empty.mathesar(&["restore", "--yes", &shown(&moved)]);
    assert_eq!(output.status, 4, "{}", output.stderr);
    assert!(output.stderr.contains("manage.py: changed"), "{}", output.stderr);
    assert!(!there.exists());

    // Bytecode that no list tells of is not what runs, and what is served is collected again.
    let bytecode = sealed(&|folder| {
        let mut changed = 0;
        walk(&folder.join("release/tree"), &mut |path| {
            if path.extension().is_some_and(|end| end == "pyc") {
                let header = fs::read(path).unwrap()[..16].to_vec();
                fs::write(path, header).unwrap();
                changed += 1;
            }
        });
        assert!(changed > 10, "{changed}");
        fs::write(folder.join("release/tree/static/evil.js"), "evil").unwrap();
        fs::set_permissions(folder.join("secrets"), fs::Permissions::from_mode(0o755)).unwrap();
    });
    home.ok(&["backup", "verify", &shown(&bytecode)]);
    fs::copy(&bytecode, &moved).unwrap();
    empty.ok(&["restore", "--yes", &shown(&moved)]);
    assert!(there.join("tree/static").is_dir() && !there.join("tree/static/evil.js").exists());
    let secrets = fs::metadata(empty.layout.state.join("secrets")).unwrap();
    assert_eq!(secrets.permissions().mode() & 0o777, 0o700);
    empty.ok(&["stop"]);

    assert_eq!(precious(&home), before);
    rita_reads(&home, &table);

    // What the application cannot work with, a restore takes back.
    home.sql("mathesar_django", "DROP TABLE django_session CASCADE");
    let broken = shown(&backup_of(&home));
    for args in [&["backup", "verify"][..], &["restore", "--yes", "--without-backup"]] {
        let output = home.mathesar(&[args, &[&*broken]].concat());
        assert_eq!(output.status, 1, "{args:?}: {}", output.stderr);
        assert!(output.stderr.contains("django_session"), "{args:?}: {}", output.stderr);
    }
}
