//! Backups of the real application: made while it runs, drilled, and never half there.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};

use mathesar::backup::archive;
use mathesar::backup::checks::Checks;
use mathesar::progress::Silent;
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::harness::{Home, PATIENCE};
use crate::http::{ADMIN, base64, call_with, log_in, request};
use crate::machine::{self, give};

/// What a person had in it.
pub struct Filled {
    /// `database_id`, `table_oid` of people.cats.
    table: Value,
    /// An uploaded file, from the media folder.
    media: String,
}

const CSV: &str = "name;age\nRex;3\n";
const ROLE_PASSWORD: &str = "p|'\"\\ass";

/// What nobody expects of tables: names that mean something in our own statements, names with everything in them, every kind of
/// relation, values without an equality.
const ODD: &str = include_str!("odd.sql");

/// Rows, a role with a password and its collaborator, a column's display setting, an exploration, an uploaded file.
pub fn fill(home: &Home) -> Filled {
    home.create_admin();
    let table = home.table("people", "cats");
    let (id, oid) = (&table["database_id"], &table["table_oid"]);
    for name in ["Mia", "O'Malley | \\x", "Ünïcödé\nzwei"] {
        let mut row = table.clone();
        row["record_def"] = json!({ "name": name });
        home.admin("records.add", row);
    }
    let role =
        home.admin("roles.add", json!({"database_id": id, "rolename": "bob", "password": ROLE_PASSWORD}));
    let bob = json!({"database_id": id, "username": "bob", "password": "hello-world", "configured_role_id": role["id"]});
    home.admin("collaborators.add", bob);
    let shown = json!({"database_id": id, "table_oid": oid, "attnum": 2, "duration_min": "h"});
    home.admin("columns.metadata.set", shown);
    let all =
        json!({"database_id": id, "name": "all cats", "base_table_oid": oid, "initial_columns": ["name"]});
    home.admin("explorations.add", all);
    let body = format!(
        "--x\r\nContent-Disposition: form-data; name=\"file\"; filename=\"dogs.csv\"\r\n\r\n{CSV}\r\n--x--\r\n"
    );
    let head = format!(
        "POST /api/db/v0/data_files/ HTTP/1.1\r\nAuthorization: Basic {}\r\n\
         Content-Type: multipart/form-data; boundary=x",
        base64(ADMIN.as_bytes())
    );
    let answer = request(home.port, &head, body.as_bytes(), PATIENCE).unwrap();
    assert_eq!(answer.status, 201, "{}", answer.body);
    home.sql("people", ODD);
    // Bytes that are no text in any other encoding.
    home.sql(
        "postgres",
        "CREATE DATABASE \"bytes \"\"%s\" ENCODING 'SQL_ASCII' LOCALE 'C' TEMPLATE template0",
    );
    home.sql("bytes \"%s", r"CREATE TABLE bytes AS SELECT E'\xff\xfe' AS t");
    home.sql("postgres", "CREATE DATABASE latin ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0");
    home.sql("latin", "CREATE TABLE \"Ärger\" AS SELECT 'ÿ'::text AS t");
    let file: Value = serde_json::from_str(&answer.body).unwrap();
    Filled { table, media: file["name"].as_str().unwrap().to_owned() }
}

/// `backup create`, and what it says of itself.
#[track_caller]
pub fn create(home: &Home, more: &[&str]) -> Value {
    let output = home.ok(&[&["backup", "create", "--json"], more].concat());
    serde_json::from_str(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"))
}

pub fn path(made: &Value) -> PathBuf {
    PathBuf::from(made["path"].as_str().unwrap())
}

/// Names below a folder; none where it is not there.
pub fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut names: Vec<String> =
        entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// Nothing of a backup that was not finished.
#[track_caller]
pub fn nothing_left(home: &Home, folder: &Path) {
    assert_eq!(names(&home.layout.state.join("staging")), [""; 0]);
    let half: Vec<String> = names(folder).into_iter().filter(|name| name.starts_with('.')).collect();
    assert!(half.is_empty(), "{half:?}");
    assert!(home.pids("/staging/").is_empty(), "{:#?}", home.processes());
}

/// An archive unpacked, and a server on what is in it that asks roles for their passwords.
struct Unpacked<'a> {
    home: &'a Home,
    folder: PathBuf,
    server: Option<Child>,
}

