//! `cargo xtask bench`: what our packages cost and weigh beside others' of the same files, and what the launcher, its
//! care for the data, and publishing cost beside the same by hand.

mod by_hand;
mod data;
mod instance;
mod launcher;
mod measure;
mod release;
mod report;
mod stage;
mod subjects;
mod web;

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use tempfile::TempDir;

use crate::tools::Tools;
use crate::ui;
use crate::workspace::Workspace;

use measure::{Cost, Subject};
use subjects::Payload;

/// Measure what xtask makes, beside what others make of the same files
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(clap::Subcommand)]
enum What {
    /// CPU, wall time, memory and size of each format, beside nfpm, dpkg-deb and rpmbuild
    Dist(Dist),
    Launcher(launcher::Args),
    Data(data::Args),
    Release(release::Args),
}

#[derive(clap::Args)]
struct Dist {
    /// Runs of each; the median is shown
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..))]
    runs: u16,
    /// Where our packages are
    #[arg(long, value_name = "DIR", default_value = "dist")]
    dist: PathBuf,
    /// Measure the others only, with what is in DIR as it is
    #[arg(long)]
    peers_only: bool,
}

/// The stripped launcher's aim.
const LAUNCHER_AIM: u64 = 6_000_000;

/// Format, channel, ending of its package.
const FORMATS: [(&str, &str, &str); 3] =
    [("deb", "deb", ".deb"), ("rpm", "rpm", ".rpm"), ("pacman", "pacman", ".pkg.tar.zst")];

pub(crate) fn run(args: &Args, workspace: &Workspace) -> Result<()> {
    match &args.what {
        What::Dist(args) => dist(args, workspace),
        What::Launcher(args) => launcher::run(args, workspace),
        What::Data(args) => data::run(args, workspace),
        What::Release(args) => release::run(args, workspace),
    }
}

fn dist(args: &Dist, workspace: &Workspace) -> Result<()> {
    let tools = Tools::new(workspace);
    let folder = TempDir::with_prefix("mathesar-bench-").context("cannot create a temporary folder")?;
    let dist = workspace.root.join(&args.dist);
    let mut launcher = None;
    for (format, channel, ending) in FORMATS {
        let Some(package) = package(&dist, ending) else {
            ui::warning(format!("not run: there is no {} in {}", format_args!("*{ending}"), dist.display()));
            continue;
        };
        let out = folder.path().join(format);
        let payload = Payload::of(&package, &out.join("tree"))?;
        launcher = launcher.or_else(|| size(&payload.tree.join("usr/bin/mathesar")));
        let mut subjects = Vec::new();
        if !args.peers_only {
            subjects.push(subjects::ours(format, channel, ending, &out)?);
        }
        subjects.extend(peers(&tools, format, &package, &payload, &out)?);
        if subjects.is_empty() {
            continue;
        }
        let costs = measure::medians(&subjects, usize::from(args.runs))?;
        anstream::println!("### {format}: {} files, {} bytes\n", payload.files.len(), group(payload.bytes()));
        anstream::println!("{}", table(&subjects, &costs));
    }
    let Some(launcher) = launcher else {
        bail!("nothing was measured\nhelp: cargo xtask dist");
    };
    let verdict = if launcher <= LAUNCHER_AIM { "within" } else { "ABOVE" };
    anstream::println!("Launcher: {} bytes, {verdict} the aim of {}.", group(launcher), group(LAUNCHER_AIM));
    Ok(())
}

/// Those that this machine has.
fn peers(
    tools: &Tools,
    format: &'static str,
    package: &Path,
    payload: &Payload,
    out: &Path,
) -> Result<Vec<Subject>> {
    let mut subjects = Vec::new();
    let found = tools.find("nfpm").map_or_else(|| tools.python_tool("nfpm"), Ok);
    match found {
        Ok(nfpm) => {
            // Its Arch packages are always zstd.
            let compressions: &[&'static str] =
                if format == "pacman" { &["zstd"] } else { &["gzip", "xz", "zstd"] };
            for compression in compressions {
                subjects.push(subjects::nfpm(&nfpm, payload, format, compression, out)?);
            }
        }
        Err(error) => ui::warning(format!("not run: nfpm: {error:#}")),
    }
    if format == "deb" {
        for compression in ["xz", "zstd"] {
            subjects.push(subjects::dpkg_deb(package, compression, out)?);
        }
    }
    if format == "rpm" {
        match tools.find("rpmbuild") {
            Some(rpmbuild) => {
                for kind in ["w6.xzdio", "w19.zstdio"] {
                    subjects.push(subjects::rpmbuild(&rpmbuild, payload, kind, out)?);
                }
            }
            None => ui::warning("not run: rpmbuild is not on PATH"),
        }
    }
    Ok(subjects)
}

fn package(dist: &Path, ending: &str) -> Option<PathBuf> {
    let entries = walkdir::WalkDir::new(dist).min_depth(1).max_depth(1).sort_by_file_name();
    let fits = |name: &std::ffi::OsStr| name.to_string_lossy().ends_with(ending);
    entries.into_iter().flatten().find(|entry| fits(entry.file_name())).map(walkdir::DirEntry::into_path)
}

fn size(file: &Path) -> Option<u64> {
    file.metadata().ok().map(|data| data.len())
}

/// Each number, and in brackets how many times the first row's it is.
fn table(subjects: &[Subject], costs: &[Cost]) -> String {
    let first = costs.first();
    let rows = subjects.iter().zip(costs).map(|(subject, cost)| {
        let times = |number: f64, base: Option<f64>| match base {
            Some(base) if base > 0.0 => format!(" ({:.2}×)", number / base),
            _ => String::new(),
        };
        let cpu = times(cost.cpu, first.map(|cost| cost.cpu));
        let size = times(cost.size as f64, first.map(|cost| cost.size as f64));
        vec![
            subject.name.clone(),
            format!("{:.2}{cpu}", cost.cpu),
            format!("{:.2}", cost.wall),
            format!("{:.1}", cost.peak),
            format!("{}{size}", group(cost.size)),
        ]
    });
    crate::table::markdown(&["by", "CPU s", "wall s", "peak MiB", "bytes"], rows)
}

/// `1,234,567`
fn group(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;
    use measure::Output;

    #[test]
    fn groups() {
        assert_eq!(group(0), "0");
        assert_eq!(group(999), "999");
        assert_eq!(group(1_000), "1,000");
        assert_eq!(group(12_345_678), "12,345,678");
    }

    #[test]
    fn a_table_of_ratios() {
        let subject = |name: &str| Subject {
            format: "deb",
            name: name.into(),
            command: Command::new("true"),
            output: Output::File("x".into()),
        };
        let cost = |cpu, size| Cost { cpu, wall: 1.0, peak: 33.51, size };
        insta::assert_snapshot!(table(
            &[subject("ours"), subject("nfpm gzip")],
            &[cost(2.0, 1_000_000), cost(0.5, 1_210_000)]
        ));
    }
}
