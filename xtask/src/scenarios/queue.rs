//! Several machines at once.

use std::panic::resume_unwind;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Does all of them, so many at the same time, each thread taking the next; what came of them, in their order.
pub(super) fn run<J: Sync, R: Send>(
    jobs: &[J],
    at_once: usize,
    work: &(dyn Fn(&J) -> Vec<R> + Sync),
) -> Vec<R> {
    let next = AtomicUsize::new(0);
    let done: Mutex<Vec<(usize, Vec<R>)>> = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..at_once.clamp(1, jobs.len().max(1)))
            .map(|_| {
                scope.spawn(|| {
                    loop {
                        let number = next.fetch_add(1, Ordering::Relaxed);
                        let Some(job) = jobs.get(number) else { break };
                        let results = work(job);
                        done.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).push((number, results));
                    }
                })
            })
            .collect();
        for worker in workers {
            if let Err(panic) = worker.join() {
                resume_unwind(panic);
            }
        }
    });
    let mut done = done.into_inner().unwrap_or_else(|poisoned| poisoned.into_inner());
    done.sort_by_key(|(number, _)| *number);
    done.into_iter().flat_map(|(_, results)| results).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;

    use super::*;

    #[test]
    fn all_are_done_several_at_once_and_told_in_order() {
        // Two meet there: alone, neither would go on.
        let barrier = Barrier::new(2);
        let found = run(&[3, 1, 2, 0], 2, &|job| {
            barrier.wait();
            vec![*job, *job]
        });
        assert_eq!(found, [3, 3, 1, 1, 2, 2, 0, 0]);
        assert!(run(&[], 4, &|job: &u8| vec![*job]).is_empty());
        assert_eq!(run(&[7], 0, &|job| vec![*job]), [7]);
    }
}
