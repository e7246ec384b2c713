//! The backup's settings: they count here where there are none yet and they fit this machine; else they are laid beside.

use std::path::Path;

use crate::config::{self, Config, Outside};
use crate::failure::Failure;
use crate::installation::Installation;
use crate::layout::Scope;
use crate::transaction;

/// Whether somebody has set anything here. In system mode mathesar.conf is the package's, and the service writes nothing in /etc.
pub(super) fn are_here(installation: &Installation) -> bool {
    let layout = &installation.layout;
    layout.scope == Scope::System || config::files(layout).0.iter().any(|path| path.exists())
}

/// The installation as it will be, and whether by the settings in this unpacked backup.
pub(super) fn in_force(installation: &Installation, folder: &Path) -> Result<(Installation, bool), Failure> {
    let mut there = installation.again()?;
    let taken = !are_here(installation);
    match taken.then(|| of_backup(installation, folder)).flatten() {
        None => Ok((there, false)),
        Some(config) => {
            there.config = config;
            Ok((there, true))
        }
    }
}

/// None: it has none, or they load with mistakes, as those of another machine where other paths are right.
pub(super) fn of_backup(installation: &Installation, folder: &Path) -> Option<Config> {
    let folder = folder.join("config");
    let mut files = vec![folder.join("mathesar.conf")];
    files.extend(transaction::drop_ins(&folder.join("conf.d")));
    files.iter().any(|path| path.is_file()).then_some(())?;
    let outside = Outside {
        environment: installation.environment.clone(),
        service_variables: installation.service_variables,
        flags: &[],
    };
    let loaded = config::load_files(&files, &outside);
    let missing =
        !config::missing_files(&loaded.config).is_empty() || !config::unfit_here(&loaded.config).is_empty();
    let config = loaded.accept().ok()?;
    // Of another machine; it would be made here, where nobody expects it.
    let media = config.path("media.path").is_none_or(|folder| folder.is_dir());
    (!missing && media && config.text("database.url").is_none()).then_some(config)
}
