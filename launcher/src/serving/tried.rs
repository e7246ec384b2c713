//! What a restart would fail at, found out while the present one still serves.

use crate::application;
use crate::database::External;
use crate::failure::Failure;
use crate::progress::Silent;
use crate::server::Listener;
use crate::steps::{self, Step, World};

/// A new gunicorn beside the old one.
pub(super) fn web_server(now: &World) -> Result<(), Failure> {
    files(now)?;
    // It would wait for the database, and so would its visitors.
    match External::of(&now.installation.config)? {
        Some(_) => server_of_theirs(now),
        None => Ok(()),
    }
}

/// Everything, down and up again. `now` has the settings as they are now.
pub(super) fn everything(now: &World, listener: &Listener) -> Result<(), Failure> {
    let installation = &now.installation;
    if now.listen.is_none() {
        listener.could_be(installation.listen())?;
    }
    steps::refusal(installation)?;
    files(now)?;
    // The next one makes its sockets there.
    let run = &installation.layout.run;
    rustix::fs::access(run, rustix::fs::Access::WRITE_OK)
        .map_err(|cause| Failure::io("write to", run, cause.into()))?;
    // Compared with the one that the data were made with.
    installation.secret_key()?;
    match installation.is_external() {
        true => server_of_theirs(now),
        false => match installation.existing_cluster()? {
            // The databases are looked for in the server that runs, unless that is somebody else's.
            Some(cluster) if cluster.is_ready() => {
                cluster.socket_folder()?;
                cluster.refuse_other_names()?;
                // Others may be going to be let in.
                now.work(Step::Admin, &Silent).map(drop)
            }
            _ => Ok(()),
        },
    }
}

fn files(now: &World) -> Result<(), Failure> {
    now.installation.make_media()?;
    application::files_can_be_read(&now.installation)
}

fn server_of_theirs(now: &World) -> Result<(), Failure> {
    // Which psql there is was not asked where the database is a private one as yet.
    now.work(Step::Postgresql, &Silent)?;
    now.work(Step::Database, &Silent).map(drop)
}
