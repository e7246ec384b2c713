//! Every step alone, and again: `app`, `db`, `migrate`.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::Path;
use std::process::Command;

use mathesar::app::digest;
use serde_json::{Value, json};

use crate::external::External;
use crate::harness::{Home, Output, Start};
use crate::machine::tree;
use crate::sample::release;

#[track_caller]
pub fn refused(home: &Home, args: &[&str], status: i32, words: &[&str]) -> Output {
    let output = home.mathesar(args);
    let said = format!("{}{}", output.stdout, output.stderr);
    assert_eq!(output.status, status, "mathesar {args:?}\n{said}");
    for word in words {
        assert!(said.contains(word), "mathesar {args:?}: no `{word}`\n{said}");
    }
    println!("mathesar {args:?} -> {status}\n{said}");
    output
}

#[track_caller]
pub fn unchanged(home: &Home, args: &[&str]) {
    let output = home.ok(args);
    assert!(output.stderr.contains("Unchanged"), "mathesar {args:?}: {}", output.stderr);
}

#[track_caller]
pub fn json(home: &Home, args: &[&str]) -> Value {
    let output = home.mathesar(args);
    serde_json::from_str(&output.stdout).unwrap_or_else(|_| panic!("mathesar {args:?}: {output:?}"))
}

fn of<'a>(list: &'a Value, version: &str) -> &'a Value {
    list.as_array().unwrap().iter().find(|row| row["version"] == version).unwrap()
}

#[test]
fn each_step_alone_and_again() {
    let Some(home) = Home::bare() else { return };
    let state = &home.layout.state;
    assert_eq!(json(&home, &["app", "list", "--json"]), json!([]));
    refused(&home, &["db", "status"], 3, &["missing", "`mathesar db init`"]);
    refused(&home, &["db", "shell"], 3, &["`mathesar db init`"]);
    unchanged(&home, &["db", "stop"]);
    refused(&home, &["upgrade", "--finish"], 4, &["no release is the current one", "`mathesar start`"]);

    // What lies beside the program is not fetched; which packages do, nobody has looked.
    let plan = home.ok(&["plan"]).stdout;
    for line in
        ["have     mathesar-1.0.0.tar.gz", "have     uv-", "fetch    Python packages", "packages that lie in"]
    {
        assert!(plan.contains(line), "{line}: {plan}");
    }
    let beside = home.share().join("app/mathesar-1.0.0.tar.gz");
    let tarball = fs::read(&beside).unwrap();
    fs::write(&beside, "damaged").unwrap();
    assert!(home.ok(&["plan"]).stdout.contains("fetch    mathesar-1.0.0.tar.gz"));
    fs::write(&beside, tarball).unwrap();

    let said = home.ok(&["app", "install"]).stderr;
    println!("{said}");
    assert!(said.contains("Installed Mathesar 1.0.0") && said.contains("`mathesar start`"), "{said}");
    assert!(!state.join("database").exists() && !state.join("app/current").exists());
    let list = json(&home, &["app", "list", "--json"]);
    let one = of(&list, "1.0.0");
    for (key, value) in [("complete", true), ("pinned", true), ("current", false), ("held", false)] {
        assert_eq!(one[key], value, "{one:#}");
    }
    assert!(one["size"].as_u64().unwrap() > 1_000_000, "{one:#}");
    let before = tree(&state.join("app"));
    unchanged(&home, &["app", "install"]);
    assert_eq!(tree(&state.join("app")), before);
    println!("{}", home.ok(&["app", "list"]).stdout);
    let plan = home.ok(&["plan"]).stdout;
    for line in ["release       there", "python        there", "static-files  there", "cluster       to do"] {
        assert!(plan.contains(line), "{line}: {plan}");
    }

    println!("{}", home.ok(&["db", "init"]).stderr);
    home.nobody_left();
    assert_eq!(json(&home, &["db", "status", "--json"])["state"], "stopped");
    unchanged(&home, &["db", "init"]);
    refused(&home, &["db", "url", "--test"], 3, &["the database does not run", "`mathesar db start`"]);

    let said = home.ok(&["migrate"]).stderr;
    assert!(said.contains("Migrated the tables of Mathesar 1.0.0"), "{said}");
    assert_eq!(of(&json(&home, &["app", "list", "--json"]), "1.0.0")["current"], true);
    unchanged(&home, &["migrate"]);
    unchanged(&home, &["app", "use", "1.0.0"]);
    home.nobody_left();

    let said = home.ok(&["start"]).stderr;
    assert!(!said.contains("Ready"), "a step was done again: {said}");
    assert_eq!(home.try_get("/auth/login/").unwrap().status, 302);
    // Beside a launcher that runs.
    unchanged(&home, &["app", "install"]);
    unchanged(&home, &["db", "init"]);
    unchanged(&home, &["db", "start"]);
    unchanged(&home, &["migrate"]);
    unchanged(&home, &["app", "prune", "--keep", "0"]);
    refused(&home, &["db", "stop"], 4, &["Mathesar is running and needs its database", "`mathesar stop`"]);
    let status = json(&home, &["db", "status", "--json"]);
    assert_eq!((&status["state"], &status["run_by"]), (&json!("running"), &json!("mathesar")));
    assert_eq!(home.ok(&["db", "shell", "--", "-Atc", "SELECT current_user"]).stdout, "mathesar\n");
    assert_eq!(home.try_get("/auth/login/").unwrap().status, 302);
    assert_eq!(home.status()["state"], "running");
}

