//! Long work inside of a running launcher: an upgrade, its way back, the rest of its SQL. One at a time.

use std::sync::{Arc, Condvar, Mutex, PoisonError, mpsc};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::lock_of;
use super::present::Present;
use super::shown::{Coming, Served};
use crate::control::{Begun, Order, Orders};
use crate::failure::{Exit, Failure};
use crate::server::Board;
use crate::steps::{Event, Feed, Kind, Step, Watcher, stage};
use crate::supervise::child::thread;
use crate::supervise::log::Sink;
use crate::supervise::supervisor::Handle;
use crate::supervise::{Cancel, Request};
use crate::upgrade::script::Sql;
use crate::upgrade::{self, Back, Run, Serving};

/// For visitors; whoever asks for the status knows more.
pub(super) const SOON: &str = " It will be here in a moment.";

#[derive(Clone)]
pub(super) struct Tasks(Arc<Inner>);

struct Inner {
    present: Present,
    handle: Handle,
    served: Served,
    coming: Coming,
    board: Board,
    sink: Arc<dyn Sink>,
    busy: Mutex<bool>,
    idle: Condvar,
    cancel: Cancel,
}

impl Tasks {
    pub(super) fn new(
        present: Present,
        handle: Handle,
        served: Served,
        coming: Coming,
        board: Board,
        sink: Arc<dyn Sink>,
    ) -> Tasks {
        Tasks(Arc::new(Inner {
            present,
            handle,
            served,
            coming,
            board,
            sink,
            busy: Mutex::default(),
            idle: Condvar::new(),
            cancel: Cancel::default(),
        }))
    }

    /// What is under way is taken back; waits for that, this long at most.
    pub(super) fn end(&self, patience: Duration) {
        self.0.cancel.cancel();
        let busy = lock_of(&self.0.busy);
        drop(self.0.idle.wait_timeout_while(busy, patience, |busy| *busy));
    }

    pub(super) fn cancelled(&self) -> bool {
        self.0.cancel.cancelled()
    }

    /// Does it in this thread, telling the log.
    pub(super) fn do_now(&self, order: &Order) -> Result<Value, Failure> {
        self.0.take()?;
        self.0.work(order, &Feed::default())
    }
}

impl Orders for Tasks {
    fn begin(&self, order: &Order) -> Result<Begun, Failure> {
        self.0.take()?;
        let (sender, result) = mpsc::channel();
        let feed = Feed::default();
        let (inner, own, order) = (Arc::clone(&self.0), feed.clone(), order.clone());
        let begun = std::thread::Builder::new().name("upgrade".to_owned()).spawn(move || {
            let answer = inner.work(&order, &own);
            own.close();
            let _ = sender.send(answer);
        });
        match begun {
            Ok(_) => Ok(Begun { feed, result }),
            Err(cause) => {
                self.0.leave();
                Err(Failure::new("cannot start a thread").cause(cause))
            }
        }
    }
}

impl Inner {
    fn take(&self) -> Result<(), Failure> {
        if self.served.get().is_none() {
            return Err(Failure::new("Mathesar is still being prepared")
                .exit(Exit::Refused)
                .help("wait until it runs: `mathesar status`"));
        }
        let mut busy = lock_of(&self.busy);
        if *busy {
            return Err(Failure::new("an upgrade, or its way back, is under way already")
                .exit(Exit::Refused)
                .help("see how far it is: `mathesar logs -f`"));
        }
        *busy = true;
        Ok(())
    }

    fn leave(&self) {
        *lock_of(&self.busy) = false;
        self.idle.notify_all();
    }

    fn work(&self, order: &Order, feed: &Feed) -> Result<Value, Failure> {
        struct Leave<'a>(&'a Inner);
        impl Drop for Leave<'_> {
            fn drop(&mut self) {
                self.0.leave();
                crate::raw::give_back_memory();
            }
        }
        let _leave = Leave(self);
        let watcher = Told { feed: feed.clone(), inner: self };
        let world = &*self.present.get();
        match order {
            Order::Upgrade { to, hold } => {
                let target = world.installation.store().find(to)?;
                let hold = hold.then(|| target.id.clone());
                let version = target.version.clone();
                let from = world.release()?.version;
                self.board_text(&format!("It is being upgraded from {from} to {version}."));
                let run = Run {
                    world,
                    target,
                    hold,
                    serving: self,
                    watcher: &watcher,
                    sink: Arc::clone(&self.sink),
                    cancel: self.cancel.clone(),
                };
                let done = run.run()?;
                let left = done.databases.iter().filter(|one| one.why.is_some()).count();
                let downtime = done.downtime.map(|time| time.as_secs_f64());
                if let Some(time) = done.downtime {
                    let time = crate::terminal::time(time);
                    self.sink.line(
                        "launcher",
                        &format!("upgraded from {from} to {version}; nobody was served for {time}"),
                    );
                }
                Ok(json!({ "version": version, "from": from, "downtime": downtime, "unfinished": left }))
            }
            Order::Rollback { discard } => {
                let from = world.release()?.version;
                self.board_text("It goes back to before its last upgrade or restore.");
                let (sink, cancel) = (Arc::clone(&self.sink), self.cancel.clone());
                let done = Back { world, serving: self, watcher: &watcher, sink, cancel, discard: *discard }
                    .run()?;
                let version = world.release()?.version;
                self.sink.line("launcher", &format!("went back from {from} to {version}"));
                Ok(json!({
                    "version": version, "from": from, "downtime": done.downtime.map(|time| time.as_secs_f64()),
                }))
            }
            Order::FinishSql => {
                let databases = stage(&watcher, Step::Sql, |progress| {
                    upgrade::finish_sql(world, Sql::All, &self.cancel, &self.sink, progress)
                })?;
                let left = databases.iter().filter(|one| one.why.is_some()).count();
                Ok(json!({ "databases": databases.len(), "unfinished": left }))
            }
        }
    }

    fn board_text(&self, text: &str) {
        self.board.write("Mathesar is being upgraded", &format!("{text}{SOON}"));
    }

    fn ask(&self, request: Request) -> Result<(), Failure> {
        let (sender, receiver) = mpsc::channel();
        self.handle.ask(request, "the launcher itself", Box::new(move |result| drop(sender.send(result))));
        match receiver.recv() {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(why)) => Err(Failure::new(why)),
            Err(_) => Err(Failure::new("it is being stopped")),
        }
    }
}

