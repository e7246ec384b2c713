//! SHA-256, as files are streamed.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use sha2::{Digest as _, Sha256};

use crate::failure::Failure;

/// A digest that grows with what is read.
#[derive(Default, Clone)]
pub struct Hasher(Sha256);

impl Hasher {
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// Lower-case hexadecimal.
    pub fn finish(self) -> String {
        self.0.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Takes in the rest of a reader, and says how long it was.
    pub fn read(&mut self, mut from: impl Read) -> io::Result<u64> {
        let mut buffer = vec![0; 128 * 1024];
        let mut length = 0;
        loop {
            match from.read(&mut buffer) {
                Ok(0) => return Ok(length),
                Ok(count) => {
                    self.update(&buffer[..count]);
                    length += count as u64;
                }
                Err(cause) if cause.kind() == io::ErrorKind::Interrupted => {}
                Err(cause) => return Err(cause),
            }
        }
    }
}

pub fn of_bytes(bytes: &[u8]) -> String {
    let mut hasher = Hasher::default();
    hasher.update(bytes);
    hasher.finish()
}

/// A file's digest and size.
pub fn of_file(path: &Path) -> Result<(String, u64), Failure> {
    let failed = |cause| Failure::io("read", path, cause);
    let mut hasher = Hasher::default();
    let size = hasher.read(File::open(path).map_err(failed)?).map_err(failed)?;
    Ok((hasher.finish(), size))
}
