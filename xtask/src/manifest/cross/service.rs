//! The service: its unit and its user are what the packages install.

use std::ops::Range;

use super::super::problem::{Problem, did_you_mean};
use super::super::{FileEntry, Kind};
use super::{CHANNELS, Facts, file_name, goes_into, name_of};

pub(super) fn check(facts: &mut Facts<'_>) {
    let service = &facts.manifest.service;
    if let Some(span) = facts.at("service/user").filter(|_| service.user == "root") {
        return facts.say(Problem::new("the service runs as root", span, "expected a user of its own"));
    }
    if let Some(span) = facts.at("service/home").filter(|_| service.home.ends_with('/')) {
        facts.say(Problem::new("a home that ends in `/`", span, "expected a directory's name"));
    }
    // An entry whose kind or destination is wrong may have been meant: it has been told of already.
    let count = facts.manifest.file.len();
    let sound = |index: &usize| {
        facts.at(&format!("file/{index}/kind")).is_some() && facts.at(&format!("file/{index}/dest")).is_some()
    };
    if facts.at("file").is_none() || !(0..count).all(|index| sound(&index)) {
        return;
    }
    unit(facts);
    sysusers(facts);
}

fn installed_name(entry: &FileEntry) -> &str {
    if entry.dest.ends_with('/') { file_name(&entry.source) } else { file_name(&entry.dest) }
}

/// `service.unit` is installed in every channel, and its `User=` is `service.user`.
fn unit(facts: &mut Facts<'_>) {
    let manifest = facts.manifest;
    let Some(span) = facts.at("service/unit") else { return };
    let units = || manifest.file.iter().enumerate().filter(|(_, entry)| entry.kind == Kind::Unit);
    let wanted = &manifest.service.unit;
    let without: Vec<&str> = CHANNELS
        .into_iter()
        .filter(|channel| {
            !units().any(|(_, entry)| goes_into(entry, *channel) && installed_name(entry) == wanted)
        })
        .map(name_of)
        .collect();
    if without.len() == CHANNELS.len() {
        let problem = Problem::new(
            format!("no unit `{wanted}` is installed"),
            span,
            "no `[[file]]` of kind `unit` installs it",
        );
        facts.say(match did_you_mean(wanted, units().map(|(_, entry)| installed_name(entry))) {
            Some(near) => problem.help(format!("did you mean `{near}`?")),
            None => problem.help("`[[file]]` with `kind = \"unit\"`"),
        });
        return;
    }
    if !without.is_empty() {
        let title = format!("the unit `{wanted}` is not installed by {}", without.join(" and "));
        facts.say(Problem::new(title, span.clone(), "the service of every package"));
    }
    for (index, entry) in units().filter(|(_, entry)| installed_name(entry) == wanted) {
        for (key, value) in [("User", &manifest.service.user), ("Group", &manifest.service.group)] {
            let path = format!("service/{}", key.to_lowercase());
            let both = facts.at(&path).zip(facts.at(&format!("file/{index}/source")));
            let Some((span, _)) = both else { continue };
            let Ok(text) = std::fs::read_to_string(facts.root.join(&entry.source)) else { continue };
            let Some((found, place)) = setting(&text, key) else { continue };
            if found != *value {
                let title = format!("`{wanted}` runs as another {}: `{found}`", key.to_lowercase());
                let problem = Problem::new(title, span, format!("`{value}` here"));
                facts.say(problem.elsewhere(&entry.source, text.clone(), place, format!("`{found}` here")));
            }
        }
    }
}

/// The last assignment of a key in a unit file, and where.
fn setting(text: &str, key: &str) -> Option<(String, Range<usize>)> {
    let mut start = 0;
    let mut found = None;
    for line in text.split_inclusive('\n') {
        let bare = line.trim_end();
        if let Some(value) = bare.strip_prefix(key).and_then(|rest| rest.trim_start().strip_prefix('=')) {
            found = Some((value.trim().to_owned(), start..start + bare.len()));
        }
        start += line.len();
    }
    found
}

/// Somebody makes the user: a sysusers.d file in every channel, with a line for it (sysusers.d(5)).
fn sysusers(facts: &mut Facts<'_>) {
    let manifest = facts.manifest;
    let Some(span) = facts.at("service/user") else { return };
    let user = &manifest.service.user;
    let files = || manifest.file.iter().filter(|entry| entry.kind == Kind::Sysusers);
    let without: Vec<&str> = CHANNELS
        .into_iter()
        .filter(|channel| !files().any(|entry| goes_into(entry, *channel)))
        .map(name_of)
        .collect();
    if !without.is_empty() {
        let title = format!("nothing makes the user `{user}` in {}", without.join(", "));
        let problem = Problem::new(title, span, "no `[[file]]` of kind `sysusers` does");
        facts.say(problem.help("`[[file]]` with `kind = \"sysusers\"`"));
        return;
    }
    for entry in files() {
        let Ok(text) = std::fs::read_to_string(facts.root.join(&entry.source)) else { continue };
        let made = text
            .lines()
            .filter(|line| line.starts_with('u'))
            .filter_map(|line| line.split_whitespace().nth(1));
        let made: Vec<&str> = made.collect();
        if !made.contains(&user.as_str()) {
            let label = match made.is_empty() {
                true => format!("`{}` makes no user", entry.source),
                false => format!("`{}` makes `{}`", entry.source, made.join("`, `")),
            };
            facts.say(Problem::new(format!("nothing makes the user `{user}`"), span.clone(), label));
        }
    }
}
