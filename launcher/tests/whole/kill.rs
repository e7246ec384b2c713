//! Killed at random moments, it always comes back, with every row that it has acknowledged.
//!
//! `MATHESAR_SOAK=200` kills so many times instead of 20; `MATHESAR_SEED=…` repeats a run's choices.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::harness::{Home, PATIENCE};
use crate::http::{ADMIN, call_with, log_in};
use crate::machine::{self, parent, signal};

/// Of how many kills one falls into a first start.
const FIRST_STARTS: u64 = 4;

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

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Victim {
    Launcher,
    Everything,
    Postmaster,
    Backend,
    Gunicorn,
    Worker,
    /// Any process, whatever it does: uv, initdb, Python, …
    Any,
}

use Victim::{Any, Backend, Everything, Gunicorn, Launcher, Postmaster, Worker};

impl Victim {
    /// Those of this kind that live now.
    fn find(self, home: &Home, random: &mut Random) -> Vec<i32> {
        let all = home.processes();
        let is = |pid: i32, what: &str| all.iter().any(|(other, line)| *other == pid && line.contains(what));
        let with = |what: &str| -> Vec<i32> {
            all.iter().map(|(pid, _)| *pid).filter(|pid| is(*pid, what)).collect()
        };
        let of_gunicorn = |worker: bool| {
            let mut found = with("-m gunicorn");
            found.retain(|pid| is(parent(*pid), "-m gunicorn") == worker);
            found.truncate(1);
            found
        };
        match self {
            Launcher => with(" run --background"),
            Everything => all.iter().map(|(pid, _)| *pid).collect(),
            Postmaster => with("/postgres -D "),
            Backend => with("postgres: mathesar").into_iter().take(1).collect(),
            Gunicorn => of_gunicorn(false),
            Worker => of_gunicorn(true),
            Any if all.is_empty() => Vec::new(),
            Any => vec![all[random.below(all.len() as u64) as usize].0],
        }
    }

    fn kill(self, home: &Home, random: &mut Random) -> usize {
        let found = self.find(home, random);
        found.iter().for_each(|pid| signal(*pid, Signal::KILL));
        found.len()
    }
}

/// Watches while a home is maltreated.
struct Witness<'a> {
    home: &'a Home,
    table: Mutex<Value>,
    next: AtomicU64,
    acknowledged: Mutex<BTreeSet<u64>>,
    end: AtomicBool,
    trouble: Mutex<Vec<String>>,
}

fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Witness<'_> {
    fn new(home: &Home) -> Witness<'_> {
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
    fn during(&self, work: impl FnOnce()) {
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
            let mut now = self.home.pids("/postgres -D ");
            // A backend bears its server's name for a moment.
            let all = now.clone();
            now.retain(|pid| !all.contains(&parent(*pid)));
            if now.len() > 1 && now == before {
                held(&self.trouble).push(format!("servers at the same time: {now:?}"));
            }
            before = now;
            std::thread::sleep(Duration::from_millis(25));
        }
    }

    /// What has to be so after every `start`.
    fn check(&self) {
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
        if !held(&self.table).is_null() {
            // Taken first: what is acknowledged during the query need not be in its answer.
            let acknowledged = held(&self.acknowledged).clone();
            let rows = home.sql("people", "SELECT name FROM cats");
            let rows: BTreeSet<u64> = rows.lines().map(|row| row.parse().unwrap()).collect();
            let lost: Vec<_> = acknowledged.difference(&rows).collect();
            assert!(lost.is_empty(), "lost rows: {lost:?}");
        }
        let trouble = held(&self.trouble);
        assert!(trouble.is_empty(), "{trouble:?}");
    }
}

#[test]
fn killed_while_it_runs_and_while_it_starts() {
    let Some(home) = Home::prepared() else { return };
    let mut random = Random::new(1);
    home.ok(&["start"]);
    home.create_admin();
    let witness = Witness::new(&home);
    *held(&witness.table) = home.table("people", "cats");
    witness.during(|| {
        for number in 0..kills() - kills() / FIRST_STARTS {
            if number % 2 == 0 {
                let victim =
                    [Launcher, Everything, Postmaster, Gunicorn, Worker, Backend][number as usize / 2 % 6];
                let after = random.pause(700);
                let killed = victim.kill(&home, &mut random);
                println!("{number}: running, {victim:?} ({killed} processes) after {after} ms");
                assert!(killed > 0, "there was none\n{:#?}", home.processes());
                // It takes its children along, also where nobody starts it again.
                if victim == Launcher && number % 24 == 0 {
                    home.nobody_left();
                }
            } else {
                // From an orderly end, or from a disorderly one.
                match random.below(2) {
                    0 => drop(home.ok(&["stop"])),
                    _ => drop(Everything.kill(&home, &mut random)),
                }
                let victim = [Everything, Launcher, Postmaster, Any, Gunicorn][number as usize / 2 % 5];
                let mut start = home.spawn("start", &["start"]);
                let after = random.pause(2000);
                let killed = victim.kill(&home, &mut random);
                println!("{number}: starting, {victim:?} ({killed} processes) after {after} ms");
                start.wait().unwrap();
            }
            witness.check();
        }
    });
    println!("{} rows acknowledged, none lost", held(&witness.acknowledged).len());
    assert!(!held(&witness.acknowledged).is_empty());
    home.ok(&["stop"]);
    home.nobody_left();
}

#[test]
fn killed_during_the_first_start() {
    let mut random = Random::new(2);
    let mut left = kills() / FIRST_STARTS;
    while left > 0 {
        let Some(home) = Home::bare() else { return };
        let witness = Witness::new(&home);
        // So that there are several moments of one installation.
        let here = left.min(3);
        witness.during(|| {
            for number in 0..here {
                let victim = [Any, Everything, Launcher][random.below(3) as usize];
                let mut start = home.spawn("start", &["start"]);
                let after = random.pause(6000);
                let among = home.processes();
                let killed = victim.kill(&home, &mut random);
                println!("first start, {number}: {victim:?} ({killed} of {}) after {after} ms", among.len());
                start.wait().unwrap();
            }
            witness.check();
        });
        left -= here;
        home.ok(&["stop"]);
        home.nobody_left();
        let state = crate::machine::tree(&home.layout.state);
        let unfinished: Vec<_> =
            state.iter().filter(|line| line.contains(".new") || line.contains(".trash")).collect();
        assert!(unfinished.is_empty(), "{unfinished:#?}");
    }
}
