//! Walks the graph: each step as soon as what it needs is true, independent ones at the same time.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use super::event::Telling;
use super::{Event, Kind, Step, Watcher};
use crate::failure::Failure;
use crate::progress::Progress;

/// Does these steps and what they need, none twice. `work` says whether it changed something. After a failure nothing new
/// begins, what is under way ends, and the first failure is told.
pub fn walk(
    wanted: &[Step],
    watcher: &dyn Watcher,
    work: &(dyn Fn(Step, &dyn Progress) -> Result<bool, Failure> + Sync),
) -> Result<BTreeMap<Step, Duration>, Failure> {
    let mut waiting = closure(wanted);
    let mut done: BTreeMap<Step, Duration> = BTreeMap::new();
    let mut failure = None;
    std::thread::scope(|scope| {
        let (sender, results) = mpsc::channel();
        let mut under_way = 0;
        loop {
            if failure.is_none() {
                let ready: Vec<Step> = waiting
                    .iter()
                    .copied()
                    .filter(|step| step.needs().iter().all(|needed| done.contains_key(needed)))
                    .collect();
                for step in ready {
                    waiting.remove(&step);
                    under_way += 1;
                    let sender = sender.clone();
                    let body = move || {
                        let begun = Instant::now();
                        watcher.tell(&Event { step, kind: Kind::Begun });
                        let result = work(step, &Telling { step, watcher });
                        let took = begun.elapsed();
                        let kind = match &result {
                            Ok(changed) => Kind::Ended { took, changed: *changed },
                            Err(failure) => Kind::Failed(failure.to_string()),
                        };
                        watcher.tell(&Event { step, kind });
                        let _ = sender.send((step, result.map(|_| took)));
                    };
                    let spawned =
                        std::thread::Builder::new().name(step.name().to_owned()).spawn_scoped(scope, body);
                    if let Err(cause) = spawned {
                        under_way -= 1;
                        failure = Some(Failure::new("cannot start a thread").cause(cause));
                    }
                }
            }
            if under_way == 0 {
                break;
            }
            match results.recv() {
                Ok((step, Ok(took))) => drop(done.insert(step, took)),
                Ok((_, Err(why))) => drop(failure.get_or_insert(why)),
                Err(_) => break,
            }
            under_way -= 1;
        }
    });
    match failure {
        Some(failure) => Err(failure),
        None => Ok(done),
    }
}

fn closure(wanted: &[Step]) -> BTreeSet<Step> {
    let mut all = BTreeSet::new();
    let mut left: Vec<Step> = wanted.to_vec();
    while let Some(step) = left.pop() {
        if all.insert(step) {
            left.extend(step.needs());
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::super::SETUP;
    use super::*;
    use std::sync::Mutex;

    struct Deaf;
    impl Watcher for Deaf {
        fn tell(&self, _: &Event) {}
    }

    #[test]
    fn nothing_begins_before_what_it_needs() {
        let order = Mutex::new(Vec::new());
        let took = walk(&[Step::Server], &Deaf, &|step, _| {
            let mut order = order.lock().unwrap();
            assert!(step.needs().iter().all(|needed| order.contains(needed)), "{step:?} in {order:?}");
            order.push(step);
            Ok(false)
        })
        .unwrap();
        assert_eq!(took.len(), SETUP.len() + 1);
    }

    #[test]
    fn independent_steps_overlap() {
        // Each waits until the other has begun: one after another would never end.
        let barrier = std::sync::Barrier::new(2);
        walk(&[Step::Release, Step::Postgresql], &Deaf, &|step, _| {
            if matches!(step, Step::Release | Step::Postgresql) {
                barrier.wait();
            }
            Ok(true)
        })
        .unwrap();
    }

    #[test]
    fn after_a_failure_nothing_new_begins() {
        let order = Mutex::new(Vec::new());
        let failure = walk(SETUP, &Deaf, &|step, _| {
            order.lock().unwrap().push(step);
            if step == Step::Release { Err(Failure::new("no network")) } else { Ok(true) }
        })
        .unwrap_err();
        assert_eq!(failure.to_string(), "no network");
        let order = order.into_inner().unwrap();
        assert!(!order.contains(&Step::Python) && !order.contains(&Step::Migrate), "{order:?}");
    }
}
