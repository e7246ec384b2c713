//! Runs a program of the service's user for root, who may sit at a terminal. Whoever holds a terminal can type on it: commands, for
//! root's shell to run. So the program gets a terminal of its own, and this process carries what is typed and said between the two.

use std::fs::File;
use std::io::{self, IsTerminal as _, Read as _, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{
    OptionalActions, Termios, tcgetattr, tcgetpgrp, tcgetwinsize, tcsetattr, tcsetwinsize,
};
use signal_hook::consts::{SIGCHLD, SIGCONT, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGWINCH};

use crate::interrupt::heeded;

/// What the program said last is still on its way when it has ended; whoever else holds its terminal is not waited for.
const LAST_WORDS: Duration = Duration::from_secs(1);
const MOMENT: Timespec = Timespec { tv_sec: 0, tv_nsec: 30_000_000 };

/// What the program has as standard input.
pub(crate) enum Input {
    /// This process's, through a terminal of its own where that is one.
    Ours,
    File(File),
    Text(Vec<u8>),
}

/// Whether this process has a terminal that a program of another user is to be kept away from.
pub(crate) fn is_needed() -> bool {
    let shown = [io::stdin().is_terminal(), io::stdout().is_terminal(), io::stderr().is_terminal()];
    // It answers those alone who belong to a terminal.
    let belongs =
        rustix::fs::open("/dev/tty", OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC, Mode::empty());
    shown.contains(&true) || belongs.is_ok()
}

/// Runs it to its end, and says how it ended, as a shell would. `output`: its standard output, where that is not this process's.
pub(crate) fn run(mut command: Command, uid: u32, input: Input, output: Option<File>) -> io::Result<i32> {
    let ours = matches!(input, Input::Ours);
    let stdin = ours && io::stdin().is_terminal();
    let stdout = output.is_none() && io::stdout().is_terminal();
    let stderr = io::stderr().is_terminal();
    // Before the child: it may end at once.
    let signals = signals()?;
    let (mut text, mut pty) = (None, None);
    match input {
        Input::Ours => {}
        Input::File(file) => drop(command.stdin(file)),
        Input::Text(bytes) => {
            text = Some(bytes);
            command.stdin(Stdio::piped());
        }
    }
    if let Some(file) = output {
        command.stdout(file);
    }
    let mut slave = None;
    if stdin || stdout || stderr {
        // Where it can be read from, it is the one that a person types on.
        let outer = match (stdin, stdout) {
            (true, _) => io::stdin().as_fd().try_clone_to_owned()?,
            (_, true) => io::stdout().as_fd().try_clone_to_owned()?,
            _ => io::stderr().as_fd().try_clone_to_owned()?,
        };
        let words = match (stdout, stderr) {
            (true, _) => io::stdout().as_fd().try_clone_to_owned()?,
            (_, true) => io::stderr().as_fd().try_clone_to_owned()?,
            _ => outer.try_clone()?,
        };
        let (master, inner) = open_pty(&outer, uid)?;
        let copy = || inner.try_clone().map(Stdio::from);
        if stdin {
            command.stdin(copy()?);
        }
        if stdout {
            command.stdout(copy()?);
        }
        if stderr {
            command.stderr(copy()?);
        }
        slave = Some(Arc::new(inner));
        pty =
            Some(Pty { master, outer, words: words.into(), typed: stdin, before: None, pending: Vec::new() });
    }
    crate::raw::before_exec(&mut command, Vec::new(), Signal::TERM);
    crate::raw::own_terminal(&mut command, slave);
    let mut child = command.spawn()?;
    // Its terminal ends with the last who has it: not with this process.
    drop(command);
    let writer = child.stdin.take().zip(text).map(|(mut stdin, text)| {
        // One that ends early says why by itself.
        std::thread::spawn(move || drop(stdin.write_all(&text)))
    });
    let mut relay = Relay { child, signals, pty };
    let end = relay.until_end();
    if let Some(pty) = &mut relay.pty {
        pty.leave();
    }
    if let Some(writer) = writer {
        let _ = writer.join();
    }
    end
}

/// A new terminal of this user's, as the given one is; its two ends.
fn open_pty(like: &OwnedFd, uid: u32) -> io::Result<(OwnedFd, OwnedFd)> {
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY)?;
    rustix::io::fcntl_setfd(&master, rustix::io::FdFlags::CLOEXEC)?;
    rustix::fs::fcntl_setfl(&master, rustix::fs::fcntl_getfl(&master)? | OFlags::NONBLOCK)?;
    grantpt(&master)?;
    unlockpt(&master)?;
    let name = ptsname(&master, Vec::new())?;
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
    let slave = rustix::fs::open(name.as_c_str(), flags, Mode::empty())?;
    rustix::fs::fchown(&slave, Some(rustix::fs::Uid::from_raw(uid)), None)?;
    if let Ok(settings) = tcgetattr(like) {
        tcsetattr(&slave, OptionalActions::Now, &settings)?;
    }
    if let Ok(size) = tcgetwinsize(like) {
        tcsetwinsize(&slave, size)?;
    }
    Ok((master, slave))
}

