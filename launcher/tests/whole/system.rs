//! The system's installation, without an init: in a mount namespace where /etc/passwd knows a user `mathesar`.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};

use mathesar::process::User;
use rustix::process::Signal;

use crate::harness::{Home, Output, PATIENCE};
use crate::http::request;
use crate::machine;
use crate::visitors::{Address, ask, form, get};

/// With these two files instead of the machine's.
macro_rules! enter {
    () => {
        "mount --make-rprivate / && mount --bind \"$1/passwd\" /etc/passwd && mount --bind \"$1/group\" /etc/group && "
    };
}
pub const ENTER: &str = concat!(enter!(), "shift && exec \"$@\"");
/// As ProcSubset=pid of the unit.
const ENTER_WITHOUT_NET: &str =
    concat!(enter!(), "mount -t proc -o subset=pid proc /proc && shift && exec \"$@\"");

/// The home's launcher as root would call it; it becomes `mathesar` by itself.
pub fn command(home: &Home, enter: &str, args: &[&str]) -> Command {
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-ec", enter, "sh"]).arg(home.folder());
    command.arg(home.program()).arg("--system").args(args);
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default()).current_dir("/");
    for (name, folder) in [
        ("CONFIGURATION_DIRECTORY", &home.layout.config),
        ("STATE_DIRECTORY", &home.layout.state),
        ("CACHE_DIRECTORY", &home.layout.cache),
        ("RUNTIME_DIRECTORY", &home.layout.run),
    ] {
        command.env(name, folder);
    }
    command.stdin(Stdio::null());
    command
}

