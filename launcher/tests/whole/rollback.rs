//! The way back to before an upgrade: when it is free, what it would cost, and its own faults.

use std::fs;

use mathesar::control::{Order, order};
use mathesar::failure::Exit;
use rustix::process::Signal;
use serde_json::json;

use crate::harness::Home;
use crate::machine;
use crate::sample::release;
use crate::upgrade::{fill, kill_everything, left_to_do, precious, rita_reads, tarball};

#[test]
fn what_was_written_since_is_known() {
    let Some(home) = Home::prepared() else { return };
    home.ok(&["start"]);
    let table = fill(&home);
    let before = precious(&home);
    home.ok(&["upgrade", "--from", &tarball(&release("2.0.0", None))]);
    // Nobody has written: that somebody comes in, a restart, PostgreSQL's own statistics are nobody's loss.
    home.admin("tables.row_count", table.clone());
    home.sql("people", "ANALYZE");
    home.sql("mathesar_django", "UPDATE mathesar_user SET last_login = now()");
    home.ok(&["restart", "--everything"]);
    let output = home.ok(&["rollback"]);
    assert!(
        output.stderr.contains("Went back from Mathesar 2.0.0 to 1.0.0, before the upgrade"),
        "{}",
        output.stderr
    );
    assert_eq!(precious(&home), before);
    // And forth, likewise.
    home.ok(&["rollback"]);
    assert_eq!(home.status()["version"], "2.0.0");
    home.ok(&["rollback"]);
    home.ok(&["upgrade", "--from", &tarball(&release("2.0.0", None))]);
    // At once, without a restart.
    home.ok(&["db", "shell", "--database", "people", "--", "-c", "INSERT INTO cats (name) VALUES ('x')"]);
    home.sql("people", "DELETE FROM cats WHERE name = 'x'");
    let output = home.mathesar(&["rollback"]);
    assert!(
        output.stderr.contains("up to 2 rows were inserted, changed or removed since the upgrade"),
        "{}",
        output.stderr
    );
    home.ok(&["rollback", "--discard-newer"]);
    home.ok(&["upgrade", "--from", &tarball(&release("2.0.0", None))]);
    // One that was refused is counted, and is none: no more than that is said.
    let refused =
        ["db", "shell", "--database", "people", "--", "-c", "INSERT INTO cats (id, name) VALUES (1, 'x')"];
    assert_ne!(home.mathesar(&refused).status, 0);
    let output = home.mathesar(&["rollback"]);
    assert!(
        output.stderr.contains("up to 1 row was inserted, changed or removed since"),
        "{}",
        output.stderr
    );
    assert!(output.stderr.contains("and no table differs from the copy"), "{}", output.stderr);
    home.ok(&["rollback", "--discard-newer"]);
    home.ok(&["upgrade", "--from", &tarball(&release("2.0.0", None))]);
    // Not a row, and yet something that would be lost.
    home.sql("people", "CREATE VIEW names AS SELECT name FROM cats");
    let output = home.mathesar(&["rollback"]);
    assert_eq!(output.status, 4, "{}", output.stderr);
    assert!(
        output.stderr.contains("tables, views, settings or files were changed since the upgrade"),
        "{}",
        output.stderr
    );
    home.sql("people", "DROP VIEW names");
    home.ok(&["rollback", "--discard-newer"]);
    for (database, statement) in [
        ("people", "SELECT nextval('cats_id_seq')"),
        ("postgres", "ALTER DATABASE people CONNECTION LIMIT 33"),
        ("postgres", "ALTER SYSTEM SET work_mem = '5MB'"),
        ("template1", "CREATE TABLE of_all (a int)"),
        ("people", "SELECT lo_from_bytea(0, 'x')"),
        ("people", "TRUNCATE cats"),
        ("mathesar_django", "UPDATE mathesar_user SET password = 'x'"),
    ] {
        home.ok(&["upgrade", "--from", &tarball(&release("2.0.0", None))]);
        home.sql(database, statement);
        let output = home.mathesar(&["rollback"]);
        assert_eq!(output.status, 4, "{statement}: {}", output.stderr);
        home.ok(&["rollback", "--discard-newer"]);
        assert_eq!(precious(&home), before, "{statement}");
    }
    home.ok(&["upgrade", "--from", &tarball(&release("2.0.0", None))]);
    home.ok(&["rollback", "--discard-newer"]);
    home.ok(&["upgrade", "--from", &tarball(&release("2.0.0", None))]);
    // Nothing can be said where PostgreSQL has crashed, or does not count.
    home.sql("postgres", "ALTER SYSTEM SET track_counts = off");
    home.sql("postgres", "SELECT pg_reload_conf()");
    let output = home.mathesar(&["rollback"]);
    assert!(output.stderr.contains("it is not known whether something was written"), "{}", output.stderr);
    home.sql("postgres", "ALTER SYSTEM RESET track_counts");
    home.sql("postgres", "SELECT pg_reload_conf()");
    let killed = home.pids("postgres -D");
    killed.iter().for_each(|pid| machine::signal(*pid, Signal::KILL));
    home.until("another one runs", || {
        let now = home.pids("postgres -D");
        !now.is_empty() && now.iter().all(|pid| !killed.contains(pid)) && home.status()["state"] == "running"
    });
    let output = home.mathesar(&["rollback"]);
    for text in [
        "it is not known whether something was written since the upgrade, and no table differs from the copy",
        "why: PostgreSQL has crashed since",
        "transactions that were begun since",
        "mathesar rollback --discard-newer",
    ] {
        assert!(output.stderr.contains(text), "{text}: {}", output.stderr);
    }
    // What tables show of it is no longer said to be unknown.
    home.sql("people", "INSERT INTO cats (name) VALUES ('since')");
    let output = home.mathesar(&["rollback"]);
    assert_eq!(output.status, 4, "{}", output.stderr);
    for text in [
        "it is not known how much was written since the upgrade, and 2 tables differ",
        "what was written before that is in no count any more",
        "people.public.cats: 1 row that came since (4 now, 3 then)",
        "mathesar rollback --discard-newer",
        "mathesar backup create",
    ] {
        assert!(output.stderr.contains(text), "{text}: {}", output.stderr);
    }
    home.ok(&["rollback", "--discard-newer"]);
    assert_eq!(precious(&home), before);
}

