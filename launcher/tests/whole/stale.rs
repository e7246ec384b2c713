//! What others have left, hold, or have stopped.

use std::fs;
use std::os::unix::net::UnixListener;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use rustix::process::Signal;

use crate::harness::Home;
use crate::machine::{alive, give, parent, signal};

/// Ended with the test, however that ends.
struct Other(Child);

impl Drop for Other {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Other {
    /// A process of the launcher's own user that has nothing to do with the home.
    fn new(home: &Home, program: &str, args: &[&str]) -> Other {
        let mut command = Command::new(program);
        command.args(args).current_dir("/").env_clear().env("PATH", "/usr/bin:/bin");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        if let Some(user) = home.user {
            command.uid(user.uid).gid(user.gid);
        }
        Other(command.spawn().unwrap())
    }

    fn pid(&self) -> i32 {
        i32::try_from(self.0.id()).unwrap()
    }
}

#[test]
fn stale_files_of_every_kind_stop_nobody() {
    let Some(home) = Home::prepared() else { return };
    home.ok(&["start"]);
    // As after a power cut.
    for (pid, _) in home.processes() {
        signal(pid, Signal::KILL);
    }
    home.nobody_left();
    let sleeper = Other::new(&home, "/bin/sleep", &["600"]);
    let (state, run, socket) = (&home.layout.state, &home.layout.run, &home.layout.database_socket);
    let postmaster = state.join("database/data/postmaster.pid");
    assert!(postmaster.exists() && run.join("control.sock").exists());
    for path in [postmaster, socket.join(".s.PGSQL.5432.lock")] {
        let text = fs::read_to_string(&path).unwrap();
        let (_, rest) = text.split_once('\n').unwrap();
        home.write(&path, format!("{}\n{rest}", sleeper.pid()));
    }
    home.write(&state.join("lock"), format!("{} run\n", sleeper.pid()));
    home.write(&run.join("gunicorn.conf.new"), "raise SystemExit('stale')");
    for name in ["gunicorn-1-1.sock", "control.1"] {
        drop(UnixListener::bind(run.join(name)).unwrap());
        give(&run.join(name), home.user);
    }
    home.ok(&["start"]);
    assert_eq!(home.get("/auth/login/").0, 302);
    assert!(alive(sleeper.pid()), "somebody else's process was ended");
    home.ok(&["stop"]);
    // A file where the socket should be, and no folder at all.
    home.write(&run.join("control.sock"), "text");
    home.ok(&["start"]);
    home.ok(&["stop"]);
    fs::remove_dir_all(run).unwrap();
    fs::remove_dir_all(socket).unwrap();
    home.ok(&["start"]);
}

#[test]
fn a_second_launcher_is_refused_and_starts_at_once_make_one() {
    let Some(home) = Home::prepared() else { return };
    let both =
        [home.spawn("one", &["start"]), home.spawn("two", &["start"]), home.spawn("three", &["start"])];
    let ends: Vec<_> = both.into_iter().map(|mut child| child.wait().unwrap().code()).collect();
    let words = ["one", "two", "three"].map(|name| home.words(name));
    assert_eq!(ends, [Some(0); 3], "{words:#?}");
    // The losers may still be saying so.
    home.until("one launcher is left", || home.pids(" run --background").len() == 1);
    let pid = home.status()["pid"].as_i64().unwrap();
    let refused = home.mathesar(&["run"]);
    assert_eq!(refused.status, 4, "{refused:?}");
    assert!(refused.stderr.contains(&format!("`mathesar run` (pid {pid})")), "{}", refused.stderr);
    assert!(refused.stderr.contains("help: "), "{}", refused.stderr);
    println!("{}", refused.stderr);
    assert_eq!(home.status()["pid"], pid);
    assert_eq!(home.get("/auth/login/").0, 302);

    // One that hangs: nobody waits for ever, and what is proposed helps.
    let pid = i32::try_from(pid).unwrap();
    signal(pid, Signal::STOP);
    let refused = home.mathesar(&["start"]);
    assert_eq!(refused.status, 4, "{refused:?}");
    assert!(refused.stderr.contains(&format!("help: end it: `kill -9 {pid}`")), "{}", refused.stderr);
    signal(pid, Signal::KILL);
    home.ok(&["start"]);
    assert_eq!(home.get("/auth/login/").0, 302);
}

#[test]
fn a_taken_port_names_its_holder_and_the_way_out() {
    let Some(home) = Home::prepared() else { return };
    let port = home.port.to_string();
    let other = Other::new(&home, "python3", &["-m", "http.server", "--bind", "127.0.0.1", &port]);
    home.until("the other one listens", || std::net::TcpStream::connect(("127.0.0.1", home.port)).is_ok());
    let refused = home.mathesar(&["start"]);
    assert_eq!(refused.status, 4, "{refused:?}");
    assert!(refused.stderr.contains(&format!("port {port} is used by `python3")), "{}", refused.stderr);
    assert!(refused.stderr.contains(&format!("(pid {})", other.pid())), "{}", refused.stderr);
    println!("{}", refused.stderr);
    home.nobody_left();
    assert!(alive(other.pid()));
    // The help's command does help.
    let command = refused.stderr.split('`').find(|words| words.starts_with("mathesar config set ")).unwrap();
    home.ok(&command.split(' ').skip(1).collect::<Vec<_>>());
    home.ok(&["start"]);
    let address = home.status()["address"].as_str().unwrap().to_owned();
    assert!(command.ends_with(address.strip_prefix("http://").unwrap()), "{command}: {address}");
}

#[test]
fn a_server_that_was_left_running_is_ended_and_there_is_never_a_second_one() {
    let Some(home) = Home::prepared() else { return };
    home.ok(&["start"]);
    let server = fs::read_link(format!("/proc/{}/exe", home.pids("/postgres -D ")[0])).unwrap();
    home.ok(&["stop"]);
    let socket = format!("unix_socket_directories={}", home.layout.database_socket.display());
    for stopped in [false, true] {
        // Started by hand, or by a launcher that is gone.
        let data = home.layout.state.join("database/data");
        let mut left = home.command(&server);
        left.arg("-D").arg(&data).args(["-c", "listen_addresses=", "-c", &socket]).stderr(Stdio::null());
        let left = Other(left.process_group(0).spawn().unwrap());
        home.until("it is ready", || ready(&data));
        if stopped {
            signal(left.pid(), Signal::STOP);
        }
        home.ok(&["start"]);
        assert!(
            home.log().contains(&format!("ending a PostgreSQL that was left running (pid {})", left.pid()))
        );
        assert!(!alive(left.pid()));
        let mut servers = home.pids("/postgres -D ");
        let all = servers.clone();
        servers.retain(|pid| !all.contains(&parent(*pid)));
        assert_eq!(servers.len(), 1);
        assert_eq!(home.get("/auth/login/").0, 302);
        home.ok(&["stop"]);
    }
}

fn ready(data: &Path) -> bool {
    fs::read_to_string(data.join("postmaster.pid")).is_ok_and(|text| text.contains("\nready"))
}

#[test]
fn an_initdb_that_is_killed_is_run_again() {
    let Some(home) = Home::installed() else { return };
    let mut start = home.spawn("start", &["start"]);
    let mut killed = Vec::new();
    home.until("initdb", || {
        killed = home.pids("/initdb ");
        !killed.is_empty()
            && home.layout.state.join("database").read_dir().is_ok_and(|mut all| {
                all.any(|entry| entry.unwrap().file_name().to_string_lossy().starts_with("data.new."))
            })
    });
    killed.iter().for_each(|pid| signal(*pid, Signal::KILL));
    assert_eq!(start.wait().unwrap().code(), Some(1));
    let words = home.words("start");
    assert!(words.contains("initdb") && words.contains("signal: 9"), "{words}");
    home.nobody_left();
    home.ok(&["start"]);
    assert_eq!(home.get("/auth/login/").0, 302);
    let unfinished = home.layout.state.join("database").read_dir().unwrap();
    assert!(unfinished.flatten().all(|entry| !entry.file_name().to_string_lossy().contains(".new")));
}

#[test]
fn a_web_server_that_sleeps_is_replaced_and_the_database_is_not() {
    let Some(home) = Home::prepared() else { return };
    home.conf("[server]\nrequest-timeout = \"3s\"\n");
    home.ok(&["start"]);
    let workers = || {
        let all = home.pids("-m gunicorn");
        let of = |pid: &i32| all.contains(&parent(*pid));
        all.iter().copied().filter(of).collect::<Vec<_>>()
    };
    let database = home.pids("/postgres -D ");
    let one = workers()[0];
    signal(one, Signal::STOP);
    for _ in 0..4 {
        assert_eq!(home.get("/auth/login/").0, 302);
    }
    home.until("the sleeping worker is replaced", || !alive(one) && workers().len() == 2);

    let all = home.pids("-m gunicorn");
    all.iter().for_each(|pid| signal(*pid, Signal::STOP));
    home.until("gunicorn is replaced", || all.iter().all(|pid| !alive(*pid)));
    home.until("the page", || home.try_get("/auth/login/").is_some_and(|answer| answer.status == 302));
    home.until("running", || home.status()["state"] == "running");
    assert!(database.iter().all(|pid| alive(*pid)), "PostgreSQL was restarted too");
}

#[test]
fn an_interrupted_start_goes_on_in_the_background() {
    // From an unpacked release on: the tables alone take long enough to be interrupted in.
    let Some(home) = Home::installed() else { return };
    let mut start = home.spawn("start", &["start"]);
    home.until("it says what it does", || !home.words("start").is_empty());
    signal(i32::try_from(start.id()).unwrap(), Signal::INT);
    let code = start.wait().unwrap().code();
    let words = home.words("start");
    assert_eq!(code, Some(130), "{words}");
    assert!(words.contains("goes on starting in the background: `mathesar status`"), "{words}");
    home.until("it runs", || home.status()["state"] == "running");
    home.ok(&["stop"]);
    home.nobody_left();
}
