//! `packaging/app.lock` against the manifest's release.

use std::io::ErrorKind;

use anyhow::{Context as _, Result};

use super::{Level, Problem};
use crate::manifest::App;
use crate::pin::lock::{PATH, SOURCES, belongs_to, without_hash};
use crate::workspace::Workspace;

/// What is wrong with the lock, or that there is none yet.
pub(super) fn check(workspace: &Workspace, app: &App) -> Result<Vec<Problem>> {
    let read = |path: &str| {
        let path = workspace.root.join(path);
        match std::fs::read_to_string(&path) {
            Ok(text) => Ok(Some(text)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
        }
    };
    Ok(judge(read(PATH)?.as_deref(), read(SOURCES)?.as_deref(), app))
}

fn judge(lock: Option<&str>, sources: Option<&str>, app: &App) -> Vec<Problem> {
    let pin = format!("cargo xtask pin {}", app.version);
    let help = Some(pin.as_str());
    let Some(lock) = lock else {
        return vec![Problem {
            level: Level::Note,
            file: PATH.to_owned(),
            message: format!("the transitive dependencies of {} are not hash-locked", app.version),
            help: Some(pin),
        }];
    };
    let mut problems = Vec::new();
    match belongs_to(lock) {
        Some(digest) if digest == app.sha256 => {}
        Some(digest) => problems.push(Problem::error(
            PATH,
            format!("belongs to the release {digest}, the manifest pins {}", app.sha256),
            help,
        )),
        None => problems.push(Problem::error(PATH, "does not tell which release it belongs to", help)),
    }
    let bare = without_hash(lock);
    if !bare.is_empty() {
        let message = format!("{} without a hash: {}", bare.len(), bare.join(", "));
        problems.push(Problem::error(PATH, message, help));
    }
    let digest = sources
        .and_then(|sources| serde_json::from_str::<serde_json::Value>(sources).ok())
        .and_then(|sources| sources["release-sha256"].as_str().map(str::to_owned));
    if digest.as_deref() != Some(&app.sha256) {
        let message = match sources {
            Some(_) => "does not belong to the pinned release",
            None => "is not there, though app.lock is",
        };
        problems.push(Problem::error(SOURCES, message, help));
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verdicts() {
        let manifest = crate::pin::parse(include_str!("../testdata/mathesar.toml")).unwrap();
        let app = App { sha256: "abc".into(), version: "0.12.0".into(), ..manifest.app };
        let good = "# release-sha256: abc\nidna==3.10 \\\n    --hash=sha256:1\n";
        let sources = "{\"release-sha256\": \"abc\"}";
        let mut all = String::new();
        for (what, lock, sources) in [
            ("absent", None, None),
            ("good", Some(good.to_owned()), Some(sources)),
            ("of another", Some(good.replace("abc", "def")), Some(sources)),
            ("of none", Some(good.replace("# ", "## ")), Some(sources)),
            ("bare", Some(format!("{good}six==1.17.0\n--index-url x\n")), Some(sources)),
            ("no sources", Some(good.to_owned()), None),
            ("broken sources", Some(good.to_owned()), Some("{")),
        ] {
            all.push_str(&format!("{what}\n"));
            for problem in judge(lock.as_deref(), sources, &app) {
                let help = problem.help.unwrap_or_default();
                all.push_str(&format!(
                    "    {:?} {}: {}\n    help: {help}\n",
                    problem.level, problem.file, problem.message
                ));
            }
        }
        insta::assert_snapshot!(all);
    }
}
