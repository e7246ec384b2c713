//! A restart that cannot work, and an end that nobody wrote down.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use rustix::process::Signal;

use crate::external::{External, PASSWORD};
use crate::harness::Home;
use crate::machine::{alive, signal};
use crate::steps::refused;

#[test]
fn what_a_restart_would_fail_at_is_said_while_it_runs() {
    let Some(home) = Home::installed() else { return };
    let external = External::start();
    let file = home.folder().join("home/password");
    home.write(&file, PASSWORD);
    let set = |name: &str, value: &str| drop(home.ok(&["config", "set", name, value]));
    set("database.url", &external.url("me", "its%20own"));
    set("database.password-file", file.to_str().unwrap());
    home.ok(&["start"]);
    let running = home.status();
    let pid = running["pid"].as_i64().unwrap();
    let database = &running["database"];
    assert_eq!((&database["kind"], database["data"].is_null()), (&"external".into(), true), "{running:#}");
    assert!(home.ok(&["status"]).stdout.contains("your server (`database.url`)"));

    let other = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    set("server.listen", &other.local_addr().unwrap().to_string());
    let said = ["it runs on as before: cannot listen on", "is used by", "help: ", "config set server.listen"];
    refused(&home, &["restart"], 4, &said);
    refused(&home, &["restart", "--everything"], 4, &said[1..]);
    assert_eq!(home.status()["pid"], pid);
    set("server.listen", &format!("127.0.0.1:{}", home.port));

    home.conf("[server]\nlisten = 3\n");
    for command in [&["restart"][..], &["restart", "--everything"]] {
        let output =
            refused(&home, command, 4, &["50-test.conf:2:", "note: not restarted, it runs on as before\n"]);
        assert!(!output.stderr.contains("error: error") && !output.stderr.ends_with("\n\n"), "{output:?}");
    }
    home.conf("");

    drop(external);
    refused(&home, &["restart"], 4, &["it runs on as before: no server listens on 127.0.0.1:"]);
    assert_eq!(home.status()["pid"], pid);

    let launcher = i32::try_from(pid).unwrap();
    signal(launcher, Signal::KILL);
    home.until("it is dead", || !alive(launcher));
    home.until("it is seen as killed", || home.status()["state"] == "failed");
    let status = home.status();
    assert_eq!(status["message"], format!("the launcher was killed (pid {pid})"));
    let names =
        |status: &serde_json::Value| -> Vec<String> { status.as_object().unwrap().keys().cloned().collect() };
    assert_eq!(names(&status), names(&running));
    home.ok(&["stop"]);
    assert_eq!(home.status()["state"], "stopped");
}

