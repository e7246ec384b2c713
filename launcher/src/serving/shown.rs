//! What visitors, the log and `status` are told.

use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Map, Value, json};

use super::lock_of;
use super::present::Present;
use super::tasks::SOON;
use super::tried;
use crate::failure::{Exit, Failure};
use crate::installation::{Fingerprint, Installation};
use crate::progress::Silent;
use crate::server::{Board, Gunicorn, Listener, Preparing};
use crate::steps::{Event, Feed, Kind, Step, Watcher, World};
use crate::supervise::log::Sink;
use crate::supervise::{Hooks, Phase};

/// The events of the preparation go to followers, to the page and to the log.
pub(super) struct Watchers {
    pub feed: Feed,
    pub board: Board,
    pub sink: Arc<dyn Sink>,
}

impl Watcher for Watchers {
    fn tell(&self, event: &Event) {
        self.feed.tell(event);
        match &event.kind {
            Kind::Doing(text) => {
                self.board.write("Mathesar is being prepared", &format!("{text} …"));
                self.sink.line("launcher", text);
            }
            Kind::Note(text) | Kind::Did(text) => self.sink.line("launcher", text),
            Kind::Ended { took, changed: true } => {
                let took = crate::terminal::time(*took);
                self.sink.line("launcher", &format!("{}: ready in {took}", event.step.title()));
            }
            // The failure itself is told once, by whoever ends because of it.
            Kind::Begun | Kind::Bytes { .. } | Kind::Ended { .. } | Kind::Failed(_) => {}
        }
    }
}

type Settings = Arc<Mutex<Gunicorn>>;
type InForce = Arc<Mutex<Option<Gunicorn>>>;

/// What is served, once the preparation has found it: settings for the next gunicorn, and those of the present one.
#[derive(Clone, Default)]
pub(super) struct Served(Arc<Mutex<Option<(Settings, InForce)>>>);

impl Served {
    pub(super) fn set(&self, settings: Settings, in_force: InForce) {
        *lock_of(&self.0) = Some((settings, in_force));
    }

    pub(super) fn get(&self) -> Option<(Settings, InForce)> {
        lock_of(&self.0).clone()
    }
}

/// The id of the release that the launcher is bringing by itself.
#[derive(Clone, Default)]
pub(super) struct Coming(Arc<Mutex<Option<String>>>);

impl Coming {
    pub(super) fn set(&self, id: Option<String>) {
        *lock_of(&self.0) = id;
    }
}

/// The supervisor's hooks.
pub(super) struct Shown {
    /// As it was at the start.
    installation: Installation,
    present: Present,
    listener: Arc<Listener>,
    board: Board,
    sink: Arc<dyn Sink>,
    page: Option<Preparing>,
    served: Served,
    coming: Coming,
    since: SystemTime,
    first: Fingerprint,
}

impl Shown {
    pub(super) fn new(
        installation: Installation,
        present: &Present,
        listener: &Arc<Listener>,
        board: &Board,
        sink: &Arc<dyn Sink>,
    ) -> Shown {
        board.write("Mathesar is being prepared", "It will be here in a moment.");
        let first = installation.fingerprint();
        Shown {
            installation,
            present: present.clone(),
            listener: Arc::clone(listener),
            board: board.clone(),
            sink: Arc::clone(sink),
            page: None,
            served: present.served.clone(),
            coming: Coming::default(),
            since: SystemTime::now(),
            first,
        }
    }

    pub(super) fn served(&self) -> Served {
        self.served.clone()
    }

    pub(super) fn coming(&self) -> Coming {
        self.coming.clone()
    }

    /// What differs between the settings in force and the files as they are now.
    fn pending(&self) -> Vec<String> {
        let mut pending = Vec::new();
        match self.installation.again() {
            Ok(now) => {
                let now = now.fingerprint();
                // What only a new process brings into force is compared with the first settings.
                let web = match self.served.get() {
                    Some((_, in_force)) => {
                        lock_of(&in_force).as_ref().map(|gunicorn| gunicorn.made_from.clone())
                    }
                    None => None,
                };
                let web = web.unwrap_or_else(|| self.first.clone());
                let mut changes = Fingerprint::beyond_the_web_server(&self.first.changes(&now));
                let deep = Fingerprint::beyond_the_web_server(&web.changes(&now));
                changes.extend(web.changes(&now).into_iter().filter(|name| !deep.contains(name)));
                if !changes.is_empty() {
                    pending.push(format!("restart: {} changed", changes.join(", ")));
                }
            }
            Err(_) => {
                pending.push("settings: the files have mistakes, see `mathesar config check`".to_owned())
            }
        }
        pending
    }
}

/// How a restart's refusal begins on the wire, which carries one text; its helps follow.
pub const RUNS_ON: &str = "not restarted, it runs on as before: ";
const THEN_HELP: &str = "; help: ";

/// The refusal as whoever asked for the restart shows it.
pub fn refused_over_the_wire(said: &str) -> Option<Failure> {
    let mut parts = said.strip_prefix(RUNS_ON)?.split(THEN_HELP);
    let failure = Failure::new(format!("{RUNS_ON}{}", parts.next()?)).exit(Exit::Refused);
    Some(parts.fold(failure, |failure, help| failure.help(help)))
}

