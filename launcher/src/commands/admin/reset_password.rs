//! `mathesar admin reset-password`

use super::{Context, password};
use crate::admin::{self, Account};
use crate::steps::{FIRST_ADMIN, FIRST_PASSWORD};
use crate::terminal::{note, verb};

/// Give a user another password
///
/// Any user of Mathesar, administrator or not. Who is logged in with the old password is logged out; an account that was
/// disabled can be used again.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The user's name
    #[arg(value_name = "NAME")]
    username: String,

    #[command(flatten)]
    password: password::Source,
}

pub(crate) fn run(args: &Args, context: &Context) -> anyhow::Result<()> {
    super::check_name(&args.username)?;
    args.password.ordinary(context)?;
    let password = args.password.obtain(&args.username)?;
    let walked = super::ready(context)?;
    let one_time = args.password.is_one_time();
    let account = Account { username: &args.username, email: "", password: &password, one_time };
    let world = &walked.world;
    let done = admin::reset(&world.release()?, &world.variables()?, &account)?;
    if done.username == FIRST_ADMIN {
        // The one that the launcher had made up opens nothing any more.
        world.installation.secrets.forget(FIRST_PASSWORD)?;
    }
    drop(walked);
    args.password.tell(&password)?;
    let who = if done.admin { "administrator" } else { "user" };
    verb("Changed", format_args!("the password of the {who} `{}`", done.username));
    if one_time {
        note(super::about_one_time(done.one_time));
    }
    if done.activated {
        note("the account was disabled, and can be used again");
    }
    Ok(())
}
