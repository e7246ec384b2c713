//! Upgrades that go well, and ones that are taken back.

use std::fs;

use serde_json::{Value, json};

use crate::harness::{Home, PATIENCE};
use crate::http::call;
use crate::sample::{SampleRelease, release};
use crate::witness::{Random, Witness, held, kills};

/// Everything that has to survive: rows, roles, settings by a table's number, uploaded files.
pub fn fill(home: &Home) -> Value {
    for (name, text) in [("20261127/a.csv", "a,b\n1,2\n"), ("20261127/b.csv", "uploaded"), ("c d.csv", "")] {
        home.write(&home.layout.state.join("media").join(name), text);
    }
    home.create_admin();
    let table = home.table("people", "cats");
    let (id, oid) = (table["database_id"].clone(), table["table_oid"].clone());
    for name in ["100001", "100002", "100003"] {
        home.admin("records.add", json!({"database_id": id, "table_oid": oid, "record_def": {"name": name}}));
    }
    let setting = json!({"database_id": id, "table_oid": oid, "attnum": 2, "duration_min": "s"});
    home.admin("columns.metadata.set", setting);
    let exploration =
        json!({"database_id": id, "name": "names", "base_table_oid": oid, "initial_columns": ["name"]});
    home.admin("explorations.add", exploration);
    let role = json!({"database_id": id, "rolename": "reader", "password": "a'b\"c$d\\e )#"});
    let role = home.admin("roles.add", role)["id"].take();
    let person = json!({"database_id": id, "username": "rita", "password": "correct-horse", "configured_role_id": role});
    home.admin("collaborators.add", person);
    table
}

/// What has to be the same before and after, whichever release serves.
pub fn precious(home: &Home) -> Value {
    let internal = |statement: &str| home.sql("mathesar_django", statement);
    let media = crate::machine::tree(&home.layout.state.join("media"));
    json!({
        "roles": home.sql("postgres", "SELECT rolname, rolpassword FROM pg_authid WHERE rolname !~ '^(pg_|mathesar_backup)' ORDER BY 1"),
        "settings": internal("SELECT table_oid, attnum, duration_min FROM mathesar_columnmetadata ORDER BY 1, 2"),
        "explorations": internal("SELECT name, base_table_oid, initial_columns FROM mathesar_exploration ORDER BY id"),
        "users": internal("SELECT username, password, is_superuser FROM mathesar_user ORDER BY 1"),
        "passwords": internal("SELECT name, encrypted_password IS NOT NULL FROM mathesar_configuredrole ORDER BY 1"),
        "cats": home.sql("people", "SELECT count(*) FROM cats WHERE length(name) = 6"),
        "media": media,
        "key": fs::read_to_string(home.layout.state.join("secrets/secret-key")).unwrap().trim_end(),
    })
}

/// What is pending, but for the upgrade that was taken back.
pub fn left_to_do(home: &Home) -> Vec<Value> {
    let mut pending = home.status()["pending"].as_array().unwrap().clone();
    pending.retain(|line| !line.as_str().unwrap().contains(" was taken back: "));
    pending
}

/// One start brings it back, with one of the two releases and everything in it.
pub fn comes_back(home: &Home, witness: &Witness, before: &Value, table: &Value) -> String {
    witness.check();
    let status = home.status();
    let version = status["version"].as_str().unwrap().to_owned();
    assert!(["1.0.0", "2.0.0"].contains(&version.as_str()), "{status:#}");
    assert_eq!(precious(home), *before);
    rita_reads(home, table);
    // What an interrupted one has left to do elsewhere is done by itself.
    home.until("nothing is left to do", || left_to_do(home).is_empty());
    assert_eq!(home.admin("databases.sql_version", json!({"database_id": table["database_id"]})), version);
    assert!(!home.layout.state.join("transaction.json").exists());
    version
}

