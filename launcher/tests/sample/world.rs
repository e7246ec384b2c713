//! A throw-away PostgreSQL and gunicorn for the sample application, by hand: what the launcher will do, without it.

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use mathesar::process::{Program, User};
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::sample::{self, SampleRelease};

/// Survives environment, connection strings and SQL, or does not.
pub const PASSWORD: &str = "a'b\"c$d\\e )#";
pub const ADMIN: &str = "admin:correct-horse";
const PATIENCE: Duration = Duration::from_secs(60);

/// Waits until something is so, and says what was waited for when it never is.
#[track_caller]
pub fn wait_for(what: &str, mut is_so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < PATIENCE, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

pub struct World {
    pub folder: TempDir,
    pub environment: PathBuf,
    binaries: PathBuf,
    user: Option<User>,
    postgres: Option<Child>,
}

impl World {
    /// None where something is absent, having said what.
    pub fn new() -> Option<World> {
        let absent = |why: &str| println!("not run: {why}");
        let Some(binaries) = binaries() else {
            absent("no PostgreSQL server below /usr/lib/postgresql or /usr/pgsql-*");
            return None;
        };
        let user = match unprivileged() {
            Ok(user) => user,
            Err(why) => {
                absent(&why);
                return None;
            }
        };
        let environment = match sample::environment::environment() {
            Ok(environment) => environment,
            Err(why) => {
                absent(&why);
                return None;
            }
        };
        let folder = TempDir::new().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let world = World { folder, environment, binaries, user, postgres: None };
        Some(world.with_cluster())
    }

    fn with_cluster(mut self) -> World {
        let folder = self.socket_folder();
        fs::create_dir(&folder).unwrap();
        let password_file = folder.join("password");
        fs::write(&password_file, PASSWORD).unwrap();
        if let Some(User { uid, gid }) = self.user {
            chown(&folder, Some(uid), Some(gid)).unwrap();
            chown(&password_file, Some(uid), Some(gid)).unwrap();
        }
        Program::new(self.binaries.join("initdb"))
            .args(["-U", "postgres", "-A", "scram-sha-256", "-E", "UTF8", "--locale=C.UTF-8", "-N", "-D"])
            .arg(folder.join("data"))
            .arg(format!("--pwfile={}", password_file.display()))
            .current_dir("/")
            .user(self.user)
            .run()
            .unwrap();
        self.start_postgres();
        let password = PASSWORD.replace('\'', "''");
        self.sql(
            "postgres",
            &format!("CREATE ROLE mathesar LOGIN CREATEDB CREATEROLE PASSWORD '{password}'"),
        );
        self.sql("postgres", "CREATE DATABASE mathesar_django OWNER mathesar");
        self
    }

    pub fn socket_folder(&self) -> PathBuf {
        self.folder.path().join("pg")
    }

    pub fn start_postgres(&mut self) {
        let folder = self.socket_folder();
        let mut command = Command::new(self.binaries.join("postgres"));
        command.arg("-D").arg(folder.join("data")).arg("-k").arg(&folder);
        command.args(["-c", "listen_addresses=", "-c", "fsync=off"]).current_dir("/");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        if let Some(User { uid, gid }) = self.user {
            command.uid(uid).gid(gid);
        }
        self.postgres = Some(command.spawn().unwrap());
        wait_for("PostgreSQL", || {
            let socket = format!("--host={}", folder.display());
            Program::new(self.binaries.join("pg_isready")).arg(socket).run().is_ok()
        });
    }

    pub fn stop_postgres(&mut self) {
        if let Some(mut child) = self.postgres.take() {
            kill_process(pid(&child), Signal::INT).unwrap();
            child.wait().unwrap();
        }
    }

    /// As the superuser; what psql prints, bare.
    pub fn sql(&self, database: &str, statement: &str) -> String {
        let output = Program::new(self.binaries.join("psql"))
            .args(["-XAtq", "-v", "ON_ERROR_STOP=1", "-U", "postgres", "-d", database, "-c", statement])
            .arg(format!("--host={}", self.socket_folder().display()))
            .env("PGPASSWORD", PASSWORD)
            .run()
            .unwrap();
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    pub fn app(&self, release: &SampleRelease, database: &str) -> App<'_> {
        let mut folder = self.folder.path().join(format!("app-{}-{database}", release.version));
        while folder.exists() {
            folder = folder.with_extension("again");
        }
        let bytes = fs::File::open(&release.tarball).unwrap();
        tar::Archive::new(flate2::read::GzDecoder::new(bytes)).unpack(&folder).unwrap();
        App { world: self, folder, database: database.to_owned() }
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.stop_postgres();
    }
}

/// One unpacked release with the database it works on.
pub struct App<'a> {
    world: &'a World,
    pub folder: PathBuf,
    database: String,
}

