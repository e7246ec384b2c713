//! What the supervisor decides: a pure function of what it knows and what happens.

use std::time::Duration;

pub use super::phase::{Phase, Up};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slot {
    pub up: Up,
    /// Failed starts and unexpected ends since it last proved well.
    pub failures: u32,
    pub bad_probes: u32,
}

/// Rules that do not change while it runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// Failed starts, before everything ran once, after which it gives up; later it never does.
    pub give_up_after: u32,
    /// Per service: failed probes in a row after which it is restarted; None: never for that reason.
    pub restart_after: Vec<Option<u32>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State {
    pub phase: Phase,
    /// In the order of starting; each needs those before it.
    pub services: Vec<Slot>,
    pub policy: Policy,
    /// Whether everything ran at once before.
    pub was_ready: bool,
    /// What comes after everything is down.
    pub then: Then,
    /// The page that says what is going on is shown.
    pub page: bool,
    /// What it is degraded by: the first that went wrong since it ran.
    pub why: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Then {
    Stay,
    Finish(Outcome),
    StartAgain,
    Hold,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    Stopped,
    Failed(String),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The steps before the services are done, or impossible.
    Prepared(Result<(), String>),
    Started(usize),
    StartFailed(usize, String),
    /// Ended without being asked to.
    Exited(usize, String),
    Probed(usize, Result<(), String>),
    Replaced(usize, Result<(), String>),
    BackOffOver(usize),
    Stopped(usize),
    StopAsked,
    /// Everything, down and up again.
    RestartAsked,
    /// Another one in its place, without a gap.
    ReplaceAsked(usize),
    /// Everything down, until `ResumeAsked`.
    HoldAsked,
    ResumeAsked,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    Start(usize),
    Stop(usize),
    Replace(usize),
    /// A failed one: down, then up, without telling `Stopped`.
    Restart(usize),
    Wait(usize, Duration),
    ShowPage,
    HidePage,
    NotifyReady,
    NotifyStopping,
    /// For `status`, the service manager, and the log.
    Tell(String),
    /// Answers whoever asked for a restart or a replacement.
    Answer(Result<(), String>),
    /// The same where nothing was begun: what is told of the whole stays as it is.
    Decline(String),
    Finish(Outcome),
}

impl State {
    pub fn new(policy: Policy) -> State {
        let slot = Slot { up: Up::Down, failures: 0, bad_probes: 0 };
        let services = vec![slot; policy.restart_after.len()];
        State {
            phase: Phase::Preparing,
            services,
            policy,
            was_ready: false,
            then: Then::Stay,
            page: true,
            why: None,
        }
    }

    fn all_up(&self) -> bool {
        self.services.iter().all(|slot| matches!(slot.up, Up::Up | Up::Replacing))
    }

    fn ready_below(&self, index: usize) -> bool {
        self.services[..index].iter().all(|slot| slot.up == Up::Up)
    }

    /// What cannot be done now is answered with how it is, and why.
    fn decline(&self) -> Action {
        let why = self.why.as_ref().filter(|_| self.phase == Phase::Degraded);
        let why = why.map(|why| format!(": {why}")).unwrap_or_default();
        Action::Decline(format!("it is {}{why}", self.phase.name()))
    }

    fn stopping(&self) -> bool {
        self.phase == Phase::Stopping
    }
}

/// 0, 1, 2, 4, … 60 seconds: the first time at once, as most deaths are a single event.
pub fn back_off(failures: u32) -> Duration {
    Duration::from_secs(match failures {
        0 | 1 => 0,
        more => 1u64.checked_shl(more - 2).unwrap_or(60).min(60),
    })
}

/// Decides.
pub fn step(mut state: State, event: Event) -> (State, Vec<Action>) {
    let mut actions = Vec::new();
    let s = &mut state;
    match event {
        Event::Prepared(Ok(())) if s.phase == Phase::Preparing => {
            s.phase = Phase::Starting;
            go_on(s, &mut actions);
        }
        Event::Prepared(Err(why)) if s.phase == Phase::Preparing => {
            begin_stop(s, Then::Finish(Outcome::Failed(why)), &mut actions);
        }
        Event::Prepared(_) => {}
        Event::Started(index) if s.stopping() => s.services[index].up = Up::Stopping,
        Event::Started(index) => {
            s.services[index].up = Up::Up;
            s.services[index].bad_probes = 0;
            go_on(s, &mut actions);
        }
        // The stop that is under way comes after it in the service's own queue.
        Event::StartFailed(..) | Event::Exited(..) | Event::Replaced(..) if s.stopping() => {}
        Event::StartFailed(index, why) => failed(s, index, why, &mut actions),
        // One that is being started or replaced tells its own end.
        Event::Exited(index, why) if s.services[index].up == Up::Up => failed(s, index, why, &mut actions),
        Event::Exited(..) => {}
        Event::Probed(index, _) if s.services[index].up != Up::Up => {}
        Event::Probed(index, Ok(())) => {
            s.services[index].bad_probes = 0;
            s.services[index].failures = 0;
            if s.phase == Phase::Degraded && s.all_up() && s.services.iter().all(|slot| slot.bad_probes == 0)
            {
                s.phase = Phase::Running;
                s.why = None;
                actions.push(Action::Tell("running".to_owned()));
            }
        }
        Event::Probed(index, Err(why)) => bad_probe(s, index, why, &mut actions),
        Event::Replaced(index, result) => {
            s.services[index].up = Up::Up;
            s.services[index].bad_probes = 0;
            actions.push(Action::Answer(result));
        }
        Event::BackOffOver(index) => {
            if s.services[index].up == Up::Waiting {
                s.services[index].up = Up::Down;
                go_on(s, &mut actions);
            }
        }
        Event::Stopped(index) => {
            s.services[index].up = Up::Down;
            if s.stopping() {
                stop_next(s, &mut actions);
            }
        }
        Event::StopAsked => begin_stop(s, Then::Finish(Outcome::Stopped), &mut actions),
        Event::RestartAsked if s.stopping() => {
            actions.push(Action::Decline("it is stopping".to_owned()));
        }
        Event::RestartAsked if matches!(s.phase, Phase::Preparing | Phase::Held) => {
            actions.push(Action::Decline("it is still being prepared".to_owned()));
        }
        Event::RestartAsked => {
            actions.push(Action::ShowPage);
            s.page = true;
            begin_stop(s, Then::StartAgain, &mut actions);
        }
        Event::HoldAsked => match s.phase {
            Phase::Starting | Phase::Running | Phase::Degraded => {
                actions.push(Action::ShowPage);
                s.page = true;
                begin_stop(s, Then::Hold, &mut actions);
            }
            _ => actions.push(s.decline()),
        },
        Event::ResumeAsked if s.phase == Phase::Held => {
            s.phase = Phase::Starting;
            s.then = Then::StartAgain;
            go_on(s, &mut actions);
        }
        Event::ResumeAsked => actions.push(s.decline()),
        Event::ReplaceAsked(index) => {
            if s.services[index].up == Up::Up && !s.stopping() {
                s.services[index].up = Up::Replacing;
                actions.push(Action::Replace(index));
            } else {
                actions.push(s.decline());
            }
        }
    }
    (state, actions)
}

/// Starts the first that is down and may start; tells when nothing is left to start.
fn go_on(s: &mut State, actions: &mut Vec<Action>) {
    if s.stopping() || matches!(s.phase, Phase::Preparing | Phase::Held) {
        return;
    }
    if let Some(index) = s.services.iter().position(|slot| slot.up == Up::Down)
        && s.ready_below(index)
    {
        s.services[index].up = Up::Starting;
        actions.push(Action::Start(index));
        return;
    }
    if !s.all_up() {
        return;
    }
    if s.page {
        s.page = false;
        actions.push(Action::HidePage);
    }
    s.phase = Phase::Running;
    s.why = None;
    if !s.was_ready {
        s.was_ready = true;
        actions.push(Action::NotifyReady);
    }
    actions.push(Action::Tell("running".to_owned()));
    if s.then == Then::StartAgain {
        s.then = Then::Stay;
        actions.push(Action::Answer(Ok(())));
    }
}

fn failed(s: &mut State, index: usize, why: String, actions: &mut Vec<Action>) {
    let slot = &mut s.services[index];
    slot.failures += 1;
    slot.bad_probes = 0;
    let failures = slot.failures;
    if !s.was_ready && failures >= s.policy.give_up_after {
        return begin_stop(s, Then::Finish(Outcome::Failed(why)), actions);
    }
    s.services[index].up = Up::Waiting;
    let wait = back_off(failures);
    if s.was_ready {
        s.phase = Phase::Degraded;
        s.why.get_or_insert_with(|| why.clone());
    }
    actions.push(Action::Tell(match wait.as_secs() {
        0 => format!("{why}; starting it again"),
        seconds => format!("{why}; starting it again in {seconds} s"),
    }));
    if s.then == Then::StartAgain {
        s.then = Then::Stay;
        actions.push(Action::Answer(Err(why)));
    }
    // Visitors of a short gap wait in the backlog; those of a long one are told. Only the last one serves visitors.
    if !wait.is_zero() && index + 1 == s.services.len() && !s.page {
        s.page = true;
        actions.push(Action::ShowPage);
    }
    actions.push(Action::Wait(index, wait));
}

fn bad_probe(s: &mut State, index: usize, why: String, actions: &mut Vec<Action>) {
    // A service whose ground is away cannot be well, and restarting it mends nothing.
    if s.stopping() || !s.ready_below(index) {
        return;
    }
    s.services[index].bad_probes += 1;
    let bad = s.services[index].bad_probes;
    if s.phase == Phase::Running {
        s.phase = Phase::Degraded;
        s.why.get_or_insert_with(|| why.clone());
        actions.push(Action::Tell(why));
    }
    if s.policy.restart_after[index].is_some_and(|limit| bad >= limit) {
        s.services[index].up = Up::Starting;
        s.services[index].bad_probes = 0;
        actions.push(Action::Restart(index));
    }
}

fn begin_stop(s: &mut State, then: Then, actions: &mut Vec<Action>) {
    if s.stopping() {
        // A restart that is overtaken by a stop ends there; an outcome that stands is not changed.
        if matches!(s.then, Then::StartAgain | Then::Hold) && matches!(then, Then::Finish(_)) {
            actions.push(Action::Answer(Err("it is stopping".to_owned())));
            actions.push(Action::NotifyStopping);
            s.then = then;
        }
        return;
    }
    s.phase = Phase::Stopping;
    if matches!(then, Then::Finish(_)) {
        actions.push(Action::NotifyStopping);
    }
    s.then = then;
    stop_next(s, actions);
}

/// Last up, first down.
fn stop_next(s: &mut State, actions: &mut Vec<Action>) {
    for index in (0..s.services.len()).rev() {
        match s.services[index].up {
            Up::Down => {}
            Up::Stopping => return,
            Up::Starting | Up::Up | Up::Replacing | Up::Waiting => {
                s.services[index].up = Up::Stopping;
                actions.push(Action::Stop(index));
                return;
            }
        }
    }
    match s.then.clone() {
        Then::StartAgain => {
            s.phase = Phase::Starting;
            go_on(s, actions);
        }
        Then::Finish(outcome) => {
            s.phase = if outcome == Outcome::Stopped { Phase::Stopped } else { Phase::Failed };
            actions.push(Action::Finish(outcome));
        }
        Then::Hold => {
            s.phase = Phase::Held;
            s.then = Then::Stay;
            actions.push(Action::Answer(Ok(())));
        }
        Then::Stay => actions.push(Action::Finish(Outcome::Stopped)),
    }
}

#[cfg(test)]
#[path = "machine_tests.rs"]
mod tests;
