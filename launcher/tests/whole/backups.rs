//! `mathesar backup list` and `prune`, and what `status` and `doctor` say of backups.

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use mathesar::backup::archive::{self, MANIFEST, Writer};
use mathesar::backup::catalog::{self, Known, remember};
use mathesar::backup::manifest::{App, Kind, MadeBy, Manifest, Postgresql};
use mathesar::backup::moment;
use serde_json::Value;

use crate::harness::Home;
use crate::machine;

/// An archive as `backup create` would have made it so many days ago; its digest.
fn make(home: &Home, folder: &Path, days: u64, made_by: MadeBy) -> (PathBuf, String) {
    make_of("1", home, folder, days, made_by)
}

/// The same, of the cluster with this identifier.
fn make_of(cluster: &str, home: &Home, folder: &Path, days: u64, made_by: MadeBy) -> (PathBuf, String) {
    let created = SystemTime::now() - Duration::from_secs(days * 86_400 + 60);
    let manifest = Manifest {
        format: 1,
        kind: Kind::Physical,
        created: moment::text(created),
        made_by,
        note: (made_by == MadeBy::Person).then(|| "before the move".to_owned()),
        launcher: "0.12.0".to_owned(),
        app: App {
            version: "1.0.0".to_owned(),
            sha256: "0".repeat(64),
            id: "1.0.0-000000000000".to_owned(),
            source: String::new(),
        },
        postgresql: Postgresql {
            version: "15.18".to_owned(),
            major: 15,
            system_identifier: Some(cluster.to_owned()),
        },
        python: None,
        scope: "home".to_owned(),
        state: home.layout.state.clone(),
        socket: None,
        port: 5432,
        os_user: "somebody".to_owned(),
        internal_database: "mathesar_django".to_owned(),
        user_database: None,
        unpacked_bytes: 0,
        secret_key_fingerprint: None,
        cannot_keep: Vec::new(),
        lacks: Vec::new(),
        unlogged: Vec::new(),
    };
    fs::create_dir_all(folder).unwrap();
    let path = catalog::free_name(folder, "1.0.0", created);
    let mut writer = Writer::new(File::create_new(&path).unwrap(), 1).unwrap();
    writer.bytes(MANIFEST, 0o600, &manifest.to_bytes().unwrap()).unwrap();
    let sealed = writer.finish().unwrap();
    for path in [folder, &path] {
        machine::give(path, home.user);
    }
    (path, sealed.digest)
}

