//! A server on some data folder for a while: a backup's first restore, a drill, a look into a copy. Nobody but us reaches it.

use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::conf;
use super::discover::Binaries;
use super::leftover::{PidFile, signal};
use super::psql::{Psql, identifier, on_guard, password_file};
use super::{PORT, SUPERUSER};
use crate::app::files;
use crate::failure::{Exit, Failure};
use crate::process::Program;
use crate::secrets::{Secret, Secrets};

/// Longer ones are refused by the system: Linux allows 107 bytes, macOS 103.
const LONGEST_SOCKET: usize = 100;
const BETWEEN: Duration = Duration::from_millis(5);
/// For an orderly end; what comes after needs no more than a moment.
const TO_END: Duration = Duration::from_secs(240);
/// Of what the server said, this much is shown.
const SHOWN_LINES: usize = 20;
/// Who may come in: everybody who reaches it, as the folder of the socket is ours alone.
const FREE: &str = "local all all trust\n";

/// Whether what it writes has to outlast a power cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// The folder is thrown away afterwards.
    ThrownAway,
    /// The folder becomes, or is, somebody's data.
    Kept,
}

/// A server without a TCP port, its socket in a folder of its own that only we may enter. It ends when it is dropped, and at
/// once when the thread that has started it ends: keep it in that thread.
#[derive(Debug)]
pub struct Scratch {
    child: Child,
    binaries: Binaries,
    /// Socket, rules and log.
    folder: PathBuf,
    superuser: String,
    /// What the superuser comes in by, where anything is asked of it.
    passwords: Option<PathBuf>,
}

impl Scratch {
    /// Starts a server on this data folder and waits until it answers; it has replayed its log then. `place`: where its socket
    /// goes, in a fresh folder, if the path is short enough. The folder's own rules of who may come in do not count.
    pub fn start(
        binaries: &Binaries,
        data: &Path,
        place: &Path,
        durability: Durability,
        limit: Duration,
    ) -> Result<Scratch, Failure> {
        Scratch::start_by(None, binaries, data, place, durability, limit)
    }

    /// The same, and the launcher's superuser gets in by this password alone, as in the real server.
    pub fn start_by(
        password: Option<&Secret>,
        binaries: &Binaries,
        data: &Path,
        place: &Path,
        durability: Durability,
        limit: Duration,
    ) -> Result<Scratch, Failure> {
        let major = super::cluster::major_of(data)?;
        if major != Some(binaries.major) {
            return Err(Failure::new(format!(
                "{} is no cluster of PostgreSQL {}",
                data.display(),
                binaries.major
            ))
            .exit(Exit::Refused));
        }
        let folder = socket_folder(place)?;
        let rules = match password {
            Some(_) => format!("local all {} scram-sha-256\n{FREE}", identifier(SUPERUSER)),
            None => FREE.to_owned(),
        };
        let spawn = || -> Result<Scratch, Failure> {
            let passwords = password
                .map(|password| password_file(&Secrets::new(&folder, None, None), "passwords", password))
                .transpose()?;
            Ok(Scratch {
                child: Scratch::spawn(binaries, data, &folder, &rules, durability)?,
                binaries: binaries.clone(),
                folder: folder.clone(),
                superuser: SUPERUSER.to_owned(),
                passwords,
            })
        };
        let started = spawn();
        let mut scratch = started.inspect_err(|_| drop(files::remove_tree(&folder)))?;
        scratch.wait_ready(data, limit)?;
        Ok(scratch)
    }

