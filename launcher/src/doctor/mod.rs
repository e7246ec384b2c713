//! What may be wrong with an installation and the machine under it: each check with a finding, its cause and its cure.
//!
//! Gathering is apart from judging. `Facts` of a group are read from the machine; a group's `checks` is a pure function of
//! them, so that a test can break one fact and see the check fail. Nothing here changes anything.

mod ask;
mod backup;
pub(crate) mod bundle;
mod database;
mod disk;
mod machine;
mod network;
mod others;
mod places;
mod python;
mod reference;
mod release;
mod root;
mod secrets;
mod service;
mod settings;
mod web;

#[cfg(test)]
mod tests;

use serde_json::{Value, json};

pub(crate) use ask::Look;
pub use reference::markdown as reference_markdown;
pub(crate) use root::RootFacts;

/// A fact, or why it is not known: the end of `not checked: …`.
pub(crate) type Known<T> = Result<T, String>;

/// What is said where a check needs the running server.
pub(crate) const NOT_RUNNING: &str = "Mathesar does not run: `mathesar start`";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finding {
    Ok,
    Warning,
    Problem,
    NotChecked,
}

impl Finding {
    /// As scripts see it.
    pub fn name(self) -> &'static str {
        match self {
            Finding::Ok => "ok",
            Finding::Warning => "warning",
            Finding::Problem => "problem",
            Finding::NotChecked => "not-checked",
        }
    }
}

/// What checks are grouped by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Group {
    Settings,
    Places,
    Release,
    Python,
    Database,
    Backups,
    Web,
    Service,
    Machine,
}

impl Group {
    pub fn title(self) -> &'static str {
        match self {
            Group::Settings => "Settings",
            Group::Places => "Places and secrets",
            Group::Release => "Mathesar's release",
            Group::Python => "Python",
            Group::Database => "Database",
            Group::Backups => "Backups",
            Group::Web => "Web",
            Group::Service => "Service and processes",
            Group::Machine => "Machine",
        }
    }
}

/// One check, before it is made. The documentation is generated from these.
#[derive(Debug)]
pub struct Entry {
    /// Stable: scripts and bug reports name it.
    pub id: &'static str,
    pub group: Group,
    /// What a person reads in front of the finding.
    pub title: &'static str,
    /// What is looked at, and why it matters.
    pub doc: &'static str,
}

impl Entry {
    fn check(&'static self, finding: Finding, text: impl Into<String>) -> Check {
        Check { entry: self, finding, text: text.into(), cause: None, cures: Vec::new() }
    }

    pub(crate) fn ok(&'static self, text: impl Into<String>) -> Check {
        self.check(Finding::Ok, text)
    }

    pub(crate) fn warning(&'static self, text: impl Into<String>) -> Check {
        self.check(Finding::Warning, text)
    }

    pub(crate) fn problem(&'static self, text: impl Into<String>) -> Check {
        self.check(Finding::Problem, text)
    }

    pub(crate) fn not_checked(&'static self, why: impl Into<String>) -> Check {
        self.check(Finding::NotChecked, why)
    }
}

/// One check with what it found.
#[derive(Debug, Clone)]
pub struct Check {
    pub entry: &'static Entry,
    pub finding: Finding,
    /// The finding in words; of one that was not made, why.
    pub text: String,
    pub cause: Option<String>,
    /// Commands that help.
    pub cures: Vec<String>,
}

impl Check {
    pub(crate) fn cause(mut self, cause: impl Into<String>) -> Check {
        self.cause = Some(cause.into());
        self
    }

    pub(crate) fn cure(mut self, cure: impl Into<String>) -> Check {
        self.cures.push(cure.into());
        self
    }

    pub fn to_json(&self) -> Value {
        json!({
            "id": self.entry.id,
            "group": self.entry.group.title(),
            "title": self.entry.title,
            "finding": self.finding.name(),
            "text": self.text,
            "cause": self.cause,
            "cures": self.cures,
        })
    }
}

/// Every check there is, as the modules have them.
static ALL: &[&[&Entry]] = &[
    settings::ENTRIES,
    network::ENTRIES,
    places::ENTRIES,
    disk::ENTRIES,
    secrets::ENTRIES,
    release::ENTRIES,
    python::ENTRIES,
    database::ENTRIES,
    backup::ENTRIES,
    web::ENTRIES,
    service::ENTRIES,
    others::ENTRIES,
    machine::ENTRIES,
];

