//! Programs that are run to their end: in a clean environment, as the right user, with the end of their words in the error.

use std::ffi::{OsStr, OsString};
use std::io::{self, Read as _, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};

use crate::failure::Failure;
use crate::interrupt;

/// The operating-system user that children run as, where that is another than the caller's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct User {
    pub uid: u32,
    pub gid: u32,
}

/// One run of a program.
#[derive(Debug)]
pub struct Program {
    command: Command,
    path: PathBuf,
    input: Option<Vec<u8>>,
}

/// Variables that children inherit; the rest of a person's shell is none of their business.
pub(crate) const INHERITED: &[&str] = &[
    "HOME",
    "LANG",
    "LC_ALL",
    "LC_CTYPE",
    "LOGNAME",
    "PATH",
    "TERM",
    "TMPDIR",
    "TZ",
    "USER",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "ALL_PROXY",
    "http_proxy",
    "https_proxy",
    "no_proxy",
    "all_proxy",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
];

/// What children get of this process's environment.
pub fn inherited() -> impl Iterator<Item = (OsString, OsString)> {
    INHERITED.iter().filter_map(|name| Some((OsString::from(name), std::env::var_os(name)?)))
}

/// Of a program's standard error, this much is shown.
const SHOWN_LINES: usize = 20;

impl Program {
    pub fn new(path: impl AsRef<Path>) -> Program {
        let path = path.as_ref().to_owned();
        let mut command = Command::new(&path);
        command.env_clear().stdin(Stdio::null());
        command.envs(inherited());
        Program { command, path, input: None }
    }

    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Program {
        self.command.arg(arg);
        self
    }

    pub fn args<S: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = S>) -> Program {
        self.command.args(args);
        self
    }

    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Program {
        self.command.env(name, value);
        self
    }

    pub fn without_env(mut self, name: impl AsRef<OsStr>) -> Program {
        self.command.env_remove(name);
        self
    }

    pub fn envs<N: AsRef<OsStr>, V: AsRef<OsStr>>(
        mut self,
        all: impl IntoIterator<Item = (N, V)>,
    ) -> Program {
        self.command.envs(all);
        self
    }

    pub fn current_dir(mut self, folder: impl AsRef<Path>) -> Program {
        self.command.current_dir(folder);
        self
    }

    /// Runs as this user, without any supplementary group of the caller's.
    pub fn user(mut self, user: Option<User>) -> Program {
        if let Some(user) = user {
            self.command.uid(user.uid).gid(user.gid);
        }
        self
    }

    /// What it reads on standard input: the only way that a secret reaches a child besides a 0600 file.
    pub fn input(mut self, bytes: impl Into<Vec<u8>>) -> Program {
        self.input = Some(bytes.into());
        self.command.stdin(Stdio::piped());
        self
    }

    /// What it has as standard input; an inherited file keeps its lock for as long as the child lives.
    pub fn stdin(mut self, stdin: impl Into<Stdio>) -> Program {
        self.command.stdin(stdin);
        self
    }

    /// The command, for children that are not waited for here.
    pub fn into_command(self) -> Command {
        self.command
    }

    /// Runs to the end; a status other than 0 is an error.
    pub fn run(self) -> Result<Output, Failure> {
        let shown = self.shown();
        let output = self.output()?;
        if output.status.success() {
            return Ok(output);
        }
        let said = last_lines(&output.stderr).or_else(|| last_lines(&output.stdout)).unwrap_or_default();
        Err(Failure::new(format!("`{shown}` failed")).cause(format!("{}{said}", output.status)))
    }

    /// Runs to the end, however that is.
    pub fn output(mut self) -> Result<Output, Failure> {
        // A launcher that is killed leaves nothing behind that still writes. This thread waits, so it outlives the child.
        crate::raw::before_exec(&mut self.command, Vec::new(), rustix::process::Signal::KILL);
        interrupt::check()?;
        let failed =
            |cause: std::io::Error| Failure::new(format!("cannot run {}", self.path.display())).cause(cause);
        self.command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = self.command.spawn().map_err(failed)?;
        let input = self.input.take();
        let writer = child.stdin.take().map(|mut stdin| {
            // A thread of its own: a child that fills its output before it has read all would wait for ever.
            std::thread::spawn(move || {
                // A child that closes early says why by its status.
                let _ = stdin.write_all(&input.unwrap_or_default());
            })
        });
        let output = to_its_end(&mut child)
            .map_err(|cause| Failure::new(format!("cannot wait for {}", self.path.display())).cause(cause));
        if let Some(writer) = writer {
            let _ = writer.join();
        }
        // Whatever it says of that, it was ended.
        interrupt::check()?;
        output
    }

    /// The command line, as a person would type it; secrets never stand on one.
    fn shown(&self) -> String {
        let words: Vec<OsString> = std::iter::once(self.path.clone().into_os_string())
            .chain(self.command.get_args().map(OsStr::to_owned))
            .collect();
        words.iter().map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
    }
}

