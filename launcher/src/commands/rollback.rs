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
use crate::upgrade::{Back, Nobody, back};

/// Go back to before the last upgrade, application and data
///
/// The copy of the data that the upgrade has made is put in their place, with the release that they are of. Whatever was written since
/// would be gone: where it is one transaction or more, it is refused, with the count and with what differs.
///
/// The present data are kept in the copy's place until the next upgrade: `mathesar rollback` again is the way forth.
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
    let installation = walking::settled(context.installation(false)?, "rollback")?;
    if installation.is_external() {
        return Err(Failure::new(
            "the database is a server of your own, which the launcher cannot take back",
        )
        .exit(Exit::Refused)
        .help("restore it from a backup of that server, then `mathesar app use VERSION`")
        .into());
    }
    if Kept::find(&installation.layout.state).is_none() {
        return Err(crate::transaction::nothing_kept().into());
    }
    let begun = Instant::now();
    let socket = installation.control_socket();
    let running = control::ask(&socket, Request::Status, PATIENCE).is_ok();
    let walked = walking::walk_with(installation, "rollback", &[Step::Database, Step::Release], |world| {
        world.for_admin = true
    })?;
    let from = walked.world.release()?.version;
    let (kept, target) = back::kept(&walked.world)?;
    let cluster = walked.world.cluster().ok_or_else(|| Failure::new("there is no database yet"))?;
    let terminal = Terminal::new();
    let mut unchanged = None;
    if !args.discard_newer {
        unchanged = walked.world.next_transaction();
        // Not one transaction: nothing needs to be compared.
        if kept.xid.is_none() || kept.xid != unchanged {
            let losses = back::losses(&walked.world, &cluster, &kept, &terminal.of(Step::Check));
            terminal.end();
            let written = kept.xid.zip(unchanged).map(|(then, now)| now.saturating_sub(then));
            return Err(back::refusal(&losses?, written, &target.version).into());
        }
    }
    terminal.end();
    let downtime = if running {
        follow(&socket, &Order::Rollback { unchanged })?["downtime"].as_f64()
    } else {
        let terminal = Terminal::new();
        let sink = walked.world.postgres.sink();
        let way = Back {
            world: &walked.world,
            serving: &Nobody,
            watcher: &terminal,
            sink,
            cancel: cancelled_by_signals(),
            unchanged,
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
    verb(
        "Went back",
        format_args!("from Mathesar {from} to {version} in {}{while_down}", time(begun.elapsed())),
    );
    note(format_args!(
        "{version} is held now; `mathesar upgrade` brings a newer one, `mathesar rollback` the data of {from} again"
    ));
    Ok(())
}
