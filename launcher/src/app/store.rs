//! The installed releases: immutable folders `VERSION-DIGEST12`, and `current`, which points at one of them.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use super::environment::{self, State};
use super::lookup::{Found, Whence};
pub use super::record::version_of_tarball;
use super::record::{CONTENTS, RECORD, contents, fill, made_here, record};
use super::{aside, digest, files, static_files};
use crate::careful;
use crate::failure::{Exit, Failure};
use crate::progress::Progress;

/// In a release's folder: its files are as a backup had them, which nobody has compared with the tarball whose digest it is named by.
pub const FROM_BACKUP: &str = "from-backup";

/// The store, in `state/app`.
#[derive(Debug, Clone)]
pub struct Store {
    pub folder: PathBuf,
}

/// One release in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Installed {
    /// `0.12.0-4ad861eb02a2`
    pub id: String,
    pub version: String,
    /// Of its tarball.
    pub sha256: String,
    pub path: PathBuf,
    /// A file that a person named.
    pub named: bool,
    /// Where the tarball came from.
    pub source: String,
    pub current: bool,
    /// Environment and static files are there.
    pub complete: bool,
}

impl Installed {
    pub fn is_from_backup(&self) -> bool {
        self.path.join(FROM_BACKUP).symlink_metadata().is_ok()
    }
}

/// What of a release's files is not as it was unpacked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Differences {
    pub changed: Vec<String>,
    pub missing: Vec<String>,
    pub extra: Vec<String>,
}

impl Differences {
    pub fn is_empty(&self) -> bool {
        self.changed.is_empty() && self.missing.is_empty() && self.extra.is_empty()
    }
}

impl std::fmt::Display for Differences {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        const SHOWN: usize = 5;
        let all = [(&self.changed, "changed"), (&self.missing, "missing"), (&self.extra, "not its own")];
        let all: Vec<String> = all
            .iter()
            .flat_map(|(names, how)| names.iter().map(move |name| format!("{name}: {how}")))
            .collect();
        write!(f, "{}", all[..all.len().min(SHOWN)].join(", "))?;
        if all.len() > SHOWN { write!(f, ", and {} more", all.len() - SHOWN) } else { Ok(()) }
    }
}

impl Store {
    pub fn new(folder: &Path) -> Store {
        Store { folder: folder.to_owned() }
    }

    /// Held while the store is changed; waits for another process.
    pub fn lock(&self, progress: &dyn Progress) -> Result<File, Failure> {
        files::create_folder(&self.folder)?;
        let path = self.folder.join(".lock");
        let failed = |cause| Failure::io("lock", &path, cause);
        let file = OpenOptions::new().write(true).create(true).truncate(false).open(&path).map_err(failed)?;
        // A child of another step inherits the lock for the moment between fork and exec: that is no other process.
        let free = (0..10).any(|attempt| {
            std::thread::sleep(std::time::Duration::from_millis(attempt * 5));
            file.try_lock().is_ok()
        });
        if !free {
            progress.note("waiting for another process that changes the installed releases");
            file.lock().map_err(failed)?;
        }
        files::sweep(&self.folder);
        Ok(file)
    }

    pub fn id(version: &str, sha256: &str) -> String {
        format!("{version}-{}", sha256.get(..12).unwrap_or(sha256))
    }

    /// What `id` was made of, for people.
    pub fn version_of(id: &str) -> &str {
        id.rsplit_once('-').map_or(id, |(version, _)| version)
    }

    /// Unpacks a tarball, unless it is there already. Its version is what it says itself.
    pub fn add(&self, tarball: &Found, source: &str, progress: &dyn Progress) -> Result<Installed, Failure> {
        if let Some(there) = self.list()?.into_iter().find(|there| there.sha256 == tarball.sha256) {
            return if self.lacks_files(&there) {
                // Somebody was killed while it was removed, or has removed a part of it.
                self.restore(&there, tarball, progress)?;
                self.find(&there.id)
            } else if there.current || !there.is_from_backup() {
                Ok(there)
            } else {
                self.prove(&there, tarball, progress)
            };
        }
        // One that a person has named may lie elsewhere by now.
        let shown =
            if tarball.whence == Whence::Named { source.into() } else { tarball.path.to_string_lossy() };
        progress.start(&format!("Unpacking {shown}"));
        let new = files::beside(&self.folder.join("release"), "new");
        files::remove_tree(&new)?;
        files::create_folder(&new)?;
        let added = self.add_into(&new, tarball, source, progress);
        if added.is_err() {
            let _ = files::remove_tree(&new);
        }
        let id = added?;
        progress.done(&format!("Unpacked {id}"));
        self.find(&id)
    }

