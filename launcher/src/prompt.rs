//! Questions to a person at a terminal. Passwords are not shown, whatever ends the question.

use std::io::{BufRead as _, IsTerminal as _, Write as _};
use std::sync::{Mutex, MutexGuard, Once, PoisonError};

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGTSTP};
use signal_hook::iterator::Signals;
use signal_hook::low_level::emulate_default_handler;

use crate::failure::{Exit, Failure};
use crate::secrets::Secret;

/// Whether there is a person to ask.
pub fn is_possible() -> bool {
    std::io::stdin().is_terminal()
}

/// A line; `otherwise` where it is empty.
pub fn line(question: &str, otherwise: &str) -> Result<String, Failure> {
    let answer = ask(&format!("{question} [{otherwise}]: "))?;
    let answer = answer.trim();
    Ok(if answer.is_empty() { otherwise } else { answer }.to_owned())
}

/// Whether a person at the terminal says yes; otherwise, and where there is nobody to ask, `refused`.
pub fn agreed(question: &str, refused: Failure) -> Result<(), Failure> {
    match is_possible() && matches!(line(question, "no")?.as_str(), "y" | "yes") {
        true => Ok(()),
        false => Err(refused),
    }
}

/// A password, typed twice.
pub fn new_password(whose: &str) -> Result<Secret, Failure> {
    let _dark = Dark::begin()?;
    let first = ask(&format!("Password for {whose}: "))?;
    if first.is_empty() {
        return Err(Failure::new("no password was typed").exit(Exit::Usage));
    }
    if ask("The same again: ")? != first {
        return Err(Failure::new("the two passwords are not the same").exit(Exit::Usage));
    }
    Ok(Secret::new(first))
}

fn ask(question: &str) -> Result<String, Failure> {
    let failed = |cause| Failure::new("cannot read the answer").cause(cause);
    // Not locked while it waits: whoever handles a signal writes there, too.
    let mut stderr = std::io::stderr();
    stderr.write_all(question.as_bytes()).and_then(|()| stderr.flush()).map_err(failed)?;
    let mut answer = String::new();
    if std::io::stdin().lock().read_line(&mut answer).map_err(failed)? == 0 {
        // The cursor stands behind the question still.
        let _ = stderr.write_all(b"\n");
        return Err(Failure::new("there was no answer").exit(Exit::Usage));
    }
    Ok(answer.strip_suffix('\n').unwrap_or(&answer).to_owned())
}

/// How the terminal was, while it shows nothing.
static BEFORE: Mutex<Option<Termios>> = Mutex::new(None);

fn before() -> MutexGuard<'static, Option<Termios>> {
    BEFORE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What is typed is not shown for as long as this lives.
struct Dark;

impl Dark {
    fn begin() -> Result<Dark, Failure> {
        watch_signals()?;
        let failed = |cause| Failure::new("cannot hide what is typed on this terminal").cause(cause);
        let mut saved = before();
        *saved = Some(tcgetattr(std::io::stdin()).map_err(failed)?);
        darken(saved.as_ref()).map_err(failed)?;
        Ok(Dark)
    }
}

impl Drop for Dark {
    fn drop(&mut self) {
        if let Some(saved) = before().take() {
            let _ = tcsetattr(std::io::stdin(), OptionalActions::Now, &saved);
        }
    }
}

fn darken(saved: Option<&Termios>) -> rustix::io::Result<()> {
    let Some(saved) = saved else { return Ok(()) };
    let mut dark = saved.clone();
    dark.local_modes.remove(LocalModes::ECHO);
    // The line's end is shown: what comes next stands on its own line.
    dark.local_modes.insert(LocalModes::ECHONL);
    // What was typed before the question is no answer to it.
    tcsetattr(std::io::stdin(), OptionalActions::Flush, &dark)
}

/// A signal that ends or stops this program gives the terminal back first. Watched until the end of the process, since a
/// handler cannot be taken back; outside a question it does what the signal does anyway.
fn watch_signals() -> Result<(), Failure> {
    static WATCHED: Once = Once::new();
    let mut result = Ok(());
    WATCHED.call_once(|| {
        result = Signals::new([SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP]).and_then(|mut signals| {
            let body = move || {
                for signal in signals.forever() {
                    // Held while the program stands still, so that the question goes on hidden.
                    let saved = before();
                    if let Some(saved) = saved.as_ref() {
                        let _ = tcsetattr(std::io::stdin(), OptionalActions::Now, saved);
                        let _ = std::io::stderr().write_all(b"\n");
                    }
                    let _ = emulate_default_handler(signal);
                    let _ = darken(saved.as_ref());
                }
            };
            std::thread::Builder::new().name("signals".to_owned()).spawn(body).map(drop)
        });
    });
    result.map_err(|cause| Failure::new("cannot listen to signals").cause(cause))
}
