//! Files in a release's folder that are nobody's but a person's: put aside before what is around them goes, and told.

use std::collections::BTreeSet;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use super::files;
use super::record::{CONTENTS, RECORD, made_here, name_in};
use super::store::FROM_BACKUP;
use crate::failure::Failure;
use crate::progress::Progress;

/// What the launcher itself puts beside the tree.
const OWN: &[&str] = &["venv", RECORD, CONTENTS, "app.lock", super::static_files::STAMP, FROM_BACKUP];

/// What else lies in a release's folder, by its path below. Of a tree that nothing is known of, nothing is foreign.
pub(super) fn foreign(release: &Path) -> Result<Vec<PathBuf>, Failure> {
    let text = fs::read_to_string(release.join(CONTENTS)).unwrap_or_default();
    let known: BTreeSet<&str> = text.lines().filter_map(|line| Some(line.split_once("  ")?.1)).collect();
    let mut found = Vec::new();
    let entries = fs::read_dir(release).map_err(|cause| Failure::io("read", release, cause))?;
    for entry in entries.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        // `.NAME.PID.new` is a killed launcher's.
        let half = name.starts_with('.') && (name.ends_with(".new") || name.ends_with(".trash"));
        if name != "tree" && !OWN.contains(&&*name) && !half {
            found.push(PathBuf::from(entry.file_name()));
        }
    }
    let tree = release.join("tree");
    if !known.is_empty() && tree.is_dir() {
        files::walk(&tree, &mut |path, metadata| {
            let name = name_in(&tree, path);
            if !metadata.is_dir() && !made_here(&name) && !known.contains(&*name) {
                found.extend(path.strip_prefix(release).map(Path::to_owned));
            }
        })
        .map_err(|cause| Failure::io("read", &tree, cause))?;
    }
    found.sort();
    Ok(found)
}

/// Moves these out of a release's folder, into one beside it.
pub(super) fn put(release: &Path, found: &[PathBuf], progress: &dyn Progress) -> Result<(), Failure> {
    let Some(first) = found.first() else { return Ok(()) };
    let to = free(release);
    for name in found {
        let (from, to) = (release.join(name), to.join(name));
        to.parent().map_or(Ok(()), files::create_folder)?;
        // A release's folders are read-only.
        if let Some(folder) = from.parent() {
            fs::set_permissions(folder, Permissions::from_mode(0o755))
                .map_err(|cause| Failure::io("change the mode of", folder, cause))?;
        }
        fs::rename(&from, &to).map_err(|cause| Failure::io("rename to", &to, cause))?;
    }
    files::sync_folder(&to)?;
    let what = match found.len() {
        1 => first.display().to_string(),
        count => format!("{count} files ({}, …)", first.display()),
    };
    progress.note(&format!(
        "{what} in {} did not come with the release; moved to {}",
        release.display(),
        to.display()
    ));
    Ok(())
}

/// A folder under a release's name that is none goes aside as a whole; an empty one is no loss.
pub(super) fn put_whole(place: &Path, progress: &dyn Progress) -> Result<(), Failure> {
    if place.symlink_metadata().is_err() || fs::remove_dir(place).is_ok() {
        return Ok(());
    }
    let to = free(place);
    files::rename(place, &to)?;
    progress.note(&format!(
        "{} was in the way of the release, and is none itself; moved to {}",
        place.display(),
        to.display()
    ));
    Ok(())
}

fn free(release: &Path) -> PathBuf {
    let name = release.file_name().unwrap_or_default().to_string_lossy();
    let mut to = release.with_file_name(format!("{name}.aside"));
    let mut number = 2;
    while to.symlink_metadata().is_ok() {
        to.set_file_name(format!("{name}.aside{number}"));
        number += 1;
    }
    to
}
