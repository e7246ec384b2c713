//! The upgrade that a new package brings: prepared beside the release that serves.

use std::sync::Arc;

use crate::app::store::Store;
use crate::failure::Failure;
use crate::installation::Installation;
use crate::progress::Progress;
use crate::steps::{Event, Kind, Step, Wanted, Watcher, World, walk};
use crate::supervise::Cancel;
use crate::supervise::log::Sink;
use crate::transaction::Failed;

/// Why the pinned release does not come by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Holding {
    /// `upgrade.automatic = false`
    Setting,
    /// The database is a server of the user's, where nothing can be taken back.
    External,
    /// It was tried, and taken back.
    Failed(String),
    /// The one that runs is newer.
    Older,
}

/// The pinned release's id where it is not the one that runs, and what keeps it from coming by itself.
pub fn due(installation: &Installation) -> Option<(String, Option<Holding>)> {
    let (store, pinned) = (installation.store(), &installation.pinned);
    let id = Store::id(&pinned.version, &pinned.sha256);
    let current = std::fs::read_link(store.folder.join("current")).ok()?.to_str()?.to_owned();
    if current == id || store.held().is_some() {
        return None;
    }
    let running = Store::version_of(&current).to_owned();
    // Why the last upgrade to this release was taken back.
    let failed = Failed::read(&installation.layout.state).filter(|failed| failed.to == id);
    let holding = match () {
        () if crate::steps::compare(&pinned.version, &running) == std::cmp::Ordering::Less => {
            Some(Holding::Older)
        }
        () if let Some(failed) = failed => Some(Holding::Failed(failed.why)),
        () if !installation.config.bool("upgrade.automatic") => Some(Holding::Setting),
        () if installation.is_external() => Some(Holding::External),
        () => None,
    };
    Some((id, holding))
}

/// One that a person has tried, of a release that is still here.
fn failed_by_hand(installation: &Installation) -> Option<String> {
    let failed = Failed::read(&installation.layout.state)?;
    let (store, pinned) = (installation.store(), &installation.pinned);
    let theirs = failed.to != Store::id(&pinned.version, &pinned.sha256);
    // What an earlier package had brought is nobody's wish any more.
    let is_so = theirs
        && store
            .list()
            .ok()?
            .iter()
            .any(|release| release.id == failed.to && release.named && !release.current);
    let version = Store::version_of(&failed.to);
    is_so.then(|| {
        format!(
            "upgrade: the one to Mathesar {version} was taken back: {}; `mathesar upgrade --to {}` tries it again, `mathesar app prune --keep 0` \
             removes it",
            failed.why, failed.to
        )
    })
}

/// What the pinned release waits for, where nothing keeps it from coming by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Runs<'a> {
    /// Nobody runs who could bring it.
    Nobody,
    /// A launcher, which is bringing this one, if any.
    Launcher(Option<&'a str>),
}

/// For `status`.
pub fn lines(installation: &Installation, runs: Runs) -> Vec<String> {
    failed_by_hand(installation).into_iter().chain(lines_of_pin(installation, runs)).collect()
}

/// A launcher looks once, when it starts: another package may have replaced its own program by now.
fn when(id: &str, runs: Runs) -> &'static str {
    match runs {
        Runs::Launcher(Some(coming)) if coming == id => ", and is being prepared",
        Runs::Launcher(_) => {
            "; the next start of the launcher brings it (`mathesar stop`, then `mathesar start`), or `mathesar upgrade` now"
        }
        Runs::Nobody => "; `mathesar start` brings it",
    }
}

fn lines_of_pin(installation: &Installation, runs: Runs) -> Vec<String> {
    let store = installation.store();
    let current = std::fs::read_link(store.folder.join("current")).ok();
    // The one that a person has named by a file comes before the launcher's own.
    if let (Some(held), Some(current)) = (store.held(), current.as_deref().and_then(std::path::Path::to_str))
    {
        let version = Store::version_of(&held);
        if crate::steps::compare(version, Store::version_of(current)) == std::cmp::Ordering::Less {
            // There is no way to an older one but `rollback`.
            return Vec::new();
        }
        let text = format!(
            "upgrade: Mathesar {version} is installed and held; `mathesar upgrade --to {held}` brings it"
        );
        return if held == current { Vec::new() } else { vec![text] };
    }
    let Some((id, holding)) = due(installation) else { return Vec::new() };
    let version = Store::version_of(&id);
    let text = match holding {
        None => format!("upgrade: Mathesar {version} came with this launcher{}", when(&id, runs)),
        Some(Holding::Setting) => {
            format!(
                "upgrade: Mathesar {version} came with this launcher; `mathesar upgrade` brings it (`upgrade.automatic` is off)"
            )
        }
        Some(Holding::External) => {
            format!(
                "upgrade: Mathesar {version} came with this launcher; on a server of your own it waits for `mathesar upgrade`"
            )
        }
        Some(Holding::Failed(why)) => {
            format!(
                "upgrade: the one to Mathesar {version} was taken back: {why}; `mathesar upgrade` tries it again"
            )
        }
        Some(Holding::Older) => return Vec::new(),
    };
    vec![text]
}

/// The release that this launcher is to bring by itself: never one that came after it was started, with a program of its own.
pub fn coming(world: &World) -> Result<Option<(Installation, String)>, Failure> {
    let installation = world.installation.again()?;
    let first = &world.installation.pinned;
    Ok(match due(&installation) {
        Some((id, None)) if id == Store::id(&first.version, &first.sha256) => Some((installation, id)),
        _ => None,
    })
}

/// Installs it.
pub fn prepare(
    installation: Installation,
    world: &World,
    sink: &Arc<dyn Sink>,
    cancel: &Cancel,
) -> Result<(), Failure> {
    let mut next = World::like(installation, world)?;
    next.wanted = Wanted::Next;
    next.for_admin = true;
    let work = |step, progress: &dyn Progress| {
        if cancel.cancelled() {
            return Err(Failure::new("it was told to stop"));
        }
        next.work(step, progress)
    };
    walk(&[Step::Static], &Log(Arc::clone(sink)), &work).inspect_err(|_| next.keep_finished())?;
    Ok(())
}

/// Whole lines, for a log.
struct Log(Arc<dyn Sink>);

impl Watcher for Log {
    fn tell(&self, event: &Event) {
        match &event.kind {
            Kind::Doing(text) | Kind::Note(text) | Kind::Did(text) => self.0.line("launcher", text),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_being_done_is_said_to_be() {
        let said = |runs| when("2.0.0-a", runs);
        assert_eq!(said(Runs::Launcher(Some("2.0.0-a"))), ", and is being prepared");
        for other in [None, Some("1.0.0-b")] {
            assert!(said(Runs::Launcher(other)).contains("`mathesar upgrade` now"), "{other:?}");
        }
        assert!(said(Runs::Nobody).contains("`mathesar start` brings it"));
    }
}
