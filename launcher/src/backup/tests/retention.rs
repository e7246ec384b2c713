//! Properties that hold for every collection of backups, not only for those that somebody thought of.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::{Random, seed};
use crate::backup::catalog::{Entry, Kind};
use crate::backup::manifest::MadeBy;
use crate::backup::moment;
use crate::backup::origin::Whose;
use crate::backup::retention::choose;

const DAY: u64 = 86_400;

fn now() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_795_416_600)
}

fn entry(number: usize, age: i64, made_by: MadeBy, origin: &str) -> Entry {
    let seconds = 1_795_416_600_i64 - age;
    Entry {
        path: format!("/b/mathesar-{number}.tar.zst").into(),
        created: moment::text(UNIX_EPOCH + Duration::from_secs(seconds as u64)),
        version: Some("0.12.0".to_owned()),
        kind: Some(Kind::Physical),
        made_by: Some(made_by),
        note: None,
        bytes: 1,
        verified: None,
        digest: None,
        origin: Some(origin.to_owned()),
        whose: Whose::Own,
        lacks: Vec::new(),
        damaged: None,
        needed: false,
    }
}

fn any(random: &mut Random) -> Vec<Entry> {
    let count = random.below(30) as usize;
    let clusters = 1 + random.below(2);
    let mut all = Vec::new();
    for number in 0..count {
        let made_by = [MadeBy::Person, MadeBy::Timer, MadeBy::Timer, MadeBy::Upgrade, MadeBy::Restore]
            [random.below(5) as usize];
        // Some from the future, several of one second.
        let age = random.below(90 * DAY) as i64 / DAY as i64 * DAY as i64 - 3 * DAY as i64;
        let mut entry = entry(number, age, made_by, &random.below(clusters).to_string());
        match random.below(12) {
            0 => {
                (entry.damaged, entry.made_by, entry.kind) = (Some("cut off".to_owned()), None, None);
                entry.origin = None;
            }
            1 => (entry.kind, entry.needed) = (Some(Kind::Copy), true),
            2 => entry.needed = true,
            3..=5 => entry.verified = Some("2026-11-01T00:00:00Z".to_owned()),
            6 => entry.created = "some day".to_owned(),
            7 => {
                entry.whose =
                    [Whose::Another, Whose::Unknown, Whose::Earlier, Whose::Brought][random.below(4) as usize]
            }
            _ => {}
        }
        all.push(entry);
    }
    all
}

fn age(entry: &Entry) -> Option<Duration> {
    now().duration_since(moment::parse(&entry.created)?).ok()
}

#[test]
fn what_has_to_stay_stays() {
    let mut random = Random(seed());
    let (mut chosen_in_all, mut collections) = (0, 0);
    for _ in 0..5_000 {
        let all = any(&mut random);
        let keep = random.below(8) as usize;
        let keep_for = Duration::from_secs(random.below(60 * DAY));
        let chosen = choose(&all, keep, keep_for, now());
        let say = || format!("keep {keep}, for {keep_for:?}: chose {chosen:?} of {all:#?}");
        chosen_in_all += chosen.len();
        collections += 1;
        for (at, index) in chosen.iter().enumerate() {
            let entry = &all[*index];
            assert!(!chosen[..at].contains(index), "twice: {}", say());
            assert!(entry.made_by.is_some() && entry.made_by != Some(MadeBy::Person), "{}", say());
            assert!(entry.is_readable() && !entry.needed && entry.whose.was_made_here(), "{}", say());
            assert!(age(entry).is_some_and(|age| age > keep_for), "not old: {}", say());
            // So many newer ones stay that somebody did not ask for.
            let newer = all.iter().enumerate().filter(|(other, newer)| {
                !chosen.contains(other)
                    && newer.origin == entry.origin
                    && newer.made_by.is_some_and(|made_by| made_by != MadeBy::Person)
                    && newer.is_readable()
                    && newer.whose.was_made_here()
                    && newer.created >= entry.created
            });
            assert!(newer.count() >= keep, "too few: {}", say());
        }
        for origin in ["0", "1"] {
            let good = |entry: &&Entry| entry.is_readable() && entry.origin.as_deref() == Some(origin);
            let newest = |verified: bool| {
                let good = all.iter().filter(good).filter(|entry| !verified || entry.verified.is_some());
                good.map(|entry| entry.created.clone()).max()
            };
            for (verified, last) in [true, false].map(|verified| (verified, newest(verified))) {
                let stays = |(index, entry): (usize, &Entry)| {
                    !chosen.contains(&index)
                        && good(&entry)
                        && (!verified || entry.verified.is_some())
                        && Some(&entry.created) == last.as_ref()
                };
                let stays = all.iter().enumerate().any(stays);
                assert!(last.is_none() || stays, "the last good one (verified: {verified}) goes: {}", say());
            }
        }
    }
    println!("{collections} collections, {chosen_in_all} of them removed");
    assert!(chosen_in_all > 1_000, "hardly anything was ever chosen");
}

#[test]
fn the_order_of_the_list_and_a_second_time_change_nothing() {
    let mut random = Random(seed());
    for _ in 0..1_000 {
        let mut all = any(&mut random);
        let keep = 1 + random.below(4) as usize;
        let keep_for = Duration::from_secs(random.below(30 * DAY));
        let paths = |all: &[Entry]| {
            let chosen = choose(all, keep, keep_for, now());
            let mut paths: Vec<_> = chosen.into_iter().map(|index| all[index].path.clone()).collect();
            paths.sort();
            paths
        };
        let first = paths(&all);
        for index in (1..all.len()).rev() {
            all.swap(index, random.below(index as u64 + 1) as usize);
        }
        assert_eq!(paths(&all), first);
        all.retain(|entry| !first.contains(&entry.path));
        assert_eq!(paths(&all), Vec::<std::path::PathBuf>::new(), "pruned twice");
    }
}

#[test]
fn a_folder_in_use() {
    let timer = |number: usize, days: i64| entry(number, days * DAY as i64 + 1, MadeBy::Timer, "a");
    let month = Duration::from_secs(30 * DAY);
    // One a day for forty days: ten are older than a month.
    let mut all: Vec<Entry> = (0..40).map(|day| timer(day as usize, day)).collect();
    assert_eq!(choose(&all, 7, month, now()), (30..40).collect::<Vec<_>>());
    // The only one that was ever verified stays, however old.
    all[39].verified = Some("2026-10-16T00:00:00Z".to_owned());
    assert_eq!(choose(&all, 7, month, now()), (30..39).collect::<Vec<_>>());
    // The timer stood still for a year: the newest seven stay.
    let old: Vec<Entry> = (0..10).map(|day| timer(day as usize, 365 + day)).collect();
    assert_eq!(choose(&old, 7, month, now()), [7, 8, 9]);
    // Those of another instance in the same folder are no reason to remove the last ones of this.
    let mut two = vec![entry(0, 100 * DAY as i64, MadeBy::Timer, "b")];
    two.extend((1..10).map(|day| timer(day, day as i64)));
    assert_eq!(choose(&two, 7, month, now()), [0_usize; 0]);
    // One that lacks a database takes not the place of those that have it.
    let mut lacking = old.clone();
    for entry in &mut lacking[..9] {
        entry.lacks = vec!["people".to_owned()];
    }
    assert_eq!(choose(&lacking, 7, month, now()), [7, 8]);
    // Clock set back by a year: everything is from the future, and stays.
    let earlier = now() - Duration::from_secs(365 * DAY);
    assert_eq!(choose(&all, 1, month, earlier), [0_usize; 0]);
}
