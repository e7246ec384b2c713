//! `mathesar run`: everything that `steps` prepares, then PostgreSQL and gunicorn under one supervisor.

pub mod last;
mod present;
mod shown;
mod tasks;
mod tried;
mod web;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::app::broken;
use crate::control::{self, Lock};
use crate::database::Postgres;
use crate::failure::Failure;
use crate::installation::{Installation, private_folder};
use crate::interrupt;
use crate::progress::Progress;
use crate::server::listener::Activation;
use crate::server::{Board, Listener, Web};
use crate::steps::{Event, Feed, Kind, SETUP, Step, Watcher as _, World, walk};
use crate::supervise::child::thread;
use crate::supervise::log::Sink;
use crate::supervise::notify::{Notifier, watchdog_interval};
use crate::supervise::orphans::end_descendants;
use crate::supervise::{Hooks as _, Outcome, Policy, Service, Supervisor};
use present::Present;
pub use shown::{RUNS_ON, refused_over_the_wire};
use shown::{Shown, Watchers};
use tasks::Tasks;

use web::Warming;

/// How often each is asked whether it is well.
const PROBE_DATABASE: Duration = Duration::from_secs(20);
const PROBE_WEB: Duration = Duration::from_secs(10);
/// How long an upgrade that a stop has broken off may take to be taken back; the next start goes on with it.
const BACK: Duration = Duration::from_secs(120);
/// How long programs of a preparation that was broken off may take to tidy up.
const CHILDREN: Duration = Duration::from_secs(2);
/// Failed starts in a row, before everything ran once, after which it gives up.
const GIVE_UP_AFTER: u32 = 3;

/// What systemd, or nobody, has left in this process's environment; the children do not get it.
pub struct Surroundings {
    pub activation: Option<Activation>,
    pub notifier: Notifier,
    pub watchdog: Option<Duration>,
}

impl Surroundings {
    pub fn of_this_process() -> Surroundings {
        let variable = |name: &str| std::env::var(name).ok();
        let own = std::process::id();
        let (usec, pid) = (variable("WATCHDOG_USEC"), variable("WATCHDOG_PID"));
        let (for_pid, sockets) = (variable("LISTEN_PID"), variable("LISTEN_FDS"));
        Surroundings {
            activation: Activation::read(for_pid.as_deref(), sockets.as_deref(), own),
            notifier: Notifier::new(std::env::var_os("NOTIFY_SOCKET").as_deref()),
            watchdog: watchdog_interval(usec.as_deref(), pid.as_deref(), own),
        }
    }
}

/// Runs until it is told to stop. The error of a preparation comes back as it was, exit code and all.
pub fn serve(installation: Installation, sink: Arc<dyn Sink>, around: Surroundings) -> Result<(), Failure> {
    let layout = installation.layout.clone();
    private_folder(&layout.state)?;
    let lock = Lock::take(&layout.state, "run")?;
    let result = serve_alone(installation, sink, around, &lock);
    if let Err(failure) = &result {
        // Whatever it was that failed, nobody has killed it.
        last::ended(&layout.state, &Outcome::Failed(failure.whole()));
    }
    result
}

