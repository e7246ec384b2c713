//! `mathesar admin`

use std::fs;
use std::io::Write as _;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};

use crate::harness::{Home, Output, PATIENCE};
use crate::http::call;

/// With everything in it that a shell, a connection string or JSON could stumble over.
const PASSWORD: &str = "p'a\"s$s\\w o)r#d-ä";

/// A command with this on its standard input.
fn with_input(home: &Home, args: &[&str], input: &str) -> Output {
    let mut child = home
        .launcher(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // One that refuses its arguments reads nothing.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    let output = child.wait_with_output().unwrap();
    Output {
        status: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: home.without_options(&String::from_utf8(output.stderr).unwrap()),
    }
}

fn create(home: &Home, name: &str, password: &str) -> Output {
    with_input(home, &["admin", "create", "--username", name, "--password-file", "-"], password)
}

fn reset(home: &Home, name: &str, password: &str) -> Output {
    with_input(home, &["admin", "reset-password", name, "--password-file", "-"], password)
}

/// Whether the running application takes this password for an administrator's.
fn gets_in(home: &Home, name: &str, password: &str) -> bool {
    let made =
        call(home.port, &format!("{name}:{password}"), "databases.configured.list", &json!({}), PATIENCE);
    // Somebody who may not come in gets another answer than somebody who asks for too much.
    made.is_some_and(|result| result.is_ok())
}

#[track_caller]
fn fails(output: &Output, status: i32, says: &[&str]) {
    assert_eq!(output.status, status, "{output:?}");
    assert_eq!(output.stdout, "");
    for said in says {
        assert!(output.stderr.contains(said), "{said}: {}", output.stderr);
    }
}

/// Looks at every command line and environment of the machine for as long as it lives.
struct Watch<'a>(&'a AtomicBool);

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

fn shown_to_the_machine(secret: &str, end: &AtomicBool) -> Vec<String> {
    let mut found = Vec::new();
    while !end.load(Ordering::SeqCst) {
        for entry in fs::read_dir("/proc").unwrap().flatten() {
            for file in ["cmdline", "environ"] {
                let text = fs::read(entry.path().join(file)).unwrap_or_default();
                if String::from_utf8_lossy(&text).contains(secret) {
                    found.push(format!("{}/{file}", entry.path().display()));
                }
            }
        }
    }
    found
}

#[test]
fn while_mathesar_does_not_run() {
    let Some(home) = Home::installed() else { return };
    let end = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let seen = scope.spawn(|| shown_to_the_machine(PASSWORD, &end));
        let _watch = Watch(&end);
        let made = create(&home, "ada", &format!("{PASSWORD}\n"));
        assert_eq!((made.status, made.stdout.as_str()), (0, ""), "{made:?}");
        assert!(made.stderr.contains("Created the administrator `ada`"), "{made:?}");
        drop(_watch);
        assert_eq!(seen.join().unwrap(), Vec::<String>::new());
    });
    home.nobody_left();
    home.ok(&["start"]);
    assert_eq!(home.get("/auth/login/").0, 200);
    assert!(gets_in(&home, "ada", PASSWORD) && !gets_in(&home, "ada", "correct-horse"));
    home.ok(&["stop"]);
    let file = home.folder().join("home/password");
    home.write(&file, "another-horse\r\n");
    home.ok(&["admin", "reset-password", "ada", "--password-file", &file.display().to_string()]);
    home.nobody_left();
    home.ok(&["start"]);
    assert!(gets_in(&home, "ada", "another-horse") && !gets_in(&home, "ada", PASSWORD));
    for secret in [PASSWORD, "another-horse"] {
        assert!(!home.log().contains(secret));
    }
}