/// Each signal as a byte. What whoever called has this process ignore (`nohup`), the child ignores by itself.
fn signals() -> io::Result<UnixStream> {
    let wanted = heeded(&[SIGCHLD, SIGCONT, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGWINCH]);
    let mut signals = signal_hook::iterator::Signals::new(wanted)?;
    let (mut sender, receiver) = UnixStream::pair()?;
    receiver.set_nonblocking(true)?;
    std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
        for signal in signals.forever() {
            if sender.write_all(&[signal as u8]).is_err() {
                return;
            }
        }
    })?;
    Ok(receiver)
}

struct Pty {
    master: OwnedFd,
    /// The one that a person sits at.
    outer: OwnedFd,
    /// The same, to write on.
    words: File,
    /// What is typed on it is the program's.
    typed: bool,
    /// How it was, while what is typed goes on unseen and unchanged.
    before: Option<Termios>,
    /// Typed, and not taken yet.
    pending: Vec<u8>,
}

impl Pty {
    /// Everything that is typed goes on as it is, unless somebody else is in the foreground: the inner terminal shows it, and makes
    /// signals of it.
    fn enter(&mut self) {
        let foreground = tcgetpgrp(&self.outer).is_ok_and(|group| group == rustix::process::getpgrp());
        if !self.typed || self.before.is_some() || !foreground {
            return;
        }
        if let Ok(before) = tcgetattr(&self.outer) {
            let mut raw = before.clone();
            raw.make_raw();
            if tcsetattr(&self.outer, OptionalActions::Drain, &raw).is_ok() {
                self.before = Some(before);
            }
        }
    }

    fn leave(&mut self) {
        if let Some(before) = self.before.take() {
            let _ = tcsetattr(&self.outer, OptionalActions::Drain, &before);
        }
    }

    fn resize(&self) {
        if let Ok(size) = tcgetwinsize(&self.outer) {
            let _ = tcsetwinsize(&self.master, size);
        }
    }

    /// False: nobody has it any more.
    fn show(&mut self) -> bool {
        let mut buffer = [0; 16 * 1024];
        match rustix::io::read(&self.master, &mut buffer) {
            Ok(0) | Err(Errno::IO) => false,
            Ok(count) => {
                // A terminal that is gone hears nothing; the program goes on.
                let _ = self.words.write_all(&buffer[..count]);
                true
            }
            Err(_) => true,
        }
    }

    fn take_typed(&mut self) {
        let mut buffer = [0; 4096];
        match rustix::io::read(&self.outer, &mut buffer) {
            Ok(0) | Err(Errno::IO) => self.typed = false,
            Ok(count) => self.pending.extend(&buffer[..count]),
            Err(_) => {}
        }
    }

    fn pass_on(&mut self) {
        if let Ok(count) = rustix::io::write(&self.master, &self.pending) {
            self.pending.drain(..count);
        }
    }
}

struct Relay {
    child: Child,
    signals: UnixStream,
    pty: Option<Pty>,
}

