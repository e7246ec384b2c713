//! The superuser's password is lost: it is found, or another one is set, and nothing of anybody's goes with it.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use crate::harness::Home;

const ROW: &str = "SELECT t FROM public.kept";

#[test]
fn a_lost_password_of_the_superuser_comes_back_with_the_next_start() {
    let Some(home) = Home::prepared() else { return };
    let secrets = home.layout.state.join("secrets");
    let (secret, copy) = (secrets.join("database-superuser"), secrets.join("database-superuser.pgpass"));
    let read = || fs::read_to_string(&secret).unwrap();
    let first = read();
    home.ok(&["start"]);
    home.sql("mathesar", "CREATE TABLE public.kept AS SELECT 'a row' AS t");

    // While the server runs nobody can set another one; none is invented, and the copy stays.
    fs::remove_file(&secret).unwrap();
    for command in [&["backup", "create"][..], &["db", "shell", "--superuser", "--", "-c", "SELECT 1"]] {
        let refused = home.mathesar(command);
        assert_eq!(refused.status, 4, "{refused:?}");
        for said in ["database-superuser is missing", "`mathesar restart --everything`"] {
            assert!(refused.stderr.contains(said), "{said}: {}", refused.stderr);
        }
        assert!(!secret.exists() && fs::read_to_string(&copy).unwrap().contains(&first));
    }
    home.ok(&["restart", "--everything"]);
    assert_eq!(read(), first);
    assert!(home.log().contains("taken back from database-superuser.pgpass"), "{}", home.log());
    assert_eq!(home.sql("mathesar", ROW), "a row");
    home.ok(&["backup", "create"]);

    // Gone from everywhere.
    for command in [&["restart", "--everything"][..], &["start"]] {
        let before = read();
        if command == ["start"] {
            home.ok(&["stop"]);
        }
        fs::remove_file(&secret).unwrap();
        fs::remove_file(&copy).unwrap();
        home.ok(command);
        assert_ne!(read(), before);
        assert_eq!(fs::metadata(&secret).unwrap().permissions().mode() & 0o7777, 0o600);
        assert!(home.log().contains("the database's superuser has a new password"), "{}", home.log());
        assert!(!home.log().contains(&read()) && !home.log().contains("ALTER ROLE"), "{}", home.log());
        assert_eq!(home.sql("mathesar", ROW), "a row");
        assert_eq!(home.get("/auth/login/").0, 302);
    }
    home.ok(&["backup", "create"]);
    home.ok(&["stop"]);

    // A server that runs alone.
    home.ok(&["db", "start"]);
    fs::remove_file(&secret).unwrap();
    fs::remove_file(&copy).unwrap();
    let refused = home.mathesar(&["backup", "create"]);
    assert_eq!(refused.status, 4, "{refused:?}");
    assert!(refused.stderr.contains("`mathesar restart --everything`"), "{}", refused.stderr);
    home.ok(&["restart", "--everything"]);
    assert!(home.log().contains("has a new password"), "{}", home.log());
    assert_eq!(home.sql("mathesar", ROW), "a row");
    assert_eq!(home.get("/auth/login/").0, 302);
}

/// With the folder of secrets the key to stored passwords is lost: a new one would be taken for it, and nobody would know.
#[test]
fn a_lost_secret_key_is_not_replaced_in_silence() {
    let Some(home) = Home::prepared() else { return };
    let (secrets, aside) = (home.layout.state.join("secrets"), home.layout.state.join("secrets.aside"));
    home.ok(&["start"]);
    home.ok(&["stop"]);
    fs::rename(&secrets, &aside).unwrap();
    for command in [&["start"][..], &["plan"], &["migrate"], &["backup", "create"]] {
        let refused = home.mathesar(command);
        assert_eq!(refused.status, 4, "{command:?}: {refused:?}");
        for said in ["with its fingerprint", "mathesar backup list"] {
            let told = format!("{}{}", refused.stderr, refused.stdout);
            assert!(told.contains(said), "{command:?}: {told}");
        }
    }
    let doctor = home.mathesar(&["doctor"]);
    assert!(doctor.stdout.contains("it is gone from") && doctor.status == 1, "{}", doctor.stdout);
    // Put back, all is as it was.
    let _ = fs::remove_dir_all(&secrets);
    fs::rename(&aside, &secrets).unwrap();
    home.ok(&["start"]);
    assert_eq!(home.get("/auth/login/").0, 302);
    home.ok(&["stop"]);
    // Given up by a person who says so.
    fs::remove_dir_all(&secrets).unwrap();
    home.conf("[app]\nsecret-key = \"another-key-of-forty-characters-in-all-xx\"\n");
    home.ok(&["start"]);
    assert_eq!(home.get("/auth/login/").0, 302);
}

