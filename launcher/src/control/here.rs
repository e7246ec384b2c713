//! The launcher of one installation, asked: where its socket says nothing, its lock still tells that it is there.

use std::time::{Duration, Instant};

use super::client::{Answer, SILENT, ask};
use super::{Lock, at_work};
use crate::failure::{Exit, Failure};
use crate::layout::Layout;
use crate::supervise::Request;

/// A launcher whose socket was lost, with its folder or without, has another one within two seconds.
const COMES_BACK: Duration = Duration::from_secs(5);

/// Exit code 3 where none runs.
pub fn ask_here(layout: &Layout, request: Request, timeout: Duration) -> Result<Answer, Failure> {
    let socket = layout.run.join("control.sock");
    let begun = Instant::now();
    loop {
        let failure = match ask(&socket, request, timeout) {
            Ok(answer) => return Ok(answer),
            Err(failure) => failure,
        };
        let Some(holder) = Lock::holder(&layout.state) else { return Err(failure) };
        if is_silent(&failure) {
            let cure = holder.cure(&layout.state, "kill -9");
            return Err(Failure::new(format!("{holder} {SILENT} {} s", timeout.as_secs()))
                .help("see what it does: `mathesar logs`")
                .help(format!("{cure}; then `mathesar start` puts everything in order")));
        }
        if failure.exit != Exit::NotRunning || holder.verb.as_deref() != Some("run") {
            return Err(failure);
        }
        if begun.elapsed() >= COMES_BACK {
            let gone = format!("its socket {} is gone", socket.display());
            return Err(at_work(&holder).exit(Exit::NotRunning).cause(gone).help(format!(
                "{}; then `mathesar start` puts everything in order",
                holder.cure(&layout.state, "kill")
            )));
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// It hangs, or is stopped by SIGSTOP.
pub fn is_silent(failure: &Failure) -> bool {
    failure.to_string().contains(SILENT)
}
