//! Files and folders that survive a power cut, and ones that are removed whatever their modes.

use std::fs::{self, File, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use crate::failure::Failure;

pub fn create_folder(path: &Path) -> Result<(), Failure> {
    fs::create_dir_all(path).map_err(|cause| Failure::io("create", path, cause))
}

/// So that a rename in this folder is there after a power cut.
pub fn sync_folder(path: &Path) -> Result<(), Failure> {
    File::open(path).and_then(|folder| folder.sync_all()).map_err(|cause| Failure::io("sync", path, cause))
}

/// A name beside `path` that no other process uses, and that `sweep` knows.
pub fn beside(path: &Path, suffix: &str) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.{}.{suffix}", std::process::id()))
}

/// Renames within a folder, and makes that last.
pub fn rename(from: &Path, to: &Path) -> Result<(), Failure> {
    fs::rename(from, to).map_err(|cause| Failure::io("rename to", to, cause))?;
    to.parent().map_or(Ok(()), sync_folder)
}

/// Writes a file whole or not at all.
pub fn write(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let new = beside(path, "new");
    let written = File::create(&new).and_then(|mut file| {
        file.write_all(bytes)?;
        file.sync_all()
    });
    if let Err(cause) = written {
        let _ = fs::remove_file(&new);
        return Err(Failure::io("write", path, cause));
    }
    rename(&new, path)
}

/// Points a symlink somewhere else, in one step.
pub fn switch_link(link: &Path, target: &Path) -> Result<(), Failure> {
    let new = beside(link, "new");
    let _ = fs::remove_file(&new);
    std::os::unix::fs::symlink(target, &new).map_err(|cause| Failure::io("create", &new, cause))?;
    rename(&new, link)
}

/// Removes a folder with all in it, read-only ones too; one that does not exist is no error.
pub fn remove_tree(path: &Path) -> Result<(), Failure> {
    let gone = |result: io::Result<()>| match result {
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    };
    match path.symlink_metadata() {
        Ok(found) if !found.is_dir() => gone(fs::remove_file(path)),
        Ok(_) => {
            // Only folders' modes stand in the way of removal.
            let _ = walk(path, &mut |entry, found| {
                if found.is_dir() {
                    let _ = fs::set_permissions(entry, Permissions::from_mode(0o700));
                }
            });
            gone(fs::remove_dir_all(path))
        }
        Err(cause) => gone(Err(cause)),
    }
    .map_err(|cause| Failure::io("remove", path, cause))
}

/// First out of the way in one step, so that a half-removed folder is never taken for a whole one.
pub fn discard(path: &Path) -> Result<(), Failure> {
    if path.symlink_metadata().is_err() {
        return Ok(());
    }
    let trash = beside(path, "trash");
    remove_tree(&trash)?;
    fs::rename(path, &trash).map_err(|cause| Failure::io("rename", path, cause))?;
    remove_tree(&trash)
}

/// Every entry below, folders before what is in them, links not followed.
pub fn walk(folder: &Path, visit: &mut dyn FnMut(&Path, &fs::Metadata)) -> io::Result<()> {
    let found = folder.symlink_metadata()?;
    visit(folder, &found);
    let mut entries: Vec<PathBuf> =
        fs::read_dir(folder)?.map(|entry| entry.map(|entry| entry.path())).collect::<io::Result<_>>()?;
    entries.sort();
    for path in entries {
        let found = path.symlink_metadata()?;
        if found.is_dir() {
            walk(&path, visit)?;
        } else {
            visit(&path, &found);
        }
    }
    Ok(())
}

/// The same folders and files at another place, by hard link where that can be: for files that nobody writes in place.
pub fn copy_tree(from: &Path, to: &Path) -> Result<(), Failure> {
    let mut failed = None;
    let mut copy = |path: &Path, found: &fs::Metadata| {
        let target = path.strip_prefix(from).map_or_else(|_| to.to_owned(), |inner| to.join(inner));
        let made = if failed.is_some() {
            Ok(())
        } else if found.is_dir() {
            fs::create_dir_all(&target)
        } else if found.is_symlink() {
            fs::read_link(path).and_then(|link| std::os::unix::fs::symlink(link, &target))
        } else {
            fs::hard_link(path, &target).or_else(|_| {
                fs::copy(path, &target)?;
                File::open(&target)?.sync_all()
            })
        };
        if let Err(cause) = made {
            failed = Some(Failure::io("write", &target, cause));
        }
    };
    walk(from, &mut copy).map_err(|cause| Failure::io("read", from, cause))?;
    failed.map_or(Ok(()), Err)
}

