//! `mathesar plan` names everything that `start` will write.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::harness::Home;

/// Everything below, folders too; not what lies below these.
fn below(folder: &Path, but: &[PathBuf], found: &mut BTreeSet<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        found.insert(path.clone());
        if entry.file_type().unwrap().is_dir() && !but.contains(&path) {
            below(&path, but, found);
        }
    }
}

#[test]
fn nothing_is_written_that_the_plan_has_not_named() {
    let Some(home) = Home::bare() else { return };
    let all = || {
        let mut found = BTreeSet::new();
        below(home.layout.config.parent().unwrap(), &[home.layout.cache.join("uv")], &mut found);
        found
    };
    let before = all();
    let plan: Value = serde_json::from_str(&home.ok(&["plan", "--json"]).stdout).unwrap();
    assert_eq!(all(), before, "plan has written something");
    let steps = plan.as_array().unwrap();
    let named: Vec<&str> = steps
        .iter()
        .flat_map(|step| step["writes"].as_array().unwrap())
        .map(|path| path.as_str().unwrap())
        .collect();
    home.ok(&["start"]);
    let made: Vec<PathBuf> = all().difference(&before).cloned().collect();
    let unnamed: Vec<&PathBuf> = made
        .iter()
        // These are there already where anything was done before: they stand for themselves alone.
        .filter(|path| {
            let covers = |name: &&&str| {
                ![&home.layout.state, &home.layout.run, &home.layout.cache].contains(&&PathBuf::from(name))
            };
            !named.iter().filter(covers).any(|name| path.starts_with(name))
                && !named.iter().any(|name| *path == Path::new(name))
        })
        // Of these two folders one file each is named for all, and locks hold nothing.
        .filter(|path| {
            let passing = [Some(&home.layout.run), home.layout.logs.as_ref()];
            let is_lock = path.file_name().is_some_and(|name| name == "lock" || name == ".lock");
            !is_lock
                && !passing.into_iter().flatten().any(|folder| path.starts_with(folder) && *path != folder)
        })
        // A folder on the way to one that is named.
        .filter(|path| !named.iter().any(|name| Path::new(name).starts_with(path)))
        .collect();
    assert!(unnamed.is_empty(), "{unnamed:#?}\nnamed: {named:#?}");
    let absent: Vec<&&str> = named.iter().filter(|name| !Path::new(name).exists()).collect();
    assert!(absent.is_empty(), "named, and not made: {absent:#?}");

    // What was lost since, alone.
    home.ok(&["stop"]);
    let tools = home.layout.cache.join("tools");
    let venv = made.iter().find(|path| path.ends_with("venv")).unwrap();
    std::fs::remove_dir_all(venv).unwrap();
    std::fs::remove_dir_all(&tools).unwrap();
    let plan = home.ok(&["plan"]).stdout;
    for lost in [venv, &tools.join("uv-")] {
        assert!(plan.contains(&format!("write    {}", lost.display())), "{plan}");
    }
}
