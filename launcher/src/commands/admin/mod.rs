//! `mathesar admin …`

mod create;
mod password;
mod reset_password;

use clap::Subcommand;

use super::walking::{self, Walked};
use super::{Context, note};
use crate::control::client;
use crate::failure::{Exit, Failure};
use crate::steps::Step;

/// Make administrators and give new passwords, without a browser
///
/// Whether Mathesar runs or not: what is missing (the release, the database, Mathesar's tables) is made first, as `mathesar
/// setup` does. Mathesar's own rules for names and passwords hold.
///
/// Until an administrator exists, Mathesar's first page is shown to the user that runs Mathesar alone, on the same machine and
/// without a proxy between; and an address or name that others can reach is refused.
#[derive(Debug, clap::Args)]
#[command(subcommand_required = true, arg_required_else_help = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Create(create::Args),
    ResetPassword(reset_password::Args),
}

pub(crate) fn run(args: &Args, context: &Context) -> anyhow::Result<()> {
    match &args.command {
        Command::Create(args) => create::run(args, context),
        Command::ResetPassword(args) => reset_password::run(args, context),
    }
}

/// Mathesar's tables are there and the database answers, until the result is dropped.
fn ready(context: &Context) -> Result<Walked, Failure> {
    let installation = context.installation(false)?;
    if let Some(answer) = walking::answer(&installation)
        && matches!(answer.value["state"].as_str(), Some("preparing" | "starting"))
    {
        note("Mathesar is being started; this waits until it runs");
        // Where that fails, the walk says why.
        let _ = client::follow(&installation.control_socket(), drop);
    }
    walking::walk_as(context, "admin", &[Step::Migrate], true)
}

/// What no form lets anybody type, and no terminal should show.
fn check_name(name: &str) -> Result<(), Failure> {
    let why = match name {
        _ if name.trim().is_empty() => "is empty",
        _ if name != name.trim() => "begins or ends with a space",
        _ if name.chars().any(char::is_control) => "holds a control character",
        _ => return Ok(()),
    };
    Err(Failure::new(format!("the user name {name:?} {why}"))
        .exit(Exit::Usage)
        .help("choose another: `mathesar admin create --help`"))
}

fn about_one_time(enforced: bool) -> &'static str {
    match enforced {
        true => "Mathesar asks for another password at the next login",
        false => {
            "this release of Mathesar cannot ask for another password at the next login: change it by hand"
        }
    }
}
