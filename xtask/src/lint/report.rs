//! What the checkers said, for a person and for a script.

use serde::Serialize;

/// One checker's result.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Report {
    pub name: &'static str,
    /// What it read, relative to the repository where it is in it.
    pub files: Vec<String>,
    #[serde(flatten)]
    pub outcome: Outcome,
    /// What was left out on purpose, and why.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "result", rename_all = "kebab-case")]
pub(crate) enum Outcome {
    Passed,
    Findings { findings: Vec<String> },
    NotRun { why: String, help: Option<String> },
}

/// Findings first, then a table of all checkers.
pub(crate) fn text(reports: &[Report]) -> String {
    let mut text = String::new();
    for report in reports {
        if let Outcome::Findings { findings } = &report.outcome {
            text.push_str(&format!("{}:\n", report.name));
            findings.iter().for_each(|finding| text.push_str(&format!("  {finding}\n")));
            text.push('\n');
        }
    }
    let rows = reports.iter().map(|report| {
        vec![report.name.to_owned(), files(&report.files), summary(&report.outcome, &report.notes)]
    });
    text.push_str(&crate::table::render(&["checker", "files", "result"], rows));
    text
}

fn files(files: &[String]) -> String {
    match files {
        [] => "-".to_owned(),
        [file] => file.rsplit('/').next().unwrap_or(file).to_owned(),
        files => format!("{} files", files.len()),
    }
}

fn summary(outcome: &Outcome, notes: &[String]) -> String {
    let mut text = match outcome {
        Outcome::Passed => "ok".to_owned(),
        Outcome::Findings { findings } if findings.len() == 1 => "1 finding".to_owned(),
        Outcome::Findings { findings } => format!("{} findings", findings.len()),
        Outcome::NotRun { why, help: None } => format!("not run: {why}"),
        Outcome::NotRun { why, help: Some(help) } => format!("not run: {why}; help: {help}"),
    };
    for note in notes {
        text.push_str(&format!(" ({note})"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(name: &'static str, files: &[&str], outcome: Outcome, notes: &[&str]) -> Report {
        let own = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        Report { name, files: own(files), outcome, notes: own(notes) }
    }

    #[test]
    fn table() {
        let findings = Outcome::Findings { findings: vec!["W: mathesar: no-manual-page".into()] };
        let not_run = Outcome::NotRun {
            why: "shellcheck is not on PATH".into(),
            help: Some("apt-get install -y shellcheck".into()),
        };
        let text = text(&[
            report("lintian", &["dist/mathesar_0.12.0-1_amd64.deb"], findings, &[]),
            report("shellcheck", &[], not_run, &[]),
            report("appstreamcli", &["a", "b"], Outcome::Passed, &["left out: `x`, as y"]),
        ]);
        insta::assert_snapshot!(text);
    }

    #[test]
    fn json() {
        let reports = [report("zsh", &["_mathesar"], Outcome::Passed, &[])];
        assert_eq!(
            serde_json::to_string(&reports).unwrap(),
            r#"[{"name":"zsh","files":["_mathesar"],"result":"passed"}]"#
        );
    }
}
