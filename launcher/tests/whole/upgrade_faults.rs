//! What stands in an upgrade's way from outside: servers that are down, a second upgrade, a full disk, another key.

use std::fs;
use std::io::Write as _;
use std::path::Path;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::disk::Disk;
use crate::external::{External, PASSWORD};
use crate::harness::Home;
use crate::machine::{self, copy_tree};
use crate::sample::release;
use crate::upgrade::{fill, kill_everything, left_to_do, precious, rita_reads, tarball};

/// What `status` says is pending, as one text.
fn pending(home: &Home) -> String {
    home.status()["pending"].to_string()
}

/// A database on a server of somebody else's.
fn connect(home: &Home, external: &External) {
    let place = json!({"host": "127.0.0.1", "port": external.port, "database": "its own", "role": "me", "password": PASSWORD});
    home.admin("databases.setup.connect_existing", place);
    assert_eq!(version(external), "1.0.0");
}

fn version(external: &External) -> String {
    external.sql_in("its own", "SELECT msar.version()")
}

#[test]
fn a_server_that_is_down_gets_its_sql_later() {
    let Some(home) = Home::prepared() else { return };
    let mut external = External::start();
    home.ok(&["start"]);
    let table = fill(&home);
    connect(&home, &external);
    let before = precious(&home);
    external.stop();
    let output = home.ok(&["upgrade", "--from", &tarball(&release("2.0.0", None))]);
    assert!(output.stderr.contains("1 connected database did not get Mathesar's SQL"), "{}", output.stderr);
    println!("{}\n{}", output.stderr, pending(&home));
    assert_eq!(home.status()["version"], "2.0.0");
    assert_eq!(precious(&home), before);
    rita_reads(&home, &table);
    assert!(pending(&home).contains("database its own at 127.0.0.1: "), "{}", pending(&home));
    assert!(!pending(&home).contains("people"), "{}", pending(&home));
    let failed = home.mathesar(&["upgrade", "--finish"]);
    assert_eq!(failed.status, 1, "{}", failed.stderr);
    assert!(failed.stderr.contains("1 of 2 connected databases did not get"), "{}", failed.stderr);
    // Also where Mathesar is stopped.
    home.ok(&["stop"]);
    let failed = home.mathesar(&["upgrade", "--finish"]);
    assert_eq!(failed.status, 1, "{}", failed.stderr);
    home.nobody_left();
    home.ok(&["start"]);
    external.start_again();
    assert_eq!(version(&external), "1.0.0");
    home.ok(&["upgrade", "--finish"]);
    assert_eq!(version(&external), "2.0.0");
    assert_eq!(home.status()["pending"], json!([]));
}

#[test]
fn another_server_gets_the_old_sql_back() {
    let Some(mut home) = Home::prepared() else { return };
    let mut external = External::start();
    home.conf("[upgrade]\nhealth-timeout = \"5s\"\n");
    let stopped = home.layout.state.join("stopped");
    home.set_variable("MATHESAR_STOPPED", stopped.clone());
    home.ok(&["start"]);
    let table = fill(&home);
    connect(&home, &external);
    let before = precious(&home);
    let dead = tarball(&release("3.0.0", Some("dead")));
    let output = home.mathesar(&["upgrade", "--from", &dead]);
    assert_eq!(output.status, 1, "{}", output.stderr);
    // The new one's first, then the old one's.
    let installed = output.stderr.matches("Installed Mathesar's SQL in its own").count();
    assert_eq!(installed, 2, "{}", output.stderr);
    let is_old = |external: &External| {
        assert_eq!(version(external), "1.0.0");
        assert_eq!(home.status()["version"], "1.0.0");
        assert_eq!(left_to_do(&home), [] as [Value; 0]);
        assert_eq!(precious(&home), before);
        rita_reads(&home, &table);
    };
    is_old(&external);

    // Killed on the way back, and the server is down at the next start: it is named, and done when it is back.
    home.ok(&["stop"]);
    home.set_variable_to("MATHESAR_STOP_AT", "undo");
    home.ok(&["start"]);
    let mut upgrade = home.spawn("upgrade", &["upgrade", "--from", &dead]);
    home.until("undo", || stopped.exists());
    assert_eq!(version(&external), "3.0.0");
    kill_everything(&home);
    upgrade.wait().unwrap();
    home.set_variable_to("MATHESAR_STOP_AT", "");
    external.stop();
    home.ok(&["start"]);
    home.until("it is named", || pending(&home).contains("database its own at 127.0.0.1: "));
    assert_eq!(home.mathesar(&["upgrade", "--finish"]).status, 1);
    external.start_again();
    assert_eq!(version(&external), "3.0.0");
    home.ok(&["upgrade", "--finish"]);
    is_old(&external);
}

