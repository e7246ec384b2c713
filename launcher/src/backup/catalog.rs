//! Which backups there are: archives in the folders for them, and the copies that an upgrade keeps to go back to.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

pub use super::listing::Listing;
use super::manifest::{self, MadeBy, Manifest};
pub use super::records::{Known, forget, known, remember};
use super::{archive, moment};
use crate::failure::{Exit, Failure};
use crate::installation::Installation;
use crate::transaction::Part;

const BEGIN: &str = "mathesar-";
const END: &str = ".tar.zst";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Physical,
    Logical,
    /// A cluster that an upgrade has put aside, as a folder.
    Copy,
}

impl Kind {
    pub fn name(self) -> &'static str {
        match self {
            Kind::Physical => "physical",
            Kind::Logical => "logical",
            Kind::Copy => "copy",
        }
    }
}

/// One of them. Of a damaged one only its name, its size and its time are known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub path: PathBuf,
    /// RFC 3339, UTC; of a damaged one the file's time.
    pub created: String,
    pub version: Option<String>,
    pub kind: Option<Kind>,
    pub made_by: Option<MadeBy>,
    pub note: Option<String>,
    pub bytes: u64,
    /// When it was verified at last.
    pub verified: Option<String>,
    pub digest: Option<String>,
    /// Which cluster it is of: a folder may hold those of several.
    pub origin: Option<String>,
    /// Why it cannot be read.
    pub damaged: Option<String>,
    /// An upgrade or a restore that is not over needs it.
    pub needed: bool,
}

impl Entry {
    /// A backup that could be restored, as far as can be told from its beginning and its end.
    pub fn is_readable(&self) -> bool {
        self.damaged.is_none() && self.kind != Some(Kind::Copy)
    }

    /// Made by a clock that went wrong: it says nothing of how old the data are.
    fn is_of_the_future(&self) -> bool {
        const SKEW: Duration = Duration::from_secs(86_400);
        moment::parse(&self.created).is_some_and(|made| made > SystemTime::now() + SKEW)
    }

    /// Greater is newer; two of one second are always in the same order.
    pub(super) fn age_order(&self) -> (&str, &Path) {
        (&self.created, &self.path)
    }