impl<'a> Unpacked<'a> {
    fn new(home: &'a Home, archive: &Path) -> Unpacked<'a> {
        let folder = home.folder().join("unpacked");
        let _ = fs::remove_dir_all(&folder);
        archive::unpack(archive, &folder, &|_| true, &Silent).unwrap();
        Unpacked { home, folder, server: None }
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.folder.join(name)).unwrap_or_else(|cause| panic!("{name}: {cause}"))
    }

    fn checks(&self) -> Checks {
        serde_json::from_str(&self.read("checks.json")).unwrap()
    }

    fn start(&mut self) {
        let mut own = Command::new("chown");
        if let Some(user) = self.home.user {
            own.arg("-R").arg(format!("{}:{}", user.uid, user.gid)).arg(&self.folder);
            assert!(own.status().unwrap().success());
        }
        let hba = self.folder.join("hba");
        fs::write(&hba, "local all bob scram-sha-256\nlocal all all trust\n").unwrap();
        give(&hba, self.home.user);
        let mut server = self.home.command(&self.home.server_program("postgres"));
        server.arg("-D").arg(self.folder.join("cluster")).args(["-c", "listen_addresses=", "-c"]);
        server.arg(format!("unix_socket_directories={}", self.folder.display()));
        server.arg("-c").arg(format!("hba_file={}", hba.display()));
        self.server = Some(server.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
        let pid = self.folder.join("cluster/postmaster.pid");
        self.home.until("the unpacked server is ready", || {
            fs::read_to_string(&pid).is_ok_and(|text| text.contains("ready"))
        });
    }

    /// What psql prints, bare; or what it said.
    fn sql(&self, role: &str, password: &str, database: &str, statement: &str) -> Result<String, String> {
        let mut psql = self.home.command(&self.home.server_program("psql"));
        psql.args(["-XAtqw", "-v", "ON_ERROR_STOP=1", "-U", role, "-d", database, "-c", statement, "-h"]);
        let output = psql.arg(&self.folder).env("PGPASSWORD", password).output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
        if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
    }
}

impl Drop for Unpacked<'_> {
    fn drop(&mut self) {
        if let Some(server) = &mut self.server {
            machine::signal(server.id() as i32, Signal::INT);
            let _ = server.wait();
        }
    }
}

