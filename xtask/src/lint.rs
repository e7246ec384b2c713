//! `cargo xtask lint`: every checker that this machine has, over dist/ and the repository.

mod checkers;
mod judge;
mod report;
mod runner;
mod scene;

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

use crate::tools::Tools;
use crate::workspace::Workspace;
use crate::{Refused, ui};

pub(crate) use judge::OF_DEBIAN_12;
pub(crate) use report::{Outcome, Report};
use scene::Scene;

/// Run every checker that this machine has over dist/ and the repository, and name those that it has not
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Only these checkers
    #[arg(long, value_name = "NAME", num_args = 1..)]
    only: Vec<String>,
    /// Where the packages are
    #[arg(long, value_name = "DIR", default_value = "dist")]
    dist: PathBuf,
    /// Print the results as JSON
    #[arg(long)]
    json: bool,
}

/// What of brew's checks a machine without brew has.
pub(crate) const INSTEAD_OF_BREW: [&str; 2] = ["ruby", "rubocop"];

/// The checkers of that name over `dist`.
pub(crate) fn only(workspace: &Workspace, dist: &Path, names: &[&str]) -> Result<Vec<Report>> {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let scene = Scene::new(&workspace.root, dist, Tools::new(workspace))?;
    Ok(runner::all(&scene, &checkers::chosen(&names)?))
}

pub(crate) fn run(args: &Args, workspace: &Workspace) -> Result<()> {
    let chosen = checkers::chosen(&args.only)?;
    let dist = workspace.root.join(&args.dist);
    if !dist.is_dir() {
        bail!("cannot find {}\nhelp: cargo xtask dist", dist.display());
    }
    let scene = Scene::new(&workspace.root, &dist, Tools::new(workspace))?;
    let reports = runner::all(&scene, &chosen);
    match args.json {
        true => anstream::println!("{}", serde_json::to_string_pretty(&reports)?),
        false => anstream::print!("{}", report::text(&reports)),
    }
    let failed: Vec<&Report> =
        reports.iter().filter(|report| matches!(report.outcome, Outcome::Findings { .. })).collect();
    if failed.is_empty() {
        let ran = reports.iter().filter(|report| matches!(report.outcome, Outcome::Passed)).count();
        ui::verb("Finished", format!("{ran} of {} checkers ran and found nothing", reports.len()));
        return Ok(());
    }
    let names: Vec<&str> = failed.iter().map(|report| report.name).collect();
    Err(Refused(format!(
        "findings of {}\nhelp: cargo xtask lint --only {}",
        names.join(", "),
        names.join(" ")
    ))
    .into())
}
