//! Killed at random moments, it always comes back, with every row that it has acknowledged.

use rustix::process::Signal;

use crate::harness::Home;
use crate::machine::{parent, signal};
use crate::witness::{Random, Witness, held, kills};

/// Of how many kills one falls into a first start.
const FIRST_STARTS: u64 = 4;

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
