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

    let made = home.ok(&["backup", "create", "--json"]);
    println!("{}", made.stderr);
    let said = format!("{}{}", made.stdout, made.stderr);
    assert!(!said.contains(PASSWORD));
    for word in
        ["does not keep how tables and columns are shown", "the database closed", "the passwords of roles"]
    {
        assert!(made.stderr.contains(word), "{word}\n{}", made.stderr);
    }
    let made: Value = serde_json::from_str(&made.stdout).unwrap();
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
    assert!(verified.stdout.contains("public.cats") && verified.stdout.contains("a good backup"));
    home.ok(&["stop"]);
    // It is somebody else's server: nobody of ours is needed for it.
    home.ok(&["backup", "create"]);
    home.nobody_left();
}
