//! Backups put in place: of the same installation, elsewhere, of another release; and broken off.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::harness::{Home, PATIENCE};
use crate::http::{ADMIN, base64, request};
use crate::sample::release;
use crate::upgrade::{fill, kill_everything, precious, rita_reads};
use crate::witness::{Random, Witness, held, kills};

/// A backup of a filled home; where it is, what was precious, and its table.
pub fn backed_up(home: &Home) -> (PathBuf, Value, Value) {
    let (before, table) = filled(home);
    (backup_of(home), before, table)
}

fn filled(home: &Home) -> (Value, Value) {
    home.ok(&["start"]);
    let table = fill(home);
    upload(home);
    (precious(home), table)
}

pub fn backup_of(home: &Home) -> PathBuf {
    let made: Value = serde_json::from_str(&home.ok(&["backup", "create", "--json"]).stdout).unwrap();
    PathBuf::from(made["path"].as_str().unwrap())
}

const CSV: &str = "name;age\nRex;3\n";

fn upload(home: &Home) {
    let head = format!(
        "POST /api/db/v0/data_files/ HTTP/1.1\r\nAuthorization: Basic {}\r\n\
         Content-Type: multipart/form-data; boundary=x",
        base64(ADMIN.as_bytes())
    );
    let part = "Content-Disposition: form-data; name=\"file\"; filename=\"dogs.csv\"";
    let body = format!("--x\r\n{part}\r\n\r\n{CSV}\r\n--x--\r\n");
    let answer = request(home.port, &head, body.as_bytes(), PATIENCE).unwrap();
    assert_eq!(answer.status, 201, "{}", answer.body);
}

/// What somebody has uploaded, by its name in the media folder, wherever that is.
pub fn uploads(media: &Path) -> Vec<(String, String)> {
    let mut all = Vec::new();
    mathesar::app::files::walk(media, &mut |path, found| {
        if found.is_file() {
            let name = path.strip_prefix(media).unwrap().display().to_string();
            all.push((name, fs::read_to_string(path).unwrap()));
        }
    })
    .unwrap();
    all
}

/// The same in another place: names of folders are in what is compared.
fn same_elsewhere(there: &Home, mut before: Value, media: &[(String, String)]) {
    let mut now = precious(there);
    (before["media"], now["media"]) = (Value::Null, Value::Null);
    assert_eq!(now, before);
    assert_eq!(uploads(&there.layout.state.join("media")), media);
    assert!(media.iter().any(|(_, text)| text.trim_end() == CSV.trim_end()), "{media:?}");
    let databases = there.admin("databases.configured.list", json!({}));
    assert_eq!(databases[0]["host"], json!(shown(&there.layout.database_socket)));
    let run = there.admin("explorations.run", json!({"exploration_id": 1}));
    assert_eq!(run.as_array().unwrap().len(), 3, "{run}");
    let page = request(there.port, "GET /auth/login/ HTTP/1.1", b"", PATIENCE).unwrap();
    assert_eq!(page.status, 200);
}

/// A file of the launcher's user, as it comes from elsewhere.
fn carry(from: &Path, there: &Home) -> PathBuf {
    let copy = there.folder().join("moved.tar.zst");
    fs::copy(from, &copy).unwrap();
    crate::machine::give(&copy, there.user);
    copy
}

pub fn shown(path: &Path) -> String {
    path.display().to_string()
}

