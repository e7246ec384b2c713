//! The formula, by brew itself where it is: in a tap of its own that is removed again, from the source tarball of this checkout.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};

use super::report::{Ended, Row};
use crate::lint::{self, Outcome};
use crate::workspace::Workspace;
use crate::{tools, ui};

pub(super) const SYSTEM: &str = "brew";

/// The words of a row whose computer has no brew.
const NOT_HERE: &str = "brew is not here";
const AS_ROOT: &str = "brew refuses to run as root";
const THERE_ALREADY: &str = "this brew has a mathesar already, which stays";

const TAP: &str = "mathesar-everywhere/verify";
const FORMULA: &str = "mathesar-everywhere/verify/mathesar";

struct Step {
    name: &'static str,
    arguments: &'static [&'static str],
}

/// Each builds on those before.
const STEPS: &[Step] = &[
    Step { name: "brew style", arguments: &["style", FORMULA] },
    Step { name: "brew audit --strict", arguments: &["audit", "--strict", "--formula", FORMULA] },
    Step {
        name: "brew install --build-from-source",
        arguments: &["install", "--build-from-source", "--formula", FORMULA],
    },
    Step { name: "brew test", arguments: &["test", FORMULA] },
];

/// By brew; without it, what another Ruby can tell, and the word that brew has not run.
pub(super) fn run(workspace: &Workspace) -> Result<Vec<Row>> {
    let begun = Instant::now();
    let dist = workspace.target.join("xtask/verify-brew");
    package(workspace, &dist)?;
    ui::verb("Packaging", format_args!("the formula in {:.1} s", begun.elapsed().as_secs_f64()));
    let brew = tools::on_path("brew");
    let why = match &brew {
        None => Some(NOT_HERE),
        Some(_) if rustix::process::geteuid().is_root() => Some(AS_ROOT),
        Some(brew) if said(Command::new(brew).args(["list", "--versions", "mathesar"])).is_ok() => {
            Some(THERE_ALREADY)
        }
        Some(_) => None,
    };
    match (brew, why) {
        (Some(brew), None) => by_brew(&brew, &dist),
        (_, why) => instead(workspace, &dist, why.unwrap_or(NOT_HERE)),
    }
}

fn row(scenario: &'static str, ended: Ended, took: Duration) -> Row {
    Row { system: SYSTEM.to_owned(), scenario, ended, took }
}

fn package(workspace: &Workspace, dist: &Path) -> Result<()> {
    let xtask = std::env::current_exe().context("cannot tell this program's own path")?;
    let mut dist_command = Command::new(xtask);
    dist_command.args(["dist", "tarball", "homebrew", "--out"]).arg(dist).current_dir(&workspace.root);
    said(&mut dist_command).context("cannot package the formula").map(drop)
}

/// Its output; where it fails, what it said is the error.
fn said(command: &mut Command) -> Result<String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command
        .env("HOMEBREW_NO_AUTO_UPDATE", "1")
        .env("HOMEBREW_NO_ANALYTICS", "1")
        .env("HOMEBREW_NO_INSTALL_CLEANUP", "1")
        .env("HOMEBREW_NO_COLOR", "1")
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot run {program}"))?;
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    match output.status.success() {
        true => Ok(out.trim().to_owned()),
        false => bail!("{program} ended with {}:\n{}\n{}", output.status, out.trim(), err.trim()),
    }
}

/// The tap goes with its value, and so does what was installed from it.
struct Tap<'a>(&'a Path);

impl Drop for Tap<'_> {
    fn drop(&mut self) {
        // There may be nothing to uninstall.
        let _ = said(Command::new(self.0).args(["uninstall", "--force", "--formula", FORMULA]));
        let _ = said(Command::new(self.0).args(["untap", "--force", TAP]));
    }
}

fn by_brew(brew: &Path, dist: &Path) -> Result<Vec<Row>> {
    said(Command::new(brew).args(["tap-new", "--no-git", TAP])).context("cannot make a tap")?;
    let _tap = Tap(brew);
    let folder = PathBuf::from(said(Command::new(brew).args(["--repository", TAP]))?).join("Formula");
    fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    let formula = folder.join("mathesar.rb");
    let text = fs::read_to_string(dist.join("homebrew/mathesar.rb")).context("cannot read the formula")?;
    let write =
        |text: &str| fs::write(&formula, text).with_context(|| format!("cannot write {}", formula.display()));
    write(&text)?;
    let mut rows = Vec::new();
    let mut broken = false;
    for step in STEPS {
        let begun = Instant::now();
        if step.arguments.first() == Some(&"install") {
            // Only now, as the address is examined as well.
            write(&at_hand(&text, dist)?)?;
        }
        let ended = match broken {
            true => Ended::NotRun,
            false => match said(Command::new(brew).args(step.arguments)) {
                Ok(_) => {
                    ui::verb("Passed", format_args!("{SYSTEM}: {}", step.name));
                    Ended::Well
                }
                Err(error) => {
                    ui::error(&error.context(format!("{SYSTEM}: {}", step.name)));
                    broken = true;
                    Ended::Badly
                }
            },
        };
        rows.push(row(step.name, ended, begun.elapsed()));
    }
    Ok(rows)
}