fn listed(home: &Home) -> Vec<Value> {
    let output = home.ok(&["backup", "list", "--json"]);
    serde_json::from_str(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"))
}

fn doctor(home: &Home, id: &str) -> (String, String) {
    let report: Value = serde_json::from_str(&home.mathesar(&["doctor", "--json"]).stdout).unwrap();
    let check = report["checks"].as_array().unwrap().iter().find(|check| check["id"] == id).unwrap().clone();
    (check["finding"].as_str().unwrap().to_owned(), check["text"].as_str().unwrap().to_owned())
}

#[test]
fn backups_are_listed_told_and_pruned() {
    let Some(home) = Home::bare() else { return };
    let none = home.ok(&["backup", "list"]);
    assert!(none.stdout.is_empty() && none.stderr.contains("`mathesar backup create` makes one"), "{none:?}");
    assert_eq!(listed(&home), Vec::<Value>::new());
    assert_eq!(home.status()["last_backup"], Value::Null);
    assert_eq!(doctor(&home, "last-backup").0, "not-checked");

    let disk = home.folder().join("disk");
    let conf = fs::read_to_string(home.layout.config_file()).unwrap();
    let settings = format!("{conf}[backup]\ndirectory = {disk:?}\nkeep = 2\nkeep-for = \"20d\"\n");
    home.write(&home.layout.config_file(), settings);
    let state = &home.layout.state;
    for folder in [state.clone(), state.join("app"), state.join("backups")] {
        fs::create_dir_all(&folder).unwrap();
        machine::give(&folder, home.user);
    }
    let control = state.join("database/data/global/pg_control");
    fs::create_dir_all(control.parent().unwrap()).unwrap();
    fs::write(&control, 1_u64.to_ne_bytes()).unwrap();
    for folder in control.ancestors().take(4) {
        machine::give(folder, home.user);
    }

    // Another installation has put its own into the folder: they are no backups of this one.
    let theirs = [2, 40, 41, 42].map(|days| make_of("2", &home, &disk, days, MadeBy::Timer));
    let made = |number: usize| {
        Known::new(&theirs[number].0, None, &archive::read_manifest(&theirs[number].0).unwrap())
    };
    let tried = Known { verified: Some(moment::text(SystemTime::now())), ..made(0) };
    remember(state, &theirs[0].1, tried).unwrap();
    machine::give(&state.join("backups.json"), home.user);
    assert!(listed(&home).iter().all(|entry| entry["own"] == false));
    assert!(home.ok(&["backup", "list"]).stdout.contains("timer, verified"));
    assert!(home.ok(&["backup", "list"]).stdout.contains("another installation's"));
    let status = home.status();
    assert_eq!((&status["last_backup"], &status["last_verified_backup"]), (&Value::Null, &Value::Null));
    let (finding, text) = doctor(&home, "last-backup");
    assert_eq!(finding, "warning");
    assert!(text.starts_with("there is no backup of this installation"), "{text}");
    let refused = home.mathesar(&["backup", "verify"]);
    assert_eq!(refused.status, 4, "{refused:?}");
    assert!(refused.stderr.contains("there is no backup of this installation"), "{refused:?}");
    let pruned = home.ok(&["backup", "prune"]);
    assert!(pruned.stderr.contains("4 backups were not made by this installation"), "{pruned:?}");
    for (path, _) in theirs {
        fs::remove_file(path).unwrap();
    }
    fs::remove_file(state.join("backups.json")).unwrap();

    let (young, _) = make(&home, &disk, 1, MadeBy::Timer);
    assert_eq!(
        doctor(&home, "last-backup"),
        ("warning".into(), "one was made a day ago, and none was ever verified".into())
    );
    // What is to be pasted means this installation.
    let text = String::from_utf8(home.launcher(&["status"]).output().unwrap().stdout).unwrap();
    let ours = home.layout.config.parent().unwrap().display().to_string();
    assert!(text.contains(&format!("not verified: `mathesar --home {ours} backup verify`")), "{text}");
    let (second, _) = make(&home, &disk, 30, MadeBy::Timer);
    let (gone, gone_digest) = make(&home, &state.join("backups"), 40, MadeBy::Upgrade);
    let (verified, digest) = make(&home, &disk, 50, MadeBy::Timer);
    let (person, _) = make(&home, &disk, 60, MadeBy::Person);
    let damaged = disk.join("mathesar-damaged.tar.zst");
    home.write(&damaged, "x");
    for (path, digest, when) in
        [(&verified, &digest, Some(moment::text(SystemTime::now()))), (&gone, &gone_digest, None)]
    {
        remember(state, digest, Known::new(path, when, &archive::read_manifest(path).unwrap())).unwrap();
    }
    machine::give(&state.join("backups.json"), home.user);

    let order = |all: &[Value]| -> Vec<String> {
        all.iter().map(|entry| entry["path"].as_str().unwrap().to_owned()).collect()
    };
    let paths = |paths: &[&PathBuf]| -> Vec<String> {
        paths.iter().map(|path| path.to_str().unwrap().to_owned()).collect()
    };
    let all = listed(&home);
    assert_eq!(order(&all), paths(&[&damaged, &young, &second, &gone, &verified, &person]));
    assert_eq!(
        (&all[1]["made_by"], &all[1]["version"], &all[1]["verified"]),
        (&"timer".into(), &"1.0.0".into(), &Value::Null)
    );
    assert!(all[0]["damaged"].is_string() && all[4]["verified"].is_string(), "{all:#?}");
    let text = home.ok(&["backup", "list"]).stdout;
    println!("{text}");
    assert!(text.contains("\"before the move\"") && text.contains("damaged"), "{text}");

    // The newest that can be read, whatever is newer and damaged.
    let status = home.status();
    assert_eq!(status["last_backup"]["path"], young.to_str().unwrap());
    assert_eq!(status["last_backup"]["verified"], Value::Null);
    assert_eq!(status["last_verified_backup"], all[4]["created"]);
    let text = home.mathesar(&["status"]).stdout;
    assert!(
        text.contains("last backup") && text.contains("(timer), not verified; the last that was is of"),
        "{text}"
    );
    assert_eq!(
        doctor(&home, "last-backup"),
        ("warning".into(), "the last one that was verified was made 50 days ago".into())
    );
    assert_eq!(doctor(&home, "damaged-backups"), ("warning".into(), damaged.display().to_string()));
    assert_eq!(doctor(&home, "backup-disk").0, "warning");

    let dry = home.ok(&["backup", "prune", "--dry-run"]);
    assert!(dry.stderr.contains(&format!("Would remove {}", gone.display())), "{dry:?}");
    assert_eq!(listed(&home).len(), 6);
    let done = home.ok(&["backup", "prune"]);
    assert!(done.stderr.contains(&format!("Removed {}", gone.display())), "{done:?}");
    assert_eq!(order(&listed(&home)), paths(&[&damaged, &young, &second, &verified, &person]));
    assert!(!catalog::known(state).contains_key(&gone_digest));
    let again = home.ok(&["backup", "prune"]);
    assert!(again.stderr.contains("every backup is still wanted"), "{again:?}");

    // One that root has made where only root can read it is known all the same.
    if home.user.is_some() {
        let (roots, digest) = make(&home, &home.folder().join("usb"), 0, MadeBy::Person);
        machine::give(&roots, Some(mathesar::process::User { uid: 0, gid: 0 }));
        fs::set_permissions(&roots, fs::Permissions::from_mode(0o600)).unwrap();
        remember(state, &digest, Known::new(&roots, None, &archive::read_manifest(&roots).unwrap())).unwrap();
        machine::give(&state.join("backups.json"), home.user);
        let first = &listed(&home)[0];
        assert_eq!(first["path"], roots.to_str().unwrap());
        assert_eq!(
            (&first["digest"], &first["version"], &first["made_by"], &first["damaged"]),
            (&digest.into(), &"1.0.0".into(), &"person".into(), &Value::Null)
        );
        assert_eq!(home.status()["last_backup"]["path"], roots.to_str().unwrap());
    }

    // A folder that cannot be read is named, and hides no others.
    let (here, _) = make(&home, &state.join("backups"), 45, MadeBy::Timer);
    let aside = home.folder().join("disk.aside");
    fs::rename(&disk, &aside).unwrap();
    home.write(&disk, "");
    for args in [&["backup", "list"][..], &["backup", "prune"]] {
        let said = home.ok(args);
        assert!(said.stderr.contains(&format!("cannot read {}", disk.display())), "{said:?}");
    }
    assert!(order(&listed(&home)).contains(&here.to_str().unwrap().to_owned()));
    let text = home.mathesar(&["status"]).stdout;
    assert!(text.contains(&format!("cannot read {}", disk.display())), "{text}");
    let unread = home.status()["unread_backups"].to_string();
    assert!(unread.contains(disk.to_str().unwrap()), "{unread}");
    fs::remove_file(&here).unwrap();
    let text = home.mathesar(&["status"]).stdout;
    assert!(!text.contains("last backup  none"), "{text}");
    fs::remove_file(&disk).unwrap();
    fs::rename(&aside, &disk).unwrap();

    // It cannot be told what is there: no backup is said not to be.
    home.write(&state.join("transaction.json"), "{");
    assert_eq!(home.mathesar(&["backup", "prune"]).status, 1);
}
