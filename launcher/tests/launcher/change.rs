//! `config set` and `unset`.

use crate::Test;

const TEXT: &str = "# mine\n[server] # web\n# where\nlisten = \"127.0.0.1:1\" # why\n\n[log]\n";

fn set(test: Test, name: &str, value: &str) -> Test {
    test.args(&["config", "set", name, value])
        .stderr(&format!("         Set {name} in HOME/config/mathesar.conf\n"))
        .run()
}

#[test]
fn set_keeps_comments_and_order() {
    let test = set(Test::new().conf(TEXT), "server.listen", "127.0.0.1:2");
    test.contents("config/mathesar.conf", &TEXT.replace("0.1:1", "0.1:2"));
}

#[test]
fn types_are_written_as_toml() {
    let test = set(Test::new().conf(""), "server.workers", "4");
    let test = set(test, "app.debug", "false");
    let test = set(test, "server.request-timeout", "5m");
    let test = set(test, "env.AZURE_CLIENT_ID", "7");
    let test = test
        .args(&["config", "set", "server.hosts", "a.example", "b.example"])
        .stderr("         Set server.hosts in HOME/config/mathesar.conf\n")
        .run();
    test.contents(
        "config/mathesar.conf",
        "[server]\nworkers = 4\nrequest-timeout = \"5m\"\nhosts = [\"a.example\", \"b.example\"]\n\n[app]\ndebug = false\n\n[env]\nAZURE_CLIENT_ID = \"7\"\n",
    )
    .missing("config/.mathesar.conf.new");
}

#[test]
fn the_first_setting_comes_into_the_file_that_explains_all() {
    let test = set(Test::new(), "server.listen", "127.0.0.1:2");
    let commented = "#listen = \"127.0.0.1:8000\"\n";
    let expected =
        mathesar::config::TEMPLATE.replace(commented, &format!("{commented}listen = \"127.0.0.1:2\"\n"));
    test.contents("config/mathesar.conf", &expected).mode("config/mathesar.conf", 0o600);
}

#[test]
fn wrong_values_are_refused_with_the_words_of_check() {
    Test::new()
        .conf(TEXT)
        .args(&["config", "set", "server.workers", "many"])
        .status(4)
        .stderr("error: `server.workers` must be `auto` or a whole number from 1 to 256, not `many`\n")
        .run()
        .args(&["config", "set", "server.listen", "8080"])
        .status(4)
        .stderr(
            "error: `server.listen` must be an IP address and port such as `127.0.0.1:8000`, or `unix:/path`, not `8080`
help: write the address too: 127.0.0.1:8080
",
        )
        .run()
        .args(&["config", "set", "env.LD_PRELOAD", "x"])
        .status(4)
        .stderr("error: `LD_PRELOAD` cannot be passed on: it decides which libraries are loaded\n")
        .run()
        .args(&["config", "set", "server.lissten", "x"])
        .status(2)
        .stderr("error: unknown setting `server.lissten`\nhelp: did you mean `server.listen`?\n")
        .run()
        .contents("config/mathesar.conf", TEXT);
}

#[test]
fn what_contradicts_another_setting_is_refused() {
    let text = "[app]\nsecret-key-file = \"/k\"\n";
    let test = Test::new().conf(text).args(&["config", "set", "app.secret-key", "x"]);
    let (status, _, stderr) = test.output();
    assert_eq!(status, 4);
    assert!(
        stderr.starts_with("error: `app.secret-key` and `app.secret-key-file` are both set\n"),
        "{stderr}"
    );
    test.contents("config/mathesar.conf", text);
}

#[test]
fn mistakes_can_be_mended_one_by_one() {
    let test = Test::new().conf("[server]\nlisten = 5\nworkers = \"many\"\n");
    let test = set(test, "server.workers", "2");
    test.contents("config/mathesar.conf", "[server]\nlisten = 5\nworkers = 2\n");
}

#[test]
fn a_file_that_is_no_toml_is_left_alone() {
    let test = Test::new().conf("[server\n").args(&["config", "set", "log.keep", "2"]);
    let (status, _, stderr) = test.output();
    assert_eq!(status, 4);
    assert!(stderr.contains("this is not TOML") && stderr.contains("mathesar.conf:1:8"), "{stderr}");
    test.contents("config/mathesar.conf", "[server\n");
}

