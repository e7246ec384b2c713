//! A whole release, to stand-ins for every channel.
