//! `mathesar db …`

mod init;
mod shell;
mod start;
mod status;
mod stop;
mod url;

use std::path::PathBuf;

use clap::Subcommand;
use serde_json::Value;

use super::{Context, PATIENCE};
use crate::control;
use crate::database::{Cluster, embedded_binaries};
use crate::failure::{Exit, Failure};
use crate::installation::Installation;
use crate::supervise::Request;

/// Make, start and use the database alone
///
/// The private cluster: a PostgreSQL server of Mathesar's own, which listens on a socket only and holds two databases, one for what
/// Mathesar keeps for itself and one for your tables. Where `database.url` names a server of yours, `url --test` tries it and `shell`
/// connects to it; starting and stopping it is yours. `mathesar start` starts the private one by itself.
#[derive(Debug, clap::Args)]
#[command(subcommand_required = true, arg_required_else_help = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Init(init::Args),
    Start(start::Args),
    Stop(stop::Args),
    Status(status::Args),
    Shell(shell::Args),
    Url(url::Args),
}

pub(crate) fn run(args: &Args, context: &Context) -> anyhow::Result<()> {
    match &args.command {
        Command::Init(args) => init::run(args, context),
        Command::Start(args) => start::run(args, context),
        Command::Stop(args) => stop::run(args, context),
        Command::Status(args) => status::run(args, context),
        Command::Shell(args) => shell::run(args, context),
        Command::Url(args) => url::run(args, context),
    }
}

/// How the launcher that runs says it is; none: none runs.
fn launcher(installation: &Installation) -> Result<Option<String>, Failure> {
    match control::ask_here(&installation.layout, Request::Status, PATIENCE) {
        Ok(answer) => Ok(Some(answer.value["state"].as_str().unwrap_or_default().to_owned())),
        Err(failure) if failure.exit == Exit::NotRunning => Ok(None),
        Err(failure) => Err(failure),
    }
}

fn refuse_external(installation: &Installation, what: &str) -> Result<(), Failure> {
    match installation.is_external() {
        true => {
            Err(Failure::new(format!("the database is on your server, which is not Mathesar's to {what}"))
                .cause("`database.url` names it")
                .exit(Exit::Refused)
                .help("see whether it can be used: `mathesar db url --test`"))
        }
        false => Ok(()),
    }
}

/// The private cluster, which has to be there.
fn cluster(installation: &Installation) -> Result<Cluster, Failure> {
    installation.existing_cluster()?.ok_or_else(|| {
        Failure::new("there is no database yet").exit(Exit::NotRunning).help("make it: `mathesar db init`")
    })
}

/// The same, and it has to answer.
fn running_cluster(installation: &Installation) -> Result<Cluster, Failure> {
    let cluster = cluster(installation)?;
    match cluster.leftover() {
        Some(_) if cluster.is_ready() => Ok(cluster),
        Some(pid) => Err(Failure::new(format!("the database is not ready (pid {pid})"))
            .exit(Exit::NotRunning)
            .help("it is starting or stopping; see which: `mathesar logs`")),
        None => Err(Failure::new("the database does not run")
            .exit(Exit::NotRunning)
            .help("start it alone: `mathesar db start`, or all of Mathesar: `mathesar start`")),
    }
}

/// A psql for a server of the user's: the system's, else the pinned embedded build's where it is unpacked.
fn client(installation: &Installation) -> Result<PathBuf, Failure> {
    let search = installation.search();
    let of_server = search.system().first().map(|found| found.client("psql"));
    // A machine that has the client alone.
    let on_path = || {
        let folders = installation.environment.get("PATH").map(std::env::split_paths);
        folders.into_iter().flatten().map(|folder| folder.join("psql")).find(|psql| psql.is_file())
    };
    let embedded = || {
        let found = search.embedded.as_deref().and_then(|folder| embedded_binaries(folder).ok());
        found.map(|found| found.client("psql"))
    };
    of_server.filter(|psql| psql.is_file()).or_else(on_path).or_else(embedded).ok_or_else(|| {
        Failure::new("no psql is installed, by which your server could be reached")
            .exit(Exit::Refused)
            .help(format!("install one: `{}`", search.distribution.install(None)))
    })
}

fn text_of(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
