//! What is known before any check is made, and how programs are asked: with a time limit, and without leaving a trace.

use std::cell::OnceCell;
use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{Read, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::{Map, Value};

use super::{Known, NOT_RUNNING, RootFacts};
use crate::app::store::Installed;
use crate::application::{self, Variables};
use crate::config::{self, Loaded, Outside, Problem};
use crate::database::{Cluster, External};
use crate::failure::Failure;
use crate::installation::Installation;
use crate::layout::{Environment, Layout};
use crate::process::Program;
use crate::release::Release;
use crate::secrets::{Secret, Secrets};

/// One that does not answer within this never will.
const PATIENCE: Duration = Duration::from_secs(60);

/// The installation as it is now.
pub(crate) struct Look {
    /// With defaults where the files have mistakes.
    pub installation: Installation,
    pub problems: Vec<Problem>,
    pub files: Vec<PathBuf>,
    /// Why release.toml cannot be read.
    pub pin: Result<(), Failure>,
    /// As `status --json` gives it.
    pub status: Map<String, Value>,
    pub release: Result<Option<Installed>, Failure>,
    /// None: an external server, or none made yet.
    pub cluster: Option<Result<Cluster, Failure>>,
    /// What only root could read.
    pub root: RootFacts,
    scratch: Result<Scratch, String>,
    answers: OnceCell<Known<()>>,
}

impl Look {
    pub fn new(
        environment: &Environment,
        layout: &Layout,
        status: Map<String, Value>,
        root: RootFacts,
    ) -> Result<Look, Failure> {
        let outside = Outside { environment: environment.clone(), service_variables: false, flags: &[] };
        let Loaded { config, problems, files } = config::load(layout, &outside);
        let (pinned, pin) = match Release::pinned() {
            Ok((release, _)) => (release, Ok(())),
            Err(failure) => (Release::compiled_in()?, Err(failure)),
        };
        let installation = Installation {
            environment: environment.clone(),
            layout: layout.clone(),
            config,
            pinned,
            secrets: Secrets::of(layout, environment, None),
            service_variables: false,
        };
        Ok(Look {
            problems,
            files,
            pin,
            status,
            release: installation.store().current(),
            cluster: installation.existing_cluster().transpose(),
            root,
            scratch: Scratch::new(),
            answers: OnceCell::new(),
            installation,
        })
    }

    /// A supervisor answers.
    pub fn running(&self) -> bool {
        self.status.get("pid").is_some_and(|pid| !pid.is_null())
    }

    /// Whether anything was ever made here: before the first start much is missing, and nothing is wrong.
    pub fn fresh(&self) -> bool {
        !self.installation.layout.state.join("app").exists()
            && !self.installation.layout.state.join("database").exists()
    }

    pub fn current(&self) -> Known<Installed> {
        match &self.release {
            Ok(Some(release)) => Ok(release.clone()),
            Ok(None) if self.fresh() => Err("nothing is installed yet: `mathesar start`".to_owned()),
            Ok(None) => Err("no release is the current one".to_owned()),
            Err(failure) => Err(failure.to_string()),
        }
    }

    /// The key as it is: none is made.
    pub fn key(&self) -> Result<Option<Secret>, Failure> {
        match self.installation.configured_key()? {
            Some(key) => Ok(Some(key)),
            None => self.installation.secrets.read(crate::secrets::SECRET_KEY),
        }
    }

    /// Mathesar's environment, without making anything that is missing.
    pub fn variables(&self) -> Known<Variables> {
        let release = self.current()?;
        let told = |failure: Failure| failure.to_string();
        let key = self.key().map_err(told)?.ok_or("there is no secret key yet")?;
        let python = application::interpreter(&release.path);
        let mut variables = application::of(&self.installation, &key, &python).map_err(told)?;
        let of_database = match (self.external()?, &self.cluster) {
            (Some(external), _) => external.environment(),
            (None, Some(Ok(cluster))) => cluster.environment(),
            (None, Some(Err(failure))) => return Err(failure.to_string()),
            (None, None) => return Err("there is no database yet".to_owned()),
        };
        variables.extend(of_database.into_iter().map(|(name, value)| (name.into(), value.into())));
        Ok(variables)
    }

    pub fn external(&self) -> Known<Option<External>> {
        External::of(&self.installation.config).map_err(|failure| failure.to_string())
    }

    /// `manage.py …` of the current release, to its end. Nothing is written, bytecode neither.
    pub fn manage(&self, words: &[&str]) -> Known<Output> {
        let release = self.current()?;
        let program = application::program(&release.path, &self.variables()?)
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .env("PGCONNECT_TIMEOUT", "10")
            .env("PGOPTIONS", "-c statement_timeout=30s -c lock_timeout=5s")
            .arg("manage.py")
            .args(words);
        bounded(program)
    }

    /// The private cluster while its server runs; never started for this.
    pub fn running_cluster(&self) -> Known<&Cluster> {
        match &self.cluster {
            None => Err("there is no private cluster".to_owned()),
            Some(Err(failure)) => Err(failure.to_string()),
            Some(Ok(cluster)) if cluster.leftover().is_none() => Err(NOT_RUNNING.to_owned()),
            Some(Ok(cluster)) if !cluster.is_ready() => {
                Err("its server runs, but does not accept connections".to_owned())
            }
            Some(Ok(cluster)) => Ok(cluster),
        }
    }

    /// The same cluster with its password files in a folder of ours, so that none is written among the secrets.
    pub fn cluster_as_superuser(&self) -> Known<Cluster> {
        let cluster = self.running_cluster()?;
        let name = crate::database::SUPERUSER_SECRET;
        let secret = self.installation.secrets.read(name).map_err(|failure| failure.to_string())?;
        let secret = secret.ok_or(
            "the password of its superuser is lost; a restart sets another: `mathesar restart --everything`",
        )?;
        let folder = self.scratch()?;
        write_secret(&folder.join(name), secret.expose())
            .map_err(|cause| format!("cannot write below {}: {cause}", folder.display()))?;
        Ok(Cluster { secrets: Secrets::new(folder, None, None), ..cluster.clone() })
    }

    /// Runs SQL in the internal database as Mathesar does.
    pub fn query(&self, sql: &str) -> Known<String> {
        let sql = format!("SET statement_timeout = '20s';\n{sql}");
        let told = |failure: Failure| match std::error::Error::source(&failure) {
            Some(cause) => format!("{failure}: {cause}"),
            None => failure.to_string(),
        };
        match self.external()? {
            Some(external) => {
                self.external_answers()?;
                external.query(&self.psql()?, &self.scratch_secrets()?, &sql).map_err(told)
            }
            None => {
                let cluster = self.running_cluster()?;
                cluster.query(&cluster.settings.name, &sql).map_err(told)
            }
        }
    }

    /// Tried once: one that does not answer would cost every check its whole patience.
    pub fn external_answers(&self) -> Known<()> {
        let ask = || match self.external()? {
            None => Ok(()),
            Some(external) => external
                .query(&self.psql()?, &self.scratch_secrets()?, "SELECT 1;")
                .map(drop)
                .map_err(|_| "your server does not answer".to_owned()),
        };
        self.answers.get_or_init(ask).clone()
    }

    /// psql for an external server.
    pub fn psql(&self) -> Known<PathBuf> {
        match self.installation.search().for_new() {
            Ok(Some(binaries)) => Ok(binaries.client("psql")),
            Ok(None) => Err("there is no psql".to_owned()),
            Err(failure) => Err(failure.to_string()),
        }
    }

    pub fn scratch_secrets(&self) -> Known<Secrets> {
        Ok(Secrets::new(self.scratch()?, None, None))
    }

    fn scratch(&self) -> Known<&Path> {
        self.scratch.as_ref().map(|scratch| scratch.0.as_path()).map_err(Clone::clone)
    }
}

/// A folder for this process alone, gone with it.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Result<Scratch, String> {
        let time = std::time::UNIX_EPOCH.elapsed().unwrap_or_default().as_nanos();
        let folder = std::env::temp_dir().join(format!("mathesar-doctor-{}-{time}", std::process::id()));
        // One that is there already is somebody else's, and an error.
        match DirBuilder::new().mode(0o700).create(&folder) {
            Ok(()) => Ok(Scratch(folder)),
            Err(cause) => Err(format!("cannot create {}: {cause}", folder.display())),
        }
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn write_secret(path: &Path, text: &str) -> std::io::Result<()> {
    OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)?
        .write_all(text.as_bytes())
}

