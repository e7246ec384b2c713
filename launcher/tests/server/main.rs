//! The supervisor with real gunicorns and real sockets.
#![allow(clippy::unwrap_used)]

mod control;
mod harness;
mod page;
mod running;
mod warm;