#[test]
fn nothing_that_a_start_would_refuse_stops_what_runs() {
    let Some(home) = Home::prepared() else { return };
    home.ok(&["start"]);
    let pid = home.status()["pid"].clone();
    let data = home.layout.state.join("database/data");
    let mode = |mode| std::fs::set_permissions(&data, std::fs::Permissions::from_mode(mode)).unwrap();
    let elsewhere = format!("postgresql://me@127.0.0.1:{}/x", crate::machine::free_port());
    let settings = [
        ("[database]\nurl = \"@\"\n".replace('@', &elsewhere), "no server listens on 127.0.0.1:"),
        ("[database]\nbin = \"/usr/share\"\n".to_owned(), "database.bin"),
        ("[database]\nshared-buffers = \"40TB\"\n".to_owned(), "shared"),
        (
            "[app]\nsecret-key = \"another one, of the proper length for a key\"\n".to_owned(),
            "another than the one",
        ),
        ("[database]\nname = \"empty\"\nbin = \"/usr/share\"\n".to_owned(), "database.bin"),
        (
            "[server]\nhosts = [\"a.example.org\"]\n".to_owned(),
            "it runs on as before: there is no administrator yet",
        ),
        ("[login]\nsso-file = \"/nonexistent\"\n".to_owned(), "login.sso-file"),
        ("[login]\nsso-file = \"/usr\"\n".to_owned(), "login.sso-file"),
    ];
    let still = |said: &str| {
        let status = home.status();
        assert_eq!((&status["pid"], &status["state"]), (&pid, &"running".into()), "{said}: {status:#}");
        assert!(matches!(home.get("/auth/login/").0, 200 | 302), "{said}");
    };
    for (text, said) in &settings {
        home.conf(text);
        for command in [&["restart"][..], &["restart", "--everything"]] {
            refused(&home, command, 4, &[said]);
            still(said);
        }
    }
    // What only a new gunicorn finds.
    home.conf("[login]\nsso-config = \"{ : [\"\n");
    refused(
        &home,
        &["restart"],
        1,
        &["it runs on as before: gunicorn ended while it started", "`mathesar logs`"],
    );
    let words = ["not restarted, it runs on as before: gunicorn ended", "`mathesar logs`"];
    refused(&home, &["restart", "--everything"], 1, &words);
    still("sso");
    // Neither of these is pending: the one counts for new clusters, the other is no setting.
    home.conf("[database]\nname = \"empty\"\n");
    let words =
        ["it runs on as before: there is no database empty", "config set database.name mathesar_django"];
    refused(&home, &["restart", "--everything"], 4, &words);
    still("name");
    home.conf("");
    mode(0o755);
    refused(&home, &["restart", "--everything"], 4, &["its mode is 755", "chmod 700"]);
    still("mode");
    mode(0o700);
    let socket = &home.layout.database_socket;
    for (folder, mode, said) in [(socket, 0o777, "chmod 700"), (&home.layout.run, 0o500, "chmod u+rwx")] {
        let change = |mode| std::fs::set_permissions(folder, std::fs::Permissions::from_mode(mode)).unwrap();
        change(mode);
        refused(&home, &["restart", "--everything"], 4, &["it runs on as before", said]);
        change(0o700);
        still(said);
    }
    home.ok(&["restart", "--everything"]);
    assert_ne!(home.status()["pid"], pid);
}

#[test]
fn a_database_of_another_name_is_not_begun_anew() {
    let Some(home) = Home::prepared() else { return };
    home.conf("[database]\nname = \"empty\"\nuser-database = \"another\"\n");
    let words = ["there is no database empty", "tables are in mathesar_django", "config set database.name"];
    refused(&home, &["start"], 4, &words);
    home.conf("[database]\nuser-database = \"another\"\n");
    home.ok(&["start"]);
    let databases = home.sql("postgres", "SELECT string_agg(datname, ' ' ORDER BY datname) FROM pg_database");
    assert_eq!(databases, "mathesar mathesar_django postgres template0 template1");
    assert!(home.log().contains("`database.user-database` counts when a cluster is made"), "{}", home.log());
    // A person removes Mathesar's own database, to begin anew: that is what happens.
    home.ok(&["stop"]);
    home.ok(&["db", "start"]);
    home.sql("postgres", "DROP DATABASE mathesar_django");
    home.ok(&["start"]);
    assert_eq!(home.sql("mathesar_django", "SELECT count(*) FROM mathesar_user"), "0");
}

#[test]
fn sockets_that_were_removed_come_back() {
    let Some(home) = Home::prepared() else { return };
    home.ok(&["start"]);
    let running = home.status();
    std::fs::remove_dir_all(&home.layout.run).unwrap();
    home.until("it can be asked again", || home.status()["state"] == "running");
    assert_eq!(home.status()["pid"], running["pid"]);
    assert_eq!(mode_of(&home.layout.run), 0o700);
    // Waits for the page, whatever has to be started anew for it.
    std::fs::remove_dir_all(&home.layout.database_socket).unwrap();
    let gunicorn = home.pids("gunicorn");
    let master = *gunicorn.iter().min().unwrap();
    signal(master, Signal::KILL);
    home.until("the page is away", || home.try_get("/auth/login/").is_none_or(|page| page.status >= 500));
    let said = home.ok(&["start"]);
    assert!(said.stderr.contains("already, at"), "{said:?}");
    assert!(matches!(home.get("/auth/login/").0, 200 | 302));
    home.until("it is well", || home.status()["state"] == "running");
    assert_eq!(home.status()["pid"], running["pid"]);
}

