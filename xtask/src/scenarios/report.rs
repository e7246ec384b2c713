//! What was tried, and how it ended.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::table;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    Well,
    Badly,
    /// One that it builds on has failed.
    NotRun,
    /// This computer cannot do it, for this reason.
    Impossible(&'static str),
}

impl Ended {
    pub(super) fn impossible(self) -> Option<&'static str> {
        match self {
            Ended::Impossible(why) => Some(why),
            _ => None,
        }
    }
}

pub(super) struct Row {
    pub system: String,
    pub scenario: &'static str,
    pub ended: Ended,
    pub took: Duration,
}

/// Scenarios down, systems across: how long each took, or how it ended.
pub(super) fn text(rows: &[Row], all: Duration) -> String {
    let mut systems: Vec<&str> = Vec::new();
    let mut scenarios: Vec<&str> = Vec::new();
    for row in rows {
        if !systems.contains(&row.system.as_str()) {
            systems.push(&row.system);
        }
        if !scenarios.contains(&row.scenario) {
            scenarios.push(row.scenario);
        }
    }
    let cell = |system: &str, scenario: &str| {
        let row = rows.iter().find(|row| row.system == system && row.scenario == scenario);
        row.map_or(String::new(), |row| match row.ended {
            Ended::Well => format!("{:.1} s", row.took.as_secs_f64()),
            Ended::Badly => "FAILED".to_owned(),
            Ended::NotRun | Ended::Impossible(_) => "not run".to_owned(),
        })
    };
    let mut lines: Vec<Vec<String>> = scenarios
        .iter()
        .map(|scenario| {
            let cells = systems.iter().map(|system| cell(system, scenario));
            std::iter::once((*scenario).to_owned()).chain(cells).collect()
        })
        .collect();
    let mut last = vec![format!("together {:.0} s", all.as_secs_f64())];
    last.resize(systems.len() + 1, String::new());
    lines.push(last);
    let head: Vec<&str> = std::iter::once("scenario").chain(systems.iter().copied()).collect();
    let not_run = rows.iter().any(|row| row.ended == Ended::NotRun);
    let note = if not_run { "not run: one that it builds on has failed\n" } else { "" };
    let whys: BTreeSet<String> = rows
        .iter()
        .filter_map(|row| Some(format!("{}: not run: {}\n", row.system, row.ended.impossible()?)))
        .collect();
    format!("{}{note}{}", table::render(&head, lines), whys.into_iter().collect::<String>())
}

/// What ended badly, or was not tried because of that.
pub(super) fn failed(rows: &[Row]) -> usize {
    rows.iter().filter(|row| matches!(row.ended, Ended::Badly | Ended::NotRun)).count()
}

pub(super) fn summary(rows: &[Row]) -> String {
    let rows: Vec<&Row> = rows.iter().filter(|row| row.ended == Ended::Well).collect();
    let systems: BTreeSet<&str> = rows.iter().map(|row| row.system.as_str()).collect();
    let broken = systems.contains(super::mutations::SYSTEM);
    let mutations = rows.iter().filter(|row| row.system == super::mutations::SYSTEM).count();
    let (scenarios, systems) = (rows.len() - mutations, systems.len() - usize::from(broken));
    match (scenarios, mutations) {
        (_, 0) => format!("{scenarios} scenarios on {systems} systems"),
        (0, _) => format!("what was broken on purpose: {mutations} of {mutations} caught"),
        _ => format!(
            "{scenarios} scenarios on {systems} systems; what was broken on purpose: {mutations} of {mutations} caught"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(system: &str, scenario: &'static str, ended: Ended) -> Row {
        Row { system: system.to_owned(), scenario, ended, took: Duration::from_millis(1240) }
    }

    #[test]
    fn systems_stand_beside_each_other() {
        let rows = [
            row("apt on a", "one", Ended::Well),
            row("apt on a", "two", Ended::Badly),
            row("apt on b", "two", Ended::NotRun),
            row(super::super::mutations::SYSTEM, "the unit", Ended::Well),
        ];
        let text = text(&rows, Duration::from_secs(61));
        insta::assert_snapshot!(text, @r"
        scenario       apt on a  apt on b  broken on purpose
        one            1.2 s
        two            FAILED    not run
        the unit                           1.2 s
        together 61 s
        not run: one that it builds on has failed
        ");
        assert_eq!(failed(&rows), 2);
        assert_eq!(summary(&rows), "1 scenarios on 1 systems; what was broken on purpose: 1 of 1 caught");
        assert_eq!(summary(&rows[..3]), "1 scenarios on 1 systems");
        assert_eq!(summary(&rows[3..]), "what was broken on purpose: 1 of 1 caught");
    }

    #[test]
    fn what_cannot_be_done_here_is_not_passed() {
        let rows =
            [row("brew", "style", Ended::Impossible("brew is not here")), row("brew", "ruby", Ended::Well)];
        assert_eq!((failed(&rows), summary(&rows).as_str()), (0, "1 scenarios on 1 systems"));
        insta::assert_snapshot!(text(&rows, Duration::from_secs(1)), @r"
        scenario      brew
        style         not run
        ruby          1.2 s
        together 1 s
        brew: not run: brew is not here
        ");
    }
}
