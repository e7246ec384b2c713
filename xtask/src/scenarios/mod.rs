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
mod life;
mod makepkg;
mod mutations;
mod next_release;
mod packages;
mod piuparts;
mod queue;
mod report;
mod system;
mod troubles;

use std::num::NonZeroUsize;
use std::time::Instant;

use anyhow::{Context as _, Result};
use clap::ValueEnum;

use crate::workspace::Workspace;
use crate::{Refused, depends, ui};

use guest::Guest;
use mutations::{MUTATIONS, Mutation};
use packages::Packages;
use report::{Ended, Row};
use system::{Manager, System, Tree};

/// Install, upgrade, break and remove the packages with the real package managers
///
/// Packages of this checkout, around the sample application of the launcher's tests, in several versions, in signed repositories; each
/// system is a Debian tree, kept for a week, and each story a machine over it that is booted and thrown away. Root is needed, and no
/// network once the trees are there. Exits with 77 where this computer cannot boot a machine.
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

fn stories(system: &System) -> Vec<Story> {
    let usual = |core, scenarios| Story { tree: Tree::Usual, core, scenarios };
    let once = system.manager == Manager::Apt && system.suite == "trixie";
    let life = match system.manager {
        Manager::Flatpak => return vec![usual(false, flatpak::SCENARIOS)],
        Manager::Apt => life::SCENARIOS,
        Manager::Dnf | Manager::Pacman => life::without_purge(),
    };
    let mut all = vec![usual(true, life), usual(once, troubles::SCENARIOS)];
    match system.manager {
        Manager::Apt => {
            if system.suite == "bookworm" {
                // It takes longest: not as the last one that the others wait for.
                let scenarios = next_release::SCENARIOS;
                all.insert(0, Story { tree: Tree::Upgradable, core: false, scenarios });
            }
            all.extend([
                usual(true, hostile_apt::SCENARIOS),
                usual(false, embedded::SCENARIOS),
                usual(false, image::SCENARIOS),
                usual(once, piuparts::SCENARIOS),
                usual(false, checkers::LINTIAN),
            ]);
        }
        Manager::Dnf => all.extend([
            usual(true, hostile_dnf::SCENARIOS),
            usual(false, image::SCENARIOS),
            usual(false, checkers::RPMLINT),
        ]),
        Manager::Flatpak => {}
        Manager::Pacman => {
            all.extend([usual(true, hostile_pacman::SCENARIOS), usual(true, makepkg::SCENARIOS)]);
        }
    }
    all
}

