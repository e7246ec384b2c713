//! How browsers reach Mathesar: the listening socket, the page that bridges the time until it works, and gunicorn.

pub mod gunicorn;
pub mod holder;
pub mod listener;
pub(crate) mod near;
mod page;
pub mod preparing;
pub(crate) mod probe;
mod warm;
pub mod web;

pub use gunicorn::Gunicorn;
pub use listener::{Activation, Listener};
pub use preparing::{Board, Preparing};
pub use warm::Warm;
pub use web::Web;
