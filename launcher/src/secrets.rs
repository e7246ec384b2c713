//! Secrets: files of mode 0600 in `state/secrets`, or systemd's credentials. Made once, never overwritten, never printed.

pub(crate) mod lost;

use std::fmt;
use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{ErrorKind, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use crate::careful;
use crate::failure::{Exit, Failure};
use crate::layout::{Environment, Layout};
use crate::process::User;

pub const SECRET_KEY: &str = "secret-key";
const NO_LINK: i32 = rustix::fs::OFlags::NOFOLLOW.bits().cast_signed();
pub(crate) const FINGERPRINT: &str = "secret-key.fingerprint";

/// A text that no message, log or debug output ever shows.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    pub fn new(text: impl Into<String>) -> Secret {
        Secret(text.into())
    }

    /// For the few places that hand it on: a 0600 file, a child's input or environment.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(***)")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// One installation's secrets.
#[derive(Debug, Clone)]
pub struct Secrets {
    folder: PathBuf,
    credentials: Option<PathBuf>,
    owner: Option<User>,
}

impl Secrets {
    /// `owner`: who the files are to belong to, where that is another than the caller (root preparing a service).
    pub fn new(folder: impl Into<PathBuf>, credentials: Option<PathBuf>, owner: Option<User>) -> Secrets {
        Secrets { folder: folder.into(), credentials, owner }
    }