/// Runs a program to its end, which comes within a minute.
pub(crate) fn bounded(program: Program) -> Known<Output> {
    bounded_by(program, PATIENCE)
}

pub(crate) fn bounded_by(program: Program, limit: Duration) -> Known<Output> {
    let mut command = program.into_command();
    let name = command.get_program().to_string_lossy().into_owned();
    crate::raw::before_exec(&mut command, Vec::new(), Signal::KILL);
    // A group of its own: what it has started goes with it.
    command.process_group(0).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|cause| format!("cannot run {name}: {cause}"))?;
    let (stdout, stderr) = (reader(child.stdout.take()), reader(child.stderr.take()));
    let end = Instant::now() + limit;
    let status = loop {
        match child.try_wait() {
            Ok(Some(status)) => break status,
            Ok(None) if Instant::now() < end => std::thread::sleep(Duration::from_millis(10)),
            Ok(None) => {
                if let Some(group) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
                    let _ = kill_process_group(group, Signal::KILL);
                }
                let _ = child.wait();
                return Err(format!("{name} did not end within {} s", limit.as_secs()));
            }
            Err(cause) => return Err(format!("cannot wait for {name}: {cause}")),
        }
    };
    let join = |reader: std::thread::JoinHandle<Vec<u8>>| reader.join().unwrap_or_default();
    Ok(Output { status, stdout: join(stdout), stderr: join(stderr) })
}

fn reader(from: Option<impl Read + Send + 'static>) -> std::thread::JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut from) = from {
            let _ = from.read_to_end(&mut bytes);
        }
        bytes
    })
}

/// What a program printed, where it ended well.
pub(crate) fn said(program: Program) -> Option<String> {
    let output = bounded_by(program, Duration::from_secs(20)).ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// The last line of what a program complained about: Python's says the most.
pub(crate) fn last_line(output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    let line = text.lines().rev().map(str::trim).find(|line| !line.is_empty());
    line.map_or_else(|| output.status.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_that_hangs_is_ended_with_what_it_started() {
        let hangs = Program::new("/bin/sh").args(["-c", "sleep 1000 & sleep 1000"]);
        let why = bounded_by(hangs, Duration::from_millis(200)).unwrap_err();
        assert_eq!(why, "/bin/sh did not end within 0 s");
        let output =
            bounded(Program::new("/bin/sh").args(["-c", "echo out; echo a >&2; echo b >&2"])).unwrap();
        assert_eq!((output.stdout.as_slice(), last_line(&output).as_str()), (&b"out\n"[..], "b"));
    }
}
