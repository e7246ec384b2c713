//! `cargo xtask bench data`: for how long nobody is served during an upgrade, and what a backup takes, beside the same by hand.

mod backup;
mod visitor;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context as _, Result};
use mathesar::database::SUPERUSER;

use super::by_hand;
use super::instance::{self, Instance};
use super::report::{Report, Row};
use super::stage::{self, Sources, Stage};
use crate::ui;
use crate::workspace::Workspace;

use visitor::Visitor;

/// How long nobody is served during an upgrade, and what a backup takes, beside the same by hand
///
/// An instance is filled with rows, upgraded from the sample application's first release to its second and rolled back, several times,
/// while a visitor asks for the page every 10 ms; then it is filled up and backed up. Medians are shown. Needs six times the room of
/// the larger database.
#[derive(clap::Args)]
pub(super) struct Args {
    /// Runs of each
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..))]
    runs: u16,
    /// MB of rows during the upgrades
    #[arg(long, default_value_t = 100, value_name = "MB")]
    upgrade: u64,
    /// MB of rows during the backups; 0: none are made
    #[arg(long, default_value_t = 1000, value_name = "MB")]
    backup: u64,
    /// Upgrade to the release in this tarball, instead of the sample application's second
    #[arg(long, value_name = "FILE")]
    next: Option<PathBuf>,
    #[command(flatten)]
    sources: Sources,
}

/// What nobody is served for, at most.
const DOWNTIME: f64 = 6.0;

pub(super) fn run(args: &Args, workspace: &Workspace) -> Result<()> {
    let stage = Stage::build(&args.sources, workspace)?;
    let next = match &args.next {
        Some(file) => fs::canonicalize(file).with_context(|| format!("cannot find {}", file.display()))?,
        None => {
            let folder = stage.work();
            let (_, tarball) = stage::sample(workspace, &folder, "2.0.0", &["base", "v2"])?;
            tarball
        }
    };
    let next = stage.public(&next)?;
    let mut report = Report::default();
    let instance = Instance::fresh(&stage, "data")?;
    ui::verb("Preparing", format!("an instance with {} MB of rows", args.upgrade));
    instance.start(&stage, false)?;
    let socket = instance.socket(&stage)?;
    let filling = Filling { stage: &stage, instance: &instance, socket: &socket };
    filling.fill(args.upgrade)?;
    upgrades(args, &filling, &next, &mut report)?;
    if args.backup > 0 {
        ui::verb("Preparing", format!("{} MB of rows", args.backup));
        filling.fill(args.backup.saturating_sub(args.upgrade))?;
        backup::run(&filling, usize::from(args.runs), &mut report)?;
    }
    instance.stop(&stage)?;
    anstream::println!("{}", report.text());
    Ok(())
}

struct Filling<'a> {
    stage: &'a Stage,
    instance: &'a Instance,
    socket: &'a Path,
}

impl Filling<'_> {
    /// Rows that no compression makes nothing of: numbers in hexadecimal, which pack to about a half.
    fn fill(&self, mb: u64) -> Result<()> {
        // 8 kB hold 25 such rows.
        let rows = mb * 1_000_000 / 8192 * 25;
        self.sql(&format!(
            "CREATE TABLE IF NOT EXISTS ballast (id bigint GENERATED ALWAYS AS IDENTITY, a text, b text, c text, d text, e text, f text, \
             g text, h timestamptz DEFAULT now());\n\
             INSERT INTO ballast (a, b, c, d, e, f, g) SELECT md5(random()::text), md5(random()::text), md5(random()::text), \
             md5(random()::text), md5(random()::text), md5(random()::text), md5(random()::text) FROM generate_series(1, {rows});\n\
             VACUUM (ANALYZE) ballast; CHECKPOINT;"
        ))?;
        self.stage.settle();
        Ok(())
    }

    fn secret(&self, name: &str) -> Result<String> {
        let path = self.instance.state().join("secrets").join(name);
        let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        Ok(text.trim().to_owned())
    }

    fn sql(&self, sql: &str) -> Result<()> {
        let mut psql = self.stage.command(&self.stage.binaries.client("psql"));
        psql.args([
            "-XAtqw",
            "-v",
            "ON_ERROR_STOP=1",
            "--dbname=mathesar",
            "--username",
            SUPERUSER,
            "--host",
        ]);
        psql.arg(self.socket).env("PGPASSWORD", self.secret("database-superuser")?);
        // One by one: VACUUM is nothing for a transaction.
        for statement in sql.split(';').map(str::trim).filter(|statement| !statement.is_empty()) {
            psql.args(["--command", statement]);
        }
        by_hand::finish(psql.stdin(Stdio::null()))
    }
}

fn upgrades(args: &Args, filling: &Filling<'_>, next: &Path, report: &mut Report) -> Result<()> {
    let Filling { stage, instance, socket } = *filling;
    let (mut prepared, mut unprepared, mut theirs, mut back) = (vec![], vec![], vec![], vec![]);
    let name = next.to_str().context("the tarball's name is not UTF-8")?;
    for run in 1..=args.runs {
        for fresh in [true, false] {
            let how = if fresh { "the release to be prepared first" } else { "the release prepared" };
            ui::verb("Measuring", format!("an upgrade, {how} ({run} of {})", args.runs));
            let newer = newer(instance)?;
            if let (true, Some(newer)) = (fresh, newer) {
                instance::remove(&newer)?;
            }
            stage.settle();
            let visitor = Visitor::new(stage.port)?;
            let words = instance.does(stage, &["upgrade", "--from", name])?;
            let (gap, refused) = visitor.end()?;
            if fresh { &mut unprepared } else { &mut prepared }.push(gap);
            report.last_words(&words);
            report.refused += refused;
            stage.settle();
            let visitor = Visitor::new(stage.port)?;
            instance.does(stage, &["rollback", "--discard-newer"])?;
            let (gap, refused) = visitor.end()?;
            back.push(gap);
            report.refused += refused;
        }
        ui::verb("Measuring", format!("the same by hand ({run} of {})", args.runs));
        instance.stop(stage)?;
        let newer = newer(instance)?.context("the newer release is not there any more")?;
        theirs.push(by_hand::upgrade(stage, instance, socket, &newer)?);
        instance.start(stage, true)?;
    }
    report.add(Row::beside("upgrade, nobody served, s", &prepared, &theirs, DOWNTIME));
    report.add(Row::beside("the same, release to be prepared first, s", &unprepared, &theirs, DOWNTIME));
    report.add(Row::median("rollback, nobody served, s", &back, None));
    Ok(())
}

/// The release that is not the current one.
fn newer(instance: &Instance) -> Result<Option<PathBuf>> {
    let app = instance.state().join("app");
    let current = fs::canonicalize(app.join("current")).context("no release is the current one")?;
    let entries = fs::read_dir(&app).with_context(|| format!("cannot list {}", app.display()))?;
    let mut others = entries.flatten().map(|entry| entry.path()).filter(|path| {
        path.join("installed.json").exists() && fs::canonicalize(path).is_ok_and(|path| path != current)
    });
    Ok(others.next())
}
