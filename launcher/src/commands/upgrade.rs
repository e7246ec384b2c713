//! `mathesar upgrade`

use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::app::handed;
use super::{Context, PATIENCE, walking};
use crate::app::store::{self, Installed, Store};
use crate::control::{self, Order};
use crate::failure::{Exit, Failure};
use crate::installation::Installation;
use crate::interrupt::unless_nohup;
use crate::steps::{Step, Wanted, Watcher as _};
use crate::supervise::{Cancel, Request};
use crate::terminal::{Terminal, note, time, verb};
use crate::upgrade::script::{Database, Sql};
use crate::upgrade::{self, Nobody, Run, preflight};
use crate::user;

/// Bring a newer release, with a way back
///
/// The release is prepared beside the running one, which goes on serving, and the data are copied. Then visitors see a page for some
/// seconds: Mathesar and its database end in good order, the copy is made exact, the new release migrates its tables, brings its SQL to
/// every connected database, and has to answer, to write and to read before anybody is let in. Whatever fails, hangs or is killed
/// before that, application and data are put back as they were when serving stopped.
///
/// The copy of the data stays beside them until the next upgrade, for `mathesar rollback`. On a server of your own (`database.url`)
/// there is no copy and no way back for its tables.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Bring this release, one that `mathesar app list` names, instead of the one that this launcher brings
    #[arg(long, value_name = "VERSION", conflicts_with = "from")]
    to: Option<String>,

    /// Bring the release in this tarball, and hold it
    #[arg(long, value_name = "FILE")]
    from: Option<PathBuf>,

    /// Only say what would be done, and whether something stands in the way
    #[arg(long, conflicts_with = "finish")]
    check: bool,

    /// Only bring the present release's SQL to connected databases that did not get it
    #[arg(long, conflicts_with_all = ["to", "from"])]
    finish: bool,

    /// Do not ask
    #[arg(long)]
    yes: bool,

    /// FILE is standard input already, opened by root
    #[arg(long, hide = true, requires = "from")]
    on_stdin: bool,
}

pub(crate) fn run(args: &Args, context: &Context) -> anyhow::Result<()> {
    handed::over(context, args.from.as_deref())?;
    user::ordinary(&context.layout, &context.environment)?;
    walking::refuse_under_way(&context.layout)?;
    let installation = walking::settled(context.installation(false)?, "upgrade")?;
    let current = installation.store().current()?.ok_or_else(|| {
        Failure::new("no release is the current one, so there is nothing to upgrade")
            .exit(Exit::Refused)
            .help("`mathesar start` brings the first one")
    })?;
    if args.finish {
        return Ok(finish(installation)?);
    }
    let mut copy = None;
    let (wanted, version) = wanted(args, context, &installation, &current, &mut copy)?;
    let Some(wanted) = wanted else {
        verb("Unchanged", format_args!("Mathesar {} is the current release already", current.version));
        return Ok(());
    };
    if let Some(version) = &version {
        preflight::jump(&current.version, version)?;
    }
    preflight::no_backup(&context.layout.state)?;
    preflight::room(&installation, &Terminal::new().of(Step::Check))?;
    if args.check {
        let what =
            version.map_or_else(|| "the file's release".to_owned(), |version| format!("Mathesar {version}"));
        verb("Possible", format_args!("{what} in place of {}", current.version));
        return Ok(());
    }
    if installation.is_external() && !args.yes {
        confirm(args)?;
    }
    upgrade(installation, wanted, current, args.from.is_some())
}

/// What is to be brought, and its version; none: it runs already.
fn wanted(
    args: &Args,
    context: &Context,
    installation: &Installation,
    current: &Installed,
    copy: &mut Option<handed::Copy>,
) -> Result<(Option<Wanted>, Option<String>), Failure> {
    let (installed, pinned) = (installation.store(), &installation.pinned);
    if let Some(path) = &args.from {
        let (found, source) = handed::file(path, args.on_stdin, context, &installation.app(), copy)?;
        let same = found.sha256 == current.sha256;
        // Before it is unpacked and its environment is made, which takes its time.
        let version = store::version_of_tarball(&found.path)?;
        return Ok(((!same).then_some(Wanted::File { found, source }), Some(version)));
    }
    let pinned_id = Store::id(&pinned.version, &pinned.sha256);
    let id = match &args.to {
        None => pinned_id.clone(),
        Some(version) if *version == pinned.version || *version == pinned_id => pinned_id.clone(),
        Some(version) => match installed.find(version) {
            Ok(release) => release.id,
            Err(failure) => {
                return Err(failure.help(format!(
                    "this launcher brings {}; another one comes from its tarball: `mathesar upgrade --from FILE`",
                    pinned.version
                )));
            }
        },
    };
    let version = id.rsplit_once('-').map(|(version, _)| version.to_owned());
    if id == current.id {
        return Ok((None, version));
    }
    let wanted = if id == pinned_id { Wanted::Pinned } else { Wanted::Installed(id) };
    Ok((Some(wanted), version))
}