    pub fn name(&self) -> String {
        self.path.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    pub fn to_json(&self) -> Value {
        json!({
            "path": self.path.to_string_lossy(),
            "created": self.created,
            "version": self.version,
            "kind": self.kind.map(Kind::name),
            "made_by": self.made_by.map(MadeBy::name),
            "note": self.note,
            "bytes": self.bytes,
            "verified": self.verified,
            "digest": self.digest,
            "damaged": self.damaged,
            "needed": self.needed,
        })
    }
}

/// Where new ones go: `backup.directory`, else `backups` in the state folder.
pub fn folder(installation: &Installation) -> PathBuf {
    place(&installation.layout.state, installation.config.path("backup.directory"))
}

pub fn place(state: &Path, directory: Option<PathBuf>) -> PathBuf {
    directory.unwrap_or_else(|| state.join("backups"))
}

/// A name that is not taken in this folder: `mathesar-0.12.0-20261123T065000Z.tar.zst`, then with `-2` and so on.
pub fn free_name(folder: &Path, version: &str, at: SystemTime) -> PathBuf {
    let begin = format!("{BEGIN}{version}-{}", moment::compact(at));
    let names = (1_u32..).map(|number| match number {
        1 => format!("{begin}{END}"),
        _ => format!("{begin}-{number}{END}"),
    });
    let mut paths = names.map(|name| folder.join(name));
    paths.find(|path| path.symlink_metadata().is_err()).unwrap_or_else(|| folder.join(begin))
}

pub fn list(installation: &Installation) -> Result<Listing, Failure> {
    list_in(&installation.layout.state, installation.config.path("backup.directory").as_deref())
}

/// The same, of a state folder and `backup.directory`; archives that were made elsewhere are listed where they still lie there.
pub fn list_in(state: &Path, directory: Option<&Path>) -> Result<Listing, Failure> {
    let known = known(state);
    let copies = Copies::of(state)?;
    let (mut paths, mut unread) = (BTreeSet::new(), Vec::new());
    for folder in [Some(state.join("backups").as_path()), directory].into_iter().flatten() {
        match archives(folder) {
            Ok(found) => paths.extend(found),
            Err(failure) => unread.push(failure.whole()),
        }
    }
    paths.extend(known.values().flat_map(Known::places).filter_map(|path| path.canonicalize().ok()));
    let mut all: Vec<Entry> = paths.iter().filter_map(|path| entry(path, &known, &copies)).collect();
    all.extend(copies.entries);
    all.sort_by(|a, b| b.age_order().cmp(&a.age_order()));
    Ok(Listing { all, unread })
}

/// The newest that can be read.
pub fn newest(all: &[Entry]) -> Option<&Entry> {
    let readable = |entry: &&Entry| entry.is_readable();
    let past = all.iter().filter(readable).filter(|entry| !entry.is_of_the_future());
    past.max_by_key(|entry| entry.age_order())
        .or_else(|| all.iter().filter(readable).max_by_key(|entry| entry.age_order()))
}

/// The newest of those whose drill went well.
pub fn newest_verified(all: &[Entry]) -> Option<&Entry> {
    let verified = all
        .iter()
        .filter(|entry| entry.is_readable() && entry.verified.is_some() && !entry.is_of_the_future());
    verified.max_by_key(|entry| entry.age_order())
}

/// The archive that a person means: a file, the newest in a folder, the name of a listed one, or the beginning of its digest; nothing: the
/// newest of all.
pub fn find(installation: &Installation, what: Option<&Path>) -> Result<PathBuf, Failure> {
    if let Some(path) = what.filter(|path| path.is_file()) {
        return std::path::absolute(path).map_err(|cause| Failure::io("find", path, cause));
    }
    let state = &installation.layout.state;
    if let Some(path) = what.filter(|path| path.is_dir()) {
        return newest_in(state, path);
    }
    let listing = list_in(state, installation.config.path("backup.directory").as_deref())?;
    listing.warn();
    let all = listing.all;
    let seen = if listing.unread.is_empty() { "" } else { " that can be seen" };
    let Some(what) = what else {
        return newest(&all).map(|entry| entry.path.clone()).ok_or_else(|| {
            Failure::new(format!("there is no backup{seen}"))
                .exit(Exit::Refused)
                .help("make one: `mathesar backup create`")
        });
    };
    let text = what.to_string_lossy();
    let named = |entry: &&Entry| {
        let digest = entry.digest.as_deref().unwrap_or_default();
        entry.name() == text || text.len() >= 6 && digest.starts_with(&*text)
    };
    let archives = all.iter().filter(|entry| entry.kind != Some(Kind::Copy));
    archives.filter(named).map(|entry| entry.path.clone()).next().ok_or_else(|| {
        Failure::new(format!("there is no backup {text}{seen}"))
            .exit(Exit::Refused)
            .help("see which there are: `mathesar backup list`")
    })
}

/// The newest archive in a folder that a person names.
pub(super) fn newest_in(state: &Path, folder: &Path) -> Result<PathBuf, Failure> {
    let none = || {
        Failure::new(format!("there is no backup in {}", folder.display()))
            .exit(Exit::Refused)
            .help("see which there are: `mathesar backup list`")
    };
    let copies = Copies::of(state)?;
    let real = folder.canonicalize().map_err(|cause| Failure::io("read", folder, cause))?;
    if copies.entries.iter().any(|entry| entry.path.canonicalize().is_ok_and(|path| path == real)) {
        return Err(Failure::new(format!("{} is no backup", folder.display()))
            .exit(Exit::Refused)
            .cause("it is the copy of the data that `mathesar rollback` would bring back")
            .help("make a backup: `mathesar backup create`"));
    }
    let known = known(state);
    let mut all: Vec<Entry> =
        archives(folder)?.iter().filter_map(|path| entry(path, &known, &copies)).collect();
    // Several installations may share a folder: never another one's by accident.
    let own = identifier(&Part::Database.live(state));
    let origins: BTreeSet<Option<String>> =
        all.iter().filter(|entry| entry.is_readable()).map(|entry| entry.origin.clone()).collect();
    if origins.len() > 1 {
        if own.is_none() || !origins.contains(&own) {
            return Err(Failure::new(format!(
                "the backups in {} are of several installations",
                folder.display()
            ))
            .exit(Exit::Refused)
            .help("name the file that is meant"));
        }
        all.retain(|entry| entry.origin == own);
    }
    newest(&all).map(|entry| entry.path.clone()).ok_or_else(none)
}

/// By which PostgreSQL tells one cluster from others: the first number in its control file.
fn identifier(data: &Path) -> Option<String> {
    let control = fs::read(data.join("global/pg_control")).ok()?;
    Some(u64::from_ne_bytes(control.get(..8)?.try_into().ok()?).to_string())
}

/// By name: a folder of a person's may hold other things.
fn archives(folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    let failed = |cause| Failure::io("read", folder, cause);
    let entries = match fs::read_dir(folder) {
        Err(cause) if cause.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(failed)?,
    };
    // One that two settings lead to is one.
    let folder = folder.canonicalize().map_err(failed)?;
    let mut all = Vec::new();
    for entry in entries {
        let name = entry.map_err(failed)?.file_name();
        let text = name.to_string_lossy();
        if text.starts_with(BEGIN) && text.ends_with(END) {
            all.push(folder.join(&name));
        }
    }
    Ok(all)
}

/// None: it went away meanwhile, or is no file.
fn entry(path: &Path, known: &BTreeMap<String, Known>, copies: &Copies) -> Option<Entry> {
    let meta = path.metadata().ok().filter(fs::Metadata::is_file)?;
    let modified = meta.modified().unwrap_or(SystemTime::UNIX_EPOCH);
    let digest = archive::claimed(path);
    let mut entry = Entry {
        path: path.to_owned(),
        created: moment::text(modified),
        version: None,
        kind: None,
        made_by: None,
        note: None,
        bytes: meta.len(),
        verified: None,
        digest: None,
        origin: None,
        damaged: None,
        needed: false,
    };
    match digest.and_then(|digest| Ok((digest, archive::read_manifest(path)?))) {
        Ok((digest, manifest)) => {
            entry.verified = known.get(&digest).and_then(|known| known.verified.clone());
            entry.digest = Some(digest);
            entry.take(manifest);
        }
        // One of root's, that only root may read: it was whole when it was made, and no more can be told.
        Err(failure) if failure.exit != Exit::Refused && entry.recall(known) => {}
        Err(failure) => entry.damaged = Some(why(&failure, path)),
    }
    entry.needed = copies.need(&entry);
    Some(entry)
}

impl Entry {
    /// What this machine knows of a file that it may not read; false: nothing.
    fn recall(&mut self, known: &BTreeMap<String, Known>) -> bool {
        let Some((digest, known)) =
            known.iter().find(|(_, known)| known.places().any(|place| *place == self.path))
        else {
            return false;
        };
        let name = self.name();
        let version = name.strip_prefix(BEGIN).and_then(|rest| rest.rsplit_once("-20"));
        self.version = version.map(|(version, _)| version.to_owned());
        (self.digest, self.made_by) = (Some(digest.clone()), Some(known.made_by));
        self.verified.clone_from(&known.verified);
        true
    }

