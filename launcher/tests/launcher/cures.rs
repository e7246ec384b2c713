//! Commands that are named anywhere, pasted as they stand, mean the installation that was meant.

use std::os::unix::fs::PermissionsExt as _;
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

/// Folders of a user who is not root, who would be refused at once, or allowed everything.
struct Place {
    folder: tempfile::TempDir,
    user: Option<u32>,
}

impl Place {
    fn new() -> Place {
        let folder = tempfile::tempdir().unwrap();
        let place = Place { user: rustix::process::geteuid().is_root().then_some(65534), folder };
        // That user need not reach the folder of the build.
        let (built, program) = (env!("CARGO_BIN_EXE_mathesar"), place.folder.path().join("mathesar"));
        std::fs::hard_link(built, &program).or_else(|_| std::fs::copy(built, &program).map(drop)).unwrap();
        place.give(place.folder.path());
        place
    }

    fn give(&self, path: &Path) {
        std::os::unix::fs::chown(path, self.user, self.user).unwrap();
    }

    /// Standard output and error.
    fn said(&self, home: &Path, args: &[&str]) -> [String; 2] {
        let mut command = Command::new(self.folder.path().join("mathesar"));
        self.user.map(|user| command.uid(user).gid(user));
        command.env_clear().env("HOME", self.folder.path()).env("PATH", std::env::var_os("PATH").unwrap());
        command.current_dir(self.folder.path()).stdin(Stdio::null());
        let output = command.arg("--home").arg(home).args(args).output().unwrap();
        [output.stdout, output.stderr].map(|said| String::from_utf8(said).unwrap())
    }
}

/// Commands that would fall apart in a shell.
fn unquoted(text: &str, home: &str) -> Vec<String> {
    let commands = text.lines().flat_map(|line| line.split('`').skip(1).step_by(2));
    let bare =
        |command: &&str| command.replace(&format!("'{home}"), "").contains(home) && command.contains(' ');
    commands.filter(|command| !command.starts_with('/')).filter(bare).map(str::to_owned).collect()
}

#[test]
fn what_is_closed_is_named_as_a_shell_reads_it() {
    let place = Place::new();
    let home = place.folder.path().join("it is closed");
    for (closed, args) in [
        ("config", &["config", "show"][..]),
        ("config", &["config", "check"]),
        ("config", &["plan"]),
        ("log", &["logs"]),
        ("state", &["doctor"]),
    ] {
        let folder = home.join(closed);
        std::fs::create_dir_all(folder.join("conf.d")).unwrap();
        place.give(&home);
        place.give(&folder);
        let mode = |mode| std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(mode)).unwrap();
        mode(0);
        let said = place.said(&home, args).concat();
        mode(0o700);
        assert!(said.contains(&format!("`chmod u+rwx '{}'`", folder.display())), "{args:?}: {said}");
        assert!(!said.contains("has not run here") && !said.contains("is missing"), "{args:?}: {said}");
    }
}

#[test]
fn every_command_bears_the_options() {
    let place = Place::new();
    let folder = &place.folder;
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
            place.give(&home);
            place.give(&home.join("config"));
            place.give(&home.join("config/mathesar.conf"));
        }
        let options = format!("--home '{}' ", home.display());
        for args in COMMANDS {
            for said in place.said(&home, args) {
                let lacking = unaddressed(&said, &options);
                assert!(lacking.is_empty(), "{args:?} in {name}: {lacking:#?}\n{said}");
                let open = unquoted(&said, &home.display().to_string());
                assert!(open.is_empty(), "{args:?} in {name}: {open:#?}\n{said}");
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