fn refused(failure: Failure) -> Failure {
    let mut text = format!("{RUNS_ON}{}", failure.whole());
    for help in failure.helps() {
        text.push_str(THEN_HELP);
        text.push_str(help);
    }
    Failure::new(text)
}

impl Hooks for Shown {
    fn show_page(&mut self) {
        if self.page.is_some() {
            return;
        }
        match Preparing::start(&self.listener.fd(), &self.board) {
            Ok(page) => self.page = Some(page),
            // Visitors wait in the backlog instead.
            Err(failure) => self.sink.line("launcher", &failure.whole()),
        }
    }

    fn hide_page(&mut self) {
        if let Some(page) = self.page.take() {
            page.stop();
        }
    }

    fn tell(&mut self, phase: Phase, text: &str) {
        let title = match phase {
            Phase::Preparing => "Mathesar is being prepared",
            Phase::Starting => "Mathesar is starting",
            Phase::Stopping | Phase::Stopped => "Mathesar is being stopped",
            // Whoever holds it says what for.
            Phase::Held => return,
            Phase::Running | Phase::Degraded | Phase::Failed => "Mathesar is not available right now",
        };
        // Errors may tell what is no visitor's business.
        self.board.write(title, if phase == Phase::Starting { "It will be here in a moment." } else { "" });
        match phase {
            Phase::Running if text == phase.name() => {
                self.sink.line("launcher", &format!("running at {}", self.listener.url()));
            }
            // Something went wrong, and it runs all the same: settings that could not be read again.
            Phase::Running => self.sink.line("launcher", text),
            _ => self.sink.line("launcher", &format!("{}: {text}", phase.name())),
        }
    }

    fn log(&self, text: &str) {
        self.sink.line("launcher", text);
    }

    fn try_out(&mut self) -> Result<(), Failure> {
        let now = self.installation.again()?;
        if self.served.get().is_none() {
            return Ok(());
        }
        let world = World::like(now, &self.present.get())?;
        tried::everything(&world, &self.listener).map_err(refused)
    }

    fn reload(&mut self) -> Result<(), Failure> {
        let now = self.installation.again()?;
        let deep = Fingerprint::beyond_the_web_server(&self.first.changes(&now.fingerprint()));
        let (served, world) = (self.served.get(), World::like(now, &self.present.get())?);
        if served.is_some() {
            let tried = match deep.is_empty() {
                true => tried::web_server(&world),
                false => tried::everything(&world, &self.listener),
            };
            tried.map_err(refused)?;
        }
        if served.is_some() && !deep.iter().any(|name| name.starts_with("database.")) {
            // Others may be going to be let in. Refused while it runs, rather than after it was stopped.
            world.work(Step::Admin, &Silent)?;
        }
        if !deep.is_empty() {
            return Err(Failure::new(format!(
                "{} changed: that takes a restart of everything",
                deep.join(", ")
            ))
            .help("`mathesar restart`"));
        }
        let Some((settings, _)) = served else {
            return Err(Failure::new("it is still being prepared"));
        };
        *lock_of(&settings) = crate::web_settings::gunicorn(&world)?;
        self.present.next(world);
        Ok(())
    }

    fn status(&self) -> Map<String, Value> {
        let mut fields = Map::new();
        let world = self.present.get();
        let unix = |time: SystemTime| time.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs();
        fields.insert("address".to_owned(), json!(self.listener.url()));
        fields.insert("since".to_owned(), json!(unix(self.since)));
        fields.insert("held".to_owned(), json!(self.board.read().message.trim_end_matches(SOON)));
        fields.insert("pending".to_owned(), json!(self.pending()));
        fields.insert("coming".to_owned(), json!(*lock_of(&self.coming.0)));
        // As it is in force; the files may name another one by now.
        fields.insert("external".to_owned(), json!(world.installation.is_external()));
        let release = world.release().ok();
        fields.insert("version".to_owned(), json!(release.as_ref().map(|release| &release.version)));
        fields.insert("release".to_owned(), json!(release.map(|release| release.id)));
        let workers = self.served.get().map(|(settings, _)| lock_of(&settings).workers);
        fields.insert("workers".to_owned(), json!(workers));
        if let Some(cluster) = world.cluster() {
            fields.insert("postgresql".to_owned(), json!(cluster.binaries.version));
        }
        fields
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_survives_the_wire() {
        let failure = Failure::new("cannot listen").cause("taken").help("`one`").help("`two`");
        let heard = refused_over_the_wire(&refused(failure).to_string()).unwrap();
        assert_eq!(heard.to_string(), format!("{RUNS_ON}cannot listen: taken"));
        assert_eq!(
            (heard.helps(), heard.exit),
            (&["`one`".to_owned(), "`two`".to_owned()][..], Exit::Refused)
        );
        assert!(refused_over_the_wire("cannot listen").is_none());
    }
}