/// The launcher that runs was started with others.
#[test]
fn settings_of_an_upgrade_count_from_its_beginning() {
    let Some(home) = Home::prepared() else { return };
    home.conf("[upgrade]\nmigrate-timeout = \"20s\"\n");
    home.ok(&["start"]);
    home.conf("[upgrade]\nmigrate-timeout = \"4s\"\n");
    let output = home.mathesar(&["upgrade", "--from", &tarball(&release("3.0.0", Some("hangs")))]);
    assert_eq!(output.status, 1, "{}", output.stderr);
    assert!(output.stderr.contains("it was not done within 4 s"), "{}", output.stderr);
    assert_eq!(home.status()["version"], "1.0.0");
}

#[test]
fn a_second_upgrade_is_refused() {
    let Some(home) = Home::prepared() else { return };
    home.conf("[upgrade]\nmigrate-timeout = \"20s\"\n");
    let good = tarball(&release("2.0.0", None));
    let hangs = tarball(&release("3.0.0", Some("hangs")));
    home.ok(&["app", "install", "--from", &good]);
    home.ok(&["start"]);
    let table = fill(&home);
    let before = precious(&home);
    for running in [true, false] {
        if !running {
            home.ok(&["stop"]);
        }
        let mut first = home.spawn("first", &["upgrade", "--from", &hangs]);
        home.until("the first has begun", || home.layout.state.join("transaction.json").exists());
        let second: [&[&str]; 6] = [
            &["upgrade", "--to", "2.0.0"],
            &["upgrade", "--from", &good],
            &["upgrade", "--check"],
            &["rollback"],
            &["restart"],
            &["restore", "--yes", "nothing"],
        ];
        for args in second {
            let output = home.mathesar(args);
            println!("{running} {args:?}: {}", output.stderr);
            assert_eq!(output.status, 4, "{args:?}: {}", output.stderr);
            let said = "error: the upgrade from Mathesar 1.0.0 to 3.0.0 is under way";
            assert!(output.stderr.contains(said), "{args:?}: {}", output.stderr);
        }
        let status = home.mathesar(&["status"]).stdout;
        assert!(status.contains("at work      the upgrade from Mathesar 1.0.0 to 3.0.0, for "), "{status}");
        assert_eq!(home.status()["transaction"]["under_way"], true);
        assert_eq!(first.try_wait().unwrap(), None, "the second has ended the first");
        assert_eq!(first.wait().unwrap().code(), Some(1));
        assert!(home.words("first").contains("it was not done within 20 s"), "{}", home.words("first"));
        assert_eq!(
            home.words("first").contains("; nobody was served for "),
            running,
            "{}",
            home.words("first")
        );
        let list = home.ok(&["app", "list"]).stdout;
        assert!(list.lines().any(|line| line.starts_with("3.0.0-") && line.contains("failed")), "{list}");
        assert!(pending(&home).contains("the one to Mathesar 3.0.0 was taken back"), "{}", pending(&home));
        home.ok(&["start"]);
        assert_eq!(home.status()["version"], Value::from("1.0.0"));
        assert_eq!(precious(&home), before);
        rita_reads(&home, &table);
    }
}

