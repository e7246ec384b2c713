//! The private cluster: where it is, how it is made, and how its roles are reached.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use super::conf::{self, Conf};
use super::discover::Binaries;
use super::psql::{Psql, on_guard, password_file};
use super::settings::Settings;
use super::{REPLICATION, ROLE, SUPERUSER};
use crate::careful;
use crate::config::Config;
use crate::failure::{self, Exit, Failure};
use crate::layout::Layout;
use crate::process::{Program, User};
use crate::secrets::{Secrets, private_folder, sync};

pub(crate) const SUPERUSER_SECRET: &str = "database-superuser";
/// The same once more, as libpq reads it.
pub(super) const SUPERUSER_PASSWORDS: &str = "database-superuser.pgpass";
pub(crate) const REPLICATION_SECRET: &str = "database-replication";

/// What a cluster of ours comes with, in the folder of secrets.
pub(crate) const SECRETS: [&str; 3] = [SUPERUSER_SECRET, SUPERUSER_PASSWORDS, REPLICATION_SECRET];

/// The OS user that the server runs as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    /// None: the caller's own.
    pub user: Option<User>,
    pub uid: u32,
    /// Its name, which peer authentication compares.
    pub name: String,
}

impl Owner {
    /// The caller, or the user that root drops to.
    pub fn new(user: Option<User>) -> Result<Owner, Failure> {
        let own = rustix::process::geteuid().as_raw();
        let user = user.filter(|user| user.uid != own);
        let uid = user.map_or(own, |user| user.uid);
        Ok(Owner { user, uid, name: os_user(uid)? })
    }
}

/// A user's name: by /etc/passwd, else by `id`, which asks the name services that a domain's users come from.
pub fn os_user(uid: u32) -> Result<String, Failure> {
    let passwd = fs::read(Path::new("/etc/passwd")).unwrap_or_default();
    let passwd = String::from_utf8_lossy(&passwd);
    let named = passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(uid)).then(|| name.to_owned())
    });
    if let Some(name) = named {
        return Ok(name);
    }
    let output = Program::new("id").args(["-un", "--"]).arg(uid.to_string()).env("LC_ALL", "C").output()?;
    let name = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    if output.status.success() && !name.is_empty() {
        return Ok(name);
    }
    Err(Failure::new(format!("user id {uid} has no name, and PostgreSQL refuses to run without one"))
        .help("give it a line in /etc/passwd, or run as another user"))
}

/// The major that a cluster in this folder (`state/database`) was made with; none where there is no cluster yet.
pub fn existing_major(folder: &Path) -> Result<Option<u32>, Failure> {
    major_of(&folder.join("data"))
}

/// The same for a data folder anywhere.
pub(super) fn major_of(data: &Path) -> Result<Option<u32>, Failure> {
    let path = data.join("PG_VERSION");
    match careful::read_text(&path) {
        Ok(text) => text.trim().parse().map(Some).map_err(|_| {
            Failure::new(format!("cannot understand {}", path.display()))
                .cause(format!("`{}` is no major version", careful::harmless(text.trim())))
                .exit(Exit::Refused)
                .help("restore a backup: `mathesar backup list`")
        }),
        Err(cause) if cause.kind() != ErrorKind::NotFound => Err(Failure::io("read", &path, cause)),
        Err(_) => match fs::read_dir(data).map(|mut entries| entries.next().is_some()) {
            Ok(true) => {
                Err(Failure::new(format!("{} holds files, but no PostgreSQL cluster", data.display()))
                    .exit(Exit::Refused)
                    .cause("PG_VERSION is missing; nothing was changed")
                    .help("restore a backup: `mathesar backup list`")
                    .help(format!(
                        "or begin with an empty one: `mathesar stop`, then put it aside: `mv {0} {0}.old`",
                        crate::cure::path(data)
                    )))
            }
            Err(cause) if cause.kind() != ErrorKind::NotFound => Err(Failure::io("read", data, cause)),
            _ => Ok(None),
        },
    }
}

/// The private cluster.
#[derive(Debug, Clone)]
pub struct Cluster {
    /// `state/database`.
    pub folder: PathBuf,
    /// The folder of its socket.
    pub socket: PathBuf,
    pub binaries: Binaries,
    pub owner: Owner,
    pub settings: Settings,
    pub secrets: Secrets,
    /// Others only read, as long as a transaction may be taken back.
    pub read_only: bool,
}

