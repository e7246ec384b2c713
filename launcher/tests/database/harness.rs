//! One private cluster in a folder of its own, with a name that quoting has to survive.

use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use mathesar::database::{Binaries, Cluster, Owner, Running, Search, Settings};
use mathesar::process::{Program, User};
use mathesar::release::Postgresql;
use mathesar::secrets::Secrets;

pub const LIMIT: Duration = Duration::from_secs(25);
pub const RANGE: Postgresql = Postgresql { min: 14, max: 18 };
pub const ODD: &str = "'\"$\\ )#:`%";

pub struct Site {
    pub folder: tempfile::TempDir,
    pub cluster: Cluster,
}

/// The service's user in tests: `daemon` where we are root, as every system has it.
pub fn service() -> Option<User> {
    root().then_some(User { uid: 1, gid: 1 })
}

/// Anybody else; none where we cannot become somebody else.
pub fn stranger() -> Option<User> {
    root().then_some(User { uid: 65534, gid: 65534 })
}

fn root() -> bool {
    rustix::process::geteuid().is_root()
}

/// A system's server; without one the test is told as not run.
pub fn system_server() -> Option<Binaries> {
    let found = Search::new(None, None, RANGE).for_new().unwrap();
    if found.is_none() {
        println!("not run: no PostgreSQL server is installed");
    }
    found
}

impl Site {
    pub fn new() -> Option<Site> {
        system_server().map(|binaries| Site::with(binaries, "a b'c\"d é"))
    }

    pub fn with(binaries: Binaries, name: &str) -> Site {
        let folder = tempfile::Builder::new().prefix("m").tempdir().unwrap();
        std::fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o755)).unwrap();
        let owner = Owner::new(service()).unwrap();
        let state = folder.path().join(name);
        std::fs::create_dir(&state).unwrap();
        if let Some(user) = owner.user {
            chown(&state, Some(user.uid), Some(user.gid)).unwrap();
        }
        let settings = Settings {
            name: "mathesar_django".into(),
            user_database: "it's \"mine\"".into(),
            locale: "C.UTF-8".into(),
            max_connections: 30,
            shared_buffers: 16 << 20,
        };
        let cluster = Cluster {
            folder: state.join("database"),
            socket: state.join("s"),
            binaries,
            secrets: Secrets::new(state.join("secrets"), None, owner.user),
            read_only: false,
            owner,
            settings,
        };
        Site { folder, cluster }
    }

    pub fn log(&self) -> PathBuf {
        self.folder.path().join("log")
    }

    pub fn start(&self) -> Server<'_> {
        let log = std::fs::OpenOptions::new().create(true).append(true).open(self.log()).unwrap();
        let mut running = self.cluster.spawn(Stdio::from(log)).unwrap();
        let ready = self.cluster.wait_ready(&mut running, LIMIT);
        let server = Server { running, site: std::marker::PhantomData };
        ready.unwrap_or_else(|failure| {
            panic!("{failure}: {}", std::fs::read_to_string(self.log()).unwrap_or_default())
        });
        server
    }

    /// Made, provisioned and running.
    pub fn ready(&self) -> Server<'_> {
        self.cluster.init().unwrap();
        let server = self.start();
        self.cluster.provision().unwrap();
        server
    }
}

/// Ends its server whatever happens to the test.
pub struct Server<'a> {
    pub running: Running,
    site: std::marker::PhantomData<&'a Site>,
}

impl Drop for Server<'_> {
    fn drop(&mut self) {
        let _ = self.running.stop(Duration::from_secs(30));
    }
}

/// `psql` as anybody, with a password or without: its answer, or what it said.
pub fn psql(
    site: &Site,
    user: Option<User>,
    role: &str,
    database: &str,
    password: Option<&str>,
    sql: &str,
) -> Result<String, String> {
    let passwords = site.folder.path().join(format!("pass-{role}-{}", user.map_or(0, |user| user.uid)));
    let escaped = password.unwrap_or_default().replace('\\', "\\\\").replace(':', "\\:");
    let _ = std::fs::remove_file(&passwords);
    std::fs::write(&passwords, format!("*:*:*:*:{escaped}\n")).unwrap();
    std::fs::set_permissions(&passwords, PermissionsExt::from_mode(0o600)).unwrap();
    if let Some(user) = user {
        chown(&passwords, Some(user.uid), Some(user.gid)).unwrap();
    }
    let program = Program::new(site.cluster.binaries.client("psql"))
        .args(["-XAtqw", "-v", "ON_ERROR_STOP=1", "-f", "-"])
        .env("PGHOST", &site.cluster.socket)
        .env("PGUSER", role)
        .env("PGDATABASE", database)
        .env("LC_ALL", "C")
        .user(user)
        .current_dir("/")
        .input(sql);
    let program = if password.is_some() { program.env("PGPASSFILE", &passwords) } else { program };
    let output = program.output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
}

/// What `find` would list.
pub fn listing(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

/// A failure as a person reads it.
pub fn told(failure: mathesar::failure::Failure) -> String {
    let (_, text) = mathesar::failure::report(&failure.into());
    anstream::adapter::strip_str(&text).to_string()
}
