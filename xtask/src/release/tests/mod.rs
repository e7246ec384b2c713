//! Whole releases to stand-ins for every channel: a GitHub that fails as the real one does, real repositories behind a web server, real git.

mod faults;
mod kills;
mod stand_in;
mod world;