/// Not only a start: whatever command comes first believes nothing before it has put things in order.
#[test]
fn other_commands_than_start_put_it_in_order_too() {
    let Some(mut home) = Home::prepared() else { return };
    home.ok(&["start"]);
    let table = fill(&home);
    let before = precious(&home);
    let good = tarball(&release("2.0.0", None));
    let stopped = home.layout.state.join("stopped");
    home.set_variable("MATHESAR_STOPPED", stopped.clone());
    home.ok(&["stop"]);

    // In the middle of it a backup would be of nobody's data; and a kill is taken back before anything else is done.
    home.set_variable_to("MATHESAR_STOP_AT", "migrated");
    home.ok(&["start"]);
    let mut upgrade = home.spawn("upgrade", &["upgrade", "--from", &good]);
    home.until("it has migrated", || stopped.exists());
    home.set_variable_to("MATHESAR_STOP_AT", "");
    let refused = home.mathesar(&["backup", "create"]);
    assert_eq!(refused.status, 4, "{}", refused.stderr);
    assert!(refused.stderr.contains("an upgrade is under way"), "{}", refused.stderr);
    // Nor is anything written that would be taken back together with it.
    let row = ["db", "shell", "--database", "people", "--", "-c", "INSERT INTO cats (name) VALUES ('lost')"];
    let refused = home.mathesar(&row);
    assert_ne!(refused.status, 0, "{}", refused.stdout);
    assert!(refused.stderr.contains("nothing can be written"), "{}", refused.stderr);
    // By a session of their own, which comes back by itself.
    let mut psql = home.command(&home.binaries.client("psql"));
    psql.args(["-d", "people", "-U", "mathesar", "-c", "INSERT INTO cats (name) VALUES ('lost')", "-h"]);
    let output = psql.arg(&home.layout.database_socket).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && said.contains("in a read-only transaction"), "{said}");
    for command in ["migrate", "setup"] {
        let refused = home.mathesar(&[command]);
        assert_eq!(
            (refused.status, refused.stderr.contains("is under way")),
            (4, true),
            "{}",
            refused.stderr
        );
    }
    let refused = home.mathesar(&["uninstall", "--yes"]);
    assert_eq!((refused.status, refused.stderr.contains("is under way")), (4, true), "{}", refused.stderr);
    kill_everything(&home);
    upgrade.wait().unwrap();
    fs::remove_file(&stopped).unwrap();
    let interrupted =
        "the upgrade from Mathesar 1.0.0 to 2.0.0 was interrupted; `mathesar start` puts everything back";
    assert!(pending(&home).contains(interrupted), "{}", pending(&home));
    let plan = home.ok(&["plan"]).stdout;
    assert!(plan.contains("2.0.0 was interrupted, and is taken back before"), "{plan}");
    let made = home.ok(&["backup", "create", "--json"]);
    assert!(made.stderr.contains("everything is as it was before it"), "{}", made.stderr);
    assert!(made.stdout.contains("mathesar-1.0.0-"), "{}", made.stdout);
    home.ok(&["backup", "verify"]);

    // Killed between the commit and the tidying up: the new release counts, whatever comes.
    home.set_variable_to("MATHESAR_STOP_AT", "committed");
    home.ok(&["start"]);
    let mut upgrade = home.spawn("upgrade", &["upgrade", "--from", &good]);
    home.until("it is committed", || stopped.exists());
    home.set_variable_to("MATHESAR_STOP_AT", "");
    kill_everything(&home);
    upgrade.wait().unwrap();
    let again = home.ok(&["upgrade", "--from", &good]);
    assert!(again.stderr.contains("2.0.0 is the current release already"), "{}", again.stderr);
    home.ok(&["start"]);
    home.ok(&row);
    assert_eq!(home.sql("people", "DELETE FROM cats WHERE name = 'lost' RETURNING name"), "lost");
    assert_eq!(home.status()["version"], "2.0.0");
    assert_eq!(precious(&home), before);
    rita_reads(&home, &table);
    home.ok(&["rollback", "--discard-newer"]);
    assert_eq!(home.status()["version"], "1.0.0");
    assert_eq!(precious(&home), before);

    // And one that is put away with its data can be had again.
    fs::remove_file(&stopped).unwrap();
    home.set_variable_to("MATHESAR_STOP_AT", "migrated");
    home.ok(&["restart", "--everything"]);
    let mut upgrade = home.spawn("upgrade", &["upgrade", "--to", "2.0.0"]);
    home.until("it has migrated", || stopped.exists());
    home.set_variable_to("MATHESAR_STOP_AT", "");
    kill_everything(&home);
    upgrade.wait().unwrap();
    fs::remove_file(&stopped).unwrap();
    // Whoever starts it is told.
    let started = home.ok(&["start"]);
    let said =
        "note: the upgrade from Mathesar 1.0.0 to 2.0.0 was interrupted: everything is as it was before it";
    assert!(started.stderr.contains(said), "{}", started.stderr);
    home.set_variable_to("MATHESAR_STOP_AT", "migrated");
    home.ok(&["restart", "--everything"]);
    let mut upgrade = home.spawn("upgrade", &["upgrade", "--to", "2.0.0"]);
    home.until("it has migrated", || stopped.exists());
    home.set_variable_to("MATHESAR_STOP_AT", "");
    kill_everything(&home);
    upgrade.wait().unwrap();
    home.ok(&["uninstall", "--yes"]);
    home.ok(&["start"]);
    assert_eq!(home.status()["version"], "1.0.0");
    assert_eq!(precious(&home), before);
}

