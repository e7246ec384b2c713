//! `mathesar start`

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::{Context, verb};
use crate::careful;
use crate::control::{self, Lock, client::Heard};
use crate::failure::{Exit, Failure};
use crate::installation::Installation;
use crate::interrupt::unless_nohup;
use crate::logbook::LAST_WORDS;
use crate::server::probe::first_page;
use crate::service_manager::Manager;
use crate::steps::Watcher as _;
use crate::supervise::Request;
use crate::terminal::{Terminal, time};

/// Start Mathesar in the background
///
/// Does whatever is still missing: the first time it fetches the pinned release, builds its Python environment, makes a database
/// cluster and Mathesar's tables; `mathesar plan` says what it would do now. Ends when Mathesar answers, and prints its address.
/// Running it again changes nothing.
///
/// In system mode, and where `mathesar autostart` is on, the service manager does the starting.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Open it in the browser when it answers
    #[arg(long)]
    open: bool,
}

/// For the new process to take the lock and listen; the real work comes after and has no limit here.
const TO_SPEAK: Duration = Duration::from_secs(30);

/// For what has just died to be seen and started again: two probes of PostgreSQL, and a gunicorn's start.
const TO_ANSWER: Duration = Duration::from_secs(90);

pub(crate) fn run(args: &Args, context: &Context) -> anyhow::Result<()> {
    start(context)?;
    if args.open {
        super::open::open(context)?;
    }
    Ok(())
}

/// Starts it, unless it runs, and waits until it answers.
pub(super) fn start(context: &Context) -> anyhow::Result<()> {
    let begun = Instant::now();
    let socket = context.layout.run.join("control.sock");
    match control::ask_here(&context.layout, Request::Status, super::PATIENCE) {
        Ok(answer) => match answer.value["state"].as_str() {
            Some("running" | "degraded") => return already(context, &socket, answer.value),
            Some(state) if is_coming(state) => {
                if wait_for_transaction(context)? {
                    return start(context);
                }
                verb("Waiting", "for the start that is under way");
                return follow(context, &socket, None, begun);
            }
            // It is going: waited for below, by us or by the service manager.
            _ => {}
        },
        Err(failure) if control::is_silent(&failure) => return Err(failure.exit(Exit::Refused).into()),
        // It runs, and no time that passes opens the way to it.
        Err(failure) if control::is_denied(&failure) && Lock::holder(&context.layout.state).is_some() => {
            return Err(failure.exit(Exit::Refused).into());
        }
        Err(_) => {}
    }
    let mut started = match Manager::of(&context.layout, &context.environment) {
        Manager::Nobody => {
            crate::user::make_all_folders(&context.layout, &context.environment);
            crate::user::ordinary(&context.layout, &context.environment)?;
            if wait_for_holder(context, &socket, begun)? {
                return start(context);
            }
            // Everything that is wrong with the settings is told here, by whoever can be asked.
            let installation = context.installation(false)?;
            Some(Started::spawn(context, &installation)?)
        }
        manager => {
            manager.start()?;
            None
        }
    };
    wait_for_socket(context, &socket, started.as_mut())?;
    follow(context, &socket, started, begun)
}

/// Whoever starts what runs wants to see the page, which may just be on its way back.
fn already(context: &Context, socket: &Path, mut status: Value) -> anyhow::Result<()> {
    let begun = Instant::now();
    let mut said = false;
    loop {
        let address = status["address"].as_str().unwrap_or_default();
        let why = match first_page(address, super::PATIENCE) {
            Ok(Ok(answer)) if answer >= 500 => Some(format!("it answers {answer}")),
            Ok(Err(why)) => Some(why),
            // Where it cannot be asked from here, the launcher's own probes count.
            _ => None,
        };
        if let Some(why) = &why {
            if begun.elapsed() >= TO_ANSWER {
                return Err(does_not_work(&status, why).into());
            }
            if !said && begun.elapsed() >= Duration::from_secs(1) {
                said = true;
                verb("Waiting", format_args!("for Mathesar at {address} to work again: {why}"));
            }
            std::thread::sleep(Duration::from_millis(200));
        }
        // What answered may be on its way out: the page of one that is being stopped says nothing of the next.
        status = match control::ask(socket, Request::Status, super::PATIENCE) {
            Ok(answer) if matches!(answer.value["state"].as_str(), Some("running" | "degraded")) => {
                answer.value
            }
            // It has gone meanwhile, or comes up again from the beginning.
            _ => return start(context),
        };
        if why.is_none() {
            break;
        }
    }
    verb("Running", format_args!("already, at {}", status["address"].as_str().unwrap_or_default()));
    for pending in status["pending"].as_array().into_iter().flatten() {
        super::note(format_args!("pending {}", pending.as_str().unwrap_or_default()));
    }
    Ok(())
}

