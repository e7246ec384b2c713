//! Digests of files and trees: what decides whether anything is built again.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use anyhow::{Context as _, Result};
use sha2::{Digest, Sha256};
use walkdir::WalkDir;

/// SHA-256 of bytes, in lower-case hexadecimal digits.
pub(crate) fn bytes(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// SHA-256 of a file.
pub(crate) fn file(path: &Path) -> Result<String> {
    let mut hasher = Sha256::new();
    let mut file = File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
    let mut buffer = vec![0; 128 * 1024];
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok(hex(&hasher.finalize())),
            Ok(count) => hasher.update(&buffer[..count]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
        }
    }
}

/// Digests named parts into one.
#[derive(Default)]
pub(crate) struct Parts(Sha256);

impl Parts {
    /// Adds a part; name and length go in too, so that no two lists of parts look alike.
    pub(crate) fn add(&mut self, name: &str, content: &str) -> &mut Self {
        for piece in [name, content] {
            self.0.update(piece.len().to_le_bytes());
            self.0.update(piece.as_bytes());
        }
        self
    }

    /// Adds a file, or every file below a folder, under paths relative to `root`. What is not there is a part, too.
    pub(crate) fn add_path(&mut self, root: &Path, path: &str) -> Result<&mut Self> {
        let start = root.join(path);
        if !start.exists() {
            return Ok(self.add(path, "absent"));
        }
        for entry in WalkDir::new(&start).sort_by_file_name() {
            let entry = entry.with_context(|| format!("cannot list {}", start.display()))?;
            // Of a link what it leads to, as that is what a reader of the file gets.
            if entry.file_type().is_file() || entry.path_is_symlink() && entry.path().is_file() {
                let relative = entry.path().strip_prefix(root).unwrap_or(entry.path());
                let digest = file(entry.path())?;
                self.add(&relative.to_string_lossy(), &digest);
            }
        }
        Ok(self)
    }

    pub(crate) fn finish(self) -> String {
        hex(&self.0.finalize())
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_cannot_be_shifted() {
        let mut one = Parts::default();
        one.add("ab", "c");
        let mut two = Parts::default();
        two.add("a", "bc");
        assert_ne!(one.finish(), two.finish());
    }

    #[test]
    fn a_file_behind_a_link_counts() {
        let folder = tempfile::tempdir().unwrap();
        let (root, file) = (folder.path().join("root"), folder.path().join("file"));
        std::fs::create_dir(&root).unwrap();
        std::os::unix::fs::symlink(&file, root.join("link")).unwrap();
        let mut found = Vec::new();
        for text in ["one", "two"] {
            std::fs::write(&file, text).unwrap();
            for path in ["link", "."] {
                let mut parts = Parts::default();
                parts.add_path(&root, path).unwrap();
                found.push(parts.finish());
            }
        }
        found.sort();
        found.dedup();
        assert_eq!(found.len(), 2);
    }

    #[test]
    fn the_empty_text() {
        assert_eq!(bytes(b""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    }
}
