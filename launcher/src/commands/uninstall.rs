//! `mathesar uninstall`

use std::path::Path;

use super::{Context, note, verb, walking};
use crate::belongings::{Belonging, Belongings};
use crate::config::Outside;
use crate::control::Lock;
use crate::database::Distribution;
use crate::failure::{Exit, Failure};
use crate::layout::{Layout, Scope};
use crate::prompt;
use crate::service_manager::autostart as service;
use crate::service_manager::timer;
use crate::terminal::size;
use crate::transaction::Journal;

/// Remove your installation, but not your data
///
/// Stops Mathesar, ends its autostart and removes what can be fetched or made again: releases, downloads, logs. Settings, database, uploaded
/// files, backups and secrets stay, and `mathesar start` would go on with them. `--purge` removes those too. Files that the launcher has not
/// made stay in any case, and links are not followed.
///
/// The system's installation is removed by the package manager.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Also remove settings, database, uploaded files, backups and secrets
    #[arg(long)]
    purge: bool,

    /// Do not ask
    #[arg(long)]
    yes: bool,
}

pub(crate) fn run(args: &Args, context: &Context) -> anyhow::Result<()> {
    let layout = &context.layout;
    if layout.scope == Scope::System {
        return Err(of_the_package().into());
    }
    crate::user::ordinary(layout, &context.environment)?;
    walking::refuse_under_way(layout)?;
    // Half a transaction without its releases could never be taken back.
    if Journal::read(&layout.state)?.is_some() {
        walking::settled(context.installation(false)?, "uninstall")?;
    }
    let all = Belongings::of(layout)?;
    let place = service::possible(layout, &context.environment)?;
    let unit = service::existing(&place)?.is_some();
    let (remove, keep): (Vec<_>, Vec<_>) = all.known.iter().partition(|one| args.purge || !one.precious);
    if remove.is_empty() && !unit {
        verb("Unchanged", "there is nothing to remove");
        tell_what_stays(&keep, &all, context);
        return Ok(());
    }
    let mut list = "To be removed:\n".to_owned();
    remove.iter().filter(|one| one.what != "lock").for_each(|one| list.push_str(&line(one)));
    if unit {
        list.push_str(&format!("{:>10}  {:<14} {}\n", "", "autostart", place.file.display()));
    }
    super::print(&list)?;
    tell_what_stays(&keep, &all, context);
    if !args.yes {
        confirm(args.purge)?;
    }
    super::stop::stop(context)?;
    // Nobody starts it while it is taken apart; where state is gone already, nobody could.
    let lock = layout.state.is_dir().then(|| Lock::take(&layout.state, "uninstall")).transpose()?;
    service::switch_off(&place, &context.environment)?;
    if timer::of_user_exists(layout, &context.environment) {
        timer::switch_off(layout, &context.environment)?;
    }
    let freed = remove.iter().map(|one| one.bytes).sum();
    // Again, now that nothing runs: its end has left a line or a file more.
    let all = Belongings::of(layout)?;
    for one in all.known.iter().filter(|one| args.purge || !one.precious) {
        Belongings::remove(one)?;
    }
    all.remove_empty_folders(layout);
    drop(lock);
    verb("Removed", size(freed));
    if let Ok(program) = service::program(&context.environment) {
        note(format_args!("the program itself stays: {}", program.display()));
    }
    Ok(())
}

fn line(one: &Belonging) -> String {
    format!("{:>10}  {:<14} {}\n", size(one.bytes), one.what, one.path.display())
}

/// Everything that somebody could take for removed.
fn tell_what_stays(keep: &[&Belonging], all: &Belongings, context: &Context) {
    let lines: String = keep.iter().filter(|one| one.what != "lock").map(|one| line(one)).collect();
    if !lines.is_empty() {
        anstream::eprint!("To be kept (`--purge` removes them too):\n{lines}");
    }
    for path in &all.foreign {
        match instance_in(path, &context.layout) {
            Some(name) => note(format_args!(
                "{} stays: it is another instance's: `mathesar --instance {name} uninstall`",
                path.display()
            )),
            None => note(format_args!("{} stays: the launcher has not made it", path.display())),
        }
    }
    // Wrong settings do not keep anybody from removing all this.
    let outside = Outside { environment: context.environment.clone(), service_variables: false, flags: &[] };
    let config = crate::config::load(&context.layout, &outside).config;
    for name in ["media.path", "backup.directory"] {
        let path = config.path(name).filter(|path| !path.starts_with(&context.layout.state));
        if let Some(path) = path.filter(|path| path.exists()) {
            note(format_args!("{} stays: it is yours (`{name}`)", path.display()));
        }
    }
    if config.text("database.url").is_some() {
        note("your database server is not touched (`database.url`)");
    }
}

/// Instances lie in the folders of the one without a name.
fn instance_in<'a>(path: &'a Path, layout: &Layout) -> Option<&'a str> {
    let name = path.file_name()?.to_str()?;
    let marks = ["app", "lock", "database", "secrets"];
    let state = layout.state.join(name);
    (layout.instance.is_none() && path.is_dir() && marks.iter().any(|mark| state.join(mark).exists()))
        .then_some(name)
}

fn confirm(purge: bool) -> Result<(), Failure> {
    if !prompt::is_possible() {
        let words = if purge { " --purge" } else { "" };
        return Err(Failure::new("nothing was removed: there is nobody to ask")
            .exit(Exit::Refused)
            .help(format!("say so beforehand: `mathesar uninstall{words} --yes`")));
    }
    let yes = match purge {
        true => {
            let question =
                "There is no way back from this. Type `purge` to remove all of it, the database too";
            prompt::line(question, "no")? == "purge"
        }
        false => matches!(prompt::line("Remove this? yes or no", "no")?.as_str(), "y" | "yes"),
    };
    match yes {
        true => Ok(()),
        false => Err(Failure::new("nothing was removed")),
    }
}

fn of_the_package() -> Failure {
    let command = match Distribution::of_this_machine() {
        Distribution::Debian => "sudo apt remove mathesar",
        Distribution::Fedora | Distribution::RedHat { .. } => "sudo dnf remove mathesar",
        Distribution::Suse => "sudo zypper remove mathesar",
        Distribution::Arch => "sudo pacman -R mathesar",
        Distribution::MacOs => "brew uninstall mathesar",
        Distribution::Other => "your package manager's command",
    };
    Failure::new("the system's installation belongs to its package")
        .exit(Exit::Refused)
        .help(format!("remove that: `{command}`; database, uploaded files and settings stay"))
        .help("your own installation: `mathesar --user uninstall`")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::{Environment, Options};

    #[test]
    fn instances_are_told_from_what_others_have_put_there() {
        let home = tempfile::tempdir().unwrap();
        let options = Options { home: Some(home.path().to_owned()), ..Options::default() };
        let layout = Layout::new(&Environment::default(), &options).unwrap();
        for folder in ["two/app", "mine"] {
            std::fs::create_dir_all(layout.state.join(folder)).unwrap();
        }
        assert_eq!(instance_in(&layout.state.join("two"), &layout), Some("two"));
        assert_eq!(instance_in(&layout.state.join("mine"), &layout), None);
    }
}