#[test]
fn passwords_survive_everything() {
    for password in ["'\"$\\ )#", "a\nb", "é🦀", " x ", "'''\"\"\"", "-x", "\t=[#"] {
        let test = set(Test::new(), "database.password", password);
        test.args(&["config", "get", "--reveal", "database.password"]).stdout(&format!("{password}\n")).run();
    }
    Test::new()
        .args(&["config", "set", "database.password", "--stdin"])
        .stdin("'\"$\\ )#\n")
        .stderr("         Set database.password in HOME/config/mathesar.conf\n")
        .run()
        .args(&["config", "get", "--reveal", "database.password"])
        .stdout("'\"$\\ )#\n")
        .run();
}

#[test]
fn the_mode_and_a_link_stay() {
    use std::os::unix::fs::PermissionsExt;
    let test = Test::new().file("real.conf", TEXT).link("config/mathesar.conf", "HOME/real.conf");
    std::fs::set_permissions(test.path("real.conf"), PermissionsExt::from_mode(0o640)).unwrap();
    let test = set(test, "log.keep", "2").mode("real.conf", 0o640);
    assert!(test.path("config/mathesar.conf").is_symlink());
    test.contents("real.conf", &format!("{TEXT}keep = 2\n"));
}

#[test]
fn windows_line_ends_and_byte_order_mark_stay() {
    let test = set(Test::new().conf("\u{feff}[log]\r\n# x\r\nkeep = 1\r\n"), "log.keep", "2");
    test.contents("config/mathesar.conf", "\u{feff}[log]\r\n# x\r\nkeep = 2\r\n");
}

#[test]
fn who_overrules_is_told() {
    Test::new()
        .drop_in("50-x.conf", "log.keep = 9\n")
        .args(&["config", "set", "log.keep", "2"])
        .stderr(
            "         Set log.keep in HOME/config/mathesar.conf
note: HOME/config/conf.d/50-x.conf:1:5 sets log.keep too, and wins
",
        )
        .run()
        .args(&["config", "unset", "log.keep"])
        .stderr(
            "       Unset log.keep in HOME/config/mathesar.conf
note: HOME/config/conf.d/50-x.conf:1:5 still sets log.keep
",
        )
        .run();
}

#[test]
fn doing_it_twice_changes_nothing() {
    let test = set(Test::new(), "log.keep", "2");
    test.args(&["config", "set", "log.keep", "2"])
        .stderr("   Unchanged log.keep in HOME/config/mathesar.conf\n")
        .run()
        .args(&["config", "unset", "log.level"])
        .stderr("   Unchanged log.level is not set in HOME/config/mathesar.conf\n")
        .run();
    Test::new()
        .args(&["config", "unset", "log.level"])
        .stderr("   Unchanged log.level is not set in HOME/config/mathesar.conf\n")
        .run()
        .missing("config");
}

#[test]
fn unset_keeps_the_comments() {
    Test::new()
        .conf(TEXT)
        .args(&["config", "unset", "server.listen"])
        .stderr("       Unset server.listen in HOME/config/mathesar.conf\n")
        .run()
        .contents("config/mathesar.conf", "# mine\n[server] # web\n# where\n\n[log]\n");
}

#[test]
fn set_at_once_from_many_processes_loses_nothing() {
    let test = Test::new();
    let names: Vec<String> = (0..8).map(|number| format!("env.N{number}")).collect();
    std::thread::scope(|scope| {
        for name in &names {
            let home = test.path("");
            scope.spawn(move || {
                let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_mathesar"));
                assert!(
                    command
                        .arg("--home")
                        .arg(home)
                        .args(["config", "set", name, "x"])
                        .output()
                        .unwrap()
                        .status
                        .success()
                );
            });
        }
    });
    let text = std::fs::read_to_string(test.path("config/mathesar.conf")).unwrap();
    assert_eq!(text.lines().filter(|line| line.starts_with('N')).count(), 8, "{text}");
}

