//! launchd of macOS: a user's agents. Written to its documentation, and not yet run on a Mac.

use std::path::Path;

use super::Place;
use crate::failure::Failure;
use crate::layout::{Environment, Layout, Scope};
use crate::process::Program;

/// `org.mathesar.mathesar`, of an instance `org.mathesar.mathesar.NAME`.
pub(super) fn label(layout: &Layout) -> String {
    let mut label = "org.mathesar.mathesar".to_owned();
    match (layout.scope, &layout.instance) {
        (Scope::Home, _) => label.push_str(&format!(".home-{}", layout.short())),
        (_, Some(instance)) => label.push_str(&format!(".{instance}")),
        (_, None) => {}
    }
    label
}

pub(super) fn place(label: &str, environment: &Environment) -> Option<Place> {
    let folder = environment.home.as_ref()?.join("Library/LaunchAgents");
    Some(Place { name: label.to_owned(), file: folder.join(format!("{label}.plist")) })
}

/// The domain of the agents of a user who is logged in.
fn domain(uid: u32) -> String {
    format!("gui/{uid}")
}

fn target(label: &str, uid: u32) -> String {
    format!("{}/{label}", domain(uid))
}

fn launchctl(verb: &str) -> Program {
    Program::new("/bin/launchctl").arg(verb)
}

/// What launchd knows of the job; none where it is not loaded.
fn described(label: &str, uid: u32) -> Option<String> {
    let output = launchctl("print").arg(target(label, uid)).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

pub(super) fn is_running(label: &str, uid: u32) -> bool {
    described(label, uid).is_some_and(|text| text.lines().any(|line| line.trim() == "state = running"))
}

pub(super) fn start(label: &str, plist: &Path, uid: u32) -> Result<(), Failure> {
    match described(label, uid) {
        // Loading it runs it: `RunAtLoad`.
        None => launchctl("bootstrap").arg(domain(uid)).arg(plist).run().map(drop),
        Some(_) => launchctl("kickstart").arg(target(label, uid)).run().map(drop),
    }
}

/// Unloaded until the next login, as a job that is kept alive would come back at once.
pub(super) fn stop(label: &str, uid: u32) -> Result<(), Failure> {
    launchctl("bootout").arg(target(label, uid)).run().map(drop)
}

pub(super) fn restart(label: &str, uid: u32) -> Result<(), Failure> {
    launchctl("kickstart").arg("-k").arg(target(label, uid)).run().map(drop)
}