impl Relay {
    fn until_end(&mut self) -> io::Result<i32> {
        let mut ended: Option<(i32, Instant)> = None;
        let mut speaks = self.pty.is_some();
        if let Some(pty) = &mut self.pty {
            pty.enter();
        }
        loop {
            if let Some((code, at)) = ended
                && (!speaks || at.elapsed() >= LAST_WORDS)
            {
                return Ok(code);
            }
            let mut waited = vec![PollFd::new(&self.signals, PollFlags::IN)];
            if let Some(pty) = self.pty.as_ref().filter(|_| speaks) {
                let more = if pty.pending.is_empty() { PollFlags::empty() } else { PollFlags::OUT };
                waited.push(PollFd::new(&pty.master, PollFlags::IN | more));
                if pty.before.is_some() && pty.typed && pty.pending.is_empty() {
                    waited.push(PollFd::new(&pty.outer, PollFlags::IN));
                }
            }
            match poll(&mut waited, ended.is_some().then_some(&MOMENT)) {
                Err(Errno::INTR) => continue,
                Ok(0) if let Some((code, _)) = ended => return Ok(code),
                result => drop(result?),
            }
            let found: Vec<PollFlags> = waited.iter().map(PollFd::revents).collect();
            drop(waited);
            let heard =
                |index: usize, flags: PollFlags| found.get(index).is_some_and(|f| f.intersects(flags));
            let (readable, writable) = (PollFlags::IN | PollFlags::HUP | PollFlags::ERR, PollFlags::OUT);
            if let Some(pty) = &mut self.pty {
                if heard(2, readable) {
                    pty.take_typed();
                }
                if heard(1, writable) || !pty.pending.is_empty() {
                    pty.pass_on();
                }
                if heard(1, readable) {
                    speaks = pty.show();
                }
            }
            if heard(0, readable) && self.signalled()? && ended.is_none() {
                ended = self.child.try_wait()?.map(|status| {
                    let by_signal = status.signal().map(|signal| 128 + signal);
                    (status.code().or(by_signal).unwrap_or(1), Instant::now())
                });
            }
        }
    }

    /// Passes signals on. True: something is new about the child.
    fn signalled(&mut self) -> io::Result<bool> {
        let mut buffer = [0; 64];
        let count = match self.signals.read(&mut buffer) {
            Err(cause) if cause.kind() == io::ErrorKind::WouldBlock => 0,
            count => count?,
        };
        let mut news = false;
        for signal in &buffer[..count] {
            match i32::from(*signal) {
                SIGCHLD => {
                    news = true;
                    self.stop_with_child();
                }
                SIGCONT => self.go_on(),
                SIGWINCH => self.pty.iter().for_each(Pty::resize),
                other => {
                    if let (Some(pid), Some(signal)) = (self.pid(), Signal::from_named_raw(other)) {
                        let _ = kill_process(pid, signal);
                    }
                }
            }
        }
        Ok(news)
    }

    fn pid(&self) -> Option<Pid> {
        i32::try_from(self.child.id()).ok().and_then(Pid::from_raw)
    }

    /// A question stands still at Ctrl-Z: so does this process, for the shell to see.
    fn stop_with_child(&mut self) {
        let Some(pid) = self.pid() else { return };
        let options = WaitIdOptions::STOPPED | WaitIdOptions::NOHANG;
        if !matches!(waitid(WaitId::Pid(pid), options), Ok(Some(_))) {
            return;
        }
        if let Some(pty) = &mut self.pty {
            pty.leave();
        }
        let _ = kill_process(rustix::process::getpid(), Signal::STOP);
        self.go_on();
    }

    fn go_on(&mut self) {
        if let Some(pty) = &mut self.pty {
            pty.enter();
            pty.resize();
        }
        self.pid().map(|pid| kill_process(pid, Signal::CONT));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_program_is_its_own() {
        let uid = rustix::process::getuid().as_raw();
        let shell = |script: &str| {
            let mut command = Command::new("/bin/sh");
            command.args(["-c", script]);
            command
        };
        let run = |script: &str, input| run(shell(script), uid, input, None).unwrap();
        assert_eq!(run("exit 7", Input::Ours), 7);
        assert_eq!(run("kill -9 $$", Input::Ours), 137);
        assert_eq!(run("test $(wc -c) = 200000", Input::Text(vec![b'x'; 200_000])), 0);
        // It has no terminal that is not its own.
        assert_eq!(run("test $(ps -o sid= -p $$) != $(ps -o sid= -p $PPID)", Input::Ours), 0);
    }
}
