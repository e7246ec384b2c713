use std::error::Error as _;
use std::fs;

use super::*;

/// A folder of programs that only tell a version.
fn fake(root: &Path, folder: &str, version: &str, client: bool) {
    let folder = root.join(folder);
    fs::create_dir_all(&folder).unwrap();
    let names: &[&str] =
        if client { &["postgres", "initdb", "psql", "pg_isready"] } else { &["postgres", "initdb"] };
    for name in names {
        let text = format!("#!/bin/sh\necho '{name} (PostgreSQL) {version}'\n");
        fs::write(folder.join(name), text).unwrap();
        fs::set_permissions(folder.join(name), fs::Permissions::from_mode(0o755)).unwrap();
    }
}

fn search(root: &Path) -> Search {
    Search {
        setting: None,
        embedded: None,
        range: Postgresql { min: 14, max: 18 },
        distribution: Distribution::from_os_release("ID=debian\n"),
        root: root.to_owned(),
        foreign: None,
    }
}

#[test]
fn every_layout_is_found_and_the_newest_supported_is_chosen() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    fake(root, "usr/lib/postgresql/13/bin", "13.9", true);
    fake(root, "usr/pgsql-14/bin", "14.2", true);
    fake(root, "usr/lib64/pgsql/postgresql-15/bin", "15.1", false);
    fake(root, "opt/pgsql-16/bin", "16.1", true);
    fake(root, "usr/lib/postgresql17/bin", "17.4", true);
    fake(root, "opt/homebrew/opt/postgresql@19/bin", "19beta1", true);
    fake(root, "usr/bin", "18.1 (Arch)", true);
    fake(root, "app/bin", "12.3", true);
    let search = search(root);
    let versions: Vec<String> = search.system().into_iter().map(|one| one.version).collect();
    assert_eq!(versions, ["19beta1", "18.1", "17.4", "16.1", "15.1", "14.2", "13.9", "12.3"]);
    assert_eq!(search.for_new().unwrap().unwrap().version, "18.1");
    let fedora = search.for_major(15).unwrap();
    assert_eq!(fedora.client("psql"), root.join("usr/bin/psql"));
    assert_eq!(search.for_major(17).unwrap().bin, root.join("usr/lib/postgresql17/bin"));
    let old = search.for_major(13).unwrap_err();
    assert_eq!(old.to_string(), "the database is of PostgreSQL 13, and Mathesar needs 14 to 18");
    assert_eq!(old.exit, Exit::Refused);
    // Installing another server would cure nothing.
    for (major, cure) in [(13, "with PostgreSQL 13 itself: `pg_upgrade`"), (19, "a newer launcher")] {
        let (_, text) = crate::failure::report(&search.for_major(major).unwrap_err().into());
        assert!(text.contains(cure) && !text.contains("install"), "{text}");
    }
}

#[test]
fn a_server_without_its_client_is_told_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    fake(folder.path(), "usr/lib/postgresql/15/bin", "15.18", false);
    let (_, text) = crate::failure::report(&search(folder.path()).for_major(15).unwrap_err().into());
    assert!(text.contains("whose programs in ") && text.contains("psql is missing in "), "{text}");
    assert!(text.contains("`apt install postgresql-client-15`"), "{text}");
    fs::remove_file(folder.path().join("usr/lib/postgresql/15/bin/initdb")).unwrap();
    let (_, text) = crate::failure::report(&search(folder.path()).for_major(15).unwrap_err().into());
    assert!(text.contains("initdb is missing") && text.contains("`apt install postgresql-15`"), "{text}");
}

#[test]
fn a_missing_major_names_the_package() {
    let folder = tempfile::tempdir().unwrap();
    fake(folder.path(), "usr/lib/postgresql/15/bin", "15.18", true);
    let failure = search(folder.path()).for_major(17).unwrap_err();
    assert_eq!(failure.exit, Exit::Refused);
    assert_eq!(failure.to_string(), "the database was made by PostgreSQL 17, which is not installed");
    assert_eq!(failure.source().unwrap().to_string(), "found: 15.18; nothing was changed");
    let (_, text) = crate::failure::report(&failure.into());
    assert!(text.contains("install it: `apt install postgresql-17`"), "{text}");
}

#[test]
fn nothing_supported_is_no_error_until_the_embedded_build_is_missing_too() {
    let folder = tempfile::tempdir().unwrap();
    fake(folder.path(), "usr/bin", "13.20", true);
    let search = search(folder.path());
    assert_eq!(search.for_new().unwrap(), None);
    let failure = search.missing_new();
    assert_eq!(failure.to_string(), "no PostgreSQL server of 14 to 18 is installed");
    assert_eq!(failure.source().unwrap().to_string(), "found: 13.20");
}

#[test]
fn the_setting_is_taken_at_its_word_or_refused() {
    let folder = tempfile::tempdir().unwrap();
    fake(folder.path(), "mine", "13.2", true);
    fake(folder.path(), "usr/bin", "16.2", true);
    let mut search = search(folder.path());
    search.setting = Some(folder.path().join("mine"));
    let old = search.for_new().unwrap_err().to_string();
    assert!(old.ends_with("mine is of PostgreSQL 13.2, and Mathesar needs 14 to 18"), "{old}");
    search.setting = Some(folder.path().join("nowhere"));
    assert_eq!(search.for_new().unwrap_err().exit, Exit::Refused);
    search.setting = Some(folder.path().join("usr/bin"));
    assert_eq!(search.for_new().unwrap().unwrap().origin, Origin::Setting);
    let other = search.for_major(15).unwrap_err().to_string();
    assert!(other.ends_with("`database.bin` names a server of 16.2"), "{other}");
}

#[test]
fn versions_are_read() {
    assert_eq!(version("postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)\n"), Some((15, "15.18".into())));
    assert_eq!(version("postgres (PostgreSQL) 18beta1"), Some((18, "18beta1".into())));
    assert_eq!(version("postgres 15"), None);
}
