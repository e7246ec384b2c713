//! Runs checkers side by side, as many as there are processors.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context as _, Result};

use super::checkers::Checker;
use super::judge::{Ran, Verdict};
use super::report::{Outcome, Report};
use super::scene::Scene;
use crate::tools;
use crate::ui;

/// The reports are in the order of `checkers`, whichever is done first.
pub(super) fn all(scene: &Scene, checkers: &[&Checker]) -> Vec<Report> {
    let next = AtomicUsize::new(0);
    let done: Mutex<Vec<(usize, Report)>> = Mutex::new(Vec::new());
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..workers.min(checkers.len()) {
            scope.spawn(|| {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let Some(checker) = checkers.get(index) else { break };
                    let report = one(scene, checker);
                    done.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).push((index, report));
                }
            });
        }
    });
    let mut done = done.into_inner().unwrap_or_else(|poisoned| poisoned.into_inner());
    done.sort_by_key(|(index, _)| *index);
    done.into_iter().map(|(_, report)| report).collect()
}

fn one(scene: &Scene, checker: &Checker) -> Report {
    let files = (checker.files)(scene);
    let shown = files.iter().map(|file| scene.shown(file)).collect();
    let report = |outcome, notes| Report { name: checker.name, files: shown, outcome, notes };
    let not_run = |why: String, help| Outcome::NotRun { why, help };
    if files.is_empty() {
        return report(not_run(format!("there is no {}", checker.wants), None), Vec::new());
    }
    let program = match program(scene, checker.program) {
        Ok(program) => program,
        Err((why, help)) => return report(not_run(why, help), Vec::new()),
    };
    if let Some(why) = (checker.unable)(scene, &program) {
        return report(not_run(why, None), Vec::new());
    }
    ui::verb("Checking", format!("with {}", checker.name));
    match run(scene, checker, &program, &files) {
        Ok(verdict) if verdict.findings.is_empty() => report(Outcome::Passed, verdict.notes),
        Ok(verdict) => {
            let findings = verdict.findings.iter().map(|finding| relative(scene, finding)).collect();
            report(Outcome::Findings { findings }, verdict.notes)
        }
        Err(error) => report(Outcome::Findings { findings: vec![format!("{error:#}")] }, Vec::new()),
    }
}

/// Where the program is, or why it is not and how to get it.
fn program(scene: &Scene, name: &str) -> Result<PathBuf, (String, Option<String>)> {
    if let Some(program) = scene.tools.find(name) {
        return Ok(program);
    }
    if name == "zizmor" {
        let install = || Some("cargo xtask tools --install zizmor".to_owned());
        return scene.tools.python_tool(name).map_err(|error| (format!("{error:#}"), install()));
    }
    Err((format!("{name} is not on PATH"), tools::how_to_get(name, scene.family)))
}

fn run(scene: &Scene, checker: &Checker, program: &Path, files: &[PathBuf]) -> Result<Verdict> {
    let mut verdict = Verdict::default();
    for mut command in (checker.commands)(scene, program, files)? {
        let output = command
            .stdin(Stdio::null())
            .env("LC_ALL", "C.UTF-8")
            .env("NO_COLOR", "1")
            .output()
            .with_context(|| format!("cannot run {}", program.display()))?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let ran = Ran {
            success: output.status.success(),
            stdout: text(&output.stdout),
            stderr: text(&output.stderr),
        };
        let found = (checker.judge)(&ran, files);
        verdict.findings.extend(found.findings);
        verdict.notes.extend(found.notes);
    }
    Ok(verdict)
}

/// A finding with paths as a reader knows them.
fn relative(scene: &Scene, finding: &str) -> String {
    let finding = finding.replace(&format!("{}/", scene.payload.display()), "/");
    finding.replace(&format!("{}/", scene.root.display()), "")
}

/// A command with nothing but its program.
pub(super) fn command(program: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(program);
    // One language for what is judged, and one that can say every character.
    command.args(args).env("LC_ALL", "C.UTF-8");
    command
}
