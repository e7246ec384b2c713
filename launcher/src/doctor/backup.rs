//! Whether there is a backup that could be relied on.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::{Check, Entry, Group, Look};
use crate::backup::{catalog, moment, origin};

pub(super) static LAST: Entry = Entry {
    id: "last-backup",
    group: Group::Backups,
    title: "last verified backup",
    doc: "A backup of this installation was made within the last seven days that `mathesar backup verify` has tried: one that was never unpacked may be none.",
};
pub(super) static DAMAGED: Entry = Entry {
    id: "damaged-backups",
    group: Group::Backups,
    title: "damaged backups",
    doc: "The beginning and the end of every backup can be read; whether all of it is whole says `mathesar backup verify`.",
};
pub(super) static DISK: Entry = Entry {
    id: "backup-disk",
    group: Group::Backups,
    title: "disk of the backups",
    doc: "The folder of the backups can be written to and is not among the data, and it is on another disk than they: a disk that dies takes both.",
};

pub(super) const ENTRIES: &[&Entry] = &[&LAST, &DAMAGED, &DISK];

const OLD: Duration = Duration::from_secs(7 * 86_400);

#[derive(Debug, Clone)]
pub(super) struct Made {
    pub at: SystemTime,
    pub path: PathBuf,
    /// `lacks people, staff`
    pub incomplete: Option<String>,
}

#[derive(Debug, Clone)]
pub(super) struct Found {
    pub newest: Option<Made>,
    /// The newest of those that were verified.
    pub verified: Option<Made>,
    /// How many of other installations lie there.
    pub others: usize,
    pub damaged: Vec<PathBuf>,
}

#[derive(Debug, Clone)]
pub(super) enum Unknown {
    /// Nothing is installed yet.
    Fresh,
    Unreadable(String),
}

#[derive(Debug, Clone)]
pub(super) struct Facts {
    pub found: Result<Found, Unknown>,
    pub now: SystemTime,
    /// Where new ones go.
    pub folder: PathBuf,
    /// Why none can be made there.
    pub unusable: Option<String>,
    /// As the database; none: there are no data yet.
    pub same_disk: Option<bool>,
}

impl Facts {
    pub fn gather(look: &Look) -> Facts {
        let installation = &look.installation;
        let folder = catalog::folder(installation);
        let data = match installation.is_external() {
            true => installation.media(),
            false => installation.database_folder(),
        };
        Facts {
            found: if look.fresh() { Err(Unknown::Fresh) } else { found(look) },
            now: SystemTime::now(),
            unusable: unusable(&folder, &installation.layout.state),
            same_disk: (!look.fresh()).then(|| disk(&folder) == disk(&data)),
            folder,
        }
    }
}

fn found(look: &Look) -> Result<Found, Unknown> {
    let listing =
        catalog::list(&look.installation).map_err(|failure| Unknown::Unreadable(failure.whole()))?;
    if let Some(why) = listing.unread.first() {
        return Err(Unknown::Unreadable(why.clone()));
    }
    let all = listing.all;
    let made = |entry: &catalog::Entry| {
        let (path, incomplete) = (entry.path.clone(), entry.incomplete());
        Some(Made { at: moment::parse(&entry.created)?, path, incomplete })
    };
    let damaged = all.iter().filter(|entry| entry.damaged.is_some());
    Ok(Found {
        newest: catalog::newest(&all).and_then(made),
        verified: catalog::newest_verified(&all).and_then(made),
        others: origin::foreign(&all),
        damaged: damaged.map(|entry| entry.path.clone()).collect(),
    })
}

/// A folder that is missing is made in its parent, if that is there.
fn unusable(folder: &Path, state: &Path) -> Option<String> {
    use rustix::fs::Access;
    if let Err(failure) = crate::backup::place::refuse_inside(folder, state) {
        return Some(failure.whole());
    }
    let above = if folder.symlink_metadata().is_ok() { folder } else { folder.parent()? };
    let access = rustix::fs::access(above, Access::WRITE_OK | Access::EXEC_OK);
    access
        .err()
        .map(|cause| format!("{} cannot be written to: {}", above.display(), std::io::Error::from(cause)))
}

