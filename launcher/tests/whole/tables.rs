//! Tables of one release, and a start of another one.

use std::fs;

use crate::harness::Home;
use crate::sample::release;
use crate::steps::refused;

#[test]
fn no_release_is_let_loose_on_the_tables_of_another() {
    let Some(home) = Home::prepared() else { return };
    let (one, two) = (release("1.0.0", None), release("2.0.0", None));
    let id =
        |release: &crate::sample::SampleRelease| format!("{}-{}", release.version, &release.sha256[..12]);
    let record = home.layout.state.join("migrated.json");
    let store = home.layout.state.join("app");
    let current = store.join("current");

    // An older one: what it would start is not installed, and is not fetched either.
    let was = fs::read_to_string(&record).unwrap();
    home.write(&record, was.replace(&id(&one), &id(&two)));
    fs::remove_file(&current).unwrap();
    let both = format!("the tables are of {}, not of {}", id(&two), id(&one));
    let force = &format!("mathesar app use --force {}", id(&one));
    refused(&home, &["start"], 4, &[&both, "1.0.0 is older", "`mathesar app install --from FILE`", force]);
    refused(&home, &["setup"], 4, &[&both]);
    refused(&home, &["plan"], 4, &[&both]);
    home.nobody_left();
    assert!(!current.exists());
    // What is said to help does.
    home.ok(&force.split(' ').skip(1).collect::<Vec<_>>());
    home.ok(&["start"]);
    assert_eq!(fs::read_to_string(&record).unwrap(), was);
    home.ok(&["stop"]);

    // Nothing was written down: the database tells.
    let later =
        "INSERT INTO django_migrations (app, name, applied) VALUES ('mathesar', '0002_group_digits', now())";
    home.ok(&["db", "start"]);
    home.sql("mathesar_django", later);
    home.ok(&["db", "stop"]);
    fs::remove_file(&record).unwrap();
    fs::remove_file(&current).unwrap();
    refused(&home, &["start"], 4, &["of a newer release", "mathesar.0002_group_digits", force]);
    home.nobody_left();
    assert!(!current.exists() && !record.exists());
    home.ok(&["db", "start"]);
    home.sql("mathesar_django", "DELETE FROM django_migrations WHERE name = '0002_group_digits'");
    home.ok(&["db", "stop"]);
    home.ok(&["start"]);

    // A newer one, after an uninstallation that has kept the data.
    home.ok(&["uninstall", "--yes"]);
    home.pin(&two);
    let both = format!("the tables are of {}, not of {}", id(&one), id(&two));
    let upgrade = format!("`mathesar upgrade --to {}`", id(&two));
    refused(&home, &["start"], 4, &[&both, "without a backup", &upgrade]);
    assert!(!store.exists());
}
