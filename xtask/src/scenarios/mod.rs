//! `cargo xtask verify`: the packages installed, upgraded, broken and removed by the real package managers, in throw-away machines with a
//! really booted systemd.

mod guest;
mod hostile_apt;
mod hostile_dnf;
mod hostile_pacman;
mod life;
mod packages;
mod system;

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use crate::workspace::Workspace;
use crate::{Refused, table, ui};

use guest::Guest;
use packages::Packages;
use system::{Manager, System};

/// Install, upgrade, break and remove the packages with the real package managers
///
/// Packages of this checkout, around the sample application of the launcher's tests, in several versions, in signed repositories; each
/// system is a Debian tree, kept for a week, and each scenario a machine over it that is booted and thrown away. Root is needed, and
/// no network once the trees are there. Exits with 77 where this computer cannot boot a machine.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Package managers; all, if none is named
    #[arg(value_enum, value_name = "MANAGER")]
    managers: Vec<Manager>,
    /// Debian releases: bookworm, trixie, sid
    #[arg(long, value_name = "SUITE", value_delimiter = ',')]
    on: Vec<String>,
    /// Only scenarios whose names hold this; those that they build on run as well
    #[arg(long, value_name = "TEXT")]
    only: Option<String>,
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
fn lives(system: &System) -> [&'static [Scenario]; 2] {
    match system.manager {
        Manager::Apt => [life::SCENARIOS, hostile_apt::SCENARIOS],
        Manager::Dnf => [life::without_purge(), hostile_dnf::SCENARIOS],
        Manager::Pacman => [life::without_purge(), hostile_pacman::SCENARIOS],
    }
}

#[derive(Debug)]
enum Ended {
    Well,
    Badly,
    /// One that it builds on has failed.
    NotRun,
}

struct Row {
    system: String,
    scenario: &'static str,
    ended: Ended,
    took: Duration,
}

pub(crate) fn run(args: &Args, workspace: &Workspace) -> Result<()> {
    if let Some(why) = machines::missing() {
        let help = if why.contains("root") { "sudo -E cargo xtask verify" } else { "cargo xtask tools" };
        return Err(anyhow::Error::new(NotRun(format!("{why}\nhelp: {help}"))));
    }
    let systems = system::chosen(&args.managers, &args.on)?;
    let begun = Instant::now();
    let packages = {
        let mut suites: Vec<&str> = systems.iter().map(|system| system.suite).collect();
        suites.dedup();
        Packages::make(workspace, &suites)?
    };
    let mut rows = Vec::new();
    for system in &systems {
        for life in lives(system) {
            let last = match &args.only {
                None => life.len(),
                Some(text) => {
                    let holds = |scenario: &Scenario| scenario.name.contains(text.as_str());
                    life.iter().rposition(holds).map_or(0, |last| last + 1)
                }
            };
            rows.extend(live(system, &life[..last], &packages)?);
        }
    }
    anstream::print!("{}", text(&rows, begun.elapsed()));
    let failed = rows.iter().filter(|row| !matches!(row.ended, Ended::Well)).count();
    match failed {
        0 => {
            ui::verb("Verified", format_args!("{} scenarios on {} systems", rows.len(), systems.len()));
            Ok(())
        }
        failed => {
            Err(Refused(format!("{failed} of {} scenarios did not end well: see above", rows.len())).into())
        }
    }
}

fn live(system: &System, scenarios: &[Scenario], packages: &Packages) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    if scenarios.is_empty() {
        return Ok(rows);
    }
    let begun = Instant::now();
    let guest = Guest::boot(system, packages).with_context(|| format!("cannot boot {}", system.name()))?;
    ui::verb("Booted", format_args!("{} in {:.1} s", system.name(), begun.elapsed().as_secs_f64()));
    let mut broken = false;
    for scenario in scenarios {
        let mut row = Row {
            system: system.name(),
            scenario: scenario.name,
            ended: Ended::NotRun,
            took: Duration::ZERO,
        };
        if !broken {
            let begun = Instant::now();
            let result = (scenario.run)(&guest);
            row.took = begun.elapsed();
            match result {
                Ok(()) => {
                    let took = row.took.as_secs_f64();
                    ui::verb("Passed", format_args!("{}: {} in {took:.1} s", system.name(), scenario.name));
                    row.ended = Ended::Well;
                }
                Err(error) => {
                    ui::error(&error.context(format!("{}: {}", system.name(), scenario.name)));
                    anstream::eprintln!("{}", guest.evidence());
                    row.ended = Ended::Badly;
                    broken = true;
                }
            }
        }
        rows.push(row);
    }
    Ok(rows)
}

fn text(rows: &[Row], all: Duration) -> String {
    let mut lines: Vec<Vec<String>> = rows
        .iter()
        .map(|row| {
            let ended = match row.ended {
                Ended::Well => "passed",
                Ended::Badly => "FAILED",
                Ended::NotRun => "not run: the one before it failed",
            };
            let took = format!("{:.1} s", row.took.as_secs_f64());
            vec![row.system.clone(), row.scenario.to_owned(), ended.to_owned(), took]
        })
        .collect();
    lines.push(vec![
        "together".to_owned(),
        String::new(),
        String::new(),
        format!("{:.0} s", all.as_secs_f64()),
    ]);
    table::render(&["system", "scenario", "result", "time"], lines)
}