#[test]
fn the_way_back_and_forth_again() {
    let Some(home) = Home::prepared() else { return };
    home.ok(&["start"]);
    let output = home.mathesar(&["rollback"]);
    assert_eq!(
        (output.status, output.stderr.contains("no copy of the data")),
        (4, true),
        "{}",
        output.stderr
    );
    let table = fill(&home);
    let before = precious(&home);
    home.ok(&["upgrade", "--from", &tarball(&release("2.0.0", None))]);
    let mut row = table.clone();
    row["record_def"] = json!({"name": "newer"});
    home.admin("records.add", row);
    // Somebody has written: what would be lost is counted.
    let output = home.mathesar(&["rollback"]);
    assert_eq!(output.status, 4, "{}", output.stderr);
    assert!(
        output.stderr.contains("up to 1 row was inserted, changed or removed since the upgrade"),
        "{}",
        output.stderr
    );
    assert!(
        output.stderr.contains("people.public.cats: 1 row that came since (4 now, 3 then)"),
        "{}",
        output.stderr
    );
    assert_eq!(home.status()["version"], "2.0.0");
    // Where that came between the look and the moment when serving stops, it is refused as well.
    let socket = home.layout.run.join("control.sock");
    let refused = order(&socket, &Order::Rollback { discard: false }, |_| ()).unwrap_err();
    assert!(refused.to_string().contains("somebody has written meanwhile"), "{refused}");
    assert_eq!(refused.exit, Exit::Refused);
    assert!(refused.helps().iter().any(|help| help.contains("--discard-newer")), "{:?}", refused.helps());
    assert_eq!((&home.status()["version"], &home.status()["state"]), (&json!("2.0.0"), &json!("running")));
    // Nobody takes the way back away.
    let pruned = home.ok(&["app", "prune", "--keep", "0"]);
    assert!(pruned.stderr.contains("every release is still needed"), "{}", pruned.stderr);
    let output = home.ok(&["rollback", "--discard-newer"]);
    assert!(output.stderr.contains("Went back from Mathesar 2.0.0 to 1.0.0"), "{}", output.stderr);
    assert_eq!(home.status()["version"], "1.0.0");
    assert_eq!(precious(&home), before);
    rita_reads(&home, &table);
    assert_eq!(home.sql("people", "SELECT count(*) FROM cats"), "3");
    assert_eq!(home.admin("databases.sql_version", json!({"database_id": table["database_id"]})), "1.0.0");
    // Held: a new package does not bring it by itself.
    home.pin(&release("2.0.0", None));
    home.ok(&["stop"]);
    home.ok(&["start"]);
    std::thread::sleep(std::time::Duration::from_secs(1));
    assert_eq!(home.status()["version"], "1.0.0");
    // Nothing was written since: nothing stands in the way of going forth again, with the row that had come.
    home.ok(&["rollback", "--discard-newer"]);
    assert_eq!(home.status()["version"], "2.0.0");
    assert_eq!(home.sql("people", "SELECT count(*) FROM cats"), "4");
    assert_eq!(precious(&home), before);
}

