//! Why a server cannot be used, told from psql's words (in English, as psql runs with LC_ALL=C).

use super::external::External;
use crate::failure::{Exit, Failure};

/// The causes that have a cure of their own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Trouble {
    Refused,
    UnknownHost,
    Unreachable,
    Timeout,
    NoSocket,
    SocketDenied,
    Password,
    NoPassword,
    NoRole,
    NoDatabase,
    MayNotConnect,
    NoRule,
    TlsRequired,
    TlsUnsupported,
    TlsNotInClient,
    Busy,
    Starting,
    Rights,
    Encoding(String),
    Version { found: String, min: u32, max: u32 },
    Other,
}

/// The first that fits counts: a server's own words may hold those of the connection.
pub(super) fn explain(said: &str, server: &External) -> Trouble {
    let has = |words: &str| said.contains(words);
    match () {
        () if has("SSL support is not compiled in") => Trouble::TlsNotInClient,
        () if has("does not support SSL") => Trouble::TlsUnsupported,
        () if has("password authentication failed") => Trouble::Password,
        () if has("no password supplied") => Trouble::NoPassword,
        () if (has("no pg_hba.conf entry") || has("pg_hba.conf rejects"))
            && server.sslmode == "disable"
            && !server.address.is_socket() =>
        {
            Trouble::TlsRequired
        }
        () if has("no pg_hba.conf entry") || has("pg_hba.conf rejects") => Trouble::NoRule,
        () if has("Peer authentication failed") || has("Ident authentication failed") => Trouble::NoRule,
        () if has("database") && has("does not exist") && !has("role \"") => Trouble::NoDatabase,
        () if has("role") && has("does not exist") => Trouble::NoRole,
        () if has("permission denied for database") || has("not permitted to log in") => {
            Trouble::MayNotConnect
        }
        () if has("too many") || has("remaining connection slots") => Trouble::Busy,
        () if has("database system is") => Trouble::Starting,
        () if has("could not translate host name") || has("could not resolve") => Trouble::UnknownHost,
        () if has("timeout expired") || has("timed out") => Trouble::Timeout,
        () if has("Connection refused") => Trouble::Refused,
        () if has("Permission denied") => Trouble::SocketDenied,
        () if has("No such file or directory") => Trouble::NoSocket,
        () if has("No route to host") || has("unreachable") => Trouble::Unreachable,
        () => Trouble::Other,
    }
}

/// psql's words without its name, its advice and what it says twice.
fn words(said: &str) -> String {
    const ADVICE: &[&str] = &["password retrieved from", "Is the server running", "WARNING: password file"];
    let mut lines: Vec<&str> = Vec::new();
    for line in said.lines() {
        let line = line.trim();
        let line = line.strip_prefix("psql: error: ").unwrap_or(line);
        if !line.is_empty() && !ADVICE.iter().any(|advice| line.starts_with(advice)) && !lines.contains(&line)
        {
            lines.push(line);
        }
    }
    lines.join("\n    ")
}

impl Trouble {
    /// Cause and cure. `said`: the words that it was told from.
    pub fn failure(&self, said: &str, server: &External) -> Failure {
        let address = &server.address;
        let place = address.place();
        let (role, database) = (server.role_name(), server.database_name());
        let listening = match address.is_socket() {
            true => "start the server, or name the folder of its socket in `database.url`".to_owned(),
            false => format!(
                "start the server, and let it listen there: `SHOW listen_addresses` on it must cover {}",
                address.host
            ),
        };
        let (message, cure) = match self {
            Trouble::Refused => (format!("no server listens on {place}"), listening),
            Trouble::NoSocket => (format!("there is no socket {place}"), listening),
            Trouble::SocketDenied => {
                (format!("the socket {place} may not be used"), format!("look at its folder: `ls -ld {}`", crate::cure::quoted(&address.host)))
            }
            Trouble::UnknownHost => (
                format!("the host `{}` is not known", address.host),
                format!("see what the system says: `getent hosts {}`", address.host),
            ),
            Trouble::Unreachable => {
                (format!("{place} cannot be reached"), "look at the network's routes and firewall".to_owned())
            }
            Trouble::Timeout => (
                format!("{place} did not answer within {} seconds", server.timeout.as_secs().max(2)),
                "look for a firewall between, or wait longer: `mathesar config set database.connect-timeout 30s`".to_owned(),
            ),
            Trouble::Password => (
                format!("the server refuses the password of role {role}"),
                format!("it comes from {}; put the right one there, and try it: `mathesar db url --test`", server.password_from),
            ),
            Trouble::NoPassword => (
                format!("the server wants a password of role {role}, and none is set"),
                "name a file that holds it: `mathesar config set database.password-file /path`".to_owned(),
            ),
            Trouble::NoRole => {
                (format!("the server has no role {role}"), format!("make it there: `CREATE ROLE {role} LOGIN PASSWORD '…'`"))
            }
            Trouble::NoDatabase => (
                format!("the server has no database {database}"),
                format!("make it there: `CREATE DATABASE {database} OWNER {role}`"),
            ),
            Trouble::MayNotConnect => (
                format!("role {role} may not connect to database {database}"),
                format!("allow it there: `GRANT CONNECT ON DATABASE {database} TO {role}; ALTER ROLE {role} LOGIN`"),
            ),
            Trouble::NoRule => (
                format!("the server lets role {role} not come in from this machine to database {database}"),
                format!("add a line to its pg_hba.conf, and reload it: `host {database} {role} ADDRESS scram-sha-256`"),
            ),
            Trouble::TlsRequired => (
                "the server accepts encrypted connections only".to_owned(),
                "encrypt: `mathesar config set database.sslmode require`".to_owned(),
            ),
            Trouble::TlsUnsupported => (
                "the server does not offer encryption, and `require` asks for it".to_owned(),
                "switch it on there (`ssl = on`), or go without: `mathesar config set database.sslmode prefer`".to_owned(),
            ),
            Trouble::TlsNotInClient => (
                "this psql cannot encrypt, as it was built without TLS".to_owned(),
                "install the distribution's PostgreSQL client".to_owned(),
            ),
            Trouble::Busy => (
                "the server has no free connection".to_owned(),
                "end some, or raise `max_connections` there".to_owned(),
            ),
            Trouble::Starting => ("the server is starting or stopping".to_owned(), "try again in a minute".to_owned()),
            Trouble::Rights => (
                format!("role {role} may not create schemas and tables in database {database}"),
                match address.role.as_str() {
                    role if super::RESERVED_ROLES.contains(&role) => {
                        "name another role in `database.url`: schemas of Mathesar's have this name, and its queries break".to_owned()
                    }
                    _ => format!("give it the database: `ALTER DATABASE {database} OWNER TO {role}`"),
                },
            ),
            Trouble::Encoding(found) => (
                format!("database {database} is encoded in {found}, and Mathesar needs UTF8"),
                format!("make another: `CREATE DATABASE mathesar_django OWNER {role} ENCODING 'UTF8' TEMPLATE template0`"),
            ),
            Trouble::Version { found, min, max } => (
                format!("the server is PostgreSQL {found}, and Mathesar needs {min} to {max}"),
                "name another server in `database.url`, or use the private cluster: `mathesar config unset database.url`".to_owned(),
            ),
            Trouble::Other => (format!("the database at {place} cannot be used"), "see the server's own log".to_owned()),
        };
        let failure = Failure::new(message).exit(Exit::Refused).help(cure);
        if said.is_empty() { failure } else { failure.cause(words(said)) }
    }
}
