use std::fs;
use std::time::Duration;

use serde_json::json;

use crate::sample::release;
use crate::world::{ADMIN, App, PASSWORD, World};

fn create_admin(app: &App<'_>) {
    app.python(&[
        "manage.py",
        "createsuperuser",
        "--noinput",
        "--username",
        "admin",
        "--email",
        "a@example.org",
    ])
    .env("DJANGO_SUPERUSER_PASSWORD", ADMIN.split_once(':').unwrap().1)
    .run()
    .unwrap();
}

#[test]
fn from_an_empty_database_to_rows_and_back_after_an_outage() {
    let Some(mut world) = World::new() else { return };
    let server = {
        let app = world.app(&release("1.0.0", None), "mathesar_django");
        app.install();
        assert!(app.folder.join("static/mathesar/style.css").exists());
        let server = app.serve();
        assert_eq!(server.get("/auth/login/").location(), Some("/complete_installation/"));
        assert_eq!(server.get("/complete_installation/").status, 200);
        assert_eq!(server.get("/").location(), Some("/auth/login/?next=/"));
        create_admin(&app);
        server
    };
    assert_eq!(server.get("/auth/login/").status, 200);
    assert_eq!(server.get("/complete_installation/").location(), Some("/auth/login/"));
    assert_eq!(server.get("/there-is-no-such-page").status, 500);
    assert_eq!(server.get("/static/mathesar/style.css").status, 200);
    let foreign =
        server.request("GET / HTTP/1.0\r\nHost: example.org", b"", Duration::from_secs(60)).unwrap();
    assert_eq!(foreign.status, 400);

    let database = server.admin("databases.setup.create_new", json!({"database": "people"}));
    let socket = world.socket_folder().display().to_string();
    assert_eq!(database["host"], json!(socket));
    assert_eq!(world.sql("mathesar_django", "SELECT host FROM mathesar_server"), socket);
    let stored = world.sql("mathesar_django", "SELECT encrypted_password FROM mathesar_configuredrole");
    assert!(!stored.is_empty() && !stored.contains(PASSWORD), "{stored}");

    let id = &database["id"];
    let table =
        server.admin("tables.add", json!({"database_id": id, "table_name": "cats", "columns": ["name"]}));
    let cats = json!({"database_id": id, "table_oid": table["oid"]});
    let mia = json!({"database_id": id, "table_oid": table["oid"], "record_def": {"name": "Mia"}});
    server.admin("records.add", mia);
    let rows = json!({"count": 1, "results": [{"id": 1, "name": "Mia"}]});
    assert_eq!(server.admin("records.list", cats.clone()), rows);

    let role = server.admin("roles.add", json!({"database_id": id, "rolename": "bob", "password": PASSWORD}));
    let bob = json!({"database_id": id, "username": "bob", "password": "hello-world", "configured_role_id": role["id"]});
    server.admin("collaborators.add", bob);
    assert_eq!(server.call("bob:hello-world", "records.list", cats.clone()).unwrap(), rows);
    let denied =
        server.call("bob:hello-world", "databases.upgrade_sql", json!({"database_id": id})).unwrap_err();
    assert!(denied.starts_with("PermissionError"), "{denied}");
    let tom = json!({"database_id": id, "table_oid": table["oid"], "record_def": {"name": "Tom"}});
    let denied = server.call("bob:hello-world", "records.add", tom).unwrap_err();
    assert!(denied.contains("permission denied for table cats"), "{denied}");

    let part = "--x\r\nContent-Disposition: form-data; name=\"file\"; filename=\"dogs.csv\"\r\n\r\nname;age\nRex;3\nBen;4\n\r\n--x--\r\n";
    let answer =
        server.post("/api/db/v0/data_files/", ADMIN, "multipart/form-data; boundary=x", part.as_bytes());
    assert_eq!(answer.status, 201);
    let file: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
    let media = world.folder.path().join("media").join(file["name"].as_str().unwrap());
    assert_eq!(fs::read_to_string(media).unwrap(), "name;age\nRex;3\nBen;4\n");
    server
        .admin("tables.import", json!({"database_id": id, "table_name": "dogs", "data_file_id": file["id"]}));
    assert_eq!(world.sql("people", "SELECT string_agg(name || age, ' ' ORDER BY id) FROM dogs"), "Rex3 Ben4");

    world.stop_postgres();
    assert_eq!(server.get("/auth/login/").status, 500);
    assert_eq!(server.get("/").status, 302);
    world.start_postgres();
    assert_eq!(server.get("/auth/login/").status, 200);
    assert_eq!(server.admin("records.list", cats), rows);
}

#[test]
fn it_says_what_it_needs() {
    let Some(world) = World::new() else { return };
    let app = world.app(&release("1.0.0", None), "mathesar_django");
    let refusal = |program: mathesar::process::Program| {
        let failure = program.run().unwrap_err();
        let said = std::error::Error::source(&failure).unwrap().to_string();
        said.lines().last().unwrap().trim().to_owned()
    };
    let check = ["manage.py", "check"];
    let without_host = mathesar::process::Program::new(world.environment.join("bin/python"))
        .args(check)
        .envs(app.variables().into_iter().filter(|(name, _)| *name != "POSTGRES_HOST"))
        .current_dir(&app.folder);
    assert!(refusal(without_host).ends_with("POSTGRES_HOST is not set"));
    let elsewhere = app.python(&[app.folder.join("manage.py").to_str().unwrap(), "check"]).current_dir("/");
    assert!(refusal(elsewhere).contains("the working directory must be "));
    let unknown_mode = app.python(&check).env("POSTGRES_SSLMODE", "verify-full");
    assert!(refusal(unknown_mode).ends_with("POSTGRES_SSLMODE must be disable, prefer or require"));

    let key = app.folder.join(".secrets/secret_key.txt");
    app.python(&check).run().unwrap();
    assert!(!key.exists());
    app.python(&check).env("SECRET_KEY", "").run().unwrap();
    assert!(fs::read_to_string(key).unwrap().len() > 50);
    app.python(&["-m", "mathesar.install"]).env("SKIP_STATIC_COLLECTION", "true").run().unwrap();
    assert!(!app.folder.join("static").exists());
}
