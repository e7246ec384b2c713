//! `cargo xtask reproduce`: the packages built twice, in surroundings that differ in all that must not matter.

use std::collections::BTreeMap;
use std::fs::{self, File, FileTimes};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result, bail};
use walkdir::WalkDir;
use xshell::cmd;

use crate::digest;
use crate::tools::Tools;
use crate::workspace::Workspace;
use crate::{Refused, shell, ui};

/// Build everything from two clones that differ in folder, umask at checkout, time zone, locale, host name and file times, and compare
/// every byte of dist/.
///
/// The clones are of the newest commit: what is not committed is not part of it.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Keep the clones
    #[arg(long)]
    keep: bool,
    /// Build in one clone alone, and compare with what lies in dist/, of the newest commit
    #[arg(long)]
    once: bool,
}

/// One of the two surroundings.
struct Surroundings {
    folder: &'static str,
    umask: &'static str,
    time_zone: &'static str,
    locale: &'static str,
    host_name: &'static str,
    /// Of every source file, in seconds since 1970: older and newer than any commit's time.
    mtime: u64,
}

const SURROUNDINGS: [Surroundings; 2] = [
    Surroundings {
        folder: "one",
        umask: "0077",
        time_zone: "Asia/Tokyo",
        locale: "C",
        host_name: "alpha",
        mtime: 915_148_800,
    },
    Surroundings {
        folder: "another folder/with a longer name",
        umask: "0002",
        time_zone: "America/St_Johns",
        locale: "tr_TR.UTF-8",
        host_name: "omega.example",
        mtime: 2_114_380_800,
    },
];

pub(crate) fn run(args: &Args, workspace: &Workspace) -> Result<()> {
    let base = workspace.target.join("xtask/reproduce");
    if base.exists() {
        fs::remove_dir_all(&base).with_context(|| format!("cannot remove {}", base.display()))?;
    }
    let tools = Tools::new(workspace);
    let mut built = Vec::new();
    let mut places = Vec::new();
    if args.once {
        let dist = workspace.root.join("dist");
        built.push(digests(&dist).context("nothing to compare with\nhelp: cargo xtask dist")?);
        places.push(dist);
    }
    // The second one has the more that differs from a usual checkout.
    for surroundings in SURROUNDINGS.iter().skip(built.len()) {
        let folder = base.join(surroundings.folder);
        clone(workspace, &folder, surroundings)?;
        ui::verb("Building", format_args!("dist/ in {} ({})", folder.display(), surroundings.time_zone));
        build(&folder, surroundings, &tools)?;
        built.push(digests(&folder.join("dist"))?);
        places.push(folder.join("dist"));
    }
    let differing = compare(&built[0], &built[1]);
    if !differing.is_empty() {
        for file in &differing {
            anstream::println!("differs: {file}");
        }
        ui::help(format_args!("diffoscope '{}' '{}'", places[0].display(), places[1].display()));
        bail!(Refused(format!("{} of {} files differ", differing.len(), built[0].len())));
    }
    for (file, digest) in &built[0] {
        anstream::println!("{digest}  {}", file.display());
    }
    let from = if args.once { "the checkout and a clone" } else { "two clones" };
    ui::verb("Identical", format_args!("{} files from {from}", built[0].len()));
    if !args.keep {
        fs::remove_dir_all(&base).with_context(|| format!("cannot remove {}", base.display()))?;
    }
    Ok(())
}

fn clone(workspace: &Workspace, folder: &Path, surroundings: &Surroundings) -> Result<()> {
    let shell = shell::at(&workspace.root)?;
    let script = "umask \"$1\" && exec git clone --quiet --no-hardlinks -- . \"$2\"";
    let umask = surroundings.umask;
    cmd!(shell, "sh -c {script} sh {umask} {folder}")
        .quiet()
        .run()
        .with_context(|| format!("cannot clone {}", workspace.root.display()))?;
    let time = SystemTime::UNIX_EPOCH + Duration::from_secs(surroundings.mtime);
    for entry in WalkDir::new(folder).into_iter().filter_entry(|entry| entry.file_name() != ".git") {
        let entry = entry.with_context(|| format!("cannot list {}", folder.display()))?;
        if entry.file_type().is_file() {
            let set =
                File::open(entry.path()).and_then(|file| file.set_times(FileTimes::new().set_modified(time)));
            set.with_context(|| format!("cannot set the time of {}", entry.path().display()))?;
        }
    }
    Ok(())
}

fn build(folder: &Path, surroundings: &Surroundings, tools: &Tools) -> Result<()> {
    let xtask = std::env::current_exe().context("cannot tell which program this is")?;
    let script =
        "umask \"$1\" && shift && if [ -n \"$1\" ]; then hostname \"$1\"; fi && shift && exec \"$@\"";
    // A host name of its own needs a namespace of its own; without one the name stays, and that is said.
    let with_name =
        Command::new("unshare").args(["--uts", "true"]).output().is_ok_and(|output| output.status.success());
    if !with_name {
        ui::warning(
            "not run: the host name is the same in both builds, as `unshare --uts` is not permitted here",
        );
    }
    let mut command = if with_name { Command::new("unshare") } else { Command::new("sh") };
    if with_name {
        command.args(["--uts", "sh"]);
    }
    command
        .args(["-c", script, "sh", surroundings.umask, if with_name { surroundings.host_name } else { "" }])
        .arg(xtask)
        .arg("dist")
        .current_dir(folder)
        .env("TZ", surroundings.time_zone)
        .env("LC_ALL", surroundings.locale)
        .env("XTASK_TOOLS", &tools.folder)
        .env_remove("SOURCE_DATE_EPOCH")
        .env_remove("CARGO_TARGET_DIR");
    let status = command.status().context("cannot run xtask")?;
    if !status.success() {
        bail!("`cargo xtask dist` in {} ended with {status}", folder.display());
    }
    Ok(())
}

fn digests(dist: &Path) -> Result<BTreeMap<PathBuf, String>> {
    let mut digests = BTreeMap::new();
    for entry in WalkDir::new(dist).sort_by_file_name() {
        let entry = entry.with_context(|| format!("cannot list {}", dist.display()))?;
        if entry.file_type().is_file() {
            let relative = entry.path().strip_prefix(dist).unwrap_or(entry.path()).to_owned();
            digests.insert(relative, digest::file(entry.path())?);
        }
    }
    if digests.is_empty() {
        bail!("{} is empty", dist.display());
    }
    Ok(digests)
}

/// The files that are not the same in both, or not in both.
fn compare(one: &BTreeMap<PathBuf, String>, other: &BTreeMap<PathBuf, String>) -> Vec<String> {
    let mut names: Vec<&PathBuf> = one.keys().chain(other.keys()).collect();
    names.sort();
    names.dedup();
    let differs = |name: &&&PathBuf| one.get(**name) != other.get(**name);
    names.iter().filter(differs).map(|name| name.display().to_string()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_file_differs() {
        let one =
            BTreeMap::from([(PathBuf::from("a"), "1".to_owned()), (PathBuf::from("b"), "2".to_owned())]);
        let mut other = one.clone();
        assert!(compare(&one, &other).is_empty());
        other.remove(Path::new("b"));
        other.insert("a".into(), "3".to_owned());
        assert_eq!(compare(&one, &other), ["a", "b"]);
        assert_eq!(compare(&other, &one), ["a", "b"]);
    }
}
