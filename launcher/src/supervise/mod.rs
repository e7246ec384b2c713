//! Long-lived children and the one supervisor that watches them.

pub mod child;
pub mod log;
pub mod machine;
pub mod notify;
pub mod orphans;
mod phase;
mod runner;
pub mod service;
pub mod supervisor;

pub use child::{Child, Spec};
pub use machine::{Outcome, Phase, Policy};
pub use service::{Cancel, Exits, Service};
pub use supervisor::{Hooks, Request, Responder, Snapshot, Supervisor};
