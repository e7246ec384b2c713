//! Which releases stay installed after an upgrade.

use std::path::Path;

use crate::app::store::Installed;
use crate::failure::Failure;
use crate::installation::Installation;
use crate::progress::{Progress, Silent};
use crate::supervise::log::Sink;
use crate::transaction::Kept;

/// Releases that are needed besides the current one and those that are held or kept: that of the tables (after `app use --force` it
/// is another than the current one), and that of the copy which `rollback` would bring back. With what each is needed for.
pub fn needed(state: &Path) -> Result<Vec<(String, &'static str)>, Failure> {
    let tables = crate::steps::migrated_by(state)?.map(|id| (id, "the tables"));
    let copy = Kept::find(state).and_then(|kept| kept.release).map(|id| (id, "rollback"));
    Ok(tables.into_iter().chain(copy).collect())
}

/// What was put aside goes to the log.
struct Notes<'a>(&'a dyn Sink);

impl Progress for Notes<'_> {
    fn start(&self, _: &str) {}
    fn bytes(&self, _: u64, _: Option<u64>) {}
    fn note(&self, what: &str) {
        self.0.line("launcher", what);
    }
    fn done(&self, _: &str) {}
}

/// Removes the oldest beyond `upgrade.keep-releases`. Visitors are served already: what fails is told, and tried again after the next one.
pub(super) fn tidy(installation: &Installation, current: &Installed, sink: &dyn Sink) {
    let keep = installation.config.integer("upgrade.keep-releases").unwrap_or(2);
    let keep = usize::try_from(keep).unwrap_or(usize::MAX);
    let store = installation.store();
    let removed = (|| {
        let _lock = store.lock(&Silent)?;
        let needed = needed(&installation.layout.state)?.into_iter().map(|(id, _)| id);
        let mut needed: Vec<String> = needed.filter(|id| *id != current.id).collect();
        needed.sort();
        needed.dedup();
        store.prune(keep.saturating_sub(needed.len()), &needed, &Notes(sink))
    })();
    match removed {
        Ok(removed) => removed.iter().for_each(|id| {
            sink.line("launcher", &format!("removed the release {id}, beyond `upgrade.keep-releases`"));
        }),
        Err(failure) => sink.line("launcher", &failure.whole()),
    }
}
