//! A server of the user's: its password, and everything that keeps Mathesar from it.

use std::fs;

use crate::external::{External, PASSWORD};
use crate::harness::Home;
use crate::machine;
use crate::sample::release;
use crate::steps::{json, refused, unchanged};
use crate::upgrade::tarball;

#[test]
fn a_password_with_every_odd_character_survives_everywhere() {
    let Some(home) = Home::installed() else { return };
    let external = External::start();
    let file = home.folder().join("home/database password");
    home.write(&file, format!("{PASSWORD}\n"));
    let set = |name: &str, value: &str| drop(home.ok(&["config", "set", name, value]));
    set("database.url", &external.url("me", "its%20own"));

    refused(
        &home,
        &["db", "url", "--test"],
        4,
        &["wants a password of role \"me\"", "database.password-file"],
    );
    set("database.password-file", file.to_str().unwrap());
    let mut said = vec![home.ok(&["db", "url", "--test"])];
    assert!(said[0].stderr.contains("Reached PostgreSQL"), "{said:?}");
    assert!(said[0].stderr.contains("others can read the password"), "{said:?}");
    // Of a role that may make roles, on a server that does not keep it to them.
    let warned = said[0].stderr.contains("`ALTER ROLE \"me\" NOCREATEROLE`");
    assert_eq!(warned, home.binaries.major < 16, "{said:?}");
    assert_eq!(said[0].stdout, format!("{}?sslmode=prefer\n", external.url("me", "its%20own")));
    let who = "SELECT current_user || ' ' || current_database()";
    said.push(home.ok(&["db", "shell", "--", "-Atc", who]));
    assert_eq!(said[1].stdout, "me its own\n");

    // What is the private cluster's alone.
    unchanged(&home, &["db", "init"]);
    refused(&home, &["db", "start"], 4, &["your server", "`mathesar db url --test`"]);
    refused(&home, &["db", "stop"], 4, &["your server"]);
    refused(&home, &["db", "shell", "--superuser"], 4, &["no superuser on your server"]);
    assert_eq!(json(&home, &["db", "status", "--json"])["kind"], "external");

    // Mathesar's own connection.
    said.push(home.ok(&["start"]));
    assert_eq!(home.try_get("/auth/login/").unwrap().status, 302);
    home.create_admin();
    assert_eq!(external.sql_in("its own", "SELECT username FROM mathesar_user"), "admin");
    assert!(home.pids("bin/postgres -D").is_empty() && !home.layout.state.join("database/data").exists());
    let stopped = home.ok(&["stop"]).stderr;
    assert!(stopped.contains("Stopped Mathesar\n"), "its database is not ours to stop: {stopped}");

    // The same in mathesar.conf itself, by standard input.
    home.ok(&["config", "unset", "database.password-file"]);
    let input = home.folder().join("input");
    fs::write(&input, PASSWORD).unwrap();
    let mut command = home.launcher(&["config", "set", "--stdin", "database.password"]);
    assert!(command.stdin(fs::File::open(&input).unwrap()).status().unwrap().success());
    assert_eq!(home.ok(&["config", "get", "--reveal", "database.password"]).stdout.trim_end(), PASSWORD);
    said.push(home.ok(&["db", "url", "--test"]));
    said.push(home.ok(&["start"]));
    assert_eq!(home.try_get("/auth/login/").unwrap().status, 200);
    for output in said {
        assert!(!format!("{}{}", output.stdout, output.stderr).contains(PASSWORD), "{output:?}");
    }
    assert!(!home.log().contains(PASSWORD));
    home.ok(&["stop"]);

    // What keeps it out, with its cure.
    let test: &[&str] = &["db", "url", "--test"];
    let with = |role: &str, database: &str| set("database.url", &external.url(role, database));
    with("nobody_here", "its%20own");
    // A server with passwords does not tell whether there is such a role.
    refused(
        &home,
        test,
        4,
        &["refuses the password of role \"nobody_here\"", "it comes from ", "`mathesar db url --test`"],
    );
    with("me", "nowhere");
    refused(&home, test, 4, &["CREATE DATABASE \"nowhere\" OWNER \"me\""]);
    with("poor", "its%20own");
    refused(&home, test, 4, &["may not create", "ALTER DATABASE \"its own\" OWNER TO \"poor\""]);
    set("database.url", "postgresql://me@nobody.invalid/m");
    refused(&home, test, 4, &["the host `nobody.invalid` is not known"]);
    set("database.url", &format!("postgresql://me@127.0.0.1:{}/m", machine::free_port()));
    refused(&home, test, 4, &["no server listens on 127.0.0.1:"]);
    refused(&home, &["db", "status"], 3, &["unusable", "no server listens on"]);
}

/// What `rollback` advises there works: its owner puts the database back, and the release follows.
#[test]
fn the_way_back_is_by_a_backup_of_that_server() {
    let Some(home) = Home::installed() else { return };
    let external = External::start();
    let file = home.folder().join("home/password");
    home.write(&file, format!("{PASSWORD}\n"));
    home.ok(&["config", "set", "database.url", &external.url("me", "its%20own")]);
    home.ok(&["config", "set", "database.password-file", file.to_str().unwrap()]);
    home.ok(&["start"]);
    home.ok(&["stop"]);
    external.sql("CREATE DATABASE kept TEMPLATE \"its own\" OWNER me;");
    let newer = tarball(&release("2.0.0", None));
    let again = format!("`mathesar upgrade --from {newer} --yes`");
    refused(&home, &["upgrade", "--from", &newer], 4, &[&again]);
    home.ok(&["upgrade", "--from", &newer, "--yes"]);
    home.ok(&["start"]);
    assert_eq!(home.status()["version"], "2.0.0");
    refused(&home, &["rollback"], 4, &["`mathesar stop`", "`mathesar app use RELEASE`, `mathesar start`"]);
    home.ok(&["stop"]);
    refused(&home, &["app", "use", "1.0.0"], 4, &["was applied, which Mathesar 1.0.0 does not have"]);
    external.sql("DROP DATABASE \"its own\";");
    external.sql("ALTER DATABASE kept RENAME TO \"its own\";");
    home.ok(&["app", "use", "1.0.0"]);
    home.ok(&["start"]);
    assert_eq!(home.status()["version"], "1.0.0");
    home.ok(&["stop"]);
    // A release that fails, and has changed uploaded files where nothing is put back.
    let own = home.folder().join("home/media of mine");
    home.write(&own.join("a.csv"), "as it was");
    home.ok(&["config", "set", "media.path", own.to_str().unwrap()]);
    let failed =
        home.mathesar(&["upgrade", "--yes", "--from", &tarball(&release("3.0.0", Some("fails")))]).stderr;
    for said in ["as the migrations have left them; but uploaded files in", "`media.path` names"] {
        assert!(failed.contains(said), "{failed}");
    }
}