    pub fn of(layout: &Layout, environment: &Environment, owner: Option<User>) -> Secrets {
        let credentials = environment.get("CREDENTIALS_DIRECTORY").map(PathBuf::from);
        Secrets::new(layout.state.join("secrets"), credentials, owner)
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Where a secret is, or would be: a systemd credential of its name goes first.
    pub fn path(&self, name: &str) -> PathBuf {
        let credential = self.credentials.as_ref().map(|folder| folder.join(name));
        credential.filter(|path| path.is_file()).unwrap_or_else(|| self.folder.join(name))
    }

    pub fn read(&self, name: &str) -> Result<Option<Secret>, Failure> {
        read_file(&self.path(name))
    }

    /// The secret of this name; made from the system's random numbers where there is none.
    pub fn ensure(&self, name: &str) -> Result<Secret, Failure> {
        if let Some(secret) = self.read(name)? {
            return Ok(secret);
        }
        self.create(name, &random()?)?;
        // Another process may have been faster: what the file holds is what counts.
        self.read(name)?.ok_or_else(|| Failure::new(format!("{} vanished", self.path(name).display())))
    }

    /// Keeps one that is known to open something, where there is none of its name.
    pub fn keep(&self, name: &str, secret: &Secret) -> Result<(), Failure> {
        self.create(name, secret.expose())
    }

    /// As `ensure`, as a `one_time_password`.
    pub fn ensure_short(&self, name: &str) -> Result<Secret, Failure> {
        if let Some(secret) = self.read(name)? {
            return Ok(secret);
        }
        self.create(name, one_time_password()?.expose())?;
        self.read(name)?.ok_or_else(|| Failure::new(format!("{} vanished", self.path(name).display())))
    }

    /// Removes one of ours that opens nothing any more.
    pub fn forget(&self, name: &str) -> Result<(), Failure> {
        let path = self.folder.join(name);
        match fs::remove_file(&path) {
            Err(cause) if cause.kind() != ErrorKind::NotFound => Err(Failure::io("remove", &path, cause)),
            _ => Ok(()),
        }
    }

    /// The key that encrypts stored database passwords: the configured one, or ours. Its fingerprint is kept, and another
    /// key, or a new one after a loss, is refused: every stored connection would be lost with it.
    pub fn secret_key(&self, configured: Option<&Secret>) -> Result<Secret, Failure> {
        let key = match self.known_key(configured)? {
            Some(key) => key,
            None => self.ensure(SECRET_KEY)?,
        };
        if self.read(FINGERPRINT)?.is_none() {
            self.create(FINGERPRINT, &fingerprint(&key))?;
        }
        Ok(key)
    }

    /// The same, making nothing: none where there is none yet.
    pub fn known_key(&self, configured: Option<&Secret>) -> Result<Option<Secret>, Failure> {
        let known = self.read(FINGERPRINT)?;
        let key = match configured {
            Some(key) => key.clone(),
            None => match (self.own_key(known.is_some())?, &known) {
                (Some(key), _) => key,
                (None, Some(_)) => {
                    let path = self.path(SECRET_KEY);
                    return Err(self.lost(Failure::new(format!("the secret key {} is gone", path.display()))));
                }
                (None, None) => return Ok(None),
            },
        };
        match known {
            Some(known) if known.expose() != fingerprint(&key) => {
                let another = Failure::new(
                    "this secret key is another than the one that Mathesar's data were made with",
                );
                Err(match configured {
                    Some(_) => another.exit(Exit::Refused).cause(lost::CAUSE).help(
                        "put the former key back: see `mathesar config show --origin app` for where it comes from",
                    ),
                    None => self.lost(another),
                })
            }
            _ => Ok(Some(key)),
        }
    }

    pub(crate) fn lost(&self, failure: Failure) -> Failure {
        let failure = failure.exit(Exit::Refused).cause(lost::CAUSE);
        lost::cures(&self.folder).into_iter().fold(failure, Failure::help)
    }

    /// The file of ours; one that holds no key says what to do about it.
    fn own_key(&self, known: bool) -> Result<Option<Secret>, Failure> {
        let path = self.path(SECRET_KEY);
        read(&path)?.map_or(Ok(None), |text| match one_line(&text) {
            Some(key) => Ok(Some(key)),
            None => {
                let what = if text.trim().is_empty() { "is empty" } else { "must hold one line: the key" };
                let failure =
                    Failure::new(format!("the secret key {} {what}", path.display())).exit(Exit::Refused);
                Err(match known {
                    true => self.lost(failure),
                    false => failure.help(format!(
                        "nothing was encrypted with it yet; let a new one be made: `rm {}`",
                        path.display()
                    )),
                })
            }
        })
    }

    /// Neither a key of ours nor the fingerprint of any is there.
    pub(crate) fn is_without_key(&self) -> Result<bool, Failure> {
        Ok(self.read(FINGERPRINT)?.is_none() && !self.path(SECRET_KEY).exists())
    }

    /// The fingerprint of the key that the data were made with.
    pub(crate) fn key_fingerprint(&self) -> Result<Option<String>, Failure> {
        Ok(self.read(FINGERPRINT)?.map(|kept| kept.expose().to_owned()))
    }

    /// Files that others may read.
    pub fn exposed(&self) -> Vec<PathBuf> {
        let Ok(entries) = fs::read_dir(&self.folder) else { return Vec::new() };
        let paths = entries.flatten().map(|entry| entry.path());
        let open = |path: &PathBuf| {
            fs::symlink_metadata(path).is_ok_and(|meta| meta.is_file() && meta.mode() & 0o077 != 0)
        };
        paths.filter(open).collect()
    }

    /// Takes such files back from everybody else, and says what has to be told of each: it may have been read.
    pub fn close_exposed(&self) -> Vec<String> {
        let close = |path: &PathBuf| {
            // By a handle: a name may be a link by now.
            let file = OpenOptions::new().read(true).custom_flags(NO_LINK).open(path)?;
            file.set_permissions(Permissions::from_mode(0o600))
        };
        let tell = |path: PathBuf| match close(&path) {
            Ok(()) => format!(
                "{0} could be read by others, and is its owner's alone again; whoever has read it knows it",
                path.display()
            ),
            Err(cause) => format!(
                "{0} can be read by others, and that cannot be changed ({cause}): `sudo chmod 600 {0}`",
                path.display()
            ),
        };
        self.exposed().into_iter().map(tell).collect()
    }

    /// Replaces a file of ours that is made from secrets, such as a PGPASSFILE, where its content differs.
    pub fn derived(&self, name: &str, content: &str) -> Result<PathBuf, Failure> {
        let path = self.folder.join(name);
        let same = fs::read_to_string(&path).is_ok_and(|now| now == content)
            && fs::metadata(&path).is_ok_and(|meta| meta.mode() & 0o777 == 0o600);
        if !same {
            let beside = self.write_beside(name, content)?;
            fs::rename(&beside, &path).map_err(|cause| Failure::io("write", &path, cause))?;
            sync(&self.folder)?;
        }
        Ok(path)
    }

    /// Whole or not at all, and never over a file that is there: a link, unlike a rename, replaces nothing.
    fn create(&self, name: &str, content: &str) -> Result<(), Failure> {
        let path = self.folder.join(name);
        let beside = self.write_beside(name, content)?;
        let linked = fs::hard_link(&beside, &path);
        let _ = fs::remove_file(&beside);
        match linked {
            Err(cause) if cause.kind() != ErrorKind::AlreadyExists => Err(Failure::io("write", &path, cause)),
            _ => sync(&self.folder),
        }
    }

    fn write_beside(&self, name: &str, content: &str) -> Result<PathBuf, Failure> {
        private_folder(&self.folder, self.owner)?;
        let beside = self.folder.join(format!(".{name}.{}", &random()?[..12]));
        let write = || {
            let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside)?;
            if let Some(owner) = self.owner {
                std::os::unix::fs::fchown(&file, Some(owner.uid), Some(owner.gid))?;
            }
            file.write_all(content.as_bytes())?;
            file.sync_all()
        };
        match write() {
            Ok(()) => Ok(beside),
            Err(cause) => {
                let _ = fs::remove_file(&beside);
                Err(Failure::io("write", &beside, cause))
            }
        }
    }
}

