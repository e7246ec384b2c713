//! What a copy of a cluster holds empty or at its beginning, as PostgreSQL writes no log of it.

use serde::{Deserialize, Serialize};

use super::checks::{Ask, databases_by, odd};
use crate::database::{Scratch, literal};
use crate::failure::{Exit, Failure};

/// An unlogged sequence (of PostgreSQL 15 and newer) as it was: on the copy it begins anew, and a table that is not unlogged would
/// get its numbers a second time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sequence {
    #[serde(default)]
    pub database: String,
    pub schema: String,
    pub name: String,
    pub last_value: i64,
    pub is_called: bool,
}

impl Sequence {
    /// For a person, like an unlogged table.
    pub(super) fn missing(&self) -> String {
        let name = format!("{}: {}.{}", self.database, self.schema, self.name);
        format!(
            "the value of {name} in its cluster's files: it is an unlogged sequence, of which PostgreSQL keeps no log; the manifest has \
             the value, and `mathesar restore` sets it"
        )
    }
}

/// Tables, as `database: schema.table`.
pub(super) fn tables(ask: &Ask<'_>) -> Result<Vec<String>, Failure> {
    let mut all = Vec::new();
    for database in databases_by(ask)? {
        let answer = ask(
            &database,
            "SELECT pg_catalog.to_json(pg_catalog.format('%s: %I.%I', pg_catalog.current_database(), n.nspname, c.relname))\n\
             FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace\n\
             WHERE c.relkind = 'r' AND c.relpersistence = 'u' ORDER BY n.nspname, c.relname;",
        )?;
        for line in answer.lines() {
            all.push(serde_json::from_str(line).map_err(|cause| odd(line, cause))?);
        }
    }
    Ok(all)
}

/// Asked after the copy was made: no value is less than those that rows in it have.
pub(super) fn sequences(ask: &Ask<'_>) -> Result<Vec<Sequence>, Failure> {
    let mut all = Vec::new();
    for database in databases_by(ask)? {
        let answer = ask(
            &database,
            "SELECT pg_catalog.format('SELECT pg_catalog.json_build_object(''schema'', %L, ''name'', %L, ''last_value'', last_value, \
             ''is_called'', is_called) FROM %I.%I', n.nspname, c.relname, n.nspname, c.relname)\n\
             FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace\n\
             WHERE c.relkind = 'S' AND c.relpersistence = 'u' ORDER BY n.nspname, c.relname \\gexec\n",
        )?;
        for line in answer.lines() {
            let mut sequence: Sequence = serde_json::from_str(line).map_err(|cause| odd(line, cause))?;
            sequence.database.clone_from(&database);
            all.push(sequence);
        }
    }
    Ok(all)
}

/// Brings their values back, in a cluster that was made of a copy.
pub(crate) fn set(server: &Scratch, all: &[Sequence]) -> Result<(), Failure> {
    for sequence in all {
        let Sequence { database, schema, name, last_value, is_called } = sequence;
        let statement = format!(
            "SELECT pg_catalog.setval(c.oid::pg_catalog.regclass, {last_value}, {is_called})\n\
             FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace\n\
             WHERE c.relkind = 'S' AND c.relpersistence = 'u' AND n.nspname = {} AND c.relname = {};",
            literal(schema),
            literal(name)
        );
        server.sql(database, &statement).map_err(|failure| {
            Failure::new(format!(
                "cannot set the unlogged sequence {schema}.{name} of {database} to {last_value}"
            ))
            .cause(failure.whole())
            .exit(Exit::Refused)
            .help("see which other backups there are: `mathesar backup list`")
        })?;
    }
    Ok(())
}
