//! A supervisor in a process of its own: this very test binary, started again with a folder in its environment.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child as Process, Command, Stdio};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use mathesar::control::{Lock, ask, serve};
use mathesar::failure::Failure;
use mathesar::server::{Board, Gunicorn, Listener, Preparing, Warm, Web};
use mathesar::supervise::log::{Rotated, Sink};
use mathesar::supervise::notify::Notifier;
use mathesar::supervise::{
    Cancel, Child, Exits, Hooks, Outcome, Phase, Policy, Request, Service, Spec, Supervisor,
};
use serde_json::Value;

const GUNICORN: &str = "23.0.0";

const APP: &str = r#"
import os, time, pathlib
HERE = pathlib.Path(__file__).parent.parent
if (HERE / "broken").exists():
    raise RuntimeError("this release is broken")

def application(environ, start_response):
    path = environ["PATH_INFO"]
    if path == "/slow":
        time.sleep(1.5)
    body = {"/pid": str(os.getpid()), "/master": str(os.getppid()), "/env": "\n".join(sorted(os.environ)),
            "/proto": environ.get("HTTP_X_FORWARDED_PROTO", "none") + " " + environ["wsgi.url_scheme"]}.get(path, "hello")
    status = "500 Oh" if (HERE / "sick").exists() else "200 OK"
    start_response(status, [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body.encode()]
"#;

/// A venv with a real gunicorn, kept in target/ under its version.
pub fn python() -> Option<&'static Path> {
    static PYTHON: OnceLock<Option<PathBuf>> = OnceLock::new();
    PYTHON
        .get_or_init(|| {
            let version = std::env::var("MATHESAR_TEST_GUNICORN").unwrap_or_else(|_| GUNICORN.to_owned());
            let venv = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("gunicorn-{version}"));
            let python = venv.join("bin/python");
            let run = |program: &Path, args: &[&str]| {
                Command::new(program)
                    .args(args)
                    .stdout(Stdio::null())
                    .status()
                    .is_ok_and(|status| status.success())
            };
            if run(&python, &["-c", "import gunicorn"]) {
                return Some(python);
            }
            let made = run(Path::new("python3"), &["-m", "venv", &venv.to_string_lossy()])
                && run(&python, &["-m", "pip", "install", "-q", &format!("gunicorn=={version}")]);
            if !made {
                println!("not run: cannot install gunicorn {version} with python3 and pip");
            }
            made.then_some(python)
        })
        .as_deref()
}

/// A stand-in for PostgreSQL: says when it ends.
struct Database {
    sink: Arc<dyn Sink>,
    child: Option<Child>,
}

impl Service for Database {
    fn name(&self) -> &'static str {
        "database"
    }

    fn start(&mut self, exits: &Exits, _: &Cancel) -> Result<(), Failure> {
        let spec = Spec {
            name: "database",
            program: "/bin/sh".into(),
            args: [
                "-c",
                "trap 'echo database ends; exit 0' INT; echo database begins; while :; do sleep 0.1; done",
            ]
            .map(Into::into)
            .into(),
            environment: BTreeMap::from([(
                "MATHESAR_LAUNCHER_STATE".into(),
                std::env::var_os("MT_FOLDER").unwrap(),
            )]),
            current_dir: None,
            user: None,
            stdin: None,
            keep: Vec::new(),
            stop: rustix::process::Signal::INT,
            orphaned: rustix::process::Signal::INT,
        };
        let exits = exits.clone();
        self.child =
            Some(Child::spawn(spec, &self.sink, Box::new(move |status| exits.ended(status.to_string())))?);
        Ok(())
    }

    fn probe(&mut self) -> Result<(), Failure> {
        Ok(())
    }

    fn replace(&mut self, _: &Exits, _: &Cancel) -> Result<(), Failure> {
        Ok(())
    }

    fn stop(&mut self) {
        if let Some(child) = self.child.take() {
            child.stop(Duration::from_secs(10));
        }
    }
}

