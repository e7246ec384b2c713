//! `mathesar plan` says what `start` would refuse, at the step where it would, and ends as `start` does.

use std::fs;

use crate::harness::{Home, Start};
use crate::steps::refused;

/// Both are refused; `plan` at this step, and at no earlier one.
#[track_caller]
fn both_refuse(home: &Home, step: &str, words: &str) {
    let plan = home.mathesar(&["plan"]);
    let start = home.mathesar(&["start"]);
    println!("{}{}{}", plan.stdout, plan.stderr, start.stderr);
    assert_ne!(start.status, 0, "{start:?}");
    assert!(start.stderr.contains(words), "{start:?}");
    assert_eq!(plan.status, start.status, "{plan:?}");
    assert!(plan.stderr.contains(words), "{plan:?}");
    let first = plan.stdout.lines().find(|line| line.contains(" REFUSED ")).unwrap_or_default();
    assert!(first.starts_with(step) && first.contains(words), "{first}");
    home.nobody_left();
}

#[test]
fn a_lost_or_empty_key_is_refused_by_both() {
    let Some(home) = Home::prepared() else { return };
    let key = home.layout.state.join("secrets/secret-key");
    let was = fs::read(&key).unwrap();
    fs::remove_file(&key).unwrap();
    both_refuse(&home, "config ", "the secret key");
    home.write(&key, "");
    both_refuse(&home, "config ", "secret-key is empty");
    home.write(&key, "another\n");
    both_refuse(&home, "config ", "this secret key is another");
    home.write(&key, was);
    home.ok(&["plan"]);
}

#[test]
fn files_that_are_missing_without_a_network_are_refused_by_both() {
    let Some(home) = Home::bare() else { return };
    home.conf("[network]\noffline = true\n");
    let tarball = home.share().join("app/mathesar-1.0.0.tar.gz");
    let aside = home.folder().join("aside.tar.gz");
    fs::rename(&tarball, &aside).unwrap();
    both_refuse(&home, "release ", "mathesar-1.0.0.tar.gz is not on this machine");
    fs::rename(&aside, &tarball).unwrap();
    fs::remove_file(home.layout.cache.join("uv")).unwrap();
    let plan = home.mathesar(&["plan"]).stdout;
    assert!(plan.contains("no Python package is on this machine\n"), "{plan}");
    both_refuse(&home, "python ", "cannot install the Python packages");
}

#[test]
fn a_database_that_cannot_be_made_is_refused_by_both() {
    let Some(home) = Home::installed() else { return };
    home.conf("[database]\nlocale = \"de_XX\"\n");
    both_refuse(&home, "cluster ", "this system has no locale `de_XX`");
    // By `plan` itself or by the reading of the settings.
    home.conf("[database]\nuser-database = \"mathesar_django\"\n");
    refused(&home, &["plan"], 4, &["`database.user-database`"]);
    home.conf("[server]\nhosts = [\"mathesar.example.org\"]\n");
    both_refuse(&home, "config ", "there is no administrator yet");
    home.conf("");
    home.ok(&["plan"]);
}

#[test]
fn files_of_others_in_the_data_folder_are_refused_by_both() {
    let Some(home) = Home::new(Start::SetUp) else { return };
    // Without a current release the record tells which one made the tables.
    fs::remove_file(home.layout.state.join("app/current")).unwrap();
    fs::remove_file(home.layout.state.join("database/data/PG_VERSION")).unwrap();
    both_refuse(&home, "postgresql ", "holds files, but no PostgreSQL cluster");
}

#[test]
fn an_address_that_cannot_be_listened_on_is_refused_by_both() {
    let Some(home) = Home::prepared() else { return };
    let held = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    for (listen, words) in [
        (held.local_addr().unwrap().to_string(), "is used by"),
        ("192.0.2.1:8123".to_owned(), "cannot listen on 192.0.2.1:8123"),
        ("unix:/etc/passwd".to_owned(), "another file is there"),
        ("unix:/nonexistent/x.sock".to_owned(), "cannot listen on /nonexistent/x.sock"),
    ] {
        home.conf(&format!("[server]\nlisten = \"{listen}\"\n"));
        both_refuse(&home, "server", words);
    }
    home.conf("[login]\nsso-file = \"/nonexistent\"\n");
    both_refuse(&home, "server", "/nonexistent");
    home.conf("[database]\nshared-buffers = \"7TB\"\n");
    both_refuse(&home, "config", "shared-buffers");
}

/// As after a first start that was broken off between initdb and the server's first start.
#[test]
fn a_cluster_that_never_ran_is_no_obstacle() {
    let Some(home) = Home::prepared() else { return };
    fs::remove_file(home.layout.state.join("database/data/mathesar.conf")).unwrap();
    let plan = home.ok(&["plan"]).stdout;
    assert!(!plan.contains("REFUSED"), "{plan}");
    home.ok(&["start"]);
}