#[test]
fn everything_is_in_it_and_the_drill_finds_it_good() {
    let Some(home) = Home::prepared() else { return };
    home.ok(&["start"]);
    let filled = fill(&home);
    home.sql("people", "CREATE UNLOGGED TABLE fleeting AS SELECT 1 AS n");
    home.sql("people", "CREATE UNLOGGED SEQUENCE \"next '%L'\" START 5");
    home.sql("people", "SELECT nextval('\"next ''%L''\"'), nextval('\"next ''%L''\"')");
    let made = create(&home, &["--note", "before the move"]);
    println!("{made:#}");
    let archive = path(&made);
    assert_eq!(fs::metadata(&archive).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(archive.parent().unwrap(), home.layout.state.join("backups"));
    nothing_left(&home, archive.parent().unwrap());

    let mut unpacked = Unpacked::new(&home, &archive);
    let manifest: Value = serde_json::from_str(&unpacked.read("manifest.json")).unwrap();
    println!("{manifest:#}");
    assert_eq!(manifest["note"], "before the move");
    assert_eq!(manifest["made_by"], "person");
    let missing = manifest["cannot_keep"][0].as_str().unwrap();
    assert!(missing.starts_with("the rows of people: public.fleeting: it is an unlogged table"), "{missing}");
    let missing = manifest["cannot_keep"][1].as_str().unwrap();
    assert!(missing.starts_with("the value of people: public.next '%L' in its cluster's files"), "{missing}");
    assert_eq!(manifest["unlogged"][0]["last_value"], 6);
    assert_eq!(manifest["app"]["version"], "1.0.0");
    assert_eq!(manifest["socket"], json!(home.layout.database_socket));
    let state = &home.layout.state;
    assert_eq!(unpacked.read(&format!("media/{}", filled.media)).trim_end(), CSV.trim_end());
    for name in ["secret-key", "database-superuser", "secret-key.fingerprint"] {
        let own = fs::read_to_string(state.join("secrets").join(name)).unwrap();
        assert_eq!(unpacked.read(&format!("secrets/{name}")).trim_end(), own.trim_end());
    }
    assert_eq!(unpacked.read("config/mathesar.conf"), fs::read_to_string(home.layout.config_file()).unwrap());
    for name in ["release/tree/manage.py", "release/installed.json", "portable/globals.sql"] {
        assert!(unpacked.folder.join(name).is_file(), "{name}");
    }
    assert!(!unpacked.folder.join("release/venv").exists());
    let checks = unpacked.checks();
    assert!(checks.tables.iter().any(|table| table.table == "cats" && table.rows == 3));
    let odd: Vec<(&str, u64)> = checks
        .tables
        .iter()
        .filter(|table| table.schema.starts_with("Odd"))
        .map(|table| (table.table.as_str(), table.rows))
        .collect();
    let expected = [
        ("a \"sequence\"", 1),
        ("child", 1),
        ("hidden", 1),
        ("nothing", 1),
        ("parts_1", 1),
        ("parts_id_seq", 1),
        ("parts_rest", 1),
        ("seen", 1),
        ("t", 1),
        ("Über \"t\" %L; --", 2),
    ];
    assert_eq!(odd, expected);
    // As a restore gives it, and not as the files have it: the drill sets it, too, and finds the same.
    let value = checks.tables.iter().find(|table| table.table == "next '%L'").unwrap().clone();
    let databases: BTreeSet<&str> = checks.dumps.iter().map(|dump| dump.database.as_str()).collect();
    assert!(databases.is_superset(&BTreeSet::from(["mathesar_django", "people"])), "{databases:?}");
    let of_people = checks.dumps.iter().find(|dump| dump.database == "people").unwrap();
    let mut restore = home.command(&home.server_program("pg_restore"));
    let text = restore
        .args(["-f", "-"])
        .stdin(fs::File::open(unpacked.folder.join(&of_people.file)).unwrap())
        .output();
    let text = String::from_utf8(text.unwrap().stdout).unwrap();
    assert!(text.contains("O'Malley | \\\\x"), "{text}");

    // As it lies in the archive: what Mathesar knows by numbers is where the numbers say, and passwords are what they were.
    unpacked.start();
    let of_files = "SELECT last_value || coalesce(hashtextextended(ROW(6::bigint, true)::text, 0)::text, '') FROM \"next '%L'\"";
    let of_files = unpacked.sql("mathesar_launcher", "", "people", of_files).unwrap();
    assert_eq!(of_files, format!("5{}", value.checksum));
    let oid = &filled.table["table_oid"];
    let shown = unpacked.sql("mathesar_launcher", "", "mathesar_django",
        "SELECT m.table_oid || m.duration_min || e.table FROM mathesar_columnmetadata m, (SELECT base_table_oid AS table FROM mathesar_exploration) e").unwrap();
    assert_eq!(shown, format!("{oid}h{oid}"));
    let cats = format!("SELECT {oid}::regclass || ' ' || count(*) FROM cats");
    assert_eq!(unpacked.sql("bob", ROLE_PASSWORD, "people", &cats).unwrap(), "cats 3");
    assert!(unpacked.sql("bob", "another", "people", &cats).is_err());
    drop(unpacked);

    // Its own server makes and removes files all the time; what lies beside its data is the drill's or nobody's.
    let beside = || fs::read_dir(home.layout.state.join("database")).unwrap().count();
    let before = beside();
    let verified = home.ok(&["backup", "verify"]);
    println!("{}{}", verified.stderr, verified.stdout);
    for line in [
        "digest           ok",
        "pg_verifybackup  ok",
        "key              ok",
        "application      ok",
        "a good backup",
    ] {
        assert!(verified.stdout.contains(line), "{line}\n{}", verified.stdout);
    }
    let listed: Value = serde_json::from_str(&home.ok(&["backup", "list", "--json"]).stdout).unwrap();
    assert_eq!(listed[0]["path"], json!(archive));
    assert_eq!(listed[0]["digest"], made["digest"]);
    assert!(listed[0]["verified"].is_string(), "{listed:#}");
    assert_eq!(home.status()["last_backup"]["verified"], listed[0]["verified"]);
    nothing_left(&home, archive.parent().unwrap());
    assert_eq!(beside(), before);
    assert_eq!(home.status()["state"], "running");
}

#[test]
fn a_row_that_is_another_is_found_by_the_drill() {
    let Some(home) = Home::prepared() else { return };
    home.ok(&["start"]);
    fill(&home);
    let first = path(&create(&home, &[]));
    let was = Unpacked::new(&home, &first).read("checks.json");
    // As many rows, of the same length; only what is written down tells the difference.
    home.sql("people", "UPDATE cats SET name = 'Mio' WHERE name = 'Mia'");
    let second = path(&create(&home, &[]));
    let unpacked = Unpacked::new(&home, &second);
    let mixed = home.layout.state.join("backups/mathesar-mixed.tar.zst");
    let mut writer = archive::Writer::new(fs::File::create(&mixed).unwrap(), 1).unwrap();
    writer.bytes("manifest.json", 0o600, unpacked.read("manifest.json").as_bytes()).unwrap();
    for part in ["cluster", "media", "secrets", "config", "release", "portable"] {
        let folder = unpacked.folder.join(part);
        if folder.is_dir() {
            writer.tree(part, &folder, &Silent).unwrap();
        }
    }
    writer.bytes("checks.json", 0o600, was.as_bytes()).unwrap();
    writer.finish().unwrap();
    give(&mixed, home.user);
    let found = home.mathesar(&["backup", "verify", mixed.to_str().unwrap()]);
    println!("{}", found.stderr);
    assert_eq!(found.status, 1, "{found:?}");
    assert!(found.stderr.contains("people.public.cats: its rows are others"), "{}", found.stderr);
    let listed = |path: &Path| {
        let all: Value = serde_json::from_str(&home.ok(&["backup", "list", "--json"]).stdout).unwrap();
        let found = all.as_array().unwrap().iter().find(|entry| entry["path"] == json!(path));
        found.unwrap()["verified"].clone()
    };
    assert!(listed(&mixed).is_null());
    assert_eq!(found.stderr.matches("its rows are others").count(), 1, "{}", found.stderr);
    let good = home.ok(&["backup", "verify", second.file_name().unwrap().to_str().unwrap()]);
    assert!(good.stdout.contains("a good backup"));
}

/// Rows that were answered before it began are in it, and nobody's insertion fails for it.
#[test]
fn rows_go_on_being_written_meanwhile() {
    let Some(home) = Home::prepared() else { return };
    home.ok(&["start"]);
    let filled = fill(&home);
    let end = AtomicBool::new(false);
    let count = |rows: &str| rows.parse::<u64>().unwrap();
    let written = std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let session = log_in(home.port, ADMIN, PATIENCE).unwrap();
            let mut row = filled.table.clone();
            let mut written = 0;
            while !end.load(Ordering::SeqCst) {
                row["record_def"] = json!({ "name": format!("row {written}") });
                let answer = call_with(home.port, &session, "records.add", &row, PATIENCE);
                assert!(matches!(answer, Some(Ok(_))), "{answer:?}");
                written += 1;
            }
            written
        });
        let counting = || {
            home.until("rows are written", || count(&home.sql("people", "SELECT count(*) FROM cats")) > 10);
            for _ in 0..3 {
                let before = count(&home.sql("people", "SELECT count(*) FROM cats"));
                let made = create(&home, &[]);
                let after = count(&home.sql("people", "SELECT count(*) FROM cats"));
                let unpacked = Unpacked::new(&home, &path(&made));
                let checks = unpacked.checks();
                let cats = checks.tables.iter().find(|table| table.table == "cats").unwrap().rows;
                assert!((before..=after).contains(&cats), "{before} {cats} {after}");
                println!("{before} rows before, {cats} in the backup, {after} after");
                assert!(after > before, "nobody has written meanwhile");
            }
            home.ok(&["backup", "verify"]);
        };
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(counting));
        end.store(true, Ordering::SeqCst);
        let written: u64 = writer.join().unwrap();
        result.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        written
    });
    let rows = count(&home.sql("people", "SELECT count(*) FROM cats"));
    assert_eq!(rows, written + 3);
}

#[test]
fn a_stopped_one_is_backed_up_and_stays_stopped() {
    let Some(home) = Home::prepared() else { return };
    let made = create(&home, &[]);
    home.nobody_left();
    assert_eq!(home.status()["state"], "stopped");
    home.ok(&["backup", "verify", path(&made).to_str().unwrap()]);
    home.nobody_left();
    home.ok(&["start"]);
    assert_eq!(home.get("/auth/login/").0, 302);
}

#[test]
fn where_nothing_is_there_is_nothing_to_back_up() {
    let Some(home) = Home::installed() else { return };
    let refused = home.mathesar(&["backup", "create"]);
    assert_eq!(refused.status, 4, "{refused:?}");
    assert!(refused.stderr.contains("nothing to back up yet"), "{}", refused.stderr);
    assert!(!home.layout.state.join("database/data").exists());
}