/// Of the folder, or of the one that it would be made in.
fn disk(folder: &Path) -> Option<u64> {
    use std::os::unix::fs::MetadataExt as _;
    folder.ancestors().find_map(|folder| folder.metadata().ok()).map(|found| found.dev())
}

pub(super) fn checks(facts: &Facts) -> Vec<Check> {
    vec![last(facts), damaged(facts), place(facts)]
}

const FRESH: &str = "nothing is installed yet: `mathesar start`";
const CREATE: &str = "`mathesar backup create`, then `mathesar backup verify`";

fn last(facts: &Facts) -> Check {
    let found = match &facts.found {
        Ok(found) => found,
        Err(Unknown::Fresh) => return LAST.not_checked(FRESH),
        Err(Unknown::Unreadable(why)) => {
            return LAST.warning(why.clone()).cure(format!(
                "let the user that Mathesar runs as read it: `ls -ld {}`",
                crate::cure::path(&facts.folder)
            ));
        }
    };
    let days = |at: SystemTime| facts.now.duration_since(at).unwrap_or_default().as_secs() / 86_400;
    let since = |at| match days(at) {
        0 => "within the last day".to_owned(),
        1 => "a day ago".to_owned(),
        days => format!("{days} days ago"),
    };
    let incomplete = |made: &Option<Made>| made.as_ref()?.incomplete.clone();
    match (&found.newest, &found.verified) {
        (None, _) if found.others > 0 => LAST
            .warning("there is no backup of this installation: those in its folders are others'")
            .cure(CREATE),
        (None, _) => LAST.warning("there is no backup").cure(CREATE),
        (newest, verified) if let Some(lacks) = incomplete(newest).or_else(|| incomplete(verified)) => LAST
            .warning(format!("incomplete: {lacks}"))
            .cause("the role of `database.url` could not read all of it, and none of it was copied")
            .cure(format!("let the role read every table there, then {CREATE}")),
        (Some(newest), None) => LAST
            .warning(format!("one was made {}, and none was ever verified", since(newest.at)))
            .cure("`mathesar backup verify`"),
        (_, Some(verified)) if facts.now.duration_since(verified.at).is_ok_and(|age| age > OLD) => LAST
            .warning(format!("the last one that was verified was made {}", since(verified.at)))
            .cure(CREATE),
        (_, Some(verified)) => LAST.ok(format!("made {}: {}", since(verified.at), verified.path.display())),
    }
}

fn damaged(facts: &Facts) -> Check {
    let all = match &facts.found {
        Ok(found) => &found.damaged,
        Err(Unknown::Fresh) => return DAMAGED.not_checked(FRESH),
        Err(Unknown::Unreadable(why)) => return DAMAGED.not_checked(why.clone()),
    };
    match all.is_empty() {
        true => DAMAGED.ok("none"),
        false => DAMAGED
            .warning(all.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join("\n"))
            .cure("see why: `mathesar backup list --json`")
            .cure(format!(
                "where another one is good, remove what is not: `rm {}`",
                all.iter().map(|path| crate::cure::path(path)).collect::<Vec<_>>().join(" ")
            )),
    }
}

fn place(facts: &Facts) -> Check {
    let (folder, quoted) = (facts.folder.display(), crate::cure::path(&facts.folder));
    if let (Some(why), Some(_)) = (&facts.unusable, facts.same_disk) {
        return DISK
            .problem(format!("no backup can be made in {folder}"))
            .cause(why.clone())
            .cure("name another folder: `mathesar config set backup.directory DIR`")
            .cure(format!("or let the user that Mathesar runs as write to it: `ls -ld {quoted}`"));
    }
    match facts.same_disk {
        None => DISK.not_checked(FRESH),
        Some(false) => DISK.ok(format!("{folder}, which is not the data's own")),
        Some(true) => DISK
            .warning(format!("{folder} is on the data's own disk"))
            .cause("a disk that dies takes data and backups")
            .cure("name a folder of another disk: `mathesar config set backup.directory DIR`")
            .cure("or copy them to another machine, each is one file"),
    }
}
