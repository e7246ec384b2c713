//! A backup of a large database beside what people do by hand.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context as _, Result};
use mathesar::database::{REPLICATION, SUPERUSER};

use super::Filling;
use crate::bench::by_hand::finish;
use crate::bench::instance::remove;
use crate::bench::report::{Report, Row};
use crate::ui;

#[derive(Default)]
struct Measured {
    times: Vec<f64>,
    bytes: u64,
}

pub(super) fn run(filling: &Filling<'_>, runs: usize, report: &mut Report) -> Result<()> {
    let stage = filling.stage;
    let (mut ours, mut base, mut whole) = (Measured::default(), Measured::default(), Measured::default());
    for run in 1..=runs {
        for (what, measured, make) in [
            ("`mathesar backup create`", &mut ours, &created as &dyn Fn(&Filling<'_>, &Path) -> Result<()>),
            ("`pg_basebackup --format=tar --gzip`", &mut base, &basebackup),
            ("the same as ours by hand", &mut whole, &all_of_it),
        ] {
            ui::verb("Measuring", format!("{what} ({run} of {runs})"));
            let folder = stage.folder("backup")?;
            stage.settle();
            let begun = Instant::now();
            make(filling, &folder)?;
            measured.times.push(begun.elapsed().as_secs_f64());
            measured.bytes = size(&folder);
            remove(&folder)?;
        }
    }
    report.add(Row::ratio("backup, beside pg_basebackup -Ft -z, s", &ours.times, &base.times, 1.0));
    // Ours also starts the copy once, and counts every row.
    report.add(Row::ratio("backup, beside copy, check, dumps, packing, s", &ours.times, &whole.times, 1.5));
    let mb = |bytes: u64| [bytes as f64 / 1e6];
    report.add(Row::ratio(
        "its size, beside pg_basebackup -Ft -z, MB",
        &mb(ours.bytes),
        &mb(base.bytes),
        2.0,
    ));
    report.add(Row::ratio(
        "its size, beside copy and dumps packed, MB",
        &mb(ours.bytes),
        &mb(whole.bytes),
        1.01,
    ));
    Ok(())
}

fn created(filling: &Filling<'_>, folder: &Path) -> Result<()> {
    let to = folder.to_str().context("the folder's name is not UTF-8")?;
    filling.instance.does(filling.stage, &["backup", "create", "--to", to]).map(drop)
}

/// A program of PostgreSQL's, as this role.
fn client(filling: &Filling<'_>, program: &str, role: &str, secret: &str) -> Result<Command> {
    let mut command = filling.stage.command(&filling.stage.binaries.client(program));
    command.args(["--no-password", "--username", role, "--host"]).arg(filling.socket);
    command.env("PGPASSWORD", filling.secret(secret)?);
    Ok(command)
}

/// With gzip, as every version of it can.
fn basebackup(filling: &Filling<'_>, folder: &Path) -> Result<()> {
    let mut command = client(filling, "pg_basebackup", REPLICATION, "database-replication")?;
    command.args(["--format=tar", "--gzip", "--wal-method=fetch", "--checkpoint=fast", "--pgdata"]);
    finish(command.arg(folder.join("base")))
}

/// Copied, verified, dumped, packed by zstd with all processors, one after another.
fn all_of_it(filling: &Filling<'_>, folder: &Path) -> Result<()> {
    let stage = filling.stage;
    let base = folder.join("base");
    let mut command = client(filling, "pg_basebackup", REPLICATION, "database-replication")?;
    command.args(["--format=plain", "--wal-method=fetch", "--checkpoint=fast", "--pgdata"]);
    finish(command.arg(&base))?;
    finish(stage.command(&stage.binaries.server("pg_verifybackup")).arg("--quiet").arg(&base))?;
    for database in ["mathesar_django", "mathesar"] {
        let mut dump = client(filling, "pg_dump", SUPERUSER, "database-superuser")?;
        dump.args(["--format=custom", "--compress=0", "--file"]).arg(folder.join(format!("{database}.dump")));
        finish(dump.arg(database))?;
    }
    let mut tar = stage.command(Path::new("tar"));
    tar.args(["--create", "--use-compress-program=zstd -3 -T0", "--file"]).arg(folder.join("all.tar.zst"));
    tar.arg("--directory").arg(folder).args(["base", "mathesar_django.dump", "mathesar.dump"]);
    finish(&mut tar)?;
    remove(&base)?;
    for database in ["mathesar_django", "mathesar"] {
        let dump = folder.join(format!("{database}.dump"));
        fs::remove_file(&dump).with_context(|| format!("cannot remove {}", dump.display()))?;
    }
    finish(stage.command(Path::new("sync")).arg(folder.join("all.tar.zst")))
}

fn size(folder: &Path) -> u64 {
    let files = walkdir::WalkDir::new(folder).into_iter().flatten();
    files
        .filter_map(|entry| entry.metadata().ok())
        .filter(|found| found.is_file())
        .map(|found| found.size())
        .sum()
}
