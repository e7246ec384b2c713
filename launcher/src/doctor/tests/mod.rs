//! Every check is made to fail: a table of checks and how each was broken. Whole-program tests break some of them for real.

mod deep;
mod upper;

use super::{Check, Finding, entries};

/// Which check, how it was broken, what it then finds.
type Row<F> = (&'static str, &'static str, Finding, fn(&mut F));

const PROBLEM: Finding = Finding::Problem;
const WARNING: Finding = Finding::Warning;
const NOT_CHECKED: Finding = Finding::NotChecked;

/// What one row of the table was.
struct Broken {
    id: &'static str,
    how: &'static str,
    check: Check,
}

/// Breaks one fact after another. With sound facts, each check has to be content.
#[track_caller]
fn break_each<F: Clone>(good: &F, checks: fn(&F) -> Vec<Check>, table: &[Row<F>]) -> Vec<Broken> {
    for check in checks(good) {
        assert_eq!(check.finding, Finding::Ok, "sound, and yet: {check:?}");
        assert!(check.cures.is_empty() && check.cause.is_none(), "{check:?}");
    }
    let one = |(id, how, finding, breaking): &Row<F>| {
        let mut facts = good.clone();
        breaking(&mut facts);
        let found = checks(&facts);
        let check = found.into_iter().find(|check| check.entry.id == *id);
        let check = check.unwrap_or_else(|| panic!("no check `{id}` for: {how}"));
        assert_eq!(check.finding, *finding, "{id}: {how}: {check:?}");
        if matches!(finding, Finding::Problem | Finding::Warning) {
            assert!(!check.cures.is_empty(), "{id}: {how}: no cure");
        }
        assert!(!check.text.is_empty() && !check.text.ends_with('.'), "{check:?}");
        Broken { id, how, check }
    };
    table.iter().map(one).collect()
}

#[test]
fn every_check_can_fail() {
    let mut all = Vec::new();
    all.extend(upper::settings());
    all.extend(upper::network());
    all.extend(upper::places());
    all.extend(upper::disk());
    all.extend(upper::secrets());
    all.extend(upper::release());
    all.extend(upper::backup());
    all.extend(deep::python());
    all.extend(deep::database());
    all.extend(deep::web());
    all.extend(deep::service());
    all.extend(deep::others());
    all.extend(deep::machine());
    println!("| check | how it was broken | finding | what it says |\n| --- | --- | --- | --- |");
    for Broken { id, how, check } in &all {
        println!("| {id} | {how} | {} | {} |", check.finding.name(), check.text.replace('\n', "; "));
    }
    for entry in entries() {
        let failing = all.iter().any(|row| row.id == entry.id && row.check.finding != NOT_CHECKED);
        assert!(failing, "nothing makes `{}` fail", entry.id);
    }
    println!("{} checks, broken in {} ways", entries().len(), all.len());
}

#[test]
fn ids_are_names_of_their_own() {
    let mut ids: Vec<&str> = entries().iter().map(|entry| entry.id).collect();
    for id in &ids {
        assert!(id.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-'), "{id}");
    }
    let number = ids.len();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), number);
    assert!(
        entries().iter().all(|entry| entry.doc.ends_with('.') || entry.doc.ends_with(')')),
        "a sentence each"
    );
}

#[test]
fn the_report_says_it_in_words_and_commands() {
    let checks = [
        super::settings::SETTINGS.ok("valid"),
        super::settings::FILES.problem("a\nb").cause("c").cure("`d`"),
        super::web::PAGE.not_checked(super::NOT_RUNNING),
    ];
    let text = anstream::adapter::strip_str(&super::text(&checks)).to_string();
    let expected = "Settings
  ✓ ok      mathesar.conf: valid
  ✗ problem files that settings name: a
               b
             caused by: c
             help: `d`

Web
  -         first page: not checked: Mathesar does not run: `mathesar start`

3 checks: 1 problem, no warnings; 1 not made
";
    assert_eq!(text, expected);
    let json = super::to_json(&checks);
    assert_eq!(
        (&json["problems"], &json["warnings"], &json["not_checked"]),
        (&1.into(), &0.into(), &1.into())
    );
    assert_eq!(json["checks"][1]["id"], "setting-files");
    assert_eq!(json["checks"][2]["finding"], "not-checked");
}
