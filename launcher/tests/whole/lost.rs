//! The superuser's password is lost: it is found, or another one is set, and nothing of anybody's goes with it.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

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
