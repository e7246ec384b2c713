//! A folder that people read from while it changes: nothing in it is ever written in place, nor removed while somebody may need it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use jiff::Timestamp;
use rustix::fs::{FlockOperation, OFlags, flock};
use serde::{Deserialize, Serialize};
use tempfile::TempDir;

use super::Site;
use super::keys::Keys;
use crate::digest;
use crate::files::{remove, replace_bytes};

/// One writer at a time; freed when it is dropped, also by a kill.
pub(super) struct Locked(#[expect(dead_code, reason = "held, not read")] File);

const LOCK: &str = ".lock";
/// Where what is not complete yet is put together, on the same file system.
const SCRATCH: &str = ".scratch.";
pub(super) const FACTS: &str = "repository.json";

pub(super) fn lock(folder: &Path) -> Result<Locked> {
    let path = folder.join(LOCK);
    // A link that somebody put there is not followed, and nothing is cut: what it leads to is not ours.
    let mut options = File::options();
    options.write(true).create(true).truncate(false).custom_flags(OFlags::NOFOLLOW.bits() as i32);
    let file = options.open(&path).with_context(|| format!("cannot write {}", path.display()))?;
    if flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
        crate::ui::verb("Waiting", format_args!("for whoever else changes {}", folder.display()));
        flock(&file, FlockOperation::LockExclusive)
            .with_context(|| format!("cannot lock {}", path.display()))?;
    }
    Ok(Locked(file))
}

/// A new one, under the lock. Programs that a killed run had started may still write in its own.
pub(super) fn scratch(folder: &Path) -> Result<TempDir> {
    for entry in fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))?.flatten()
    {
        if entry.file_name().to_string_lossy().starts_with(SCRATCH) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
    let made = tempfile::Builder::new().prefix(SCRATCH).tempdir_in(folder);
    made.with_context(|| format!("cannot create a folder in {}", folder.display()))
}

/// What a repository was made for; in a folder that was made here, so that nothing else is ever changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Facts {
    pub format: u32,
    pub name: String,
    /// Where it is served, without a slash at its end.
    pub url: String,
    /// Homebrew's, for the page.
    #[serde(default)]
    pub tap: Option<String>,
    /// When what no index names any more was last named, in seconds since 1970, by path.
    #[serde(default)]
    pub superseded: BTreeMap<String, i64>,
    /// Versions that no index names again, and that nobody publishes again.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub withdrawn: BTreeSet<String>,
    /// How many versions of each package the indices keep. None: made by an xtask that did not write it down.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep: Option<usize>,
    #[serde(default)]
    pub keys: Keys,
}

impl Facts {
    pub(super) fn new(site: &Site<'_>) -> Facts {
        Facts {
            format: 1,
            name: site.name.to_owned(),
            url: site.url.to_owned(),
            tap: site.tap.map(str::to_owned),
            superseded: BTreeMap::new(),
            withdrawn: BTreeSet::new(),
            keep: None,
            keys: Keys::default(),
        }
    }

    /// None: this folder was not made here, or is empty.
    pub(crate) fn read(folder: &Path) -> Result<Option<Facts>> {
        let path = folder.join(FACTS);
        let text = match fs::read_to_string(&path) {
            Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            text => text.with_context(|| format!("cannot read {}", path.display()))?,
        };
        let facts: Facts =
            serde_json::from_str(&text).with_context(|| format!("cannot understand {}", path.display()))?;
        match facts.format {
            1 => Ok(Some(facts)),
            other => bail!("{} is of format {other}, and this xtask knows 1 only", path.display()),
        }
    }

    pub(super) fn write(&self, folder: &Path) -> Result<()> {
        replace(&folder.join(FACTS), format!("{}\n", serde_json::to_string_pretty(self)?))
    }
}

/// Replaces a small file whole, unless it is the same.
pub(super) fn replace(path: &Path, content: impl AsRef<[u8]>) -> Result<()> {
    if fs::read(path).is_ok_and(|now| now == content.as_ref()) {
        return Ok(());
    }
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
    }
    replace_bytes(path, content.as_ref(), 0o644)
}

/// Small files, and what they are to hold.
pub(super) type Texts = Vec<(PathBuf, String)>;

pub(super) fn replace_all(texts: Texts) -> Result<()> {
    texts.into_iter().try_for_each(|(path, text)| replace(&path, text))
}

/// Puts a finished file into its place, which nobody reads from before.
pub(super) fn place(from: &Path, to: &Path) -> Result<()> {
    if let Some(folder) = to.parent() {
        fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
    }
    let synced = File::open(from).and_then(|file| file.sync_all());
    synced.with_context(|| format!("cannot sync {}", from.display()))?;
    fs::rename(from, to).with_context(|| format!("cannot rename {} to {}", from.display(), to.display()))?;
    sync_parent(to)
}

pub(super) fn sync_parent(path: &Path) -> Result<()> {
    let Some(folder) = path.parent() else { return Ok(()) };
    let synced = File::open(folder).and_then(|folder| folder.sync_all());
    synced.with_context(|| format!("cannot sync {}", folder.display()))
}