/// Its words and its status. A Ctrl-C ends it, as long as its end was not collected.
fn to_its_end(child: &mut Child) -> io::Result<Output> {
    let ends = interrupt::Ends::too(child.id());
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    let (out, err) = (child.stdout.take(), child.stderr.take());
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| out.map_or(Ok(0), |mut out| out.read_to_end(&mut stdout)));
        let read = err.map_or(Ok(0), |mut err| err.read_to_end(&mut stderr));
        let others = reader.join().unwrap_or_else(|_| Err(io::Error::other("the reader has panicked")));
        read.and(others)
    })?;
    waitid(WaitId::Pid(Pid::from_child(child)), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT)?;
    drop(ends);
    Ok(Output { status: child.wait()?, stdout, stderr })
}

fn last_lines(bytes: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(bytes);
    let lines: Vec<&str> = text.trim().lines().collect();
    if lines.is_empty() {
        return None;
    }
    let (before, shown) = lines.split_at(lines.len().saturating_sub(SHOWN_LINES));
    // PostgreSQL says what is wrong, and then the whole statement that it was about.
    let is_cause = |line: &&&str| ["FATAL:  ", "PANIC:  ", "ERROR:  "].iter().any(|word| line.contains(word));
    let cause = before.iter().rfind(is_cause).filter(|_| !shown.iter().any(|line| is_cause(&line)));
    Some(cause.into_iter().chain(shown).map(|line| format!("\n    {line}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cause_is_shown_although_a_long_statement_follows() {
        let text = format!("FATAL:  no room\nSTATEMENT:\n{}", "more\n".repeat(50));
        let shown = last_lines(text.as_bytes()).unwrap();
        assert!(shown.starts_with("\n    FATAL:  no room\n    more"), "{shown}");
        assert_eq!(shown.lines().count(), SHOWN_LINES + 2);
        assert_eq!(last_lines(b"ERROR:  no\nmore").unwrap(), "\n    ERROR:  no\n    more");
    }

    #[test]
    fn a_failure_holds_the_command_and_its_words() {
        let failure =
            Program::new("/bin/sh").args(["-c", "echo no such thing >&2; exit 3"]).run().unwrap_err();
        assert_eq!(failure.to_string(), "`/bin/sh -c echo no such thing >&2; exit 3` failed");
        let cause = std::error::Error::source(&failure).unwrap().to_string();
        assert_eq!(cause, "exit status: 3\n    no such thing");
    }

    #[test]
    fn input_reaches_a_child_that_talks_first() {
        let script = "head -c 200000 /dev/zero | tr '\\0' x; cat >&2";
        let output = Program::new("/bin/sh").args(["-c", script]).input(vec![b'y'; 200_000]).run().unwrap();
        assert_eq!((output.stdout.len(), output.stderr.len()), (200_000, 200_000));
    }

    #[test]
    fn a_shells_variables_stay_outside() {
        let output = Program::new("/usr/bin/env").run().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(!text.contains("CARGO"), "{text}");
    }
}
