//! Connected databases whose SQL is not that of the release that serves them: kept until `mathesar upgrade --finish` has done it.

use std::path::Path;

use serde_json::{Value, json};

use crate::app::files;
use crate::failure::Failure;

const FILE: &str = "sql-pending.json";

/// One that could not be reached, or that the launcher may not touch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unfinished {
    pub database: String,
    pub host: String,
    pub why: String,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pending {
    pub databases: Vec<Unfinished>,
    /// An upgrade was taken back that may have brought its SQL to other servers: the old release's has to be put back there.
    pub others: bool,
}

impl Pending {
    /// What cannot be read says nothing.
    pub fn read(state: &Path) -> Pending {
        let value: Value = crate::careful::read(&state.join(FILE))
            .ok()
            .and_then(|text| serde_json::from_slice(&text).ok())
            .unwrap_or_default();
        let text = |value: &Value, name: &str| value[name].as_str().unwrap_or_default().to_owned();
        let one = |value: &Value| Unfinished {
            database: text(value, "database"),
            host: text(value, "host"),
            why: text(value, "why"),
        };
        Pending {
            databases: value["databases"].as_array().into_iter().flatten().map(one).collect(),
            others: value["others"] == true,
        }
    }

    pub fn is_empty(&self) -> bool {
        self.databases.is_empty() && !self.others
    }

    pub fn write(&self, state: &Path) -> Result<(), Failure> {
        if self.is_empty() {
            return files::remove_tree(&state.join(FILE));
        }
        let databases = self
            .databases
            .iter()
            .map(|one| json!({ "database": one.database, "host": one.host, "why": one.why }));
        let value = json!({ "others": self.others, "databases": databases.collect::<Vec<_>>() });
        files::write(&state.join(FILE), format!("{value:#}\n").as_bytes())
    }

    /// As `status` says it.
    pub fn lines(&self) -> Vec<String> {
        const CURE: &str = "`mathesar upgrade --finish` tries again";
        let one = |one: &Unfinished| {
            format!("upgrade: database {} at {}: {}; {CURE}", one.database, one.host, one.why)
        };
        let others = "upgrade: databases on other servers may have a newer release's SQL; `mathesar upgrade --finish` puts it back";
        self.databases.iter().map(one).chain(self.others.then(|| others.to_owned())).collect()
    }
}
