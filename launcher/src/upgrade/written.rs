//! Whether anybody has written since a transaction was committed. Transaction numbers alone do not tell: autovacuum takes some, and a
//! session of a visitor is nobody's loss. PostgreSQL counts the rows that were inserted, changed and removed, in every table and
//! catalog, over restarts too; after a crash it begins anew, and says so.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Value, json};

use crate::backup::checks;
use crate::database::{Cluster, REPLICATION, SUPERUSER, literal};
use crate::failure::Failure;
use crate::transaction::uploads::listing;

/// Sessions come and go, and reports are made, without anybody's doing.
const OF_NOBODY: &str = "'django_session', 'mathesar_analyticsreport'";
/// Its `last_login` changes with every login: what else is in it is compared instead.
const PEOPLE: &str = "mathesar_user";

/// What had been written when this was looked at. Equal ones: nothing was written in between.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// When counting began.
    began: String,
    /// The counts of every table, as a digest a database.
    digests: BTreeMap<String, String>,
    /// How many rows of people's tables were written.
    rows: u64,
    /// Names, sizes and times of uploaded files, where they were replaced as well.
    files: Option<String>,
}

impl Written {
    /// The server runs, and nobody is connected whose writes are not counted yet.
    pub fn of(cluster: &Cluster, media: Option<&Path>) -> Result<Written, Failure> {
        let ask = |database: &str, sql: &str| cluster.admin(database, sql);
        let began = ask("postgres", BEGAN)?;
        let Some(began) = began.trim().strip_prefix("t|") else {
            return Err(
                Failure::new("PostgreSQL does not count what is written").cause("track_counts is off")
            );
        };
        let mut written = Written {
            began: began.to_owned(),
            digests: BTreeMap::new(),
            rows: 0,
            files: media.map(listing).transpose()?,
        };
        let internal = &cluster.settings.name;
        let people = ask(internal, &people()).ok().map(|digest| digest.trim().to_owned());
        let shared = ask("postgres", &shared())?;
        let people_now = people.as_deref().unwrap_or_default();
        written.digests.insert(String::new(), format!("{} {people_now}", shared.trim()));
        // Templates, too: they hold what somebody puts into them.
        for database in checks::databases_where(&ask, "datallowconn")? {
            let own = database == *internal;
            let mut left_out = if own { OF_NOBODY.to_owned() } else { "''".to_owned() };
            if own && people.is_some() {
                left_out.push_str(&format!(", {}", literal(PEOPLE)));
            }
            let answer = ask(&database, &counts(&left_out))?;
            let (digest, rows) = answer.trim().rsplit_once('|').unwrap_or_default();
            written.rows = written.rows.saturating_add(rows.parse().unwrap_or_default());
            written.digests.insert(database, digest.to_owned());
        }
        Ok(written)
    }

    /// How many rows of people's tables were written since then; none: the counts began anew.
    pub fn rows_since(&self, then: &Written) -> Option<u64> {
        (self.began == then.began).then(|| self.rows.checked_sub(then.rows)).flatten()
    }

    pub fn to_json(&self) -> Value {
        json!({ "began": self.began, "rows": self.rows, "digests": self.digests, "files": self.files })
    }

    pub fn from_json(value: &Value) -> Option<Written> {
        let digests = value["digests"].as_object()?.iter();
        let digests = digests.map(|(name, digest)| Some((name.clone(), digest.as_str()?.to_owned())));
        let began = value["began"].as_str()?.to_owned();
        let files = value["files"].as_str().map(str::to_owned);
        Some(Written {
            began,
            files,
            digests: digests.collect::<Option<_>>()?,
            rows: value["rows"].as_u64()?,
        })
    }
}

fn people() -> String {
    format!(
        "SELECT coalesce(md5(string_agg((to_jsonb(u.*) - 'last_login')::text, ',' ORDER BY u.id)), '') FROM public.{PEOPLE} u;"
    )
}

/// Whether all is counted, and since when.
const BEGAN: &str = "\
SELECT current_setting('track_counts') = 'on' AND NOT EXISTS (SELECT FROM pg_db_role_setting WHERE setconfig::text LIKE '%track_counts%'),\n\
stats_reset FROM pg_stat_bgwriter;";

/// What is in the catalogs that every start of the launcher writes to, as they are to be. The passwords of its own
/// roles get another salt each time.
fn shared() -> String {
    format!(
        "SELECT md5(string_agg((to_jsonb(r) - 'rolpassword')::text || CASE WHEN rolname IN ({}, {}) THEN '' ELSE coalesce(rolpassword, '') END,\n\
         ',' ORDER BY oid)) FROM pg_authid r;\n\
         SELECT md5(string_agg((to_jsonb(d) - 'datfrozenxid' - 'datminmxid')::text, ',' ORDER BY oid)) FROM pg_database d;\n\
         SELECT md5(pg_read_file('postgresql.auto.conf'));",
        literal(REPLICATION),
        literal(SUPERUSER),
    )
}

/// A digest, and the number of people's rows; statistics are PostgreSQL's own, and what lies in a TOAST table is counted with its row.
fn counts(left_out: &str) -> String {
    format!(
        "SELECT coalesce((SELECT stats_reset::text FROM pg_stat_database WHERE datname = current_database()), ''),\n\
         (SELECT md5(coalesce(string_agg(schemaname || '.' || sequencename || ' ' || coalesce(last_value, 0), ','), '')) FROM (\n\
         SELECT * FROM pg_sequences ORDER BY schemaname, sequencename) sequences),\n\
         md5(coalesce(string_agg(relid || ' ' || n_tup_ins || ' ' || n_tup_upd || ' ' || n_tup_del, ',' ORDER BY relid), '')),\n\
         coalesce(sum(n_tup_ins + n_tup_upd + n_tup_del) FILTER (WHERE schemaname <> 'pg_catalog'), 0)\n\
         FROM pg_stat_all_tables WHERE schemaname NOT LIKE 'pg\\_toast%' AND schemaname NOT LIKE 'pg\\_temp%'\n\
         AND n_tup_ins + n_tup_upd + n_tup_del > 0\n\
         AND NOT (schemaname = 'pg_catalog' AND relname IN ('pg_statistic', 'pg_statistic_ext_data', 'pg_authid', 'pg_database'))\n\
         AND relname NOT IN ({left_out});"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_survives_the_disk() {
        let digests = BTreeMap::from([("people".to_owned(), "a|b".to_owned())]);
        let then = Written { began: "once".to_owned(), digests, rows: 7, files: Some("f".to_owned()) };
        assert_eq!(Written::from_json(&then.to_json()), Some(then.clone()));
        let now = Written { rows: 9, ..then.clone() };
        assert_eq!((now.rows_since(&then), then.rows_since(&now)), (Some(2), None));
        let anew = Written { began: "later".to_owned(), ..now };
        assert_eq!(anew.rows_since(&then), None);
        assert_eq!(Written::from_json(&Value::Null), None);
    }
}
