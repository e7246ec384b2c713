//! What a killed launcher, or a power cut, has left of a transaction: taken back, or finished.

use std::path::Path;
use std::time::Duration;

use super::journal::{Journal, Kind, Stage};
use super::kept::Kept;
use super::last::record;
use super::pending::Pending;
use super::restored;
use super::swap::{Part, take_back};
use super::sweep::{RESTORING, UNPACKED, sweep};
use super::uploads;
use crate::app::files;
use crate::control::Lock;
use crate::database;
use crate::failure::{Exit, Failure};
use crate::progress::Progress;

/// How long a server may take to end that its launcher has left.
const PATIENCE: Duration = Duration::from_secs(240);

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recovered {
    pub journal: Journal,
    /// For people.
    pub text: String,
}

/// Puts an installation in order, under its lock and before anything else is done with it.
pub fn recover(state: &Path) -> Result<Option<Recovered>, Failure> {
    let Some(journal) = Journal::read(state)? else {
        // A backup that was unpacked for a restore that never began is as large as the data.
        sweep(state, &Part::ALL, !Lock::is_held(state, RESTORING));
        return Ok(None);
    };
    // Nothing is renamed under a server that still writes.
    if let Some(mut left) = database::adopt(&Part::Database.live(state)) {
        left.stop(PATIENCE)?;
    }
    database::outlived(&Part::Database.live(state))?;
    let what = journal.words();
    let text = match journal.stage {
        Stage::Open => {
            undo(state, &journal)?;
            let lost = uploads::changed(state, &journal);
            let why = join("it was interrupted", lost.as_deref());
            record(state, &journal, "taken back", Some(&why));
            // What was changed on them is put back by Mathesar itself, once it runs.
            let others = if journal.others {
                "; databases on other servers may still have the newer release's SQL, and get their own back when Mathesar runs"
            } else {
                ""
            };
            let all = if lost.is_some() {
                "application and data are as they were"
            } else {
                "everything is as it was"
            };
            join(&format!("{what} was interrupted: {all} before it{others}"), lost.as_deref())
        }
        Stage::Committed => {
            finish(state, &journal)?;
            record(state, &journal, "done", None);
            format!("{what} was done; what was left of it is tidied up")
        }
    };
    Ok(Some(Recovered { journal, text }))
}

/// What is not as it was is told with it.
pub fn join(text: &str, lost: Option<&str>) -> String {
    lost.map_or_else(|| text.to_owned(), |lost| format!("{text}; but {lost}"))
}

/// Ends a server that somebody else has started on the data, `mathesar db start` for example: nothing is copied for good, and nothing
/// renamed, under one that still writes.
pub fn end_server(state: &Path, progress: &dyn Progress) -> Result<(), Failure> {
    let data = Part::Database.live(state);
    let Some(mut left) = database::adopt(&data) else { return database::outlived(&data) };
    progress.note(&format!(
        "PostgreSQL ran by itself (pid {}), and is ended: `mathesar db start` starts it again",
        left.pid
    ));
    left.stop(PATIENCE)?;
    match database::adopt(&data) {
        None => database::outlived(&data),
        Some(other) => Err(Failure::new(format!("PostgreSQL (pid {}) was started meanwhile", other.pid))
            .exit(Exit::Refused)
            .help("end it: `mathesar db stop`")),
    }
}

/// Takes everything back, nobody using the data.
pub fn undo(state: &Path, journal: &Journal) -> Result<(), Failure> {
    database::outlived(&Part::Database.live(state))?;
    for part in &journal.parts {
        let (live, side) = (part.live(state), part.side(state, &journal.id));
        take_back(&live, &side)?;
        if let (Kind::Rollback, Some(took)) = (journal.kind, &journal.took) {
            give_back(state, *part, &side, took)?;
        }
    }
    files::create_folder(&state.join("app"))?;
    let link = state.join("app/current");
    let target = journal.from.as_deref().map(Path::new);
    match target {
        Some(from) if std::fs::read_link(&link).ok().as_deref() != Some(from) => {
            files::switch_link(&link, from)?
        }
        Some(_) => {}
        None => files::remove_tree(&link)?,
    }
    if journal.others {
        Pending { others: true, ..Pending::read(state) }.write(state)?;
    }
    Journal::remove(state)?;
    for part in &journal.parts {
        remove_side(state, *part, &journal.id)?;
    }
    Ok(())
}

