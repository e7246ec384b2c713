//! The installed releases: immutable folders `VERSION-DIGEST12`, and `current`, which points at one of them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::environment::{self, State};
use super::lookup::{Found, Whence};
use super::unpack::{self, Limits};
use super::{digest, files, static_files};
use crate::failure::{Exit, Failure};
use crate::progress::Progress;

const RECORD: &str = "installed.json";
const CONTENTS: &str = "tree.sha256";

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

    /// Unpacks a tarball, unless it is there already. Its version is what it says itself.
    pub fn add(&self, tarball: &Found, source: &str, progress: &dyn Progress) -> Result<Installed, Failure> {
        if let Some(there) = self.list()?.into_iter().find(|there| there.sha256 == tarball.sha256) {
            return Ok(there);
        }
        progress.start(&format!("Unpacking {}", tarball.path.display()));
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

    fn add_into(
        &self,
        new: &Path,
        tarball: &Found,
        source: &str,
        progress: &dyn Progress,
    ) -> Result<String, Failure> {
        let tree = new.join("tree");
        let limits = Limits::default();
        let unpacked = unpack::unpack(&tarball.path, &tarball.sha256, &tree, &limits, progress)?;
        let version = version_of(&tree, &tarball.path)?;
        let contents = contents(&tree)?;
        let text: String = contents.iter().map(|(path, what)| format!("{what}  {path}\n")).collect();
        files::write(&new.join(CONTENTS), text.as_bytes())?;
        let record = json!({
            "version": version,
            "sha256": tarball.sha256,
            "source": source,
            "named": tarball.whence == Whence::Named,
            "contents": digest::of_bytes(text.as_bytes()),
            "files": unpacked.files,
            "bytes": unpacked.bytes,
        });
        files::write(&new.join(RECORD), format!("{record:#}\n").as_bytes())?;
        let id = Store::id(&version, &tarball.sha256);
        let place = self.folder.join(&id);
        // Without a record, or `list` had found it: nobody's release.
        files::discard(&place)?;
        files::rename(new, &place)?;
        Ok(id)
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
                    complete: environment::state(&path) == State::Ready && static_files::are_collected(&path),
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
                    .help("name one in full: `mathesar app use NAME`"))
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
        if !release.complete {
            return Err(Failure::new(format!("`{id}` is not completely installed"))
                .exit(Exit::Refused)
                .help("run: mathesar app install"));
        }
        if release.current {
            return Ok(());
        }
        files::switch_link(&self.folder.join("current"), Path::new(&release.id))
    }

    /// Compares a release's files with what was unpacked. Static files and bytecode were made here, and are not compared.
    pub fn verify(&self, id: &str) -> Result<Differences, Failure> {
        let release = self.find(id)?;
        let path = release.path.join(CONTENTS);
        let text = fs::read_to_string(&path).map_err(|cause| Failure::io("read", &path, cause))?;
        if record(&release.path)?["contents"] != *digest::of_bytes(text.as_bytes()) {
            return Err(Failure::new(format!("{} is not what was written at unpacking", path.display()))
                .exit(Exit::Refused)
                .help("install the release again: `mathesar app prune`, then `mathesar app install`"));
        }
        let was: BTreeMap<&str, &str> =
            text.lines().filter_map(|line| line.split_once("  ").map(|(what, path)| (path, what))).collect();
        let now = contents(&release.path.join("tree"))?;
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

    /// Removes releases, the least recently installed first, until `keep` are left besides the current one. Never the
    /// current one, never one that is held or kept.
    pub fn prune(&self, keep: usize) -> Result<Vec<String>, Failure> {
        let kept = self.kept();
        let mut others: Vec<(std::time::SystemTime, Installed)> = Vec::new();
        for release in self.list()? {
            let record = release.path.join(RECORD);
            let time = record.metadata().and_then(|found| found.modified());
            let time = time.map_err(|cause| Failure::io("read", &record, cause))?;
            if !release.current && !kept.contains(&release.id) {
                others.push((time, release));
            }
        }
        others.sort_by_key(|(time, _)| std::cmp::Reverse(*time));
        let mut removed = Vec::new();
        for (_, release) in others.into_iter().skip(keep) {
            files::discard(&release.path)?;
            removed.push(release.id);
        }
        Ok(removed)
    }

    /// A release is not pruned while somebody (a backup, an upgrade that may be rolled back) keeps it.
    pub fn keep(&self, reason: &str, id: &str) -> Result<(), Failure> {
        let folder = self.folder.join("keep");
        files::create_folder(&folder)?;
        files::write(&folder.join(reason), format!("{id}\n").as_bytes())
    }

    pub fn unkeep(&self, reason: &str) -> Result<(), Failure> {
        files::remove_tree(&self.folder.join("keep").join(reason))
    }

    fn kept(&self) -> BTreeSet<String> {
        let entries = fs::read_dir(self.folder.join("keep")).into_iter().flatten().flatten();
        let kept = entries.filter_map(|entry| fs::read_to_string(entry.path()).ok());
        kept.chain(self.held()).map(|id| id.trim().to_owned()).collect()
    }

    /// The release that a person named by a file: a newer pin does not replace it until `upgrade`.
    pub fn held(&self) -> Option<String> {
        fs::read_to_string(self.folder.join("hold")).ok().map(|id| id.trim().to_owned())
    }

    pub fn hold(&self, id: Option<&str>) -> Result<(), Failure> {
        let path = self.folder.join("hold");
        match id {
            Some(id) => files::write(&path, format!("{id}\n").as_bytes()),
            None => files::remove_tree(&path),
        }
    }
}

