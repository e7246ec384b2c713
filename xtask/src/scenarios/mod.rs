//! `cargo xtask verify`: the packages installed, upgraded, broken and removed by the real package managers, in throw-away machines with a
//! really booted systemd.

mod brew;
mod checkers;
mod embedded;
mod flatpak;
mod guest;
mod hostile_apt;
mod hostile_dnf;
mod hostile_pacman;
mod image;
mod jobs;
mod life;
mod makepkg;
mod mutations;
mod next_release;
mod packages;
mod piuparts;
mod published;
mod queue;
pub(crate) mod record;
mod report;
mod rotation;
mod served;
mod system;
mod troubles;

use std::num::NonZeroUsize;
use std::time::Instant;

use anyhow::{Context as _, Result};
use clap::ValueEnum;

use crate::workspace::Workspace;
use crate::{Refused, depends, template, ui};

use guest::Guest;
use jobs::{Job, jobs};
use packages::Packages;
use report::{Ended, Row};
use system::{Manager, System, Tree};

/// Install, upgrade, break and remove the packages with the real package managers
///
/// Packages of this checkout, around the sample application of the launcher's tests, in several versions, in signed repositories; each
/// system is a Debian tree, kept for a week, and each story a machine over it that is booted and thrown away. Root is needed, and no
/// network once the trees are there. Flatpak gets a stand-in for its runtime, kept likewise, and compiles PostgreSQL at the first time.
/// With --from it is what repositories at an address serve, entered as their page says it; machines then reach that address and nothing else.
/// Exits with 77 where this computer cannot boot a machine, or make a sandbox, or has no brew, and nothing else was asked for.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// What to verify; the core, if nothing is named: apt on bookworm and trixie, dnf, pacman, and that what is broken is caught
    #[arg(value_enum, value_name = "WHAT")]
    what: Vec<Subject>,
    /// Debian releases: bookworm, trixie, sid
    #[arg(long, value_name = "SUITE", value_delimiter = ',')]
    on: Vec<String>,
    /// Only scenarios whose names hold one of these; those that they build on run as well
    #[arg(long, value_name = "TEXT", value_delimiter = ',')]
    only: Vec<String>,
    /// Machines at the same time; as many as this computer has cores, if it is not said
    #[arg(long, value_name = "NUMBER")]
    jobs: Option<NonZeroUsize>,
    #[command(flatten)]
    served: served::Wanted,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Subject {
    /// Every system, sid too
    All,
    Apt,
    Dnf,
    Pacman,
    /// Built by flatpak-builder on a stand-in for freedesktop's runtime, and run
    Flatpak,
    /// The formula by brew, where it is; needs neither root nor machines
    Brew,
    /// Packages that are broken on purpose, each of which a scenario has to catch
    Mutations,
    /// That the names of the dependencies are names of packages; needs neither root nor machines
    Depends,
}

impl Subject {
    fn manager(self) -> Option<Manager> {
        match self {
            Subject::Apt => Some(Manager::Apt),
            Subject::Dnf => Some(Manager::Dnf),
            Subject::Pacman => Some(Manager::Pacman),
            Subject::Flatpak => Some(Manager::Flatpak),
            Subject::All | Subject::Brew | Subject::Mutations | Subject::Depends => None,
        }
    }
}

/// The exit code of `NotRun`, as automake's tests have it.
pub(crate) const NOT_RUN: i32 = 77;

/// This computer cannot do it.
#[derive(Debug)]
pub(crate) struct NotRun(pub String);

impl std::fmt::Display for NotRun {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "not run: {}", self.0)
    }
}

impl std::error::Error for NotRun {}

