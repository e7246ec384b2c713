//! `mathesar rollback`

use std::time::{Duration, Instant};

use super::upgrade::{cancelled_by_signals, follow};
use super::{Context, PATIENCE, walking};
use crate::control::{self, Order};
use crate::failure::{Exit, Failure};
use crate::steps::Step;
use crate::supervise::Request;
use crate::terminal::{Terminal, note, time, verb};
use crate::transaction::Kept;
use crate::upgrade::back::{self, Since};
use crate::upgrade::{Back, Nobody, refusal};

/// Go back to before the last upgrade or restore, application and data
///
/// The copy of the data that it has put aside is put in their place, with the release that they are of. Whatever was written since would be
/// gone: where a row was, it is refused, with the count and with what differs. Visitors' sessions and the times of logins do not count.
///
/// The present data are kept in the copy's place until the next upgrade or restore: `mathesar rollback` again is the way forth.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Also where rows would be lost
    #[arg(long)]
    discard_newer: bool,

    /// Do not ask; nothing is asked at present
    #[arg(long, hide = true)]
    yes: bool,
}

pub(crate) fn run(args: &Args, context: &Context) -> anyhow::Result<()> {
    crate::user::ordinary(&context.layout, &context.environment)?;
    walking::refuse_under_way(&context.layout)?;
    let installation = walking::settled(context.installation(false)?, "rollback")?;
    if installation.is_external() {
        return Err(Failure::new(
            "the database is a server of your own, which the launcher cannot take back",
        )
        .exit(Exit::Refused)
        .help("stop Mathesar, and restore that server from its own backup: `mathesar stop`")
        .help("then go on with the release that the backup is of, which `mathesar app list` names: `mathesar app use RELEASE`, `mathesar start`")
        .into());
    }
    if Kept::find(&installation.layout.state).is_none() {
        return Err(crate::transaction::nothing_kept().into());
    }
    let begun = Instant::now();
    let socket = installation.control_socket();
    let running = control::ask_here(&installation.layout, Request::Status, PATIENCE).is_ok();
    let walked = walking::walk_with(installation, "rollback", &[Step::Database, Step::Release], |world| {
        world.for_admin = true
    })?;
    let from = walked.world.release()?.version;
    let (kept, target) = back::kept(&walked.world)?;
    let cluster = walked.world.cluster().ok_or_else(|| Failure::new("there is no database yet"))?;
    let terminal = Terminal::new();
    let discard = args.discard_newer;
    if !discard {
        let since = back::since(&walked.world, &cluster, &kept);
        if since != Since::Nothing {
            let losses = back::losses(&walked.world, &cluster, &kept, &terminal.of(Step::Check));
            terminal.end();
            let (losses, rows) = losses?;
            return Err(refusal::refusal(&losses, since.at_least(rows), &kept, &target.version).into());
        }
    }
    terminal.end();
    let downtime = if running {
        follow(&socket, &Order::Rollback { discard })?["downtime"].as_f64()
    } else {
        let terminal = Terminal::new();
        let sink = walked.world.postgres.sink();
        let way = Back {
            world: &walked.world,
            serving: &Nobody,
            watcher: &terminal,
            sink,
            cancel: cancelled_by_signals(),
            discard,
        };
        let done = way.run();
        terminal.end();
        done?;
        None
    };
    let while_down = downtime.map_or_else(
        || "; `mathesar start` starts it".to_owned(),
        |seconds| format!("; nobody was served for {}", time(Duration::from_secs_f64(seconds))),
    );
    let version = &target.version;
    let releases = match from == *version {
        true => format!("to the data of Mathesar {version}"),
        false => format!("from Mathesar {from} to {version}"),
    };
    verb(
        "Went back",
        format_args!("{releases}, before the {}, in {}{while_down}", kept.kind.name(), time(begun.elapsed())),
    );
    note(format_args!(
        "Mathesar {version} is held now: none comes in its place by itself, until `mathesar upgrade`; the data that were here until now are kept aside, and `mathesar rollback` takes them back"
    ));
    Ok(())
}
