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
    /// The first database for people's tables was made under another name, or they have removed it.
    pub no_first: bool,
}

impl Cluster {
    /// Makes Mathesar's role, the replication role and the two databases, the server running.
    pub fn provision(&self) -> Result<Provisioned, Failure> {
        let settings = &self.settings;
        settings.refuse_one_database()?;
        let script = self.roles()? + &first_databases(&settings.name, &settings.user_database);
        let mut answer = self.admin("postgres", &script)?;
        let others: Vec<String> = marked(&answer, OTHERS);
        if !others.is_empty() {
            self.refuse_name_beside(&others)?;
            // None of them is Mathesar's own: it was removed, and a new one is what is wanted.
            answer = self.admin("postgres", &internal(&settings.name))?;
        }
        let no_first = !marked(&answer, NO_FIRST).is_empty();
        Ok(Provisioned { databases: marked(&answer, MADE), no_first })
    }

    /// `database.name` counts when a cluster is made: a database that is not there would be an empty Mathesar.
    pub fn refuse_other_names(&self) -> Result<(), Failure> {
        let name = literal(&self.settings.name);
        let others = format!(
            "SELECT '{OTHERS}' || datname FROM pg_catalog.pg_database WHERE {OURS} AND NOT EXISTS\n\
             (SELECT FROM pg_catalog.pg_database WHERE datname = {name});\n"
        );
        let answer = self.query("postgres", &others)?;
        self.refuse_name_beside(&marked(&answer, OTHERS))
    }

    fn refuse_name_beside(&self, others: &[String]) -> Result<(), Failure> {
        const ASK: &str = "SELECT pg_catalog.to_regclass('public.django_migrations') IS NOT NULL;";
        let own = others.iter().find(|name| self.query(name, ASK).is_ok_and(|answer| answer.trim() == "t"));
        let Some(own) = own else { return Ok(()) };
        Err(Failure::new(format!("there is no database {}, which `database.name` names", self.settings.name))
            .cause(format!("this setting counts when a cluster is made; Mathesar's tables are in {own}"))
            .exit(Exit::Refused)
            .help(format!("go on with them: `mathesar config set database.name {own}`")))
    }

    fn roles(&self) -> Result<String, Failure> {
        let password = self.replication_password()?;
        Ok(format!(
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
        ))
    }
}

/// How a line of the answer begins: a database that was made; one of Mathesar's role, where its own one is missing; the first one
/// for people's tables is not there.
const MADE: &str = "+";
const OTHERS: &str = "?";
const NO_FIRST: &str = "-";

/// Databases of Mathesar's role; that one exists.
const OURS: &str = "NOT datistemplate AND datdba = 'mathesar'::pg_catalog.regrole";

fn marked(answer: &str, mark: &str) -> Vec<String> {
    answer.lines().filter_map(|line| line.strip_prefix(mark)).map(str::to_owned).collect()
}

fn first_databases(name: &str, user_database: &str) -> String {
    let (own, first) = (literal(name), literal(user_database));
    format!(
        "SELECT NOT EXISTS (SELECT FROM pg_catalog.pg_database WHERE datname = {own}) AS missing,\n\
         EXISTS (SELECT FROM pg_catalog.pg_database WHERE {OURS} AND datname <> {own}) AS others \\gset\n\
         \\if :missing\n\\if :others\n\
         SELECT '{OTHERS}' || datname FROM pg_catalog.pg_database WHERE {OURS};\n\
         \\q\n\\endif\n\\endif\n\
         {}\
         SELECT NOT EXISTS (SELECT FROM pg_catalog.pg_database WHERE datname = {first}) AS missing \\gset\n\
         \\if :missing\n\\if :others\n\
         SELECT '{NO_FIRST}';\n\
         \\else\n\
         {}\
         \\endif\n\\endif\n",
        internal(name),
        create(user_database),
    )
}

fn internal(name: &str) -> String {
    create(name) + &private(name)
}

fn create(name: &str) -> String {
    let name = literal(name);
    format!(
        "SELECT '{MADE}' || {name} WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_database WHERE datname = {name});\n\
         SELECT format('CREATE DATABASE %I OWNER %I', {name}, {role}) WHERE NOT EXISTS\n\
         (SELECT FROM pg_catalog.pg_database WHERE datname = {name}) \\gexec\n",
        role = literal(ROLE),
    )
}

/// Roles that Mathesar makes for collaborators have no business in its own database.
fn private(name: &str) -> String {
    format!(
        "REVOKE ALL ON DATABASE {0} FROM PUBLIC; ALTER DATABASE {0} OWNER TO {1};\n",
        identifier(name),
        identifier(ROLE)
    )
}
