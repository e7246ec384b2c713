//! Root at a terminal, and programs of the service's user that would like to type on it.

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

use rustix::fs::{Mode, OFlags};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

use crate::harness::Home;
use crate::system::{ENTER, command, ready, run, stop, system};

/// Types into whatever terminal it finds, and tells which one it belongs to.
const TYPIST: &str = r#"import fcntl, os, sys, termios
told = []
for place in ("/dev/tty", 0, 1, 2):
    try:
        fd = os.open(place, os.O_RDWR) if isinstance(place, str) else place
        for letter in b"injected\n":
            fcntl.ioctl(fd, termios.TIOCSTI, bytes([letter]))
        told.append("typed on %s" % place)
    except OSError as error:
        told.append("%s: %s" % (place, error))
told.append("tty %s" % open("/proc/self/stat").read().rsplit(")", 1)[1].split()[4])
with open(LOG, "a") as log:
    log.write("\n".join(told) + "\n")
os.execv(REAL, [REAL] + sys.argv[1:])
"#;

struct Terminal {
    master: fs::File,
    said: Arc<Mutex<String>>,
    /// As the kernel numbers it.
    number: u64,
    child: Child,
}

impl Terminal {
    /// As root's shell has it: the first process of a session on this terminal.
    fn begin(mut inside: Command, after: &str) -> Terminal {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let name = ptsname(&master, Vec::new()).unwrap();
        let slave = rustix::fs::open(&*name, OFlags::RDWR | OFlags::NOCTTY, Mode::empty()).unwrap();
        // psql shows a long answer page by page.
        let size = Winsize { ws_row: 50, ws_col: 120, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(&slave, size).unwrap();
        let number = rustix::fs::fstat(&slave).unwrap().st_rdev;
        let copy = |fd: &OwnedFd| Stdio::from(fd.try_clone().unwrap());
        let mut command = Command::new("setsid");
        command.args(["--ctty", "--wait", "sh", "-c", &format!("\"$@\"; echo \"code $?\"; {after}"), "sh"]);
        command.arg(inside.get_program()).args(inside.get_args()).env_clear();
        command.envs(inside.get_envs().filter_map(|(name, value)| Some((name, value?)))).env("TERM", "xterm");
        command.stdin(copy(&slave)).stdout(copy(&slave)).stderr(copy(&slave)).current_dir("/");
        inside.stdin(Stdio::null());
        let child = command.spawn().unwrap();
        let master = fs::File::from(master);
        let said = Arc::new(Mutex::new(String::new()));
        let (mut reader, heard) = (master.try_clone().unwrap(), said.clone());
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(count @ 1..) = reader.read(&mut buffer) {
                heard.lock().unwrap().push_str(&String::from_utf8_lossy(&buffer[..count]));
            }
        });
        Terminal { master, said, number, child }
    }

    fn said(&self) -> String {
        self.said.lock().unwrap().clone()
    }

    #[track_caller]
    fn until(&self, home: &Home, text: &str) {
        let end = std::time::Instant::now() + std::time::Duration::from_secs(60);
        while !self.said().contains(text) {
            assert!(std::time::Instant::now() < end, "no {text:?} in {:?}\n{}", self.said(), home.log());
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    }

    fn write(&mut self, text: &str) {
        self.master.write_all(text.as_bytes()).unwrap();
    }
}

#[test]
fn the_service_user_cannot_type_on_the_terminal_of_root() {
    let Some(home) = system() else { return };
    let python = fs::canonicalize(home.layout.state.join("app/current")).unwrap().join("venv/bin/python");
    let real = fs::canonicalize(&python).unwrap();
    let log = home.layout.state.join("typist.log");
    let script = TYPIST.replace("LOG", &format!("{log:?}")).replace("REAL", &format!("{python:?} + '.real'"));
    fs::rename(&python, python.with_extension("real")).unwrap();
    home.write(&python, format!("#!{} -IS\n{script}", real.display()));
    fs::set_permissions(&python, fs::Permissions::from_mode(0o755)).unwrap();

    for words in ["doctor", "plan"] {
        let mut terminal =
            Terminal::begin(command(&home, ENTER, &[words]), "read line; echo \"root typed $line\"");
        terminal.until(&home, "code ");
        terminal.write("clean\n");
        terminal.until(&home, "root typed ");
        terminal.child.wait().unwrap();
        assert!(terminal.said().contains("root typed clean"), "{words}: {}", terminal.said());
        let told = fs::read_to_string(&log).unwrap();
        assert!(told.contains("tty "), "{told}");
        assert!(!told.contains(&format!("tty {}\n", terminal.number)), "{told}");
        fs::remove_file(&log).unwrap();
    }
}