/// Back to the old release, by hand: for the next try.
pub fn again(home: &Home, backup: &std::path::Path) {
    home.ok(&["stop"]);
    home.nobody_left();
    let state = &home.layout.state;
    for name in
        ["database", "migrated.json", "app/current", "app/hold", "sql-pending.json", "last-upgrade.json"]
    {
        let to = state.join(name);
        let found = to.symlink_metadata();
        match found {
            Ok(found) if found.is_dir() => fs::remove_dir_all(&to).unwrap(),
            Ok(_) => fs::remove_file(&to).unwrap(),
            Err(_) => {}
        }
        if backup.join(name).symlink_metadata().is_ok() {
            crate::machine::copy_tree(&backup.join(name), &to, home.user, false);
        }
    }
}

pub fn keep(home: &Home) -> std::path::PathBuf {
    let backup = home.folder().join("kept");
    fs::create_dir_all(backup.join("app")).unwrap();
    for name in ["database", "migrated.json", "app/current"] {
        crate::machine::copy_tree(&home.layout.state.join(name), &backup.join(name), home.user, false);
    }
    backup
}

pub fn kill_everything(home: &Home) -> usize {
    let all = home.processes();
    all.iter().for_each(|(pid, _)| crate::machine::signal(*pid, rustix::process::Signal::KILL));
    all.len()
}

/// The moments that have names, in their order.
const POINTS: &[&str] =
    &["open", "copied", "held", "exact", "migrated", "sql", "healthy", "committed", "finished"];

#[test]
fn killed_at_every_named_moment() {
    let Some(mut home) = Home::prepared() else { return };
    home.ok(&["start"]);
    let table = fill(&home);
    let before = precious(&home);
    home.ok(&["stop"]);
    home.nobody_left();
    let kept = keep(&home);
    let (good, bad) = (tarball(&release("2.0.0", None)), tarball(&release("3.0.0", Some("fails"))));
    let stopped = home.layout.state.join("stopped");
    home.set_variable("MATHESAR_STOPPED", stopped.clone());
    let cases = POINTS.iter().map(|point| (*point, &good)).chain([("undo", &bad), ("undone", &bad)]);
    for (point, file) in cases {
        home.set_variable_to("MATHESAR_STOP_AT", point);
        home.ok(&["start"]);
        let witness = Witness::new(&home);
        *held(&witness.table) = table.clone();
        witness.during(|| {
            let mut upgrade = home.spawn("upgrade", &["upgrade", "--from", file]);
            home.until(point, || stopped.exists());
            let killed = kill_everything(&home);
            println!("upgrade, at {point}: everything ({killed} processes) after 0 ms");
            upgrade.wait().unwrap();
            home.set_variable_to("MATHESAR_STOP_AT", "");
            let version = comes_back(&home, &witness, &before, &table);
            let wanted = if ["committed", "finished"].contains(&point) { "2.0.0" } else { "1.0.0" };
            assert_eq!(version, wanted, "{point}");
        });
        fs::remove_file(&stopped).unwrap();
        again(&home, &kept);
    }
}

#[test]
fn killed_at_random_moments_of_an_upgrade() {
    let Some(home) = Home::prepared() else { return };
    let mut random = Random::new(3);
    home.ok(&["start"]);
    let table = fill(&home);
    let before = precious(&home);
    home.ok(&["stop"]);
    home.nobody_left();
    let kept = keep(&home);
    // Installed before, so that the moments fall into the transaction.
    let (good, bad) = (release("2.0.0", None), release("3.0.0", Some("fails")));
    home.ok(&["app", "install", "--from", &tarball(&bad)]);
    home.ok(&["app", "install", "--from", &tarball(&good)]);
    // Whoever names a file wants that release, which would be pending for ever.
    fs::remove_file(home.layout.state.join("app/hold")).unwrap();
    let mut versions = std::collections::BTreeMap::<String, u32>::new();
    for number in 0..kills() {
        let to = if number % 4 == 3 { "3.0.0" } else { "2.0.0" };
        home.ok(&["start"]);
        let witness = Witness::new(&home);
        *held(&witness.table) = table.clone();
        witness.during(|| {
            let mut upgrade = home.spawn("upgrade", &["upgrade", "--to", to]);
            let after = random.pause(6000);
            let killed = kill_everything(&home);
            println!("{number}: upgrade to {to}, Everything ({killed} processes) after {after} ms");
            upgrade.wait().unwrap();
            let version = comes_back(&home, &witness, &before, &table);
            *versions.entry(version).or_default() += 1;
        });
        again(&home, &kept);
    }
    println!("came back with {versions:?}");
}