fn mode_of(path: &std::path::Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn a_folder_for_uploads_that_cannot_be_used_is_said_before_anything_is_stopped() {
    let Some(home) = Home::prepared() else { return };
    if home.user.is_none() && rustix::process::geteuid().is_root() {
        return println!("not run: root can write everywhere");
    }
    home.ok(&["start"]);
    let pid = home.status()["pid"].clone();
    let file = home.folder().join("home/file");
    home.write(&file, "");
    for (path, why, cure) in [
        ("/srv/uploads".to_owned(), "Permission denied", "sudo install -d -m 700 -o"),
        ("/usr/local/src".to_owned(), "Permission denied", "sudo chown -R"),
        (file.display().to_string(), "not a directory", "ls -ld"),
    ] {
        home.ok(&["config", "set", "media.path", &path]);
        let said = [&format!("cannot keep uploaded files in {path}, as `media.path` says")[..], why, cure];
        let runs_on = ["it runs on as before: ", said[0], said[1], said[2], "config set media.path DIR"];
        refused(&home, &["restart"], 4, &runs_on);
        refused(&home, &["restart", "--everything"], 4, &said);
        let plan = home.ok(&["plan"]).stdout;
        assert!(plan.contains(&format!("`mathesar restart` would be refused: {}: {why}", said[0])), "{plan}");
        assert_eq!(home.status()["pid"], pid);
    }
    // What a restore would put other files in the place of.
    let secrets = home.layout.state.join("secrets");
    let said =
        ["`media.path` names ", "which lies in Mathesar's own state folder", "config unset media.path"];
    refused(&home, &["config", "set", "media.path", secrets.to_str().unwrap()], 4, &said);
    let own = home.layout.config_file();
    let before = fs::read_to_string(&own).unwrap();
    fs::write(&own, before.replace(&file.display().to_string(), &secrets.display().to_string())).unwrap();
    refused(&home, &["config", "check"], 4, &said);
    for command in [&["restart"][..], &["restart", "--everything"]] {
        refused(&home, command, 4, &said);
        assert_eq!(home.status()["pid"], pid);
    }
    let doctor = home.mathesar(&["doctor"]).stdout;
    assert!(doctor.contains(said[1]), "{doctor}");
    home.ok(&["stop"]);
    refused(&home, &["start"], 4, &said);
    refused(&home, &["plan"], 4, &said);
    fs::write(&own, before).unwrap();
    refused(&home, &["start"], 4, &["as `media.path` says", "help: "]);
    refused(&home, &["plan"], 4, &["as `media.path` says", "help: "]);
    // One that can be made is there before anybody uploads something.
    let new = home.folder().join("home/new/uploads");
    home.ok(&["config", "unset", "media.path"]);
    home.ok(&["start"]);
    home.ok(&["config", "set", "media.path", new.to_str().unwrap()]);
    home.ok(&["restart"]);
    assert!(new.is_dir());
}

/// Whoever starts it while it is being stopped means the next one.
#[test]
fn a_start_beside_a_stop_waits_for_its_end() {
    let Some(home) = Home::prepared() else { return };
    home.ok(&["start"]);
    for moment in [0, 200] {
        let pid = home.status()["pid"].clone();
        let mut stop = home.spawn("stop", &["stop"]);
        home.until("it is being stopped", || home.status()["state"] != "running");
        std::thread::sleep(std::time::Duration::from_millis(moment));
        let started = home.ok(&["start"]).stderr;
        assert!(stop.wait().unwrap().success());
        let now = home.status();
        assert!(now["state"] == "running" && now["pid"] != pid, "{moment}: {started}\n{now:#}");
        assert!(!started.contains("already"), "{moment}: {started}");
    }
}