/// What lies in the folders of the service's user is that user's to choose.
#[test]
fn root_is_neither_held_up_nor_led_by_the_service_user() {
    let Some(home) = system() else { return };
    let state = &home.layout.state;
    let mathesar = |word: &str| {
        let root = command(&home, ENTER, &[word]);
        let mut limited = Command::new("timeout");
        limited.arg("20").arg(root.get_program()).args(root.get_args()).env_clear().stdin(Stdio::null());
        limited.envs(root.get_envs().filter_map(|(name, value)| Some((name, value?))));
        let output = limited.output().unwrap();
        let text = [output.stdout, output.stderr].concat();
        (output.status.code().unwrap(), String::from_utf8(text).unwrap())
    };
    fs::create_dir_all(state.join("database/data")).unwrap();
    for name in
        ["lock", "last-run.json", "app/hold", "database/data/PG_VERSION", "database/data/postmaster.pid"]
    {
        let made = Command::new("mkfifo").arg(state.join(name)).status().unwrap();
        assert!(made.success());
        assert_eq!(mathesar("status").0, 3, "{name}");
        assert_eq!(mathesar("stop"), (0, "   Unchanged Mathesar does not run\n".to_owned()), "{name}");
        fs::remove_file(state.join(name)).unwrap();
    }

    let words = r#"{"ended": "failed", "why": "\u001b[2J", "at": "x"}"#;
    home.write(&state.join("last-run.json"), words);
    assert!(mathesar("status").1.contains("because      \\u{1b}[2J\n"));
    fs::remove_file(state.join("last-run.json")).unwrap();
    std::os::unix::fs::symlink("/dev/zero", state.join("last-run.json")).unwrap();
    assert_eq!(mathesar("status").0, 3);

    // The lock is held, by one who does not say who that is, or says it wrongly.
    let lock = fs::File::create(state.join("lock")).unwrap();
    lock.try_lock().unwrap();
    for said in ["", "1 run", "1 run\u{1b}[8m"] {
        fs::write(state.join("lock"), said).unwrap();
        let (code, status) = mathesar("status");
        assert!(code == 3 && status.contains(" is at work\n") && !status.contains('\u{1b}'), "{status}");
        let (code, stop) = mathesar("stop");
        assert!(code == 4 && stop.contains("`fuser -v ") && !stop.contains("`kill "), "{stop}");
    }

    // It speaks for the supervisor.
    fs::create_dir_all(&home.layout.run).unwrap();
    let socket = std::os::unix::net::UnixListener::bind(home.layout.run.join("control.sock")).unwrap();
    std::thread::spawn(move || {
        for stream in socket.incoming() {
            let answer =
                br#"{"v":1,"ok":{"state":"running","address":"http-evil\u001b[2J","version":"\u001b[31m"}}"#;
            let mut stream = stream.unwrap();
            let _ = stream.write_all(answer).and_then(|()| stream.write_all(b"\n"));
        }
    });
    for word in ["status", "start", "open"] {
        let (_, said) = mathesar(word);
        assert!(said.contains("http-evil\\u{1b}[2J") && !said.contains('\u{1b}'), "{word}: {said}");
    }
}

#[test]
fn root_is_asked_and_answers_through_the_terminal_of_its_own() {
    let Some(home) = system() else { return };
    let running = run(&home, ENTER, "log");
    ready(&home);
    let mut terminal =
        Terminal::begin(command(&home, ENTER, &["admin", "create", "--username", "eve"]), "stty -a");
    terminal.until(&home, "Password for ");
    terminal.write("correct-horse\r");
    terminal.until(&home, "The same again: ");
    terminal.write("correct-horse\r");
    terminal.until(&home, "code 0");
    terminal.until(&home, "echoke");
    terminal.child.wait().unwrap();
    // Not shown, and the terminal is as it was.
    assert!(!terminal.said().contains("correct-horse"), "{}", terminal.said());
    assert!(terminal.said().contains(" echo ") && terminal.said().contains(" icanon"), "{}", terminal.said());

    let mut terminal = Terminal::begin(command(&home, ENTER, &["db", "shell"]), "");
    terminal.until(&home, "=>");
    terminal.write("SELECT 40 + 2 AS answer, pg_sleep(60);\r");
    std::thread::sleep(std::time::Duration::from_millis(500));
    terminal.write("\x03");
    terminal.until(&home, "canceling statement due to user request");
    terminal.write("SELECT 6 * 7 AS answer;\r");
    terminal.until(&home, "42");
    terminal.write("\\q\r");
    terminal.until(&home, "code 0");
    terminal.child.wait().unwrap();

    // Ctrl-C at a question ends the command, and it alone.
    let mut terminal = Terminal::begin(command(&home, ENTER, &["admin", "create", "--username", "bob"]), "");
    terminal.until(&home, "Password for ");
    terminal.write("\x03");
    terminal.until(&home, "code 130");
    terminal.child.wait().unwrap();
    stop(&home, running);
}