pub fn mathesar(home: &Home, args: &[&str]) -> Output {
    let output = command(home, ENTER, args).output().unwrap();
    Output {
        status: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

pub fn run(home: &Home, enter: &str, log: &str) -> Child {
    let words = fs::File::create(home.folder().join(log)).unwrap();
    command(home, enter, &["run"]).stdout(Stdio::null()).stderr(words).process_group(0).spawn().unwrap()
}

pub fn stop(home: &Home, mut child: Child) {
    machine::signal(child.id() as i32, Signal::TERM);
    assert!(child.wait().unwrap().success());
    home.nobody_left();
}

/// The machine's own, with this one as `mathesar`: instead of its name, and of a real `mathesar`, whose package may be installed.
fn passwd(machine: &str, user: User) -> String {
    let others = machine.lines().filter(|line| {
        let mut fields = line.split(':');
        fields.next() != Some("mathesar") && fields.nth(1) != Some(&user.uid.to_string())
    });
    let own = format!("mathesar:x:{}:{}::/:/usr/sbin/nologin", user.uid, user.gid);
    others.chain([own.as_str()]).map(|line| format!("{line}\n")).collect()
}

/// Likewise; the other names of this number stay, as files show them.
fn group(machine: &str, user: User) -> String {
    let others = machine.lines().filter(|line| line.split(':').next() != Some("mathesar"));
    let own = format!("mathesar:x:{}:", user.gid);
    others.chain([own.as_str()]).map(|line| format!("{line}\n")).collect()
}

#[test]
fn a_real_service_user_steps_aside() {
    let user = User { uid: 65534, gid: 65534 };
    let machine = "root:x:0:0::/root:/bin/sh\nmathesar:x:995:993::/var/lib/mathesar:/bin/sh\nnobody:x:65534:65534::/:/bin/sh\n";
    assert_eq!(
        passwd(machine, user),
        "root:x:0:0::/root:/bin/sh\nmathesar:x:65534:65534::/:/usr/sbin/nologin\n"
    );
    let machine = "mathesar:x:993:\nnogroup:x:65534:\n";
    assert_eq!(group(machine, user), "nogroup:x:65534:\nmathesar:x:65534:\n");
}

pub fn system() -> Option<Home> {
    if !rustix::process::geteuid().is_root() {
        println!("not run: only root can make a mount namespace");
        return None;
    }
    let mut home = Home::installed()?;
    let user = home.user?;
    let read = |path: &str| fs::read_to_string(path).unwrap();
    fs::write(home.folder().join("passwd"), passwd(&read("/etc/passwd"), user)).unwrap();
    fs::write(home.folder().join("group"), group(&read("/etc/group"), user)).unwrap();
    home.layout.database_socket = home.layout.run.clone();
    let tried = mathesar(&home, &["layout"]);
    if tried.status != 0 {
        println!("not run: no mount namespace: {}", tried.stderr);
        return None;
    }
    Some(home)
}

/// Until the application answers; before it does, nobody may be led to the first page.
#[track_caller]
pub fn ready(home: &Home) {
    home.until("the login page answers", || {
        let answer = request(home.port, "GET /auth/login/ HTTP/1.1", b"", PATIENCE);
        let status = answer.map_or(0, |answer| answer.status);
        assert!([0, 200, 503].contains(&status), "{status}");
        status == 200
    });
    // Until it has looked for itself, visitors may still be shown the page of before.
    home.until("it says so", || {
        mathesar(home, &["status", "--json"]).stdout.contains("\"state\": \"running\"")
    });
}

/// What the administrator of this password is answered: the status, and the text.
#[track_caller]
fn log_in(home: &Home, password: &str) -> (u16, String) {
    let who = crate::http::base64(format!("admin:{password}").as_bytes());
    let head =
        format!("POST /api/rpc/v0/ HTTP/1.1\r\nAuthorization: Basic {who}\r\nContent-Type: application/json");
    let body = r#"{"jsonrpc": "2.0", "id": 1, "method": "databases.configured.list", "params": {}}"#;
    let answer = crate::http::request(home.port, &head, body.as_bytes(), PATIENCE);
    let answer = answer.unwrap_or_else(|| {
        panic!("no answer\n{}", fs::read_to_string(home.folder().join("first.log")).unwrap())
    });
    (answer.status, answer.body)
}

#[test]
fn the_administrator_is_there_before_the_port_answers() {
    let Some(home) = system() else { return };
    // Reachable from everywhere, from the first moment on.
    home.conf(&format!("[server]\nlisten = \"0.0.0.0:{}\"\nhosts = [\"*\"]\n", home.port));
    let running = run(&home, ENTER, "first.log");
    ready(&home);
    let said = fs::read_to_string(home.folder().join("first.log")).unwrap();
    let file = home.layout.state.join("secrets/initial-admin-password");
    assert!(said.contains(&format!("one-time password in {}", file.display())), "{said}");
    let meta = fs::metadata(&file).unwrap();
    assert_eq!((meta.mode() & 0o777, Some(meta.uid())), (0o600, home.user.map(|user| user.uid)));
    let password = fs::read_to_string(&file).unwrap();
    let (status, body) = log_in(&home, &password);
    assert!(status == 200 && body.contains("\"result\""), "{status} {body}\n{}", home.log());
    assert!(!said.contains(&password), "{said}");

    // Root's own file, which the service's user cannot read.
    let secret = home.folder().join("secret");
    fs::write(&secret, "correct-horse\n").unwrap();
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).unwrap();
    let option = format!("--password-file={}", secret.display());
    let reset = mathesar(&home, &["admin", "reset-password", "admin", &option]);
    assert_eq!(reset.status, 0, "{reset:?}");
    assert_eq!((log_in(&home, "correct-horse").0, log_in(&home, &password).0), (200, 401));
    assert!(!file.exists(), "it opens nothing any more");
    let made = mathesar(&home, &["admin", "create", "--username", "ada", &option]);
    assert_eq!(made.status, 0, "{made:?}");
    stop(&home, running);

    // Nobody is made where somebody is.
    let running = run(&home, ENTER, "second.log");
    ready(&home);
    let names = "SELECT string_agg(username, ' ' ORDER BY username) FROM mathesar_user";
    assert_eq!(home.sql("mathesar_django", names), "ada admin");
    assert!(!file.exists());
    stop(&home, running);
}

#[test]
fn where_nobody_can_be_told_apart_nobody_sees_the_first_page() {
    let Some(home) = system() else { return };
    let running = run(&home, ENTER_WITHOUT_NET, "log");
    ready(&home);
    // Somebody has taken the administrator away.
    home.sql("mathesar_django", "UPDATE mathesar_user SET is_superuser = false");
    let here = Address::ipv4(home.port);
    for visitor in [home.user, None] {
        assert_eq!(get(visitor, &here, "/auth/login/").0, 302);
        assert_eq!(get(visitor, &here, "/complete_installation/").0, 403);
        assert_eq!(ask(visitor, &here, &form("mallory", "correct-horse")).0, 403);
    }
    stop(&home, running);
    // The next start is told what is the matter, not the visitors.
    let mut refused = run(&home, ENTER, "log");
    assert_eq!(refused.wait().unwrap().code(), Some(4));
    let said = fs::read_to_string(home.folder().join("log")).unwrap();
    assert!(said.contains("there is a user `admin` already") && said.contains("--username NAME"), "{said}");
    home.nobody_left();
}

/// Root tells who holds a port that the service's user cannot look behind, and writes where that user may not.
#[test]
fn doctor_looks_as_the_service_user_and_tells_what_only_root_can_read() {
    let Some(home) = system() else { return };
    let listener = std::net::TcpListener::bind(("127.0.0.1", home.port)).unwrap();
    let before = machine::tree(&home.layout.state);
    let output = mathesar(&home, &["doctor", "--json"]);
    let report: serde_json::Value = serde_json::from_str(&output.stdout).unwrap();
    let text = |id: &str| {
        let checks = report["checks"].as_array().unwrap();
        checks.iter().find(|check| check["id"] == id).unwrap()["text"].as_str().unwrap().to_owned()
    };
    assert_eq!(output.status, 1, "{output:?}");
    assert!(text("port").ends_with(&format!("(pid {})", std::process::id())), "{}", text("port"));
    assert!(text("places").contains("ours alone"), "{}", text("places"));
    assert_eq!(machine::tree(&home.layout.state), before, "`doctor` has changed something");

    let roots = home.folder().join("roots");
    fs::create_dir(&roots).unwrap();
    fs::set_permissions(&roots, fs::Permissions::from_mode(0o700)).unwrap();
    let bundle = roots.join("report.tar.gz");
    let path = bundle.to_str().unwrap();
    let output = mathesar(&home, &["doctor", "--bundle", path]);
    assert_eq!(output.status, 1, "{output:?}");
    assert!(output.stderr.contains(&format!("Wrote {path}")), "{output:?}");
    let found = fs::metadata(&bundle).unwrap();
    assert_eq!((found.uid(), found.mode() & 0o777), (0, 0o600));
    let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(fs::File::open(&bundle).unwrap()));
    assert_eq!(archive.entries().unwrap().count(), 10);
    assert_eq!(mathesar(&home, &["doctor", "--bundle", path]).status, 4);
    assert_eq!(fs::read_dir(&roots).unwrap().count(), 1, "something is left beside");
    drop(listener);
    assert!(mathesar(&home, &["doctor"]).stdout.contains(&format!("127.0.0.1:{} is free", home.port)));
}

