//! The main loop: hears what happens, lets the machine decide, does it. Blocks nowhere else than in its queue.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, PoisonError, mpsc};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use super::child::thread;
use super::machine::{Action, Event, Outcome, Phase, Policy, State, Up, step};
use super::notify::{Heart, Notifier};
use super::orphans::{Sweep, become_subreaper};
use super::runner::Runner;
use super::service::Service;
use crate::failure::Failure;

/// What the surroundings do for the supervisor; called from its loop, so none may block for long.
pub trait Hooks {
    /// Shows visitors what is going on, and takes it away again.
    fn show_page(&mut self);
    fn hide_page(&mut self);
    /// For the log, and the page.
    fn tell(&mut self, phase: Phase, text: &str);
    /// For the log alone.
    fn log(&self, text: &str);
    /// Reads the configuration again; the last service is replaced after it.
    fn reload(&mut self) -> Result<(), Failure>;
    /// Whether a restart of everything would work with the configuration as it is now.
    fn try_out(&mut self) -> Result<(), Failure>;
    /// Further fields for `status`.
    fn status(&self) -> serde_json::Map<String, Value>;
}

/// What may be asked over the control socket or by a signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Request {
    Status,
    Stop,
    /// Without `everything`, the last service alone, without a gap.
    Restart {
        everything: bool,
    },
    Reload,
    /// Nothing but the question whether a restart of everything would work.
    TryOut,
    /// Everything down, with the page for visitors, until `Resume`: for whoever works on the data.
    Hold,
    Resume,
}

/// Takes the answer, once.
pub type Responder = Box<dyn FnOnce(Result<Value, String>) + Send>;

/// What is known from outside of the loop.
#[derive(Debug, Clone)]
pub struct Snapshot {
    pub phase: Phase,
    pub message: String,
    pub services: Vec<(&'static str, Up)>,
    /// Everything ran at once before.
    pub was_ready: bool,
}

/// Services in the order of starting, each with how often it is probed.
pub type Services = Vec<(Box<dyn Service>, Duration)>;

enum Message {
    Event(Event),
    Prepared(Result<Services, Failure>),
    Asked(Request, &'static str, Responder),
}

/// Reaches a supervisor from other threads.
#[derive(Clone)]
pub struct Handle {
    sender: mpsc::Sender<Message>,
    snapshot: Arc<(Mutex<Snapshot>, Condvar)>,
}

impl Handle {
    /// The preparation is over. The services are those that the policy was made for.
    pub fn prepared(&self, services: Result<Services, Failure>) {
        let _ = self.sender.send(Message::Prepared(services));
    }

    /// `by`: who asks, for the log. A supervisor that has ended drops the responder without calling it.
    pub fn ask(&self, request: Request, by: &'static str, responder: Responder) {
        let _ = self.sender.send(Message::Asked(request, by, responder));
    }

    pub fn snapshot(&self) -> Snapshot {
        self.snapshot.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub fn has_run(&self) -> bool {
        self.snapshot().was_ready
    }

    /// The next one whose phase is another; after this time the present one.
    pub fn next_phase(&self, known: Option<Phase>, patience: Duration) -> Snapshot {
        let (snapshot, changed) = &*self.snapshot;
        let snapshot = snapshot.lock().unwrap_or_else(PoisonError::into_inner);
        let same = |snapshot: &mut Snapshot| Some(snapshot.phase) == known;
        let waited = changed.wait_timeout_while(snapshot, patience, same);
        waited.unwrap_or_else(PoisonError::into_inner).0.clone()
    }
}

/// Watches the services from the first to the last moment.
pub struct Supervisor {
    receiver: mpsc::Receiver<Message>,
    handle: Handle,
    notifier: Notifier,
    heart: Heart,
    state: State,
    runners: Vec<Runner>,
    waits: Vec<(Instant, usize)>,
    responders: VecDeque<Responder>,
    names: Vec<&'static str>,
    /// What is said when the restart that is under way has worked.
    restarting: Option<&'static str>,
}

const RESTARTED: &str = "the web server is restarted";

/// In the words of the log; what is asked all the time is none of its business.
fn wanted(request: Request) -> Option<&'static str> {
    match request {
        Request::Status | Request::Hold | Request::Resume => None,
        Request::Stop => Some("stop"),
        Request::Restart { everything: true } => Some("restart everything"),
        Request::Restart { everything: false } | Request::Reload => {
            Some("read the settings again, and to restart the web server")
        }
        Request::TryOut => Some("find out whether a restart of everything would work"),
    }
}

/// Housekeeping, where nothing happens.
const TICK: Duration = Duration::from_secs(5);

impl Supervisor {
    pub fn new(policy: Policy, notifier: Notifier) -> Supervisor {
        let (sender, receiver) = mpsc::channel();
        let snapshot = Snapshot {
            phase: Phase::Preparing,
            message: String::new(),
            services: Vec::new(),
            was_ready: false,
        };
        Supervisor {
            receiver,
            handle: Handle { sender, snapshot: Arc::new((Mutex::new(snapshot), Condvar::new())) },
            notifier,
            heart: Heart::default(),
            state: State::new(policy),
            runners: Vec::new(),
            waits: Vec::new(),
            responders: VecDeque::new(),
            names: Vec::new(),
            restarting: None,
        }
    }

    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Tells the service manager that the loop lives, as often as it asks.
    pub fn watchdog(&self, interval: Duration) -> Result<(), Failure> {
        super::notify::watch(self.notifier.clone(), self.heart.clone(), interval, interval.max(3 * TICK))
    }