struct Surroundings {
    sink: Arc<dyn Sink>,
    board: Board,
    listener: Arc<Listener>,
    page: Option<Preparing>,
}

impl Hooks for Surroundings {
    fn show_page(&mut self) {
        if self.page.is_none() {
            self.page = Some(Preparing::start(&self.listener.fd(), &self.board).unwrap());
        }
    }

    fn log(&self, text: &str) {
        self.sink.line("launcher", text);
    }

    fn hide_page(&mut self) {
        if let Some(page) = self.page.take() {
            page.stop();
        }
    }

    fn tell(&mut self, phase: Phase, text: &str) {
        self.board.write("Mathesar is starting", text);
        self.sink.line("launcher", &format!("{}: {text}", phase.name()));
    }

    fn try_out(&mut self) -> Result<(), Failure> {
        Ok(())
    }

    fn reload(&mut self) -> Result<(), Failure> {
        Ok(())
    }

    fn status(&self) -> serde_json::Map<String, Value> {
        serde_json::Map::from_iter([("address".to_owned(), Value::String(self.listener.url()))])
    }
}

/// The process that the tests start; as a test of its own it does nothing.
#[test]
fn helper() {
    let Some(folder) = std::env::var_os("MT_FOLDER").map(PathBuf::from) else { return };
    let result = supervise(&folder);
    if let Err(failure) = &result {
        std::fs::write(folder.join("failure"), mathesar::failure::report(&anyhow(failure)).1).unwrap();
    }
    std::process::exit(match result {
        Ok(Outcome::Stopped) => 0,
        Ok(Outcome::Failed(_)) => 1,
        Err(failure) => failure.exit as i32,
    });
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

fn anyhow(failure: &Failure) -> anyhow::Error {
    anyhow::Error::msg(failure.to_string())
}

fn supervise(folder: &Path) -> Result<Outcome, Failure> {
    let lock = Lock::take(folder, "run")?;
    let sink: Arc<dyn Sink> = Arc::new(Rotated::open(&folder.join("log"), 10_000_000, 2)?);
    let left = Web::clear_leftovers(folder, Duration::from_secs(5));
    sink.line("launcher", &format!("cleared {left} leftover processes"));
    let listener = Arc::new(Listener::open(&std::env::var("MT_LISTEN").unwrap())?);
    let notifier = Notifier::new(std::env::var_os("NOTIFY_SOCKET").as_deref());
    let policy = Policy { give_up_after: 2, restart_after: vec![None, Some(2)] };
    let supervisor = Supervisor::new(policy, notifier);
    supervisor.listen_to_signals()?;
    supervisor.watchdog(Duration::from_secs(2))?;
    let handle = supervisor.handle();
    let orders = std::sync::Arc::new(Nothing);
    let _control = serve(&folder.join("control.sock"), &lock, handle.clone(), Default::default(), orders)?;
    let board = Board::default();
    board.write("Mathesar is being prepared", "Fetching <b>");
    let settings = Gunicorn {
        python: std::env::var_os("MT_PYTHON").unwrap().into(),
        app: folder.join("app"),
        environment: BTreeMap::new(),
        run: folder.join("run"),
        state: folder.to_owned(),
        workers: 2,
        request_timeout: Duration::from_secs(number("MT_REQUEST_TIMEOUT").unwrap_or(20)),
        stop_timeout: Duration::from_secs(10),
        start_timeout: Duration::from_secs(30),
        trusted_proxies: std::env::var("MT_PROXY").ok().into_iter().collect(),
        log_requests: false,
        log_level: "info".to_owned(),
        host: "127.0.0.1".to_owned(),
        user: None,
        made_from: Default::default(),
    };
    let warm = number("MT_WARM").map(|_| Warm::begin(settings.clone(), &listener, &sink)).transpose()?;
    let web = Web::new(Arc::new(Mutex::new(settings)), &listener, Arc::clone(&sink)).with(warm);
    let database = Database { sink: Arc::clone(&sink), child: None };
    let pause = number("MT_PREPARE").unwrap_or(0);
    std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(pause));
        let second = Duration::from_secs(1);
        handle.prepared(Ok(vec![(Box::new(database), second), (Box::new(web), second)]));
    });
    let mut hooks = Surroundings { sink, board, listener, page: None };
    Ok(supervisor.run(&mut hooks))
}

