//! `mathesar db url`

use std::os::unix::fs::PermissionsExt as _;

use super::{client, running_cluster};
use crate::commands::{Context, print};
use crate::database::External;
use crate::failure::{Exit, Failure};
use crate::installation::Installation;
use crate::terminal::{note, verb};

/// Print the database's address, for other programs
///
/// As libpq reads it: `psql "$(mathesar db url)"`. It never holds a password. The private cluster needs none from programs of the OS user
/// that it runs as, and lets nobody else in as Mathesar's role; a server of yours wants the one in `database.password-file`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Of this database
    ///
    /// Unless given: in the private cluster the one for your tables, on a server of yours the one that `database.url` names.
    #[arg(long, value_name = "NAME")]
    database: Option<String>,

    /// Connect first, as Mathesar would
    ///
    /// What keeps Mathesar from the server is told with its cure: nobody listens, an unknown host, the password, a missing role or database,
    /// missing rights, a version that is not supported, TLS. Exits with 4 then, or with 3 where the private cluster does not run.
    #[arg(long)]
    test: bool,
}

pub(crate) fn run(args: &Args, context: &Context) -> anyhow::Result<()> {
    if args.test {
        crate::user::ordinary(&context.layout, &context.environment)?;
    }
    let installation = context.installation(false)?;
    let database = args.database.as_deref();
    let url = match External::of(&installation.config)? {
        Some(mut external) => {
            if let Some(database) = database {
                database.clone_into(&mut external.address.database);
            }
            if args.test {
                let range = &installation.pinned.postgresql;
                let facts = external.test(&client(&installation)?, &installation.secrets, None, range)?;
                let encrypted = if facts.encrypted { ", encrypted" } else { "" };
                let place = external.address.place();
                verb("Reached", format_args!("PostgreSQL {} at {place}{encrypted}", facts.version));
                if let Some(path) = readable_by_others(&installation) {
                    let quoted = crate::cure::path(&path);
                    let path = path.display();
                    note(format_args!("others can read the password in {path}: `chmod 600 {quoted}`"));
                }
                if facts.createrole && !crate::database::contains_role_makers(facts.major) {
                    note(format_args!(
                        "before PostgreSQL 16 a role that may make roles can run programs as the server's OS user; take a server of 16 \
                         or newer, or: `ALTER ROLE {} NOCREATEROLE`",
                        crate::database::identifier(&external.address.role)
                    ));
                }
                if !facts.createdb || !facts.createrole {
                    note("the role may not create databases or roles: Mathesar's screens for them will fail");
                }
            }
            external.url(None)
        }
        None if args.test => {
            let cluster = running_cluster(&installation)?;
            let named = database.is_some();
            let database = database.unwrap_or(&cluster.settings.user_database);
            let version = cluster
                .query(database, "SHOW server_version;")
                .map_err(|failure| not_let_in(&failure, database, named))?;
            let version = version.split_whitespace().next().unwrap_or_default();
            verb("Reached", format_args!("PostgreSQL {version} on its socket"));
            cluster.url(database)
        }
        None => {
            let settings = crate::database::Settings::of(&installation.config);
            crate::database::private_url(
                &installation.layout.database_socket,
                database.unwrap_or(&settings.user_database),
            )
        }
    };
    print(&format!("{url}\n"))
}

fn readable_by_others(installation: &Installation) -> Option<std::path::PathBuf> {
    let path = installation.config.path("database.password-file")?;
    (path.metadata().ok()?.permissions().mode() & 0o007 != 0).then_some(path)
}

fn not_let_in(failure: &Failure, database: &str, named: bool) -> Failure {
    let said = std::error::Error::source(failure).map(ToString::to_string).unwrap_or_default();
    let said = said.rsplit_once("FATAL:").map_or(said.as_str(), |(_, why)| why).trim().to_owned();
    Failure::new(format!("the private cluster does not let Mathesar's role into `{database}`"))
        .cause(said)
        .exit(Exit::Refused)
        .help(match named {
            true => "see which databases there are: `mathesar db status`",
            false => "make what is missing: `mathesar db init`",
        })
}