    /// What somebody has changed is theirs to put back: `mathesar app verify` finds it.
    fn lacks_files(&self, release: &Installed) -> bool {
        let known = fs::read_to_string(release.path.join(CONTENTS)).unwrap_or_default();
        let names = known.lines().filter_map(|line| line.split_once("  "));
        let mut missing =
            names.map(|(_, name)| release.path.join("tree").join(name).symlink_metadata().is_err());
        known.is_empty() || missing.any(|missing| missing)
    }

    /// One that a backup has brought becomes what its tarball says it is.
    fn prove(
        &self,
        there: &Installed,
        tarball: &Found,
        progress: &dyn Progress,
    ) -> Result<Installed, Failure> {
        // Made by what its files asked for.
        files::remove_tree(&there.path.join("venv"))?;
        self.restore(there, tarball, progress)?;
        files::remove_tree(&there.path.join(FROM_BACKUP))?;
        self.find(&there.id)
    }

    fn add_into(
        &self,
        new: &Path,
        tarball: &Found,
        source: &str,
        progress: &dyn Progress,
    ) -> Result<String, Failure> {
        let version = fill(new, tarball, source, progress)?;
        let id = Store::id(&version, &tarball.sha256);
        let place = self.folder.join(&id);
        // Without a record, or `list` had found it: nobody's release.
        aside::put_whole(&place, progress)?;
        files::rename(new, &place)?;
        Ok(id)
    }

    /// Puts the files of a release back as its tarball has them, with the store locked. Its environment stays; static files
    /// are to be collected again.
    pub fn restore(
        &self,
        release: &Installed,
        tarball: &Found,
        progress: &dyn Progress,
    ) -> Result<(), Failure> {
        if tarball.sha256 != release.sha256 {
            return Err(Failure::new(format!(
                "{} is not the tarball of {}",
                tarball.path.display(),
                release.id
            ))
            .cause(format!("its SHA-256 is {}, expected {}", tarball.sha256, release.sha256))
            .exit(Exit::Refused));
        }
        progress.start(&format!("Unpacking {} again", release.id));
        let new = files::beside(&self.folder.join("release"), "new");
        files::remove_tree(&new)?;
        files::create_folder(&new)?;
        let put_back = || {
            fill(&new, tarball, &release.source, progress)?;
            let foreign = aside::foreign(&release.path)?;
            aside::put(&release.path, &foreign, progress)?;
            // First, so that a release with half of it done is not complete.
            static_files::forget(&release.path)?;
            files::rename(&new.join(CONTENTS), &release.path.join(CONTENTS))?;
            let (from, to) = (new.join("tree"), release.path.join("tree"));
            if !to.exists() {
                return files::rename(&from, &to);
            }
            // A folder that is read-only cannot be moved elsewhere.
            fs::set_permissions(&to, fs::Permissions::from_mode(0o755))
                .map_err(|cause| Failure::io("change the mode of", &to, cause))?;
            files::exchange(&from, &to)
        };
        let result = put_back();
        let removed = files::remove_tree(&new);
        result.and(removed)?;
        progress.done(&format!("Unpacked {} again", release.id));
        Ok(())
    }

    /// All releases, in the order of their names.
    pub fn list(&self) -> Result<Vec<Installed>, Failure> {
        let entries = match fs::read_dir(&self.folder) {
            Ok(entries) => entries,
            Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(cause) => return Err(Failure::io("read", &self.folder, cause)),
        };
        let current = self.current_id();
        let mut found: Vec<Installed> = entries
            .flatten()
            .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
            .filter_map(|entry| {
                let id = entry.file_name().to_string_lossy().into_owned();
                let record = record(&entry.path()).ok()?;
                let text = |key: &str| record[key].as_str().unwrap_or_default().to_owned();
                let path = entry.path();
                // Foreign folders are left alone.
                (Store::id(&text("version"), &text("sha256")) == id).then(|| Installed {
                    version: text("version"),
                    sha256: text("sha256"),
                    named: record["named"] == true,
                    source: text("source"),
                    current: current.as_ref() == Some(&id),
                    complete: environment::is_there(&path) && static_files::are_collected(&path),
                    path,
                    id,
                })
            })
            .collect();
        found.sort_by(|a, b| a.id.cmp(&b.id));
        Ok(found)
    }

    /// By name, or by version where only one is of it.
    pub fn find(&self, name: &str) -> Result<Installed, Failure> {
        let mut found: Vec<Installed> =
            self.list()?.into_iter().filter(|there| there.id == name || there.version == name).collect();
        match (found.pop(), found.len()) {
            (Some(one), 0) => Ok(one),
            (None, _) => Err(Failure::new(format!("`{name}` is not installed"))
                .exit(Exit::Refused)
                .help("`mathesar app list` names what is")),
            (Some(last), _) => {
                let names: Vec<String> =
                    found.into_iter().chain([last]).map(|one| format!("`{}`", one.id)).collect();
                Err(Failure::new(format!("`{name}` is installed more than once: {}", names.join(", ")))
                    .exit(Exit::Usage)
                    .help("name one in full, as `mathesar app list` shows it"))
            }
        }
    }

