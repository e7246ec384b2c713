//! Roles and databases of the private cluster. Run at every start: what is there already stays.

use super::cluster::Cluster;
use super::psql::{identifier, literal};
use super::{REPLICATION, ROLE};
use crate::failure::{Exit, Failure};

/// What provisioning has made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Provisioned {
    /// Databases that were made now.
    pub databases: Vec<String>,
}

impl Cluster {
    /// Makes Mathesar's role, the replication role and the two databases, the server running.
    pub fn provision(&self) -> Result<Provisioned, Failure> {
        let settings = &self.settings;
        if settings.name == settings.user_database {
            return Err(Failure::new("`database.name` and `database.user-database` are the same database")
                .cause("Mathesar keeps its own tables and yours apart")
                .exit(Exit::Refused)
                .help("name another one: `mathesar config set database.user-database mathesar`"));
        }
        let names = [settings.name.as_str(), settings.user_database.as_str()];
        let script = self.script(&names)? + &private(&settings.name);
        let answer = self.admin("postgres", &script)?;
        Ok(Provisioned { databases: answer.lines().map(str::to_owned).collect() })
    }

    fn script(&self, names: &[&str; 2]) -> Result<String, Failure> {
        let password = self.replication_password()?;
        let mut script = format!(
            "SET log_statement = 'none'; SET log_min_error_statement = panic; SET log_min_duration_statement = -1;\n\
             SET client_min_messages = warning;\n\
             -- What a power cut takes back is done again at the next start; no wait for the disk at each statement.\n\
             SET synchronous_commit = off;\n\
             SELECT format('CREATE ROLE %I', name) FROM (VALUES ({role}), ({replication})) AS wanted(name)\n\
             WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = name) \\gexec\n\
             ALTER ROLE {role_name} LOGIN CREATEDB CREATEROLE NOSUPERUSER NOREPLICATION NOBYPASSRLS PASSWORD NULL;\n\
             ALTER ROLE {replication_name} LOGIN REPLICATION NOSUPERUSER NOCREATEDB NOCREATEROLE PASSWORD {password};\n",
            role = literal(ROLE),
            replication = literal(REPLICATION),
            role_name = identifier(ROLE),
            replication_name = identifier(REPLICATION),
            password = literal(password.expose()),
        );
        for name in names {
            let name = literal(name);
            script.push_str(&format!(
                "SELECT {name} WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_database WHERE datname = {name});\n\
                 SELECT format('CREATE DATABASE %I OWNER %I', {name}, {role}) WHERE NOT EXISTS\n\
                 (SELECT FROM pg_catalog.pg_database WHERE datname = {name}) \\gexec\n",
                role = literal(ROLE),
            ));
        }
        Ok(script)
    }
}

/// Roles that Mathesar makes for collaborators have no business in its own database.
fn private(name: &str) -> String {
    format!(
        "REVOKE ALL ON DATABASE {0} FROM PUBLIC; ALTER DATABASE {0} OWNER TO {1};\n",
        identifier(name),
        identifier(ROLE)
    )
}
