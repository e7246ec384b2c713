//! The last steps' outlook: who may come in, and who answers them.

use super::{Outlook, State};
use crate::application;
use crate::failure::Failure;
use crate::installation::Installation;
use crate::server::Listener;
use crate::steps::access::{self, Exposure};
use crate::steps::{FIRST_PASSWORD, Step};

/// A launcher that runs.
#[derive(Debug, Clone)]
pub struct Serving {
    pub address: String,
    pub workers: Option<u64>,
    /// False: it is still being prepared, or is held for an upgrade.
    pub ready: bool,
    /// What a restart would bring into force.
    pub pending: Vec<String>,
}

pub(super) fn admin(installation: &Installation, serving: bool) -> Result<Outlook, Failure> {
    if serving {
        return Ok(Outlook::new(Step::Admin, State::Done, "was looked at when it was started"));
    }
    let exposure = access::exposure(&installation.config, installation.listen());
    let fresh = installation.store().current()?.is_none();
    Ok(match (installation.is_system(), exposure) {
        (true, _) => {
            let mut outlook = Outlook::new(
                Step::Admin,
                State::Do,
                "make the user `admin` with a one-time password, unless there is one",
            );
            outlook.writes.push(installation.secrets.folder().join(FIRST_PASSWORD));
            outlook
        }
        (false, Exposure::Loopback) => {
            let text = match fresh {
                true => "you make the first one in the browser, on this machine",
                false => "nothing is done: where there is none yet, you make the first one in the browser",
            };
            Outlook::new(Step::Admin, State::Done, text)
        }
        (false, Exposure::Public(why)) if fresh => return Err(access::refusal(&why)),
        (false, Exposure::Public(_)) => {
            Outlook::new(Step::Admin, State::Do, "look whether there is one: others can reach Mathesar")
        }
    })
}

pub(super) fn server(installation: &Installation, serving: Option<&Serving>) -> Result<Outlook, Failure> {
    if let Some(serving) = serving {
        let with = serving.workers.map(|workers| format!(" with {}", several(workers))).unwrap_or_default();
        let text = match serving.ready {
            true => format!("runs at {}{with}", serving.address),
            false => format!("is on its way to {}: `mathesar status`", serving.address),
        };
        let mut outlook = Outlook::new(Step::Server, State::Done, text);
        let restart = |line: &&String| line.starts_with("restart:");
        let notes = serving.pending.iter().filter(restart);
        outlook.notes.extend(notes.map(|line| format!("pending: {line}; `mathesar restart` brings it")));
        return Ok(outlook);
    }
    application::files_can_be_read(installation)?;
    // The system's address may be a socket unit's.
    if !installation.is_system() {
        Listener::could_listen(installation.listen())?;
    }
    let (processors, memory) = crate::server::gunicorn::machine();
    let workers = installation
        .config
        .integer("server.workers")
        .map_or_else(|| crate::server::gunicorn::workers(processors, memory), |number| number as u32);
    let text = format!("start gunicorn on {} with {}", installation.listen(), several(workers.into()));
    let mut outlook = Outlook::new(Step::Server, State::Do, text);
    let layout = &installation.layout;
    outlook.writes.push(layout.run.join("control.sock"));
    outlook.writes.extend(layout.logs.as_ref().map(|logs| logs.join("mathesar.log")));
    outlook.writes.push(layout.state.join(crate::serving::last::LAST_RUN));
    Ok(outlook)
}

fn several(workers: u64) -> String {
    format!("{workers} worker{}", if workers == 1 { "" } else { "s" })
}