/// A file that never changes once it is there. Refused where another one has its name.
pub(super) fn publish(from: &Path, to: &Path, scratch: &Path) -> Result<()> {
    if same(from, to)? {
        return Ok(());
    }
    let name = to.file_name().with_context(|| format!("{} has no name", to.display()))?;
    let fresh = scratch.join(name);
    fs::copy(from, &fresh).with_context(|| format!("cannot copy {}", from.display()))?;
    place(&fresh, to)
}

/// True: it is there already. False: nothing is. An error: something else is.
pub(super) fn same(from: &Path, to: &Path) -> Result<bool> {
    if !to.exists() {
        return Ok(false);
    }
    match digest::file(from)? == digest::file(to)? {
        true => Ok(true),
        false => Err(conflict(to)),
    }
}

/// What was served under a name stays what that name means.
pub(super) fn conflict(to: &Path) -> anyhow::Error {
    let name = to.file_name().unwrap_or_default().to_string_lossy().into_owned();
    crate::Refused(format!(
        "another {name} is published already: {}\nhelp: raise the revision, `cargo xtask bump`, and build again",
        to.display()
    ))
    .into()
}

/// Removes what no index has named for so long. Whoever has read an older index still finds what it names until then.
pub(super) fn sweep(
    folder: &Path,
    facts: &mut Facts,
    candidates: &[PathBuf],
    named: &BTreeSet<PathBuf>,
    now: Timestamp,
    grace: i64,
) -> Result<()> {
    let now = now.as_second();
    let mut since = BTreeMap::new();
    for path in candidates.iter().filter(|path| !named.contains(*path)) {
        let key = path.strip_prefix(folder).unwrap_or(path).to_string_lossy().into_owned();
        let when = facts.superseded.get(&key).copied().unwrap_or(now);
        if now - when >= grace {
            remove(path)?;
        } else {
            since.insert(key, when);
        }
    }
    facts.superseded = since;
    facts.write(folder)
}

/// Every file below a folder, in a fixed order; none where there is no folder.
pub(super) fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    if !folder.exists() {
        return Ok(Vec::new());
    }
    let mut all = Vec::new();
    for entry in walkdir::WalkDir::new(folder).sort_by_file_name() {
        let entry = entry.with_context(|| format!("cannot list {}", folder.display()))?;
        if entry.file_type().is_file() {
            all.push(entry.into_path());
        }
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_follows_no_link() {
        let folder = tempfile::tempdir().unwrap();
        let victim = folder.path().join("victim");
        fs::write(&victim, "mine").unwrap();
        std::os::unix::fs::symlink(&victim, folder.path().join(LOCK)).unwrap();
        assert!(lock(folder.path()).is_err());
        assert_eq!(fs::read_to_string(&victim).unwrap(), "mine");
    }

    #[test]
    fn what_is_published_never_changes() {
        let folder = tempfile::tempdir().unwrap();
        let (from, to) = (folder.path().join("new.deb"), folder.path().join("pool/a.deb"));
        let scratch = scratch(folder.path()).unwrap();
        fs::write(&from, "one").unwrap();
        publish(&from, &to, scratch.path()).unwrap();
        publish(&from, &to, scratch.path()).unwrap();
        fs::write(&from, "two").unwrap();
        let refused = publish(&from, &to, scratch.path()).unwrap_err();
        assert!(refused.is::<crate::Refused>() && refused.to_string().contains("another a.deb"), "{refused}");
        assert_eq!(fs::read_to_string(&to).unwrap(), "one");
    }

    #[test]
    fn what_is_superseded_goes_after_its_time() {
        let folder = tempfile::tempdir().unwrap();
        let at = |seconds| Timestamp::from_second(seconds).unwrap();
        let mut facts = Facts {
            format: 1,
            name: "x".into(),
            url: "u".into(),
            tap: None,
            superseded: BTreeMap::new(),
            withdrawn: BTreeSet::new(),
            keep: None,
            keys: Keys::default(),
        };
        let (old, new) = (folder.path().join("old"), folder.path().join("new"));
        fs::write(&old, "").unwrap();
        fs::write(&new, "").unwrap();
        let all = [old.clone(), new.clone()];
        let named = BTreeSet::from([new.clone()]);
        sweep(folder.path(), &mut facts, &all, &named, at(100), 60).unwrap();
        sweep(folder.path(), &mut facts, &all, &named, at(159), 60).unwrap();
        assert!(old.exists());
        // Named again in between, its time begins anew.
        sweep(folder.path(), &mut facts, &all, &BTreeSet::from(all.clone()), at(161), 60).unwrap();
        sweep(folder.path(), &mut facts, &all, &named, at(162), 60).unwrap();
        assert!(old.exists());
        let mut facts = Facts::read(folder.path()).unwrap().unwrap();
        sweep(folder.path(), &mut facts, &all, &named, at(222), 60).unwrap();
        assert!(!old.exists() && new.exists() && facts.superseded.is_empty());
    }
}