#[test]
fn the_database_alone() {
    let Some(home) = Home::prepared() else { return };
    println!("{}", home.ok(&["db", "start"]).stderr);
    let status = json(&home, &["db", "status", "--json"]);
    assert_eq!((&status["state"], &status["run_by"]), (&json!("running"), &json!("itself")));
    let names: Vec<&str> =
        status["databases"].as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap()).collect();
    assert!(names.contains(&"mathesar") && names.contains(&"mathesar_django"), "{names:?}");
    println!("{}", home.ok(&["db", "status"]).stdout);
    unchanged(&home, &["db", "start"]);
    assert_eq!(json(&home, &["db", "status", "--json"])["pid"], status["pid"]);

    // Commands that need the database use it as it is.
    unchanged(&home, &["migrate"]);
    unchanged(&home, &["db", "init"]);
    assert_eq!(json(&home, &["db", "status", "--json"])["pid"], status["pid"]);

    let shell = |args: &[&str], sql: &str| {
        let all: Vec<&str> = [&["db", "shell"], args, &["--", "-Atc", sql]].concat();
        home.ok(&all).stdout.trim().to_owned()
    };
    let who = "SELECT current_user || ' ' || current_database()";
    assert_eq!(shell(&[], who), "mathesar mathesar");
    assert_eq!(shell(&["--database", "mathesar_django"], who), "mathesar mathesar_django");
    let superuser = format!("{who} || ' ' || rolsuper FROM pg_roles WHERE rolname = current_user");
    assert_eq!(shell(&["--superuser"], &superuser), "mathesar_launcher mathesar true");
    // A person's own servers are not meant.
    let mut elsewhere = home.launcher(&["db", "shell", "--", "-Atc", "SELECT 1"]);
    elsewhere.env("PGHOST", "nowhere.invalid").env("PGSERVICE", "none").env("PGOPTIONS", "-c nonsense=1");
    assert_eq!(String::from_utf8(elsewhere.output().unwrap().stdout).unwrap(), "1\n");

    let tested = home.ok(&["db", "url", "--test"]);
    assert!(tested.stderr.contains("Reached PostgreSQL"), "{tested:?}");
    let url = tested.stdout.trim().to_owned();
    assert_eq!(home.ok(&["db", "url"]).stdout.trim(), url);
    println!("{url}");
    let psql = External::client();
    let mut other = home.command(&psql);
    let answer = other.arg(&url).args(["-XAtwc", who]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&answer.stdout), "mathesar mathesar\n", "{answer:?}");
    let missing = refused(
        &home,
        &["db", "url", "--test", "--database", "nowhere"],
        4,
        &["database \"nowhere\" does not exist", "`mathesar db status`"],
    );
    assert!(missing.stdout.is_empty());

    // `start` takes it over: one server, no row lost.
    shell(&[], "CREATE TABLE kept AS SELECT 42 AS answer");
    home.ok(&["start"]);
    assert_eq!(home.try_get("/auth/login/").unwrap().status, 302);
    assert_eq!(home.pids("bin/postgres -D").len(), 1, "{:#?}", home.processes());
    assert_eq!(shell(&[], "SELECT answer FROM kept"), "42");
    home.ok(&["stop"]);
    home.nobody_left();

    home.ok(&["db", "start"]);
    home.ok(&["db", "stop"]);
    home.nobody_left();
    unchanged(&home, &["db", "stop"]);
    refused(&home, &["db", "status"], 3, &["stopped"]);
    assert!(!home.ok(&["stop"]).stderr.contains("note"));
    // A password on a command line, or in a log, would be seen by others.
    let secret = fs::read_to_string(home.layout.state.join("secrets/database-superuser")).unwrap();
    let logs = fs::read_to_string(home.layout.logs.as_ref().unwrap().join("database.log")).unwrap();
    assert!(logs.contains("ready to accept connections") && !logs.contains(secret.trim()), "{logs}");
}

