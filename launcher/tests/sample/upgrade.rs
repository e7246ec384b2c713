use std::time::Duration;

use rustix::process::{Signal, kill_process_group};
use serde_json::{Value, json};

use crate::sample::release;
use crate::world::{ADMIN, Server, World, pid, wait_for};

/// Rows, a display setting and an exploration, the latter two by the table's OID. Its number.
fn fill(server: &Server) -> Value {
    server.admin("databases.setup.create_new", json!({"database": "people"}));
    let table =
        server.admin("tables.add", json!({"database_id": 1, "table_name": "cats", "columns": ["name"]}));
    let oid = table["oid"].clone();
    server.admin("records.add", json!({"database_id": 1, "table_oid": oid, "record_def": {"name": "Mia"}}));
    let setting = json!({"database_id": 1, "table_oid": oid, "attnum": 2, "duration_min": null});
    server.admin("columns.metadata.set", setting);
    let exploration =
        json!({"database_id": 1, "name": "names", "base_table_oid": oid, "initial_columns": ["name"]});
    server.admin("explorations.add", exploration);
    oid
}

#[test]
fn version_2_migrates_and_every_version_3_breaks_in_its_way() {
    let Some(world) = World::new() else { return };
    let old = world.app(&release("1.0.0", None), "mathesar_django");
    old.install();
    let oid = {
        let server = old.serve();
        let (name, password) = ADMIN.split_once(':').unwrap();
        // Whoever comes first is the administrator; the second is shown the way to the login page.
        assert_eq!(server.complete_installation(name, password).location(), Some("/auth/login/"));
        assert_eq!(server.complete_installation("mallory", password).location(), Some("/auth/login/"));
        assert_eq!(world.sql("mathesar_django", "SELECT username FROM mathesar_user"), name);
        fill(&server)
    };
    let cats = json!({"database_id": 1, "table_oid": oid});

    let new = world.app(&release("2.0.0", None), "mathesar_django");
    new.install();
    {
        let server = new.serve();
        let settings = server.admin("columns.metadata.list", cats.clone());
        assert_eq!(settings, json!([{"attnum": 2, "duration_min": null, "group_digits": true}]));
        assert_eq!(server.admin("explorations.run", json!({"exploration_id": 1})), json!([{"name": "Mia"}]));
        let stale = server.call(ADMIN, "tables.row_count", cats.clone()).unwrap_err();
        assert!(stale.contains("function msar.row_count"), "{stale}");
        assert_eq!(server.admin("databases.configured.list", json!({}))[0]["needs_upgrade_attention"], true);
        server.admin("databases.upgrade_sql", json!({"database_id": 1}));
        assert_eq!(server.admin("tables.row_count", cats.clone()), 1);
        assert_eq!(server.admin("databases.sql_version", json!({"database_id": 1})), "2.0.0");
        assert_eq!(server.admin("databases.configured.list", json!({}))[0]["needs_upgrade_attention"], false);
    }

    // The old one still works on what the new one has migrated, and the other way of installing the SQL is a shell.
    assert_eq!(old.serve().admin("records.list", cats)["count"], 1);
    let statement =
        "from mathesar.models.base import Database; [d.install_sql() for d in Database.objects.all()]";
    old.python(&["manage.py", "shell", "-c", statement]).run().unwrap();
    assert_eq!(world.sql("people", "SELECT msar.version()"), "1.0.0");
    new.python(&["manage.py", "shell", "-c", statement]).run().unwrap();
    assert_eq!(world.sql("people", "SELECT msar.version()"), "2.0.0");

    for variant in ["fails", "hangs", "dead"] {
        world.sql("postgres", &format!("CREATE DATABASE {variant} TEMPLATE mathesar_django OWNER mathesar"));
    }
    a_migration_fails_half_way(&world);
    a_migration_hangs(&world);
    an_application_is_dead(&world);
}

fn a_migration_fails_half_way(world: &World) {
    let app = world.app(&release("3.0.0", Some("fails")), "fails");
    let failure = app.python(&["-m", "mathesar.install"]).run().unwrap_err();
    let said = std::error::Error::source(&failure).unwrap().to_string();
    assert!(said.ends_with("RuntimeError: this migration always fails half-way"), "{said}");
    // Half of it is done and stays: only a copy of the cluster helps.
    assert_eq!(world.sql("fails", "SELECT count(*) FROM mathesar_exploration"), "0");
    world.sql("fails", "SELECT shortest FROM mathesar_columnmetadata");
    assert_eq!(
        world.sql(
            "fails",
            "SELECT count(*) FROM django_migrations WHERE name LIKE '0003%' AND app = 'mathesar'"
        ),
        "0"
    );
}

fn a_migration_hangs(world: &World) {
    const ASLEEP: &str =
        "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND datname = 'hangs'";
    let app = world.app(&release("3.0.0", Some("hangs")), "hangs");
    let mut child = app.spawn("python", &["-m", "mathesar.install"]);
    wait_for("the migration to hang", || world.sql("postgres", ASLEEP) == "1");
    assert_eq!(child.try_wait().unwrap(), None);
    kill_process_group(pid(&child), Signal::KILL).unwrap();
    child.wait().unwrap();
    // The client is gone; its backend sleeps on, with the lock.
    assert_eq!(world.sql("postgres", ASLEEP), "1");
    world.sql(
        "postgres",
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event = 'PgSleep'",
    );
    wait_for("the backend to end", || world.sql("postgres", ASLEEP) == "0");
    world.sql("hangs", "SELECT duration_min FROM mathesar_columnmetadata");
}

fn an_application_is_dead(world: &World) {
    let app = world.app(&release("3.0.0", Some("dead")), "dead");
    app.install();
    let server = app.serve();
    assert!(server.request("GET /auth/login/ HTTP/1.0", b"", Duration::from_secs(3)).is_none());
    drop(server);
    // Going back without the database of before is no way out.
    let back = world.app(&release("2.0.0", None), "dead").serve();
    let error =
        back.call(ADMIN, "columns.metadata.list", json!({"database_id": 1, "table_oid": 1})).unwrap_err();
    assert!(error.contains("group_digits"), "{error}");
}
