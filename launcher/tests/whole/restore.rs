//! Backups put in place: of the same installation, elsewhere, of another release; and broken off.

use std::fs;
use std::path::PathBuf;

use serde_json::{Value, json};

use crate::harness::Home;
use crate::http::request;
use crate::sample::release;
use crate::upgrade::{fill, kill_everything, precious, rita_reads};
use crate::witness::{Random, kills};

/// A backup of a filled home; where it is, what was precious, and its table.
fn backed_up(home: &Home) -> (PathBuf, Value, Value) {
    home.ok(&["start"]);
    let table = fill(home);
    let before = precious(home);
    let made: Value = serde_json::from_str(&home.ok(&["backup", "create", "--json"]).stdout).unwrap();
    (PathBuf::from(made["path"].as_str().unwrap()), before, table)
}

fn shown(path: &std::path::Path) -> String {
    path.display().to_string()
}

#[test]
fn what_was_deleted_comes_back() {
    let Some(home) = Home::prepared() else { return };
    let (backup, before, table) = backed_up(&home);
    home.sql("people", "DELETE FROM cats");
    home.sql("mathesar_django", "DELETE FROM mathesar_exploration");
    // Not without a word: there are data here.
    let output = home.mathesar(&["restore", &shown(&backup)]);
    assert_eq!(output.status, 4, "{}", output.stderr);
    assert!(output.stderr.contains("mathesar restore --yes"), "{}", output.stderr);
    let output = home.ok(&["restore", "--yes", &shown(&backup)]);
    assert!(output.stderr.contains("Restored Mathesar 1.0.0"), "{}", output.stderr);
    // It ran, so it runs.
    assert_eq!(home.status()["state"], "running");
    assert_eq!(precious(&home), before);
    rita_reads(&home, &table);
    // What was there was backed up, and is kept aside as well.
    let list: Value = serde_json::from_str(&home.ok(&["backup", "list", "--json"]).stdout).unwrap();
    assert!(list.as_array().unwrap().iter().any(|one| one["made_by"] == "restore"), "{list:#}");
    home.ok(&["rollback", "--discard-newer"]);
    assert_eq!(home.sql("people", "SELECT count(*) FROM cats"), "0");
    home.ok(&["rollback", "--discard-newer"]);
    assert_eq!(precious(&home), before);
}

#[test]
fn another_place_and_another_release() {
    let Some(home) = Home::prepared() else { return };
    let (backup, mut before, table) = backed_up(&home);
    // Elsewhere, where nothing is yet but a newer release.
    let Some(other) = Home::bare() else { return };
    other.pin(&release("2.0.0", None));
    let copy = other.folder().join("moved.tar.zst");
    fs::copy(&backup, &copy).unwrap();
    crate::machine::give(&copy, other.user);
    let output = other.ok(&["restore", &shown(&copy)]);
    assert!(output.stderr.contains("Mathesar 1.0.0 is held"), "{}", output.stderr);
    home.ok(&["stop"]);
    // Nothing of the old place is needed.
    fs::rename(&home.layout.state, home.folder().join("gone")).unwrap();
    other.ok(&["start"]);
    std::thread::sleep(std::time::Duration::from_secs(1));
    let status = other.status();
    assert_eq!((&status["version"], &status["state"]), (&json!("1.0.0"), &json!("running")), "{status:#}");
    // The folder's name is in what is compared.
    let mut now = precious(&other);
    (before["media"], now["media"]) = (Value::Null, Value::Null);
    assert_eq!(now, before);
    rita_reads(&other, &table);
    let databases = other.admin("databases.configured.list", json!({}));
    assert_eq!(databases[0]["host"], json!(shown(&other.layout.database_socket)));
    let page = request(other.port, "GET /auth/login/ HTTP/1.1", b"", crate::harness::PATIENCE).unwrap();
    assert_eq!(page.status, 200);
    // And from there on to the newer one.
    other.ok(&["upgrade"]);
    assert_eq!(other.status()["version"], "2.0.0");
    rita_reads(&other, &table);
    fs::rename(home.folder().join("gone"), &home.layout.state).unwrap();
}