#[test]
fn what_was_deleted_comes_back() {
    let Some(home) = Home::prepared() else { return };
    let (before, table) = filled(&home);
    // A copy of the cluster's files has it at its beginning: numbers that were given would be given again.
    home.sql("people", "CREATE UNLOGGED SEQUENCE public.tickets");
    let tickets = "SELECT count(nextval('public.tickets')) FROM generate_series(1, 41)";
    assert_eq!(home.sql("people", tickets), "41");
    let backup = backup_of(&home);
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
    assert_eq!(home.sql("people", "SELECT nextval('public.tickets')"), "42");
    assert_eq!(precious(&home), before);
    rita_reads(&home, &table);
    // What was there was backed up, and is kept aside as well.
    let list: Value = serde_json::from_str(&home.ok(&["backup", "list", "--json"]).stdout).unwrap();
    assert!(list.as_array().unwrap().iter().any(|one| one["made_by"] == "restore"), "{list:#}");
    let ours = shown(home.layout.config.parent().unwrap());
    let text = String::from_utf8(home.launcher(&["backup", "list"]).output().unwrap().stdout).unwrap();
    for word in [
        format!("kept for `mathesar --home {ours} rollback`"),
        format!("`mathesar --home {ours} rollback` takes it"),
    ] {
        assert!(text.contains(&word), "{word}\n{text}");
    }
    home.ok(&["rollback", "--discard-newer"]);
    assert_eq!(home.sql("people", "SELECT count(*) FROM cats"), "0");
    home.ok(&["rollback", "--discard-newer"]);
    assert_eq!(precious(&home), before);
}

#[test]
fn another_place_and_another_release() {
    let Some(home) = Home::prepared() else { return };
    let (backup, before, table) = backed_up(&home);
    let media = uploads(&home.layout.state.join("media"));
    // Elsewhere, where nothing is yet but a newer release.
    let Some(other) = Home::bare() else { return };
    other.pin(&release("2.0.0", None));
    let copy = carry(&backup, &other);
    let output = other.ok(&["restore", &shown(&copy)]);
    assert!(output.stderr.contains("Mathesar 1.0.0 is held"), "{}", output.stderr);
    let own = shown(&other.layout.config_file());
    let beside = shown(&other.layout.state.join("restored-settings"));
    for said in [
        format!(
            "settings are not in force, as there are settings here already ({own}), which stay; they lie in {beside}"
        ),
        format!("`diff -r {} {beside}`", shown(&other.layout.config)),
        "`mathesar config set NAME VALUE`".to_owned(),
    ] {
        assert!(output.stderr.contains(&said), "{said}: {}", output.stderr);
    }
    let beside = other.layout.state.join("restored-settings/mathesar.conf");
    assert_eq!(fs::read(beside).unwrap(), fs::read(home.layout.config_file()).unwrap());
    home.ok(&["stop"]);
    // Nothing of the old place is needed.
    fs::rename(&home.layout.state, home.folder().join("gone")).unwrap();
    other.ok(&["start"]);
    std::thread::sleep(std::time::Duration::from_secs(1));
    let status = other.status();
    assert_eq!((&status["version"], &status["state"]), (&json!("1.0.0"), &json!("running")), "{status:#}");
    same_elsewhere(&other, before, &media);
    rita_reads(&other, &table);
    // And from there on to the newer one.
    other.ok(&["upgrade"]);
    assert_eq!(other.status()["version"], "2.0.0");
    rita_reads(&other, &table);
    // And back to where the backup was made, of which there is a newer one now.
    let again = backup_of(&other);
    other.ok(&["stop"]);
    fs::rename(home.folder().join("gone"), &home.layout.state).unwrap();
    let copy = carry(&again, &home);
    home.ok(&["restore", "--yes", &shown(&copy)]);
    home.ok(&["start"]);
    assert_eq!(home.status()["version"], "2.0.0");
    rita_reads(&home, &table);
}

