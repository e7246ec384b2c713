//! Paths of unix sockets may hold 107 bytes; deeper ones are reached through a descriptor of their folder.

use std::fs::File;
use std::os::fd::AsRawFd as _;
use std::path::{Path, PathBuf};

/// A path that is short enough, for as long as this lives.
#[derive(Debug)]
pub(crate) struct Near {
    path: PathBuf,
    _folder: Option<File>,
}

const LONGEST: usize = 100;

impl Near {
    pub(crate) fn new(path: &Path) -> std::io::Result<Near> {
        match (path.as_os_str().len() > LONGEST, path.parent(), path.file_name()) {
            (true, Some(folder), Some(name)) if cfg!(target_os = "linux") => {
                let folder = File::open(folder)?;
                let path = PathBuf::from(format!("/proc/self/fd/{}", folder.as_raw_fd())).join(name);
                Ok(Near { path, _folder: Some(folder) })
            }
            _ => Ok(Near { path: path.to_owned(), _folder: None }),
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::{UnixListener, UnixStream};

    use super::*;

    #[test]
    fn deep_sockets_are_reached() {
        let folder = tempfile::tempdir().unwrap();
        let deep = folder.path().join("a".repeat(120));
        std::fs::create_dir(&deep).unwrap();
        let path = deep.join("control.sock");
        assert!(UnixListener::bind(&path).is_err());
        let _listener = UnixListener::bind(Near::new(&path).unwrap().path()).unwrap();
        assert!(path.exists());
        UnixStream::connect(Near::new(&path).unwrap().path()).unwrap();
    }
}