/// Root writes where the service's user cannot, and nobody else reads it there.
#[test]
fn root_puts_a_backup_where_the_service_user_cannot_write() {
    let Some(home) = system() else { return };
    let running = run(&home, ENTER, "log");
    ready(&home);
    let roots = home.folder().join("roots");
    fs::create_dir(&roots).unwrap();
    fs::set_permissions(&roots, fs::Permissions::from_mode(0o700)).unwrap();
    let to = roots.to_str().unwrap();
    let made = mathesar(&home, &["backup", "create", "--json", "--note", "a b", "--to", to]);
    assert_eq!(made.status, 0, "{made:?}");
    let made: serde_json::Value = serde_json::from_str(&made.stdout).unwrap();
    let path = made["path"].as_str().unwrap();
    assert!(path.starts_with(to), "{path}");
    let found = fs::metadata(path).unwrap();
    assert_eq!((found.uid(), found.mode() & 0o777), (0, 0o600));
    assert_eq!(fs::read_dir(&roots).unwrap().count(), 1, "something is left beside");
    let verified = mathesar(&home, &["backup", "verify", path]);
    assert_eq!(verified.status, 0, "{verified:?}");
    assert!(verified.stdout.contains("a good backup"), "{verified:?}");

    // A second one, and one that fails: by a link that leads elsewhere.
    let again = mathesar(&home, &["backup", "create", "--to", to]);
    assert_eq!(again.status, 0, "{again:?}");
    assert_eq!(fs::read_dir(&roots).unwrap().count(), 2);
    let refused = mathesar(&home, &["backup", "create", "--to", "/nonexistent/folder"]);
    assert_eq!(refused.status, 2, "{refused:?}");
    // Without `--to` it is the service's user's own.
    let own = mathesar(&home, &["backup", "create", "--json"]);
    assert_eq!(own.status, 0, "{own:?}");
    let own: serde_json::Value = serde_json::from_str(&own.stdout).unwrap();
    assert!(own["path"].as_str().unwrap().starts_with(home.layout.state.join("backups").to_str().unwrap()));
    stop(&home, running);
}

/// Root names an archive that the service's user may not read; that user does the rest.
#[test]
fn root_restores_a_backup_that_the_service_user_cannot_read() {
    let Some(home) = system() else { return };
    let mut running = run(&home, ENTER, "log");
    ready(&home);
    let roots = home.folder().join("roots");
    fs::create_dir(&roots).unwrap();
    fs::set_permissions(&roots, fs::Permissions::from_mode(0o700)).unwrap();
    let made = mathesar(&home, &["backup", "create", "--json", "--to", roots.to_str().unwrap()]);
    assert_eq!(made.status, 0, "{made:?}");
    let made: serde_json::Value = serde_json::from_str(&made.stdout).unwrap();
    let path = made["path"].as_str().unwrap();
    home.sql("mathesar_django", "UPDATE mathesar_user SET email = 'since@example.org'");
    let refused = mathesar(&home, &["restore", path]);
    assert_eq!(refused.status, 4, "{refused:?}");
    let restored = mathesar(&home, &["restore", "--yes", path]);
    assert_eq!(restored.status, 0, "{restored:?}");
    // The one that ran in the foreground has ended; another runs in the background.
    running.wait().unwrap();
    let status = mathesar(&home, &["status", "--json"]);
    assert_eq!(status.status, 0, "{status:?}");
    assert_eq!(home.sql("mathesar_django", "SELECT count(*) FROM mathesar_user WHERE email <> ''"), "0");
    let root_owned = fs::metadata(home.layout.state.join("database/data")).unwrap().uid();
    assert_ne!(root_owned, 0);
    let stopped = mathesar(&home, &["stop"]);
    assert_eq!(stopped.status, 0, "{stopped:?}");
    home.nobody_left();
}