/// In the order of the report.
pub fn entries() -> Vec<&'static Entry> {
    let mut all: Vec<&'static Entry> = ALL.iter().flat_map(|group| group.iter().copied()).collect();
    all.sort_by_key(|entry| entry.group);
    all
}

/// Makes all checks.
pub(crate) fn examine(look: &Look) -> Vec<Check> {
    let mut all = settings::checks(&settings::Facts::gather(look));
    all.extend(network::checks(&network::Facts::gather(look)));
    all.extend(places::checks(&places::Facts::gather(look)));
    all.extend(disk::checks(&disk::Facts::gather(look)));
    all.extend(secrets::checks(&secrets::Facts::gather(look)));
    all.extend(release::checks(&release::Facts::gather(look)));
    all.extend(python::checks(&python::Facts::gather(look)));
    all.extend(database::checks(&database::Facts::gather(look)));
    all.extend(backup::checks(&backup::Facts::gather(look)));
    all.extend(web::checks(&web::Facts::gather(look)));
    all.extend(service::checks(&service::Facts::gather(look)));
    all.extend(others::checks(&others::Facts::gather(look)));
    all.extend(machine::checks(&machine::Facts::gather(look)));
    all.sort_by_key(|check| check.entry.group);
    all
}

pub(crate) fn count(checks: &[Check], finding: Finding) -> usize {
    checks.iter().filter(|check| check.finding == finding).count()
}

/// For a person: groups, a word before each line, causes and commands below.
pub(crate) fn text(checks: &[Check]) -> String {
    use anstyle::{AnsiColor, Style};
    const TITLE: Style = Style::new().bold();
    const HELP: Style = AnsiColor::Cyan.on_default().bold();
    let mut text = String::new();
    let mut group = None;
    for check in checks {
        if group != Some(check.entry.group) {
            let space = if group.is_some() { "\n" } else { "" };
            text.push_str(&format!("{space}{TITLE}{}{TITLE:#}\n", check.entry.group.title()));
            group = Some(check.entry.group);
        }
        // Symbol and word: colours alone say nothing to a log, or to many people.
        let (symbol, word, style) = match check.finding {
            Finding::Ok => ("✓", "ok", AnsiColor::Green.on_default()),
            Finding::Warning => ("!", "warning", AnsiColor::Yellow.on_default().bold()),
            Finding::Problem => ("✗", "problem", AnsiColor::Red.on_default().bold()),
            Finding::NotChecked => ("-", "", Style::new().dimmed()),
        };
        let title = check.entry.title;
        let said = match check.finding {
            Finding::NotChecked => format!("not checked: {}", check.text),
            _ => check.text.clone(),
        };
        text.push_str(&format!("  {style}{symbol} {word:<8}{style:#}{title}: {}\n", indented(&said)));
        if let Some(cause) = &check.cause {
            text.push_str(&format!("             caused by: {}\n", indented(cause)));
        }
        for cure in &check.cures {
            text.push_str(&format!("             {HELP}help{HELP:#}: {}\n", indented(cure)));
        }
    }
    let several = |number: usize, what: &str| match number {
        0 => format!("no {what}s"),
        1 => format!("1 {what}"),
        _ => format!("{number} {what}s"),
    };
    text.push_str(&format!(
        "\n{}: {}, {}; {} not made\n",
        several(checks.len(), "check"),
        several(count(checks, Finding::Problem), "problem"),
        several(count(checks, Finding::Warning), "warning"),
        count(checks, Finding::NotChecked),
    ));
    text
}

fn indented(text: &str) -> String {
    text.trim_end().lines().map(str::trim_end).collect::<Vec<_>>().join("\n               ")
}

pub(crate) fn to_json(checks: &[Check]) -> Value {
    json!({
        "problems": count(checks, Finding::Problem),
        "warnings": count(checks, Finding::Warning),
        "not_checked": count(checks, Finding::NotChecked),
        "checks": checks.iter().map(Check::to_json).collect::<Vec<_>>(),
    })
}
