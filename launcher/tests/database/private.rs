//! The private cluster in order: how it is made, who may come in.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt};
use std::time::Duration;

use mathesar::database::{existing_major, literal};

use crate::harness::{ODD, Site, psql, service, stranger};

#[test]
fn a_cluster_is_made_provisioned_and_safe() {
    let Some(site) = Site::new() else { return };
    let cluster = &site.cluster;
    assert_eq!(existing_major(&cluster.folder).unwrap(), None);
    assert!(cluster.init().unwrap());
    assert!(!cluster.init().unwrap(), "made twice");
    assert_eq!(existing_major(&cluster.folder).unwrap(), Some(cluster.binaries.major));
    let mut server = site.start();
    let made = cluster.provision().unwrap().databases;
    assert_eq!(made, ["mathesar_django", "it's \"mine\""]);
    assert!(cluster.provision().unwrap().databases.is_empty());

    let show = |name: &str| cluster.admin("postgres", &format!("SHOW {name};")).unwrap();
    for (name, value) in [
        ("listen_addresses", ""),
        ("data_checksums", "on"),
        ("fsync", "on"),
        ("server_encoding", "UTF8"),
        ("password_encryption", "scram-sha-256"),
        ("max_connections", "30"),
        ("shared_buffers", "16MB"),
        ("unix_socket_permissions", "0700"),
    ] {
        assert_eq!(show(name), value, "{name}");
    }
    let roles = cluster
        .admin(
            "postgres",
            "SELECT rolname, rolsuper, rolcreatedb, rolcreaterole, rolreplication \
        FROM pg_roles WHERE rolname !~ '^pg_' ORDER BY 1;",
        )
        .unwrap();
    assert_eq!(roles, "mathesar|f|t|t|f\nmathesar_backup|f|f|f|t\nmathesar_launcher|t|t|t|t");
    let owners = "SELECT pg_get_userbyid(datdba), datcollate FROM pg_database WHERE datname IN ('mathesar_django', 'it''s \"mine\"');";
    assert_eq!(cluster.admin("postgres", owners).unwrap(), "mathesar|C.UTF-8\nmathesar|C.UTF-8");

    // Mathesar's role works in both databases, and can make more.
    for database in ["mathesar_django", "it's \"mine\""] {
        cluster.query(database, "CREATE SCHEMA msar; CREATE TABLE msar.t (a text);").unwrap();
    }
    cluster.query("mathesar_django", "CREATE DATABASE third;").unwrap();
    // A query that JIT compiles.
    let jit = "SET jit = on; SET jit_above_cost = 0; SET jit_inline_above_cost = 0; SET jit_optimize_above_cost = 0;\n\
               SELECT sum(a * 2) FROM generate_series(1, 1000) AS t(a);";
    assert_eq!(cluster.query("it's \"mine\"", jit).unwrap(), "1001000");
    println!("jit available: {}", cluster.query("third", "SELECT pg_jit_available();").unwrap());

    let status = cluster.status().unwrap();
    assert_eq!((status.pid, status.ready), (Some(server.running.pid), true));
    assert!(status.size > 10 << 20);
    assert!(
        cluster
            .database_sizes()
            .unwrap()
            .iter()
            .any(|(name, size)| name == "it's \"mine\"" && *size > 1 << 20)
    );
    assert_eq!(cluster.collation_mismatches().unwrap(), []);
    if cluster.binaries.major >= 15 {
        let sql = "CREATE DATABASE sorted TEMPLATE template0 LOCALE_PROVIDER icu ICU_LOCALE 'de';\n\
                   UPDATE pg_database SET datcollversion = '1' WHERE datname = 'sorted';";
        match cluster.admin("postgres", sql) {
            Ok(_) => {
                let found = cluster.collation_mismatches().unwrap();
                assert_eq!(found.len(), 1);
                assert_eq!((found[0].database.as_str(), found[0].recorded.as_str()), ("sorted", "1"));
            }
            Err(failure) => println!("not run: collation mismatch, as this build has no ICU: {failure}"),
        }
    }

    // Its own process group, its own user, no secret in its words.
    let proc = std::path::PathBuf::from(format!("/proc/{}", server.running.pid));
    if let Ok(meta) = std::fs::metadata(&proc) {
        assert_eq!(meta.uid(), cluster.owner.uid);
        let stat = std::fs::read_to_string(proc.join("stat")).unwrap();
        let group: u32 = stat.rsplit_once(") ").unwrap().1.split(' ').nth(2).unwrap().parse().unwrap();
        assert_eq!(group, server.running.pid);
    }
    assert!(server.running.stop(Duration::from_secs(30)).unwrap(), "not fast");
    let status = cluster.status().unwrap();
    assert_eq!((status.pid, status.ready), (None, false));
    let log = std::fs::read_to_string(site.log()).unwrap();
    assert!(!log.contains("PASSWORD") && !log.contains("SCRAM"), "{log}");
}

