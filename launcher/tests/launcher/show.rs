//! `config show`, `get` and `path`: what is in force, and why.

use crate::Test;

#[test]
fn later_ones_win_and_say_so() {
    Test::new()
        .conf("[server]\nlisten = \"127.0.0.1:1\"\n  workers = 2\n[log]\nlevel = \"debug\"\n")
        .drop_in("20-b.conf", "server.listen = \"127.0.0.1:3\"\n")
        .drop_in("10-a.conf", "server.listen = \"127.0.0.1:2\"\n")
        .env("MATHESAR_LOG_LEVEL", "error")
        .args(&["config", "show", "--origin", "--changed"])
        .stdout(
            "server.listen = \"127.0.0.1:3\" # HOME/config/conf.d/20-b.conf:1:8
server.workers = 2            # HOME/config/mathesar.conf:3:3
log.level = \"error\"           # environment MATHESAR_LOG_LEVEL
",
        )
        .run();
}

#[test]
fn mathesar_s_own_variables_are_not_honoured_here() {
    Test::new()
        .env("ALLOWED_HOSTS", "a.example")
        .env("POSTGRES_PASSWORD", "x")
        .args(&["config", "show", "server.hosts", "database.password", "--origin"])
        .stdout("server.hosts = []      # default\ndatabase.password = \"\" # default\n")
        .run();
}

#[test]
fn what_is_shown_is_a_configuration_again() {
    let (_, shown, _) = Test::new().args(&["config", "show"]).output();
    assert!(
        shown.contains("server.listen = \"127.0.0.1:8000\"\n") && shown.contains("database.url = \"\"\n")
    );
    Test::new()
        .file("again.conf", &shown)
        .args(&["config", "check", "HOME/again.conf"])
        .stderr("     Checked HOME/again.conf: no problem found\n")
        .run();
}

const SECRETS: &str = "[database]\nurl = \"postgresql://me@db/m\"\npassword = \"s3cret\"\n[python]\nindex-url = \"https://u:s3cret@index.example/\"\n[env]\nA = \"s3cret\"\n";

#[test]
fn secrets_are_redacted() {
    Test::new()
        .conf(SECRETS)
        .args(&["config", "show", "--changed"])
        .stdout(
            "database.url = \"postgresql://me@db/m\"
database.password = \"(redacted)\"
python.index-url = \"https://u:***@index.example/\"
env.A = \"(redacted)\"
",
        )
        .run()
        .args(&["config", "get", "database.password"])
        .stdout("(redacted)\n")
        .run()
        .args(&["config", "get", "--reveal", "env.A"])
        .stdout("s3cret\n")
        .run();
    let (_, json, _) = Test::new().conf(SECRETS).args(&["config", "show", "--json"]).output();
    assert!(!json.contains("s3cret"));
}

#[test]
fn json_has_value_and_origin() {
    let (_, stdout, _) =
        Test::new().conf("[server]\nhosts = [\"a\"]\n").args(&["config", "show", "--json"]).output();
    let json: serde_json::Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!(
        json["server.hosts"],
        serde_json::json!({ "value": ["a"], "origin": { "kind": "file", "path": "HOME/config/mathesar.conf", "line": 2, "column": 1 } })
    );
    assert_eq!(json["database.url"], serde_json::json!({ "value": null, "origin": { "kind": "default" } }));
}

#[test]
fn get_prints_what_scripts_want() {
    let test = Test::new()
        .conf("[server]\nhosts = [\"a\", \"b\"]\n")
        .args(&["config", "get", "server.hosts"])
        .stdout("a\nb\n")
        .run();
    let test = test.args(&["config", "get", "database.url"]).run();
    test.args(&["config", "get", "server.zzzz"])
        .status(2)
        .stderr("error: unknown setting `server.zzzz`\nhelp: `mathesar --home HOME config show` lists all settings\n")
        .run();
}

#[test]
fn a_wrong_configuration_is_refused() {
    Test::new()
        .conf("[log]\nlevle = 1\n")
        .args(&["config", "get", "log.level"])
        .status(4)
        .stderr(
            "error: unknown setting `log.levle`
 --> HOME/config/mathesar.conf:2:1
  |
2 | levle = 1
  | ^^^^^
help: did you mean `log.level`?
",
        )
        .run();
}

#[test]
fn paths() {
    Test::new()
        .conf("")
        .drop_in("b.conf", "")
        .drop_in("a.conf", "")
        .drop_in("c.txt", "")
        .args(&["config", "path", "--all"])
        .stdout("HOME/config/mathesar.conf\nHOME/config/conf.d/a.conf\nHOME/config/conf.d/b.conf\n")
        .run();
}

#[test]
fn byte_order_mark_and_windows_line_ends_are_read() {
    let test = Test::new().conf("\u{feff}[server]\r\nworkers = 3\r\n");
    test.args(&["config", "get", "server.workers"]).stdout("3\n").run();
}

#[test]
fn without_any_file_the_defaults_hold() {
    Test::new()
        .args(&["config", "check"])
        .stderr("     Checked the defaults, as there is no HOME/config/mathesar.conf\n")
        .run();
}

#[test]
fn names_that_fit_nothing_are_told_and_others_may_be_as_they_were() {
    Test::new().args(&["config", "show", "server", "--changed"]).stdout("").run();
    Test::new()
        .args(&["config", "show", "server.listen", "server.hsts"])
        .status(2)
        .stdout("")
        .stderr("error: unknown setting `server.hsts`\nhelp: did you mean `server.hosts`?\n")
        .run();
    Test::new()
        .args(&["config", "get", "server"])
        .status(2)
        .stderr("error: unknown setting `server`\nhelp: it is a section: `mathesar --home HOME config show server`\n")
        .run();
}