fn does_not_work(status: &Value, why: &str) -> Failure {
    let address = status["address"].as_str().unwrap_or_default();
    let said = status["message"].as_str().filter(|said| !said.is_empty() && *said != "running");
    Failure::new(format!("Mathesar runs at {address}, and does not work"))
        .cause(said.unwrap_or(why).to_owned())
        .help("what happened: `mathesar logs`, `mathesar doctor`")
        .help("start everything anew: `mathesar restart --everything`")
}

/// True: there was one, and it is over. What it does is told to whoever began it, and by `status`.
fn wait_for_transaction(context: &Context) -> Result<bool, Failure> {
    let state = &context.layout.state;
    let Some(journal) = super::walking::under_way(state)? else { return Ok(false) };
    verb("Waiting", format_args!("for {}; how far it is: `mathesar status`", journal.words()));
    while super::walking::under_way(state)?.is_some_and(|now| now.id == journal.id) {
        std::thread::sleep(Duration::from_millis(200));
    }
    Ok(true)
}

fn is_coming(state: &str) -> bool {
    matches!(state, "preparing" | "starting")
}

/// Another launcher may be coming up, or going away: true once one serves, false when there is none.
fn wait_for_holder(context: &Context, socket: &Path, begun: Instant) -> Result<bool, Failure> {
    let mut said = false;
    loop {
        let Some(holder) = Lock::holder(&context.layout.state) else { return Ok(false) };
        let asked = Instant::now();
        let answer = control::ask(socket, Request::Status, super::PATIENCE);
        if let Err(failure) = &answer
            && asked.elapsed() >= super::PATIENCE
        {
            let cure = holder.cure(&context.layout.state, "kill -9");
            return Err(control::silent(&holder)
                .cause(failure.to_string())
                .help(format!("{cure}; the next start puts everything in order")));
        }
        let state = answer.as_ref().ok().and_then(|answer| answer.value["state"].as_str());
        if state.is_some_and(|state| is_coming(state) || matches!(state, "running" | "degraded")) {
            return Ok(true);
        }
        // A supervisor ends up serving, or gone. Of the others there may be the last moment to wait for.
        let limit =
            if holder.verb.as_deref() == Some("run") { super::stop::LONGEST } else { Duration::from_secs(1) };
        if begun.elapsed() >= limit {
            return Err(
                control::at_work(&holder).help("wait until it is done, then run the same command again")
            );
        }
        if begun.elapsed() >= Duration::from_secs(1) && !said {
            verb("Waiting", format_args!("for {holder} to be done"));
            said = true;
        }
        // A launcher that ends may take PostgreSQL minutes.
        let fast = begun.elapsed() < Duration::from_secs(2);
        std::thread::sleep(Duration::from_millis(if fast { 20 } else { 200 }));
    }
}

/// A supervisor of ours, and where its last words go.
struct Started {
    child: Child,
    words: PathBuf,
}

