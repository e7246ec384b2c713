//! Where a new password comes from. Never from an argument: everybody on the machine could read it there.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use super::Context;
use crate::cure;
use crate::failure::{Exit, Failure};
use crate::prompt;
use crate::secrets::{Secret, one_line, one_time_password};
use crate::terminal::note;
use crate::user;

#[derive(Debug, clap::Args)]
pub(crate) struct Source {
    /// Read the password from this file, one line; `-` for standard input
    ///
    /// Without it and without --generate it is asked for, twice.
    #[arg(long, value_name = "FILE", conflicts_with = "generate")]
    password_file: Option<PathBuf>,

    /// Make up a one-time password and print it, alone, on standard output
    #[arg(long)]
    generate: bool,

    /// Have Mathesar ask for another password at the next login, where its release can (where not, that is said); --generate does so
    /// anyway
    #[arg(long)]
    one_time: bool,
}

/// The longest that Mathesar takes is shorter.
const LONGEST: u64 = 64 * 1024;

const STDIN: &str = "-";

impl Source {
    pub(super) fn is_one_time(&self) -> bool {
        self.one_time || self.generate
    }

    /// This process is who the installation belongs to, or becomes it. Root's files cannot be read by that user: they are
    /// opened before, and handed on as standard input.
    pub(super) fn ordinary(&self, context: &Context) -> Result<(), Failure> {
        let (layout, environment) = (&context.layout, &context.environment);
        match self.password_file.as_deref().filter(|path| *path != Path::new(STDIN)) {
            Some(path) if user::is_to_become_another(layout, environment) => {
                let file = open(path)?;
                let args = from_standard_input(std::env::args_os().skip(1));
                user::become_service_user(args, Some(file))
            }
            _ => user::ordinary(layout, environment),
        }
    }

    /// Somebody is going to be asked.
    pub(super) fn asks(&self) -> bool {
        let on_stdin = self.password_file.as_deref().is_none_or(|path| path == Path::new(STDIN));
        on_stdin && !self.generate && prompt::is_possible()
    }

    pub(super) fn obtain(&self, whose: &str) -> Result<Secret, Failure> {
        match self.password_file.as_deref() {
            Some(path) if path == Path::new(STDIN) => match prompt::is_possible() {
                true => prompt::new_password(whose),
                false => read(std::io::stdin().lock(), Path::new("standard input")),
            },
            Some(path) => read(open(path)?, path),
            None if self.generate => one_time_password(),
            None if prompt::is_possible() => prompt::new_password(whose),
            None => Err(Failure::new("there is no terminal to ask for the password on")
                .exit(Exit::Usage)
                .help(format!("have one made up: {}", same_command("--generate")))
                .help(format!(
                    "or hand it over in a file, one line: {}",
                    same_command("--password-file password.txt")
                ))),
        }
    }

    /// Prints a made-up one.
    pub(super) fn tell(&self, password: &Secret) -> anyhow::Result<()> {
        match self.generate {
            true => super::super::print(&format!("{}\n", password.expose())),
            false => Ok(()),
        }
    }
}

fn open(path: &Path) -> Result<File, Failure> {
    use std::os::unix::fs::FileTypeExt as _;
    // A shell's `<(…)` is one, and has its writer already.
    if path.metadata().is_ok_and(|found| found.file_type().is_fifo()) && !path.starts_with("/dev/fd") {
        note(format_args!("waiting for whoever writes the password into the pipe {}", path.display()));
    }
    File::open(path).map_err(|cause| Failure::io("read", path, cause))
}

fn read(source: impl std::io::Read, path: &Path) -> Result<Secret, Failure> {
    let mut bytes = Vec::new();
    source.take(LONGEST).read_to_end(&mut bytes).map_err(|cause| Failure::io("read", path, cause))?;
    let text = String::from_utf8(bytes).map_err(|_| {
        Failure::new(format!("what {} holds is no text in UTF-8", path.display())).exit(Exit::Refused)
    })?;
    one_line(&text).ok_or_else(|| {
        Failure::new(format!("{} must hold one line: the password", path.display())).exit(Exit::Refused)
    })
}

/// The command as it was typed, and what it lacks.
fn same_command(more: &str) -> String {
    let words = std::env::args_os().skip(1).map(|word| cure::quoted(&word.to_string_lossy()) + " ");
    format!("`mathesar {}{more}`", words.collect::<String>())
}

/// The same arguments, but for where the password is read from.
fn from_standard_input(args: impl Iterator<Item = OsString>) -> Vec<OsString> {
    let mut next = false;
    args.map(|arg| match std::mem::take(&mut next) {
        true => STDIN.into(),
        false => {
            next = arg == OsStr::new("--password-file");
            match arg.as_encoded_bytes().starts_with(b"--password-file=") {
                true => "--password-file=-".into(),
                false => arg,
            }
        }
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_place_of_the_password_is_exchanged() {
        let exchange = |args: &[&str]| from_standard_input(args.iter().map(OsString::from));
        let expected = ["admin", "create", "--password-file", "-", "--email", "a@b.org"];
        assert_eq!(
            exchange(&["admin", "create", "--password-file", "/root/p", "--email", "a@b.org"]),
            expected
        );
        assert_eq!(exchange(&["--password-file=/root/p", "x"]), ["--password-file=-", "x"]);
    }

    #[test]
    fn a_password_is_one_line() {
        let read = |text: &[u8]| read(text, Path::new("f")).map(|secret| secret.expose().to_owned());
        assert_eq!(read(b"a b\"'\\ \r\n").unwrap(), "a b\"'\\ ");
        assert_eq!(read(b"abc").unwrap(), "abc");
        for wrong in [&b""[..], b"\n", b"a\nb", b"a\0b", b"\xff"] {
            assert_eq!(read(wrong).unwrap_err().exit, Exit::Refused, "{wrong:?}");
        }
    }
}
