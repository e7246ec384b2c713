//! `mathesar logs` on what the real programs write.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::process::Stdio;
use std::sync::mpsc::{Receiver, channel};

use crate::harness::{Home, PATIENCE};

#[test]
fn everybody_s_words_in_one_log() {
    let Some(home) = Home::prepared() else { return };
    let none = home.mathesar(&["logs"]);
    let log = home.layout.logs.clone().unwrap().join("mathesar.log");
    assert_eq!(none.status, 3, "{none:?}");
    assert!(
        none.stderr.contains(&format!("there is no log yet: {} does not exist", log.display())),
        "{none:?}"
    );

    home.ok(&["start"]);
    let all = home.ok(&["logs"]).stdout;
    let of = |source: &str| home.ok(&["logs", "-n", "all", "--source", source]).stdout;
    for source in ["launcher", "postgresql", "gunicorn"] {
        let lines = of(source);
        let mark = format!("Z {source}: ");
        assert!(!lines.is_empty() && lines.lines().all(|line| line.contains(&mark)), "{source}: {lines}");
        assert!(all.contains(&mark), "{source}: {all}");
    }
    assert_eq!(all, fs::read_to_string(&log).unwrap());
    let last = home.ok(&["logs", "-n", "2"]).stdout;
    assert_eq!(last.lines().count(), 2, "{last}");
    assert!(all.ends_with(&last), "{last}");
    assert_eq!(home.ok(&["logs", "--since", "10m"]).stdout, all);
    assert_eq!(home.ok(&["logs", "--since", "2999-01-01"]).stdout, "");
    let coloured = home.launcher(&["logs"]).args(["-n", "1"]).output().unwrap();
    assert!(!coloured.stdout.contains(&0x1b), "no terminal, no colours");
    let wrong = home.mathesar(&["logs", "--since", "yesterday"]);
    assert!(wrong.status == 2 && wrong.stderr.contains("use a duration such as `10m`"), "{wrong:?}");
    // It tells about people.
    assert_eq!(fs::metadata(&log).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(fs::metadata(log.parent().unwrap()).unwrap().permissions().mode() & 0o077, 0);

    // Of what runs as well, every command that is named means this one.
    for args in [&["status"][..], &["doctor"], &["doctor", "--json"], &["plan"], &["db", "status"]] {
        let said = home.launcher(args).output().unwrap();
        let said = String::from_utf8([said.stdout, said.stderr].concat()).unwrap();
        let named: Vec<&str> = said.split("`mathesar ").skip(1).collect();
        let addressed = |after: &&&str| after.starts_with("--home ") || after.contains("` (pid ");
        let lacking: Vec<_> = named.iter().filter(|after| !addressed(after)).collect();
        assert!(lacking.is_empty(), "{args:?}: {lacking:?}\n{said}");
    }

    // Somebody takes it away, as logrotate does.
    fs::rename(&log, log.with_extension("log-20261127")).unwrap();
    let none = home.mathesar(&["logs"]);
    assert_eq!(none.status, 1, "{none:?}");
    assert!(none.stderr.contains("Mathesar runs, and somebody has removed or renamed it"), "{none:?}");
    let doctor = home.mathesar(&["doctor"]).stdout;
    assert!(doctor.contains("mathesar.log is not in"), "{doctor}");
    home.ok(&["stop"]);
    let told = home.ok(&["logs"]).stdout;
    assert!(told.contains("postgresql: ") && told.contains("database system is shut down"), "{told}");
    assert_eq!(fs::metadata(&log).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn files_that_were_put_aside_belong_to_it() {
    let Some(home) = Home::prepared() else { return };
    home.conf("[log]\nmax-size = \"2KB\"\nkeep = 4\nrequests = true\n");
    home.ok(&["start"]);
    let logs = home.layout.logs.clone().unwrap();
    let oldest = logs.join("mathesar.log.4");
    let mut follower = Following::begin(&home, &["logs", "-f", "-n", "0", "--source", "gunicorn"]);
    let mut asked = 0;
    home.until("four files are put aside", || {
        asked += 1;
        home.get(&format!("/auth/login/?number={asked}"));
        oldest.exists() && asked > 60
    });
    // Every one of them, once and in order, over at least four rotations.
    let wanted = format!("?number={asked} ");
    let heard = follower.until(|line| line.contains(&wanted));
    let number = |line: &String| line.split("?number=").nth(1)?.split(' ').next()?.parse::<u32>().ok();
    let numbers: Vec<u32> = heard.iter().filter_map(number).collect();
    assert_eq!(numbers, (1..=asked).collect::<Vec<_>>());
    println!("followed {asked} requests over more than four rotations");

    let names = ["mathesar.log.4", "mathesar.log.3", "mathesar.log.2", "mathesar.log.1", "mathesar.log"];
    let text: String = names.iter().map(|name| fs::read_to_string(logs.join(name)).unwrap()).collect();
    let all = home.ok(&["logs", "-n", "all"]).stdout;
    assert!(
        all.lines().count() > 40 && text.starts_with(&all) || all.starts_with(&text),
        "{all}\n---\n{text}"
    );
    for name in names {
        let found = fs::metadata(logs.join(name)).unwrap();
        assert!(found.len() <= 2000, "{name}: {}", found.len());
        assert_eq!(found.permissions().mode() & 0o777, 0o600, "{name}");
    }
}

#[test]
fn a_follower_sleeps_while_nothing_is_said_and_ends_with_its_reader() {
    let Some(home) = Home::prepared() else { return };
    home.ok(&["start"]);
    home.ok(&["stop"]);
    let mut child = home.launcher(&["logs", "-f", "-n", "1"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let mut first = String::new();
    stdout.read_line(&mut first).unwrap();
    assert!(!first.is_empty());
    let pid = child.id();
    let woken = || {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:")).unwrap();
        line.trim().parse::<u64>().unwrap()
    };
    home.until("it sleeps", || sleeps(pid));
    let before = woken();
    std::thread::sleep(std::time::Duration::from_secs(3));
    // At most once a second, where the system cannot tell it anything.
    assert!(woken() - before <= 3, "woken {} times in three seconds", woken() - before);
    // `| head -1`: nothing more is said, and it ends nevertheless.
    drop(stdout);
    home.until("the follower has ended", || child.try_wait().unwrap().is_some());
}

#[test]
fn the_error_of_the_last_start_is_told() {
    let Some(home) = Home::prepared() else { return };
    let occupied = std::net::TcpListener::bind(("127.0.0.1", home.port)).unwrap();
    let started = home.mathesar(&["start"]);
    assert_ne!(started.status, 0, "{started:?}");
    let error = started.stderr.lines().find(|line| line.starts_with("error: ")).unwrap();
    let told = home.ok(&["logs"]).stdout;
    assert!(told.contains(&format!("launcher: {error}\n")), "{started:?}\n{told}");
    assert!(!home.mathesar(&["logs", "--source", "gunicorn"]).stdout.contains("error: "));
    drop(occupied);
    home.ok(&["start"]);
    let now = home.ok(&["logs"]).stdout;
    assert!(!now.lines().any(|line| line.starts_with("launcher: error: ")), "{now}");
}

fn sleeps(pid: u32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| stat.contains(") S "))
}

/// A `logs -f`, line by line.
struct Following {
    child: std::process::Child,
    lines: Receiver<String>,
}

impl Following {
    fn begin(home: &Home, args: &[&str]) -> Following {
        let mut child = home.launcher(args).stdout(Stdio::piped()).spawn().unwrap();
        let stdout = child.stdout.take().unwrap();
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        // It has looked at the end of the file: nothing that comes now is missed.
        let pid = child.id();
        home.until("the follower sleeps", || sleeps(pid));
        Following { child, lines }
    }

    fn until(&mut self, is_it: impl Fn(&str) -> bool) -> Vec<String> {
        let mut heard = Vec::new();
        while !heard.last().is_some_and(|line: &String| is_it(line)) {
            heard.push(self.lines.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("{heard:#?}")));
        }
        heard
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