#[test]
fn killed_at_every_named_moment_of_the_way_back() {
    let Some(mut home) = Home::prepared() else { return };
    home.ok(&["start"]);
    let table = fill(&home);
    let before = precious(&home);
    let stopped = home.layout.state.join("stopped");
    home.ok(&["stop"]);
    home.set_variable("MATHESAR_STOPPED", stopped.clone());
    home.ok(&["start"]);
    home.ok(&["upgrade", "--from", &tarball(&release("2.0.0", None))]);
    for point in ["back-open", "back-taken", "back-swapped", "back-healthy", "back-committed"] {
        home.ok(&["stop"]);
        home.set_variable_to("MATHESAR_STOP_AT", point);
        home.ok(&["start"]);
        let mut back = home.spawn("rollback", &["rollback", "--discard-newer"]);
        home.until(point, || stopped.exists());
        kill_everything(&home);
        back.wait().unwrap();
        home.set_variable_to("MATHESAR_STOP_AT", "");
        fs::remove_file(&stopped).unwrap();
        home.ok(&["start"]);
        let wanted = if point == "back-committed" { "1.0.0" } else { "2.0.0" };
        assert_eq!(home.status()["version"], wanted, "{point}");
        assert_eq!(precious(&home), before, "{point}");
        rita_reads(&home, &table);
        home.until("nothing is left to do", || left_to_do(&home).is_empty());
    }
}

/// `mathesar db start`, with whoever writes there: it ends before the copy is made for good, and before anything is renamed.
#[test]
fn a_database_that_runs_alone_ends_first() {
    let Some(home) = Home::prepared() else { return };
    home.ok(&["start"]);
    fill(&home);
    home.ok(&["stop"]);
    for (variant, status) in [(Some("fails"), 1), (None, 0)] {
        home.ok(&["db", "start"]);
        let end = std::sync::atomic::AtomicBool::new(false);
        let acknowledged = std::sync::Mutex::new(Vec::new());
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !end.load(std::sync::atomic::Ordering::SeqCst) {
                    let row = "INSERT INTO cats (name) VALUES ('alone') RETURNING id";
                    let mut psql = home.command(&home.binaries.client("psql"));
                    psql.args(["-XAtqd", "people", "-U", "mathesar", "-c", row, "-h"]);
                    let output = psql.arg(&home.layout.database_socket).output().unwrap();
                    if output.status.success() {
                        let id = String::from_utf8(output.stdout).unwrap();
                        acknowledged.lock().unwrap().push(id.trim().parse::<u64>().unwrap());
                    }
                }
            });
            let version = if variant.is_some() { "3.0.0" } else { "2.0.0" };
            let upgrade = home.mathesar(&["upgrade", "--from", &tarball(&release(version, variant))]);
            end.store(true, std::sync::atomic::Ordering::SeqCst);
            assert_eq!(upgrade.status, status, "{}", upgrade.stderr);
            assert!(upgrade.stderr.contains("PostgreSQL ran by itself"), "{}", upgrade.stderr);
        });
        home.ok(&["start"]);
        let there: Vec<u64> = home
            .sql("people", "SELECT id FROM cats WHERE name = 'alone'")
            .lines()
            .map(|line| line.parse().unwrap())
            .collect();
        let acknowledged = acknowledged.into_inner().unwrap();
        assert!(!acknowledged.is_empty());
        let lost: Vec<&u64> = acknowledged.iter().filter(|id| !there.contains(id)).collect();
        assert!(lost.is_empty(), "{variant:?}: lost {lost:?} of {}", acknowledged.len());
        home.ok(&["stop"]);
    }
    // Its copy was made of a server that had ended in good order.
    let aside =
        fs::read_dir(home.layout.state.join("database/aside")).unwrap().next().unwrap().unwrap().path();
    let control = home
        .command(&home.binaries.server("pg_controldata"))
        .arg(aside.join("database/old"))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&control.stdout).into_owned();
    assert!(said.contains("shut down\n"), "{said}");
    home.ok(&["db", "start"]);
    let back = home.ok(&["rollback", "--discard-newer"]);
    assert!(back.stderr.contains("PostgreSQL ran by itself"), "{}", back.stderr);
    home.ok(&["start"]);
    assert_eq!(home.status()["version"], "1.0.0");
}
