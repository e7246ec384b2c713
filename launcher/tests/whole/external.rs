//! A PostgreSQL server of somebody else's: on loopback, with passwords, and with no idea of Mathesar.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::Instant;

use mathesar::database::{Binaries, Search, literal};
use mathesar::process::{Program, User};
use mathesar::release::Postgresql;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::harness::PATIENCE;
use crate::machine;

/// Has to survive files, TOML, libpq's password file, SQL and environments.
pub const PASSWORD: &str = "'\"$\\ )#:`%é";

pub struct External {
    folder: TempDir,
    binaries: Binaries,
    user: Option<User>,
    child: Child,
    pub port: u16,
}

impl External {
    /// With the role `me`, who may make databases and roles, and its database `its own`.
    pub fn start() -> External {
        let binaries = binaries();
        // PostgreSQL refuses to be root, as the launcher does.
        let user = machine::user().unwrap();
        let folder = tempfile::Builder::new().prefix("e").tempdir_in("/tmp").unwrap();
        machine::give(folder.path(), user);
        let password = folder.path().join("password");
        fs::write(&password, PASSWORD).unwrap();
        machine::give(&password, user);
        Program::new(binaries.server("initdb"))
            .args(["-U", "postgres", "-A", "scram-sha-256", "-E", "UTF8", "--locale=C.UTF-8", "-N", "-D"])
            .arg(folder.path().join("data"))
            .arg(format!("--pwfile={}", password.display()))
            .current_dir("/")
            .user(user)
            .run()
            .unwrap();
        let port = machine::free_port();
        let child = spawn(&binaries, folder.path(), port, user);
        let external = External { folder, binaries, user, child, port };
        external.wait();
        external.sql(&format!(
            "CREATE ROLE me LOGIN CREATEDB CREATEROLE PASSWORD {password};\n\
             CREATE ROLE poor LOGIN PASSWORD {password};\nCREATE DATABASE \"its own\" OWNER me;\n",
            password = literal(PASSWORD)
        ));
        external
    }

    fn wait(&self) {
        let pid = self.folder.path().join("data/postmaster.pid");
        let end = Instant::now() + PATIENCE;
        while !fs::read_to_string(&pid).is_ok_and(|text| text.contains("ready")) {
            assert!(Instant::now() < end, "the server does not start");
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
    }

    /// Until `start_again`, nobody listens there.
    pub fn stop(&mut self) {
        let _ = kill_process(Pid::from_child(&self.child), Signal::INT);
        self.child.wait().unwrap();
    }

    pub fn start_again(&mut self) {
        self.child = spawn(&self.binaries, self.folder.path(), self.port, self.user);
        self.wait();
    }

    /// As its superuser; what psql prints, bare.
    pub fn sql(&self, statement: &str) -> String {
        self.sql_in("postgres", statement)
    }

    pub fn sql_in(&self, database: &str, statement: &str) -> String {
        let output = Program::new(self.binaries.client("psql"))
            .args(["-XAtqw", "-v", "ON_ERROR_STOP=1", "-f", "-", "-U", "postgres", "-h"])
            .arg(self.folder.path())
            .env("PGPORT", self.port.to_string())
            .env("PGDATABASE", database)
            .env("PGPASSWORD", PASSWORD)
            .user(self.user)
            .current_dir("/")
            .input(statement)
            .run()
            .unwrap();
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    /// For `database.url`.
    pub fn url(&self, role: &str, database: &str) -> String {
        format!("postgresql://{role}@127.0.0.1:{}/{database}", self.port)
    }

    /// The psql of the machine's server.
    pub fn client() -> PathBuf {
        binaries().client("psql")
    }
}

impl Drop for External {
    fn drop(&mut self) {
        let _ = kill_process(Pid::from_child(&self.child), Signal::INT);
        let _ = self.child.wait();
    }
}

fn spawn(binaries: &Binaries, folder: &Path, port: u16, user: Option<User>) -> Child {
    Program::new(binaries.server("postgres"))
        .arg("-D")
        .arg(folder.join("data"))
        .args(["-c", "listen_addresses=127.0.0.1", "-c", "fsync=off", "-p", &port.to_string(), "-k"])
        .arg(folder)
        .current_dir("/")
        .user(user)
        .into_command()
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// Without one there is no home either.
fn binaries() -> Binaries {
    let range = Postgresql { min: 14, max: 18 };
    Search::new(None, None, range).for_new().unwrap().unwrap()
}
