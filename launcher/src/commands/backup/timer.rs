//! `mathesar backup timer`

use clap::ValueEnum;

use crate::commands::{Context, note, print, verb};
use crate::layout::Scope;
use crate::service_manager::{autostart, timer};

/// Make a backup every day, or no longer
///
/// By a timer of systemd's: the system's own for the system's installation, or one of yours (`~/.config/systemd/user/mathesar-backup.timer`).
/// It runs `backup create` and then `backup prune`, which removes old ones that no person has made: see `backup.keep` and
/// `backup.keep-for`. It is off until it is switched on.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[arg(value_enum, value_name = "on|off|status", hide_possible_values = true)]
    to: Switch,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Switch {
    On,
    Off,
    Status,
}

pub(crate) fn run(args: &Args, context: &Context) -> anyhow::Result<()> {
    let (layout, environment) = (&context.layout, &context.environment);
    let unit = timer::name(layout);
    // Root switches the system's; a user's own is never root's.
    if layout.scope != Scope::System {
        crate::user::ordinary(layout, environment)?;
    }
    match args.to {
        Switch::On => {
            match timer::switch_on(layout, environment, context.global_args())? {
                true => verb("Enabled", &unit),
                false => verb("Unchanged", format_args!("{unit} is on already")),
            }
            if layout.scope != Scope::System && !autostart::is_lingering() {
                note("it works only while you are logged in; to change that: `loginctl enable-linger`");
            }
        }
        Switch::Off => match timer::switch_off(layout, environment)? {
            true => verb("Disabled", &unit),
            false => verb("Unchanged", format_args!("{unit} is off already")),
        },
        Switch::Status => {}
    }
    if args.to != Switch::Off {
        let status = timer::status(layout);
        let mut text = format!("{} {}\n", status.unit, if status.on { "on" } else { "off" });
        for (name, value) in [("next", &status.next), ("last", &status.last), ("result", &status.result)] {
            text += &value.as_ref().map(|value| format!("{name:<7} {value}\n")).unwrap_or_default();
        }
        print(&text)?;
    }
    Ok(())
}