fn read(path: &Path) -> Result<Option<String>, Failure> {
    let no_text = |_| std::io::Error::new(ErrorKind::InvalidData, "it is no text");
    match careful::read_named(path).and_then(|bytes| String::from_utf8(bytes).map_err(no_text)) {
        Ok(text) => Ok(Some(text)),
        Err(cause) if cause.kind() == ErrorKind::NotFound => Ok(None),
        // Not a fault of ours: nothing that could be read as a secret lies there.
        Err(cause) if cause.kind() == ErrorKind::InvalidData => Err(Failure::io("read", path, cause)
            .exit(Exit::Refused)
            .help(format!("put a file there that holds the secret in one line: `ls -l {}`", path.display()))),
        Err(cause) => Err(Failure::io("read", path, cause)),
    }
}

/// A person's file with a secret and nothing else: the line end that editors add is none of it.
pub fn read_file(path: &Path) -> Result<Option<Secret>, Failure> {
    let Some(text) = read(path)? else { return Ok(None) };
    let secret = one_line(&text).ok_or_else(|| {
        Failure::new(format!("{} must hold one line: the secret", path.display()))
            .exit(Exit::Refused)
            .help(format!("see how many it has: `wc -l {}`", crate::cure::path(path)))
    })?;
    Ok(Some(secret))
}

/// A text of one line, without its end.
pub fn one_line(text: &str) -> Option<Secret> {
    let text = text.strip_suffix('\n').map_or(text, |text| text.strip_suffix('\r').unwrap_or(text));
    (!text.is_empty() && !text.contains(['\n', '\r', '\0'])).then(|| Secret::new(text))
}

/// Makes a folder for its owner alone, and what is missing above it.
pub(crate) fn private_folder(folder: &Path, owner: Option<User>) -> Result<(), Failure> {
    let failed = |cause| Failure::io("create", folder, cause);
    match fs::symlink_metadata(folder) {
        Ok(meta) if meta.is_dir() => return Ok(()),
        // Root never follows a link that the service's user has put there.
        Ok(_) if owner.is_some() => return Err(failed(ErrorKind::NotADirectory.into())),
        _ => {}
    }
    if let Some(parent) = folder.parent().filter(|parent| !parent.exists()) {
        private_folder(parent, owner)?;
    }
    match DirBuilder::new().mode(0o700).create(folder) {
        Ok(()) => match owner {
            Some(owner) => {
                std::os::unix::fs::lchown(folder, Some(owner.uid), Some(owner.gid)).map_err(failed)
            }
            None => Ok(()),
        },
        Err(cause) if cause.kind() == ErrorKind::AlreadyExists && folder.is_dir() => Ok(()),
        Err(cause) => Err(failed(cause)),
    }
}

pub(crate) fn sync(folder: &Path) -> Result<(), Failure> {
    File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(|cause| Failure::io("write", folder, cause))
}

/// 256 bits of the system's, as hexadecimal digits: no quoting anywhere can spoil them.
fn random() -> Result<String, Failure> {
    let path = Path::new("/dev/urandom");
    let mut bytes = [0_u8; 32];
    File::open(path)
        .and_then(|mut file| file.read_exact(&mut bytes))
        .map_err(|cause| Failure::io("read", path, cause))?;
    Ok(hex(&bytes))
}

/// One that no file holds yet.
pub fn fresh() -> Result<Secret, Failure> {
    random().map(Secret::new)
}

/// For a password that is changed at its first use: 80 bits, short enough to be typed. Its dashes help there, and no
/// validator can find it "entirely numeric".
pub fn one_time_password() -> Result<Secret, Failure> {
    let digits = random()?;
    Ok(Secret::new([&digits[..5], &digits[5..10], &digits[10..15], &digits[15..20]].join("-")))
}

/// What is kept of a key, to know it again.
pub(crate) fn fingerprint(key: &Secret) -> String {
    hex(&Sha256::new().chain_update("mathesar secret key\0").chain_update(key.expose()).finalize())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
#[path = "secrets_tests.rs"]
mod tests;