    /// SIGTERM and SIGINT stop in good order, SIGHUP reads the configuration again.
    pub fn listen_to_signals(&self) -> Result<(), Failure> {
        let mut signals = signal_hook::iterator::Signals::new([SIGTERM, SIGINT, SIGHUP])
            .map_err(|cause| Failure::new("cannot listen to signals").cause(cause))?;
        let handle = self.handle();
        thread("signals".to_owned(), move || {
            for signal in signals.forever() {
                let (request, name) = match signal {
                    SIGHUP => (Request::Reload, "SIGHUP"),
                    SIGINT => (Request::Stop, "SIGINT"),
                    _ => (Request::Stop, "SIGTERM"),
                };
                handle.ask(request, name, Box::new(drop));
            }
        })
    }

    /// Runs until everything is down.
    pub fn run(mut self, hooks: &mut dyn Hooks) -> Outcome {
        become_subreaper();
        let mut sweep = Sweep::default();
        let mut next_tick = Instant::now();
        hooks.show_page();
        loop {
            self.heart.beat();
            let now = Instant::now();
            if now >= next_tick {
                next_tick = now + TICK;
                sweep.sweep();
                self.ask_for_time();
            }
            let until = self.waits.iter().map(|(when, _)| *when).min().unwrap_or(next_tick).min(next_tick);
            let message = match self.receiver.recv_timeout(until.saturating_duration_since(now)) {
                Ok(message) => message,
                Err(_) => match self.over() {
                    Some(index) => Message::Event(Event::BackOffOver(index)),
                    None => continue,
                },
            };
            let outcome = match message {
                Message::Event(event) => self.feed(event, hooks),
                Message::Prepared(services) => {
                    let result = services.and_then(|services| self.take(services));
                    self.feed(Event::Prepared(result.map_err(|failure| failure.whole())), hooks)
                }
                Message::Asked(request, by, responder) => {
                    if let Some(what) = wanted(request) {
                        hooks.log(&format!("asked to {what}, by {by}"));
                    }
                    self.answer(request, responder, hooks)
                }
            };
            if let Some(outcome) = outcome {
                return outcome;
            }
        }
    }

    /// A start or a stop that takes its time is not a hanging one.
    fn ask_for_time(&self) {
        if !self.state.was_ready || self.state.phase == Phase::Stopping {
            self.notifier.extend(6 * TICK);
        }
    }

    fn over(&mut self) -> Option<usize> {
        let now = Instant::now();
        let at = self.waits.iter().position(|(when, _)| *when <= now)?;
        Some(self.waits.swap_remove(at).1)
    }

    fn take(&mut self, services: Services) -> Result<(), Failure> {
        if services.len() != self.state.services.len() {
            return Err(Failure::new("the services are not those that the supervisor was made for"));
        }
        for (index, (service, probe_every)) in services.into_iter().enumerate() {
            self.names.push(service.name());
            let sender = self.handle.sender.clone();
            let tell = move |event| drop(sender.send(Message::Event(event)));
            self.runners.push(Runner::new(index, service, probe_every, tell)?);
        }
        Ok(())
    }

