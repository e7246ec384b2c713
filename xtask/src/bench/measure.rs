//! What a program costs: processor time of it and all below it, wall time, memory, and the size of what it made.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};
use serde::Deserialize;

use crate::tools;
use crate::ui;

/// std tells nothing of a child's resources and this workspace has no unsafe code: Python calls getrusage(2).
const PROGRAM: &str = include_str!("measure.py");

/// Something that makes a package.
pub(crate) struct Subject {
    /// Subjects of one format are compared with each other, the first of them with all others.
    pub format: &'static str,
    pub name: String,
    pub command: Command,
    /// The package, or the folder that it is made in.
    pub output: Output,
}

/// Where the package is afterwards.
pub(crate) enum Output {
    File(PathBuf),
    /// The only file with this ending in the folder or one below it.
    Within(PathBuf, &'static str),
}

impl Output {
    fn folder(&self) -> &Path {
        match self {
            Output::File(file) => file.parent().unwrap_or(file),
            Output::Within(folder, _) => folder,
        }
    }

    /// The package's size in bytes.
    fn size(&self) -> Result<u64> {
        let file = match self {
            Output::File(file) => file.clone(),
            Output::Within(folder, ending) => {
                let entries = walkdir::WalkDir::new(folder).into_iter().flatten();
                let fits = |name: &std::ffi::OsStr| name.to_string_lossy().ends_with(ending);
                let found = entries.into_iter().find(|entry| fits(entry.file_name()));
                found.with_context(|| format!("no {ending} was made in {}", folder.display()))?.into_path()
            }
        };
        let data = fs::metadata(&file).with_context(|| format!("cannot read {}", file.display()))?;
        Ok(data.len())
    }
}

/// One run.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Cost {
    /// User and system time of the child and everything below it.
    pub cpu: f64,
    pub wall: f64,
    /// Of the largest process, in MiB; not below Python's own of about 10.
    pub peak: f64,
    pub size: u64,
}

/// Of a program that makes no one file.
#[derive(Deserialize)]
pub(super) struct Used {
    code: i32,
    pub wall: f64,
    pub cpu: f64,
    peak_kib: f64,
}

/// Runs a subject once, from an empty output folder.
pub(super) fn once(subject: &Subject) -> Result<Cost> {
    let folder = subject.output.folder();
    if folder.exists() {
        fs::remove_dir_all(folder).with_context(|| format!("cannot remove {}", folder.display()))?;
    }
    fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
    let used = used(&subject.name, &subject.command)?;
    Ok(Cost { cpu: used.cpu, wall: used.wall, peak: used.peak_kib / 1024.0, size: subject.output.size()? })
}

/// Runs a command once, which has to succeed.
pub(super) fn used(name: &str, command: &Command) -> Result<Used> {
    let Some(python) = tools::on_path("python3") else {
        bail!("python3 is not on PATH, so nothing can be measured\nhelp: apt-get install python3");
    };
    let mut wrapped = Command::new(python);
    wrapped.args(["-I", "-c", PROGRAM]).arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => wrapped.env(name, value),
            None => wrapped.env_remove(name),
        };
    }
    if let Some(folder) = command.get_current_dir() {
        wrapped.current_dir(folder);
    }
    let output = wrapped.stdin(Stdio::null()).output().with_context(|| format!("cannot run {name}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        bail!("{name} cannot be measured: {}", said.trim());
    }
    let used: Used =
        serde_json::from_slice(&output.stdout).with_context(|| format!("cannot read what {name} used"))?;
    if used.code != 0 {
        bail!("{name} ended with {}: {}", used.code, said.trim());
    }
    Ok(used)
}

/// `runs` runs of each, in turn, so that a busy moment hits all alike; the median of each number.
pub(super) fn medians(subjects: &[Subject], runs: usize) -> Result<Vec<Cost>> {
    let mut costs: Vec<Vec<Cost>> = vec![Vec::new(); subjects.len()];
    for run in 1..=runs {
        for (subject, costs) in subjects.iter().zip(&mut costs) {
            ui::verb("Measuring", format!("{} {} ({run} of {runs})", subject.format, subject.name));
            costs.push(once(subject)?);
        }
    }
    Ok(costs.iter().map(|costs| median_cost(costs)).collect())
}

fn median_cost(costs: &[Cost]) -> Cost {
    let of = |part: fn(&Cost) -> f64| median(costs.iter().map(part).collect());
    let mut sizes: Vec<u64> = costs.iter().map(|cost| cost.size).collect();
    sizes.sort_unstable();
    Cost {
        cpu: of(|cost| cost.cpu),
        wall: of(|cost| cost.wall),
        peak: of(|cost| cost.peak),
        size: sizes.get(sizes.len() / 2).copied().unwrap_or_default(),
    }
}

/// The middle one, or the mean of the two in the middle.
pub(super) fn median(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_by(f64::total_cmp);
    let half = numbers.len() / 2;
    match (numbers.len() % 2, numbers.as_slice()) {
        (_, []) => 0.0,
        (1, numbers) => numbers[half],
        (_, numbers) => f64::midpoint(numbers[half - 1], numbers[half]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_of_odd_and_even() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]), 2.5);
        assert_eq!(median(Vec::new()), 0.0);
    }

    fn shell(script: &str, output: Output) -> Subject {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        Subject { format: "deb", name: "a shell".into(), command, output }
    }

    #[test]
    fn a_child_of_a_child_counts() {
        if tools::on_path("python3").is_none() {
            eprintln!("not run: python3 is not on PATH");
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("out/a.deb");
        // Two thirds of a MiB of dd's buffer would not show; 64 MiB do.
        let script = format!("sh -c 'dd if=/dev/zero of={} bs=67108864 count=1'; exit 0", file.display());
        let cost = once(&shell(&script, Output::File(file))).unwrap();
        assert_eq!(cost.size, 67_108_864);
        assert!(cost.peak > 60.0, "{cost:?}");
        assert!(cost.cpu > 0.0 && cost.wall > 0.0, "{cost:?}");
    }

    #[test]
    fn a_failure_says_why() {
        if tools::on_path("python3").is_none() {
            eprintln!("not run: python3 is not on PATH");
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        let within = |name: &str| Output::Within(folder.path().join(name), ".deb");
        let error = once(&shell("echo no space >&2; exit 3", within("a"))).unwrap_err();
        assert_eq!(error.to_string(), "a shell ended with 3: no space");
        let error = once(&shell("true", within("b"))).unwrap_err();
        assert!(error.to_string().starts_with("no .deb was made in"), "{error}");
    }
}
