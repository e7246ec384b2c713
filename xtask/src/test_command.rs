//! `cargo xtask test`: what the README says passes the tests, from a bare machine on.

use std::ffi::OsString;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use crate::scenarios::NOT_RUN;
use crate::tools::{self, Family, PROGRAMS, Tools};
use crate::workspace::Workspace;
use crate::{Refused, ui};

/// Set up what the tests need, then run all of them
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Only what needs no packages: formatting, clippy, unit and snapshot tests, `check`
    #[arg(long)]
    fast: bool,
}

/// One step: a cargo command, run in the repository's root.
#[derive(Debug, Clone, Copy)]
struct Step {
    name: &'static str,
    args: &'static [&'static str],
    /// Also with `--fast`.
    fast: bool,
}

/// What xtask itself does goes through `cargo run`, as the step before may have built it anew.
const STEPS: &[Step] = &[
    // Crates of other systems too: the Flatpak's test resolves the launcher for every platform without a network.
    Step { name: "fetch", args: &["fetch", "--locked"], fast: true },
    Step { name: "fmt", args: &["fmt", "--all", "--check"], fast: true },
    Step {
        name: "clippy",
        args: &["clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"],
        fast: true,
    },
    Step { name: "test", args: &["test", "--workspace", "--locked"], fast: true },
    Step { name: "check", args: &["xtask", "check"], fast: true },
    Step { name: "dist", args: &["xtask", "dist"], fast: false },
    Step { name: "lint", args: &["xtask", "lint"], fast: false },
    // Of what `dist` has just made; two clones would take twice as long.
    Step { name: "reproduce", args: &["xtask", "reproduce", "--once"], fast: false },
    Step { name: "verify", args: &["xtask", "verify"], fast: false },
];

impl Step {
    /// As a person types it.
    fn shown(&self) -> String {
        format!("cargo {}", self.args.join(" "))
    }
}

/// How a step ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ended {
    Well(Duration),
    Badly(Duration),
    /// A step before it failed.
    NotRun,
    /// This computer cannot do it: it said why.
    Impossible,
}

pub(crate) fn run(args: &Args, workspace: &Workspace) -> Result<()> {
    let mut done: Vec<(&str, Ended)> = Vec::new();
    let started = Instant::now();
    if !args.fast {
        set_up(&Tools::new(workspace))?;
        done.push(("set-up", Ended::Well(started.elapsed())));
    }
    let mut failed: Option<(&Step, ExitStatus)> = None;
    for step in STEPS.iter().filter(|step| step.fast || !args.fast) {
        if failed.is_some() {
            done.push((step.name, Ended::NotRun));
            continue;
        }
        ui::verb("Running", step.shown());
        let begun = Instant::now();
        let status = Command::new(cargo())
            .args(step.args)
            .env("RUST_TEST_THREADS", threads().to_string())
            .current_dir(&workspace.root)
            .stdin(Stdio::null())
            .status()
            .with_context(|| format!("cannot run `{}`", step.shown()))?;
        match (status.success(), status.code()) {
            (true, _) => done.push((step.name, Ended::Well(begun.elapsed()))),
            (_, Some(NOT_RUN)) => done.push((step.name, Ended::Impossible)),
            _ => {
                done.push((step.name, Ended::Badly(begun.elapsed())));
                failed = Some((step, status));
            }
        }
    }
    anstream::print!("{}", table(&done, started.elapsed()));
    let Some((step, status)) = failed else {
        ui::verb("Finished", format!("all tests in {}", time(started.elapsed())));
        return Ok(());
    };
    let message = format!("`{}` ended with {status}\nhelp: {}", step.name, step.shown());
    match status.code() {
        Some(4) => Err(Refused(message).into()),
        _ => bail!(message),
    }
}

/// The tests of the whole program mostly wait: for a disk, a server's start, a time limit. One more than there are processors.
fn threads() -> usize {
    std::thread::available_parallelism().map_or(2, usize::from) + 1
}

fn cargo() -> OsString {
    std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}