    fn answer(&mut self, request: Request, responder: Responder, hooks: &mut dyn Hooks) -> Option<Outcome> {
        let last = self.state.services.len().saturating_sub(1);
        match request {
            Request::Status => {
                responder(Ok(self.status(hooks)));
                None
            }
            Request::Stop => {
                responder(Ok(json!({ "state": "stopping" })));
                self.feed(Event::StopAsked, hooks)
            }
            Request::TryOut => {
                responder(hooks.try_out().map(|()| Value::Null).map_err(|failure| failure.whole()));
                None
            }
            // One at a time, so that each answer finds its question.
            _ if !self.responders.is_empty() => {
                responder(Err("it is restarting already".to_owned()));
                None
            }
            Request::Restart { everything } => {
                self.restarting = Some(if everything { "everything is restarted" } else { RESTARTED });
                self.responders.push_back(responder);
                self.feed(if everything { Event::RestartAsked } else { Event::ReplaceAsked(last) }, hooks)
            }
            Request::Hold => {
                self.responders.push_back(responder);
                self.feed(Event::HoldAsked, hooks)
            }
            Request::Resume => {
                self.responders.push_back(responder);
                self.feed(Event::ResumeAsked, hooks)
            }
            Request::Reload => match hooks.reload() {
                Ok(()) => {
                    self.restarting = Some(RESTARTED);
                    self.responders.push_back(responder);
                    self.feed(Event::ReplaceAsked(last), hooks)
                }
                Err(failure) => {
                    let text = failure.whole();
                    hooks.tell(self.state.phase, &text);
                    responder(Err(text));
                    None
                }
            },
        }
    }

    fn status(&self, hooks: &dyn Hooks) -> Value {
        let snapshot = self.handle.snapshot();
        let mut fields = hooks.status();
        fields.insert("state".to_owned(), json!(self.state.phase.name()));
        // Whoever holds it says what for.
        let held = fields.remove("held").filter(|_| self.state.phase == Phase::Held);
        fields.insert("message".to_owned(), held.unwrap_or_else(|| json!(snapshot.message)));
        fields.insert("pid".to_owned(), json!(std::process::id()));
        let services = snapshot.services.iter().map(|(name, up)| (name.to_string(), json!(up.name())));
        fields.insert("services".to_owned(), Value::Object(services.collect()));
        Value::Object(fields)
    }

    fn feed(&mut self, event: Event, hooks: &mut dyn Hooks) -> Option<Outcome> {
        let (state, actions) = step(self.state.clone(), event);
        self.state = state;
        // Whoever hears that it runs comes at once, and is not to meet the page any more.
        if actions.iter().any(|action| matches!(action, Action::HidePage)) {
            hooks.hide_page();
        }
        self.publish(None);
        let mut outcome = None;
        for action in actions {
            match action {
                Action::Start(index) => self.runners[index].start(),
                Action::Stop(index) => match self.runners.get(index) {
                    Some(runner) => runner.stop(),
                    None => drop(self.handle.sender.send(Message::Event(Event::Stopped(index)))),
                },
                Action::Replace(index) => self.runners[index].replace(),
                Action::Restart(index) => self.runners[index].restart(),
                Action::Wait(index, time) => self.waits.push((Instant::now() + time, index)),
                Action::ShowPage => hooks.show_page(),
                Action::HidePage => hooks.hide_page(),
                Action::NotifyReady => self.notifier.ready(),
                Action::NotifyStopping => {
                    self.notifier.stopping();
                    self.ask_for_time();
                }
                Action::Tell(text) => self.tell(&text, hooks),
                Action::Answer(result) => {
                    match &result {
                        Err(why) => self.tell(why, hooks),
                        Ok(()) => self.restarting.take().into_iter().for_each(|what| hooks.log(what)),
                    }
                    self.restarting = None;
                    if let Some(responder) = self.responders.pop_front() {
                        responder(result.map(|()| json!({ "state": self.state.phase.name() })));
                    }
                }
                Action::Decline(why) => {
                    self.restarting = None;
                    self.responders.pop_front().into_iter().for_each(|responder| responder(Err(why.clone())));
                }
                Action::Finish(with) => {
                    if let Outcome::Failed(why) = &with {
                        self.tell(why, hooks);
                    }
                    hooks.hide_page();
                    outcome = Some(with);
                }
            }
        }
        outcome
    }

    fn tell(&self, text: &str, hooks: &mut dyn Hooks) {
        self.publish(Some(text));
        self.notifier.status(text);
        hooks.tell(self.state.phase, text);
    }

    fn publish(&self, message: Option<&str>) {
        let (snapshot, changed) = &*self.handle.snapshot;
        let mut snapshot = snapshot.lock().unwrap_or_else(PoisonError::into_inner);
        snapshot.phase = self.state.phase;
        snapshot.was_ready = self.state.was_ready;
        snapshot.services =
            self.names.iter().copied().zip(self.state.services.iter().map(|slot| slot.up)).collect();
        if let Some(message) = message {
            snapshot.message = message.to_owned();
        }
        changed.notify_all();
    }
}
