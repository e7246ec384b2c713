//! A server that runs: started directly as a child, so that its number, its words and its end are the launcher's.

use std::ffi::OsString;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::cluster::{Cluster, existing_major};
use super::conf;
use super::leftover::{PidFile, leftover, lives, signal};
use crate::failure::{Exit, Failure};
use crate::process::Program;

/// How long an immediate end may take: PostgreSQL itself gives its processes five seconds.
const IMMEDIATE: Duration = Duration::from_secs(20);
/// A small cluster is ready after a tenth of a second.
const BETWEEN: Duration = Duration::from_millis(5);

/// A server that this launcher has started, or has found and adopted.
#[derive(Debug)]
pub struct Running {
    /// None: adopted; its end cannot be waited for, only seen.
    pub child: Option<Child>,
    pub pid: u32,
    /// What was mended before it could be started.
    pub told: Option<String>,
    data: PathBuf,
}

/// How the server is called.
#[derive(Debug)]
pub struct ServerCommand {
    pub program: PathBuf,
    pub args: Vec<OsString>,
    /// Held by the server as its standard input, for as long as the last of its processes lives.
    pub lock: File,
    /// What was mended before it could be started.
    pub told: Option<String>,
}

/// The server that runs on these data, whoever has started it. Takes neither settings nor programs.
pub fn adopt(data: &Path) -> Option<Running> {
    leftover(data).map(|pid| Running { child: None, pid, told: None, data: data.to_owned() })
}

impl Cluster {
    /// Everything before the server's start: checks, the lock, its files. Refused while another one runs on the data.
    pub fn command(&self) -> Result<ServerCommand, Failure> {
        self.check()?;
        match existing_major(&self.folder)? {
            None => {
                return Err(Failure::new(format!("there is no database in {} yet", self.folder.display()))
                    .help("make it: `mathesar db init`"));
            }
            Some(major) if major != self.binaries.major => {
                let version = &self.binaries.version;
                return Err(Failure::new(format!(
                    "the database was made by PostgreSQL {major}, and {version} cannot open it"
                ))
                .exit(Exit::Refused)
                .help(format!(
                    "install that major beside it: `{}`",
                    super::Distribution::of_this_machine().install(Some(major))
                )));
            }
            Some(_) => {}
        }
        let lock = self.lock()?;
        self.socket_folder()?;
        self.remove_stale_files()?;
        self.write_files()?;
        let told = self.regain_superuser()?;
        let sockets = format!("unix_socket_directories={}", conf::list_item(&self.socket.to_string_lossy()));
        let mut args: Vec<OsString> = vec!["-D".into(), self.data().into()];
        // On the command line as well: ALTER SYSTEM would win over any file.
        args.extend(["-c", "listen_addresses=", "-c"].map(OsString::from));
        args.push(sockets.into());
        Ok(ServerCommand { program: self.binaries.server("postgres"), args, lock, told })
    }

    /// Whether it runs for a transaction, with everybody else kept from writing.
    pub fn is_closed(&self) -> bool {
        let text = std::fs::read_to_string(self.data().join(conf::INCLUDED));
        text.is_ok_and(|text| text.contains(conf::CLOSED))
    }

    /// Brings its settings into force in the server that runs, by `reload`, and waits until others may write.
    pub(super) fn open(&self, reload: impl Fn()) -> Result<(), Failure> {
        const LIMIT: Duration = Duration::from_secs(20);
        self.write_files()?;
        let end = Instant::now() + LIMIT;
        loop {
            reload();
            // As somebody who asks for nothing.
            let shown = self.psql(super::ROLE, "postgres").run("SHOW default_transaction_read_only;");
            match shown {
                Ok(shown) if shown.trim() == "off" => return Ok(()),
                _ if Instant::now() < end => std::thread::sleep(BETWEEN),
                Ok(_) => {
                    return Err(Failure::new("PostgreSQL does not read its settings again")
                        .help("see why: `mathesar logs`"));
                }
                Err(failure) => return Err(failure),
            }
        }
    }

