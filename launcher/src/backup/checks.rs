//! What every table holds, in two numbers: how many rows, and a checksum that their order does not change.

use serde::{Deserialize, Serialize};

use crate::database::Scratch;
use crate::failure::Failure;

/// One table, sequence or materialized view, as it was found.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Table {
    pub database: String,
    pub schema: String,
    pub table: String,
    pub rows: u64,
    pub checksum: String,
}

/// A portable copy of one database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dump {
    /// Its name in the archive.
    pub file: String,
    pub database: String,
}

/// `checks.json`
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checks {
    pub tables: Vec<Table>,
    pub dumps: Vec<Dump>,
    /// RFC 3339, UTC.
    pub made: String,
}

/// How one table is, compared with what was written down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Judgement {
    Same,
    Rows {
        was: u64,
        is: u64,
    },
    Content,
    Missing,
    /// It is there, and was not.
    Extra,
}

impl Judgement {
    pub fn is_good(&self) -> bool {
        *self == Judgement::Same
    }
}

impl std::fmt::Display for Judgement {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Judgement::Same => write!(f, "same"),
            Judgement::Rows { was, is } => write!(f, "{is} rows, not {was}"),
            Judgement::Content => write!(f, "its rows are others"),
            Judgement::Missing => write!(f, "missing"),
            Judgement::Extra => write!(f, "was not there"),
        }
    }
}

/// Every table of either, with how it compares.
pub fn compare(was: &[Table], is: &[Table]) -> Vec<(Table, Judgement)> {
    type Key<'a> = (&'a str, &'a str, &'a str);
    fn key(table: &Table) -> Key<'_> {
        (&table.database, &table.schema, &table.table)
    }
    let found: std::collections::BTreeMap<Key<'_>, &Table> =
        is.iter().map(|table| (key(table), table)).collect();
    let known: std::collections::BTreeSet<Key<'_>> = was.iter().map(key).collect();
    let judged = was.iter().map(|table| {
        let judgement = match found.get(&key(table)) {
            None => Judgement::Missing,
            Some(now) if now.rows != table.rows => Judgement::Rows { was: table.rows, is: now.rows },
            Some(now) if now.checksum != table.checksum => Judgement::Content,
            Some(_) => Judgement::Same,
        };
        (table.clone(), judgement)
    });
    let extra = is.iter().filter(|table| !known.contains(&key(table)));
    judged.chain(extra.map(|table| (table.clone(), Judgement::Extra))).collect()
}

/// Runs SQL in a database as superuser.
pub type Ask<'a> = dyn Fn(&str, &str) -> Result<String, Failure> + 'a;

/// PostgreSQL's own templates hold nothing of anybody's, and one whose removal was interrupted lets nobody in.
const OPEN: &str = "datallowconn AND datconnlimit <> -2 AND datname NOT IN ('template0', 'template1')";

/// Databases that somebody can connect to, people's templates too.
pub fn databases(server: &Scratch) -> Result<Vec<String>, Failure> {
    databases_by(&|database, statement| server.sql(database, statement))
}

pub(super) fn databases_by(ask: &Ask<'_>) -> Result<Vec<String>, Failure> {
    databases_where(ask, OPEN)
}

/// By a condition on pg_database.
pub fn databases_where(ask: &Ask<'_>, condition: &str) -> Result<Vec<String>, Failure> {
    let answer = ask(
        "postgres",
        &format!(
            "SELECT pg_catalog.to_json(datname::pg_catalog.text) FROM pg_catalog.pg_database\n\
             WHERE {condition} ORDER BY datname;"
        ),
    )?;
    answer.lines().map(|line| serde_json::from_str(line).map_err(|cause| odd(line, cause))).collect()
}

/// Every table of every database: the same rows give the same numbers, on every server.
pub fn tables(server: &Scratch) -> Result<Vec<Table>, Failure> {
    tables_by(&|database, statement| server.sql(database, statement))
}

/// The same of any server.
pub fn tables_by(ask: &Ask<'_>) -> Result<Vec<Table>, Failure> {
    let mut all = Vec::new();
    for database in databases_by(ask)? {
        let answer = ask(&database, &statements(database == "postgres"))?;
        for line in answer.lines() {
            let mut table: Table = serde_json::from_str(line).map_err(|cause| odd(line, cause))?;
            table.database.clone_from(&database);
            all.push(table);
        }
    }
    all.sort();
    Ok(all)
}

