//! Who can read the secrets, and whether the key is the one that the data were made with.

use std::path::{Path, PathBuf};

use super::{Check, Entry, Group, Look};
use crate::config::{Origin, SETTINGS, Value};
use crate::secrets::lost;

pub(super) static SECRETS: Entry = Entry {
    id: "secrets",
    group: Group::Places,
    title: "secrets",
    doc: "The secrets, files that hold passwords, and settings files with a secret in them can be read by their owner alone.",
};
pub(super) static KEY: Entry = Entry {
    id: "secret-key",
    group: Group::Places,
    title: "secret key",
    doc: "The key that encrypts stored database passwords is there, and is the one that the data were made with (its fingerprint is kept).",
};

pub(super) const ENTRIES: &[&Entry] = &[&SECRETS, &KEY];

/// How the key is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Key {
    /// Fits the fingerprint; where there is none yet, it is the first.
    Fits,
    /// Neither key nor fingerprint: before the first start.
    NotYet,
    /// A fingerprint, and no key.
    Gone,
    /// Neither, and data that were made with one.
    Lost,
    Another,
    /// Somebody's file, which cannot be read or holds no key.
    Unreadable(String),
}

#[derive(Debug, Clone)]
pub(super) struct Facts {
    /// Files with a secret that others can read, with their mode.
    pub exposed: Vec<(PathBuf, u32)>,
    pub folder: PathBuf,
    /// Its mode; none: it does not exist.
    pub folder_mode: Option<u32>,
    /// Files among the secrets that belong to somebody else.
    pub foreign: Vec<PathBuf>,
    pub key: Key,
    /// Whether the key comes from the settings.
    pub configured: bool,
}

impl Facts {
    pub fn gather(look: &Look) -> Facts {
        let installation = &look.installation;
        let secrets = &installation.secrets;
        let folder = secrets.folder().to_owned();
        let mut exposed: Vec<(PathBuf, u32)> = secrets
            .exposed()
            .into_iter()
            .filter_map(|path| Some((mode(&path)?, path)))
            .map(|(m, p)| (p, m))
            .collect();
        exposed.extend(files_of_settings(look).into_iter().filter_map(|path| {
            let mode = mode(&path)?;
            (mode & 0o004 != 0).then_some((path, mode))
        }));
        exposed.sort();
        exposed.dedup();
        let own = installation.environment.uid;
        let entries = std::fs::read_dir(&folder).into_iter().flatten().flatten();
        let foreign = entries.filter(|entry| {
            use std::os::unix::fs::MetadataExt as _;
            entry.metadata().is_ok_and(|meta| meta.uid() != own)
        });
        Facts {
            exposed,
            folder_mode: mode(&folder),
            foreign: foreign.map(|entry| entry.path()).collect(),
            folder,
            key: key(look),
            configured: installation.set_by_someone("app.secret-key")
                || installation.set_by_someone("app.secret-key-file"),
        }
    }
}

fn mode(path: &Path) -> Option<u32> {
    use std::os::unix::fs::MetadataExt as _;
    std::fs::metadata(path).ok().map(|meta| meta.mode() & 0o7777)
}

/// Files that hold a secret because a setting says so: those that it names, and those in which it stands itself.
fn files_of_settings(look: &Look) -> Vec<PathBuf> {
    let config = &look.installation.config;
    let names = [
        "database.password-file",
        "app.secret-key-file",
        "login.sso-file",
        "file-storage.config-file",
        "env-file",
    ];
    let mut files: Vec<PathBuf> = names.iter().filter_map(|name| config.path(name)).collect();
    let holds_password =
        |name: &str| config.text(name).is_some_and(|url| crate::config::without_password(url) != url);
    for setting in SETTINGS {
        let secret = setting.secret && *config.get(setting.name) != Value::Unset;
        if let (true, Origin::File { path, .. }) =
            (secret || holds_password(setting.name), config.origin(setting.name))
        {
            files.push(path);
        }
    }
    files
}

fn key(look: &Look) -> Key {
    let told = |failure: crate::failure::Failure| Key::Unreadable(failure.to_string());
    let known = match look.installation.secrets.key_fingerprint() {
        Ok(known) => known,
        Err(failure) => return told(failure),
    };
    match (look.key(), known) {
        (Err(failure), _) => told(failure),
        (Ok(None), None) if look.installation.has_lost_key().unwrap_or(false) => Key::Lost,
        (Ok(None), None) => Key::NotYet,
        (Ok(None), Some(_)) => Key::Gone,
        (Ok(Some(_)), None) => Key::Fits,
        (Ok(Some(key)), Some(known)) => match crate::secrets::fingerprint(&key) == known {
            true => Key::Fits,
            false => Key::Another,
        },
    }
}

pub(super) fn checks(facts: &Facts) -> Vec<Check> {
    vec![secrets(facts), secret_key(facts)]
}

fn secrets(facts: &Facts) -> Check {
    let (folder, quoted) = (facts.folder.display(), crate::cure::path(&facts.folder));
    if !facts.exposed.is_empty() {
        let shown = facts
            .exposed
            .iter()
            .map(|(path, mode)| format!("{} can be read by others (mode {mode:o})", path.display()));
        let check = SECRETS.problem(shown.collect::<Vec<_>>().join("\n"));
        return facts.exposed.iter().fold(check, |check, (path, _)| {
            check.cure(format!(
                "`chmod go-rwx {}`; whoever may have read it knows it",
                crate::cure::path(path)
            ))
        });
    }
    if let Some(path) = facts.foreign.first() {
        return SECRETS
            .problem(format!("{} belongs to another user", path.display()))
            .cure(format!("`ls -l {quoted}`, then `sudo chown`"));
    }
    match facts.folder_mode {
        Some(mode) if mode & 0o077 != 0 => SECRETS
            .warning(format!("others can look into {folder} (mode {mode:o})"))
            .cure(format!("`chmod 700 {quoted}`")),
        Some(_) => SECRETS.ok("readable by their owner alone"),
        None => SECRETS.not_checked("there are none yet: `mathesar start`"),
    }
}

fn secret_key(facts: &Facts) -> Check {
    let lost = |problem: String| {
        lost::cures(&facts.folder).into_iter().fold(KEY.problem(problem).cause(lost::CAUSE), Check::cure)
    };
    match &facts.key {
        Key::Fits => KEY.ok("the one that the data were made with"),
        Key::NotYet => KEY.not_checked("there is none yet: `mathesar start`"),
        Key::Gone => lost(format!("it is gone from {}", facts.folder.display())),
        Key::Lost => lost(format!("it is gone from {}, with its fingerprint", facts.folder.display())),
        Key::Another if facts.configured => KEY
            .problem("the settings name another than the data were made with")
            .cause(lost::CAUSE)
            .cure("see where it comes from: `mathesar config show --origin app`"),
        Key::Another => lost("it is another than the data were made with".to_owned()),
        Key::Unreadable(why) => {
            KEY.problem(why.clone()).cure("see where it comes from: `mathesar config show --origin app`")
        }
    }
}