fn record(release: &Path) -> Result<Value, Failure> {
    let path = release.join(RECORD);
    let text = fs::read(&path).map_err(|cause| Failure::io("read", &path, cause))?;
    serde_json::from_slice(&text)
        .map_err(|cause| Failure::new(format!("cannot understand {}", path.display())).cause(cause))
}

fn made_here(path: &str) -> bool {
    path.starts_with("static/") || path.split('/').any(|part| part == "__pycache__")
}

/// Every file and link with what it holds.
fn contents(tree: &Path) -> Result<BTreeMap<String, String>, Failure> {
    let mut found = BTreeMap::new();
    let mut failed = None;
    files::walk(tree, &mut |path, metadata| {
        let name = path.strip_prefix(tree).unwrap_or(path).to_string_lossy().escape_default().to_string();
        if metadata.is_dir() || made_here(&name) {
            return;
        }
        let what = if metadata.is_symlink() {
            fs::read_link(path)
                .map(|target| format!("link:{}", digest::of_bytes(target.as_os_str().as_encoded_bytes())))
                .map_err(|cause| Failure::io("read", path, cause))
        } else {
            let kind = if metadata.permissions().mode() & 0o100 != 0 { "program" } else { "file" };
            digest::of_file(path).map(|(digest, _)| format!("{kind}:{digest}"))
        };
        match what {
            Ok(what) => drop(found.insert(name, what)),
            Err(failure) => drop(failed.get_or_insert(failure)),
        }
    })
    .map_err(|cause| Failure::io("read", tree, cause))?;
    failed.map_or(Ok(found), Err)
}

/// `__version__` of what was unpacked; that it can be served at all is seen here too.
fn version_of(tree: &Path, tarball: &Path) -> Result<String, Failure> {
    let wrong = |what: String| {
        Failure::new(format!("{} is no release of Mathesar: {what}", tarball.display())).exit(Exit::Refused)
    };
    for needed in ["manage.py", "requirements.txt", "mathesar/__init__.py"] {
        if !tree.join(needed).is_file() {
            return Err(wrong(format!("it has no `{needed}`")));
        }
    }
    let path = tree.join("mathesar/__init__.py");
    let text = fs::read_to_string(&path).map_err(|cause| Failure::io("read", &path, cause))?;
    let version = text.lines().find_map(|line| {
        let value = line.strip_prefix("__version__")?.trim_start().strip_prefix('=')?;
        Some(value.trim().trim_matches(['"', '\'']).to_owned())
    });
    let usual = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '+' | '-' | '_');
    version
        .filter(|version| version.starts_with(|c: char| c.is_ascii_digit()) && version.len() < 40)
        .filter(|version| version.chars().all(usual))
        .ok_or_else(|| wrong("`mathesar/__init__.py` gives no `__version__`".to_owned()))
}