pub fn tarball(release: &SampleRelease) -> String {
    release.tarball.display().to_string()
}

/// A collaborator's stored password still opens the database.
pub fn rita_reads(home: &Home, table: &Value) {
    let rows = call(home.port, "rita:correct-horse", "records.list", table, PATIENCE).unwrap().unwrap();
    assert!(rows["count"].as_u64().unwrap() >= 3, "{rows}");
}

#[test]
fn a_newer_release_takes_over_while_somebody_writes() {
    let Some(home) = Home::prepared() else { return };
    home.ok(&["start"]);
    let table = fill(&home);
    let before = precious(&home);
    let witness = Witness::new(&home);
    *held(&witness.table) = table.clone();
    let mut output = None;
    witness.during(|| {
        output = Some(home.ok(&["upgrade", "--from", &tarball(&release("2.0.0", None))]));
        std::thread::sleep(std::time::Duration::from_millis(300));
    });
    let output = output.unwrap();
    assert!(output.stderr.contains("Upgraded from Mathesar 1.0.0 to 2.0.0 in "), "{}", output.stderr);
    assert!(output.stderr.contains("; nobody was served for "), "{}", output.stderr);
    assert!(!held(&witness.acknowledged).is_empty());
    witness.check();
    assert_eq!(home.status()["version"], "2.0.0");
    assert_eq!(home.status()["pending"], json!([]));
    assert_eq!(precious(&home), before);
    rita_reads(&home, &table);
    // The SQL in the connected database came along, without a dialog.
    assert_eq!(home.admin("databases.sql_version", json!({"database_id": table["database_id"]})), "2.0.0");
    assert!(home.admin("tables.row_count", table.clone()).as_u64().unwrap() >= 3);
    assert_eq!(
        home.ok(&["upgrade", "--to", "2.0.0"]).stderr.trim(),
        "Unchanged Mathesar 2.0.0 is the current release already"
    );
    // A stop and a start later it is the same.
    home.ok(&["stop"]);
    home.nobody_left();
    home.ok(&["start"]);
    assert_eq!(home.status()["version"], "2.0.0");
    assert_eq!(precious(&home), before);
}

#[test]
fn a_release_that_fails_is_taken_back_while_somebody_writes() {
    let Some(home) = Home::prepared() else { return };
    home.ok(&["start"]);
    // Brought into force by a restart: neither the upgrade nor its way back may take them back.
    home.conf("[upgrade]\nmigrate-timeout = \"6s\"\nhealth-timeout = \"5s\"\n[server]\nworkers = 1\n");
    home.ok(&["restart"]);
    let table = fill(&home);
    let before = precious(&home);
    for (variant, cause) in [
        ("fails", "this migration always fails half-way"),
        ("hangs", "it was not done within 6 s"),
        ("dead", "gunicorn does not become ready"),
    ] {
        let witness = Witness::new(&home);
        *held(&witness.table) = table.clone();
        let mut output = None;
        witness.during(|| {
            output = Some(home.mathesar(&["upgrade", "--from", &tarball(&release("3.0.0", Some(variant)))]));
            std::thread::sleep(std::time::Duration::from_millis(300));
        });
        let output = output.unwrap();
        assert_eq!(output.status, 1, "{variant}: {}", output.stderr);
        assert!(output.stderr.contains(cause), "{variant}: {}", output.stderr);
        assert!(
            output.stderr.contains("as they were when serving stopped; nothing is lost"),
            "{}",
            output.stderr
        );
        assert!(!held(&witness.acknowledged).is_empty());
        witness.check();
        let status = home.status();
        assert_eq!(
            (&status["version"], &status["state"]),
            (&json!("1.0.0"), &json!("running")),
            "{status:#}"
        );
        assert_eq!((&status["workers"], &status["pending"][1]), (&json!(1), &json!(null)), "{status:#}");
        assert_eq!(precious(&home), before, "{variant}");
        rita_reads(&home, &table);
        assert_eq!(
            home.admin("databases.sql_version", json!({"database_id": table["database_id"]})),
            "1.0.0"
        );
        // No half of it is left.
        let left = crate::machine::tree(&home.layout.state.join("database/aside"));
        assert!(left.len() <= 1, "{left:#?}");
        home.sql("people", "TRUNCATE cats");
        for name in ["100001", "100002", "100003"] {
            home.sql("people", &format!("INSERT INTO cats (name) VALUES ('{name}')"));
        }
    }
}

