//! Root restores the system's installation: from a file of its own, while the service's user does the work.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use serde_json::{Value, json};

use crate::restore::shown;
use crate::system::{ENTER, mathesar, ready, run, system};

#[test]
fn root_restores_what_only_root_can_read() {
    let Some(home) = system() else { return };
    let mut running = run(&home, ENTER, "log");
    ready(&home);
    let password = fs::read_to_string(home.layout.state.join("secrets/initial-admin-password")).unwrap();
    home.sql("mathesar", "CREATE TABLE cats (name text); INSERT INTO cats VALUES ('Mia')");
    let roots = home.folder().join("roots");
    fs::create_dir(&roots).unwrap();
    fs::set_permissions(&roots, fs::Permissions::from_mode(0o700)).unwrap();
    let made = mathesar(&home, &["backup", "create", "--json", "--to", roots.to_str().unwrap()]);
    assert_eq!(made.status, 0, "{made:?}");
    let made: Value = serde_json::from_str(&made.stdout).unwrap();
    let backup = made["path"].as_str().unwrap();
    home.sql("mathesar", "DROP TABLE cats");

    let refused = mathesar(&home, &["restore", backup]);
    assert_eq!(refused.status, 4, "{refused:?}");
    assert!(
        refused.stderr.contains(&format!("`mathesar --system restore --yes {backup}`")),
        "{}",
        refused.stderr
    );
    let missing = mathesar(&home, &["restore", "--yes", &shown(&roots.join("nothing"))]);
    assert_eq!(missing.status, 4, "{missing:?}");
    let status = mathesar(&home, &["status", "--json"]);
    assert!(status.stdout.contains("\"state\": \"running\""), "{status:?}");

    let restored = mathesar(&home, &["restore", "--yes", backup]);
    println!("{}", restored.stderr);
    assert_eq!(restored.status, 0, "{restored:?}");
    // What had served was told to end, and another one serves.
    assert!(running.wait().unwrap().success());
    ready(&home);
    assert_eq!(home.sql("mathesar", "SELECT name FROM cats"), "Mia");
    let method = "databases.configured.list";
    let who = format!("admin:{}", password.trim_end());
    let answer = crate::http::call(home.port, &who, method, &json!({}), crate::harness::PATIENCE);
    assert!(answer.is_some_and(|result| result.is_ok()));
    for path in ["database", "media", "secrets", "database/data/PG_VERSION"] {
        use std::os::unix::fs::MetadataExt as _;
        let found = fs::metadata(home.layout.state.join(path)).unwrap();
        assert_eq!(Some(found.uid()), home.user.map(|user| user.uid), "{path}");
    }
    // One of the safety copies is a backup of what was there.
    let list = mathesar(&home, &["backup", "list", "--json"]);
    assert!(list.stdout.contains("\"made_by\": \"restore\""), "{list:?}");
    let stopped = mathesar(&home, &["stop"]);
    assert_eq!(stopped.status, 0, "{stopped:?}");
    home.nobody_left();

    // Stopped, it stays stopped.
    let restored = mathesar(&home, &["restore", "--yes", "--without-backup", backup]);
    assert_eq!(restored.status, 0, "{restored:?}");
    home.nobody_left();
}
