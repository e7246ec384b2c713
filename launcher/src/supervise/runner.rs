//! One thread a service: does what the supervisor says, one thing after another, and probes in between.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use super::child::thread;
use super::machine::Event;
use super::service::{Cancel, Exits, Service};
use crate::failure::Failure;

#[derive(Debug, PartialEq, Eq)]
enum Order {
    Start,
    Stop,
    Replace,
    Restart,
}

/// A service's thread, as the supervisor sees it.
pub(crate) struct Runner {
    orders: mpsc::Sender<Order>,
    cancel: Cancel,
}

impl Runner {
    pub(crate) fn new(
        index: usize,
        mut service: Box<dyn Service>,
        probe_every: Duration,
        tell: impl Fn(Event) + Clone + Send + Sync + 'static,
    ) -> Result<Runner, Failure> {
        let (orders, received) = mpsc::channel();
        let cancel = Cancel::default();
        let shared = cancel.clone();
        // Nothing polls faster than once a second.
        let probe_every = probe_every.max(Duration::from_secs(1));
        let name = service.name();
        thread(name.to_owned(), move || {
            // The end of a process is told from another thread, and may be late: only the present one's counts.
            let present = Arc::new(AtomicU64::new(0));
            let mut count = 0;
            let mut new_exits = || {
                count += 1;
                let (own, present, told) = (count, Arc::clone(&present), tell.clone());
                let exits = Exits::new(move |how| {
                    if present.load(Ordering::SeqCst) == own {
                        told(Event::Exited(index, format!("{name} ended: {how}")));
                    }
                });
                (own, exits)
            };
            let mut up = false;
            let mut next = Instant::now();
            loop {
                let order = if up {
                    received.recv_timeout(next.saturating_duration_since(Instant::now()))
                } else {
                    received.recv().map_err(mpsc::RecvTimeoutError::from)
                };
                match order {
                    Ok(order @ (Order::Start | Order::Restart)) => {
                        let (own, exits) = new_exits();
                        present.store(own, Ordering::SeqCst);
                        if order == Order::Restart {
                            service.stop();
                        }
                        up = start(index, service.as_mut(), &exits, &shared, &tell);
                    }
                    Ok(Order::Replace) => {
                        let (own, exits) = new_exits();
                        let result = service.replace(&exits, &shared).map_err(|failure| failure.whole());
                        if result.is_ok() {
                            present.store(own, Ordering::SeqCst);
                        }
                        tell(Event::Replaced(index, result));
                    }
                    Ok(Order::Stop) => {
                        present.store(0, Ordering::SeqCst);
                        service.stop();
                        shared.clear();
                        up = false;
                        tell(Event::Stopped(index));
                    }
                    Err(mpsc::RecvTimeoutError::Timeout) => {
                        tell(Event::Probed(index, service.probe().map_err(|failure| failure.whole())));
                    }
                    // The supervisor is gone: so is its reason.
                    Err(mpsc::RecvTimeoutError::Disconnected) => return service.stop(),
                }
                next = Instant::now() + probe_every;
            }
        })?;
        Ok(Runner { orders, cancel })
    }

    fn order(&self, order: Order) {
        // Its thread ends only after this sender does.
        let _ = self.orders.send(order);
    }

    pub(crate) fn start(&self) {
        self.order(Order::Start);
    }

    pub(crate) fn restart(&self) {
        self.order(Order::Restart);
    }

    pub(crate) fn replace(&self) {
        self.order(Order::Replace);
    }

    /// Also ends a start that is under way.
    pub(crate) fn stop(&self) {
        self.cancel.cancel();
        self.order(Order::Stop);
    }
}

fn start(
    index: usize,
    service: &mut dyn Service,
    exits: &Exits,
    cancel: &Cancel,
    tell: &impl Fn(Event),
) -> bool {
    let result = service.start(exits, cancel);
    let up = result.is_ok();
    tell(match result {
        Ok(()) => Event::Started(index),
        Err(failure) => Event::StartFailed(index, failure.whole()),
    });
    up
}
