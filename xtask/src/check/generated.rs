//! Files that are made from others and committed: one table, written or compared.

use anyhow::{Context as _, Result};

use super::Problem;
use crate::edit::Edits;
use crate::workspace::Workspace;
use crate::{Refused, ui};

/// A generated file.
#[derive(Debug, Clone)]
pub(crate) struct Generated {
    /// Below the root.
    pub path: &'static str,
    pub text: String,
    /// The command that writes it.
    pub help: &'static str,
}

/// What to do with generated files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    Write,
    Check,
}

/// Writes or compares, and tells.
pub(crate) fn apply_and_tell(workspace: &Workspace, files: &[Generated], mode: Mode) -> Result<()> {
    match mode {
        Mode::Write => {
            let written = write(workspace, files)?;
            match written.is_empty() {
                true => ui::verb("Unchanged", format!("{} generated", plural(files.len(), "file"))),
                false => written.iter().for_each(|path| ui::verb("Wrote", path)),
            }
            Ok(())
        }
        Mode::Check => {
            let problems = drift(workspace, files)?;
            for problem in &problems {
                ui::error(&anyhow::anyhow!("{}: {}", problem.file, problem.message));
            }
            if let Some(help) = problems.iter().find_map(|problem| problem.help.as_deref()) {
                ui::help(help);
            }
            match problems.len() {
                0 => Ok(()),
                many => Err(Refused(plural(many, "problem")).into()),
            }
        }
    }
}

fn plural(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

/// Writes those that differ; their paths.
pub(super) fn write(workspace: &Workspace, files: &[Generated]) -> Result<Vec<String>> {
    let mut edits = Edits::begin(workspace)?;
    for file in files {
        edits.set(file.path, file.text.clone())?;
    }
    edits.commit()
}

pub(super) const DIFFERS: &str = "differs from what it is generated from";

/// Those that differ from what they should be.
pub(super) fn drift(workspace: &Workspace, files: &[Generated]) -> Result<Vec<Problem>> {
    let mut problems = Vec::new();
    for file in files {
        let path = workspace.root.join(file.path);
        let message = match std::fs::read_to_string(&path) {
            Ok(text) if text == file.text => continue,
            Ok(text) => {
                format!("{DIFFERS}\n{}", difference(&text, &file.text))
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => "is not there".to_owned(),
            Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
        };
        problems.push(Problem::error(file.path, message, Some(file.help)));
    }
    Ok(problems)
}

/// Lines of each side that are shown.
const SHOWN: usize = 6;

/// The lines between the common beginning and the common end, shortened.
fn difference(is: &str, should: &str) -> String {
    let (is, should): (Vec<&str>, Vec<&str>) = (is.split('\n').collect(), should.split('\n').collect());
    let start = is.iter().zip(&should).take_while(|(left, right)| left == right).count();
    let left = is.len().min(should.len()) - start;
    let end =
        is.iter().rev().zip(should.iter().rev()).take(left).take_while(|(left, right)| left == right).count();
    let mut text = format!("  line {}:", start + 1);
    for (sign, lines) in [('-', &is), ('+', &should)] {
        let lines = &lines[start..lines.len() - end];
        for line in lines.iter().take(SHOWN) {
            text.push_str(&format!("\n  {sign}{line}"));
        }
        if lines.len() > SHOWN {
            text.push_str(&format!("\n  {sign}… {}", plural(lines.len() - SHOWN, "more line")));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_are_short() {
        assert_eq!(difference("a\nb\nc\n", "a\nx\nc\n"), "  line 2:\n  -b\n  +x");
        assert_eq!(difference("a\n", "a"), "  line 2:\n  -");
        assert_eq!(difference("a\na\n", "a\n"), "  line 2:\n  -a");
        let long: String = (0..20).map(|number| format!("{number}\n")).collect();
        insta::assert_snapshot!(difference("", &long));
    }

    #[test]
    fn drift_is_found_and_cured() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().to_owned();
        let workspace = Workspace { target: root.join("target"), root: root.clone() };
        let files = [Generated { path: "deep/a", text: "one\n".into(), help: "h" }];
        assert_eq!(drift(&workspace, &files).unwrap()[0].message, "is not there");
        assert_eq!(write(&workspace, &files).unwrap(), ["deep/a"]);
        assert!(drift(&workspace, &files).unwrap().is_empty());
        assert!(apply_and_tell(&workspace, &files, Mode::Check).is_ok());
        std::fs::write(root.join("deep/a"), "two\n").unwrap();
        let error = apply_and_tell(&workspace, &files, Mode::Check).unwrap_err();
        assert_eq!(error.downcast_ref::<Refused>().unwrap().0, "1 problem");
        assert!(drift(&workspace, &files).unwrap()[0].message.contains("-two\n  +one"));
    }
}
