//! The supervisor with real gunicorns and real sockets.

mod control;
mod harness;
mod page;
mod running;
