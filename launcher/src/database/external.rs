//! A PostgreSQL server of the user's: `database.url` and its password.

use std::time::Duration;

use super::explain::{Trouble, explain};
use super::psql::{Psql, identifier, password_file};
use super::url::Address;
use crate::config::{Config, Origin};
use crate::failure::{Exit, Failure};
use crate::process::User;
use crate::release::Postgresql;
use crate::secrets::{Secret, Secrets, read_file};

/// The server, and the internal database on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct External {
    pub address: Address,
    pub sslmode: String,
    pub password: Option<Secret>,
    /// Which setting names the password, and where that stands.
    pub password_from: String,
    pub timeout: Duration,
}

/// What a server said about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    pub version: String,
    pub major: u32,
    pub encrypted: bool,
    /// Whether the role may make databases and roles: Mathesar's screens for both need it.
    pub createdb: bool,
    pub createrole: bool,
}

impl External {
    /// The configured server; none where the private cluster is used.
    pub fn of(config: &Config) -> Result<Option<External>, Failure> {
        let Some(url) = config.text("database.url") else { return Ok(None) };
        let refused = |what: String, help: &str| {
            Failure::new(format!("`database.url` cannot be used: {what}")).exit(Exit::Refused).help(help)
        };
        let form =
            "write it as `mathesar config set database.url postgresql://role@host:5432/mathesar_django`";
        let address = Address::parse(url).map_err(|what| refused(what, form))?;
        let setting = config.text("database.sslmode").unwrap_or("prefer");
        let sslmode = match &address.sslmode {
            None => setting.to_owned(),
            Some(mode) if !["disable", "prefer", "require"].contains(&mode.as_str()) => {
                let what = format!("Mathesar knows no sslmode `{mode}`, only disable, prefer and require");
                return Err(refused(what, "choose one: `mathesar config set database.sslmode require`"));
            }
            Some(mode) if config.origin("database.sslmode") != Origin::Default && mode != setting => {
                let what = format!("it says sslmode `{mode}`, and `database.sslmode` says `{setting}`");
                return Err(refused(what, "remove one: `mathesar config unset database.sslmode`"));
            }
            Some(mode) => mode.clone(),
        };
        let password = match (config.path("database.password-file"), config.text("database.password")) {
            (Some(path), _) => Some(read_file(&path)?.ok_or_else(|| {
                Failure::new(format!(
                    "`database.password-file` names {}, which does not exist",
                    path.display()
                ))
                .exit(Exit::Refused)
                .help("make it, readable for the service alone: `install -m 600 /dev/stdin PATH`")
            })?),
            (None, Some(text)) if text.contains(['\n', '\r', '\0']) => {
                return Err(Failure::new("`database.password` must be one line").exit(Exit::Refused));
            }
            (None, text) => text.map(Secret::new),
        };
        let password_from = match config.path("database.password-file") {
            Some(path) => format!(
                "the file {} that `database.password-file` names ({})",
                path.display(),
                config.origin("database.password-file")
            ),
            None => format!("`database.password` ({})", config.origin("database.password")),
        };
        let timeout = config.duration("database.connect-timeout").unwrap_or(Duration::from_secs(10));
        Ok(Some(External { address, sslmode, password, password_from, timeout }))
    }

    /// The variables by which Mathesar reaches the server.
    pub fn environment(&self) -> Vec<(&'static str, String)> {
        let mut all = vec![
            ("POSTGRES_HOST", self.address.host.clone()),
            ("POSTGRES_PORT", self.address.port.to_string()),
            ("POSTGRES_USER", self.address.role.clone()),
            ("POSTGRES_DB", self.address.database.clone()),
            ("POSTGRES_SSLMODE", self.sslmode.clone()),
            // Mathesar's own connection forgets the former; the client library knows this one.
            ("PGSSLMODE", self.sslmode.clone()),
        ];
        all.extend(
            self.password.as_ref().map(|password| ("POSTGRES_PASSWORD", password.expose().to_owned())),
        );
        all
    }