impl Cluster {
    /// A layout's cluster as it is configured; touches no file.
    pub fn new(
        layout: &Layout,
        config: &Config,
        binaries: Binaries,
        owner: Owner,
        secrets: Secrets,
    ) -> Cluster {
        Cluster {
            folder: layout.state.join("database"),
            socket: layout.database_socket.clone(),
            binaries,
            owner,
            settings: Settings::of(config),
            secrets,
            read_only: false,
        }
    }

    pub fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    pub(super) fn socket_file(&self) -> PathBuf {
        self.socket.join(format!(".s.PGSQL.{}", super::PORT))
    }

    /// Makes the cluster where there is none. Killed at any point, it is simply run again.
    pub fn init(&self) -> Result<bool, Failure> {
        self.check()?;
        if existing_major(&self.folder)?.is_some() {
            return Ok(false);
        }
        private_folder(&self.folder, self.owner.user)?;
        let lock = self.lock()?;
        if existing_major(&self.folder)?.is_some() {
            return Ok(false);
        }
        self.remove_unfinished()?;
        self.secrets.ensure(SUPERUSER_SECRET)?;
        self.secrets.ensure(REPLICATION_SECRET)?;
        let beside = self.folder.join(format!("{UNFINISHED}{}", std::process::id()));
        let made = self.initdb(&beside, lock).and_then(|()| self.append_include(&beside)).and_then(|()| {
            fs::rename(&beside, self.data()).map_err(|cause| Failure::io("create", &self.data(), cause))?;
            sync(&self.folder)
        });
        if made.is_err() {
            let _ = fs::remove_dir_all(&beside);
        }
        made.map(|()| true)
    }

    fn initdb(&self, folder: &Path, lock: File) -> Result<(), Failure> {
        let locale = &self.settings.locale;
        let failed = match self.initdb_with(folder, &[&format!("--locale={locale}")], &lock) {
            Ok(()) => return Ok(()),
            Err(failure) => failure,
        };
        let said = std::error::Error::source(&failed).map(ToString::to_string).unwrap_or_default();
        if let Some(help) = failure::look_for_room(&said, &self.folder) {
            return Err(failed.help(help));
        }
        if !said.contains("invalid locale") {
            return Err(failed);
        }
        let _ = fs::remove_dir_all(folder);
        if self.settings.is_builtin(self.binaries.major) {
            let builtin = ["--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"];
            return self.initdb_with(folder, &builtin, &lock);
        }
        Err(self.settings.no_locale())
    }

    fn initdb_with(&self, folder: &Path, locale: &[&str], lock: &File) -> Result<(), Failure> {
        let lock = lock.try_clone().map_err(|cause| Failure::io("lock", &self.folder, cause))?;
        Program::new(self.binaries.server("initdb"))
            .args(["--encoding=UTF8", "--data-checksums", "--auth=scram-sha-256"])
            .args(locale)
            .args(["--username", SUPERUSER, "--pwfile"])
            .arg(self.secrets.path(SUPERUSER_SECRET))
            .arg("--pgdata")
            .arg(folder)
            .env("LC_MESSAGES", "C")
            .current_dir("/")
            .user(self.owner.user)
            // An initdb that outlives its launcher keeps the lock for as long as it writes.
            .stdin(lock)
            .run()
            .map(drop)
    }

    fn append_include(&self, folder: &Path) -> Result<(), Failure> {
        let path = folder.join("postgresql.conf");
        let line = format!(
            "\n# Last, so that it wins; written by mathesar at every start.\ninclude '{}'\n",
            conf::INCLUDED
        );
        OpenOptions::new()
            .append(true)
            .open(&path)
            .and_then(|mut file| {
                file.write_all(line.as_bytes())?;
                file.sync_all()
            })
            .map_err(|cause| Failure::io("write", &path, cause))
    }

    /// What a killed initdb has left.
    fn remove_unfinished(&self) -> Result<(), Failure> {
        let failed = |cause| Failure::io("read", &self.folder, cause);
        for entry in fs::read_dir(&self.folder).map_err(failed)?.flatten() {
            if entry.file_name().to_string_lossy().starts_with(UNFINISHED) {
                fs::remove_dir_all(entry.path())
                    .map_err(|cause| Failure::io("remove", &entry.path(), cause))?;
            }
        }
        Ok(())
    }

    /// Settings and rules as they are to be at the next start.
    pub(super) fn write_files(&self) -> Result<(), Failure> {
        let conf = Conf {
            max_connections: self.settings.max_connections,
            shared_buffers: self.settings.shared_buffers,
            ordinary_user: self.owner.uid >= 1000,
            read_only: self.read_only,
        };
        self.write_file(conf::INCLUDED, &conf.render(&self.socket))?;
        self.write_file("pg_hba.conf", &conf::hba())?;
        self.write_file("pg_ident.conf", &conf::ident(&self.owner.name))
    }

