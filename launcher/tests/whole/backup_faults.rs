//! What may happen to a backup while it is made: it is refused, ends with a clear word, or leaves nothing that looks whole.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;
use std::time::Instant;

use mathesar::backup::archive;
use mathesar::control::Lock;
use mathesar::progress::Silent;
use rustix::process::{Pid, Signal, kill_process_group};

use crate::backup::{create, fill, names, nothing_left, path};
use crate::disk::Disk;
use crate::harness::Home;
use crate::machine::{self, give, make_folder};
use crate::witness::{Random, kills};

#[test]
fn a_second_one_is_refused_while_one_is_made() {
    let Some(home) = Home::prepared() else { return };
    let state = &home.layout.state;
    let held = Lock::take_for(state, "backup.lock", "backup create", "x").unwrap();
    give(&state.join("backup.lock"), home.user);
    let refused = home.mathesar(&["backup", "create"]);
    assert_eq!(refused.status, 4, "{refused:?}");
    let said = format!("a backup is being made: `mathesar backup create` (pid {})", std::process::id());
    assert!(refused.stderr.contains(&said), "{}", refused.stderr);
    home.nobody_left();
    drop(held);
    let made = create(&home, &[]);

    // A restore waits for none, either, and does not advise to do without what is being made.
    let _held = Lock::take_for(state, "backup.lock", "backup create", "x").unwrap();
    give(&state.join("backup.lock"), home.user);
    let refused = home.mathesar(&["restore", "--yes", path(&made).to_str().unwrap()]);
    assert_eq!(refused.status, 4, "{refused:?}");
    assert!(refused.stderr.contains(&said), "{}", refused.stderr);
    assert!(!refused.stderr.contains("--without-backup"), "{}", refused.stderr);
}

#[test]
fn a_target_that_is_full_or_read_only_is_said_and_left_as_it_was() {
    let (small, large);
    let Some(home) = Home::prepared() else { return };
    home.ok(&["start"]);
    let closed = home.folder().join("closed");
    make_folder(&closed, home.folder(), home.user);
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o555)).unwrap();
    let failed = home.mathesar(&["backup", "create", "--to", closed.to_str().unwrap()]);
    assert_eq!(failed.status, 4, "{failed:?}");
    assert!(
        failed.stderr.contains("Permission denied") && failed.stderr.contains("--to DIR"),
        "{}",
        failed.stderr
    );
    assert!(!failed.stderr.contains("Copied the database"), "before anything is copied: {}", failed.stderr);
    nothing_left(&home, &closed);

    let folder = home.folder().join("small");
    small = match Disk::mount(&home, &folder, "size=2m") {
        Some(disk) => disk,
        None => return,
    };
    let refused = home.mathesar(&["backup", "create", "--to", folder.to_str().unwrap()]);
    assert_eq!(refused.status, 4, "{refused:?}");
    println!("{}", refused.stderr);
    assert!(
        refused.stderr.contains("too little room") && refused.stderr.contains("2.1 MB are free"),
        "{}",
        refused.stderr
    );
    nothing_left(&home, &folder);
    small.resize("ro");
    let refused = home.mathesar(&["backup", "create", "--to", folder.to_str().unwrap()]);
    assert_eq!(refused.status, 4, "{refused:?}");
    assert!(refused.stderr.contains("small: it is mounted read-only"), "{}", refused.stderr);

    // It had room enough when it was asked, and somebody else takes it.
    let folder = home.folder().join("large");
    large = Disk::mount(&home, &folder, "size=120m").unwrap();
    let fill = folder.join("fill");
    let mut running = home.spawn("full", &["backup", "create", "--to", folder.to_str().unwrap()]);
    home.until("it writes", || names(&folder).iter().any(|name| name.starts_with(".mathesar-")));
    let filled =
        Command::new("dd").args(["if=/dev/zero", "bs=1M"]).arg(format!("of={}", fill.display())).output();
    assert!(!filled.unwrap().status.success(), "the disk is not full");
    let status = running.wait().unwrap();
    println!("{}", home.words("full"));
    // It may have been faster: then it is whole.
    if status.success() {
        println!("it was faster than the disk was full");
    } else {
        assert!(home.words("full").contains("No space left on device"), "{}", home.words("full"));
        assert_eq!(names(&folder), ["fill"]);
    }
    nothing_left(&home, &folder);
    fs::remove_file(&fill).unwrap();
    let made = create(&home, &["--to", folder.to_str().unwrap()]);
    home.ok(&["backup", "verify", path(&made).to_str().unwrap()]);
    assert_eq!(home.status()["state"], "running");
    home.ok(&["stop"]);
    drop((small, large));
}