    /// Starts the server alone, outliving the launcher; `wait_ready` says when it answers. What it says goes to `log`,
    /// without statements and so without secrets.
    pub fn spawn(&self, log: Stdio) -> Result<Running, Failure> {
        let ServerCommand { program, args, lock, told } = self.command()?;
        let mut command = Program::new(&program)
            .args(args)
            // Nobody adds the time to its words.
            .args(["-c", "log_line_prefix=%m [%p] %q%u@%d "])
            .current_dir("/")
            .user(self.owner.user)
            .stdin(lock)
            .into_command();
        // A Ctrl-C on the terminal, and its end, are not the server's.
        crate::raw::detach(&mut command);
        let child = command
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .map_err(|cause| Failure::new(format!("cannot run {}", program.display())).cause(cause))?;
        Ok(Running { pid: child.id(), child: Some(child), told, data: self.data() })
    }

    /// Takes over a server that an earlier launcher has left, if one runs. It has that launcher's settings.
    pub fn adopt(&self) -> Option<Running> {
        adopt(&self.data())
    }

    /// Whether the server accepts connections now.
    pub fn is_ready(&self) -> bool {
        PidFile::read(&self.data()).is_some_and(|file| file.ready) && self.answers()
    }

    fn answers(&self) -> bool {
        let program = Program::new(self.binaries.client("pg_isready"))
            .args(["-q", "-t", "3", "-h"])
            .arg(&self.socket)
            .args(["-p", &super::PORT.to_string(), "-d", "postgres"])
            .user(self.owner.user)
            .current_dir("/");
        program.output().is_ok_and(|output| output.status.success())
    }

    /// Waits until the server accepts connections: longest after a power cut, while it replays its log.
    pub fn wait_ready(&self, running: &mut Running, limit: Duration) -> Result<(), Failure> {
        self.wait_until_ready(running.pid, limit, || running.try_wait())
    }

    /// The same for a server that somebody else waits for: `ended` says how it ended, once it has.
    pub fn wait_until_ready(
        &self,
        pid: u32,
        limit: Duration,
        mut ended: impl FnMut() -> Result<Option<String>, Failure>,
    ) -> Result<(), Failure> {
        let end = Instant::now() + limit;
        loop {
            if let Some(how) = ended()? {
                let failure = Failure::new("PostgreSQL did not start");
                return Err(match crate::failure::little_room(&self.data()) {
                    Some(room) => failure
                        .cause(format!("{how}, and {room}"))
                        .help("make room, then run the same command again"),
                    None => failure.cause(how),
                }
                .help("see why: `mathesar logs`"));
            }
            // Its own file tells without a process or a connection, as it tells pg_ctl; a stale one has another number.
            let file = PidFile::read(&self.data());
            if file.is_some_and(|file| file.ready && file.pid == pid) {
                return Ok(());
            }
            if Instant::now() >= end {
                return Err(Failure::new(format!(
                    "PostgreSQL is not ready after {} seconds",
                    limit.as_secs()
                ))
                .help("see what it does: `mathesar logs`")
                .help("give it more time: `mathesar config set database.start-timeout 30m`"));
            }
            std::thread::sleep(BETWEEN);
        }
    }
}

impl Running {
    /// How it ended, once it has.
    pub fn try_wait(&mut self) -> Result<Option<String>, Failure> {
        match &mut self.child {
            Some(child) => {
                let status: Option<ExitStatus> = child
                    .try_wait()
                    .map_err(|cause| Failure::new("cannot wait for PostgreSQL").cause(cause))?;
                Ok(status.map(|status| status.to_string()))
            }
            None if lives(self.pid, &self.data) => Ok(None),
            None => Ok(Some("it is gone".to_owned())),
        }
    }

    /// Ends it: fast first, which ends transactions and writes everything; after the limit immediately, which loses
    /// nothing either but makes the next start replay the log. Never by SIGKILL. True: it was the fast way.
    pub fn stop(&mut self, limit: Duration) -> Result<bool, Failure> {
        for (with, limit, fast) in [(Signal::INT, limit, true), (Signal::QUIT, IMMEDIATE, false)] {
            let end = Instant::now() + limit;
            if self.try_wait()?.is_some() {
                return Ok(true);
            }
            signal(self.pid, with);
            // One that is stopped (SIGSTOP, a debugger) would sleep through it.
            signal(self.pid, Signal::CONT);
            loop {
                if self.try_wait()?.is_some() {
                    return Ok(fast);
                }
                if Instant::now() >= end {
                    break;
                }
                std::thread::sleep(BETWEEN);
            }
        }
        Err(Failure::new(format!("PostgreSQL, process {}, does not end", self.pid))
            .help(format!("see what it waits for: `ps -o pid,stat,wchan:20,args -p {}`", self.pid)))
    }
}
