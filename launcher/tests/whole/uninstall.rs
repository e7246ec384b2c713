//! `mathesar uninstall`: what goes, what stays, and that nothing else does.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Stdio;

use serde_json::json;

use crate::harness::{Home, Start};
use crate::machine::{make_folder, tree};

#[test]
fn data_stay_and_a_start_goes_on_with_them() {
    let Some(home) = Home::of_user(Start::SetUp) else { return };
    home.ok(&["start"]);
    home.create_admin();
    let cats = home.table("people", "cats");
    let mia = json!({"database_id": cats["database_id"], "table_oid": cats["table_oid"], "record_def": {"name": "Mia"}});
    home.admin("records.add", mia);

    // Nobody to ask, nothing done.
    let asked = home.mathesar(&["uninstall"]);
    assert_eq!(asked.status, 4, "{asked:?}");
    assert!(asked.stderr.contains("`mathesar uninstall --yes`"), "{asked:?}");
    assert_eq!(home.status()["state"], "running");

    let done = home.ok(&["uninstall", "--yes"]);
    println!("{}{}", done.stdout, done.stderr);
    home.nobody_left();
    let place = home.folder().join("home");
    let layout = &home.layout;
    assert!(!layout.cache.exists() && !layout.logs.as_ref().unwrap().exists() && !layout.run.exists());
    assert_eq!(names(&layout.state), ["database", "lock", "media", "migrated.json", "secrets"]);
    assert!(layout.config_file().exists());
    assert!(home.try_get("/").is_none());
    let again = home.ok(&["uninstall", "--yes"]);
    assert!(again.stderr.contains("there is nothing to remove"), "{again:?}");

    home.ok(&["start"]);
    assert_eq!(home.admin("records.list", cats)["count"], 1, "a row is lost");
    assert!(done.stdout.contains(&format!("{}", place.join(".local/share/mathesar/app").display())));
}

#[test]
fn purge_leaves_nothing_but_what_others_have_put_there() {
    let Some(home) = Home::of_user(Start::SetUp) else { return };
    home.ok(&["start"]);
    let place = home.folder().join("home");
    home.write(&place.join(".local/share/mathesar/diary.txt"), "mine");
    home.write(&place.join(".config/mathesar/sso.yml"), "mine");
    home.write(&place.join(".local/share/other/file"), "mine");
    let refused = home.mathesar(&["uninstall", "--purge"]);
    assert!(refused.status == 4 && refused.stderr.contains("uninstall --purge --yes"), "{refused:?}");

    let done = home.ok(&["uninstall", "--purge", "--yes"]);
    println!("{}{}", done.stdout, done.stderr);
    home.nobody_left();
    for stays in ["diary.txt stays", "sso.yml stays"] {
        assert!(done.stderr.contains(stays), "{stays}: {}", done.stderr);
    }
    let left: Vec<String> = tree(&place)
        .into_iter()
        .filter_map(|line| Some(line.split(' ').next()?.strip_prefix(place.to_str()?)?.to_owned()))
        .filter(|path| place.join(path.trim_start_matches('/')).is_file())
        .collect();
    assert_eq!(
        left,
        ["/.config/mathesar/sso.yml", "/.local/share/mathesar/diary.txt", "/.local/share/other/file"]
    );
    // Gone is gone, and a new one can be made.
    assert_eq!(names(&home.layout.state), ["diary.txt"]);
}

/// Links out of every place that is removed: what they lead to stays, whatever is asked for.
#[test]
fn no_link_leads_out() {
    let Some(home) = Home::new(Start::SetUp) else { return };
    let outside = home.folder().join("outside");
    make_folder(&outside, home.folder(), home.user);
    for name in ["app/file", "data/file", "file", "mathesar.conf"] {
        home.write(&outside.join(name), "not Mathesar's");
    }
    let before = tree(&outside);
    let link = |at: &Path| symlink(&outside, at).unwrap();
    let layout = &home.layout;
    make_folder(layout.logs.as_ref().unwrap(), home.folder(), home.user);
    make_folder(&layout.config_drop_ins(), home.folder(), home.user);
    link(&layout.state.join("app/0.9.0-000000000000"));
    link(&layout.state.join("backups"));
    fs::rename(layout.state.join("media"), home.folder().join("media")).unwrap();
    link(&layout.state.join("media"));
    link(&layout.state.join("secrets/link"));
    link(&layout.state.join("database/link"));
    link(&layout.cache.join("downloads"));
    link(&layout.logs.as_ref().unwrap().join("mathesar.log.1"));
    link(&layout.config_drop_ins().join("link"));
    home.ok(&["uninstall", "--yes"]);
    assert_eq!(tree(&outside), before);
    home.ok(&["uninstall", "--purge", "--yes"]);
    assert_eq!(tree(&outside), before);
    for folder in [&layout.state, &layout.cache, &layout.config, &layout.run] {
        assert!(folder.symlink_metadata().is_err(), "{} is left", folder.display());
    }

    // A whole place that is a link is somebody's arrangement, and not taken apart.
    link(&layout.state);
    let refused = home.mathesar(&["uninstall", "--purge", "--yes"]);
    assert_eq!(refused.status, 4, "{refused:?}");
    assert!(refused.stderr.contains("is a link, which is not followed"), "{refused:?}");
    assert_eq!(tree(&outside), before);
    fs::remove_file(&layout.state).unwrap();
}

#[test]
fn a_person_is_asked() {
    let script = Path::new("/usr/bin/script");
    if !script.exists() {
        println!("not run: there is no {}, which makes a terminal", script.display());
        return;
    }
    let Some(home) = Home::installed() else { return };
    let typed = |words: &str, answer: &str| {
        let line =
            format!("{} --home {}/home uninstall {words}", home.program().display(), home.folder().display());
        let mut command = home.command(script);
        command.args(["-qec", &line, "/dev/null"]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(format!("{answer}\n").as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let before = tree(&home.layout.state);
    for (words, answer) in [("", ""), ("", "n"), ("--purge", "y"), ("--purge", "yes")] {
        let (status, text) = typed(words, answer);
        assert_eq!(status, Some(1), "{text}");
        assert!(text.contains("nothing was removed"), "{text}");
        assert_eq!(tree(&home.layout.state), before, "`{answer}` to `uninstall {words}`");
    }
    let (status, text) = typed("", "y");
    assert!(status == Some(0) && text.contains("Remove this? yes or no [no]: "), "{text}");
    assert!(!home.layout.state.join("app").exists() && home.layout.config_file().exists());
    let (status, text) = typed("--purge", "purge");
    assert!(status == Some(0) && text.contains("Type `purge`"), "{text}");
    assert!(!home.layout.config.exists() && !home.layout.state.exists());
}

#[test]
fn the_system_s_is_the_package_manager_s() {
    let Some(home) = Home::of_user(Start::Bare) else { return };
    let refused = home.mathesar(&["--system", "uninstall", "--purge", "--yes"]);
    assert_eq!(refused.status, 4, "{refused:?}");
    assert!(refused.stderr.contains("belongs to its package"), "{refused:?}");
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}
