//! `mathesar admin create`

use super::{Context, password};
use crate::admin::{self, Account};
use crate::prompt;
use crate::steps::FIRST_ADMIN;
use crate::terminal::{note, verb};

/// Make an administrator
///
/// On a terminal the password is asked for, and the name where none is given. Examples:
///
///   mathesar admin create ada
///   mathesar admin create --username ada --password-file - < password.txt
///   mathesar admin create --generate > password.txt
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Args {
    /// The new administrator's name; `admin` where it is neither given nor asked for
    #[arg(value_name = "NAME")]
    name: Option<String>,

    /// The same, as an option
    #[arg(long, value_name = "NAME", conflicts_with = "name")]
    username: Option<String>,

    /// Their address, if Mathesar is to know one
    #[arg(long, value_name = "ADDRESS", default_value = "", hide_default_value = true)]
    email: String,

    #[command(flatten)]
    password: password::Source,
}

pub(crate) fn run(args: &Args, context: &Context) -> anyhow::Result<()> {
    let given = args.username.as_ref().or(args.name.as_ref());
    given.map(|name| super::check_name(name)).transpose()?;
    args.password.ordinary(context)?;
    let username = match given {
        Some(name) => name.clone(),
        None if args.password.asks() => prompt::line("The administrator's user name", FIRST_ADMIN)?,
        None => FIRST_ADMIN.to_owned(),
    };
    super::check_name(&username)?;
    let password = args.password.obtain(&username)?;
    let walked = super::ready(context)?;
    let account = Account {
        username: &username,
        email: &args.email,
        password: &password,
        one_time: args.password.is_one_time(),
    };
    let world = &walked.world;
    let done = admin::create(&world.release()?, &world.variables()?, &account)?;
    drop(walked);
    args.password.tell(&password)?;
    verb("Created", format_args!("the administrator `{}`", done.username));
    if args.password.is_one_time() {
        note(super::about_one_time(done.one_time));
    }
    Ok(())
}