/// The formula with the source tarball of this checkout, which is not published yet.
fn at_hand(formula: &str, dist: &Path) -> Result<String> {
    let mut lines: Vec<String> = formula.lines().map(str::to_owned).collect();
    let line =
        lines.iter_mut().find(|line| line.starts_with("  url \"")).context("the formula has no url")?;
    let name = line.trim_end_matches('"').rsplit('/').next().unwrap_or_default().to_owned();
    let tarball = dist.join(&name);
    ensure!(tarball.is_file(), "cannot find {}, which the formula names", tarball.display());
    *line = format!("  url \"file://{}\"", tarball.display());
    Ok(lines.join("\n") + "\n")
}

fn instead(workspace: &Workspace, dist: &Path, why: &'static str) -> Result<Vec<Row>> {
    let begun = Instant::now();
    let mut rows = Vec::new();
    for report in lint::only(workspace, dist, &lint::INSTEAD_OF_BREW)? {
        let ended = match report.outcome {
            Outcome::Passed => Ended::Well,
            Outcome::Findings { findings } => {
                ui::error(&anyhow::anyhow!("{}: {}", report.name, findings.join("\n")));
                Ended::Badly
            }
            Outcome::NotRun { .. } => Ended::Impossible("ruby or rubocop is not here"),
        };
        rows.push(row(report.name, ended, begun.elapsed()));
    }
    ui::warning(format_args!("not run: {why}"));
    rows.extend(STEPS.iter().map(|step| row(step.name, Ended::Impossible(why), Duration::ZERO)));
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    /// A brew that writes down what it is asked for, and refuses what `refuses` names.
    fn fake(folder: &Path, refuses: &str) -> PathBuf {
        let path = folder.join("brew");
        let at = folder.display();
        let text = format!(
            "#!/bin/sh\necho \"$*\" >>{at}/asked\ncase $1 in\n--repository) echo {at}/tap ;;\n{refuses}) echo 'no such stanza'; exit 1 ;;\nesac\n"
        );
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        path
    }

    fn dist(folder: &Path) -> PathBuf {
        let dist = folder.join("dist");
        fs::create_dir_all(dist.join("homebrew")).unwrap();
        let formula = "class Mathesar < Formula\n  url \"https://example.org/v1/mathesar-1-src.tar.gz\"\n  version \"1\"\nend\n";
        fs::write(dist.join("homebrew/mathesar.rb"), formula).unwrap();
        fs::write(dist.join("mathesar-1-src.tar.gz"), "").unwrap();
        dist
    }

    #[test]
    fn brew_is_asked_for_everything_and_left_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let dist = dist(folder.path());
        let rows = by_brew(&fake(folder.path(), "nothing"), &dist).unwrap();
        assert!(rows.iter().all(|row| row.ended == Ended::Well) && rows.len() == STEPS.len());
        let asked = fs::read_to_string(folder.path().join("asked")).unwrap();
        insta::assert_snapshot!(asked, @r"
        tap-new --no-git mathesar-everywhere/verify
        --repository mathesar-everywhere/verify
        style mathesar-everywhere/verify/mathesar
        audit --strict --formula mathesar-everywhere/verify/mathesar
        install --build-from-source --formula mathesar-everywhere/verify/mathesar
        test mathesar-everywhere/verify/mathesar
        uninstall --force --formula mathesar-everywhere/verify/mathesar
        untap --force mathesar-everywhere/verify
        ");
        let formula = fs::read_to_string(folder.path().join("tap/Formula/mathesar.rb")).unwrap();
        assert!(formula.contains(&format!("  url \"file://{}/mathesar-1-src.tar.gz\"\n", dist.display())));
    }

    #[test]
    fn what_brew_refuses_fails_and_the_rest_is_not_run() {
        let folder = tempfile::tempdir().unwrap();
        let rows = by_brew(&fake(folder.path(), "audit"), &dist(folder.path())).unwrap();
        let ended: Vec<Ended> = rows.iter().map(|row| row.ended).collect();
        assert_eq!(ended, [Ended::Well, Ended::Badly, Ended::NotRun, Ended::NotRun]);
        let asked = fs::read_to_string(folder.path().join("asked")).unwrap();
        assert!(asked.ends_with("untap --force mathesar-everywhere/verify\n"), "{asked}");
    }
}
