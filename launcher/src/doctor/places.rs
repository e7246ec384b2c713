//! The folders of the installation.

use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::{Check, Entry, Group, Look};
use crate::cure;
use crate::failure::denied;
use crate::layout::Scope;
use crate::parents::{self, Weak};

pub(super) static PLACES: Entry = Entry {
    id: "places",
    group: Group::Places,
    title: "folders",
    doc: "State, cache, run, log and media folders exist or can be made, belong to the user that Mathesar runs as, can be written, and nobody else can write there or exchange them from above.",
};
pub(super) static CONFIG: Entry = Entry {
    id: "config-folder",
    group: Group::Places,
    title: "settings folder",
    doc: "The folder of `mathesar.conf` and the files in it can be read, and nobody but root and their owner can write them.",
};

pub(super) const ENTRIES: &[&Entry] = &[&PLACES, &CONFIG];

/// What stands at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum State {
    There {
        folder: bool,
        uid: u32,
        mode: u32,
        writable: bool,
        readable: bool,
    },
    /// Whatever there is: this folder above it lets nobody of us through.
    Hidden {
        by: PathBuf,
        cure: String,
    },
    /// Nothing yet; whether it could be made.
    Missing {
        parent: PathBuf,
        writable: bool,
    },
}

#[derive(Debug, Clone)]
pub(super) struct Place {
    pub name: &'static str,
    pub path: PathBuf,
    pub state: State,
    /// The folder above it from which others can exchange it.
    pub weak: Option<Weak>,
}

#[derive(Debug, Clone)]
pub(super) struct Facts {
    pub uid: u32,
    pub places: Vec<Place>,
    pub config: Vec<Place>,
    /// Whose the settings ought to be.
    pub owner: u32,
}

impl Facts {
    pub fn gather(look: &Look) -> Facts {
        let installation = &look.installation;
        let layout = &installation.layout;
        let mut places = vec![
            ("state", layout.state.clone()),
            ("cache", layout.cache.clone()),
            ("run", layout.run.clone()),
            ("media", installation.media()),
        ];
        places.extend(layout.logs.clone().map(|logs| ("log", logs)));
        if !installation.is_external() {
            places.push(("database socket", layout.database_socket.clone()));
        }
        places.dedup_by(|a, b| a.1 == b.1);
        let uid = installation.environment.uid;
        let place = |(name, path): (&'static str, PathBuf)| Place {
            name,
            state: state(&path),
            weak: parents::weak(&path, uid),
            path,
        };
        let mut config = vec![("settings", layout.config.clone()), ("settings", layout.config_drop_ins())];
        config.extend(look.files.iter().map(|file| ("settings", file.clone())));
        Facts {
            uid,
            places: places.into_iter().map(place).collect(),
            config: config.into_iter().map(place).collect(),
            owner: if layout.scope == Scope::System { 0 } else { uid },
        }
    }
}

fn state(path: &Path) -> State {
    use rustix::fs::Access;
    let may = |path: &Path, access| rustix::fs::access(path, access).is_ok();
    match std::fs::metadata(path) {
        Ok(found) => {
            let folder = found.is_dir();
            let enter = if folder { Access::EXEC_OK } else { Access::EXISTS };
            State::There {
                folder,
                uid: found.uid(),
                mode: found.mode() & 0o7777,
                writable: may(path, Access::WRITE_OK | enter),
                readable: may(path, Access::READ_OK | enter),
            }
        }
        Err(cause) if cause.kind() == ErrorKind::PermissionDenied => {
            let by = denied::culprit(path).unwrap_or_else(|| path.to_owned());
            let cure = format!("run it as the user whose it is: `ls -ld {}`", cure::path(&by));
            State::Hidden { by, cure: denied::help(path).unwrap_or(cure) }
        }
        Err(_) => {
            let parent = path.ancestors().skip(1).find(|parent| parent.exists()).unwrap_or(Path::new("/"));
            State::Missing {
                writable: may(parent, Access::WRITE_OK | Access::EXEC_OK),
                parent: parent.to_owned(),
            }
        }
    }
}

pub(super) fn checks(facts: &Facts) -> Vec<Check> {
    vec![places(facts), config(facts)]
}