/// One supervisor's folder, and its process while it runs.
pub struct Instance {
    pub folder: tempfile::TempDir,
    pub listen: String,
    pub process: Option<Process>,
    pub variables: Vec<(&'static str, String)>,
}

impl Instance {
    pub fn new() -> Instance {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(folder.path().join("app/config")).unwrap();
        std::fs::write(folder.path().join("app/config/__init__.py"), "").unwrap();
        std::fs::write(folder.path().join("app/config/wsgi.py"), APP).unwrap();
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        Instance { folder, listen: format!("127.0.0.1:{port}"), process: None, variables: Vec::new() }
    }

    pub fn spawn(&self) -> Process {
        Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "harness::helper", "--nocapture"])
            .env("MT_FOLDER", self.folder.path())
            .env("MT_LISTEN", &self.listen)
            .env("MT_PYTHON", python().unwrap())
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .stdout(Stdio::null())
            .spawn()
            .unwrap()
    }

    /// Starts it, and waits until it runs.
    pub fn start(&mut self) {
        self.process = Some(self.spawn());
        self.wait_for("running");
    }

    pub fn wait_for(&self, state: &str) {
        self.until(&format!("state {state}"), || {
            self.status().is_some_and(|status| status["state"] == state)
        });
    }

    /// Not a timing assertion: the end of patience.
    pub fn until(&self, what: &str, mut done: impl FnMut() -> bool) {
        let end = Instant::now() + Duration::from_secs(60);
        while !done() {
            assert!(Instant::now() < end, "never came: {what}\n{}", self.log());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    pub fn control(&self) -> PathBuf {
        self.folder.path().join("control.sock")
    }

    pub fn status(&self) -> Option<Value> {
        ask(&self.control(), Request::Status, Duration::from_secs(5)).ok().map(|answer| answer.value)
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    pub fn get(&self, path: &str) -> Option<(u16, String)> {
        get(&self.listen, path, "")
    }

    pub fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_child(self.process.as_ref().unwrap());
        rustix::process::kill_process(pid, signal).unwrap();
    }

    /// Pids of everything that runs for this instance.
    pub fn left(&self) -> Vec<i32> {
        mathesar::supervise::orphans::marked("MATHESAR_LAUNCHER_STATE", &self.folder.path().to_string_lossy())
    }

    pub fn wait(&mut self) -> Option<i32> {
        self.process.take().unwrap().wait().unwrap().code()
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = process.kill();
            let _ = process.wait();
            let end = Instant::now() + Duration::from_secs(15);
            while !self.left().is_empty() && Instant::now() < end {
                std::thread::sleep(Duration::from_millis(100));
            }
        }
    }
}

/// A GET; None when the connection was refused or broken.
pub fn get(address: &str, path: &str, headers: &str) -> Option<(u16, String)> {
    raw(
        address,
        format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n{headers}\r\n").as_bytes(),
    )
}

pub fn raw(address: &str, request: &[u8]) -> Option<(u16, String)> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(40))).ok()?;
    stream.write_all(request).ok()?;
    let mut text = Vec::new();
    stream.read_to_end(&mut text).ok()?;
    let text = String::from_utf8_lossy(&text).into_owned();
    let status = text.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()?;
    Some((status, text.split_once("\r\n\r\n")?.1.to_owned()))
}

/// These tests order nothing.
struct Nothing;

impl mathesar::control::Orders for Nothing {
    fn begin(
        &self,
        _: &mathesar::control::Order,
    ) -> Result<mathesar::control::Begun, mathesar::failure::Failure> {
        Err(mathesar::failure::Failure::new("nothing is done here"))
    }
}
