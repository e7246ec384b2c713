//! What is said to be done after an upgrade that did not go well: true, and something that works.

use std::fs;

use serde_json::Value;

use crate::harness::Home;
use crate::sample::release;
use crate::upgrade::{fill, kill_everything, left_to_do, tarball};

#[test]
fn nothing_is_said_of_other_servers_where_there_is_none() {
    let Some(mut home) = Home::prepared() else { return };
    home.ok(&["start"]);
    fill(&home);
    home.ok(&["stop"]);
    let stopped = home.layout.state.join("stopped");
    home.set_variable("MATHESAR_STOPPED", stopped.clone());
    let good = tarball(&release("2.0.0", None));
    for (point, args) in
        [("sql", &["upgrade", "--from", &good][..]), ("back-healthy", &["rollback", "--discard-newer"])]
    {
        if point == "back-healthy" {
            home.ok(&["upgrade", "--from", &good]);
        }
        home.set_variable_to("MATHESAR_STOP_AT", point);
        home.ok(&["start"]);
        let mut running = home.spawn("killed", args);
        home.until(point, || stopped.exists());
        home.set_variable_to("MATHESAR_STOP_AT", "");
        kill_everything(&home);
        running.wait().unwrap();
        fs::remove_file(&stopped).unwrap();
        // It is taken back, and nobody serves who could bring other servers in order.
        let taken_back = home.ok(&["db", "start"]);
        assert!(taken_back.stderr.contains("everything is as it was before it"), "{}", taken_back.stderr);
        assert_eq!(left_to_do(&home), [] as [Value; 0], "{point}");
        home.ok(&["db", "stop"]);
    }
}

#[test]
fn what_is_advised_works_where_several_have_the_same_version() {
    let Some(home) = Home::prepared() else { return };
    home.conf("[upgrade]\nhealth-timeout = \"5s\"\n");
    home.ok(&["start"]);
    let (bad, dead) = (release("3.0.0", Some("fails")), release("3.0.0", Some("dead")));
    let output = home.mathesar(&["upgrade", "--from", &tarball(&bad)]);
    assert_eq!(output.status, 1, "{}", output.stderr);
    home.ok(&["app", "install", "--from", &tarball(&dead)]);
    let advised = |about: &str| -> Vec<String> {
        let pending = home.status()["pending"].clone();
        let lines = pending.as_array().unwrap().iter().filter_map(|line| line.as_str());
        let line = lines.clone().find(|line| line.contains(about)).unwrap_or_else(|| panic!("{pending:#}"));
        let command = line.split('`').find(|part| part.starts_with("mathesar upgrade")).unwrap();
        command.split(' ').skip(1).map(str::to_owned).collect()
    };
    let run = |words: Vec<String>| home.mathesar(&words.iter().map(String::as_str).collect::<Vec<_>>());
    let again = run(advised("was taken back"));
    assert_eq!(again.status, 1, "{}", again.stderr);
    assert!(again.stderr.contains("always fails half-way"), "{}", again.stderr);
    let brought = run(advised("installed and held"));
    assert_eq!(brought.status, 1, "{}", brought.stderr);
    assert!(brought.stderr.contains("does not answer"), "{}", brought.stderr);
    assert_eq!(home.status()["version"], "1.0.0");
}

/// Bigger files are kept by a second name where the file system cannot share blocks: what is written into them stays.
#[test]
fn what_is_said_of_uploaded_files_that_a_failed_release_has_changed_is_true() {
    let Some(home) = Home::prepared() else { return };
    let media = home.layout.state.join("media");
    let (big, was) = (media.join("0 big.bin"), vec![7; (1 << 20) + 1]);
    home.write(&big, &was);
    home.ok(&["start"]);
    let output = home.mathesar(&["upgrade", "--from", &tarball(&release("3.0.0", Some("fails")))]);
    assert_eq!(output.status, 1, "{}", output.stderr);
    let words = if fs::read(&big).unwrap() == was { "nothing is lost" } else { "uploaded files in" };
    assert!(output.stderr.contains(words), "{words}: {}", output.stderr);
    assert_eq!(output.stderr.matches("nothing is lost").count(), usize::from(words == "nothing is lost"));
    // In a folder that somebody has named nothing is put back, and that is said too.
    let own = home.folder().join("media of mine");
    home.write(&own.join("a.csv"), "as it was");
    home.ok(&["config", "set", "media.path", own.to_str().unwrap()]);
    home.ok(&["restart"]);
    let output = home.mathesar(&["upgrade", "--from", &tarball(&release("3.0.0", Some("fails")))]);
    assert!(output.stderr.contains("`media.path` names a folder of yours"), "{}", output.stderr);
    assert_eq!(fs::read_to_string(own.join("a.csv")).unwrap(), "by a release that fails");
    let told = |home: &Home| {
        let pending = home.status()["pending"].to_string();
        assert!(pending.contains("uploaded files in"), "{pending}");
    };
    told(&home);
    // Nor by the start after a kill, and others' changes count too.
    home.ok(&["stop"]);
    crate::restore::kill_at(&home, "migrated", &["upgrade", "--from", &tarball(&release("2.0.0", None))]);
    home.write(&own.join("a.csv"), "half of it");
    let started = home.ok(&["start"]).stderr;
    assert!(
        started.contains("application and data are as they were before it; but uploaded files in"),
        "{started}"
    );
    told(&home);
}
