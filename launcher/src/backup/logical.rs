//! A copy of what is on a server of the user's: by pg_dump, as its data folder is out of reach.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::archive::{Sealed, Writer};
use super::checks::{self, Checks, Dump};
use super::create::{self, Clock, GLOBALS, Made, Opened, Options};
use super::manifest::{Kind, Lack};
use super::moment;
use super::room::{self, Need};
use super::staging::{self, Staging};
use super::{base::Verified, dumps, parts, place};
use crate::app::files;
use crate::app::store::Installed;
use crate::database::{Binaries, Durability, External, SUPERUSER, Scratch, identifier, literal};
use crate::failure::{Exit, Failure};
use crate::installation::Installation;
use crate::process::Program;
use crate::progress::Progress;
use crate::terminal::size;

/// What no copy by pg_dump keeps.
const ALWAYS: &[&str] = &[
    "how tables and columns are shown, saved explorations and forms: Mathesar keeps them by the numbers (OIDs) of tables, and restored tables \
     have other numbers",
    "one moment over all databases: each is of the moment at which its own dump began",
    "the server's own settings, tablespaces and replication",
];

/// One server of the user's, and the programs for it.
struct Server<'a> {
    external: External,
    installation: &'a Installation,
    binaries: Binaries,
    version: String,
    major: u32,
}

/// Makes a backup of the internal database, of every database on that server that Mathesar is connected to, and of everything
/// beside them.
pub fn create(
    installation: &Installation,
    release: &Installed,
    options: Options<'_>,
    progress: &dyn Progress,
) -> Result<Made, Failure> {
    let _lock = create::lock(installation)?;
    let state = &installation.layout.state;
    create::refuse_meanwhile(state)?;
    let server = Server::find(installation)?;
    let mut cannot_keep: Vec<String> = ALWAYS.iter().map(|what| (*what).to_owned()).collect();
    let (databases, elsewhere) = server.databases()?;
    cannot_keep.extend(elsewhere);
    let bytes = server.bytes(&databases)?;
    let beside = files::size(&installation.media()) + files::size(&release.path.join("tree"));
    let above = staging::above(state);
    room::check(&[
        Need { folder: &above, bytes: bytes / 2, what: "dumps of the databases" },
        Need { folder: options.to.folder(), bytes: bytes / 2 + beside, what: "the archive" },
    ])?;
    options.to.try_out(&release.version)?;
    let staging = Staging::new(state, "backup")?;
    files::create_folder(&staging.path().join("portable"))?;
    let mut clock = Clock::new();
    let (mut made, mut lacks) = (Vec::new(), Vec::new());
    for (number, database) in databases.iter().enumerate() {
        progress.start(&format!("Dumping {database}"));
        let file = format!("portable/{}.dump", number + 1);
        let program = server.program("pg_dump", Some(database))?;
        match dumps::run(dumps::custom(program, &staging.path().join(&file), dumps::Level::Packed), database)
        {
            Ok(()) => made.push(Dump { file, database: database.clone() }),
            // Without the internal one it is no backup of Mathesar.
            Err(failure) if number == 0 => return Err(failure),
            Err(failure) => {
                let why = std::error::Error::source(&failure).map(ToString::to_string).unwrap_or_default();
                let why = why
                    .lines()
                    .rfind(|line| line.contains("error"))
                    .unwrap_or("pg_dump failed")
                    .trim()
                    .to_owned();
                cannot_keep
                    .push(format!("the database {database}, which this role may not read whole ({why})"));
                lacks.push(Lack { database: database.clone(), why });
                let _ = std::fs::remove_file(staging.path().join(&file));
            }
        }
    }
    cannot_keep.extend(server.globals(&staging.path().join(GLOBALS)));
    progress.done(&format!("Dumped {} databases", made.len()));
    clock.took("dump");

    let limit = installation.config.duration("database.start-timeout").unwrap_or(Duration::from_secs(300));
    let mut checks = Checks { tables: Vec::new(), dumps: made, made: String::new() };
    match restore(&server.binaries, staging.path(), &checks, &staging, limit, progress) {
        Ok(scratch) => checks.tables = of_dumps(checks::tables(&scratch)?, &checks.dumps),
        Err(failure) => {
            let why =
                std::error::Error::source(&failure).map(|cause| format!(": {cause}")).unwrap_or_default();
            progress.note(&format!("the dumps could not be restored here for a look: {failure}{why}"));
            cannot_keep
                .push("the proof that it can be restored: it could not be, on this machine".to_owned());
        }
    }
    checks.made = moment::text(SystemTime::now());
    clock.took("restore");
    for what in &cannot_keep {
        progress.note(&format!("a logical copy does not keep {what}"));
    }

    let portable = files::size(&staging.path().join("portable"));
    let of_server = (server.version.clone(), server.major);
    let mut manifest =
        parts::bare(installation, release, &options, of_server, &server.external.address.database)?;
    manifest.kind = Kind::Logical;
    manifest.unpacked_bytes = portable + beside;
    manifest.socket = Some(PathBuf::from(&server.external.address.host));
    manifest.port = server.external.address.port;
    manifest.cannot_keep = cannot_keep;
    manifest.lacks = lacks;
    let target = Opened::new(options.to, &place::stem(&release.version, &manifest.created))?;
    let level = installation.config.integer("backup.compression-level").unwrap_or(3);
    let mut writer = Writer::new(target.file()?, i32::try_from(level).unwrap_or(3))?;
    writer.bytes("manifest.json", 0o600, &manifest.to_bytes()?)?;
    progress.start("Packing the backup");
    parts::pack(&mut writer, installation, release, progress)?;
    for name in checks.dumps.iter().map(|dump| dump.file.as_str()).chain([GLOBALS]) {
        let path = staging.path().join(name);
        if path.is_file() {
            writer.file(name, &path)?;
        }
    }
    writer.bytes("checks.json", 0o600, &checks.to_json()?)?;
    let Sealed { digest, bytes: packed } = writer.finish()?;
    let path = target.place()?;
    clock.took("pack");
    create::remember(state, &digest, &path, &manifest)?;
    progress.done(&format!("Packed {} ({})", path.display(), size(packed)));
    Ok(Made {
        path,
        digest,
        bytes: packed,
        created: manifest.created.clone(),
        copied: bytes,
        databases: checks.dumps.len(),
        tables: checks.tables.len(),
        rows: checks.tables.iter().map(|table| table.rows).sum(),
        lacks: manifest.lacks,
        verified: Verified::NotRun("a logical copy has no list of files".to_owned()),
        took: clock.took,
    })
}

