//! `cargo xtask bench launcher`: what the launcher costs, beside the same done by hand in the same run.

mod idle;

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use crate::ui;
use crate::workspace::Workspace;

use super::by_hand;
use super::instance::Instance;
use super::report::{Report, Row};
use super::stage::{Sources, Stage};

/// Starts, memory and size of the launcher, beside the same steps by hand
///
/// Everything lies in a temporary folder, runs as `nobody` where root calls it, and is done in turn: ours, by hand, ours, … The
/// median is shown.
#[derive(clap::Args)]
pub(super) struct Args {
    /// Runs of each start; the median is shown
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..))]
    runs: u16,
    #[command(flatten)]
    sources: Sources,
    /// How long the launcher has run when its memory is read
    #[arg(long, value_name = "SECONDS", default_value_t = 20)]
    settle: u64,
}

/// How long the wake-ups are counted.
const IDLE: Duration = Duration::from_secs(10);

pub(super) fn run(args: &Args, workspace: &Workspace) -> Result<()> {
    let stage = Stage::build(&args.sources, workspace)?;
    let runs = usize::from(args.runs);
    let mut report = Report::default();

    // What is fetched now is at hand for all later runs.
    ui::verb("Preparing", "an instance, and warm caches");
    let installed = Instance::fresh(&stage, "installed")?;
    installed.start(&stage, false)?;
    quiet(&stage, &installed, args, &mut report)?;
    installed.stop(&stage)?;

    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for run in 1..=runs {
        ui::verb("Measuring", format!("the start of an installed instance ({run} of {runs})"));
        ours.push(installed.start(&stage, true)?);
        installed.stop(&stage)?;
        theirs.push(by_hand::start(&stage, &installed)?);
    }
    report.add(Row::ratio("installed instance to the first page, s", &ours, &theirs, 1.15));

    let cache = installed.take_cache(&stage)?;
    let (mut ours, mut theirs, mut steps) = (Vec::new(), Vec::new(), Vec::new());
    for run in 1..=runs {
        ui::verb("Measuring", format!("everything from nothing ({run} of {runs})"));
        let fresh = Instance::with_cache(&stage, &format!("fresh-{run}"), &cache)?;
        stage.settle();
        ours.push(fresh.start(&stage, true)?);
        report.last_words(&fresh.words());
        fresh.stop(&stage)?;
        fresh.give_back(&cache)?;
        fresh.remove()?;
        stage.settle();
        let timed = by_hand::from_nothing(&stage, &installed, &cache, &format!("hand-{run}"))?;
        theirs.push(timed.iter().map(|(_, time)| time).sum());
        steps.push(timed);
    }
    report.add(Row::ratio("nothing to the first page, warm caches, s", &ours, &theirs, 0.8));
    report.by_hand(&steps);
    anstream::println!("{}", report.text());
    Ok(())
}

/// What is measured while nothing happens.
fn quiet(stage: &Stage, installed: &Instance, args: &Args, report: &mut Report) -> Result<()> {
    ui::verb("Measuring", format!("the launcher at rest ({} s)", args.settle + IDLE.as_secs()));
    let pid = installed.pid(stage)?;
    std::thread::sleep(Duration::from_secs(args.settle));
    let before = idle::wakeups(pid)?;
    std::thread::sleep(IDLE);
    let after = idle::wakeups(pid)?;
    report.add(Row::limit("memory of `mathesar run`, MB", idle::resident(pid)? as f64 / 1e6, Some(8.0), 2));
    let most = after.iter().map(|(thread, count)| count - before.get(thread).unwrap_or(&0)).max();
    let seconds = IDLE.as_secs_f64();
    let most = most.unwrap_or_default() as f64 / seconds;
    report.add(Row::limit("wake-ups a second of its busiest thread", most, Some(1.0), 2));
    let all = after.values().sum::<u64>().saturating_sub(before.values().sum()) as f64 / seconds;
    report.add(Row::limit("wake-ups a second of all its threads", all, None, 2));
    let (home, binary) = (installed.home(), stage.launcher());
    let status = || {
        let mut command = stage.command(&binary);
        command.arg("--home").arg(&home).arg("status");
        command
    };
    let version = || {
        let mut command = stage.command(&binary);
        command.arg("--version");
        command
    };
    report.add(Row::limit("`mathesar status`, ms", often(status)? * 1e3, Some(50.0), 1));
    report.add(Row::limit("`mathesar --version`, ms", often(version)? * 1e3, None, 1));
    let size = binary.metadata().context("cannot read the launcher's size")?.len();
    report.add(Row::limit("size of the binary, MB", size as f64 / 1e6, Some(6.0), 2));
    Ok(())
}

/// The median time of a short command.
fn often(mut command: impl FnMut() -> std::process::Command) -> Result<f64> {
    const TIMES: usize = 25;
    let mut times = Vec::new();
    for _ in 0..TIMES {
        let begun = Instant::now();
        let output = command().output().context("cannot run the launcher")?;
        times.push(begun.elapsed().as_secs_f64());
        if !output.status.success() {
            bail!("the launcher failed: {}", String::from_utf8_lossy(&output.stderr).trim());
        }
    }
    Ok(super::measure::median(times))
}