/// What one machine is for.
enum Job {
    Story(System, Story),
    Mutation(&'static Mutation),
}

pub(crate) fn run(args: &Args, workspace: &Workspace) -> Result<()> {
    if args.what == [Subject::Depends] {
        return depends::run(workspace);
    }
    let names = match args.what.iter().any(|what| matches!(what, Subject::All | Subject::Depends)) {
        true => depends::run(workspace),
        false => Ok(()),
    };
    let without_machines = |what: &Subject| matches!(what, Subject::Brew | Subject::Depends);
    if !args.what.is_empty() && args.what.iter().all(without_machines) {
        return brew_alone(workspace).and(names);
    }
    machines_too(args, workspace).and(names)
}

/// What brew says needs no machine, and no root.
fn brew_alone(workspace: &Workspace) -> Result<()> {
    let begun = Instant::now();
    let rows = brew::run(workspace)?;
    finish(&rows, begun)?;
    match rows.iter().find_map(|row| row.ended.impossible()) {
        Some(why) => {
            Err(anyhow::Error::new(NotRun(format!("{why}\nhelp: install Homebrew (https://brew.sh)"))))
        }
        None => Ok(()),
    }
}

fn machines_too(args: &Args, workspace: &Workspace) -> Result<()> {
    if let Some(why) = machines::missing() {
        let help = if why.contains("root") { "sudo -E cargo xtask verify" } else { "cargo xtask tools" };
        return Err(anyhow::Error::new(NotRun(format!("{why}\nhelp: {help}"))));
    }
    let jobs = jobs(args)?;
    let begun = Instant::now();
    let packages = {
        let mut suites: Vec<&str> = jobs.iter().flat_map(Job::suites).collect();
        suites.sort_unstable();
        suites.dedup();
        Packages::make(workspace, &suites, jobs.iter().any(Job::is_flatpak))?
    };
    let at_once = args.jobs.or(std::thread::available_parallelism().ok()).map_or(1, NonZeroUsize::get);
    let mut rows = queue::run(&jobs, at_once, &|job| match job {
        Job::Story(system, story) => tell(system, story, &packages),
        Job::Mutation(mutation) => vec![mutations::run(mutation, workspace, &packages)],
    });
    if args.what.iter().any(|what| matches!(what, Subject::All | Subject::Brew)) {
        rows.extend(brew::run(workspace)?);
    }
    finish(&rows, begun)
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

/// What was asked for.
fn jobs(args: &Args) -> Result<Vec<Job>> {
    let all = args.what.contains(&Subject::All);
    let managers: Vec<Manager> = args.what.iter().filter_map(|subject| subject.manager()).collect();
    let mut jobs = Vec::new();
    let only_core = args.what.is_empty() && args.on.is_empty() && args.only.is_empty();
    let only_mutations = !args.what.is_empty() && !all && managers.is_empty();
    if !only_mutations {
        let managers = if all { &[] } else { managers.as_slice() };
        for system in system::chosen(managers, &args.on, all)? {
            for story in stories(&system).into_iter().filter(|story| story.core || !only_core) {
                let scenarios = wanted(story.scenarios, &args.only);
                if !scenarios.is_empty() {
                    jobs.push(Job::Story(system, Story { scenarios, ..story }));
                }
            }
        }
    }
    if all || args.what.contains(&Subject::Mutations) || (args.what.is_empty() && args.on.is_empty()) {
        // Flatpak's wait for compilers: they are no part of every test.
        let asked = all || args.what.contains(&Subject::Mutations);
        let named = |mutation: &&Mutation| {
            is_named(mutation.name, &args.only) && (asked || mutation.manager != Manager::Flatpak)
        };
        jobs.extend(MUTATIONS.iter().filter(named).map(Job::Mutation));
    }
    match jobs.is_empty() {
        true => anyhow::bail!("no scenario's name holds `{}`", args.only.join(", ")),
        false => Ok(jobs),
    }
}

/// Up to the last whose name holds the text: those before are what it builds on.
fn wanted(scenarios: &'static [Scenario], only: &[String]) -> &'static [Scenario] {
    let last = scenarios.iter().rposition(|scenario| is_named(scenario.name, only));
    &scenarios[..last.map_or(0, |last| last + 1)]
}

/// Nothing asked for: everything.
fn is_named(name: &str, only: &[String]) -> bool {
    only.is_empty() || only.iter().any(|text| name.contains(text))
}

impl Job {
    /// Debian releases whose Python is used.
    fn suites(&self) -> Vec<&'static str> {
        match self {
            Job::Story(system, Story { tree: Tree::Upgradable, .. }) => vec![system.suite, system::NEXT],
            Job::Story(system, _) => vec![system.suite],
            Job::Mutation(_) => vec![mutations::SUITE],
        }
    }

    fn is_flatpak(&self) -> bool {
        let manager = match self {
            Job::Story(system, _) => system.manager,
            Job::Mutation(mutation) => mutation.manager,
        };
        manager == Manager::Flatpak
    }
}

/// Boots a machine and goes through its scenarios. None of them runs after one that has failed.
fn tell(system: &System, story: &Story, packages: &Packages) -> Vec<Row> {
    let mut rows = Vec::new();
    let begun = Instant::now();
    let guest = Guest::boot(system, story.tree, packages, &packages.repositories());
    let guest = guest.with_context(|| format!("cannot boot {}", system.name()));
    let guest = guest.inspect(|_| {
        ui::verb("Booted", format_args!("{} in {:.1} s", system.name(), begun.elapsed().as_secs_f64()));
    });
    let guest = guest.map_err(|error| ui::error(&error)).ok();
    let mut broken = guest.is_none();
    for scenario in story.scenarios {
        let begun = Instant::now();
        let ended = match guest.as_ref().filter(|_| !broken) {
            None => Ended::NotRun,
            Some(guest) => match (scenario.run)(guest) {
                Ok(()) => {
                    let took = begun.elapsed().as_secs_f64();
                    ui::verb("Passed", format_args!("{}: {} in {took:.1} s", system.name(), scenario.name));
                    Ended::Well
                }
                Err(error) => {
                    ui::error(&error.context(format!("{}: {}", system.name(), scenario.name)));
                    anstream::eprintln!("{}", guest.evidence());
                    broken = true;
                    Ended::Badly
                }
            },
        };
        rows.push(Row { system: system.name(), scenario: scenario.name, ended, took: begun.elapsed() });
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(what: &[Subject], on: &[&str], only: Option<&str>) -> Args {
        let on = on.iter().map(|suite| (*suite).to_owned()).collect();
        Args { what: what.to_vec(), on, only: only.map(str::to_owned).into_iter().collect(), jobs: None }
    }

    fn count(what: &[Subject], on: &[&str], only: Option<&str>) -> (usize, usize) {
        let jobs = jobs(&args(what, on, only)).unwrap();
        let stories = jobs.iter().filter(|job| matches!(job, Job::Story(..))).count();
        (stories, jobs.len() - stories)
    }

    #[test]
    fn what_is_asked_for_is_run() {
        let (core, mutations) = count(&[], &[], None);
        let of_flatpak = MUTATIONS.iter().filter(|mutation| mutation.manager == Manager::Flatpak).count();
        assert!(of_flatpak > 0 && mutations == MUTATIONS.len() - of_flatpak);
        let (all, too) = count(&[Subject::All], &[], None);
        assert!(all > core && too == MUTATIONS.len());
        assert_eq!(count(&[Subject::Mutations], &[], None), (0, MUTATIONS.len()));
        assert_eq!(count(&[Subject::Flatpak], &[], None), (1, 0));
        assert_eq!(count(&[Subject::Mutations], &[], Some("pg_hba")), (0, 1));
        // Whoever names a system wants nothing else.
        assert_eq!(count(&[Subject::Apt], &["trixie"], Some("purge")), (1, 0));
        assert_eq!(count(&[], &["sid"], Some("first install")), (2, 0));
        assert!(jobs(&args(&[], &[], Some("no such thing"))).is_err());
    }

    #[test]
    fn what_a_scenario_builds_on_runs_before_it() {
        let names: Vec<&str> =
            wanted(life::SCENARIOS, &["reboot".to_owned()]).iter().map(|scenario| scenario.name).collect();
        assert_eq!(names, ["first install", "first start", "data and a reboot"]);
        assert!(wanted(life::SCENARIOS, &["elsewhere".to_owned()]).is_empty());
        assert_eq!(wanted(life::SCENARIOS, &[]).len(), life::SCENARIOS.len());
    }

    #[test]
    fn an_upgrade_needs_the_next_release_s_wheels() {
        let jobs = jobs(&args(&[Subject::Apt], &["bookworm"], Some("distribution upgrade"))).unwrap();
        assert_eq!(jobs.iter().flat_map(Job::suites).collect::<Vec<_>>(), ["bookworm", "trixie"]);
    }
}