#[test]
fn a_release_from_a_file_holds() {
    let Some(home) = Home::new(Start::SetUp) else { return };
    let second = release("2.0.0", None);
    let file = home.folder().join("downloaded.tar.gz");
    fs::copy(&second.tarball, &file).unwrap();
    let path = file.to_str().unwrap();
    refused(
        &home,
        &["app", "install", "--from", "/nonexistent.tar.gz"],
        2,
        &["cannot read /nonexistent.tar.gz"],
    );
    home.write(&home.folder().join("home/empty"), "");
    refused(
        &home,
        &["app", "install", "--from", home.folder().join("home/empty").to_str().unwrap()],
        1,
        &["cannot unpack"],
    );

    home.ok(&["start"]);
    let said = home.ok(&["app", "install", "--from", path, "--offline"]).stderr;
    println!("{said}");
    for word in [second.sha256.as_str(), "it is held", "1.0.0 stays the current one", "--to 2.0.0-"] {
        assert!(said.contains(word), "{word}: {said}");
    }
    unchanged(&home, &["app", "install", "--from", path]);
    let list = json(&home, &["app", "list", "--json"]);
    let two = of(&list, "2.0.0");
    assert_eq!(
        (&two["held"], &two["current"], &two["complete"]),
        (&json!(true), &json!(false), &json!(true))
    );
    assert_eq!(two["source"], path);
    // Without a file the held one is meant, and the pin waits for `upgrade`.
    assert!(home.ok(&["app", "install"]).stderr.contains("it is held"));
    refused(&home, &["app", "use", "2.0.0"], 4, &["Mathesar runs", "`mathesar stop`"]);
    assert_eq!(home.status()["version"], "1.0.0");
    home.ok(&["stop"]);

    refused(
        &home,
        &["app", "use", "2.0.0"],
        4,
        &["the tables are of 1.0.0-", "`mathesar upgrade --to 2.0.0-"],
    );
    refused(&home, &["app", "use", "7.0.0"], 4, &["`7.0.0` is not installed"]);
    unchanged(&home, &["app", "prune", "--keep", "0"]);
    home.ok(&["app", "use", "--force", "2.0.0"]);
    // The tables are still those of the other one.
    unchanged(&home, &["app", "prune", "--keep", "0"]);
    assert_eq!(of(&json(&home, &["app", "list", "--json"]), "2.0.0")["current"], true);
    let started = home.ok(&["start"]);
    assert!(started.stderr.contains("Migrated"), "{started:?}");
    assert_eq!(home.status()["version"], "2.0.0");
    home.ok(&["stop"]);
    refused(&home, &["app", "use", "1.0.0"], 4, &["the tables are of 2.0.0-", "`mathesar rollback`"]);

    let said = home.ok(&["app", "prune", "--keep", "0"]).stderr;
    assert!(said.contains("Removed 1.0.0-"), "{said}");
    assert_eq!(json(&home, &["app", "list", "--json"]).as_array().unwrap().len(), 1);
}