/// Those of them that every launcher has made a portable copy of.
pub(super) fn dumped(ask: &Ask<'_>) -> Result<Vec<String>, Failure> {
    databases_where(ask, &format!("{OPEN} AND NOT datistemplate"))
}

/// Databases that nobody can connect to, PostgreSQL's own template left out.
pub(super) fn closed(ask: &Ask<'_>) -> Result<Vec<String>, Failure> {
    databases_where(ask, &format!("NOT ({OPEN}) AND datname NOT IN ('template0', 'template1')"))
}

/// Databases on the server of a drill whose tables cannot be compared, with why not.
pub(super) fn not_compared(ask: &Ask<'_>, was: &[Table]) -> Result<Vec<(String, &'static str)>, Failure> {
    const CLOSED: &str = "it is closed to connections; its files are those that were copied";
    const OLD: &str = "it is a template, and the launcher that made the backup did not look into those";
    let closed = closed(ask)?.into_iter().map(|name| (name, CLOSED));
    let known = |name: &String| was.iter().any(|table| table.database == *name);
    let templates = databases_where(ask, &format!("{OPEN} AND datistemplate"))?;
    Ok(closed.chain(templates.into_iter().filter(|name| !known(name)).map(|name| (name, OLD))).collect())
}

pub(super) fn odd(line: &str, cause: serde_json::Error) -> Failure {
    Failure::new(format!("cannot understand psql's answer `{line}`")).cause(cause)
}

/// What decides how a value is written as text, and who is asked for operators: never the settings of a database or role.
const FIXED: &str = "\
SET search_path = pg_catalog; SET DateStyle = 'ISO, YMD'; SET TimeZone = 'UTC'; SET IntervalStyle = 'postgres';\n\
SET extra_float_digits = 1; SET bytea_output = 'hex'; SET lc_monetary = 'C'; SET xmlbinary = 'base64';\n\
SET row_security = off; SET statement_timeout = 0; SET lock_timeout = '60s'; SET idle_in_transaction_session_timeout = 0;\n\
SET quote_all_identifiers = off; SET client_min_messages = warning; SET jit = off; SET check_function_bodies = off;\n\
BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;\n";

/// Rows are written by `record_out`, not by a cast: a cast may be a function of somebody's, and would run as superuser. A
/// sum does not mind the order, and of numeric does not overflow. `t.*` is the whole row also where a column is named `t`.
fn statements(shared: bool) -> String {
    let answer = |schema: &str, table: &str, from: &str| {
        format!(
            "'SELECT json_build_object(''database'', '''', ''schema'', ' || {schema} || ', ''table'', ' || {table} || \
             ', ''rows'', count(*), ''checksum'', coalesce(sum(hashtextextended(record_out(t.*)::text, 0)), 0)::text) FROM ' || {from} || ' t'"
        )
    };
    let of_tables = answer("quote_literal(n.nspname)", "quote_literal(c.relname)", "of.what");
    let catalog = |name: &str, what: &str| {
        format!("SELECT {};\n", &answer("'''pg_catalog'''", &format!("'''{name}'''"), &format!("'({what})'")))
            .replace(";\n", " \\gexec\n")
    };
    let mut text = format!(
        "{FIXED}\
         SELECT {of_tables}\n\
         FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace,\n\
         LATERAL (SELECT CASE c.relkind WHEN 'S' THEN format('(SELECT last_value, is_called FROM %I.%I)', n.nspname, c.relname)\n\
         ELSE format('ONLY %I.%I', n.nspname, c.relname) END AS what) of\n\
         WHERE c.relkind IN ('r', 'm', 'S') AND c.relpersistence <> 't' AND (c.relkind <> 'm' OR c.relispopulated)\n\
         AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'\n\
         ORDER BY n.nspname, c.relname \\gexec\n"
    );
    text += &catalog("pg_largeobject", "SELECT loid, pageno, data FROM pg_largeobject");
    if shared {
        text += &catalog(
            "pg_authid",
            "SELECT rolname, rolsuper, rolinherit, rolcreaterole, rolcreatedb, rolcanlogin, rolreplication, rolbypassrls, rolconnlimit, rolpassword, rolvaliduntil FROM pg_authid",
        );
        text +=
            &catalog("pg_auth_members", "SELECT roleid, member, grantor, admin_option FROM pg_auth_members");
        text += &catalog("pg_database", "SELECT datname, datdba, encoding, datacl FROM pg_database");
    }
    text + "COMMIT;\n"
}

#[cfg(test)]
#[path = "checks_tests.rs"]
mod tests;
