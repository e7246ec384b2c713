//! Commands that are named anywhere, pasted as they stand, mean the installation that was meant.

use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

/// Those of our commands in a text that lack the options; a process (`mathesar run` (pid 7)) is told by its command, too.
fn unaddressed(text: &str, options: &str) -> Vec<String> {
    let names: Vec<String> = mathesar_commands();
    let mut found = Vec::new();
    for (mark, end) in [("`mathesar ", '`'), ("help: mathesar ", '\n'), ("mathesar mathesar ", '`')] {
        for (at, _) in text.match_indices(mark) {
            let rest = &text[at + mark.len()..];
            let command = rest.split(end).next().unwrap();
            let is_process = rest[command.len()..].starts_with("` (pid ");
            let first = command.split_whitespace().next().unwrap_or_default();
            if names.iter().any(|name| name == first) && !command.starts_with(options) && !is_process {
                found.push(format!("{mark}{command}"));
            }
        }
    }
    found
}

/// As the program itself names them.
fn mathesar_commands() -> Vec<String> {
    let help = Command::new(env!("CARGO_BIN_EXE_mathesar")).env_clear().arg("--help").output().unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    let list = help.split("Commands:\n").nth(1).unwrap().split("\n\n").next().unwrap();
    let names = list.lines().filter_map(|line| line.strip_prefix("  ")?.split(' ').next());
    names.filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

/// Each of these says something else in an empty folder and in one with mistakes; none starts anything.
const COMMANDS: &[&[&str]] = &[
    &["status"],
    &["status", "--json"],
    &["doctor"],
    &["doctor", "--json"],
    &["plan"],
    &["plan", "--json"],
    &["autostart", "status"],
    &["autostart", "status", "--json"],
    &["autostart", "on", "--json"],
    &["logs"],
    &["stop"],
    &["open"],
    &["app", "list"],
    &["app", "verify"],
    &["app", "use", "9.9.9"],
    &["app", "prune"],
    &["backup", "list"],
    &["backup", "verify"],
    &["backup", "verify", "--json"],
    &["backup", "create"],
    &["db", "status"],
    &["db", "status", "--json"],
    &["db", "url"],
    &["db", "shell"],
    &["db", "stop"],
    &["admin", "create", "ada"],
    &["config", "check"],
    &["config", "check", "--json"],
    &["config", "get", "server"],
    &["config", "set", "server.listn", "1"],
    &["config", "set", "python.interpreter", "/no/such/python"],
    &["restore", "none.tar"],
    &["rollback"],
    &["upgrade", "--to", "9.9.9"],
    &["proxy", "nginx", "--domain", "a.example"],
    &["uninstall", "--yes"],
];

#[test]
fn every_command_bears_the_options() {
    let folder = tempfile::tempdir().unwrap();
    // As root much is refused at once; this user need not reach the folder of the build.
    let user = rustix::process::geteuid().is_root().then_some(65534);
    let give = |path: &Path| std::os::unix::fs::chown(path, user, user).unwrap();
    let program = folder.path().join("mathesar");
    let built = env!("CARGO_BIN_EXE_mathesar");
    std::fs::hard_link(built, &program).or_else(|_| std::fs::copy(built, &program).map(drop)).unwrap();
    give(folder.path());
    let mut seen = 0;
    for (name, conf) in [
        ("an empty one", ""),
        ("a wrong one", "[server]\nlisten = 7\nworkrs = 2\n[database]\npassword = \"x\"\n"),
        ("an external one", "[database]\nurl = \"postgresql://me@127.0.0.1:1/m\"\nsslmode = \"disable\"\n"),
    ] {
        let home = folder.path().join(name);
        if !conf.is_empty() {
            std::fs::create_dir_all(home.join("config")).unwrap();
            std::fs::write(home.join("config/mathesar.conf"), conf).unwrap();
            give(&home);
            give(&home.join("config"));
            give(&home.join("config/mathesar.conf"));
        }
        let options = format!("--home '{}' ", home.display());
        for args in COMMANDS {
            let mut command = Command::new(&program);
            user.map(|user| command.uid(user).gid(user));
            command.env_clear().env("HOME", folder.path()).env("PATH", std::env::var_os("PATH").unwrap());
            command.current_dir(folder.path()).stdin(Stdio::null());
            let output = command.arg("--home").arg(&home).args(*args).output().unwrap();
            for said in [output.stdout, output.stderr] {
                let said = String::from_utf8(said).unwrap();
                let lacking = unaddressed(&said, &options);
                assert!(lacking.is_empty(), "{args:?} in {name}: {lacking:#?}\n{said}");
                seen += said.matches(&format!("mathesar {options}")).count();
            }
        }
    }
    assert!(seen > 100, "only {seen} commands were named: is anything asked here still answered?");
}

#[test]
fn one_that_lacks_them_is_seen() {
    let text =
        "`mathesar status`, `mathesar --home '/a b' stop`, `mathesar run` (pid 7)\nhelp: mathesar logs\n";
    assert_eq!(unaddressed(text, "--home '/a b' "), ["`mathesar status", "help: mathesar logs"]);
}