fn serve_alone(
    installation: Installation,
    sink: Arc<dyn Sink>,
    around: Surroundings,
    lock: &Lock,
) -> Result<(), Failure> {
    let layout = installation.layout.clone();
    private_folder(&layout.run)?;
    let grace = installation.config.duration("server.stop-timeout").unwrap_or(Duration::from_secs(30));
    if Web::clear_leftovers(&layout.state, grace) > 0 {
        sink.line("launcher", "ended what a killed launcher had left");
    }
    let mut installation = installation;
    let feed = Feed::default();
    if let Some(recovered) = crate::transaction::recover(&layout.state)? {
        sink.line("launcher", &recovered.text);
        // Whoever starts it wants to know.
        feed.tell(&Event { step: Step::Undo, kind: Kind::Note(recovered.text) });
        if recovered.journal.settings.is_some() {
            // They came with it.
            installation = installation.again()?;
        }
    }
    let seconds =
        |name: &str, otherwise| installation.config.duration(name).unwrap_or(Duration::from_secs(otherwise));
    let listener = Arc::new(match &around.activation {
        Some(activation) => Listener::activated(activation)?,
        None => Listener::open(installation.listen())?,
    });

    let external = installation.is_external();
    // PostgreSQL is never restarted for a slow answer; a server of the user's is not ours to restart at all.
    let patience = Some(Web::patience(seconds("server.request-timeout", 60)));
    let restart_after = if external { vec![patience] } else { vec![None, patience] };
    let supervisor = Supervisor::new(Policy { give_up_after: GIVE_UP_AFTER, restart_after }, around.notifier);
    supervisor.listen_to_signals()?;
    if let Some(interval) = around.watchdog {
        supervisor.watchdog(interval)?;
    }
    let (handle, board) = (supervisor.handle(), Board::default());
    let control_socket = installation.control_socket();

    let postgres = Postgres::new(Arc::clone(&sink), seconds("database.start-timeout", 300));
    let mut world = World::new(installation.again()?, postgres.clone(), false);
    if around.activation.is_some() {
        world.listen = listener.local_addr().map(|address| address.to_string());
    }
    let world = Arc::new(world);
    let present = Present::new(&world);
    let mut shown = Shown::new(installation, &present, &listener, &board, &sink);
    last::begun(&layout.state);
    // The page is there before anything is done.
    shown.show_page();
    let (served, coming) = (shown.served(), shown.coming());
    let tasks = Tasks::new(present.clone(), handle.clone(), served, coming, board.clone(), Arc::clone(&sink));
    let orders = Arc::new(tasks.clone());
    let _control = control::serve(&control_socket, lock, handle.clone(), feed.clone(), orders)?;
    tasks::by_itself(tasks.clone())?;

    let failed: Arc<Mutex<Option<Failure>>> = Arc::default();
    let (kept, served, database) = (Arc::clone(&failed), shown.served(), postgres.clone());
    let watcher = Watchers { feed: feed.clone(), board, sink: Arc::clone(&sink) };
    let preparing = Arc::clone(&sink);
    let warming = Arc::new(Warming::default());
    let warm = Arc::clone(&warming);
    thread("preparation".to_owned(), move || {
        let work = |step, progress: &dyn Progress| {
            let changed = world.work(step, progress)?;
            warm.after(step, &world, &listener, &preparing);
            Ok(changed)
        };
        let walked = walk(SETUP, &watcher, &work).inspect_err(|_| world.keep_finished());
        let result = walked.and_then(|_| {
            let settings = Arc::new(Mutex::new(crate::web_settings::gunicorn(&world)?));
            let web = Web::new(Arc::clone(&settings), &listener, Arc::clone(&preparing)).with(warm.take());
            served.set(settings, web.in_force());
            let mut services: Vec<(Box<dyn Service>, Duration)> = Vec::new();
            if !external {
                services.push((Box::new(database), PROBE_DATABASE));
            }
            services.push((Box::new(web), PROBE_WEB));
            Ok(services)
        });
        // Digests, archives and certificates are behind us.
        crate::raw::give_back_memory();
        feed.close();
        handle.prepared(result.map_err(|failure| {
            let short = Failure::new(failure.whole());
            *lock_of(&kept) = Some(failure);
            short
        }));
    })?;
    let outcome = supervisor.run(&mut shown);
    // A preparation may still be under way, or have failed after it had started the database. Its children end before this
    // process does, so that `stop` is over when nothing runs; what they did not finish is done again at the next start.
    drop(warming.take());
    tasks.end(BACK);
    interrupt::no_more();
    postgres.bring_down();
    end_descendants(CHILDREN);
    last::ended(&layout.state, &outcome);
    if outcome == Outcome::Stopped {
        // One that failed has said why.
        sink.line("launcher", "stopped");
    }
    match outcome {
        Outcome::Stopped => Ok(()),
        Outcome::Failed(why) => {
            let failure = lock_of(&failed).take();
            Err(failure.unwrap_or_else(|| {
                // gunicorn's own words are about Python's modules.
                let advice = present.get().release().ok().and_then(|release| broken::advice(&release.path));
                let failure = Failure::new(why).help("what happened: `mathesar logs`");
                advice.into_iter().fold(failure, Failure::help)
            }))
        }
    }
}

fn lock_of<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