#[test]
fn what_was_changed_is_found_and_put_back() {
    let Some(home) = Home::prepared() else { return };
    assert!(home.ok(&["app", "verify"]).stderr.contains("Verified 1.0.0-"));
    let app = home.layout.state.join("app").canonicalize().unwrap();
    let tree = app.join(fs::read_link(app.join("current")).unwrap()).join("tree");
    // The files are shared with other tests, so they are replaced and not written.
    let open = |folder: &Path| fs::set_permissions(folder, fs::Permissions::from_mode(0o755)).unwrap();
    for folder in [tree.clone(), tree.join("mathesar"), tree.join("config")] {
        open(&folder);
    }
    fs::remove_file(tree.join("manage.py")).unwrap();
    home.write(&tree.join("manage.py"), "raise SystemExit('evil')\n");
    fs::remove_file(tree.join("config/wsgi.py")).unwrap();
    home.write(&tree.join("mathesar/extra.py"), "");
    let found = refused(&home, &["app", "verify"], 1, &["`mathesar app install --again`"]);
    assert_eq!(found.stdout, "changed  manage.py\nmissing  config/wsgi.py\nextra    mathesar/extra.py\n");
    let version = found.stderr.contains("3 files are not as 1.0.0-");
    assert!(version, "{found:?}");

    let said = home.ok(&["app", "install", "--again", "--offline"]).stderr;
    assert!(said.contains("Repaired Mathesar 1.0.0"), "{said}");
    home.ok(&["app", "verify", "1.0.0"]);
    assert!(tree.metadata().unwrap().mode() & 0o222 == 0, "it can be written to");
    home.ok(&["start"]);
    assert_eq!(home.try_get("/auth/login/").unwrap().status, 302);
    refused(&home, &["app", "install", "--again"], 4, &["`mathesar stop`"]);
    let other = release("2.0.0", None);
    home.ok(&["stop"]);
    let from = other.tarball.to_str().unwrap();
    refused(
        &home,
        &["app", "install", "--again", "1.0.0", "--from", from],
        4,
        &["is not the tarball of 1.0.0-"],
    );
    home.ok(&["app", "verify"]);
}

#[test]
fn an_environment_that_has_lost_files_is_found_and_built_again() {
    let Some(home) = Home::prepared() else { return };
    let lib = home.layout.state.join("app/current/venv/lib");
    let python = fs::read_dir(lib).unwrap().next().unwrap().unwrap().path();
    fs::remove_dir_all(python.join("site-packages/django/core")).unwrap();
    let found = refused(&home, &["app", "verify"], 1, &["`mathesar app install --again`"]);
    assert!(found.stdout.starts_with("package  Django lacks "), "{found:?}");
    let report: Value = serde_json::from_str(&home.mathesar(&["doctor", "--json"]).stdout).unwrap();
    assert!(report.to_string().contains("Django lacks "), "{report:#}");
    let said = home.ok(&["app", "install", "--again", "--offline"]).stderr;
    assert!(said.contains("building the Python environment again: Django lacks "), "{said}");
    home.ok(&["app", "verify"]);
    // One that is gone with all that was said of it, as no RECORD tells; the tables are there, so gunicorn is the first to miss it.
    let site = home.layout.state.join("app/current/venv/lib").join(python.file_name().unwrap());
    for entry in fs::read_dir(site.join("site-packages")).unwrap().flatten() {
        if entry.file_name().to_string_lossy().to_lowercase().starts_with("gunicorn") {
            fs::remove_dir_all(entry.path()).unwrap();
        }
    }
    let found = refused(&home, &["app", "verify"], 1, &["`mathesar app install --again`"]);
    assert!(found.stdout.contains("gunicorn is not installed"), "{found:?}");
    let report: Value = serde_json::from_str(&home.mathesar(&["doctor", "--json"]).stdout).unwrap();
    assert!(report.to_string().contains("gunicorn is not installed"), "{report:#}");
    refused(&home, &["start"], 1, &["gunicorn is not installed", "`mathesar app install --again`"]);
    home.nobody_left();
    home.ok(&["app", "install", "--again", "--offline"]);
    home.ok(&["app", "verify"]);
    home.ok(&["start"]);
    assert_eq!(home.try_get("/auth/login/").unwrap().status, 302);
    home.ok(&["stop"]);
    // Whole as far as can be seen: it is built all the same.
    let whole = home.ok(&["app", "install", "--again", "--offline"]).stderr;
    assert!(whole.contains("Prepared Python"), "{whole}");
    home.ok(&["start"]);
    assert_eq!(home.try_get("/auth/login/").unwrap().status, 302);
}

