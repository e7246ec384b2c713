//! The launcher of Mathesar. The library exists so that `cargo xtask` can make man pages, completions and the reference
//! from the same types that the program uses.

pub mod cli;
mod commands;
pub mod config;
pub mod control;
pub mod failure;
pub mod layout;
pub mod process;
pub mod release;
pub mod server;
pub mod supervise;
mod system;

pub use commands::run;
