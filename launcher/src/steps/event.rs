//! What happens while the graph is walked, for whoever watches: a terminal, a log, the page, `follow` over the control socket.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::Step;
use crate::failure::Failure;
use crate::progress::Progress;

/// One thing that happened in one step.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    pub step: Step,
    pub kind: Kind,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Kind {
    Begun,
    /// What it does now, as `Fetching mathesar-0.12.0.tar.gz`.
    Doing(String),
    Bytes {
        done: u64,
        total: Option<u64>,
    },
    /// Something a person ought to read, whatever else is shown.
    Note(String),
    /// A part of it is done, as `Fetched …`.
    Did(String),
    /// It is true now. `changed`: it was not before.
    Ended {
        took: Duration,
        changed: bool,
    },
    Failed(String),
}

/// Someone who wants to know. Called from any thread.
pub trait Watcher: Send + Sync {
    fn tell(&self, event: &Event);
}

/// Several of them.
impl<W: Watcher + ?Sized> Watcher for [&W] {
    fn tell(&self, event: &Event) {
        self.iter().for_each(|watcher| watcher.tell(event));
    }
}

impl Event {
    pub fn to_json(&self) -> Value {
        let (kind, more) = match &self.kind {
            Kind::Begun => ("begun", json!({})),
            Kind::Doing(text) => ("doing", json!({ "text": text })),
            Kind::Bytes { done, total } => ("bytes", json!({ "done": done, "total": total })),
            Kind::Note(text) => ("note", json!({ "text": text })),
            Kind::Did(text) => ("did", json!({ "text": text })),
            Kind::Ended { took, changed } => {
                ("ended", json!({ "seconds": took.as_secs_f64(), "changed": changed }))
            }
            Kind::Failed(text) => ("failed", json!({ "text": text })),
        };
        let mut value = json!({ "step": self.step.name(), "kind": kind });
        if let (Some(to), Value::Object(from)) = (value.as_object_mut(), more) {
            to.extend(from);
        }
        value
    }

    /// None: a newer launcher's, which is no reason to stop.
    pub fn from_json(value: &Value) -> Option<Event> {
        let text = || Some(value.get("text")?.as_str()?.to_owned());
        let step = Step::parse(value.get("step")?.as_str()?)?;
        let kind = match value.get("kind")?.as_str()? {
            "begun" => Kind::Begun,
            "doing" => Kind::Doing(text()?),
            "bytes" => Kind::Bytes {
                done: value.get("done")?.as_u64()?,
                total: value.get("total").and_then(Value::as_u64),
            },
            "note" => Kind::Note(text()?),
            "did" => Kind::Did(text()?),
            "ended" => Kind::Ended {
                took: Duration::try_from_secs_f64(value.get("seconds")?.as_f64()?).ok()?,
                changed: value.get("changed")?.as_bool()?,
            },
            "failed" => Kind::Failed(text()?),
            _ => return None,
        };
        Some(Event { step, kind })
    }
}

/// One stage outside of the graph, told as a step of it is.
pub fn stage<T>(
    watcher: &dyn Watcher,
    step: Step,
    work: impl FnOnce(&dyn Progress) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let begun = Instant::now();
    watcher.tell(&Event { step, kind: Kind::Begun });
    let result = work(&Telling { step, watcher });
    let kind = match &result {
        Ok(_) => Kind::Ended { took: begun.elapsed(), changed: true },
        Err(failure) => Kind::Failed(failure.to_string()),
    };
    watcher.tell(&Event { step, kind });
    result
}

/// One step's progress, as the modules that do the work want to tell it.
pub(crate) struct Telling<'a> {
    pub step: Step,
    pub watcher: &'a dyn Watcher,
}

impl Telling<'_> {
    fn tell(&self, kind: Kind) {
        self.watcher.tell(&Event { step: self.step, kind });
    }
}

impl Progress for Telling<'_> {
    fn start(&self, what: &str) {
        self.tell(Kind::Doing(what.to_owned()));
    }

    fn bytes(&self, done: u64, total: Option<u64>) {
        self.tell(Kind::Bytes { done, total });
    }

    fn note(&self, what: &str) {
        self.tell(Kind::Note(what.to_owned()));
    }

    fn done(&self, what: &str) {
        self.tell(Kind::Did(what.to_owned()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_survive_the_wire() {
        for kind in [
            Kind::Begun,
            Kind::Doing("Fetching".into()),
            Kind::Bytes { done: 3, total: None },
            Kind::Bytes { done: 3, total: Some(4) },
            Kind::Note("n".into()),
            Kind::Did("Fetched".into()),
            Kind::Ended { took: Duration::from_millis(1500), changed: true },
            Kind::Failed("why".into()),
        ] {
            let event = Event { step: Step::Static, kind };
            assert_eq!(Event::from_json(&event.to_json()), Some(event));
        }
        assert_eq!(Event::from_json(&json!({ "step": "dance", "kind": "begun" })), None);
    }
}