/// One thing that is tried, and what it was tried on.
pub(crate) struct Scenario {
    pub name: &'static str,
    pub run: fn(&Guest<'_>) -> Result<()>,
}

/// Scenarios that share a machine, each going on where the one before has stopped.
#[derive(Clone, Copy)]
struct Story {
    tree: Tree,
    /// Part of every test; the others run where their system is named, and with `all`.
    core: bool,
    scenarios: &'static [Scenario],
}

pub(crate) fn run(args: &Args, workspace: &Workspace) -> Result<()> {
    if served::asked(args, workspace)? {
        return Ok(());
    }
    if args.what == [Subject::Depends] {
        return depends::run(workspace);
    }
    let without_machines = |what: &Subject| matches!(what, Subject::Brew | Subject::Depends);
    let no_machines = !args.what.is_empty() && args.what.iter().all(without_machines);
    // What means nothing is refused before anything is done, and whoever asks.
    let jobs = if no_machines { Vec::new() } else { jobs(args)? };
    let names = match args.what.iter().any(|what| matches!(what, Subject::All | Subject::Depends)) {
        true => depends::run(workspace),
        false => Ok(()),
    };
    if no_machines {
        return both(names, brew_alone(workspace), ui::error);
    }
    both(names, machines_too(args, jobs, workspace), ui::error)
}

/// Both are told. What has failed counts more than what could not be run.
fn both(one: Result<()>, other: Result<()>, tell: impl Fn(&anyhow::Error)) -> Result<()> {
    match (one, other) {
        (Err(one), Err(other)) => {
            let (first, last) = if one.is::<NotRun>() { (one, other) } else { (other, one) };
            tell(&first);
            Err(last)
        }
        (one, other) => one.and(other),
    }
}

/// What brew says needs no machine, and no root.
fn brew_alone(workspace: &Workspace) -> Result<()> {
    let begun = Instant::now();
    let head = workspace.head()?;
    let rows = brew::run(workspace)?;
    record::write(workspace, head.as_ref(), &rows, false)?;
    finish(&rows, begun)?;
    match rows.iter().find_map(|row| row.ended.impossible()) {
        Some(why) => Err(anyhow::Error::new(NotRun(format!(
            "{why}\nhelp: as an ordinary user whose PATH has brew: cargo xtask verify brew"
        )))),
        None => Ok(()),
    }
}

fn machines_too(args: &Args, jobs: Vec<Job>, workspace: &Workspace) -> Result<()> {
    if let Some(why) = machines::missing() {
        return Err(no_machine(&why));
    }
    let no_sandbox = match jobs.iter().any(Job::is_flatpak) {
        true => flatpak::missing(),
        false => None,
    };
    let (jobs, impossible): (Vec<Job>, Vec<Job>) =
        jobs.into_iter().partition(|job| no_sandbox.is_none() || !job.is_flatpak());
    let impossible: Vec<Row> =
        impossible.iter().flat_map(|job| job.not_here(no_sandbox.unwrap_or_default())).collect();
    if jobs.is_empty()
        && let Some(why) = no_sandbox
    {
        return Err(anyhow::Error::new(NotRun(format!("{why}\nhelp: sysctl user.max_user_namespaces"))));
    }
    let begun = Instant::now();
    let head = workspace.head()?;
    let packages = {
        let mut suites: Vec<&str> = jobs.iter().flat_map(Job::suites).collect();
        suites.sort_unstable();
        suites.dedup();
        Packages::make(workspace, &suites, jobs.iter().any(Job::is_flatpak))?
    };
    let at_once = args.jobs.or(std::thread::available_parallelism().ok()).map_or(1, NonZeroUsize::get);
    let mut rows = queue::run(&jobs, at_once, &|job| match job {
        Job::Story(system, story) => {
            let scenarios: Vec<_> = story.scenarios.iter().map(|one| (one.name, one.run)).collect();
            tell(system, &scenarios, || Guest::boot(system, story.tree, &packages, &packages.repositories()))
        }
        Job::Mutation(mutation) => vec![mutations::run(mutation, workspace, &packages)],
    });
    rows.extend(impossible);
    if args.what.iter().any(|what| matches!(what, Subject::All | Subject::Brew)) {
        rows.extend(brew::run(workspace)?);
    }
    record::write(workspace, head.as_ref(), &rows, !args.only.is_empty())?;
    finish(&rows, begun)
}

/// With what helps: the same command line as root, or the programs.
fn no_machine(why: &str) -> anyhow::Error {
    let help = match why.contains("root") {
        true => format!("sudo -E cargo xtask {}", again(std::env::args().skip(1))),
        false => "cargo xtask tools".to_owned(),
    };
    NotRun(format!("{why}\nhelp: {help}")).into()
}

/// Arguments as a shell takes them.
fn again(args: impl Iterator<Item = String>) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._+-:@,=".contains(c);
    let word = |arg: String| match !arg.is_empty() && arg.chars().all(plain) {
        true => arg,
        false => template::sh(&arg),
    };
    args.map(word).collect::<Vec<_>>().join(" ")
}

