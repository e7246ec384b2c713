use serde::{Deserialize, Serialize};
use std::path::PathBuf;
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    #[default]
    Physical,
    Logical,
}
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MadeBy {
    #[default]
    Person,
    Timer,
    Upgrade,
    Restore,
}
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Application {
    pub version: String,
    pub sha256: String,
    pub id: String,
    pub source: String,
}
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct PostgreSQL {
    pub version: String,
    pub major: u32,
    pub system_identifier: String,
}
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Manifest {
    pub kind: Kind,
    pub created: String,
    pub made_by: MadeBy,
    pub note: Option<String>,
    pub launcher: String,
    pub app: Application,
    pub postgresql: PostgreSQL,
    pub python: String,
    pub scope: String,
    pub state: PathBuf,
    pub socket: PathBuf,
    pub port: u16,
    pub os_user: String,
    pub internal_database: String,
    pub user_database: String,
    pub unpacked_bytes: u64,
    pub secret_key_fingerprint: String,
    pub cannot_keep: Vec<String>,
}
pub fn now() -> String {
    "2026-11-25T01:02:03Z".into()
}
