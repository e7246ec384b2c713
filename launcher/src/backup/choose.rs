//! Which archive a person means.

use std::fs;
use std::path::{Path, PathBuf};

use super::archive;
use super::create;
use crate::failure::{Exit, Failure};
use crate::installation::Installation;

/// The folders where archives are looked for.
pub fn folders(installation: &Installation) -> Vec<PathBuf> {
    let mut folders = vec![create::folder(installation), installation.layout.state.join("backups")];
    folders.dedup();
    folders
}

/// A file, or its name in one of the folders; without a name the newest that can be read.
pub fn choose(installation: &Installation, name: Option<&Path>, current: &Path) -> Result<PathBuf, Failure> {
    let Some(name) = name else { return newest(installation) };
    let places = folders(installation).into_iter().map(|folder| folder.join(name));
    let mut all = std::iter::once(current.join(name)).chain(places);
    all.find(|path| path.is_file()).ok_or_else(|| {
        Failure::new(format!("there is no backup {}", name.display()))
            .exit(Exit::Refused)
            .help("`mathesar backup list` names those that are there")
    })
}

fn newest(installation: &Installation) -> Result<PathBuf, Failure> {
    let found = folders(installation)
        .into_iter()
        .flat_map(|folder| fs::read_dir(folder).into_iter().flatten().flatten());
    let archives = found.map(|entry| entry.path()).filter(|path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        name.ends_with(".tar.zst") && !name.starts_with('.')
    });
    let dated = archives.filter_map(|path| {
        let manifest = archive::read_manifest(&path).ok()?;
        // Of one second, the later number.
        let order = (manifest.created, path.as_os_str().len(), path.clone());
        Some((order, path))
    });
    dated.max().map(|(_, path)| path).ok_or_else(|| {
        Failure::new("there is no backup yet").exit(Exit::Refused).help("make one: `mathesar backup create`")
    })
}
