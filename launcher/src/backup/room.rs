//! Whether a backup has room, before anything is written.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use super::manifest::Manifest;
use crate::failure::{Exit, Failure};
use crate::terminal::size;

/// What a disk has to keep for everybody else.
const SPARE: u64 = 32 << 20;

/// So much is needed on the disk that holds this folder, and what for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Need<'a> {
    pub folder: &'a Path,
    pub bytes: u64,
    pub what: &'static str,
}

/// What helps where an archive is to be unpacked.
const ELSE: &str = "old backups and releases take room: `mathesar backup prune`, `mathesar app prune`";

/// What an archive needs once it is unpacked: the drill and a restore ask the same, and say the same.
pub fn to_unpack(above: &Path, manifest: &Manifest) -> Result<(), Failure> {
    let need = Need { folder: above, bytes: manifest.unpacked_bytes, what: "the backup, unpacked" };
    check_for(&[need], ELSE)
}

/// The same of a file that comes in addition to what the archive says.
pub(super) fn beyond(into: &Path, bytes: u64) -> Result<(), Failure> {
    let what = "what the backup holds beyond what it says";
    check_for(&[Need { folder: into, bytes, what }], ELSE)
}

/// Refuses where a disk has less free than is needed on it, all needs of one disk added up.
pub fn check(needs: &[Need<'_>]) -> Result<(), Failure> {
    check_for(needs, "or put the backup elsewhere: `mathesar backup create --to DIR`")
}

/// The same, and what helps.
fn check_for(needs: &[Need<'_>], help: &str) -> Result<(), Failure> {
    for need in needs {
        let Some((device, free)) = disk(need.folder) else { continue };
        if is_read_only(need.folder) {
            // It may well say that it has no room, which is not what is wrong.
            return Err(Failure::new(format!(
                "cannot write to {}: it is mounted read-only",
                need.folder.display()
            ))
            .exit(Exit::Refused)
            .help(format!("see how: `findmnt --target {}`", crate::cure::path(need.folder))));
        }
        let same: Vec<&Need<'_>> = needs
            .iter()
            .filter(|other| disk(other.folder).is_some_and(|(other, _)| other == device))
            .collect();
        let needed = same.iter().map(|need| need.bytes).sum::<u64>().saturating_add(SPARE);
        if needed > free {
            return Err(too_little(need.folder, needed, free, &same).help(help));
        }
    }
    Ok(())
}

fn too_little(folder: &Path, needed: u64, free: u64, needs: &[&Need<'_>]) -> Failure {
    let parts = needs
        .iter()
        .map(|need| format!("{} for {} in {}", size(need.bytes), need.what, need.folder.display()));
    // Named, so that the parts make the whole.
    let parts: Vec<String> = parts.chain([format!("{} that have to stay free", size(SPARE))]).collect();
    Failure::new(format!("there is too little room on the disk of {}", folder.display()))
        .cause(format!("about {} are needed and {} are free: {}", size(needed), size(free), parts.join(", ")))
        .exit(Exit::Refused)
        .help(format!("look for room: `df -h {}`", crate::cure::path(folder)))
}

/// The disk of a folder, or of the nearest one above that exists, with its free bytes for whoever is not root.
fn disk(folder: &Path) -> Option<(u64, u64)> {
    let there = folder.ancestors().find(|folder| folder.exists())?;
    let found = rustix::fs::statvfs(there).ok()?;
    Some((there.metadata().ok()?.dev(), found.f_bavail.saturating_mul(found.f_frsize)))
}

fn is_read_only(folder: &Path) -> bool {
    let there = folder.ancestors().find(|folder| folder.exists());
    there
        .and_then(|there| rustix::fs::statvfs(there).ok())
        .is_some_and(|found| found.f_flag.contains(rustix::fs::StatVfsMountFlags::RDONLY))
}

/// Whether one broken disk takes both.
pub fn same_disk(one: &Path, other: &Path) -> bool {
    match (disk(one), disk(other)) {
        (Some((one, _)), Some((other, _))) => one == other,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One sentence for one archive, whoever asks: what is needed is what its parts make together.
    #[test]
    fn the_parts_of_what_is_needed_make_the_whole() {
        let folder = Path::new("/x");
        let need = Need { folder, bytes: 43_000_000, what: "the archive" };
        let said = too_little(folder, need.bytes + SPARE, 10_000_000, &[&need]).whole();
        let numbers: Vec<f64> = said
            .split(' ')
            .zip(said.split(' ').skip(1))
            .filter(|(_, unit)| unit.starts_with("MB"))
            .filter_map(|(number, _)| number.parse().ok())
            .collect();
        let [needed, free, archive, spare] = numbers[..] else { panic!("{said}") };
        assert!((needed - archive - spare).abs() < 1.5 && free < needed, "{said}");
    }

    #[test]
    fn needs_of_one_disk_add_up() {
        let folder = tempfile::tempdir().unwrap();
        let (_, free) = disk(folder.path()).unwrap();
        let need = |bytes| Need { folder: folder.path(), bytes, what: "x" };
        assert!(check(&[need(1000), need(1000)]).is_ok());
        let half = free / 2;
        assert!(check(&[need(half)]).is_ok());
        let refused = check(&[need(half), need(half)]).unwrap_err();
        assert_eq!(refused.exit, Exit::Refused);
        let cause = std::error::Error::source(&refused).unwrap().to_string();
        assert!(cause.contains("are needed and") && cause.contains(&size(half)), "{cause}");
        assert!(cause.contains(&format!("{} that have to stay free", size(SPARE))), "{cause}");
        assert!(same_disk(folder.path(), &folder.path().join("not/yet")));
    }
}