    fn take(&mut self, manifest: Manifest) {
        self.kind = Some(match manifest.kind {
            manifest::Kind::Physical => Kind::Physical,
            manifest::Kind::Logical => Kind::Logical,
        });
        self.origin = manifest.postgresql.system_identifier.or_else(|| {
            let socket = manifest.socket.unwrap_or_default();
            Some(format!("{}:{}/{}", socket.display(), manifest.port, manifest.internal_database))
        });
        (self.created, self.note) = (manifest.created, manifest.note);
        (self.version, self.made_by) = (Some(manifest.app.version), Some(manifest.made_by));
    }
}

/// In one line, without the path that stands beside it.
fn why(failure: &Failure, path: &Path) -> String {
    let text = failure.to_string().replace(&format!("{} ", path.display()), "");
    match std::error::Error::source(failure) {
        Some(cause) => format!("{text}: {cause}"),
        None => text,
    }
}

/// What upgrades and restores have put aside, and every text in what they wrote down: an archive that is named there is needed.
struct Copies {
    entries: Vec<Entry>,
    named: BTreeSet<String>,
}

impl Copies {
    fn of(state: &Path) -> Result<Copies, Failure> {
        let mut copies = Copies { entries: Vec::new(), named: BTreeSet::new() };
        copies.note(&state.join("transaction.json"))?;
        let aside = state.join("database/aside");
        for folder in fs::read_dir(&aside).into_iter().flatten().flatten() {
            let path = folder.path();
            if let Some(value) = copies.note(&path.join("copy.json"))? {
                copies.entries.push(copy(&path, &value));
            }
        }
        Ok(copies)
    }

    fn note(&mut self, path: &Path) -> Result<Option<Value>, Failure> {
        let text = match fs::read(path) {
            Err(cause) if matches!(cause.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
                return Ok(None);
            }
            text => text.map_err(|cause| Failure::io("read", path, cause))?,
        };
        let value = serde_json::from_slice(&text)
            .map_err(|cause| Failure::new(format!("cannot understand {}", path.display())).cause(cause))?;
        texts(&value, &mut self.named);
        Ok(Some(value))
    }

    fn need(&self, entry: &Entry) -> bool {
        let path = entry.path.to_string_lossy();
        let named = |text: &str| self.named.contains(text);
        named(&path) || named(&entry.name()) || entry.digest.as_deref().is_some_and(named)
    }
}

fn texts(value: &Value, into: &mut BTreeSet<String>) {
    match value {
        Value::String(text) => drop(into.insert(text.clone())),
        Value::Array(all) => all.iter().for_each(|value| texts(value, into)),
        Value::Object(all) => all.values().for_each(|value| texts(value, into)),
        _ => {}
    }
}

fn copy(folder: &Path, value: &Value) -> Entry {
    let text = |name: &str| value[name].as_str().map(str::to_owned);
    let modified = folder.metadata().and_then(|meta| meta.modified()).unwrap_or(SystemTime::UNIX_EPOCH);
    Entry {
        path: folder.to_owned(),
        created: text("created").unwrap_or_else(|| moment::text(modified)),
        version: text("version"),
        kind: Some(Kind::Copy),
        made_by: Some(text("made_by").and_then(|name| name.parse().ok()).unwrap_or(MadeBy::Upgrade)),
        note: text("note"),
        bytes: value["bytes"].as_u64().unwrap_or_else(|| crate::app::files::size(folder)),
        verified: None,
        digest: None,
        origin: None,
        damaged: None,
        needed: true,
    }
}