/// An older one over a newer one: application and data are of the time of the backup.
#[test]
fn an_older_release_comes_back_with_its_backup() {
    let Some(home) = Home::prepared() else { return };
    let (backup, before, table) = backed_up(&home);
    home.ok(&["upgrade", "--from", &release("2.0.0", None).tarball.display().to_string()]);
    home.sql("people", "DELETE FROM cats");
    let output = home.ok(&["restore", "--yes", &shown(&backup)]);
    assert!(output.stderr.contains("`mathesar rollback` takes it back"), "{}", output.stderr);
    assert_eq!(home.status()["version"], "1.0.0");
    assert_eq!(precious(&home), before);
    rita_reads(&home, &table);
    let version = || home.admin("databases.sql_version", json!({"database_id": table["database_id"]}));
    assert_eq!(version(), "1.0.0");
    // One that is restored by an order of its own is not replaced by itself.
    home.ok(&["restart", "--everything"]);
    assert_eq!(home.status()["version"], "1.0.0");
    home.ok(&["rollback", "--discard-newer"]);
    assert_eq!(home.status()["version"], "2.0.0");
    assert_eq!(home.sql("people", "SELECT count(*) FROM cats"), "0");
    assert_eq!(version(), "2.0.0");
}

#[test]
fn settings_come_along_where_there_are_none() {
    let Some(home) = Home::prepared() else { return };
    home.conf("[upgrade]\nhealth-timeout = \"77s\"\n");
    let (backup, before, table) = backed_up(&home);
    let media = uploads(&home.layout.state.join("media"));
    home.ok(&["stop"]);
    let Some(mut other) = Home::bare() else { return };
    fs::remove_file(other.layout.config_file()).unwrap();
    let copy = carry(&backup, &other);
    let output = other.ok(&["restore", &shown(&copy)]);
    assert!(output.stderr.contains("settings are in force here"), "{}", output.stderr);
    for name in ["mathesar.conf", "conf.d/50-test.conf"] {
        let read = |home: &Home| fs::read_to_string(home.layout.config.join(name)).unwrap();
        assert_eq!(read(&other), read(&home), "{name}");
    }
    other.ok(&["start"]);
    other.port = home.port;
    same_elsewhere(&other, before, &media);
    rita_reads(&other, &table);
    let shown = other.ok(&["config", "get", "upgrade.health-timeout"]).stdout;
    assert!(shown.contains("77"), "{shown}");
}

/// The roles are the cluster's, and who may be which of them is written anew.
#[test]
fn another_user_takes_it_over() {
    let Some(home) = Home::prepared() else { return };
    if home.user.is_none() {
        println!("not run: only root can be two users");
        return;
    }
    let (backup, before, table) = backed_up(&home);
    let media = uploads(&home.layout.state.join("media"));
    home.ok(&["stop"]);
    let Some(mut other) = Home::bare() else { return };
    let Some(somebody) = crate::machine::somebody("daemon") else {
        println!("not run: there is no user `daemon`");
        return;
    };
    other.user = Some(somebody);
    fs::remove_file(other.layout.cache.join("uv")).unwrap();
    // Where the whole release is, no environment has to be built.
    crate::machine::make_folder(&other.layout.state, other.folder(), other.user);
    let place = |home: &Home| home.layout.state.join("app");
    crate::machine::copy_tree(&place(&home), &place(&other), other.user, false);
    fs::remove_file(place(&other).join("current")).unwrap();
    let own = format!("{}:{}", somebody.uid, somebody.gid);
    let given =
        std::process::Command::new("chown").args(["-Rh", &own]).arg(other.folder().join("home")).status();
    assert!(given.unwrap().success());
    let copy = carry(&backup, &other);
    other.ok(&["restore", &shown(&copy)]);
    other.ok(&["start"]);
    same_elsewhere(&other, before, &media);
    rita_reads(&other, &table);
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
    let Some(home) = Home::prepared() else { return };
    let (backup, before, table) = backed_up(&home);
    for point in POINTS {
        home.sql("people", "INSERT INTO cats (name) VALUES ('since')");
        kill_at(&home, point, &["restore", "--yes", "--without-backup", &shown(&backup)]);
        assert_eq!(old_or_new(&home, &before, &table), *point == "restore-committed", "{point}");
        home.sql("people", "DELETE FROM cats WHERE name = 'since'");
    }
}

