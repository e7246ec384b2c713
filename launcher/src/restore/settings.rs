//! The backup's settings: they count here where there are none yet and they fit this machine; else they are laid beside.

use std::path::Path;

use super::media;
use crate::config::{self, Config, Outside, Severity};
use crate::failure::Failure;
use crate::installation::Installation;
use crate::layout::Scope;
use crate::transaction;

/// Whether somebody has set anything here. In system mode mathesar.conf is the package's, and the service writes nothing in /etc.
pub(super) fn are_here(installation: &Installation) -> bool {
    own(installation).is_some()
}

/// What comes of the backup's settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Settings {
    /// It has none.
    None,
    InForce,
    /// Why they are laid beside those that are in force.
    Beside(String),
}

/// What a backup has brought.
pub(super) enum Brought {
    Nothing,
    Fitting(Config),
    /// They load with mistakes, for example, as those of another machine where other paths are right.
    Unfit(String),
}

/// The installation as it will be, and what comes of the settings in this unpacked backup.
pub(super) fn in_force(
    installation: &Installation,
    folder: &Path,
) -> Result<(Installation, Settings), Failure> {
    let mut there = installation.again()?;
    let settings = match (of_backup(installation, folder), own(installation)) {
        (Brought::Nothing, _) => Settings::None,
        (_, Some(why)) | (Brought::Unfit(why), None) => Settings::Beside(why),
        (Brought::Fitting(config), None) => {
            there.config = config;
            Settings::InForce
        }
    };
    Ok((there, settings))
}

/// Why others than the present ones would not be taken, whatever they are.
fn own(installation: &Installation) -> Option<String> {
    let layout = &installation.layout;
    if layout.scope == Scope::System {
        return Some(format!("{} is written by nobody but you", layout.config.display()));
    }
    let files = config::files(layout).0;
    let path = files.iter().find(|path| path.exists())?;
    Some(format!("there are settings here already ({}), which stay", path.display()))
}

pub(super) fn of_backup(installation: &Installation, folder: &Path) -> Brought {
    let (of, folder) = (folder, folder.join("config"));
    if !folder.is_dir() {
        return Brought::Nothing;
    }
    let mut files = vec![folder.join("mathesar.conf")];
    files.extend(transaction::drop_ins(&folder.join("conf.d")));
    if !files.iter().any(|path| path.is_file()) {
        return Brought::Unfit("there is no mathesar.conf among them".to_owned());
    }
    let outside = Outside {
        environment: installation.environment.clone(),
        service_variables: installation.service_variables,
        flags: &[],
    };
    let loaded = config::load_files(&files, &outside);
    let config = &loaded.config;
    let errors = loaded.problems.iter().filter(|problem| problem.severity == Severity::Error);
    let mut wrong: Vec<String> = errors.map(|problem| problem.message.clone()).collect();
    wrong.extend(config::missing_files(config).into_iter().map(|problem| problem.message));
    wrong.extend(config::unfit_here(config).into_iter().map(|problem| problem.message));
    // Of another machine; it would be made here, where nobody expects it.
    if let Some(media) = config.path("media.path").filter(|folder| !folder.is_dir()) {
        wrong.push(format!("`media.path` names {}, which is no folder here", media.display()));
    } else if let Some(media) = config.path("media.path")
        && !media::is_of(&media, &of.join("media"))
    {
        // Somebody may have made the archive so that its files come to lie among other programs'.
        wrong
            .push(format!("`media.path` names {}, where other files lie than the backup's", media.display()));
    }
    if config.text("database.url").is_some() {
        wrong.push("`database.url` names a server of your own".to_owned());
    }
    wrong.dedup();
    if wrong.is_empty() {
        return Brought::Fitting(loaded.config);
    }
    let wrong = wrong.join(", ").replace(char::is_control, " ");
    Brought::Unfit(format!("they do not fit this machine: {wrong}"))
}
