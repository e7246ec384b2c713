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
