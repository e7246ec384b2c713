//! `mathesar db start`

use std::fs::File;
use std::path::PathBuf;
use std::time::Duration;

use super::{launcher, refuse_external};
use crate::commands::{Context, walking};
use crate::database::Cluster;
use crate::failure::Failure;
use crate::installation::Installation;
use crate::steps::Step;
use crate::terminal::{note, verb};

/// Start the private cluster alone, in the background
///
/// For work on the database without Mathesar: psql, a copy of data, a repair. Makes it where there is none yet. It runs until `mathesar db
/// stop`; nobody watches it, and it does not start again after a reboot. `mathesar start` takes it over.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

/// For its end, where it did not get ready.
const TO_END: Duration = Duration::from_secs(60);

pub(crate) fn run(_: &Args, context: &Context) -> anyhow::Result<()> {
    crate::user::ordinary(&context.layout, &context.environment)?;
    let installation = context.installation(false)?;
    refuse_external(&installation, "start")?;
    if let Some(state) = launcher(&installation)? {
        verb("Unchanged", format_args!("Mathesar is {state}, and its database is its own to start"));
        return Ok(());
    }
    let walked = walking::walk_as(context, "db start", &[Step::Cluster], true)?;
    let Some(cluster) = walked.world.cluster() else {
        return Err(Failure::new("there is no database to start").into());
    };
    let limit = installation.config.duration("database.start-timeout").unwrap_or(Duration::from_secs(300));
    let (pid, changed) = start(&cluster, &installation, limit)?;
    let made = cluster.provision()?;
    for name in &made.databases {
        verb("Created", format_args!("the database {name}"));
    }
    let version = &cluster.binaries.version;
    match changed {
        true => verb("Started", format_args!("PostgreSQL {version} (pid {pid})")),
        false => verb("Unchanged", format_args!("PostgreSQL {version} runs already (pid {pid})")),
    }
    note(format_args!("its log: {}", log_path(&installation).display()));
    note(format_args!("its address: {}", cluster.url(&cluster.settings.user_database)));
    Ok(())
}

/// Its pid, and whether it was started now.
fn start(cluster: &Cluster, installation: &Installation, limit: Duration) -> Result<(u32, bool), Failure> {
    if let Some(mut left) = cluster.adopt() {
        match cluster.wait_ready(&mut left, limit) {
            Ok(()) => return Ok((left.pid, false)),
            // One that was about to end has ended.
            Err(_) if cluster.leftover().is_none() => {}
            Err(failure) => return Err(failure),
        }
    }
    let mut running = cluster.spawn(log(installation)?.into())?;
    running.told.iter().for_each(note);
    match cluster.wait_ready(&mut running, limit) {
        Ok(()) => Ok((running.pid, true)),
        Err(failure) => {
            let _ = running.stop(TO_END);
            Err(failure.help(format!("its own words: `tail {}`", crate::cure::path(&log_path(installation)))))
        }
    }
}

/// Not mathesar.log, whose lines are the launcher's to write.
fn log_path(installation: &Installation) -> PathBuf {
    let layout = &installation.layout;
    layout.logs.as_ref().unwrap_or(&layout.state).join("database.log")
}

fn log(installation: &Installation) -> Result<File, Failure> {
    installation.words_folder()?;
    let path = log_path(installation);
    let most = installation.config.size("log.max-size").unwrap_or(10_000_000);
    if path.metadata().is_ok_and(|found| found.len() > most) {
        std::fs::rename(&path, path.with_extension("log.1"))
            .map_err(|cause| Failure::io("rename", &path, cause))?;
    }
    crate::careful::open_log(&path, false)
}