/// The two ways out, as they are printed.
#[test]
fn the_cures_for_a_lost_key_do_what_they_say() {
    let Some(home) = Home::prepared() else { return };
    let secrets = home.layout.state.join("secrets");
    let (key, print) = (secrets.join("secret-key"), secrets.join("secret-key.fingerprint"));
    home.ok(&["start"]);
    home.ok(&["backup", "create"]);
    home.ok(&["stop"]);
    let read = || fs::read_to_string(&key).unwrap().trim_end().to_owned();
    let (first, backups) = (read(), home.layout.state.join("backups"));
    let archives = || fs::read_dir(&backups).unwrap().map(|entry| entry.unwrap().path());
    let archive = archives().find(|path| path.to_string_lossy().ends_with(".tar.zst")).unwrap();
    // The last words between backquotes of these lines, as a person pastes them.
    let cures = || -> Vec<String> {
        // With their options.
        let said = |command| {
            let output = home.launcher(&[command]).output().unwrap();
            String::from_utf8(if command == "doctor" { output.stdout } else { output.stderr }).unwrap()
        };
        let (refused, doctor) = (said("start"), said("doctor"));
        let lines: Vec<&str> = refused.lines().filter_map(|line| line.strip_prefix("help: ")).collect();
        lines.iter().for_each(|cure| assert!(doctor.contains(cure), "{cure}: {doctor}"));
        lines.iter().map(|line| line.rsplit('`').nth(1).unwrap().to_owned()).collect()
    };
    let paste = |command: &str| {
        let program = home.program().parent().unwrap().display().to_string();
        let script = format!(
            "PATH={program}:$PATH; set -e; {}",
            command.replace("FILE", &archive.display().to_string())
        );
        let output = home.command(Path::new("/bin/sh")).args(["-c", &script]).output().unwrap();
        assert!(output.status.success(), "{script}: {output:?}");
    };
    for gone in [&[&key][..], &[&key, &print]] {
        gone.iter().for_each(|file| fs::remove_file(file).unwrap());
        paste(&cures()[0]);
        assert_eq!(read(), first);
        home.ok(&["start"]);
        home.ok(&["stop"]);
    }
    fs::remove_file(&key).unwrap();
    paste(&cures()[1]);
    home.ok(&["start"]);
    assert_eq!(home.get("/auth/login/").0, 302);
}

/// As after somebody has put a copy of the secrets back that is older than the database's.
#[test]
fn another_password_of_the_superuser_is_told_with_what_helps() {
    let Some(home) = Home::prepared() else { return };
    let secrets = home.layout.state.join("secrets");
    let files = [secrets.join("database-superuser"), secrets.join("database-superuser.pgpass")];
    fs::write(&files[0], "of-another-time\n").unwrap();
    fs::write(&files[1], "*:*:*:*:of-another-time\n").unwrap();
    let refused = home.mathesar(&["start"]);
    assert_eq!(refused.status, 4, "{refused:?}");
    let cure =
        format!("`rm {} {}`, then `mathesar restart --everything`", files[0].display(), files[1].display());
    assert!(refused.stderr.contains(&cure), "{}", refused.stderr);
    for file in &files {
        fs::remove_file(file).unwrap();
    }
    home.ok(&["restart", "--everything"]);
    assert_eq!(home.get("/auth/login/").0, 302);
}