/// The table, and whether all is well.
fn finish(rows: &[Row], begun: Instant) -> Result<()> {
    anstream::print!("{}", report::text(rows, begun.elapsed()));
    match report::failed(rows) {
        0 => {
            ui::verb("Verified", report::summary(rows));
            Ok(())
        }
        failed => {
            Err(Refused(format!("{failed} of {} scenarios did not end well: see above", rows.len())).into())
        }
    }
}

/// Boots a machine and goes through its scenarios. None of them runs after one that has failed.
fn tell<'a, P>(
    system: &'a System,
    scenarios: &[(&'static str, impl Fn(&Guest<'a, P>) -> Result<()>)],
    boot: impl FnOnce() -> Result<Guest<'a, P>>,
) -> Vec<Row> {
    let mut rows = Vec::new();
    let begun = Instant::now();
    let guest = boot().with_context(|| format!("cannot boot {}", system.name()));
    let guest = guest.inspect(|_| {
        ui::verb("Booted", format_args!("{} in {:.1} s", system.name(), begun.elapsed().as_secs_f64()));
    });
    let guest = guest.map_err(|error| ui::error(&error)).ok();
    let mut broken = guest.is_none();
    for &(scenario, ref run) in scenarios {
        let begun = Instant::now();
        let ended = match guest.as_ref().filter(|_| !broken) {
            None => Ended::NotRun,
            Some(guest) => match run(guest) {
                Ok(()) => {
                    let took = begun.elapsed().as_secs_f64();
                    ui::verb("Passed", format_args!("{}: {scenario} in {took:.1} s", system.name()));
                    Ended::Well
                }
                Err(error) => {
                    ui::error(&error.context(format!("{}: {scenario}", system.name())));
                    anstream::eprintln!("{}", guest.evidence());
                    broken = true;
                    Ended::Badly
                }
            },
        };
        rows.push(Row { system: system.name(), scenario, ended, took: begun.elapsed() });
    }
    rows
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    #[test]
    fn what_has_failed_is_not_hidden_by_what_was_not_run() {
        let failed = || Err(Refused("a name is wrong".to_owned()).into());
        let not_run = || Err(NotRun("no root".to_owned()).into());
        let told = RefCell::new(Vec::new());
        let ends = |one, other| {
            told.borrow_mut().clear();
            both(one, other, |error| told.borrow_mut().push(error.to_string()))
        };
        for (one, other) in [(failed(), not_run()), (not_run(), failed())] {
            assert!(ends(one, other).unwrap_err().is::<Refused>());
            assert_eq!(*told.borrow(), ["not run: no root"]);
        }
        assert!(ends(Ok(()), not_run()).unwrap_err().is::<NotRun>());
        assert!(ends(failed(), Ok(())).unwrap_err().is::<Refused>());
        assert_eq!(told.borrow().len(), 0);
        ends(Ok(()), Ok(())).unwrap();
    }

    #[test]
    fn the_same_command_line_as_root() {
        let args = ["verify", "apt", "--on", "bookworm", "--only", "first start", "--from=https://a.b/?"];
        assert_eq!(
            again(args.into_iter().map(str::to_owned)),
            "verify apt --on bookworm --only 'first start' '--from=https://a.b/?'"
        );
    }
}
