//! The launcher of Mathesar. The library exists so that `cargo xtask` can make man pages, completions and the reference
//! from the same types that the program uses.

pub mod admin;
pub mod app;
pub mod application;
pub mod backup;
pub mod belongings;
mod careful;
pub mod cli;
mod commands;
pub mod config;
pub mod control;
mod cure;
pub mod database;
pub mod doctor;
pub mod failure;
mod foreign;
pub mod installation;
pub mod interrupt;
pub mod layout;
pub mod logbook;
mod parents;
pub mod process;
pub mod progress;
pub mod prompt;
mod raw;
mod relay;
pub mod release;
pub mod restore;
pub mod secrets;
mod sensitive;
pub mod server;
pub mod service_manager;
pub mod serving;
pub mod steps;
pub mod supervise;
mod system;
pub mod terminal;
pub mod transaction;
pub mod upgrade;
mod user;
mod web_settings;

pub use commands::run;