fn places(facts: &Facts) -> Check {
    let mut wrong: Vec<(String, String)> = Vec::new();
    let mut open: Vec<(String, String)> = Vec::new();
    for Place { name, path, state, .. } in &facts.places {
        let (shown, quoted) = (path.display(), cure::path(path));
        match state {
            State::Hidden { by, cure } => wrong.push((
                format!("{name} folder {shown} cannot be looked at: {} is closed to this user", by.display()),
                cure.clone(),
            )),
            State::Missing { writable: true, .. } => {}
            // systemd makes the run folder at every start.
            State::Missing { parent, .. } if path.starts_with("/run") && parent == Path::new("/run") => {}
            State::Missing { parent, .. } => wrong.push((
                format!("{name} folder {shown} is missing, and {} cannot be written", parent.display()),
                format!("`sudo install -d -m 700 -o {} {quoted}`{}", facts.uid, or_another(name)),
            )),
            State::There { folder: false, .. } => wrong.push((
                format!("{name}: {shown} is no folder"),
                format!("put it aside: `mv {quoted} {quoted}.old`"),
            )),
            State::There { uid, .. } if *uid != facts.uid && !may_be_foreign(name) => wrong.push((
                format!("{name} folder {shown} belongs to user {uid}, and Mathesar runs as {}", facts.uid),
                format!("`sudo chown -R {} {quoted}`", facts.uid),
            )),
            State::There { uid, writable: false, .. } if *uid != facts.uid => wrong.push((
                format!("{name} folder {shown} belongs to user {uid}, and Mathesar cannot write there"),
                format!("`sudo chown -R {} {quoted}`{}", facts.uid, or_another(name)),
            )),
            State::There { writable: false, .. } => wrong.push((
                format!("{name} folder {shown} cannot be written"),
                format!("`chmod u+rwx {quoted}`; or its disk is read-only: `findmnt -T {quoted}`"),
            )),
            // Sticky ones, as /tmp, are meant to be shared.
            State::There { mode, .. } if mode & 0o022 != 0 && mode & 0o1000 == 0 => open.push((
                format!("{name} folder {shown} can be written by others (mode {mode:o})"),
                format!("`chmod go-w {quoted}`"),
            )),
            State::There { .. } => {}
        }
    }
    // Mostly they lie together; one cure then helps all.
    for weak in facts
        .places
        .iter()
        .filter(|place| !may_be_foreign(place.name))
        .filter_map(|place| place.weak.as_ref())
    {
        let cure = weak.cure(facts.uid);
        if !open.iter().any(|(_, known)| *known == cure) {
            open.push((weak.may_exchange("what lies below"), cure));
        }
    }
    let check = match (wrong.is_empty(), open.is_empty()) {
        (true, true) => return PLACES.ok("there, or can be made, and ours alone"),
        (false, _) => PLACES.problem(lines(&wrong)),
        (true, false) => PLACES.warning(lines(&open)),
    };
    wrong.into_iter().chain(open).fold(check, |check, (_, cure)| match check.cures.contains(&cure) {
        // One closed folder hides all that lie below it.
        true => check,
        false => check.cure(cure),
    })
}

/// A person may give a folder of a bigger disk, writable by its group.
fn may_be_foreign(name: &str) -> bool {
    name == "media"
}

fn or_another(name: &str) -> &'static str {
    if name == "media" { ", or name another one: `mathesar config set media.path DIR`" } else { "" }
}

fn lines(all: &[(String, String)]) -> String {
    all.iter().map(|(what, _)| what.as_str()).collect::<Vec<_>>().join("\n")
}

fn config(facts: &Facts) -> Check {
    for Place { path, state, weak, .. } in &facts.config {
        let (shown, quoted) = (path.display(), cure::path(path));
        match state {
            State::There { readable: false, .. } => {
                return CONFIG
                    .problem(format!("{shown} cannot be read"))
                    .cure(format!("let the user that Mathesar runs as read it: `ls -ld {quoted}`"));
            }
            State::There { mode, .. } if mode & 0o002 != 0 => {
                return CONFIG
                    .problem(format!("{shown} can be written by everybody (mode {mode:o})"))
                    .cause("who can write the settings runs programs as Mathesar's user")
                    .cure(format!("`chmod o-w {quoted}`"));
            }
            State::There { uid, .. } if *uid != 0 && *uid != facts.uid => {
                return CONFIG
                    .problem(format!("{shown} belongs to user {uid}, who is neither root nor Mathesar's"))
                    .cause("who can write the settings runs programs as Mathesar's user")
                    .cure(format!("see what it holds, then `sudo chown {} {quoted}`", facts.owner));
            }
            State::There { .. } if let Some(weak) = weak => {
                return CONFIG
                    .warning(weak.may_exchange(&shown.to_string()))
                    .cause("who can exchange the settings runs programs as Mathesar's user")
                    .cure(weak.cure(facts.uid));
            }
            State::Hidden { by, cure } => {
                return CONFIG
                    .problem(format!("{shown} cannot be looked at: {} is closed to this user", by.display()))
                    .cure(cure);
            }
            State::There { .. } | State::Missing { .. } => {}
        }
    }
    CONFIG.ok(facts.config.first().map_or_else(String::new, |place| place.path.display().to_string()))
}