impl<'a> Server<'a> {
    fn find(installation: &'a Installation) -> Result<Server<'a>, Failure> {
        let external = External::of(&installation.config)?
            .ok_or_else(|| Failure::new("`database.url` names no server").exit(Exit::Refused))?;
        let search = installation.search();
        let psql = search.system().first().map(|found| found.client("psql"));
        let psql = psql.ok_or_else(|| search.missing_new())?;
        let facts = external.test(&psql, &installation.secrets, None, &installation.pinned.postgresql)?;
        let binaries = scratch_binaries(installation, facts.major)?;
        dumps::check(&binaries.client)?;
        Ok(Server { external, installation, binaries, version: facts.version, major: facts.major })
    }

    fn program(&self, name: &str, database: Option<&str>) -> Result<Program, Failure> {
        self.external.program(&self.binaries.client(name), &self.installation.secrets, database)
    }

    fn query(&self, sql: &str) -> Result<String, Failure> {
        self.external.query(&self.binaries.client("psql"), &self.installation.secrets, sql)
    }

    /// The internal one first, then those that Mathesar is connected to on the same server; and a word about those elsewhere.
    fn databases(&self) -> Result<(Vec<String>, Vec<String>), Failure> {
        let internal = &self.external.address.database;
        let mut all = vec![internal.clone()];
        let mut elsewhere = Vec::new();
        // Before Mathesar's tables are made there is nobody to ask.
        let asked = self.query("SELECT to_regclass('mathesar_database') IS NOT NULL;")?;
        if asked.trim() != "t" {
            return Ok((all, elsewhere));
        }
        let answer = self.query(
            "SELECT json_build_array(d.name, s.host, coalesce(s.port, 5432), EXISTS (SELECT FROM pg_catalog.pg_database p WHERE p.datname = d.name))\n\
             FROM mathesar_database d JOIN mathesar_server s ON s.id = d.server_id ORDER BY d.name;",
        )?;
        for line in answer.lines() {
            let (name, host, port, exists): (String, String, u16, bool) = serde_json::from_str(line)
                .map_err(|cause| {
                    Failure::new(format!("cannot understand psql's answer `{line}`")).cause(cause)
                })?;
            let here = port == self.external.address.port && same_host(&host, &self.external.address.host);
            if !here || !exists {
                elsewhere.push(format!(
                    "the database {name} on the server {host}, port {port}: it is another one"
                ));
            } else if !all.contains(&name) {
                all.push(name);
            }
        }
        Ok((all, elsewhere))
    }

    fn bytes(&self, databases: &[String]) -> Result<u64, Failure> {
        let names: Vec<String> = databases.iter().map(|name| literal(name)).collect();
        // One that the role may not connect to tells no size.
        let answer = self.query(&format!(
            "SELECT coalesce(sum(pg_catalog.pg_database_size(oid)), 0) FROM pg_catalog.pg_database\n\
             WHERE datname IN ({}) AND has_database_privilege(oid, 'CONNECT');",
            names.join(", ")
        ))?;
        Ok(answer.trim().parse().unwrap_or(0))
    }

    /// What is not kept of the roles.
    fn globals(&self, to: &Path) -> Option<String> {
        let run = |more: &[&str]| {
            // To connect to, where it reads the roles: `postgres` need not be there.
            let database = format!("--database={}", self.external.address.database);
            let program = self.program("pg_dumpall", None)?;
            let program =
                program.args(["--globals-only", "--no-password", &database, "--file"]).arg(to).args(more);
            dumps::run(program, "roles")
        };
        if run(&[]).is_ok() {
            return None;
        }
        if run(&["--no-role-passwords"]).is_ok() {
            return Some("the passwords of roles: only a superuser may read them".to_owned());
        }
        let _ = std::fs::remove_file(to);
        Some("roles: this one may not read them".to_owned())
    }
}

fn same_host(one: &str, other: &str) -> bool {
    let near = |host: &str| matches!(host, "localhost" | "127.0.0.1" | "::1");
    one == other || near(one) && near(other)
}

/// Programs of at least this major, the nearest first: an older pg_dump refuses a newer server.
pub(super) fn scratch_binaries(installation: &Installation, major: u32) -> Result<Binaries, Failure> {
    let search = installation.search();
    let mut found = search.system();
    found.extend(
        search.embedded.as_deref().and_then(|folder| crate::database::embedded_binaries(folder).ok()),
    );
    found.retain(|binaries| binaries.major >= major);
    found.sort_by_key(|binaries| binaries.major);
    found.into_iter().find(|binaries| binaries.client("pg_dump").exists()).ok_or_else(|| {
        Failure::new(format!(
            "the server is of PostgreSQL {major}, and no pg_dump of {major} or newer is installed"
        ))
        .cause("an older one refuses to dump it")
        .exit(Exit::Refused)
        .help(format!("install it: `{}`", search.distribution.install(Some(major))))
    })
}

/// In a scratch cluster: owns databases, and may nothing else.
const RESTORER: &str = "mathesar_restorer";

/// Restores all dumps of an unpacked archive into a cluster that is made for it and thrown away.
pub(super) fn restore(
    binaries: &Binaries,
    folder: &Path,
    checks: &Checks,
    staging: &Staging,
    limit: Duration,
    progress: &dyn Progress,
) -> Result<Scratch, Failure> {
    let data = staging.path().join("data");
    progress.start("Restoring the dumps into a PostgreSQL of their own");
    Program::new(binaries.server("initdb"))
        .args([
            "--encoding=UTF8",
            "--locale=C",
            "--auth=trust",
            "--no-sync",
            "--username",
            SUPERUSER,
            "--pgdata",
        ])
        .arg(&data)
        .env("LC_MESSAGES", "C")
        .current_dir("/")
        .run()?;
    let above = staging.path().parent().unwrap_or(staging.path());
    let server = Scratch::start(binaries, &data, above, Durability::ThrownAway, limit)?;
    // Restoring runs what tables check and index by, which is their owners' code: with nobody's rights.
    server.sql("postgres", &format!("CREATE ROLE {RESTORER} LOGIN;"))?;
    for dump in &checks.dumps {
        let database = identifier(&dump.database);
        let statement = match dump.database.as_str() {
            "postgres" => format!("ALTER DATABASE {database} OWNER TO {RESTORER};"),
            _ => format!("CREATE DATABASE {database} TEMPLATE template0 OWNER {RESTORER};"),
        };
        server.sql("postgres", &statement)?;
        // Whose it was is of no importance for a look, and those roles need not be there.
        server
            .program_as(RESTORER, "pg_restore", &dump.database)
            .args(["--no-owner", "--no-privileges", "--exit-on-error", "--no-password", "--dbname", ""])
            .arg(folder.join(&dump.file))
            .run()?;
    }
    progress.done(&format!("Restored {} dumps", checks.dumps.len()));
    Ok(server)
}

/// What of a scratch cluster came by dumps: not its own roles.
pub(super) fn of_dumps(mut tables: Vec<checks::Table>, dumps: &[Dump]) -> Vec<checks::Table> {
    tables.retain(|table| {
        table.schema != "pg_catalog" && dumps.iter().any(|dump| dump.database == table.database)
    });
    tables
}
