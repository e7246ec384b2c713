//! The real program, as people run it: an ordinary user, a fresh home, the sample application, real PostgreSQL and gunicorn.

// Clippy knows #[test] functions, but not what they are made of.
#![allow(clippy::unwrap_used)]

mod admin;
mod autostart;
mod backup;
mod backup_external;
mod backup_faults;
mod backups;
mod denied;
mod disk;
mod doctor;
mod drill;
mod embedded;
mod external;
mod first;
mod first_page;
mod hanging;
mod harness;
mod http;
mod install;
mod interrupted;
mod kill;
mod leftovers;
mod logs;
mod lost;
mod machine;
mod own_server;
mod plan;
mod plan_writes;
mod restart;
mod restore;
mod restore_refused;
mod restore_system;
mod rollback;
#[path = "../sample/mod.rs"]
mod sample;
mod shared;
mod stale;
mod steps;
mod stragglers;
mod system;
mod system_terminal;
mod tables;
mod uninstall;
mod upgrade;
mod upgrade_advice;
mod upgrade_faults;
mod visitors;
mod witness;
mod your_data;