#[test]
fn a_new_package_upgrades_by_itself_or_waits() {
    let Some(home) = Home::prepared() else { return };
    home.ok(&["start"]);
    let table = fill(&home);
    let before = precious(&home);
    home.ok(&["stop"]);
    home.conf("[upgrade]\nautomatic = false\n");
    home.pin(&release("2.0.0", None));
    home.ok(&["start"]);
    let status = home.status();
    assert_eq!(status["version"], "1.0.0");
    assert!(status["pending"][0].as_str().unwrap().contains("`mathesar upgrade` brings it"), "{status:#}");
    // A launcher that looks no more is not said to prepare anything, and one that is stopped neither.
    home.conf("");
    let pending = || home.status()["pending"].to_string();
    assert!(pending().contains("came with this launcher; the next start of the launcher"), "{}", pending());
    home.ok(&["stop"]);
    assert!(pending().contains("came with this launcher; `mathesar start` brings it"), "{}", pending());
    home.ok(&["start"]);
    // It answers at once, with the old one, and changes over by itself.
    home.until("the new release serves", || {
        home.status()["version"] == "2.0.0" && home.status()["state"] == "running"
    });
    assert_eq!(precious(&home), before);
    rita_reads(&home, &table);

    // The next package is broken: the old release serves on, and says why.
    home.pin(&release("3.0.0", Some("fails")));
    assert!(pending().contains("3.0.0 came with this launcher; the next start"), "{}", pending());
    home.ok(&["stop"]);
    home.ok(&["start"]);
    home.until("it was tried", || home.log().contains("the upgrade to Mathesar 3.0.0 failed"));
    home.until("it is back", || home.status()["state"] == "running");
    let status = home.status();
    assert_eq!(status["version"], "2.0.0");
    assert!(status["pending"][0].as_str().unwrap().contains("always fails half-way"), "{status:#}");
    assert_eq!(precious(&home), before);
    // And it is not tried again and again.
    home.ok(&["stop"]);
    let tries = || home.log().matches("the upgrade to Mathesar 3.0.0 failed").count();
    let before = tries();
    home.ok(&["start"]);
    std::thread::sleep(std::time::Duration::from_secs(2));
    assert_eq!(tries(), before);
}

