//! Changes that replace an installation's data as a whole, and can be taken back: an upgrade, a rollback, a restore.
//!
//! What is replaced lies beside what replaces it, on the same file system, so that every change of mind is a rename. Which of
//! the two counts is told by the names alone, and by one journal: whoever finds them after a kill or a power cut, also in a
//! copy of the state folder elsewhere, knows what to do.

pub mod copy;
mod journal;
mod kept;
mod last;
mod pending;
mod point;
mod recover;
mod restored;
mod swap;
mod sweep;
pub mod uploads;

pub use journal::{Journal, Kind, Stage};
pub(crate) use journal::{is_taken, new_id};
pub use kept::{Kept, nothing_kept};
pub use last::Failed;
pub(crate) use last::record;
pub use pending::{Pending, Unfinished};
pub use point::point;
pub use recover::{Recovered, end_server, finish, join, recover, take_kept, undo};
pub use restored::SETTINGS;
pub(crate) use restored::drop_ins;
pub use swap::{Part, movable, swap_in, take_back};
pub use sweep::{RESTORING, UNPACKED, sweep};