fn confirm(args: &Args) -> Result<(), Failure> {
    let what = match (&args.from, &args.to) {
        (Some(path), _) => format!(" --from {}", path.display()),
        (None, Some(version)) => format!(" --to {version}"),
        (None, None) => String::new(),
    };
    let refused =
        Failure::new("the tables on a server of your own cannot be put back after a failed upgrade")
            .exit(Exit::Refused)
            .help(format!("with a backup of that server at hand: `mathesar upgrade{what} --yes`"));
    crate::prompt::agreed("Go on? The tables on your own server cannot be put back", refused)
}

fn upgrade(installation: Installation, wanted: Wanted, current: Installed, file: bool) -> anyhow::Result<()> {
    let begun = Instant::now();
    let socket = installation.control_socket();
    let running = control::ask_here(&installation.layout, Request::Status, PATIENCE).is_ok();
    let steps: &[Step] = if running { &[Step::Static] } else { &[Step::Static, Step::Database] };
    let walked = walking::walk_with(installation, "upgrade", steps, |world| {
        world.for_admin = true;
        world.wanted = wanted;
    })?;
    let target = walked.world.release()?;
    if target.id == current.id {
        verb("Unchanged", format_args!("Mathesar {} is the current release already", current.version));
        return Ok(());
    }
    let (from, to) = (current.version.clone(), target.version.clone());
    let (downtime, unfinished) = if running {
        let order = Order::Upgrade { to: target.id, hold: file };
        let answer = follow(&socket, &order)?;
        (answer["downtime"].as_f64(), answer["unfinished"].as_u64().unwrap_or_default())
    } else {
        walked.world.change_release(current);
        let terminal = Terminal::new();
        let run = Run {
            world: &walked.world,
            hold: file.then(|| target.id.clone()),
            target,
            serving: &Nobody,
            watcher: &terminal,
            sink: walked.world.postgres.sink(),
            cancel: cancelled_by_signals(),
        };
        let done = run.run();
        terminal.end();
        let done = done?;
        (None, unfinished(&done.databases))
    };
    let while_down = downtime.map_or_else(
        || "; `mathesar start` starts it".to_owned(),
        |seconds| format!("; nobody was served for {}", time(Duration::from_secs_f64(seconds))),
    );
    verb("Upgraded", format_args!("from Mathesar {from} to {to} in {}{while_down}", time(begun.elapsed())));
    tell_unfinished(unfinished);
    Ok(())
}

/// Hears how a running launcher does it.
pub(super) fn follow(socket: &std::path::Path, order: &Order) -> Result<Value, Failure> {
    let terminal = Terminal::new();
    goes_on_without_us();
    let answer = control::order(socket, order, |event| terminal.tell(&event));
    terminal.end();
    answer
}

/// Ctrl-C ends this program, which only looks on; that is said.
fn goes_on_without_us() {
    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
    let Ok(mut signals) = signal_hook::iterator::Signals::new(unless_nohup(&[SIGINT, SIGTERM, SIGHUP]))
    else {
        return;
    };
    let _ = std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
        if let Some(signal) = signals.forever().next() {
            eprintln!();
            note(
                "the launcher goes on with it: `mathesar status`, `mathesar logs -f`; `mathesar stop` takes it back and stops",
            );
            let _ = signal_hook::low_level::emulate_default_handler(signal);
        }
    });
}

/// Ctrl-C takes back what has been done so far.
pub(super) fn cancelled_by_signals() -> Cancel {
    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
    let cancel = Cancel::default();
    let shared = cancel.clone();
    // Where signals cannot be listened to, the next command takes it back.
    if let Ok(mut signals) = signal_hook::iterator::Signals::new(unless_nohup(&[SIGINT, SIGTERM, SIGHUP])) {
        let _ = std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
            if signals.forever().next().is_some() {
                shared.cancel();
            }
        });
    }
    cancel
}

fn finish(installation: Installation) -> Result<(), Failure> {
    let socket = installation.control_socket();
    let (all, left) = if control::ask_here(&installation.layout, Request::Status, PATIENCE).is_ok() {
        let answer = follow(&socket, &Order::FinishSql)?;
        (answer["databases"].as_u64().unwrap_or_default(), answer["unfinished"].as_u64().unwrap_or_default())
    } else {
        let walked = walking::walk_with(installation, "upgrade --finish", &[Step::Migrate], |world| {
            world.for_admin = true
        })?;
        let terminal = Terminal::new();
        let sink = walked.world.postgres.sink();
        let databases =
            upgrade::finish_sql(&walked.world, Sql::All, &Cancel::default(), &sink, &terminal.of(Step::Sql));
        terminal.end();
        let databases = databases?;
        (databases.len() as u64, unfinished(&databases))
    };
    verb("Finished", format_args!("{} of {all} connected databases have Mathesar's SQL", all - left));
    match left {
        0 => Ok(()),
        left => Err(Failure::new(format!("{left} of {all} connected databases did not get Mathesar's SQL"))
            .help("why: `mathesar status`; when they can be reached again: `mathesar upgrade --finish`")),
    }
}

fn unfinished(databases: &[Database]) -> u64 {
    databases.iter().filter(|one| one.why.is_some()).count() as u64
}

fn tell_unfinished(left: u64) {
    if left > 0 {
        let databases = if left == 1 { "database" } else { "databases" };
        note(format_args!(
            "{left} connected {databases} did not get Mathesar's SQL: `mathesar status` names them, `mathesar upgrade --finish` tries again"
        ));
    }
}