    fn spawn(
        binaries: &Binaries,
        data: &Path,
        folder: &Path,
        rules: &str,
        durability: Durability,
    ) -> Result<Child, Failure> {
        let (hba, ident, log) = (folder.join("hba"), folder.join("ident"), folder.join("log"));
        write(&hba, rules)?;
        write(&ident, "")?;
        let log = fs::File::create_new(&log).map_err(|cause| Failure::io("write", &log, cause))?;
        let path = |path: &Path| path.to_string_lossy().into_owned();
        let mut settings = vec![
            "listen_addresses=".to_owned(),
            format!("port={PORT}"),
            format!("unix_socket_directories={}", conf::list_item(&path(folder))),
            "unix_socket_permissions=0700".to_owned(),
            format!("hba_file={}", path(&hba)),
            format!("ident_file={}", path(&ident)),
            "logging_collector=off".to_owned(),
            "log_destination=stderr".to_owned(),
            "log_statement=none".to_owned(),
            "log_min_error_statement=panic".to_owned(),
            // Told where it does not start, and nobody has sent it anything by then: whole, unlike the real server's.
            "log_error_verbosity=default".to_owned(),
            "cluster_name=mathesar-scratch".to_owned(),
            // The real server's may be most of the machine's memory, and it may run beside.
            "shared_buffers=64MB".to_owned(),
            "archive_mode=off".to_owned(),
            // It looks at data, and does nothing in their name: no subscription's slot moves on, no job runs a second time.
            "max_logical_replication_workers=0".to_owned(),
            "shared_preload_libraries=".to_owned(),
            "session_preload_libraries=".to_owned(),
            "local_preload_libraries=".to_owned(),
            "primary_conninfo=".to_owned(),
            // Commands that a copy's own settings name are nobody's here.
            "restore_command=".to_owned(),
            "recovery_end_command=".to_owned(),
            "archive_cleanup_command=".to_owned(),
            "dynamic_library_path=$libdir".to_owned(),
            "jit=off".to_owned(),
            "max_wal_senders=0".to_owned(),
            "ssl=off".to_owned(),
            // Nothing changes by itself what is looked at.
            "autovacuum=off".to_owned(),
        ];
        if binaries.major >= 17 {
            // A person's code does not run with our rights.
            settings.push("event_triggers=off".to_owned());
        }
        if durability == Durability::ThrownAway {
            settings
                .extend(["fsync=off", "full_page_writes=off", "synchronous_commit=off"].map(str::to_owned));
        }
        let mut program = Program::new(binaries.server("postgres")).arg("-D").arg(data).current_dir("/");
        for setting in settings {
            program = program.args(["-c".to_owned(), setting]);
        }
        let mut command = program.into_command();
        // At once: it replays its log when it is needed again. But of data that are somebody's that would empty unlogged tables.
        let death = if durability == Durability::Kept { Signal::INT } else { Signal::QUIT };
        crate::raw::before_exec(&mut command, Vec::new(), death);
        command.stdout(Stdio::null()).stderr(log).spawn().map_err(|cause| {
            Failure::new(format!("cannot run {}", binaries.server("postgres").display())).cause(cause)
        })
    }

    fn wait_ready(&mut self, data: &Path, limit: Duration) -> Result<(), Failure> {
        let end = Instant::now() + limit;
        loop {
            crate::interrupt::check()?;
            if let Some(status) = self.ended()? {
                return Err(self.did_not_start(data, &status.to_string()));
            }
            let ready = PidFile::read(data).is_some_and(|file| file.ready && file.pid == self.child.id());
            if ready {
                return Ok(());
            }
            if Instant::now() >= end {
                let so_long = format!("it is not ready after {} seconds", limit.as_secs());
                return Err(self
                    .did_not_start(data, &so_long)
                    .help("give it more time: `mathesar config set database.start-timeout 30m`"));
            }
            std::thread::sleep(BETWEEN);
        }
    }

    fn ended(&mut self) -> Result<Option<ExitStatus>, Failure> {
        self.child.try_wait().map_err(|cause| Failure::new("cannot wait for PostgreSQL").cause(cause))
    }

    fn did_not_start(&self, data: &Path, how: &str) -> Failure {
        let said = fs::read_to_string(self.folder.join("log")).unwrap_or_default();
        let lines: Vec<&str> = said.trim().lines().collect();
        let shown: String = lines[lines.len().saturating_sub(SHOWN_LINES)..]
            .iter()
            .map(|line| format!("\n    {line}"))
            .collect();
        let failure = Failure::new(format!("PostgreSQL does not start on {}", data.display()));
        match crate::failure::little_room(data) {
            Some(room) => failure.cause(format!("{how}, and {room}{shown}")),
            None => failure.cause(format!("{how}{shown}")),
        }
    }

    /// The folder of its socket, as a server's host.
    pub fn socket(&self) -> &Path {
        &self.folder
    }

