//! What was asked for, as machines and what is done in each.

use std::time::Duration;

use anyhow::Result;

use super::mutations::{self, MUTATIONS, Mutation};
use super::report::{Ended, Row};
use super::system::{self, Manager, System, Tree};
use super::{Args, Scenario, Story, Subject};
use super::{
    checkers, embedded, flatpak, hostile_apt, hostile_dnf, hostile_pacman, image, life, makepkg,
    next_release, piuparts, published, rotation, served, troubles,
};
use crate::Usage;

/// What one machine is for.
pub(super) enum Job {
    Story(System, Story),
    Mutation(&'static Mutation),
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
                usual(once, published::SCENARIOS),
                usual(true, rotation::SCENARIOS),
                usual(system.suite == "bookworm", served::itself::SCENARIOS),
                usual(false, embedded::SCENARIOS),
                usual(false, image::SCENARIOS),
                usual(once, piuparts::SCENARIOS),
                usual(false, checkers::LINTIAN),
            ]);
        }
        Manager::Dnf => all.extend([
            usual(true, hostile_dnf::SCENARIOS),
            usual(true, published::SCENARIOS),
            usual(true, rotation::SCENARIOS),
            usual(false, served::itself::SCENARIOS),
            usual(false, image::SCENARIOS),
            usual(false, checkers::RPMLINT),
        ]),
        Manager::Flatpak => {}
        Manager::Pacman => {
            all.extend([
                usual(true, hostile_pacman::SCENARIOS),
                usual(true, rotation::SCENARIOS),
                usual(false, served::itself::SCENARIOS),
                usual(true, makepkg::SCENARIOS),
            ]);
        }
    }
    all
}

/// What was asked for.
pub(super) fn jobs(args: &Args) -> Result<Vec<Job>> {
    let all = args.what.contains(&Subject::All);
    let managers: Vec<Manager> = args.what.iter().filter_map(|subject| subject.manager()).collect();
    let (mut jobs, mut names) = (Vec::new(), Vec::new());
    let only_core = args.what.is_empty() && args.on.is_empty() && args.only.is_empty();
    let only_mutations = !args.what.is_empty() && !all && managers.is_empty();
    if !only_mutations {
        let managers = if all { &[] } else { managers.as_slice() };
        for system in system::chosen(managers, &args.on, all)? {
            for story in stories(&system).into_iter().filter(|story| story.core || !only_core) {
                let scenarios = wanted(story.scenarios, &args.only);
                names.extend(story.scenarios.iter().map(|scenario| scenario.name));
                if !scenarios.is_empty() {
                    jobs.push(Job::Story(system, Story { scenarios, ..story }));
                }
            }
        }
    }
    if all || args.what.contains(&Subject::Mutations) || (args.what.is_empty() && args.on.is_empty()) {
        // Flatpak's wait for compilers: they are no part of every test.
        let asked = all || args.what.contains(&Subject::Mutations);
        let meant = |mutation: &&Mutation| asked || mutation.manager != Manager::Flatpak;
        names.extend(MUTATIONS.iter().filter(meant).map(|mutation| mutation.name));
        let named = |mutation: &&Mutation| is_named(mutation.name, &args.only);
        jobs.extend(MUTATIONS.iter().filter(meant).filter(named).map(Job::Mutation));
    }
    match jobs.is_empty() {
        true => Err(unnamed(&args.only, names)),
        false => Ok(jobs),
    }
}

/// Up to the last whose name holds the text: those before are what it builds on.
fn wanted(scenarios: &'static [Scenario], only: &[String]) -> &'static [Scenario] {
    let last = scenarios.iter().rposition(|scenario| is_named(scenario.name, only));
    &scenarios[..last.map_or(0, |last| last + 1)]
}

/// With the names that there are.
pub(super) fn unnamed(only: &[String], mut names: Vec<&str>) -> anyhow::Error {
    names.sort_unstable();
    names.dedup();
    let (only, names) = (only.join(", "), names.join("; "));
    Usage(format!("no scenario's name holds `{only}`\nhelp: there are: {names}")).into()
}

/// Nothing asked for: everything.
pub(super) fn is_named(name: &str, only: &[String]) -> bool {
    only.is_empty() || only.iter().any(|text| name.contains(text))
}

impl Job {
    /// Debian releases whose Python is used.
    pub(super) fn suites(&self) -> Vec<&'static str> {
        match self {
            Job::Story(system, Story { tree: Tree::Upgradable, .. }) => vec![system.suite, system::NEXT],
            Job::Story(system, _) => vec![system.suite],
            Job::Mutation(_) => vec![mutations::SUITE],
        }
    }

    /// Its rows where this computer cannot do it.
    pub(super) fn not_here(&self, why: &'static str) -> Vec<Row> {
        let (system, names) = match self {
            Job::Story(system, story) => {
                (system.name(), story.scenarios.iter().map(|scenario| scenario.name).collect())
            }
            Job::Mutation(mutation) => (mutations::SYSTEM.to_owned(), vec![mutation.name]),
        };
        let row = |scenario| Row {
            system: system.clone(),
            scenario,
            ended: Ended::Impossible(why),
            took: Duration::ZERO,
        };
        names.into_iter().map(row).collect()
    }

    pub(super) fn is_flatpak(&self) -> bool {
        let manager = match self {
            Job::Story(system, _) => system.manager,
            Job::Mutation(mutation) => mutation.manager,
        };
        manager == Manager::Flatpak
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(what: &[Subject], on: &[&str], only: Option<&str>) -> Args {
        let on = on.iter().map(|suite| (*suite).to_owned()).collect();
        Args {
            what: what.to_vec(),
            on,
            only: only.map(str::to_owned).into_iter().collect(),
            jobs: None,
            served: served::Wanted::default(),
        }
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
        let unknown = jobs(&args(&[], &[], Some("no such thing"))).err().unwrap();
        assert!(unknown.is::<Usage>(), "{unknown}");
        assert!(unknown.to_string().contains("; first start; "), "{unknown}");
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
