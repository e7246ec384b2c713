//! A file that root names and the service's user may not read: root opens it, and hands it over as standard input.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use crate::app::digest::Hasher;
use crate::app::files;
use crate::app::lookup::{self, Found, Whence};
use crate::commands::Context;
use crate::failure::{Exit, Failure};
use crate::layout::Scope;
use crate::user;

/// The file, where root may give it away unseen: no link stands anywhere in its path, so that it is the one that was named,
/// whoever may write to the folders on the way. None: the service's user opens it by itself, with its own rights.
pub(crate) fn open(path: &Path) -> Option<File> {
    let path = std::path::absolute(path).ok()?;
    let file = open_without_links(&path)?;
    let found = rustix::fs::fstat(&file).ok()?;
    let regular = rustix::fs::FileType::from_raw_mode(found.st_mode) == rustix::fs::FileType::RegularFile;
    // One that has a second name may have got this one from somebody who may not read it.
    (regular && found.st_nlink == 1).then_some(file)
}

#[cfg(target_os = "linux")]
fn open_without_links(path: &Path) -> Option<File> {
    use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, openat2};
    // A pipe of that name would wait for a writer.
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOCTTY | OFlags::NONBLOCK;
    openat2(CWD, path, flags, Mode::empty(), ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS)
        .ok()
        .map(File::from)
}

/// As root in system mode: this very command again, as the service's user, with the file as its standard input.
pub(in crate::commands) fn over(context: &Context, from: Option<&Path>) -> Result<(), Failure> {
    if !user::is_to_become_another(&context.layout, &context.environment) {
        return Ok(());
    }
    user::make_run_folder(&context.layout);
    let file = from.and_then(open);
    let more = file.is_some().then(|| "--on-stdin".into());
    user::become_service_user(std::env::args_os().skip(1).chain(more), file)
}

/// The tarball that a person has named, and what is recorded as its origin. `copy` keeps one that came by standard input.
pub(in crate::commands) fn file(
    path: &Path,
    on_stdin: bool,
    context: &Context,
    settings: &crate::app::Settings,
    copy: &mut Option<Copy>,
) -> Result<(Found, String), Failure> {
    // What is recorded as its origin: the place where a person finds it again.
    let source = std::path::absolute(path).unwrap_or_else(|_| path.to_owned()).to_string_lossy().into_owned();
    if on_stdin {
        let made = copy.insert(Copy::of(std::io::stdin().lock(), path, &settings.downloads())?);
        return Ok((made.found.clone(), source));
    }
    let found = lookup::named(path).map_err(|failure| match context.layout.scope {
        Scope::System => failure
            .help("the user `mathesar` has to be able to read it; or as root, name it by a path without links: `readlink -f FILE`"),
        _ => failure,
    })?;
    Ok((found, source))
}

/// The system's installation is Linux's alone.
#[cfg(not(target_os = "linux"))]
fn open_without_links(_: &Path) -> Option<File> {
    None
}

/// A copy of standard input, removed when it is dropped.
pub(crate) struct Copy {
    folder: PathBuf,
    pub found: Found,
}

impl Copy {
    /// `name`: the file that root opened, for messages.
    pub(crate) fn of(mut input: impl std::io::Read, name: &Path, downloads: &Path) -> Result<Copy, Failure> {
        files::create_folder(downloads)?;
        files::sweep(downloads);
        let folder = files::beside(&downloads.join("handed"), "new");
        files::remove_tree(&folder)?;
        files::create_folder(&folder)?;
        let path = folder.join(name.file_name().unwrap_or("file".as_ref()));
        let found = Found { path: path.clone(), sha256: String::new(), size: 0, whence: Whence::Named };
        let mut copy = Copy { folder, found };
        let failed = |cause| Failure::io("write", &path, cause);
        let mut file = File::create_new(&path).map_err(failed)?;
        let (mut hasher, mut buffer) = (Hasher::default(), vec![0; 128 * 1024]);
        loop {
            crate::interrupt::check()?;
            let count = match input.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => count,
                Err(cause) if cause.kind() == std::io::ErrorKind::Interrupted => continue,
                Err(cause) => return Err(Failure::io("read", name, cause)),
            };
            hasher.update(&buffer[..count]);
            copy.found.size += count as u64;
            file.write_all(&buffer[..count]).map_err(failed)?;
        }
        if copy.found.size == 0 {
            return Err(Failure::new(format!("{} is empty", name.display())).exit(Exit::Refused));
        }
        copy.found.sha256 = hasher.finish();
        Ok(copy)
    }
}

impl Drop for Copy {
    fn drop(&mut self) {
        // What stays is swept at the next time.
        let _ = files::remove_tree(&self.folder);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    #[test]
    fn links_are_never_followed_for_somebody_else() {
        let scratch = tempfile::tempdir().unwrap();
        let folder = scratch.path().canonicalize().unwrap();
        let file = folder.join("mathesar.tar.gz");
        fs::write(&file, "x").unwrap();
        if !cfg!(target_os = "linux") {
            assert!(open(&file).is_none());
            return;
        }
        assert!(open(&file).is_some());

        symlink(&file, folder.join("link")).unwrap();
        assert!(open(&folder.join("link")).is_none());
        symlink(&folder, folder.join("folder")).unwrap();
        assert!(open(&folder.join("folder/mathesar.tar.gz")).is_none());
        assert!(open(Path::new("/proc/self/exe")).is_none());
        assert!(open(&folder).is_none() && open(&folder.join("nothing")).is_none());
        assert!(open(Path::new("/dev/null")).is_none());
        let pipe = folder.join("pipe");
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
        assert!(open(&pipe).is_none());

        fs::hard_link(&file, folder.join("second")).unwrap();
        assert!(open(&file).is_none());
    }

    #[test]
    fn what_is_handed_over_is_copied_with_its_digest_and_removed() {
        let folder = tempfile::tempdir().unwrap();
        let downloads = folder.path().join("downloads");
        let name = Path::new("/root/mathesar.tar.gz");
        let copy = Copy::of(&b"abc"[..], name, &downloads).unwrap();
        assert_eq!(copy.found.sha256, crate::app::digest::of_bytes(b"abc"));
        assert_eq!((copy.found.size, fs::read(&copy.found.path).unwrap()), (3, b"abc".to_vec()));
        drop(copy);
        assert_eq!(fs::read_dir(&downloads).unwrap().count(), 0);
        let empty = Copy::of(&b""[..], name, &downloads).err().unwrap();
        assert_eq!(empty.to_string(), "/root/mathesar.tar.gz is empty");
    }
}