#[test]
fn a_full_disk_of_the_state_stops_the_backup_and_not_the_server() {
    let disk;
    let Some(home) = Home::prepared() else { return };
    let staging = home.layout.state.join("staging");
    disk = match Disk::mount(&home, &staging, "size=40m") {
        Some(disk) => disk,
        None => return,
    };
    home.ok(&["start"]);
    let refused = home.mathesar(&["backup", "create"]);
    assert_eq!(refused.status, 4, "{refused:?}");
    assert!(refused.stderr.contains("for a copy of the database in"), "{}", refused.stderr);
    disk.resize("size=400m");
    let mut running = home.spawn("full", &["backup", "create"]);
    home.until("it copies", || names(&staging).iter().any(|name| name.starts_with(".backup.")));
    let fill = staging.join("fill");
    let _ = Command::new("dd").args(["if=/dev/zero", "bs=1M"]).arg(format!("of={}", fill.display())).output();
    let status = running.wait().unwrap();
    println!("{}", home.words("full"));
    assert!(
        status.success() || home.words("full").contains("No space left on device"),
        "{}",
        home.words("full")
    );
    assert_eq!(names(&staging), ["fill"]);
    fs::remove_file(&fill).unwrap();
    create(&home, &[]);
    assert_eq!(home.status()["state"], "running");
    home.ok(&["stop"]);
}

/// The owner of a database sets operators, rights and limits for it; whoever backs it up is not impressed.
#[test]
fn an_owner_s_settings_are_not_obeyed() {
    let Some(home) = Home::prepared() else { return };
    home.ok(&["start"]);
    fill(&home);
    home.sql("postgres", "CREATE ROLE alice LOGIN");
    home.sql("postgres", "CREATE DATABASE alicedb OWNER alice");
    let trap = "SET ROLE alice; CREATE TABLE own AS SELECT 1 AS n; CREATE UNLOGGED TABLE passing (n int); CREATE SCHEMA evil; \
         CREATE FUNCTION evil.eq(\"char\", \"char\") RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN \
           IF (SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname OPERATOR(pg_catalog.=) current_user) THEN \
             EXECUTE 'ALTER ROLE alice SUPERUSER'; END IF; \
           RETURN $1 OPERATOR(pg_catalog.=) $2; END $$; \
         CREATE OPERATOR evil.= (LEFTARG = \"char\", RIGHTARG = \"char\", FUNCTION = evil.eq); \
         ALTER DATABASE alicedb SET search_path = evil, pg_catalog, public; \
         ALTER DATABASE alicedb SET role = 'alice'; ALTER DATABASE alicedb SET statement_timeout = '1ms'";
    home.sql("alicedb", trap);
    home.sql("postgres", "CREATE DATABASE mould");
    home.sql("mould", "CREATE TABLE shapes AS SELECT 1 AS n");
    home.sql("postgres", "ALTER DATABASE mould IS_TEMPLATE true");
    home.sql("postgres", "CREATE DATABASE gone");
    home.sql("postgres", "ALTER DATABASE gone IS_TEMPLATE true ALLOW_CONNECTIONS false");
    let made = create(&home, &[]);
    let rights = "SELECT rolsuper FROM pg_roles WHERE rolname = 'alice'";
    assert_eq!(home.sql("postgres", rights), "f", "she has made herself superuser");
    let said = home.ok(&["backup", "verify", path(&made).to_str().unwrap()]).stdout;
    let line =
        |name: &str| said.lines().filter(|line| line.starts_with(&format!("{name} "))).collect::<Vec<_>>();
    assert!(line("gone").len() == 1 && line("gone")[0].contains("not compared: it is closed"), "{said}");
    assert!(
        line("mould").iter().any(|line| line.contains("public.shapes") && line.ends_with("same")),
        "{said}"
    );
    let manifest = archive::read_manifest(&path(&made)).unwrap();
    assert!(manifest.cannot_keep[0].contains("alicedb: public.passing"), "{:?}", manifest.cannot_keep);
    assert!(
        manifest.cannot_keep[1].contains("of the database gone: it is closed"),
        "{:?}",
        manifest.cannot_keep
    );
}

