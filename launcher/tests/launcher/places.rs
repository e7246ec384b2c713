//! `layout`, and which installation is meant.

use crate::Test;

#[test]
fn one_folder() {
    Test::new()
        .args(&["layout"])
        .stdout(
            "scope                  home
config                 HOME/config
config-file            HOME/config/mathesar.conf
config-written-by-set  HOME/config/mathesar.conf
state                  HOME/state
app                    HOME/state/app
tools                  HOME/state/tools
database               HOME/state/database
database-socket        HOME/state/socket
media                  HOME/state/media
backups                HOME/state/backups
secrets                HOME/state/secrets
lock                   HOME/state/lock
cache                  HOME/cache
run                    HOME/run
control-socket         HOME/run/control.sock
logs                   HOME/log
",
        )
        .run();
}

#[test]
fn the_system_as_json() {
    let (status, stdout, _) =
        Test::new().bare().args(&["--system", "--instance", "blue", "layout", "--json"]).output();
    let json: serde_json::Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!((status, &json["scope"], &json["instance"]), (0, &"system".into(), &"blue".into()));
    assert_eq!(json["config-written-by-set"], "/etc/mathesar/blue/conf.d/90-local.conf");
    assert!(json["logs"].is_null());
}

#[test]
fn variables_say_the_same_as_options() {
    let path = |test: Test| test.bare().args(&["config", "path"]).output().1;
    assert_eq!(path(Test::new().env("MATHESAR_HOME", "HOME/x")), "HOME/x/config/mathesar.conf\n");
    let both = Test::new().env("MATHESAR_HOME", "HOME/x").env("MATHESAR_INSTANCE", "blue");
    assert_eq!(path(both), "HOME/x/config/blue/mathesar.conf\n");
    let overruled = Test::new().env("MATHESAR_HOME", "HOME/x").bare().args(&["--system", "config", "path"]);
    assert_eq!(overruled.output().1, "/etc/mathesar/mathesar.conf\n");
}

#[test]
fn a_user_s_own() {
    Test::new()
        .bare()
        .env("XDG_CONFIG_HOME", "HOME/c")
        .env("HOME", "/home/ada")
        .args(&["--user", "config", "path"])
        .stdout("HOME/c/mathesar/mathesar.conf\n")
        .run();
}

#[test]
fn bad_instance_names_are_usage_errors() {
    Test::new()
        .args(&["--instance", "../x", "layout"])
        .status(2)
        .stderr(
            "error: invalid value '../x' for '--instance <NAME>': use lower-case letters, digits and `-` between them

For more information, try '--help'.
",
        )
        .run();
    Test::new()
        .env("MATHESAR_INSTANCE", "secrets")
        .args(&["layout"])
        .status(2)
        .stderr(
            "error: `secrets` in MATHESAR_INSTANCE is no name of an instance: the default instance has a folder of this name
help: unset it: `unset MATHESAR_INSTANCE`
",
        )
        .run();
}

#[test]
fn home_and_system_exclude_each_other() {
    let (status, _, stderr) = Test::new().args(&["--system", "layout"]).output();
    assert_eq!(status, 2);
    assert!(stderr.contains("cannot be used with"), "{stderr}");
}

/// `cargo xtask pin` raises it.
const VERSION: &str = env!("CARGO_PKG_VERSION");

#[test]
fn version() {
    Test::new().bare().args(&["-V"]).stdout(&format!("mathesar {VERSION}\n")).run();
    let long = format!("mathesar {VERSION}\nMathesar {VERSION} (pinned)\n");
    Test::new().bare().args(&["--version"]).stdout(&long).run();
}

#[test]
fn an_option_after_the_sub_command_is_told_where_it_goes() {
    let tip = "tip: '--home' goes before the sub-command: 'mathesar --home …'";
    for option in ["--home", "--home=x"] {
        let (status, _, stderr) = Test::new().bare().args(&["config", "path", option]).output();
        assert!(status == 2 && stderr.contains(tip), "{stderr}");
    }
    let (status, _, stderr) = Test::new().bare().args(&["config", "path", "--homes"]).output();
    assert!(status == 2 && !stderr.contains("goes before"), "{stderr}");
}

#[test]
fn no_command_is_a_usage_error() {
    assert_eq!(Test::new().bare().output().0, 2);
    assert_eq!(Test::new().args(&["config"]).output().0, 2);
    assert_eq!(Test::new().args(&["dance"]).output().0, 2);
}

#[test]
fn long_help_tells_exit_codes_files_and_environment() {
    let (status, stdout, _) = Test::new().bare().args(&["--help"]).output();
    assert_eq!(status, 0);
    for part in
        ["Exit codes:", "4  refused", "/etc/mathesar/mathesar.conf", "MATHESAR_HOME", "--instance <NAME>"]
    {
        assert!(stdout.contains(part), "{part}");
    }
}

#[test]
fn the_package_s_pin_wins_and_a_broken_one_is_told() {
    let own = format!("version = \"{VERSION}\"");
    let release = include_str!("../../release.toml").replace(&own, "version = \"9.9.9\"");
    let test = Test::new().file("share/mathesar/release.toml", release).file("bin/x", "");
    let binary = test.path("bin/mathesar");
    std::fs::copy(env!("CARGO_BIN_EXE_mathesar"), &binary).unwrap();
    let version = || {
        let output = std::process::Command::new(&binary).arg("--version").output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    let pin = test.path("share/mathesar/release.toml").canonicalize().unwrap();
    assert_eq!(version(), format!("mathesar {VERSION}\nMathesar 9.9.9 (pinned by {})\n", pin.display()));
    std::fs::write(&pin, "broken").unwrap();
    assert_eq!(version(), format!("mathesar {VERSION}\nMathesar: cannot understand {}\n", pin.display()));
}