#[test]
fn only_the_right_ones_come_in() {
    let Some(site) = Site::new() else { return };
    let _server = site.ready();
    let cluster = &site.cluster;
    let ask = |user, role: &str, database: &str, password: Option<&str>| {
        psql(&site, user, role, database, password, "SELECT current_user;")
    };
    // The service's user: by peer as `mathesar`, and as nobody else.
    assert_eq!(ask(service(), "mathesar", "postgres", None).unwrap(), "mathesar");
    for role in ["mathesar_launcher", "mathesar_backup"] {
        let refused = ask(service(), role, "postgres", None).unwrap_err();
        assert!(refused.contains("no password supplied"), "{refused}");
        let refused = ask(service(), role, "postgres", Some("wrong")).unwrap_err();
        assert!(refused.contains("password authentication failed"), "{refused}");
    }
    let escalate = "SET ROLE mathesar_launcher;";
    let refused = psql(&site, service(), "mathesar", "postgres", None, escalate).unwrap_err();
    assert!(refused.contains("permission denied to set role"), "{refused}");
    for sql in [
        "ALTER ROLE mathesar SUPERUSER;",
        "ALTER ROLE mathesar_launcher PASSWORD 'x';",
        "GRANT mathesar_launcher TO mathesar;",
    ] {
        psql(&site, service(), "mathesar", "postgres", None, sql).unwrap_err();
    }
    // A collaborator with an odd password comes into the user's database, not into the internal one.
    let make = format!("CREATE ROLE \"col lab\" LOGIN PASSWORD {};", literal(ODD));
    cluster.query("postgres", &make).unwrap();
    assert_eq!(ask(service(), "col lab", "it's \"mine\"", Some(ODD)).unwrap(), "col lab");
    let refused = ask(service(), "col lab", "mathesar_django", Some(ODD)).unwrap_err();
    assert!(refused.contains("permission denied for database"), "{refused}");
    let refused = ask(service(), "col lab", "it's \"mine\"", Some("x")).unwrap_err();
    assert!(refused.contains("password authentication failed"), "{refused}");
    assert!(!std::fs::read_to_string(site.log()).unwrap().contains(ODD));

    let Some(stranger) = stranger() else {
        println!("not run: another OS user, as only root can become one");
        return;
    };
    let refused = ask(Some(stranger), "mathesar", "postgres", None).unwrap_err();
    assert!(refused.contains("Permission denied"), "{refused}");
    // Even where somebody has opened the folder and the socket.
    let state = cluster.socket.parent().unwrap();
    for (path, mode) in [
        (state.to_owned(), 0o755),
        (cluster.socket.clone(), 0o755),
        (cluster.socket.join(".s.PGSQL.5432"), 0o777),
    ] {
        std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
    }
    let refused = ask(Some(stranger), "mathesar", "postgres", None).unwrap_err();
    assert!(refused.contains("Peer authentication failed"), "{refused}");
    let refused = ask(Some(stranger), "mathesar_launcher", "postgres", None).unwrap_err();
    assert!(refused.contains("no password supplied"), "{refused}");
    assert_eq!(ask(Some(stranger), "col lab", "it's \"mine\"", Some(ODD)).unwrap(), "col lab");
}

/// A cluster of before, whose settings said nothing of it, as well.
#[test]
fn what_people_have_written_into_their_rows_stays_out_of_the_log() {
    let Some(site) = Site::new() else { return };
    site.cluster.init().unwrap();
    let old = site.cluster.data().join("mathesar.conf");
    std::fs::write(&old, "log_error_verbosity = default\n").unwrap();
    let _server = site.start();
    site.cluster.provision().unwrap();
    let query = |sql: &str| site.cluster.query("it's \"mine\"", sql);
    query("CREATE TABLE people (name text PRIMARY KEY, age int CHECK (age > 0));").unwrap();
    let insert = "INSERT INTO people VALUES ('planted', 7);";
    query(insert).unwrap();
    let refused = query(insert).unwrap_err();
    // Whoever asks is still told.
    assert!(refused.whole().contains("planted"), "{}", refused.whole());
    query("INSERT INTO people VALUES ('planted too', -1);").unwrap_err();
    query("DO $$BEGIN RAISE EXCEPTION 'oh' USING DETAIL = 'planted'; END$$;").unwrap_err();
    let log = std::fs::read_to_string(site.log()).unwrap();
    assert!(log.contains("duplicate key value") && log.contains("violates check constraint"), "{log}");
    assert!(!log.contains("planted") && !log.contains("STATEMENT"), "{log}");
}

#[test]
fn a_physical_copy_is_made_by_the_replication_role() {
    let Some(site) = Site::new() else { return };
    let _server = site.ready();
    let copy = site.cluster.folder.join("copy");
    let program = site.cluster.basebackup().unwrap().args(["-Ft", "-z", "-X", "stream", "-c", "fast", "-D"]);
    program.arg(&copy).run().unwrap();
    assert!(copy.join("base.tar.gz").exists());
}
