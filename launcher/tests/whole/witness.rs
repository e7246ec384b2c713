//! Who watches while an installation is maltreated: a writer that remembers what was acknowledged, and whoever counts servers.
//!
//! `MATHESAR_SOAK=200` asks for so many faults instead of 20; `MATHESAR_SEED=…` repeats a run's choices.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{Home, PATIENCE};
use crate::http::{ADMIN, call_with, log_in};
use crate::machine::{self, parent};

pub fn kills() -> u64 {
    std::env::var("MATHESAR_SOAK").ok().and_then(|text| text.parse().ok()).unwrap_or(20)
}

/// xorshift64*: reproducible, and nothing depends on its quality.
pub struct Random(u64);

impl Random {
    pub fn new(salt: u64) -> Random {
        let of_now = || std::time::UNIX_EPOCH.elapsed().unwrap().as_nanos() as u64 % 1_000_000_007;
        let seed =
            std::env::var("MATHESAR_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or_else(of_now);
        println!("MATHESAR_SEED={seed} MATHESAR_SOAK={}", kills());
        Random((seed ^ (salt << 32)).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % limit
    }

    pub fn pause(&mut self, milliseconds: u64) -> u64 {
        let chosen = self.below(milliseconds);
        std::thread::sleep(Duration::from_millis(chosen));
        chosen
    }
}

/// Watches while a home is maltreated.
pub struct Witness<'a> {
    home: &'a Home,
    pub table: Mutex<Value>,
    next: AtomicU64,
    pub acknowledged: Mutex<BTreeSet<u64>>,
    end: AtomicBool,
    trouble: Mutex<Vec<String>>,
}

pub fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Witness<'_> {
    pub fn new(home: &Home) -> Witness<'_> {
        Witness {
            home,
            table: Mutex::default(),
            next: AtomicU64::new(1),
            acknowledged: Mutex::default(),
            end: AtomicBool::new(false),
            trouble: Mutex::default(),
        }
    }

    /// Runs this beside a writer and beside somebody who counts servers.
    pub fn during(&self, work: impl FnOnce()) {
        struct End<'a>(&'a AtomicBool);
        impl Drop for End<'_> {
            fn drop(&mut self) {
                self.0.store(true, Ordering::SeqCst);
            }
        }
        std::thread::scope(|scope| {
            scope.spawn(|| self.write());
            scope.spawn(|| self.count_postmasters());
            let _end = End(&self.end);
            work();
        });
    }

    /// Inserts rows one after another; those that were answered are remembered.
    fn write(&self) {
        let mut row = held(&self.table).clone();
        let mut session = None;
        while !row.is_null() && !self.end.load(Ordering::SeqCst) {
            if session.is_none() {
                session = log_in(self.home.port, ADMIN, PATIENCE);
            }
            let number = self.next.fetch_add(1, Ordering::SeqCst);
            row["record_def"] = json!({"name": number.to_string()});
            let result = session
                .as_ref()
                .and_then(|session| call_with(self.home.port, session, "records.add", &row, PATIENCE));
            match result {
                Some(Ok(_)) => drop(held(&self.acknowledged).insert(number)),
                _ => std::thread::sleep(Duration::from_millis(20)),
            }
        }
    }

    fn count_postmasters(&self) {
        let mut before = Vec::new();
        while !self.end.load(Ordering::SeqCst) {
            // One that looks at a copy beside everything is on data of its own.
            let all = machine::processes_like(self.home.folder(), "/postgres -D ").into_iter();
            let servers = all.filter(|(_, line)| !line.contains("cluster_name=mathesar-scratch"));
            let mut now: Vec<i32> = servers.map(|(pid, _)| pid).collect();
            // A backend bears its server's name for a moment.
            let all = now.clone();
            now.retain(|pid| !all.contains(&parent(*pid)));
            if now.len() > 1 && now == before {
                held(&self.trouble).push(format!("servers at the same time: {now:?}"));
            }
            before = now;
            std::thread::sleep(Duration::from_millis(40));
        }
    }

    /// What has to be so after every `start`.
    pub fn check(&self) {
        let home = self.home;
        home.ok(&["start"]);
        let status = home.status();
        assert!(
            ["running", "degraded"].contains(&status["state"].as_str().unwrap()),
            "{status:#}\n{}",
            home.log()
        );
        home.until("the page answers", || {
            home.try_get("/auth/login/").is_some_and(|answer| answer.status < 400)
        });
        let launcher = i32::try_from(home.status()["pid"].as_i64().unwrap()).unwrap();
        home.until("all processes are the launcher's", || {
            let processes = home.processes();
            processes.iter().all(|(pid, _)| machine::ancestors(*pid).contains(&launcher))
        });
        self.check_rows();
        let trouble = held(&self.trouble);
        assert!(trouble.is_empty(), "{trouble:?}");
    }

    /// Every row that was acknowledged is there.
    pub fn check_rows(&self) {
        let home = self.home;
        if !held(&self.table).is_null() {
            // Taken first: what is acknowledged during the query need not be in its answer.
            let acknowledged = held(&self.acknowledged).clone();
            let rows = home.sql("people", "SELECT name FROM cats");
            let rows: BTreeSet<u64> = rows.lines().map(|row| row.parse().unwrap()).collect();
            let lost: Vec<_> = acknowledged.difference(&rows).collect();
            assert!(lost.is_empty(), "lost rows: {lost:?}");
        }
    }
}
