//! Writes a configuration file so that no reader and no crash ever sees half of it.

use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, chown};
use std::path::{Path, PathBuf};

use crate::failure::{Exit, Failure};
use crate::layout::Scope;

/// Changes a file by a function of its present text (empty where there is none), under a lock: two `config set` at once
/// both take effect. Returns whether anything changed.
pub(crate) fn write<E: From<Failure>>(
    path: &Path,
    scope: Scope,
    change: impl FnOnce(&str) -> Result<String, E>,
) -> Result<bool, E> {
    // A link stays a link; what it points to is written.
    let target = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let folder = target.parent().map(Path::to_owned).unwrap_or_else(|| PathBuf::from("/"));
    make_folder(&folder, scope)?;
    // The folder itself is locked: no lock file is left lying in /etc.
    let lock = File::open(&folder).map_err(|cause| refused("open", &folder, cause))?;
    lock.lock().map_err(|cause| refused("lock", &folder, cause))?;

    let old = match super::read::read(&target) {
        Ok(text) => text,
        Err(problem) => return Err(Failure::told(Exit::Refused, problem.render()).into()),
    };
    let before = old.as_deref().unwrap_or_default();
    let after = change(before)?;
    if old.is_some() && after == before {
        return Ok(false);
    }
    let bom = fs::read(&target).is_ok_and(|bytes| bytes.starts_with(super::read::BOM.as_bytes()));
    let after = if bom { format!("{}{after}", super::read::BOM) } else { after };
    replace(&target, &folder, &after, scope)?;
    lock.sync_all().map_err(|cause| refused("sync", &folder, cause))?;
    Ok(true)
}

fn replace(target: &Path, folder: &Path, text: &str, scope: Scope) -> Result<(), Failure> {
    let name = target.file_name().unwrap_or_default().to_string_lossy();
    // Under the lock nobody else uses this name; a killed one of ours may have left it.
    let beside = folder.join(format!(".{name}.new"));
    let _ = fs::remove_file(&beside);
    let result = fill(&beside, target, folder, text, scope);
    if result.is_err() {
        let _ = fs::remove_file(&beside);
    }
    result
}

fn fill(beside: &Path, target: &Path, folder: &Path, text: &str, scope: Scope) -> Result<(), Failure> {
    let mut options = OpenOptions::new();
    let mut file = options
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(beside)
        .map_err(|cause| refused("write", target, cause))?;
    let failed = |cause| refused("write", target, cause);
    file.write_all(text.as_bytes()).map_err(failed)?;

    let (mode, owner) = match (fs::metadata(target), scope) {
        (Ok(old), _) => (old.mode() & 0o7777, Some((old.uid(), old.gid()))),
        (Err(_), Scope::System) => {
            let user = fs::metadata(folder).map_err(failed)?.uid();
            (0o640, service_group(folder).map(|group| (user, group)))
        }
        (Err(_), _) => (0o600, None),
    };
    if let Some((user, group)) = owner {
        let new = file.metadata().map_err(failed)?;
        if (new.uid(), new.gid()) != (user, group) {
            chown(beside, Some(user), Some(group))
                .map_err(|cause| refused("keep the owner of", target, cause))?;
        }
    }
    file.set_permissions(fs::Permissions::from_mode(mode)).map_err(failed)?;
    file.sync_all().map_err(failed)?;
    fs::rename(beside, target).map_err(failed)
}

fn make_folder(folder: &Path, scope: Scope) -> Result<(), Failure> {
    use std::os::unix::fs::DirBuilderExt as _;
    if folder.is_dir() {
        return Ok(());
    }
    let make = |folder: &Path, mode: u32| {
        let made = fs::DirBuilder::new().recursive(true).mode(mode).create(folder);
        made.map_err(|cause| refused("make", folder, cause))
    };
    // An instance's own folder is as /etc/mathesar is, and as its unit makes it.
    if let (Scope::System, Some(above)) = (scope, folder.parent().filter(|above| !above.is_dir())) {
        make(above, 0o755)?;
        fs::set_permissions(above, fs::Permissions::from_mode(0o755))
            .map_err(|cause| refused("open", above, cause))?;
    }
    make(folder, if scope == Scope::System { 0o750 } else { 0o700 })?;
    if let (Scope::System, Some(group)) = (scope, service_group(folder)) {
        chown(folder, None, Some(group))
            .map_err(|cause| refused("give the service's group", folder, cause))?;
    }
    Ok(())
}

/// The group by which the service reads /etc/mathesar/conf.d: that of mathesar.conf, which the packages give it. The folder of the two is
/// root's, and open to all. An instance may have no such file; then that of the folder above counts.
fn service_group(drop_ins: &Path) -> Option<u32> {
    let above = drop_ins.parent()?;
    let main = |folder: &Path| fs::metadata(folder.join("mathesar.conf")).ok();
    let like = main(above).or_else(|| main(above.parent()?)).or_else(|| fs::metadata(above).ok())?;
    Some(like.gid())
}

fn refused(verb: &str, path: &Path, cause: std::io::Error) -> Failure {
    let denied = cause.kind() == std::io::ErrorKind::PermissionDenied;
    let failure = Failure::io(verb, path, cause);
    let help = || super::read::who_may(path, "run it as root: `sudo mathesar config …`");
    // For one's own, what stands in the way was told already.
    if denied && (path.starts_with("/etc") || failure.helps().is_empty()) {
        failure.help(help())
    } else {
        failure
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_is_no_help_with_ones_own_file() {
        let help = |path: &str| {
            let cause = std::io::ErrorKind::PermissionDenied.into();
            crate::failure::report(&refused("write", Path::new(path), cause).into()).1
        };
        assert!(help("/etc/mathesar/conf.d/90-local.conf").contains("`sudo mathesar config …`"));
        let own = help("/home/ann/.config/mathesar/mathesar.conf");
        assert!(
            own.contains("ls -ld /home/ann/.config/mathesar/mathesar.conf`") && !own.contains("sudo"),
            "{own}"
        );
    }

    /// In system mode root writes and the service reads: /etc/mathesar is root's, only mathesar.conf has the service's group.
    #[test]
    fn the_service_can_read_what_root_writes() {
        const GROUP: u32 = 54321;
        for (case, has_folder, drop_ins) in [
            ("conf.d is made", false, "conf.d"),
            ("conf.d was there", true, "conf.d"),
            ("an instance's is made", false, "two/conf.d"),
        ] {
            let etc = tempfile::tempdir().unwrap();
            let main = etc.path().join("mathesar.conf");
            fs::write(&main, "").unwrap();
            if chown(&main, None, Some(GROUP)).is_err() {
                eprintln!("not run: only root can give a file to any group");
                return;
            }
            let drop_ins = etc.path().join(drop_ins);
            if has_folder {
                fs::create_dir(&drop_ins).unwrap();
            }
            let local = drop_ins.join("90-local.conf");
            assert!(write::<Failure>(&local, Scope::System, |_| Ok("a = 1\n".to_owned())).unwrap());
            let (folder, file) = (fs::metadata(&drop_ins).unwrap(), fs::metadata(&local).unwrap());
            assert!(folder.gid() == GROUP || folder.mode() & 0o005 == 0o005, "{case}");
            assert_eq!((file.gid(), file.mode() & 0o777), (GROUP, 0o640), "{case}");
            if case.contains("instance") {
                assert_eq!(fs::metadata(etc.path().join("two")).unwrap().mode() & 0o777, 0o755);
            }
        }
    }
}