    /// Whether the superuser had to know its password.
    pub fn by_password(&self) -> bool {
        self.passwords.is_some()
    }

    pub fn binaries(&self) -> &Binaries {
        &self.binaries
    }

    /// Another superuser than the launcher's, for a cluster that was made otherwise.
    pub fn with_superuser(mut self, name: &str) -> Scratch {
        name.clone_into(&mut self.superuser);
        self
    }

    /// Runs SQL as superuser; the answer without decoration.
    pub fn sql(&self, database: &str, statement: &str) -> Result<String, Failure> {
        self.psql(&self.superuser, database).run(statement)
    }

    /// The same as another role.
    pub fn sql_as(&self, role: &str, database: &str, statement: &str) -> Result<String, Failure> {
        self.psql(role, database).run(statement)
    }

    fn psql(&self, role: &str, database: &str) -> Psql {
        Psql {
            program: self.binaries.client("psql"),
            host: self.folder.to_string_lossy().into_owned(),
            port: PORT,
            role: role.to_owned(),
            database: database.to_owned(),
            passwords: self.passwords.clone().filter(|_| role == SUPERUSER),
            user: None,
            variables: if role == self.superuser { vec![on_guard(self.binaries.major)] } else { Vec::new() },
        }
    }

    /// The same as `program`, by another role.
    pub fn program_as(&self, role: &str, name: &str, database: &str) -> Program {
        Psql { program: self.binaries.client(name), ..self.psql(role, database) }.bare()
    }

    /// pg_dump and its like, reaching this server as superuser.
    pub fn program(&self, name: &str, database: &str) -> Program {
        Psql { program: self.binaries.client(name), ..self.psql(&self.superuser, database) }.bare()
    }

    /// Ends it in good order: everything is written.
    pub fn stop(mut self) -> Result<(), Failure> {
        match self.end(TO_END)? {
            true => Ok(()),
            false => Err(Failure::new(format!("PostgreSQL, process {}, does not end", self.child.id()))),
        }
    }

    fn end(&mut self, limit: Duration) -> Result<bool, Failure> {
        for (with, limit) in
            [(Signal::INT, limit), (Signal::QUIT, Duration::from_secs(20)), (Signal::KILL, TO_END)]
        {
            if self.ended()?.is_some() {
                return Ok(true);
            }
            signal(self.child.id(), with);
            let end = Instant::now() + limit;
            while Instant::now() < end {
                if self.ended()?.is_some() {
                    return Ok(with == Signal::INT);
                }
                std::thread::sleep(BETWEEN);
            }
        }
        Ok(false)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = self.end(TO_END);
        let _ = files::remove_tree(&self.folder);
    }
}

/// A fresh folder for a socket: in `place`, or where that path is too long, in the system's folder for such things.
fn socket_folder(place: &Path) -> Result<PathBuf, Failure> {
    static NUMBER: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
    let number = NUMBER.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    let name = format!("s{number}");
    let near = files::beside(&place.join(&name), "new");
    let fits = |folder: &Path| {
        let text = folder.to_str().filter(|text| !text.contains(|c: char| c.is_control() || c == ','));
        text.is_some_and(|text| text.len() + ".s.PGSQL.5432.lock".len() <= LONGEST_SOCKET)
    };
    let folder = if fits(&near) {
        files::create_folder(place)?;
        near
    } else {
        let common = Path::new("/tmp");
        sweep_common(common);
        files::beside(&common.join(format!("mathesar-{}-{name}", rustix::process::geteuid().as_raw())), "new")
    };
    // What an earlier process of this number has left. Somebody else's cannot be removed, and is not taken.
    files::remove_tree(&folder)?;
    DirBuilder::new().mode(0o700).create(&folder).map_err(|cause| Failure::io("create", &folder, cause))?;
    Ok(folder)
}

/// What our killed processes have left in a folder that others use too.
fn sweep_common(folder: &Path) {
    let own = format!(".mathesar-{}-s", rustix::process::geteuid().as_raw());
    files::sweep_named(folder, &own);
}

fn write(path: &Path, text: &str) -> Result<(), Failure> {
    fs::write(path, text).map_err(|cause| Failure::io("write", path, cause))
}