/// In system mode root may name a file that the service's user cannot read.
#[test]
fn what_root_names_is_handed_to_the_service() {
    let Some(home) = Home::bare() else { return };
    let Some(user) = home.user else {
        println!("not run: only root can become the service's user");
        return;
    };
    let folder = home.folder();
    let passwd = folder.join("passwd");
    let line = format!("root:x:0:0::/root:/bin/sh\nmathesar:x:{}:{}::/:/bin/sh\n", user.uid, user.gid);
    fs::write(&passwd, line).unwrap();
    fs::set_permissions(&passwd, fs::Permissions::from_mode(0o644)).unwrap();
    // The same with a user `mathesar`, whom this machine need not have, and the system's folders elsewhere.
    let script = r#"mount --bind "$1" /etc/passwd && shift && exec "$@""#;
    let mathesar = |args: &[&str]| {
        let mut command = Command::new("unshare");
        command.args(["--mount", "--propagation", "private", "sh", "-c", script, "sh"]).arg(&passwd);
        command.arg(home.program()).arg("--system").args(args).current_dir("/").env_clear();
        command.env("PATH", std::env::var_os("PATH").unwrap());
        for (name, place) in [
            ("STATE_DIRECTORY", &home.layout.state),
            ("CACHE_DIRECTORY", &home.layout.cache),
            // As /run/mathesar after a boot: where the service's user cannot make it.
            ("RUNTIME_DIRECTORY", &folder.join("run")),
            ("CONFIGURATION_DIRECTORY", &home.layout.config),
        ] {
            command.env(name, place);
        }
        let Ok(output) = command.output() else { return (-1, "there is no unshare".to_owned()) };
        let said =
            format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        println!("{args:?} -> {:?}\n{said}", output.status.code());
        (output.status.code().unwrap_or(-1), said)
    };
    if !matches!(mathesar(&["layout"]), (0, said) if said.contains(home.layout.state.to_str().unwrap())) {
        println!("not run: no mount namespace here");
        return;
    }

    let second = release("2.0.0", None);
    let secret = folder.join("root alone");
    fs::create_dir(&secret).unwrap();
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o700)).unwrap();
    let file = secret.join("mathesar.tar.gz");
    fs::copy(&second.tarball, &file).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();

    // A link in a folder of the service's user would be its choice of what root gives away.
    let link = folder.join("home/mathesar.tar.gz");
    symlink(&file, &link).unwrap();
    let (status, said) = mathesar(&["app", "install", "--from", link.to_str().unwrap()]);
    assert!(status == 2 && said.contains("readlink -f"), "{said}");
    let through = folder.join("home/through");
    symlink(&secret, &through).unwrap();
    let (status, _) =
        mathesar(&["app", "install", "--from", through.join("mathesar.tar.gz").to_str().unwrap()]);
    assert_eq!(status, 2);

    let (status, said) = mathesar(&["app", "install", "--from", file.to_str().unwrap()]);
    assert_eq!(status, 0, "{said}");
    assert!(said.contains(&second.sha256) && said.contains("it is held"), "{said}");
    let (_, list) = mathesar(&["app", "list", "--json"]);
    let list: Value = serde_json::from_str(&list).unwrap();
    assert_eq!(of(&list, "2.0.0")["source"], file.to_str().unwrap());
    assert_eq!(of(&list, "2.0.0")["complete"], true);
    for path in
        [home.layout.state.join("app"), Path::new(of(&list, "2.0.0")["path"].as_str().unwrap()).into()]
    {
        assert_eq!(path.metadata().unwrap().uid(), user.uid, "{}", path.display());
    }
    // The copy is gone again.
    let left: Vec<_> = fs::read_dir(home.layout.cache.join("downloads")).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
    assert_eq!(digest::of_file(&file).unwrap().0, second.sha256);

    assert_eq!(folder.join("run").metadata().unwrap().uid(), user.uid);
    assert_eq!(mathesar(&["db", "start"]).0, 0);
    let who = "SELECT current_user || ' ' || current_database()";
    assert_eq!(mathesar(&["db", "shell", "--", "-Atc", who]), (0, "mathesar mathesar\n".to_owned()));
    let superuser = mathesar(&["db", "shell", "--superuser", "--", "-Atc", who]);
    assert_eq!(superuser, (0, "mathesar_launcher mathesar\n".to_owned()));
    assert_eq!(mathesar(&["db", "stop"]).0, 0);
    home.nobody_left();
}
