//! The service: its unit and its user are what the packages install.

use std::ops::Range;

use super::super::problem::{Problem, did_you_mean};
use super::super::{FileChannel, FileEntry, Kind};
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
    scriptlets(facts);
    sysusers(facts);
    owners(facts);
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

/// The scripts that packages run name the same unit, its template, and what a timer of ours starts.
fn scriptlets(facts: &mut Facts<'_>) {
    let manifest = facts.manifest;
    let Some(span) = facts.at("service/unit") else { return };
    let unit = &manifest.service.unit;
    let template = unit.replace(".service", "@.service");
    let of_timer = |word: &str| {
        let timer = word.strip_suffix(".service").map(|stem| format!("{stem}.timer"));
        manifest
            .file
            .iter()
            .any(|entry| entry.kind == Kind::Unit && timer.as_deref() == Some(installed_name(entry)))
    };
    let deb = ["preinst", "postinst", "prerm", "postrm"].map(|name| (&manifest.deb.scripts, name));
    let rpm = ["pre.sh", "post.sh", "preun.sh", "postun.sh"].map(|name| (&manifest.rpm.scripts, name));
    for (folder, name) in deb.into_iter().chain(rpm) {
        let file = format!("{folder}/{name}");
        let Ok(text) = std::fs::read_to_string(facts.root.join(&file)) else { continue };
        let in_a_name = |c: char| c.is_ascii_alphanumeric() || "@._-".contains(c);
        let other = text
            .split(|c| !in_a_name(c))
            .find(|word| word.ends_with(".service") && word != unit && *word != template && !of_timer(word))
            .map(str::to_owned);
        let Some((other, start)) = other.and_then(|other| text.find(&other).map(|start| (other, start)))
        else {
            continue;
        };
        let problem = Problem::new(
            format!("`{file}` is about another unit: `{other}`"),
            span.clone(),
            format!("`{unit}` here"),
        );
        let place = start..start + other.len();
        facts.say(problem.elsewhere(file, text, place, format!("`{other}` here")));
    }
}

/// An owner other than root reaches a .deb and the Arch packages by a line of tmpfiles.d(5) only.
fn owners(facts: &mut Facts<'_>) {
    let manifest = facts.manifest;
    let sources = manifest.file.iter().filter(|entry| entry.kind == Kind::Tmpfiles);
    let lines: String = sources
        .filter_map(|entry| std::fs::read_to_string(facts.root.join(&entry.source)).ok())
        .map(|text| text + "\n")
        .collect();
    for (index, entry) in manifest.file.iter().enumerate() {
        if !goes_into(entry, FileChannel::Deb) && !goes_into(entry, FileChannel::Tarball) {
            continue;
        }
        let [owner, group] = [&entry.owner, &entry.group].map(|name| name.as_deref().unwrap_or("root"));
        let key = if group == "root" { "owner" } else { "group" };
        let Some(span) = facts.at(&format!("file/{index}/{key}")) else { continue };
        // A mode or place that is wrong by itself has been told of.
        let told = entry.mode.is_some() && facts.at(&format!("file/{index}/mode")).is_none()
            || entry.kind == Kind::Config && !entry.dest.starts_with("/etc/");
        let Ok(mode) = entry.mode() else { continue };
        if told || (owner, group) == ("root", "root") {
            continue;
        }
        let wanted = format!("z {} {mode:04o} {owner} {group}", entry.dest);
        let wanted: Vec<&str> = wanted.split(' ').collect();
        if !lines.lines().any(|line| line.split_whitespace().take(5).eq(wanted.iter().copied())) {
            let title = format!("nothing gives `{}` to `{owner}:{group}` in a .deb and on Arch", entry.dest);
            let problem = Problem::new(title, span, "no file of kind `tmpfiles` says so");
            facts.say(problem.help(format!("`{} -` there", wanted.join(" "))));
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
        } else if let Some(span) = facts.at("service/home") {
            let home = &manifest.service.home;
            let words = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
            let same = text.lines().map(words).any(|line| {
                line.get(1) == Some(user) && line.iter().any(|word| word.trim_matches('"') == home)
            });
            if !same {
                let label = format!("`{}` gives `{user}` another", entry.source);
                facts.say(Problem::new(format!("`{user}` is at home elsewhere"), span, label));
            }
        }
    }
}