/// The moments that have names, in their order.
const POINTS: &[&str] = &[
    "restore-unpacked",
    "restore-open",
    "restore-placed",
    "restore-swapped-database",
    "restore-swapped-media",
    "restore-swapped-secrets",
    "restore-started",
    "restore-healthy",
    "restore-proved",
    "restore-committed",
];

/// Waits until a command is so far, and kills everything.
pub fn kill_at(home: &Home, point: &str, args: &[&str]) {
    let stopped = home.folder().join("home/stopped");
    home.set_variable_to("MATHESAR_STOPPED", &shown(&stopped));
    home.set_variable_to("MATHESAR_STOP_AT", point);
    let mut restore = home.spawn("restore", args);
    home.until(point, || {
        let ended = restore.try_wait().unwrap();
        assert!(ended.is_none() || stopped.exists(), "{point}: {}", home.words("restore"));
        stopped.exists()
    });
    let killed = kill_everything(home);
    println!("restore, at {point}: everything ({killed} processes) after 0 ms");
    restore.wait().unwrap();
    home.set_variable_to("MATHESAR_STOP_AT", "");
    fs::remove_file(&stopped).unwrap();
}

/// Killed where nothing was before: nothing is there again, or everything.
#[test]
fn killed_in_an_empty_installation() {
    let Some(home) = Home::prepared() else { return };
    let (backup, before, table) = backed_up(&home);
    let media = uploads(&home.layout.state.join("media"));
    home.ok(&["stop"]);
    for point in ["restore-placed", "restore-swapped-database", "restore-healthy", "restore-committed"] {
        let Some(mut other) = Home::installed() else { return };
        fs::remove_file(other.layout.config_file()).unwrap();
        let copy = carry(&backup, &other);
        kill_at(&other, point, &["restore", &shown(&copy)]);
        let committed = point == "restore-committed";
        if committed {
            other.port = home.port;
        } else {
            other.set_variable("MATHESAR_SERVER_LISTEN", format!("127.0.0.1:{}", other.port));
        }
        other.ok(&["start"]);
        assert!(!other.layout.state.join("transaction.json").exists());
        match committed {
            true => {
                same_elsewhere(&other, before.clone(), &media);
                rita_reads(&other, &table);
            }
            false => {
                other.create_admin();
                assert_eq!(uploads(&other.layout.state.join("media")), []);
                assert!(!other.layout.state.join("restored-settings").exists());
                let left = crate::machine::tree(&other.layout.state.join("database/aside"));
                assert!(left.len() <= 1, "{left:#?}");
            }
        }
    }
}

/// What was answered before it was killed is there, unless the backup is.
#[test]
fn killed_at_random_moments_of_a_restore() {
    let Some(home) = Home::prepared() else { return };
    let (backup, before, table) = backed_up(&home);
    let mut random = Random::new(5);
    let mut new = 0;
    for number in 0..kills() {
        home.sql("people", "INSERT INTO cats (name) VALUES ('since')");
        let witness = Witness::new(&home);
        *held(&witness.table) = table.clone();
        let mut is_new = false;
        witness.during(|| {
            let mut restore =
                home.spawn("restore", &["restore", "--yes", "--without-backup", &shown(&backup)]);
            let after = random.pause(8000);
            let killed = kill_everything(&home);
            println!("{number}: restore, Everything ({killed} processes) after {after} ms");
            restore.wait().unwrap();
            home.ok(&["start"]);
            is_new = home.sql("people", "SELECT count(*) FROM cats WHERE name = 'since'") == "0";
            // Who writes goes on; what the old one had answered before is in it.
            if !is_new {
                home.sql("people", "DELETE FROM cats WHERE name = 'since'");
                witness.check();
            }
            assert_eq!(precious(&home), before);
            rita_reads(&home, &table);
            assert!(!home.layout.state.join("transaction.json").exists());
        });
        new += u64::from(is_new);
        home.sql("people", "DELETE FROM cats WHERE length(name) <> 6");
    }
    println!("{new} times the new, {} times the old", kills() - new);
}