#[test]
fn killed_at_every_named_moment_of_a_backup() {
    let Some(mut home) = Home::prepared() else { return };
    home.ok(&["start"]);
    fill(&home);
    let folder = home.layout.state.join("backups");
    let stopped = home.layout.state.join("stopped");
    home.set_variable("MATHESAR_STOPPED", stopped.clone());
    for point in ["backup-copied", "backup-packed", "backup-restored", "backup-sealed", "backup-placed"] {
        let before = names(&folder);
        home.set_variable_to("MATHESAR_STOP_AT", point);
        let mut running = home.spawn("killed", &["backup", "create"]);
        home.until(point, || stopped.exists());
        machine::signal(running.id() as i32, Signal::KILL);
        running.wait().unwrap();
        fs::remove_file(&stopped).unwrap();
        home.set_variable_to("MATHESAR_STOP_AT", "");
        let new: Vec<String> = names(&folder)
            .into_iter()
            .filter(|name| !before.contains(name) && !name.starts_with('.'))
            .collect();
        // It has its name, or it is not there.
        assert_eq!(new.len(), usize::from(point == "backup-placed"), "{point}: {new:?}");
        home.until("nobody works on it any more", || home.pids("/staging/").is_empty());
        for name in &new {
            home.ok(&["backup", "verify", name]);
        }
        let made = create(&home, &[]);
        nothing_left(&home, &folder);
        fs::remove_file(path(&made)).unwrap();
        println!("backup, at {point}: the launcher killed");
    }
    assert_eq!(home.status()["state"], "running");
}

#[test]
fn killed_at_any_moment_it_leaves_no_half_archive() {
    let Some(home) = Home::prepared() else { return };
    home.ok(&["start"]);
    fill(&home);
    let folder = home.layout.state.join("backups");
    let begun = Instant::now();
    create(&home, &[]);
    let usual = u64::try_from(begun.elapsed().as_millis()).unwrap() + 200;
    let mut random = Random::new(7);
    for number in 0..kills() {
        let before = names(&folder);
        let mut running = home.spawn("killed", &["backup", "create"]);
        let after = random.pause(usual);
        // All of it, or the launcher alone, whose children have to notice.
        let whole = random.below(2) == 0;
        match whole {
            true => drop(kill_process_group(Pid::from_child(&running), Signal::KILL)),
            false => machine::signal(running.id() as i32, Signal::KILL),
        }
        running.wait().unwrap();
        let new: Vec<String> = names(&folder)
            .into_iter()
            .filter(|name| !before.contains(name) && !name.starts_with('.'))
            .collect();
        println!("{number}: {} killed after {after} ms; {new:?}", if whole { "all" } else { "the launcher" });
        for name in new {
            archive::check(&folder.join(&name), &Silent).unwrap_or_else(|why| panic!("{name}: {why}"));
            fs::remove_file(folder.join(name)).unwrap();
        }
        home.until("nobody works on it any more", || home.pids("/staging/").is_empty());
        if number % 5 == 4 {
            let made = create(&home, &[]);
            nothing_left(&home, &folder);
            fs::remove_file(path(&made)).unwrap();
        }
    }
    home.ok(&["backup", "verify"]);
    assert_eq!(home.status()["state"], "running");
}