    fn current_id(&self) -> Option<String> {
        let target = fs::read_link(self.folder.join("current")).ok()?;
        Some(target.to_str()?.to_owned())
    }

    pub fn current(&self) -> Result<Option<Installed>, Failure> {
        Ok(self.list()?.into_iter().find(|there| there.current))
    }

    /// Makes a release the one that runs. One that is not complete is refused.
    pub fn activate(&self, id: &str) -> Result<(), Failure> {
        let release = self.find(id)?;
        if !release.complete || environment::state(&release.path) != State::Ready {
            return Err(Failure::new(format!("`{id}` is not completely installed"))
                .exit(Exit::Refused)
                .help("install it: `mathesar app install`"));
        }
        if release.current {
            return Ok(());
        }
        let link = self.folder.join("current");
        files::switch_link(&link, Path::new(&release.id)).map_err(|failure| match link.symlink_metadata() {
            Ok(found) if found.is_dir() => failure.help(format!(
                "it is to be a link; put it aside: `mv {0} {0}.old`",
                crate::cure::path(&link)
            )),
            _ => failure,
        })
    }

    /// Compares a release's files with what was unpacked.
    pub fn verify(&self, id: &str) -> Result<Differences, Failure> {
        differences(&self.find(id)?.path)
    }

    /// Removes releases, the least recently installed first, until `keep` are left besides the current one. Never the
    /// current one, never one that is held, and never those that are spared.
    pub fn prune(
        &self,
        keep: usize,
        spared: &[String],
        progress: &dyn Progress,
    ) -> Result<Vec<String>, Failure> {
        let held = self.held();
        let mut others: Vec<(std::time::SystemTime, Installed)> = Vec::new();
        for release in self.list()? {
            let record = release.path.join(RECORD);
            let time = record.metadata().and_then(|found| found.modified());
            let time = time.map_err(|cause| Failure::io("read", &record, cause))?;
            if !release.current && held.as_ref() != Some(&release.id) && !spared.contains(&release.id) {
                others.push((time, release));
            }
        }
        others.sort_by_key(|(time, _)| std::cmp::Reverse(*time));
        let mut removed = Vec::new();
        for (_, release) in others.into_iter().skip(keep) {
            aside::put(&release.path, &aside::foreign(&release.path)?, progress)?;
            files::discard(&release.path)?;
            removed.push(release.id);
        }
        Ok(removed)
    }

    /// The release that a person named by a file: a newer pin does not replace it until `upgrade`.
    pub fn held(&self) -> Option<String> {
        careful::read_text(&self.folder.join("hold")).ok().map(|id| id.trim().to_owned())
    }

    pub fn hold(&self, id: Option<&str>) -> Result<(), Failure> {
        let path = self.folder.join("hold");
        match id {
            Some(id) => files::write(&path, format!("{id}\n").as_bytes()),
            None => files::remove_tree(&path),
        }
    }
}

/// Which release this folder says that it is.
pub fn id_of(release: &Path) -> Result<String, Failure> {
    let record = record(release)?;
    let text = |key: &str| record[key].as_str().unwrap_or_default();
    Ok(Store::id(text("version"), text("sha256")))
}

/// What of a release's folder is not as it was unpacked. Static files and bytecode were made here, and are not compared.
pub fn differences(release: &Path) -> Result<Differences, Failure> {
    let path = release.join(CONTENTS);
    let text = fs::read_to_string(&path).map_err(|cause| Failure::io("read", &path, cause))?;
    if record(release)?["contents"] != *digest::of_bytes(text.as_bytes()) {
        return Err(Failure::new(format!("{} is not what was written at unpacking", path.display()))
            .exit(Exit::Refused)
            .help("put its files back: `mathesar app install --again`"));
    }
    let was: BTreeMap<&str, &str> =
        text.lines().filter_map(|line| line.split_once("  ").map(|(what, path)| (path, what))).collect();
    let now = contents(&release.join("tree"))?;
    let mut differences = Differences::default();
    for (path, what) in &was {
        match now.get(*path) {
            None => differences.missing.push((*path).to_owned()),
            Some(found) if found != what => differences.changed.push((*path).to_owned()),
            Some(_) => {}
        }
    }
    let extra = now.keys().filter(|path| !was.contains_key(path.as_str()) && !made_here(path));
    differences.extra = extra.cloned().collect();
    Ok(differences)
}
