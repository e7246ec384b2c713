//! What `mathesar proxy` prints, in front of a real gunicorn, run by the real Caddy and the real nginx.
#![allow(clippy::unwrap_used)]

mod command;
#[allow(dead_code)]
#[path = "../launcher/harness.rs"]
mod command_line;
mod front;
#[allow(dead_code)]
#[path = "../server/harness.rs"]
mod harness;
mod through;