/// Whoever looks on is told what becomes of it: by Ctrl-C of theirs, and by somebody else's `stop`.
#[test]
fn one_that_is_stopped_in_the_middle_is_taken_back() {
    let Some(home) = Home::prepared() else { return };
    home.ok(&["start"]);
    let table = fill(&home);
    let before = precious(&home);
    let hangs = tarball(&release("3.0.0", Some("hangs")));
    let mut looker = home.spawn("looker", &["upgrade", "--from", &hangs]);
    home.until("it hangs", || home.log().contains("Bringing Mathesar's tables up to date"));
    let because = home.status()["message"].as_str().unwrap().to_owned();
    assert!(because.contains("Bringing Mathesar's tables up to date"), "{because}");
    machine::signal(looker.id() as i32, Signal::INT);
    looker.wait().unwrap();
    assert!(home.words("looker").contains("the launcher goes on with it"), "{}", home.words("looker"));

    let second = home.mathesar(&["upgrade", "--from", &hangs]);
    assert_eq!(second.status, 4, "{}", second.stderr);
    home.ok(&["stop"]);
    home.nobody_left();
    let log = home.log();
    assert!(log.contains("the upgrade to Mathesar 3.0.0 failed: it was told to stop"), "{log}");
    assert!(!log.contains("does not come back by itself"), "{log}");
    home.ok(&["start"]);
    assert_eq!(home.status()["version"], "1.0.0");
    assert_eq!(precious(&home), before);
    rita_reads(&home, &table);
}

/// Nothing more fits onto its disk.
fn fill_up(file: &Path) {
    let mut file = fs::File::create(file).unwrap();
    while file.write_all(&[1; 65536]).is_ok() {}
}

#[test]
fn a_full_disk_leaves_the_old_release_serving() {
    let disk;
    let Some(home) = Home::prepared() else { return };
    let state = &home.layout.state;
    let was = home.folder().join("was");
    fs::rename(state, &was).unwrap();
    disk = match Disk::mount(&home, state, "size=1500m") {
        Some(disk) => disk,
        None => return,
    };
    for entry in fs::read_dir(&was).unwrap().map(Result::unwrap) {
        copy_tree(&entry.path(), &state.join(entry.file_name()), home.user, false);
    }
    home.conf("[upgrade]\nhealth-timeout = \"5s\"\n");
    home.ok(&["app", "install", "--from", &tarball(&release("3.0.0", Some("dead")))]);
    home.ok(&["start"]);
    let table = fill(&home);
    let before = precious(&home);
    let full = state.join("fill");
    fill_up(&full);
    let output = home.mathesar(&["upgrade", "--to", "3.0.0"]);
    println!("{}", output.stderr);
    assert_eq!(output.status, 4, "{}", output.stderr);
    assert!(output.stderr.contains(" are needed, "), "{}", output.stderr);
    assert!(!state.join("transaction.json").exists());
    fs::remove_file(&full).unwrap();
    assert_eq!(precious(&home), before);
    for step in ["the copy of the data, while it serves", "the copy, exact", "the SQL in connected databases"]
    {
        let mut upgrade = home.spawn("full", &["upgrade", "--to", "3.0.0"]);
        home.until(step, || home.words("full").contains(step));
        fill_up(&full);
        assert_eq!(upgrade.wait().unwrap().code(), Some(1), "{step}");
        println!("full after {step}: {}", home.words("full"));
        let state = home.status()["state"].clone();
        println!("then it is {state}");
        fs::remove_file(&full).unwrap();
        home.ok(&["start"]);
        assert_eq!(home.status()["version"], "1.0.0", "{step}");
        assert_eq!(precious(&home), before, "{step}");
        rita_reads(&home, &table);
    }
    drop(home);
    drop(disk);
}
