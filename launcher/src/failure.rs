//! Errors that end a command: what a person reads, and the exit code.

pub(crate) mod denied;

use std::error::Error;
use std::fmt;
use std::io;
use std::path::Path;

use crate::cure;

/// How a command ended, as scripts see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    Failed = 1,
    Usage = 2,
    NotRunning = 3,
    Refused = 4,
}

impl Exit {
    /// How another process of this program has ended, by its exit code; not 0.
    pub fn of_code(code: i64) -> Exit {
        match code {
            2 => Exit::Usage,
            3 => Exit::NotRunning,
            4 => Exit::Refused,
            _ => Exit::Failed,
        }
    }
}

/// A message in lower case without a full stop, its cause, and `help:` lines that hold a command where one exists.
#[derive(Debug)]
pub struct Failure {
    pub exit: Exit,
    message: String,
    help: Vec<String>,
    cause: Option<Box<dyn Error + Send + Sync>>,
    /// Problems of a configuration, rendered already: printed instead of the message.
    rendered: bool,
}

impl Failure {
    pub fn new(message: impl Into<String>) -> Failure {
        Failure {
            exit: Exit::Failed,
            message: message.into(),
            help: Vec::new(),
            cause: None,
            rendered: false,
        }
    }

    /// `cannot read /etc/mathesar/mathesar.conf`, caused by what the system said.
    pub fn io(verb: &str, path: &Path, cause: io::Error) -> Failure {
        let denied = (cause.kind() == io::ErrorKind::PermissionDenied).then(|| denied::help(path)).flatten();
        let failure = Failure::new(format!("cannot {verb} {}", path.display())).cause(cause);
        match denied {
            Some(help) => failure.help(help),
            None => failure,
        }
    }

    /// What is wrong stands above in full; only the exit code is left to tell.
    pub fn told(exit: Exit, text: String) -> Failure {
        Failure { exit, message: text, help: Vec::new(), cause: None, rendered: true }
    }

    /// In one line with its causes: for a note, where what happened is no failure of the whole.
    pub fn whole(&self) -> String {
        let (mut text, mut next) = (self.message.clone(), self.source());
        while let Some(cause) = next {
            let said: Vec<String> = cause.to_string().lines().map(|line| line.trim().to_owned()).collect();
            text.push_str(&format!(": {}", said.join(" ")));
            next = cause.source();
        }
        text
    }

    pub fn exit(mut self, exit: Exit) -> Failure {
        self.exit = exit;
        self
    }

    pub fn help(mut self, help: impl Into<String>) -> Failure {
        self.help.push(help.into());
        self
    }

    pub fn helps(&self) -> &[String] {
        &self.help
    }

    pub fn cause(mut self, cause: impl Into<Box<dyn Error + Send + Sync>>) -> Failure {
        self.cause = Some(cause.into());
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Error for Failure {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.cause.as_deref().map(|cause| cause as _)
    }
}

/// Where a disk is full, or nearly so: what to say about it. Programs that fail because of it often say something else.
pub fn little_room(folder: &Path) -> Option<String> {
    /// A segment of PostgreSQL's log.
    const LITTLE: u64 = 16 << 20;
    let found = folder.ancestors().find_map(|folder| rustix::fs::statvfs(folder).ok())?;
    let free = found.f_bavail.saturating_mul(found.f_frsize);
    (free < LITTLE).then(|| format!("only {} kB are free on the disk of {}", free / 1000, folder.display()))
}

/// The help where a program's words, or the disk itself, tell that there was no room.
pub fn look_for_room(said: &str, folder: &Path) -> Option<String> {
    // A write may also end in the middle; then PostgreSQL names no error of the system.
    const WORDS: &[&str] = &["No space left", "wrote only", "Check free disk space", "Disk quota exceeded"];
    // What was half-made may be gone already, and its room free again.
    let room = little_room(folder);
    (room.is_some() || WORDS.iter().any(|words| said.contains(words))).then(|| {
        let room = room.map(|room| format!("{room}; ")).unwrap_or_default();
        format!("{room}look for room: `df -h {}`", cure::path(folder))
    })
}

/// The exit code of an error, and the text for standard error.
pub fn report(error: &anyhow::Error) -> (Exit, String) {
    use anstyle::{AnsiColor, Style};
    const ERROR: Style = AnsiColor::Red.on_default().bold();
    const HELP: Style = AnsiColor::Cyan.on_default().bold();

    let failure = error.downcast_ref::<Failure>();
    if let Some(failure) = failure.filter(|failure| failure.rendered) {
        return (failure.exit, cure::addressed_helps(&failure.message).into_owned());
    }
    // Names of files and words of programs stand in it.
    let harmless = |text: &dyn fmt::Display| crate::careful::harmless(&cure::addressed(&text.to_string()));
    let mut text = format!("{ERROR}error{ERROR:#}: {}\n", harmless(&error));
    for cause in error.chain().skip(1) {
        text.push_str(&format!("  caused by: {}\n", harmless(&cause)));
    }
    for help in failure.map(|failure| failure.help.as_slice()).unwrap_or_default() {
        text.push_str(&format!("{HELP}help{HELP:#}: {}\n", harmless(&help)));
    }
    (failure.map_or(Exit::Failed, |failure| failure.exit), text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_write_that_ends_in_the_middle_tells_of_a_full_disk() {
        let folder = tempfile::tempdir().unwrap();
        let help = |said| look_for_room(said, folder.path());
        if little_room(folder.path()).is_some() {
            return println!("not run: the disk is full");
        }
        for said in [
            "FATAL:  could not write to file \"pg_wal/xlogtemp.7\": No space left on device",
            "FATAL:  could not extend file \"base/1/1255\": wrote only 4096 of 8192 bytes at block 68",
            "could not write block 5: wrote only 100 of 8192 bytes",
        ] {
            assert!(help(said).unwrap().contains(&format!("`df -h {}`", folder.path().display())));
        }
        assert_eq!(help("initdb: error: invalid locale settings"), None);
    }
}