#[test]
fn the_system_s_conffile_stays_untouched() {
    Test::new()
        .file("etc/mathesar.conf", TEXT)
        .bare()
        .env("CONFIGURATION_DIRECTORY", "HOME/etc")
        .args(&["--system", "config", "set", "log.keep", "2"])
        .stderr("         Set log.keep in HOME/etc/conf.d/90-local.conf\n")
        .run()
        .contents("etc/mathesar.conf", TEXT)
        .contents("etc/conf.d/90-local.conf", "[log]\nkeep = 2\n")
        .mode("etc/conf.d/90-local.conf", 0o640)
        .env("CONFIGURATION_DIRECTORY", "HOME/etc")
        .args(&["--system", "config", "unset", "server.listen"])
        .stderr(
            "   Unchanged server.listen is not set in HOME/etc/conf.d/90-local.conf
note: HOME/etc/mathesar.conf:4:1 still sets server.listen
",
        )
        .run();
}

#[test]
fn a_file_that_cannot_be_read_is_not_written() {
    let (status, _, stderr) = Test::new().conf(b"\xff").args(&["config", "set", "log.keep", "2"]).output();
    assert_eq!(status, 4);
    assert!(stderr.contains("mathesar.conf:1:1: byte 0xFF is not UTF-8"), "{stderr}");
}

#[test]
fn what_is_not_there_yet_is_set_with_a_warning() {
    let test = Test::new().args(&["config", "set", "python.interpreter", "/no/such/python"]);
    let (status, _, stderr) = test.output();
    assert!(
        status == 0 && stderr.contains("Set python.interpreter in HOME/config/mathesar.conf"),
        "{stderr}"
    );
    let words = "`python.interpreter` names /no/such/python, which does not exist";
    assert!(stderr.contains(&format!("warning: {words}\n")), "{stderr}");
    let (status, _, stderr) = test.args(&["config", "check"]).output();
    assert!(status == 4 && stderr.contains(&format!("error: {words}\n")), "{stderr}");
}

#[test]
fn folders_among_mathesar_s_own_data_are_refused() {
    for (name, value, why) in [
        ("media.path", "HOME", "holds Mathesar's own state folder"),
        ("media.path", "HOME/config/conf.d", "lies in Mathesar's own settings folder"),
        ("backup.directory", "HOME/state/database", "is among Mathesar's own data"),
    ] {
        let test =
            Test::new().file("state/database/PG_VERSION", "16\n").args(&["config", "set", name, value]);
        let (status, _, stderr) = test.output();
        assert!(status == 4 && stderr.contains(why), "{name} {value}: {status} {stderr}");
        assert!(!test.path("config/mathesar.conf").exists());
        // One that was there before, beside which another may still be mended.
        let (section, key) = name.split_once('.').unwrap();
        let test = test.conf(format!("[{section}]\n{key} = \"{value}\"\n")).args(&["config", "check"]);
        let (status, _, stderr) = test.output();
        assert!(status == 4 && stderr.contains(why) && stderr.contains("mathesar.conf:2:"), "{stderr}");
        let test = test.args(&["config", "set", "server.workers", "2"]);
        assert_eq!(test.output().0, 0);
        assert_eq!(test.args(&["config", "unset", name]).output().0, 0);
    }
}

/// What a start is refused for is told by `config check`, and nothing is written there.
#[test]
fn settings_that_others_may_write_are_told_and_not_written() {
    use std::os::unix::fs::PermissionsExt as _;
    let mut test = Test::new().conf("[log]\nkeep = 3\n").drop_in("1.conf", "");
    for (name, good) in [
        ("config", 0o755),
        ("config/conf.d", 0o755),
        ("config/mathesar.conf", 0o644),
        ("config/conf.d/1.conf", 0o644),
    ] {
        let path = test.path(name);
        let mode = |mode| std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        mode(0o777);
        for args in
            [&["config", "check"][..], &["config", "set", "log.keep", "4"], &["config", "unset", "log.keep"]]
        {
            test = test.args(args);
            let (status, _, stderr) = test.output();
            let said = format!("everybody can write in the settings HOME/{name} (mode 777)");
            assert!(status == 4 && stderr.contains(&said), "{args:?}: {stderr}");
            assert!(stderr.contains(&format!("`chmod o-w HOME/{name}`")), "{stderr}");
        }
        mode(good);
    }
    assert_eq!(std::fs::read_to_string(test.path("config/mathesar.conf")).unwrap(), "[log]\nkeep = 3\n");
    assert_eq!(test.args(&["config", "check"]).output().0, 0);
}