    /// Connects as Mathesar would, and says what is missing: one cause, one cure.
    pub fn test(
        &self,
        psql: &std::path::Path,
        secrets: &Secrets,
        user: Option<User>,
        range: &Postgresql,
    ) -> Result<Facts, Failure> {
        let connection = self.connection(psql, secrets, user)?;
        let output = connection.program(QUESTIONS).output()?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            return Err(explain(said.trim(), self).failure(said.trim(), self));
        }
        self.judge(&String::from_utf8_lossy(&output.stdout), range)
    }

    pub(super) fn connection(
        &self,
        psql: &std::path::Path,
        secrets: &Secrets,
        user: Option<User>,
    ) -> Result<Psql, Failure> {
        let passwords = self.password.as_ref();
        let passwords = passwords
            .map(|password| password_file(secrets, "database-external.pgpass", password))
            .transpose()?;
        Ok(Psql {
            program: psql.to_owned(),
            host: self.address.host.clone(),
            port: self.address.port,
            role: self.address.role.clone(),
            database: self.address.database.clone(),
            passwords,
            user,
            variables: vec![
                ("PGSSLMODE", self.sslmode.clone()),
                // libpq takes whole seconds, and 1 as 2.
                ("PGCONNECT_TIMEOUT", self.timeout.as_secs().max(2).to_string()),
            ],
        })
    }

    /// pg_dump and its like, reaching this server as Mathesar does.
    pub fn program(
        &self,
        program: &std::path::Path,
        secrets: &Secrets,
        database: Option<&str>,
    ) -> Result<crate::process::Program, Failure> {
        let mut connection = self.connection(program, secrets, None)?;
        if let Some(database) = database {
            database.clone_into(&mut connection.database);
        }
        Ok(connection.bare())
    }

    /// Runs SQL in the internal database.
    pub fn query(&self, psql: &std::path::Path, secrets: &Secrets, sql: &str) -> Result<String, Failure> {
        self.connection(psql, secrets, None)?.run(sql)
    }

    fn judge(&self, answer: &str, range: &Postgresql) -> Result<Facts, Failure> {
        let fields: Vec<&str> = answer.trim().split('|').collect();
        let &[number, version, encrypted, create, public, createdb, createrole, encoding] = fields.as_slice()
        else {
            return Err(Failure::new(format!(
                "{} gave an answer that is no PostgreSQL's",
                self.address.place()
            )));
        };
        let major = number.parse::<u32>().unwrap_or(0) / 10_000;
        let version = version.split_whitespace().next().unwrap_or_default().to_owned();
        if !(range.min..=range.max).contains(&major) {
            return Err(Trouble::Version { found: version, min: range.min, max: range.max }.failure("", self));
        }
        if create != "t" || public != "t" {
            return Err(Trouble::Rights.failure("", self));
        }
        if encoding != "UTF8" {
            return Err(Trouble::Encoding(encoding.to_owned()).failure("", self));
        }
        Ok(Facts {
            version,
            major,
            encrypted: encrypted == "t",
            createdb: createdb == "t",
            createrole: createrole == "t",
        })
    }

    pub(super) fn role_name(&self) -> String {
        identifier(&self.address.role)
    }

    pub(super) fn database_name(&self) -> String {
        identifier(&self.address.database)
    }
}

/// Without a schema `public` its rights are no question.
const QUESTIONS: &str = "\
    SELECT current_setting('server_version_num'), current_setting('server_version'),\n\
    coalesce((SELECT ssl FROM pg_catalog.pg_stat_ssl WHERE pid = pg_backend_pid()), false),\n\
    has_database_privilege(current_database(), 'CREATE'),\n\
    coalesce((SELECT has_schema_privilege(oid, 'CREATE') FROM pg_catalog.pg_namespace WHERE nspname = 'public'), true),\n\
    rolcreatedb OR rolsuper, rolcreaterole OR rolsuper, current_setting('server_encoding')\n\
    FROM pg_catalog.pg_roles WHERE rolname = current_user;\n";

#[cfg(test)]
#[path = "external_tests.rs"]
mod tests;
