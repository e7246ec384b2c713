//! `mathesar autostart`

use clap::ValueEnum;

use super::{Context, note, verb};
use crate::control;
use crate::failure::Failure;
use crate::service_manager::autostart as service;
use crate::service_manager::{Manager, Place};
use crate::supervise::Request;

/// Start your Mathesar with the machine, or no longer
///
/// Writes a unit of your own for systemd (`~/.config/systemd/user/mathesar.service`; on macOS an agent for launchd), and from then on `mathesar
/// start`, `stop` and `restart` go through it. So that it also runs while you are not logged in, it asks for lingering (`loginctl
/// enable-linger`), which holds for all of your services. `off` removes the unit; what runs goes on running.
///
/// The system's installation is switched by `systemctl enable` and `disable`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[arg(value_enum, value_name = "on|off", hide_possible_values = true)]
    to: Switch,

    /// Run it only while you are logged in
    #[arg(long)]
    no_linger: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Switch {
    On,
    Off,
}

pub(crate) fn run(args: &Args, context: &Context) -> anyhow::Result<()> {
    let (layout, environment) = (&context.layout, &context.environment);
    let place = service::possible(layout, environment)?;
    crate::user::ordinary(layout, environment)?;
    match args.to {
        Switch::On => on(args, &place, context)?,
        Switch::Off => off(&place, context)?,
    }
    Ok(())
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
    match control::ask(&layout.run.join("control.sock"), Request::Status, super::PATIENCE) {
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
    if control::ask(&layout.run.join("control.sock"), Request::Status, super::PATIENCE).is_ok() {
        note("Mathesar goes on running; to end it: `mathesar stop`");
    }
    if !environment.macos && service::is_lingering() {
        note(
            "lingering stays on, as other services of yours may need it; to end it: `loginctl disable-linger`",
        );
    }
    Ok(())
}
