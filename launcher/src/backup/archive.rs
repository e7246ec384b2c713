//! One backup is one file: a tar in one zstd frame, then a skippable frame with the SHA-256 of all before it. `zstd` and `tar`
//! pass over the latter, so that a person can unpack a backup by hand.

mod read;
mod trailer;
mod unpacking;
mod write;

pub use read::{Unpacked, check, claimed, read_manifest, unpack};
pub use write::{Sealed, Writer};

/// The first entry.
pub const MANIFEST: &str = "manifest.json";

/// More than this is read into memory for no manifest.
const MANIFEST_MOST: u64 = 1 << 20;

/// Files, folders and links of one archive: no more are packed, and no more are unpacked.
const ENTRIES: u64 = 10_000_000;
