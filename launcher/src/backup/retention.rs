//! Which backups may go. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime};

use super::catalog::{Entry, newest_of, newest_verified_of};
use super::manifest::MadeBy;
use super::moment;

/// Those that are both older than `keep_for` and not among the newest `keep`. Never one of another installation, whose marks lie elsewhere; never one that a person has made or that may have been
/// made by one (it is damaged), never one that is needed, never the last good one. Archives of several clusters in one folder
/// do not count against each other.
pub fn choose(all: &[Entry], keep: usize, keep_for: Duration, now: SystemTime) -> Vec<usize> {
    let mut origins: BTreeMap<Option<&str>, Vec<usize>> = BTreeMap::new();
    for (index, entry) in
        all.iter().enumerate().filter(|(_, entry)| entry.is_readable() && entry.whose.was_made_here())
    {
        origins.entry(entry.origin.as_deref()).or_default().push(index);
    }
    let mut chosen: Vec<usize> =
        origins.into_values().flat_map(|of_one| of_one_cluster(all, of_one, keep, keep_for, now)).collect();
    chosen.sort_unstable();
    chosen
}

fn of_one_cluster(
    all: &[Entry],
    mut indexes: Vec<usize>,
    keep: usize,
    keep_for: Duration,
    now: SystemTime,
) -> Vec<usize> {
    let entries: Vec<Entry> = indexes.iter().map(|index| all[*index].clone()).collect();
    // One that lacks a database is no reason to give up the last that has it.
    let whole = || entries.iter().filter(|entry| entry.lacks.is_empty());
    let any = [newest_verified_of(entries.iter()), newest_of(entries.iter())];
    let good: BTreeSet<_> = any
        .into_iter()
        .chain([newest_verified_of(whole()), newest_of(whole())])
        .flatten()
        .map(|entry| &entry.path)
        .collect();
    indexes.retain(|index| all[*index].made_by.is_some_and(|made_by| made_by != MadeBy::Person));
    indexes.sort_by(|a, b| all[*b].age_order().cmp(&all[*a].age_order()));
    let old = |entry: &Entry| {
        let created = moment::parse(&entry.created);
        // One from the future was made by a wrong clock; it may be the newest.
        created.and_then(|created| now.duration_since(created).ok()).is_some_and(|age| age > keep_for)
    };
    let may_go = |index: &usize| {
        let entry = &all[*index];
        !entry.needed && old(entry) && !good.contains(&entry.path)
    };
    indexes.into_iter().skip(keep).filter(may_go).collect()
}
