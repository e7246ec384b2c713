//! `mathesar autostart`

use clap::ValueEnum;
use serde_json::{Value, json};

use super::{Context, note, verb};
use crate::control;
use crate::failure::{Exit, Failure};
use crate::layout::Scope;
use crate::service_manager::autostart as service;
use crate::service_manager::{self, Manager, Place};
use crate::supervise::Request;

/// Start your Mathesar with the machine, or no longer, or say whether it does
///
/// Writes a unit of your own for systemd (`~/.config/systemd/user/mathesar.service`; on macOS an agent for launchd), and from then on `mathesar
/// start`, `stop` and `restart` go through it. So that it also runs while you are not logged in, it asks for lingering (`loginctl
/// enable-linger`), which holds for all of your services. `off` removes the unit; what runs goes on running.
///
/// `status` changes nothing, and exits with 0 where it is on, with 3 where it is off.
///
/// The system's installation is switched by `systemctl enable` and `disable`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[arg(value_enum, value_name = "on|off|status", hide_possible_values = true)]
    to: Switch,

    /// `status` as one JSON object: `on`, `file` (or null), `lingering` (null where there is no such thing)
    #[arg(long)]
    json: bool,

    /// Run it only while you are logged in
    #[arg(long)]
    no_linger: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Switch {
    On,
    Off,
    Status,
}

pub(crate) fn run(args: &Args, context: &Context) -> anyhow::Result<()> {
    let (layout, environment) = (&context.layout, &context.environment);
    if args.to == Switch::Status {
        return status(args, context);
    }
    if args.json {
        return Err(Failure::new("`--json` goes with `status` alone")
            .exit(Exit::Usage)
            .help("ask for it: `mathesar autostart status --json`")
            .into());
    }
    let place = service::possible(layout, environment)?;
    crate::user::ordinary(layout, environment)?;
    match args.to {
        Switch::On => on(args, &place, context)?,
        Switch::Off => off(&place, context)?,
        Switch::Status => {}
    }
    Ok(())
}

fn status(args: &Args, context: &Context) -> anyhow::Result<()> {
    let (layout, environment) = (&context.layout, &context.environment);
    if layout.scope != Scope::System {
        crate::user::ordinary(layout, environment)?;
    }
    let on = service_manager::starts_by_itself(layout, environment);
    let places = [Place::ours(layout, environment), Place::homebrew(layout, environment)];
    let file = places.into_iter().flatten().map(|place| place.file);
    let file = file.filter(|_| layout.scope != Scope::System).find(|file| file.is_file());
    let lingers = layout.scope != Scope::System && !environment.macos;
    let status =
        json!({ "on": on == Some(true), "file": file, "lingering": lingers.then(service::is_lingering) });
    match args.json {
        true => super::print_json(&status)?,
        false => super::print_report(&text(&status, on.is_some()))?,
    }
    match on {
        Some(true) => Ok(()),
        // It was said already.
        _ => Err(Failure::told(Exit::NotRunning, String::new()).into()),
    }
}

/// `possible`: somebody is here who could start it.
fn text(status: &Value, possible: bool) -> String {
    let on = status["on"] == true;
    let mut text = format!("autostart    {}\n", if on { "on" } else { "off" });
    let mut line = |name: &str, value: &str| text.push_str(&format!("{name:<12} {value}\n"));
    if !possible {
        line(
            "because",
            "this system is not run by systemd; `mathesar autostart on` says what else can do it",
        );
    }
    status["file"].as_str().into_iter().for_each(|file| line("file", &crate::careful::harmless(file)));
    match (on, status["lingering"].as_bool()) {
        (true, Some(true)) => line("lingering", "on: it runs also while you are not logged in"),
        (true, Some(false)) => line("lingering", "off: it runs only while you are logged in"),
        _ => {}
    }
    text
}

fn on(args: &Args, place: &Place, context: &Context) -> Result<(), Failure> {
    let (layout, environment) = (&context.layout, &context.environment);
    service::free(layout, environment)?;
    let program = service::program(environment)?;
    if !environment.macos && !std::path::Path::new("/run/systemd/system").is_dir() {
        return Err(service::no_manager(&program, context.global_args()));
    }
    let job = service::job(layout, environment, &program, context.global_args())?;
    let text = service::text(place, &job, layout, environment)?;
    match service::switch_on(place, &text, environment)? {
        true => verb("Wrote", place.file.display()),
        false => verb("Unchanged", place.file.display()),
    }
    if !args.no_linger && !environment.macos {
        match service::linger() {
            Ok(true) => verb("Enabled", "lingering: your services run also while you are not logged in"),
            Ok(false) => {}
            Err((command, failure)) => {
                note(format_args!(
                    "it runs only while you are logged in ({failure}); to change that: `{command}`"
                ));
            }
        }
    }
    if Manager::of(layout, environment).is_active() {
        return Ok(());
    }
    match control::ask_here(layout, Request::Status, super::PATIENCE) {
        Ok(_) => note("what runs now was started otherwise; `mathesar restart --everything` moves it over"),
        Err(_) => note("it starts by itself from now on; at once: `mathesar start`"),
    }
    Ok(())
}

fn off(place: &Place, context: &Context) -> Result<(), Failure> {
    let (layout, environment) = (&context.layout, &context.environment);
    if !service::switch_off(place, environment)? {
        service::free(layout, environment)?;
        verb("Unchanged", "Mathesar does not start by itself");
        return Ok(());
    }
    verb("Removed", place.file.display());
    if control::ask_here(layout, Request::Status, super::PATIENCE).is_ok() {
        note("Mathesar goes on running; to end it: `mathesar stop`");
    }
    if !environment.macos && service::is_lingering() {
        note(
            "lingering stays on, as other services of yours may need it; to end it: `loginctl disable-linger`",
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn on_and_off_in_words() {
        let on = json!({ "on": true, "file": "/u/mathesar.service", "lingering": false });
        assert_eq!(
            text(&on, true),
            "autostart    on\nfile         /u/mathesar.service\nlingering    off: it runs only while you are logged in\n"
        );
        let off = json!({ "on": false, "file": null, "lingering": true });
        assert_eq!(text(&off, true), "autostart    off\n");
        assert!(text(&off, false).contains("because"));
    }
}