#[test]
fn while_mathesar_runs() {
    let Some(home) = Home::prepared() else { return };
    home.ok(&["start"]);
    // PostgreSQL's own helpers come and go.
    let lasting = || (home.pids(" run --background"), home.pids("-m gunicorn"));
    let processes = lasting();
    let made = create(&home, "ada", PASSWORD);
    assert_eq!(made.status, 0, "{made:?}");
    assert_eq!(lasting(), processes, "something was restarted");
    assert!(gets_in(&home, "ada", PASSWORD));

    fails(
        &create(&home, "ada", "another-horse"),
        4,
        &["there is a user `ada` already", "`mathesar admin reset-password ada`"],
    );
    fails(
        &reset(&home, "bob", "another-horse"),
        4,
        &["there is no user `bob`", "help: administrators are: ada"],
    );
    // The validators that the application has chosen.
    for wrong in [&create(&home, "eve", "x7!"), &reset(&home, "ada", "x7!")] {
        fails(wrong, 4, &["Mathesar refuses this name or password", "This password is too short."]);
    }
    fails(&create(&home, "eve", "password123"), 4, &["This password is too common."]);
    fails(&create(&home, "eve%", "another-horse"), 4, &["Enter a valid username."]);
    fails(&create(&home, &"e".repeat(200), "another-horse"), 4, &["has at most"]);
    fails(&create(&home, "ADA", "another-horse"), 4, &["already exists"]);
    let address = ["admin", "create", "--username", "eve", "--email", "nonsense", "--password-file", "-"];
    fails(&with_input(&home, &address, "another-horse"), 4, &["Enter a valid email address."]);
    // Wrong usage, before anything is done.
    for name in ["", " eve", "e\nve", "\u{1b}[2J"] {
        fails(&create(&home, name, "another-horse"), 2, &["the user name"]);
    }
    fails(&create(&home, "eve", ""), 4, &["standard input must hold one line: the password"]);
    fails(&create(&home, "eve", "one-horse\ntwo-horses\n"), 4, &["must hold one line"]);
    let said = [
        "there is no terminal",
        "`mathesar admin create --username ada --generate`",
        "`mathesar admin create --username ada --password-file password.txt`",
    ];
    fails(&home.mathesar(&["admin", "create", "--username", "ada"]), 2, &said);
    let absent = ["admin", "create", "--password-file", "/nonexistent/password"];
    fails(&home.mathesar(&absent), 1, &["cannot read /nonexistent/password"]);
    fails(&home.mathesar(&["admin", "create", "--password", "correct-horse"]), 2, &["unexpected argument"]);
    assert!(gets_in(&home, "ada", PASSWORD));
    assert_eq!(home.sql("mathesar_django", "SELECT string_agg(username, ',') FROM mathesar_user"), "ada");

    // A second one, with a password that nobody thinks of.
    let made = home.ok(&["admin", "create", "--username", "ida", "--email", "ida@example.org", "--generate"]);
    let password = made.stdout.trim_end();
    assert!(password.len() == 23 && !made.stderr.contains(password), "{made:?}");
    assert!(gets_in(&home, "ida", password));
    let again = home.ok(&["admin", "reset-password", "ida", "--generate"]);
    assert!(!gets_in(&home, "ida", password) && gets_in(&home, "ida", again.stdout.trim_end()));

    // A user whom somebody has made powerless.
    home.sql(
        "mathesar_django",
        "UPDATE mathesar_user SET is_superuser = false, is_active = false WHERE username = 'ida'",
    );
    let made = reset(&home, "ida", "fourth-horse");
    assert!(made.stderr.contains("of the user `ida`") && made.stderr.contains("was disabled"), "{made:?}");
    fails(
        &create(&home, "ida", "fifth-horse"),
        4,
        &["it is no administrator", "`mathesar admin create --username NAME`"],
    );
    for secret in [PASSWORD, password, "fourth-horse"] {
        assert!(!home.log().contains(secret));
    }
}

#[test]
fn a_start_that_is_under_way_is_waited_for() {
    let Some(home) = Home::prepared() else { return };
    let mut start = home.spawn("start", &["start"]);
    home.until("a launcher runs", || home.status()["pid"].is_u64());
    let made = create(&home, "ada", PASSWORD);
    assert_eq!(made.status, 0, "{made:?}");
    assert!(start.wait().unwrap().success(), "{}", home.words("start"));
    assert!(gets_in(&home, "ada", PASSWORD));
}

/// Types these words at the questions of a command.
fn at_a_terminal(home: &Home, words: &[&str], args: &[&str]) -> Value {
    let mut command = home.command("python3".as_ref());
    command.args(["-I", "-c", include_str!("terminal.py"), &json!(words).to_string()]);
    let launcher = home.launcher(args);
    command.arg(launcher.get_program()).args(launcher.get_args());
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn a_person_is_asked_and_nobody_reads_along() {
    let Some(home) = Home::prepared() else { return };
    home.ok(&["start"]);
    let typed = format!("{PASSWORD}\n");
    let said = at_a_terminal(&home, &["ada\n", &typed, &typed], &["admin", "create"]);
    assert_eq!(said["status"], 0, "{said}");
    let shown = said["shown"].as_str().unwrap();
    assert!(shown.contains("user name [admin]: ") && shown.contains("Password for ada: "), "{shown}");
    assert!(!shown.contains(PASSWORD), "{shown}");
    assert_eq!(said["echo"], json!([true, false, true]), "before, at the password, afterwards");
    assert!(gets_in(&home, "ada", PASSWORD));

    let differs = at_a_terminal(&home, &["one-horse\n", "two-horses\n"], &["admin", "reset-password", "ada"]);
    assert_eq!(differs["status"], 2, "{differs}");
    assert!(differs["shown"].as_str().unwrap().contains("the two passwords are not the same"), "{differs}");
    assert_eq!(differs["echo"], json!([true, false, true]));

    // Ctrl-C and Ctrl-D, at the second question.
    let (interrupt, end) = (2, "there was no answer");
    let stopped = at_a_terminal(&home, &["one-horse\n", "\u{3}"], &["admin", "reset-password", "ada"]);
    assert_eq!(stopped["status"], -interrupt, "{stopped}");
    assert_eq!(stopped["echo"], json!([true, false, true]), "the terminal was left dark");
    let ended = at_a_terminal(&home, &["one-horse\n", "\u{4}"], &["admin", "reset-password", "ada"]);
    assert_eq!(ended["status"], 2, "{ended}");
    assert!(ended["shown"].as_str().unwrap().contains(end), "{ended}");
    assert_eq!(ended["echo"], json!([true, false, true]));
    assert!(gets_in(&home, "ada", PASSWORD));
}