/// The copy that a rollback had taken belongs to the upgrade that made it.
fn give_back(state: &Path, part: Part, side: &Path, took: &str) -> Result<(), Failure> {
    let home = part.side(state, took).join("old");
    for place in ["new", "undone"] {
        let from = side.join(place);
        if from.exists() && !home.exists() {
            std::fs::rename(&from, &home).map_err(|cause| Failure::io("rename to", &home, cause))?;
            if let Some(folder) = home.parent() {
                files::sync_folder(folder)?;
            }
        }
    }
    Ok(())
}

/// After the commit: the release counts, copies of earlier transactions go, this one's stays for `rollback`.
pub fn finish(state: &Path, journal: &Journal) -> Result<(), Failure> {
    files::create_folder(&state.join("app"))?;
    let link = state.join("app/current");
    if std::fs::read_link(&link).ok().as_deref() != Some(Path::new(&journal.to)) {
        files::switch_link(&link, Path::new(&journal.to))?;
    }
    crate::app::store::Store::new(&state.join("app")).hold(journal.hold.as_deref())?;
    for part in &journal.parts {
        let side = part.side(state, &journal.id);
        for rest in ["new", "undone", "copy"] {
            files::remove_tree(&side.join(rest))?;
        }
    }
    // What was kept for the case that it fails.
    for part in Part::ALL.into_iter().filter(|part| !journal.parts.contains(part)) {
        remove_side(state, part, &journal.id)?;
    }
    // Of earlier transactions also what this one has not replaced: without its database there is no way back to it.
    for part in Part::ALL {
        for entry in std::fs::read_dir(part.aside(state)).into_iter().flatten().flatten() {
            // What a restore has unpacked and not begun with is that restore's.
            let awaited = Lock::is_held(state, RESTORING) && entry.path().join(UNPACKED).exists();
            if entry.file_name().to_str() != Some(journal.id.as_str()) && !awaited {
                files::remove_tree(&entry.path())?;
            }
        }
    }
    if journal.kind == Kind::Restore {
        restored::settle(state, journal)?;
    }
    // A restore's, from which the parts came.
    files::remove_tree(&Part::Database.aside(state).join(&journal.id).join(UNPACKED))?;
    if journal.parts.iter().any(|part| part.side(state, &journal.id).join("old").exists()) {
        Kept::mark(state, journal)?;
    }
    Journal::remove(state)
}

fn remove_side(state: &Path, part: Part, id: &str) -> Result<(), Failure> {
    files::remove_tree(&part.aside(state).join(id))
}

/// A rollback's copy moves from the upgrade that has made it to where it is put in place from.
pub fn take_kept(state: &Path, journal: &Journal, kept: &super::Kept) -> Result<(), Failure> {
    for part in &kept.parts {
        let (from, side) = (part.side(state, &kept.id).join("old"), part.side(state, &journal.id));
        files::create_folder(&side)?;
        std::fs::rename(&from, side.join("new")).map_err(|cause| Failure::io("move", &from, cause))?;
        files::sync_folder(&side)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_servers_follow_and_that_is_said() {
        let state = tempfile::tempdir().unwrap();
        for others in [false, true] {
            let mut journal =
                Journal::new(state.path(), Kind::Upgrade, Some("1-a".into()), "2-b".into(), Vec::new());
            journal.others = others;
            journal.write(state.path()).unwrap();
            let text = recover(state.path()).unwrap().unwrap().text;
            assert_eq!(
                text.contains("databases on other servers may still have the newer"),
                others,
                "{text}"
            );
            assert_eq!(Pending::read(state.path()).others, others);
        }
    }
}
