//! `mathesar db shell`

use std::ffi::OsString;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use super::{client, running_cluster};
use crate::commands::{Context, walking};
use crate::database::{External, Session};
use crate::failure::{Exit, Failure};
use crate::layout::Scope;
use crate::terminal::note;

/// Open psql on the database
///
/// As Mathesar's own role: in the private cluster on the database for your tables, on a server of yours on the one that `database.url` names. No
/// password is asked for, and none stands on a command line. What stands behind `--` goes to psql: `mathesar db shell -- -c 'SELECT 1'`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Connect to this database
    ///
    /// What Mathesar keeps for itself is in `mathesar_django`, unless `database.name` says otherwise.
    #[arg(long, value_name = "NAME")]
    database: Option<String>,

    /// As the private cluster's superuser
    ///
    /// Who may change and delete everything, Mathesar's own tables too.
    #[arg(long)]
    superuser: bool,

    /// Options and arguments of psql
    #[arg(last = true, value_name = "PSQL-ARGS")]
    args: Vec<OsString>,
}

pub(crate) fn run(args: &Args, context: &Context) -> anyhow::Result<()> {
    crate::user::ordinary(&context.layout, &context.environment)?;
    let installation = context.installation(false)?;
    let session: Session = match External::of(&installation.config)? {
        Some(_) if args.superuser => {
            return Err(Failure::new("Mathesar has no superuser on your server")
                .cause("`database.url` names it")
                .exit(Exit::Refused)
                .help("connect there as its administrator: `psql -h HOST -U postgres`")
                .into());
        }
        Some(external) => {
            external.session(&client(&installation)?, &installation.secrets, args.database.as_deref())?
        }
        None => {
            let cluster = running_cluster(&installation)?;
            match walking::under_way(&context.layout.state)? {
                Some(journal) if cluster.is_closed() => {
                    return Err(Failure::new(format!("{} is under way", journal.words()))
                        .cause("nothing can be written until it is done, as it would be lost if that is taken back")
                        .exit(Exit::Refused)
                        .help("see how far it is: `mathesar status`")
                        .into());
                }
                Some(journal) => note(format_args!(
                    "{} is under way: this session will be ended, and after that nothing can be written until it is done",
                    journal.words()
                )),
                None => {}
            }
            let database = args.database.as_deref().unwrap_or(&cluster.settings.user_database);
            cluster.session(args.superuser, database)?
        }
    };
    let mut command = Command::new(&session.program);
    command.args(&args.args);
    // Where else a person's own psql goes is not to be mixed with this.
    for name in context.environment.variables.keys() {
        if name.as_encoded_bytes().starts_with(b"PG") {
            command.env_remove(name);
        }
    }
    if context.layout.scope == Scope::System && context.environment.get("PSQL_HISTORY").is_none() {
        // The service's home is its state, where no person's words belong.
        command.env("PSQL_HISTORY", "/dev/null");
    }
    command.envs(session.variables);
    let cause = command.exec();
    Err(Failure::new(format!("cannot run {}", session.program.display())).cause(cause).into())
}