impl App<'_> {
    pub fn variables(&self) -> Vec<(&'static str, String)> {
        vec![
            ("POSTGRES_DB", self.database.clone()),
            ("POSTGRES_USER", "mathesar".into()),
            ("POSTGRES_PASSWORD", PASSWORD.into()),
            ("POSTGRES_HOST", self.world.socket_folder().display().to_string()),
            ("SECRET_KEY", "the key of this test".into()),
            ("MEDIA_ROOT", self.world.folder.path().join("media").display().to_string()),
        ]
    }

    pub fn python(&self, args: &[&str]) -> Program {
        Program::new(self.world.environment.join("bin/python"))
            .args(args)
            .envs(self.variables())
            .current_dir(&self.folder)
    }

    pub fn install(&self) {
        self.python(&["-m", "mathesar.install"]).run().unwrap();
    }

    /// In the background, for a child that is going to be killed.
    pub fn spawn(&self, program: &str, args: &[&str]) -> Child {
        let log = fs::File::create(self.folder.with_extension("log")).unwrap();
        Command::new(self.world.environment.join("bin").join(program))
            .args(args)
            .envs(self.variables())
            .current_dir(&self.folder)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .process_group(0)
            .spawn()
            .unwrap()
    }

    pub fn serve(&self) -> Server {
        let socket = self.folder.join("http");
        let bind = format!("unix:{}", socket.display());
        let mut child = self.spawn("gunicorn", &["config.wsgi", "--preload", "-w", "3", "-b", &bind]);
        wait_for("gunicorn", || {
            assert_eq!(
                child.try_wait().unwrap(),
                None,
                "see {}",
                self.folder.with_extension("log").display()
            );
            UnixStream::connect(&socket).is_ok()
        });
        Server { child, socket }
    }
}

pub struct Server {
    child: Child,
    pub socket: PathBuf,
}

impl Drop for Server {
    fn drop(&mut self) {
        // The group, since a worker of the variant that is dead outlives its master.
        let _ = kill_process_group(pid(&self.child), Signal::KILL);
        let _ = self.child.wait();
    }
}

pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn location(&self) -> Option<&str> {
        self.head.lines().find_map(|line| line.strip_prefix("Location: "))
    }
}

impl Server {
    /// None when nobody answers in time.
    pub fn request(&self, head: &str, body: &[u8], patience: Duration) -> Option<Answer> {
        let mut stream = UnixStream::connect(&self.socket).unwrap();
        stream.set_read_timeout(Some(patience)).unwrap();
        let host = if head.contains("\r\nHost: ") { "" } else { "\r\nHost: 127.0.0.1" };
        write!(stream, "{head}{host}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len())
            .unwrap();
        stream.write_all(body).unwrap();
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).ok()?;
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")?;
        let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
        let status = head.split(' ').nth(1)?.parse().ok()?;
        Some(Answer { status, head, body: bytes[end + 4..].to_vec() })
    }

    pub fn get(&self, path: &str) -> Answer {
        self.request(&format!("GET {path} HTTP/1.0"), b"", PATIENCE).unwrap()
    }

    pub fn post(&self, path: &str, who: &str, kind: &str, body: &[u8]) -> Answer {
        let who = base64(who.as_bytes());
        let head = format!("POST {path} HTTP/1.0\r\nAuthorization: Basic {who}\r\nContent-Type: {kind}");
        self.request(&head, body, PATIENCE).unwrap()
    }

    /// What the first visitor does in a browser.
    pub fn complete_installation(&self, name: &str, password: &str) -> Answer {
        // The cookie and the form's field have to be the same; which, is the visitor's choice.
        let token = "0123456789abcdefghijABCDEFGHIJkl";
        let head = format!(
            "POST /complete_installation/ HTTP/1.0\r\nCookie: csrftoken={token}\r\n\
             Content-Type: application/x-www-form-urlencoded"
        );
        let form =
            format!("csrfmiddlewaretoken={token}&username={name}&password1={password}&password2={password}");
        self.request(&head, form.as_bytes(), PATIENCE).unwrap()
    }

    /// A result, or the error's message.
    pub fn call(&self, who: &str, method: &str, params: Value) -> Result<Value, String> {
        let body = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).to_string();
        let answer = self.post("/api/rpc/v0/", who, "application/json", body.as_bytes());
        assert_eq!(answer.status, 200, "{}", answer.head);
        let mut answer: Value = serde_json::from_slice(&answer.body).unwrap();
        match answer.get("error") {
            Some(error) => Err(error["message"].as_str().unwrap().to_owned()),
            None => Ok(answer["result"].take()),
        }
    }

    #[track_caller]
    pub fn admin(&self, method: &str, params: Value) -> Value {
        self.call(ADMIN, method, params).unwrap()
    }
}

pub fn pid(child: &Child) -> Pid {
    Pid::from_child(child)
}

fn binaries() -> Option<PathBuf> {
    (14..=18)
        .rev()
        .flat_map(|major| [format!("/usr/lib/postgresql/{major}/bin"), format!("/usr/pgsql-{major}/bin")])
        .map(PathBuf::from)
        .find(|folder| folder.join("initdb").exists())
}

/// PostgreSQL refuses root; initdb wants a user that has a name.
fn unprivileged() -> Result<Option<User>, String> {
    if !rustix::process::geteuid().is_root() {
        return Ok(None);
    }
    let users = fs::read_to_string(Path::new("/etc/passwd")).unwrap_or_default();
    let find = |name: &str| {
        let line = users.lines().find(|line| line.split(':').next() == Some(name))?;
        let fields: Vec<&str> = line.split(':').collect();
        Some(User { uid: fields.get(2)?.parse().ok()?, gid: fields.get(3)?.parse().ok()? })
    };
    find("postgres").or_else(|| find("nobody")).map(Some).ok_or_else(|| "no user to drop to".to_owned())
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let encode = |chunk: &[u8]| {
        let bits = (0..3).fold(0u32, |bits, at| bits << 8 | u32::from(*chunk.get(at).unwrap_or(&0)));
        let digit = |at: usize| {
            if at > chunk.len() { '=' } else { DIGITS[(bits >> (18 - 6 * at)) as usize & 63].into() }
        };
        (0..4).map(digit).collect::<String>()
    };
    bytes.chunks(3).map(encode).collect()
}
