//! `mathesar restart`

use std::time::Duration;

use super::{Context, note, verb};
use crate::control::{self, Lock};
use crate::failure::{Exit, Failure};
use crate::layout::{Layout, Scope};
use crate::server::Listener;
use crate::service_manager::Manager;
use crate::serving::{RUNS_ON, refused_over_the_wire};
use crate::steps::refused_elsewhere;
use crate::supervise::Request;

/// Bring changed settings into force
///
/// Where the change is the web server's alone, a new one is started beside the old one and takes over: no visitor is refused. Settings of the
/// database, and the address, take a restart of everything: visitors wait for some seconds. Starts Mathesar where it does not run.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Restart everything, also where nothing asks for it
    #[arg(long)]
    everything: bool,
}

/// A gunicorn's start, and the end of the old one's requests.
const LONGEST: Duration = Duration::from_secs(300);

/// To reach a server of the user's, longest.
const TO_TRY: Duration = Duration::from_secs(60);

pub(crate) fn run(args: &Args, context: &Context) -> anyhow::Result<()> {
    super::walking::refuse_under_way(&context.layout)?;
    let layout = &context.layout;
    let manager = Manager::of(layout, &context.environment);
    // One that hangs would be waited for as long as a restart may take. A service manager needs no answer to end it.
    if let Err(failure) = control::ask_here(layout, Request::Status, super::PATIENCE)
        && control::is_silent(&failure)
        && !(args.everything && manager.is_active())
    {
        return Err(failure.into());
    }
    if !args.everything {
        match control::ask_here(layout, Request::Reload, LONGEST) {
            Ok(_) => {
                verb("Restarted", "the web server; nobody was refused");
                return Ok(());
            }
            // With a launcher that runs, its settings would stay what they are.
            Err(failure) if failure.exit == Exit::NotRunning => {
                let holder = Lock::holder(&layout.state).and_then(|holder| holder.verb);
                return match holder.as_deref() {
                    Some("run") => Err(failure.exit(Exit::Refused).into()),
                    _ => super::start::start(context),
                };
            }
            Err(failure) if let Some(refusal) = refused_elsewhere(&failure) => {
                return Err(runs_on(refusal, layout).into());
            }
            Err(failure) if failure.to_string().contains("a restart of everything") => note(failure),
            Err(failure) => return Err(runs_on(understood(failure), layout).into()),
        }
    } else {
        prove(layout)?;
    }
    // The service's settings may be nobody else's to read.
    if context.layout.scope != Scope::System {
        let installation = context.installation(false)?;
        if !manager.is_active()
            && let Ok(answer) = control::ask_here(layout, Request::Status, super::PATIENCE)
            && let Some(url) = answer.value["address"].as_str()
        {
            Listener::could_replace(url, installation.listen())?;
        }
    }
    if manager.is_active() {
        manager.restart()?;
        verb("Restarted", "Mathesar and its database");
        return Ok(());
    }
    super::stop::stop(context)?;
    super::start::start(context)
}

/// That what runs well would come back. One that hangs, or is too old for the question, is restarted all the same.
fn prove(layout: &Layout) -> Result<(), Failure> {
    if let Err(failure) = control::ask_here(layout, Request::TryOut, TO_TRY)
        && is_refusal(&failure.to_string())
    {
        return Err(runs_on(understood(failure), layout));
    }
    let answer = control::ask_here(layout, Request::Status, super::PATIENCE);
    if !answer.is_ok_and(|answer| answer.value["state"] == "running") {
        return Ok(());
    }
    // Another gunicorn beside the present one, with everything as it is now: visitors notice nothing.
    match control::ask_here(layout, Request::Reload, LONGEST) {
        Err(failure) if failure.exit != Exit::NotRunning => {
            let said = failure.to_string();
            // What takes everything anew cannot be tried beside it.
            match said.contains("a restart of everything")
                || said.starts_with("it is ")
                || said.contains("did not answer")
            {
                true => Ok(()),
                false => Err(runs_on(understood(failure), layout)),
            }
        }
        _ => Ok(()),
    }
}

/// With the good news first, where that is so: whatever failed, the one before goes on.
fn runs_on(failure: Failure, layout: &Layout) -> Failure {
    let said = failure.to_string();
    let known = said.starts_with(RUNS_ON) || said.starts_with("it is ") || control::is_silent(&failure);
    let runs = || {
        let answer = control::ask_here(layout, Request::Status, super::PATIENCE);
        answer.is_ok_and(|answer| matches!(answer.value["state"].as_str(), Some("running" | "degraded")))
    };
    match () {
        () if known || !runs() => failure,
        // Rendered already, and all of it.
        () if is_of_settings(&said) => {
            note(RUNS_ON.trim_end_matches([':', ' ']));
            failure
        }
        () => {
            let told = Failure::new(format!("{RUNS_ON}{said}")).exit(failure.exit);
            match failure.helps() {
                [] => told.help("what happened: `mathesar logs`, `mathesar doctor`"),
                helps => helps.iter().fold(told, |told, help| told.help(help)),
            }
        }
    }
}

fn is_refusal(said: &str) -> bool {
    refused_over_the_wire(said).is_some() || is_of_settings(said)
}

/// Problems of the settings, rendered already.
fn is_of_settings(said: &str) -> bool {
    anstream::adapter::strip_str(said).to_string().starts_with("error: ")
}

/// The supervisor's words, as if they had been said here.
fn understood(failure: Failure) -> Failure {
    let said = failure.to_string();
    if let Some(refused) = refused_over_the_wire(&said) {
        return refused;
    }
    match said.as_str() {
        _ if is_of_settings(&said) => {
            Failure::told(Exit::Refused, format!("{}\n", said.trim_end()))
        }
        "it is still being prepared" => failure
            .exit(Exit::Refused)
            .help("wait until it runs: `mathesar start`; what is prepared has the new settings if it began after the change"),
        "it is restarting already" => {
            failure.exit(Exit::Refused).help("see when it runs: `mathesar status`, then restart it again")
        }
        _ if let Some(help) = crate::failure::denied::help_of_words(&said) => failure.help(help),
        _ if said.starts_with("it is ") => failure.help("see how it is: `mathesar status`"),
        _ => failure,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_refusal_has_a_cure() {
        let understood = |text: &str| {
            let failure = understood(Failure::new(text));
            (failure.exit, crate::failure::report(&failure.into()).1)
        };
        for text in ["it is still being prepared", "it is restarting already"] {
            let (exit, report) = understood(text);
            assert!(exit == Exit::Refused && report.contains("`mathesar st"), "{report}");
        }
        let (exit, report) = understood("error: mathesar.conf:1:2: what\n --> x\n\n");
        assert_eq!((exit, report.as_str()), (Exit::Refused, "error: mathesar.conf:1:2: what\n --> x\n"));
        assert_eq!(understood("gunicorn ended").0, Exit::Failed);
    }
}
