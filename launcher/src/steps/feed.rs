//! The events of a preparation, kept so that somebody who comes later sees them all.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::{Event, Kind, Step, Watcher};

/// Bytes of one step are told this often.
const BYTES: Duration = Duration::from_millis(200);

/// Shared by who works and who watches.
#[derive(Debug, Clone, Default)]
pub struct Feed(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    last: u64,
    events: Vec<(u64, Event)>,
    bytes: Vec<(Step, Instant)>,
    closed: bool,
}

impl Feed {
    /// What came after number `after`, and the number to ask with next; waits this long for something new. None: nothing
    /// will come any more.
    pub fn since(&self, after: u64, patience: Duration) -> Option<(Vec<Event>, u64)> {
        let state = self.0.state.lock().unwrap_or_else(PoisonError::into_inner);
        let nothing = |state: &mut State| state.last <= after && !state.closed;
        let (state, _) = self
            .0
            .changed
            .wait_timeout_while(state, patience, nothing)
            .unwrap_or_else(PoisonError::into_inner);
        if state.closed && state.last <= after {
            return None;
        }
        let new = state.events.iter().filter(|(number, _)| *number > after);
        Some((new.map(|(_, event)| event.clone()).collect(), state.last))
    }

    /// The preparation is over.
    pub fn close(&self) {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner).closed = true;
        self.0.changed.notify_all();
    }
}

impl Watcher for Feed {
    fn tell(&self, event: &Event) {
        let mut state = self.0.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Kind::Bytes { done, total } = event.kind {
            let now = Instant::now();
            let last = total.is_some_and(|total| done >= total);
            let known = state.bytes.iter().position(|(step, _)| *step == event.step);
            match known {
                Some(at) if now - state.bytes[at].1 < BYTES && !last => return,
                Some(at) => state.bytes[at].1 = now,
                None => state.bytes.push((event.step, now)),
            }
            // Only the latest matters: a long download does not fill memory.
            let other = |old: &Event| old.step != event.step || !matches!(old.kind, Kind::Bytes { .. });
            state.events.retain(|(_, old)| other(old));
        }
        state.last += 1;
        let number = state.last;
        state.events.push((number, event.clone()));
        drop(state);
        self.0.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_comes_late_sees_all_but_old_bytes() {
        let feed = Feed::default();
        let tell = |kind| feed.tell(&Event { step: Step::Release, kind });
        tell(Kind::Begun);
        tell(Kind::Bytes { done: 1, total: Some(10) });
        tell(Kind::Bytes { done: 2, total: Some(10) });
        tell(Kind::Bytes { done: 10, total: Some(10) });
        let (events, last) = feed.since(0, Duration::ZERO).unwrap();
        let kinds: Vec<Kind> = events.into_iter().map(|event| event.kind).collect();
        assert_eq!(kinds, [Kind::Begun, Kind::Bytes { done: 10, total: Some(10) }]);
        assert_eq!(feed.since(last, Duration::ZERO).unwrap().0, []);
        feed.close();
        assert_eq!(feed.since(last, Duration::from_secs(60)), None);
    }
}