impl Serving for Inner {
    fn hold(&self) -> Result<(), Failure> {
        self.ask(Request::Hold)
    }

    fn resume(&self) -> Result<(), Failure> {
        if let Some((settings, _)) = self.served.get() {
            *settings.lock().unwrap_or_else(PoisonError::into_inner) =
                crate::web_settings::gunicorn(&self.present.get())?;
        }
        self.ask(Request::Resume)
    }
}

/// Followers, the page and the log.
struct Told<'a> {
    feed: Feed,
    inner: &'a Inner,
}

impl Watcher for Told<'_> {
    fn tell(&self, event: &Event) {
        self.feed.tell(event);
        let sink = &self.inner.sink;
        match &event.kind {
            Kind::Doing(text) => {
                self.inner.board_text(&format!("{text} …"));
                sink.line("launcher", text);
            }
            Kind::Note(text) | Kind::Did(text) => sink.line("launcher", text),
            Kind::Ended { took, changed: true } => {
                let took = crate::terminal::time(*took);
                sink.line("launcher", &format!("{}: ready in {took}", event.step.title()));
            }
            Kind::Begun | Kind::Bytes { .. } | Kind::Ended { .. } | Kind::Failed(_) => {}
        }
    }
}

/// What a launcher does by itself once it serves: the release that its package brought, and what an interrupted upgrade has
/// left to do on other servers.
pub(super) fn by_itself(tasks: Tasks) -> Result<(), Failure> {
    thread("by-itself".to_owned(), move || {
        struct Over<'a>(&'a Coming);
        impl Drop for Over<'_> {
            fn drop(&mut self) {
                self.0.set(None);
            }
        }
        let inner = &tasks.0;
        let _over = Over(&inner.coming);
        // What will be done as soon as it serves is said from the beginning.
        if let Ok(Some((_, id))) = upgrade::automatic::coming(&inner.present.get()) {
            inner.coming.set(Some(id));
        }
        while !inner.handle.has_run() {
            if tasks.cancelled() {
                return;
            }
            drop(inner.handle.next_phase(Some(inner.handle.snapshot().phase), Duration::from_secs(5)));
        }
        let world = inner.present.get();
        let state = &world.installation.layout.state;
        if crate::transaction::Pending::read(state).others
            && let Err(failure) = tasks.do_now(&Order::FinishSql)
        {
            inner.sink.line("launcher", &failure.whole());
        }
        /// Without a network it is tried again after this.
        const AGAIN: Duration = Duration::from_secs(3600);
        loop {
            let prepared = upgrade::automatic::coming(&inner.present.get()).and_then(|coming| {
                inner.coming.set(coming.as_ref().map(|(_, id)| id.clone()));
                let Some((installation, id)) = coming else { return Ok(None) };
                upgrade::automatic::prepare(installation, &inner.present.get(), &inner.sink, &inner.cancel)?;
                Ok(Some(id))
            });
            match prepared {
                Ok(None) => return,
                Ok(Some(to)) => {
                    // One that is being made would be broken off; it is of the release that goes.
                    while !tasks.cancelled() && upgrade::preflight::no_backup(state).is_err() {
                        std::thread::sleep(Duration::from_secs(1));
                    }
                    if let Err(failure) = tasks.do_now(&Order::Upgrade { to, hold: false }) {
                        inner.sink.line("launcher", &failure.whole());
                    }
                    return;
                }
                Err(failure) => {
                    let why = failure.whole();
                    inner.sink.line(
                        "launcher",
                        &format!("the upgrade cannot be prepared now, the present release goes on: {why}"),
                    );
                }
            }
            let end = Instant::now() + AGAIN;
            while Instant::now() < end {
                if tasks.cancelled() {
                    return;
                }
                std::thread::sleep(Duration::from_secs(1));
            }
        }
    })
}
