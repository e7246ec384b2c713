//! No destination twice in one channel, and none below another's file.

use std::collections::BTreeMap;
use std::path::Path;

use super::super::check::fits;
use super::super::problem::Problem;
use super::super::{FileChannel, FileEntry};
use super::{CHANNELS, Facts, file_name, goes_into, name_of};

pub(super) fn check(facts: &mut Facts<'_>) {
    let mut clashes: BTreeMap<(usize, usize), (String, Vec<FileChannel>)> = BTreeMap::new();
    for channel in CHANNELS {
        for (first, second, path) in in_channel(facts, channel) {
            clashes.entry((first, second)).or_insert_with(|| (path, Vec::new())).1.push(channel);
        }
    }
    for ((first, second), (path, channels)) in clashes {
        let spans = (facts.at(&format!("file/{first}/dest")), facts.at(&format!("file/{second}/dest")));
        let (Some(before), Some(here)) = spans else { continue };
        let channels: Vec<&str> = channels.into_iter().map(name_of).collect();
        let dests = (&facts.manifest.file[first].dest, &facts.manifest.file[second].dest);
        let nested = Path::new(dests.0).starts_with(dests.1) || Path::new(dests.1).starts_with(dests.0);
        let title = match dests.0 != dests.1 && nested && !dests.0.ends_with('/') && !dests.1.ends_with('/') {
            true => format!("a file is installed where another needs a directory ({})", channels.join(", ")),
            false => format!("`{path}` is installed twice ({})", channels.join(", ")),
        };
        let problem = Problem::new(title, here, "and here").and(before, "installed here");
        facts.say(problem.help("`channels` of each entry say which packages install it"));
    }
}

/// Pairs of entries that clash, with the path.
fn in_channel(facts: &Facts<'_>, channel: FileChannel) -> Vec<(usize, usize, String)> {
    let mut files: BTreeMap<String, usize> = BTreeMap::new();
    let mut patterns: Vec<(String, usize)> = Vec::new();
    let mut clashes = Vec::new();
    for (index, entry) in facts.manifest.file.iter().enumerate() {
        let sound = |key| facts.at(&format!("file/{index}/{key}")).is_some();
        let channels_sound = entry.channels.is_none() || sound("channels");
        if !goes_into(entry, channel) || !sound("dest") || !sound("source") || !channels_sound {
            continue;
        }
        for dest in expanded(facts.root, entry) {
            let pattern = patterns.iter().find(|(pattern, _)| *pattern == dest || fits(pattern, &dest));
            let same = files.get(&dest).or(pattern.map(|(_, index)| index));
            let covered =
                || files.iter().find(|(file, _)| dest.contains('*') && fits(&dest, file)).map(|(_, at)| at);
            // A file where another wants a directory.
            let above =
                || Path::new(&dest).ancestors().skip(1).find_map(|folder| files.get(folder.to_str()?));
            let below = || {
                let folder = format!("{dest}/");
                files
                    .range(folder.clone()..)
                    .next()
                    .filter(|(file, _)| file.starts_with(&folder))
                    .map(|(_, at)| at)
            };
            if let Some(first) = same.or_else(covered).or_else(above).or_else(below) {
                clashes.push((*first, index, dest));
            } else if dest.contains('*') {
                patterns.push((dest, index));
            } else {
                files.insert(dest, index);
            }
        }
    }
    clashes
}

/// Where the entry's files go; a pattern of generated files, which do not exist yet, stays one.
fn expanded(root: &Path, entry: &FileEntry) -> Vec<String> {
    if !entry.dest.ends_with('/') {
        return vec![entry.dest.clone()];
    }
    let name = file_name(&entry.source);
    if !name.contains('*') || entry.source.starts_with("build:") {
        return vec![format!("{}{name}", entry.dest)];
    }
    let folder = root.join(entry.source.rsplit_once('/').map_or("", |(folder, _)| folder));
    let items = folder.read_dir().into_iter().flatten().flatten();
    let mut found: Vec<String> = items
        .map(|item| item.file_name().to_string_lossy().into_owned())
        .filter(|found| fits(name, found))
        .map(|found| format!("{}{found}", entry.dest))
        .collect();
    found.sort();
    found
}