/// Bytes of all files below.
pub fn size(folder: &Path) -> u64 {
    let mut total = 0;
    // One that vanishes meanwhile counts no more.
    let _ = walk(folder, &mut |_, found| total += if found.is_file() { found.len() } else { 0 });
    total
}

/// Exchanges two folders of one file system in one step; where the system cannot, `to` is missing for a moment.
pub fn exchange(from: &Path, to: &Path) -> Result<(), Failure> {
    use rustix::fs::{CWD, RenameFlags, renameat_with};
    match renameat_with(CWD, from, CWD, to, RenameFlags::EXCHANGE) {
        Ok(()) => to.parent().map_or(Ok(()), sync_folder),
        Err(_) => {
            discard(to)?;
            rename(from, to)
        }
    }
}

/// Makes everything below readable by all who may reach it, and writable by nobody.
pub fn make_read_only(folder: &Path) -> Result<(), Failure> {
    change_modes(folder, |mode, executable| if executable { 0o555 } else { mode & !0o333 | 0o444 })
}

/// The opposite, for its owner.
pub fn make_writable(folder: &Path) -> Result<(), Failure> {
    change_modes(folder, |mode, executable| if executable { 0o755 } else { mode | 0o644 })
}

fn change_modes(folder: &Path, change: fn(u32, bool) -> u32) -> Result<(), Failure> {
    let mut failed = None;
    let mut set = |path: &Path, found: &fs::Metadata| {
        if found.is_symlink() {
            return;
        }
        let mode = found.permissions().mode() & 0o777;
        let wanted = change(mode, found.is_dir() || mode & 0o100 != 0);
        if wanted != mode
            && let Err(cause) = fs::set_permissions(path, Permissions::from_mode(wanted))
        {
            failed.get_or_insert((path.to_owned(), cause));
        }
    };
    walk(folder, &mut set).map_err(|cause| Failure::io("read", folder, cause))?;
    match failed {
        Some((path, cause)) => Err(Failure::io("change the mode of", &path, cause)),
        None => Ok(()),
    }
}

/// What killed processes left in a folder: `.NAME.PID.{new,trash}` of processes that are gone.
pub fn sweep(folder: &Path) {
    sweep_named(folder, ".");
}

/// The same where others have files too: only names that begin so.
pub fn sweep_named(folder: &Path, beginning: &str) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let mut parts = name.rsplit('.');
        let ours = matches!(parts.next(), Some("new" | "trash"))
            && name.starts_with('.')
            && name.starts_with(beginning);
        let Some(pid) = parts.next().filter(|_| ours).and_then(|pid| pid.parse().ok()) else { continue };
        if !may_be_at_work(pid) {
            let _ = remove_tree(&entry.path());
        }
    }
}

/// Whether this process lives and may be a launcher: numbers come round again, and the dead keep theirs until somebody has
/// waited for them.
fn may_be_at_work(pid: i32) -> bool {
    let Some(id) = rustix::process::Pid::from_raw(pid) else { return false };
    if rustix::process::test_kill_process(id) == Err(rustix::io::Errno::SRCH) {
        return false;
    }
    let stat = |pid: &str| fs::read_to_string(format!("/proc/{pid}/stat")).ok();
    let (Some(its), Some(own)) = (stat(&pid.to_string()), stat("self")) else { return true };
    // `pid (name) state …`
    let name = |stat: &str| Some(stat.split_once('(')?.1.rsplit_once(')')?.0.to_owned());
    let dead = its.rsplit_once(')').is_some_and(|(_, rest)| rest.trim_start().starts_with(['Z', 'X']));
    !dead && name(&its) == name(&own)
}
