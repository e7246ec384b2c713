//! Backups of what is on a server of the user's: dumps, restored for a look, and a plain word about what they cannot keep.

use std::fs;

use mathesar::backup::archive;
use mathesar::progress::Silent;
use serde_json::{Value, json};

use crate::external::{External, PASSWORD};
use crate::harness::Home;

#[test]
fn a_server_of_the_users_is_dumped_and_the_dumps_are_drilled() {
    let Some(home) = Home::installed() else { return };
    let external = External::start();
    let file = home.folder().join("home/password");
    home.write(&file, format!("{PASSWORD}\n"));
    home.ok(&["config", "set", "database.url", &external.url("me", "its%20own")]);
    home.ok(&["config", "set", "database.password-file", file.to_str().unwrap()]);
    home.ok(&["start"]);
    home.create_admin();
    let table = home.table("people", "cats");
    for name in ["Mia", "O'Malley"] {
        let mut row = table.clone();
        row["record_def"] = json!({ "name": name });
        home.admin("records.add", row);
    }
    // Connected, and no longer readable for the role.
    home.table("closed", "secret");
    external.sql_in("closed", "ALTER TABLE secret OWNER TO postgres; REVOKE ALL ON secret FROM me, PUBLIC");

    let made = home.mathesar(&["backup", "create", "--json"]);
    println!("{}", made.stderr);
    // Nobody reads the notes of a timer: one that lacks a database is kept, and no success.
    assert_eq!(made.status, 1, "{made:?}");
    assert!(made.stderr.contains("is incomplete: lacks closed"), "{}", made.stderr);
    let said = format!("{}{}", made.stdout, made.stderr);
    assert!(!said.contains(PASSWORD));
    for word in
        ["does not keep how tables and columns are shown", "the database closed", "the passwords of roles"]
    {
        assert!(made.stderr.contains(word), "{word}\n{}", made.stderr);
    }
    let made: Value = serde_json::from_str(&made.stdout).unwrap();
    assert_eq!(made["lacks"], json!(["closed"]));
    let path = made["path"].as_str().unwrap().to_owned();
    let into = home.folder().join("unpacked");
    let manifest = archive::unpack(path.as_ref(), &into, &|_| true, &Silent).unwrap().manifest;
    assert!(manifest.cannot_keep.len() >= 4, "{:?}", manifest.cannot_keep);
    assert!(!into.join("cluster").exists());
    let roles = fs::read_to_string(into.join("portable/globals.sql")).unwrap();
    assert!(roles.contains("CREATE ROLE me;") && !roles.contains("SCRAM"), "{roles}");
    assert_eq!(
        fs::read_to_string(into.join("config/files/database.password-file")).unwrap().trim_end(),
        PASSWORD
    );

    let verified = home.ok(&["backup", "verify"]);
    println!("{}", verified.stdout);
    for word in ["public.cats", "incomplete: lacks closed; what it holds is good", "not in this backup: "] {
        assert!(verified.stdout.contains(word), "{word}\n{}", verified.stdout);
    }
    let verified: Value = serde_json::from_str(&home.ok(&["backup", "verify", "--json"]).stdout).unwrap();
    assert_eq!(verified["lacks"], json!(["closed"]));
    assert_eq!(verified["not_compared"][0]["database"], "closed");
    assert!(verified["not_compared"][0]["why"].as_str().unwrap().starts_with("not in this backup: "));
    // Who looks for the last good backup is told.
    let doctor: Value = serde_json::from_str(&home.mathesar(&["doctor", "--json"]).stdout).unwrap();
    let checks = doctor["checks"].as_array().unwrap();
    let last = checks.iter().find(|check| check["id"] == "last-backup").unwrap();
    assert_eq!((&last["finding"], &last["text"]), (&json!("warning"), &json!("incomplete: lacks closed")));
    for args in [&["status"][..], &["backup", "list"]] {
        let said = home.mathesar(args).stdout;
        assert!(said.contains("incomplete: lacks closed"), "{said}");
    }
    assert_eq!(home.status()["last_backup"]["lacks"], json!(["closed"]));
    external.sql_in("closed", "GRANT SELECT ON ALL TABLES IN SCHEMA public TO me; GRANT SELECT ON ALL SEQUENCES IN SCHEMA public TO me");
    home.ok(&["stop"]);
    // It is somebody else's server: nobody of ours is needed for it.
    home.ok(&["backup", "create"]);
    assert_eq!(home.status()["last_backup"]["lacks"], json!([]));
    home.nobody_left();
}