/// Installs what is missing where it may, else says the command.
fn set_up(tools: &Tools) -> Result<()> {
    let missing = || PROGRAMS.iter().filter(|program| program.test && tools.find(program.name).is_none());
    let family = Family::here();
    let mut packages = tools::packages(missing(), family);
    // Python's `venv` is there without what it installs, on Debian.
    if family == Family::Debian && !has_ensurepip() {
        packages.push("python3-venv");
    }
    if packages.is_empty() {
        for program in missing() {
            ui::warning(format!("{} is not on PATH, so nothing {}", program.name, program.purpose));
        }
        return Ok(());
    }
    let root = rustix::process::geteuid().is_root();
    // What the release does not have is no reason to refuse; with no lists at all nobody can know.
    if family == Family::Debian && !root && has_lists() {
        packages.retain(|package| known(package) || unknown(package));
        if packages.is_empty() {
            return Ok(());
        }
    }
    match plan(family, root, &packages) {
        Plan::Install => apt(&packages),
        Plan::Tell(command) => Err(Refused(format!(
            "the tests need {} that are not installed\nhelp: {command}",
            packages.join(", ")
        ))
        .into()),
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Plan {
    Install,
    Tell(String),
}

fn plan(family: Family, root: bool, packages: &[&str]) -> Plan {
    let command = family.install_command(packages);
    match (family, root, command) {
        (Family::Debian, true, _) => Plan::Install,
        (_, _, Some(command)) => Plan::Tell(if root { command } else { format!("sudo {command}") }),
        (_, _, None) => Plan::Tell(format!("install {}", packages.join(" "))),
    }
}

fn has_ensurepip() -> bool {
    let Some(python) = tools::on_path("python3") else { return false };
    let status = Command::new(python)
        .args(["-c", "import ensurepip, venv"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    status.is_ok_and(|status| status.success())
}

/// One `apt-get install` of everything; `apt-get update` before it only where a package cannot be found, and never beside it:
/// an update may delete the archives that are being installed.
fn apt(packages: &[&str]) -> Result<()> {
    if packages.iter().any(|package| !known(package)) {
        ui::verb("Updating", "the lists of packages");
        apt_get(&["update"], &[])?;
    }
    let (known, unknown_packages): (Vec<&str>, Vec<&str>) =
        packages.iter().partition(|package| known(package));
    for package in unknown_packages {
        unknown(package);
    }
    if known.is_empty() {
        return Ok(());
    }
    ui::verb("Installing", known.join(" "));
    tell_of_services(&known);
    apt_get(&["install", "-y", "--no-install-recommends"], &known)
}

/// Debian starts what it installs, which the tests do not need: they run programs of their own.
fn tell_of_services(packages: &[&str]) {
    let booted = Path::new("/run/systemd/system").exists() && !Path::new("/usr/sbin/policy-rc.d").exists();
    let services: Vec<&str> =
        ["caddy", "nginx", "postgresql"].into_iter().filter(|name| packages.contains(name)).collect();
    if booted && !services.is_empty() {
        let names = services.join(" ");
        ui::warning(format!(
            "Debian starts these services at once; the tests do without: systemctl disable --now {names}"
        ));
    }
}

/// Whether apt could install it.
fn known(package: &str) -> bool {
    let output = Command::new("apt-cache").args(["policy", package]).env("LC_ALL", "C").output();
    output.is_ok_and(|output| has_candidate(&String::from_utf8_lossy(&output.stdout)))
}

/// Says so; false, as nothing can be installed.
fn unknown(package: &str) -> bool {
    ui::warning(format!("this release has no package {package}; what needs it is not run"));
    false
}

fn has_lists() -> bool {
    let entries = std::fs::read_dir("/var/lib/apt/lists").into_iter().flatten().flatten();
    entries.into_iter().any(|entry| entry.file_name().to_string_lossy().contains("_Packages"))
}

fn has_candidate(policy: &str) -> bool {
    let candidate = policy.lines().find_map(|line| line.trim().strip_prefix("Candidate: "));
    candidate.is_some_and(|candidate| candidate != "(none)")
}

fn apt_get(args: &[&str], packages: &[&str]) -> Result<()> {
    let status = Command::new("apt-get")
        .args(["-q", "-o", "DPkg::Lock::Timeout=300"])
        .args(args)
        .args(packages)
        .env("DEBIAN_FRONTEND", "noninteractive")
        .stdin(Stdio::null())
        .stdout(std::io::stderr())
        .status()
        .context("cannot run apt-get")?;
    if !status.success() {
        let command = format!("apt-get {} {}", args.join(" "), packages.join(" "));
        bail!("apt-get ended with {status}\nhelp: {}", command.trim_end());
    }
    Ok(())
}

fn table(done: &[(&str, Ended)], all: Duration) -> String {
    let mut rows: Vec<Vec<String>> = done
        .iter()
        .map(|(name, ended)| {
            let (result, took) = match ended {
                Ended::Well(took) => ("ok", time(*took)),
                Ended::Badly(took) => ("failed", time(*took)),
                Ended::NotRun => ("not run", "-".to_owned()),
                Ended::Impossible => ("not run: see above", "-".to_owned()),
            };
            vec![(*name).to_owned(), result.to_owned(), took]
        })
        .collect();
    rows.push(vec!["together".to_owned(), String::new(), time(all)]);
    crate::table::render(&["step", "result", "time"], rows)
}

/// `3.4 s`, `2 min 05 s`
fn time(took: Duration) -> String {
    match took.as_secs() {
        0..60 => format!("{:.1} s", took.as_secs_f64()),
        seconds => format!("{} min {:02} s", seconds / 60, seconds % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times() {
        assert_eq!(time(Duration::from_millis(3_440)), "3.4 s");
        assert_eq!(time(Duration::from_secs(125)), "2 min 05 s");
    }

    #[test]
    fn a_table_tells_what_was_not_run() {
        let well = Ended::Well(Duration::from_secs(2));
        let done =
            [("fmt", well), ("clippy", Ended::Badly(Duration::from_secs(61))), ("test", Ended::NotRun)];
        insta::assert_snapshot!(table(&done, Duration::from_secs(63)));
    }

    #[test]
    fn only_root_on_debian_installs() {
        assert_eq!(plan(Family::Debian, true, &["fish"]), Plan::Install);
        assert_eq!(
            plan(Family::Debian, false, &["fish", "zsh"]),
            Plan::Tell("sudo apt-get install -y --no-install-recommends fish zsh".into())
        );
        assert_eq!(plan(Family::Fedora, true, &["fish"]), Plan::Tell("dnf install -y fish".into()));
        assert_eq!(plan(Family::Other, false, &["fish"]), Plan::Tell("install fish".into()));
    }

    #[test]
    fn candidates() {
        assert!(has_candidate("fish:\n  Installed: (none)\n  Candidate: 3.6.0-3.1\n"));
        assert!(!has_candidate("fish:\n  Installed: (none)\n  Candidate: (none)\n"));
        assert!(!has_candidate(""));
    }

    #[test]
    fn the_fast_ones_come_first() {
        let order: Vec<bool> = STEPS.iter().map(|step| step.fast).collect();
        assert!(order.is_sorted_by(|a, b| a >= b));
    }
}