    fn write_file(&self, name: &str, content: &str) -> Result<(), Failure> {
        let path = self.data().join(name);
        if fs::read_to_string(&path).is_ok_and(|now| now == content) {
            return Ok(());
        }
        let beside = self.data().join(format!("{name}.new"));
        let _ = fs::remove_file(&beside);
        let write = || {
            let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside)?;
            if let Some(user) = self.owner.user {
                std::os::unix::fs::fchown(&file, Some(user.uid), Some(user.gid))?;
            }
            file.write_all(content.as_bytes())?;
            file.sync_all()?;
            fs::rename(&beside, &path)
        };
        write().map_err(|cause| Failure::io("write", &path, cause))
    }

    /// The socket's folder, for the owner alone: in a place such as /tmp another user could have made it first.
    pub fn socket_folder(&self) -> Result<(), Failure> {
        private_folder(&self.socket, self.owner.user)?;
        let meta =
            fs::symlink_metadata(&self.socket).map_err(|cause| Failure::io("read", &self.socket, cause))?;
        if !meta.is_dir() || meta.uid() != self.owner.uid || meta.mode() & 0o022 != 0 {
            return Err(Failure::new(format!(
                "{} is not safe for the database's socket",
                self.socket.display()
            ))
            .cause(format!("it must be a folder of `{}` that nobody else can write to", self.owner.name))
            .exit(Exit::Refused)
            .help(format!("look at it: `ls -ld {}`", crate::cure::path(&self.socket)))
            .help(format!("where it is yours, close it: `chmod 700 {}`", crate::cure::path(&self.socket))));
        }
        Ok(())
    }

    pub(super) fn superuser(&self, database: &str) -> Result<Psql, Failure> {
        // Never a new one: the cluster has its own.
        let password = self.secrets.read(SUPERUSER_SECRET)?.ok_or_else(|| self.no_password())?;
        let passwords = password_file(&self.secrets, SUPERUSER_PASSWORDS, &password)?;
        Ok(Psql { passwords: Some(passwords), ..self.psql(SUPERUSER, database) })
    }

    pub(super) fn psql(&self, role: &str, database: &str) -> Psql {
        Psql {
            program: self.binaries.client("psql"),
            host: self.socket.to_string_lossy().into_owned(),
            port: super::PORT,
            role: role.to_owned(),
            database: database.to_owned(),
            passwords: None,
            user: self.owner.user,
            variables: Vec::new(),
        }
    }

    /// Runs SQL as the superuser.
    pub fn admin(&self, database: &str, sql: &str) -> Result<String, Failure> {
        let mut psql = self.superuser(database)?;
        psql.variables.push(on_guard(self.binaries.major));
        psql.run(sql)
    }

    /// Runs SQL as Mathesar's own role.
    pub fn query(&self, database: &str, sql: &str) -> Result<String, Failure> {
        let mut psql = self.psql(ROLE, database);
        psql.variables.push(("PGOPTIONS", conf::WRITES.to_owned()));
        psql.run(sql)
    }

    /// pg_basebackup, reaching this cluster as the replication role.
    pub fn basebackup(&self) -> Result<Program, Failure> {
        let password = self.secrets.ensure(REPLICATION_SECRET)?;
        let passwords = password_file(&self.secrets, "database-replication.pgpass", &password)?;
        Ok(Program::new(self.binaries.client("pg_basebackup"))
            .arg("--no-password")
            .env("PGHOST", &self.socket)
            .env("PGPORT", super::PORT.to_string())
            .env("PGUSER", REPLICATION)
            .env("PGPASSFILE", passwords)
            .current_dir("/")
            .user(self.owner.user))
    }

    pub(super) fn replication_password(&self) -> Result<crate::secrets::Secret, Failure> {
        self.secrets.ensure(REPLICATION_SECRET)
    }

    /// The variables by which Mathesar reaches the cluster: no password, as peer authentication needs none.
    pub fn environment(&self) -> Vec<(&'static str, String)> {
        vec![
            ("POSTGRES_HOST", self.socket.to_string_lossy().into_owned()),
            ("POSTGRES_PORT", super::PORT.to_string()),
            ("POSTGRES_USER", ROLE.to_owned()),
            ("POSTGRES_DB", self.settings.name.clone()),
        ]
    }
}

/// A cluster that initdb is still making, by the process that wanted it.
const UNFINISHED: &str = "data.new.";