impl Started {
    fn spawn(context: &Context, installation: &Installation) -> Result<Started, Failure> {
        let words = installation.words_folder()?.join(LAST_WORDS);
        let file = careful::open_log(&words, true)?;
        let program = std::env::current_exe()
            .map_err(|cause| Failure::new("cannot tell where this program lies").cause(cause))?;
        let mut command = Command::new(&program);
        command.args(context.global_args()).args(["--color", "never", "run", "--background"]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(file).current_dir("/");
        crate::raw::detach(&mut command);
        let child = command
            .spawn()
            .map_err(|cause| Failure::new(format!("cannot run {}", program.display())).cause(cause))?;
        Ok(Started { child, words })
    }

    /// What it said when it ended badly, as it would have said it to a person.
    fn failure(&mut self) -> Failure {
        let code = self.child.wait().ok().and_then(|status| status.code());
        let said = std::fs::read_to_string(&self.words).unwrap_or_default();
        let exit = Exit::of_code(code.unwrap_or_default().into());
        match said.trim().is_empty() {
            true if code == Some(0) => {
                Failure::new("Mathesar was stopped while it started").help("start it again: `mathesar start`")
            }
            true => Failure::new("Mathesar ended while it started")
                .exit(exit)
                .help("what happened: `mathesar logs`"),
            false => Failure::told(exit, said),
        }
    }
}

fn wait_for_socket(
    context: &Context,
    socket: &Path,
    mut started: Option<&mut Started>,
) -> Result<(), Failure> {
    let begun = Instant::now();
    let mut asked = begun;
    loop {
        // Another one may have been faster by a moment, and then its socket is as good.
        if control::ask(socket, Request::Status, super::PATIENCE).is_ok() {
            return Ok(());
        }
        if let Some(started) = started.as_mut()
            && started.child.try_wait().is_ok_and(|status| status.is_some())
        {
            return Err(started.failure());
        }
        // Its answer costs a process.
        if started.is_none() && asked.elapsed() > Duration::from_millis(500) {
            asked = Instant::now();
            if let Some(why) = Manager::of(&context.layout, &context.environment).failure() {
                return Err(why);
            }
        }
        if begun.elapsed() >= TO_SPEAK {
            return Err(Failure::new("Mathesar does not start").help("what happened: `mathesar logs`"));
        }
        // A new process of ours takes some milliseconds; a service manager's may take longer.
        let fast = begun.elapsed() < Duration::from_millis(200);
        std::thread::sleep(Duration::from_millis(if fast { 2 } else { 20 }));
    }
}

/// Ctrl-C ends the watching, not the work: that is a process of its own by now, and whoever pressed it wants to know.
fn say_when_interrupted(terminal: &Terminal) {
    use signal_hook::consts::SIGINT;
    // Where it cannot be listened to, Ctrl-C ends this process without a word.
    let Ok(mut signals) = signal_hook::iterator::Signals::new(unless_nohup(&[SIGINT])) else { return };
    let terminal = terminal.clone();
    let _ = std::thread::Builder::new().name("interrupt".to_owned()).spawn(move || {
        if signals.forever().next().is_some() {
            terminal.end();
            super::note("Mathesar goes on starting in the background: `mathesar status` says how far it is, `mathesar stop` ends it");
            // As a shell tells the end by this signal.
            std::process::exit(130);
        }
    });
}

fn follow(
    context: &Context,
    socket: &Path,
    mut started: Option<Started>,
    begun: Instant,
) -> anyhow::Result<()> {
    let terminal = Terminal::new();
    say_when_interrupted(&terminal);
    let end = control::follow(socket, |heard| match heard {
        Heard::Event(event) => terminal.tell(&event),
        Heard::Phase(..) => {}
    });
    terminal.end();
    // What is refused at once may be over before anybody follows it.
    let end = match end {
        Err(failure) if failure.exit == Exit::NotRunning => Ok(None),
        end => end,
    };
    match (end?, started.as_mut()) {
        (Some(Ok(())), _) => {
            let answer = control::ask(socket, Request::Status, super::PATIENCE)?;
            let address = answer.value["address"].as_str().unwrap_or_default();
            verb("Running", format_args!("at {address} after {}", time(begun.elapsed())));
            if let Some(note) = first_steps(context) {
                super::note(note);
            }
            Ok(())
        }
        (_, Some(started)) => Err(started.failure().into()),
        (end, None) => {
            let why = match end {
                Some(Err(why)) => why,
                _ => "Mathesar ended while it started".to_owned(),
            };
            let otherwise = || Failure::new(why).help("what happened: `mathesar logs`");
            Err(failure_of_the_unit(context).unwrap_or_else(otherwise).into())
        }
    }
}

/// The whole error, and its exit code: of a process that is somebody else's child, its service manager knows them.
fn failure_of_the_unit(context: &Context) -> Option<Failure> {
    let manager = Manager::of(&context.layout, &context.environment);
    // The process has told that it failed, and ends now; one that is tried again never counts as failed.
    for _ in 0..4 {
        std::thread::sleep(Duration::from_millis(500));
        if let Some(failure) = manager.failure() {
            return Some(failure);
        }
    }
    None
}

/// In system mode the administrator was made already, and somebody wants to come in.
fn first_steps(context: &Context) -> Option<String> {
    let path = context.layout.state.join("secrets").join(crate::steps::FIRST_PASSWORD);
    path.exists().then(|| {
        format!("log in as `{}` with the one-time password in {}", crate::steps::FIRST_ADMIN, path.display())
    })
}