#[test]
fn a_spoilt_backup_touches_nothing() {
    let Some(home) = Home::prepared() else { return };
    let (backup, before, table) = backed_up(&home);
    let whole = fs::read(&backup).unwrap();
    let mut random = Random::new(7);
    let spoilt = home.folder().join("spoilt.tar.zst");
    for number in 0..12 {
        let mut bytes = whole.clone();
        let what = match number {
            0..10 => {
                let at = random.below(bytes.len() as u64) as usize;
                bytes[at] ^= 1 << random.below(8);
                format!("byte {at}")
            }
            10 => {
                bytes.truncate(bytes.len() - 1);
                "the last byte is missing".to_owned()
            }
            _ => {
                bytes.truncate(bytes.len() / 2);
                "half of it is missing".to_owned()
            }
        };
        fs::write(&spoilt, &bytes).unwrap();
        crate::machine::give(&spoilt, home.user);
        let output = home.mathesar(&["restore", "--yes", "--without-backup", &shown(&spoilt)]);
        assert_ne!(output.status, 0, "{what}: {}", output.stderr);
        assert_eq!(home.status()["state"], "running", "{what}");
        let left = crate::machine::tree(&home.layout.state.join("database/aside"));
        assert!(left.len() <= 1, "{what}: {left:#?}");
    }
    assert_eq!(precious(&home), before);
    rita_reads(&home, &table);
}

/// After a kill it is the old or the new, and whole.
fn old_or_new(home: &Home, before: &Value, table: &Value) -> bool {
    home.ok(&["start"]);
    let count = home.sql("people", "SELECT count(*) FROM cats");
    let new = count == "3";
    assert!(new || count == "4", "{count}");
    assert_eq!(precious(home), *before);
    rita_reads(home, table);
    assert!(!home.layout.state.join("transaction.json").exists());
    new
}

#[test]
fn killed_at_every_named_moment_of_a_restore() {
    let Some(mut home) = Home::prepared() else { return };
    let (backup, before, table) = backed_up(&home);
    let stopped = home.layout.state.join("stopped");
    home.set_variable("MATHESAR_STOPPED", stopped.clone());
    let points = [
        "restore-unpacked",
        "restore-open",
        "restore-placed",
        "restore-swapped",
        "restore-started",
        "restore-healthy",
        "restore-committed",
    ];
    for point in points {
        home.sql("people", "INSERT INTO cats (name) VALUES ('since')");
        home.set_variable_to("MATHESAR_STOP_AT", point);
        let mut restore = home.spawn("restore", &["restore", "--yes", "--without-backup", &shown(&backup)]);
        home.until(point, || stopped.exists());
        kill_everything(&home);
        restore.wait().unwrap();
        home.set_variable_to("MATHESAR_STOP_AT", "");
        fs::remove_file(&stopped).unwrap();
        println!("restore, at {point}: everything after 0 ms");
        assert_eq!(old_or_new(&home, &before, &table), point == "restore-committed", "{point}");
        home.sql("people", "DELETE FROM cats WHERE name = 'since'");
    }
}

#[test]
fn killed_at_random_moments_of_a_restore() {
    let Some(home) = Home::prepared() else { return };
    let (backup, before, table) = backed_up(&home);
    let mut random = Random::new(5);
    let mut new = 0;
    for number in 0..kills() / 2 {
        home.sql("people", "INSERT INTO cats (name) VALUES ('since')");
        let mut restore = home.spawn("restore", &["restore", "--yes", "--without-backup", &shown(&backup)]);
        let after = random.pause(6000);
        let killed = kill_everything(&home);
        println!("{number}: restore, Everything ({killed} processes) after {after} ms");
        restore.wait().unwrap();
        new += u64::from(old_or_new(&home, &before, &table));
        home.sql("people", "DELETE FROM cats WHERE name = 'since'");
    }
    println!("{new} times the new, {} times the old", kills() / 2 - new);
}