#[test]
fn a_stopped_one_is_upgraded_too() {
    let Some(home) = Home::prepared() else { return };
    home.ok(&["start"]);
    let table = fill(&home);
    let before = precious(&home);
    home.ok(&["stop"]);
    let output = home.mathesar(&["upgrade", "--from", &tarball(&release("3.0.0", Some("fails")))]);
    assert_eq!(output.status, 1, "{}", output.stderr);
    assert!(output.stderr.contains("always fails half-way"), "{}", output.stderr);
    home.nobody_left();
    home.ok(&["upgrade", "--from", &tarball(&release("2.0.0", None))]);
    home.nobody_left();
    home.ok(&["start"]);
    assert_eq!(home.status()["version"], "2.0.0");
    assert_eq!(precious(&home), before);
    rita_reads(&home, &table);
    assert_eq!(home.admin("databases.sql_version", json!({"database_id": table["database_id"]})), "2.0.0");
    let old = tarball(&release("1.0.0", None));
    home.write(&home.folder().join("no-release"), "root:x:0:0\n");
    let none = home.folder().join("no-release").display().to_string();
    for (args, said) in [
        (["upgrade", "--check", "--from", old.as_str()], "Mathesar 1.0.0 is older than 2.0.0"),
        (["upgrade", "--check", "--from", none.as_str()], "is no release of Mathesar"),
    ] {
        let output = home.mathesar(&args);
        assert_eq!((output.status, output.stderr.contains(said)), (4, true), "{}", output.stderr);
    }
    let output = home.mathesar(&["upgrade", "--to", "1.0.0"]);
    assert_eq!(output.status, 4, "{}", output.stderr);
    assert!(output.stderr.contains("mathesar rollback"), "{}", output.stderr);
}

#[test]
fn another_key_is_refused_before_anything() {
    let Some(home) = Home::prepared() else { return };
    home.ok(&["start"]);
    let table = fill(&home);
    let before = precious(&home);
    let key = home.layout.state.join("secrets/secret-key");
    let own = fs::read(&key).unwrap();
    home.write(&key, "another\n");
    let output = home.mathesar(&["upgrade", "--from", &tarball(&release("2.0.0", None))]);
    assert_ne!(output.status, 0, "{}", output.stderr);
    assert!(output.stderr.contains("this secret key is another"), "{}", output.stderr);
    assert!(!output.stderr.contains("the end of serving"), "{}", output.stderr);
    home.write(&key, own);
    assert_eq!(precious(&home), before);
    rita_reads(&home, &table);
    assert_eq!(home.status()["version"], "1.0.0");
}

/// As after a power cut, and on another machine: the state as it lay there at that moment.
#[test]
fn a_copy_of_the_state_serves_elsewhere() {
    let Some(mut home) = Home::prepared() else { return };
    let stopped = home.layout.state.join("stopped");
    home.set_variable("MATHESAR_STOPPED", stopped.clone());
    home.ok(&["start"]);
    let table = fill(&home);
    let mut before = precious(&home);
    before["media"] = Value::Null;
    home.ok(&["stop"]);
    let kept = keep(&home);
    for point in ["copied", "exact", "migrated", "committed"] {
        home.set_variable_to("MATHESAR_STOP_AT", point);
        home.ok(&["start"]);
        let Some(other) = Home::installed() else { return };
        let mut upgrade = home.spawn("upgrade", &["upgrade", "--from", &tarball(&release("2.0.0", None))]);
        home.until(point, || stopped.exists());
        fs::remove_dir_all(&other.layout.state).unwrap();
        // Of a running server's files some vanish meanwhile, as they do on a disk that loses its power.
        let copied = std::process::Command::new("cp")
            .args(["-a"])
            .args([&home.layout.state, &other.layout.state])
            .output();
        println!("{point}: {}", String::from_utf8_lossy(&copied.unwrap().stderr).lines().count());
        kill_everything(&home);
        upgrade.wait().unwrap();
        fs::remove_file(&stopped).unwrap();
        other.ok(&["start"]);
        let wanted = if point == "committed" { "2.0.0" } else { "1.0.0" };
        assert_eq!(other.status()["version"], wanted, "{point}");
        let mut now = precious(&other);
        now["media"] = Value::Null;
        assert_eq!(now, before, "{point}");
        assert_eq!(other.sql("people", "SELECT count(*) FROM cats"), "3", "{point}");
        other.ok(&["stop"]);
        home.set_variable_to("MATHESAR_STOP_AT", "");
        again(&home, &kept);
    }
    let _ = table;
}
