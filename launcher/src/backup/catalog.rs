//! Which backups there are: archives in the folders for them, and the copies that an upgrade keeps to go back to.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

use super::copies::Copies;
pub use super::listing::Listing;
use super::manifest::{self, MadeBy, Manifest};
use super::origin::{self, Here, Whose};
pub use super::records::{Known, forget, known, remember};
use super::{archive, moment};
use crate::cure;
use crate::failure::{Exit, Failure};
use crate::installation::Installation;

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
    /// Which data it is of: a folder may hold those of several installations.
    pub origin: Option<String>,
    pub whose: Whose,
    /// Databases that belong into it, and are not there.
    pub lacks: Vec<String>,
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

    /// One that this installation may choose by itself.
    fn is_ones_own(&self) -> bool {
        self.is_readable() && matches!(self.whose, Whose::Own | Whose::Brought)
    }

    /// `lacks people, staff`
    pub fn incomplete(&self) -> Option<String> {
        manifest::lacking(self.lacks.iter().map(String::as_str))
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
            "lacks": self.lacks,
            "damaged": self.damaged,
            "needed": self.needed,
            // Of whom a damaged one is, nobody can tell.
            "own": self.damaged.is_none().then(|| !self.whose.is_foreign()),
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
    let here = Here::of(&installation.layout.state, &installation.config);
    list_in(&here, installation.config.path("backup.directory").as_deref())
}

/// The same, with a `backup.directory`; archives that were made elsewhere are listed where they still lie there.
pub fn list_in(here: &Here, directory: Option<&Path>) -> Result<Listing, Failure> {
    let state = &here.state;
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
    let mut all: Vec<Entry> = paths.iter().filter_map(|path| entry(path, here, &known, &copies)).collect();
    all.extend(copies.entries);
    all.sort_by(|a, b| b.age_order().cmp(&a.age_order()));
    Ok(Listing { all, unread })
}

/// The newest of this installation's own that can be read.
pub fn newest(all: &[Entry]) -> Option<&Entry> {
    newest_of(all.iter().filter(|entry| entry.is_ones_own()))
}

/// The newest of those of its own whose drill went well.
pub fn newest_verified(all: &[Entry]) -> Option<&Entry> {
    newest_verified_of(all.iter().filter(|entry| entry.is_ones_own()))
}

/// Of these, whosever they are.
pub(super) fn newest_of<'a>(all: impl Iterator<Item = &'a Entry>) -> Option<&'a Entry> {
    let (future, past): (Vec<_>, Vec<_>) =
        all.filter(|entry| entry.is_readable()).partition(|entry| entry.is_of_the_future());
    let newest = |of: Vec<&'a Entry>| of.into_iter().max_by_key(|entry| entry.age_order());
    newest(past).or_else(|| newest(future))
}

pub(super) fn newest_verified_of<'a>(all: impl Iterator<Item = &'a Entry>) -> Option<&'a Entry> {
    let verified =
        all.filter(|entry| entry.is_readable() && entry.verified.is_some() && !entry.is_of_the_future());
    verified.max_by_key(|entry| entry.age_order())
}

/// The archive that a person means: a file, the newest in a folder, the name of a listed one, or the beginning of its digest; nothing: the
/// newest of this installation's own.
pub fn find(installation: &Installation, what: Option<&Path>) -> Result<PathBuf, Failure> {
    if let Some(path) = what.filter(|path| path.is_file()) {
        return std::path::absolute(path).map_err(|cause| Failure::io("find", path, cause));
    }
    if let Some(path) = what.filter(|path| path.is_dir()) {
        return newest_in(&Here::of(&installation.layout.state, &installation.config), path);
    }
    let listing = list(installation)?;
    listing.warn();
    let all = listing.all;
    let seen = if listing.unread.is_empty() { "" } else { " that can be seen" };
    let Some(what) = what else {
        return newest(&all).map(|entry| entry.path.clone()).ok_or_else(|| none(&all, seen));
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

fn none(all: &[Entry], seen: &str) -> Failure {
    let failure = match origin::foreign(all) {
        0 => Failure::new(format!("there is no backup{seen}")),
        others => Failure::new(format!("there is no backup of this installation{seen}"))
            .cause(format!("{others} of others are listed, and none of those is taken without being named"))
            .help("name the file that is meant: `mathesar backup list`"),
    };
    failure.exit(Exit::Refused).help("make one: `mathesar backup create`")
}

/// The newest archive in a folder that a person names.
pub(super) fn newest_in(here: &Here, folder: &Path) -> Result<PathBuf, Failure> {
    let none = || {
        Failure::new(format!("there is no backup in {}", folder.display()))
            .exit(Exit::Refused)
            .help("see which there are: `mathesar backup list`")
    };
    let copies = Copies::of(&here.state)?;
    let real = folder.canonicalize().map_err(|cause| Failure::io("read", folder, cause))?;
    if copies.entries.iter().any(|entry| entry.path.canonicalize().is_ok_and(|path| path == real)) {
        return Err(Failure::new(format!("{} is no backup", folder.display()))
            .exit(Exit::Refused)
            .cause(cure::addressed("it is the copy of the data that `mathesar rollback` would bring back"))
            .help("make a backup: `mathesar backup create`"));
    }
    let known = known(&here.state);
    let mut all: Vec<Entry> =
        archives(folder)?.iter().filter_map(|path| entry(path, here, &known, &copies)).collect();
    // Several installations may share a folder: never another one's by accident.
    let origins: BTreeSet<Option<String>> =
        all.iter().filter(|entry| entry.is_readable()).map(|entry| entry.origin.clone()).collect();
    if origins.len() > 1 {
        if !all.iter().any(Entry::is_ones_own) {
            return Err(Failure::new(format!(
                "the backups in {} are of several installations",
                folder.display()
            ))
            .exit(Exit::Refused)
            .help("name the file that is meant"));
        }
        all.retain(Entry::is_ones_own);
    }
    newest_of(all.iter()).map(|entry| entry.path.clone()).ok_or_else(none)
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
fn entry(path: &Path, here: &Here, known: &BTreeMap<String, Known>, copies: &Copies) -> Option<Entry> {
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
        whose: Whose::Unknown,
        lacks: Vec::new(),
        damaged: None,
        needed: false,
    };
    match digest.and_then(|digest| Ok((digest, archive::read_manifest(path)?))) {
        Ok((digest, manifest)) => {
            let known = known.get(&digest);
            entry.verified = known.and_then(|known| known.verified.clone());
            entry.whose = here.judge(&manifest, known);
            entry.digest = Some(digest);
            entry.take(manifest);
        }
        // One of root's, that only root may read: it was whole when it was made, and no more can be told.
        Err(failure) if failure.exit != Exit::Refused && entry.recall(here, known) => {}
        Err(failure) => entry.damaged = Some(why(&failure, path)),
    }
    entry.needed = copies.need(&entry);
    Some(entry)
}

impl Entry {
    /// What this machine knows of a file that it may not read; false: nothing.
    fn recall(&mut self, here: &Here, known: &BTreeMap<String, Known>) -> bool {
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
        self.origin.clone_from(&known.origin);
        self.whose = here.recall(known);
        true
    }

    fn take(&mut self, manifest: Manifest) {
        self.kind = Some(match manifest.kind {
            manifest::Kind::Physical => Kind::Physical,
            manifest::Kind::Logical => Kind::Logical,
        });
        self.origin = origin::of(&manifest);
        self.lacks = manifest.lacks.into_iter().map(|lack| lack.database).collect();
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
