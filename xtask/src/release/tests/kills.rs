//! Killed at any moment, it is run again, and ends as if nothing had happened.

use std::cell::RefCell;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::super::plan_file::Verdict;
use super::stand_in::Fault;
use super::world::{Facts, Paths, World, http, is_refused};

/// Not a test by itself: the child that others kill.
#[test]
#[ignore = "the child that is killed"]
fn child() {
    let Some(root) = std::env::var_os("RELEASE_TEST_ROOT").map(PathBuf::from) else { return };
    let start = std::env::var("RELEASE_TEST_START").unwrap().parse().unwrap();
    let paths = Paths { root, start };
    let key = std::env::var("RELEASE_TEST_KEY").unwrap();
    match std::env::var("RELEASE_TEST_YANK") {
        Ok(version) => paths.yank(&key, &version, false).unwrap(),
        Err(_) => paths.apply(&key, &http(), false).unwrap(),
    }
}

fn begin(world: &World) -> Child {
    command(world).spawn().unwrap()
}

fn command(world: &World) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--ignored", "--exact", "release::tests::kills::child"])
        .env("RELEASE_TEST_ROOT", world.of_repo.folder.path())
        .env("RELEASE_TEST_START", world.of_repo.start.to_string())
        .env("RELEASE_TEST_KEY", &world.of_repo.fingerprint)
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command
}

/// Kills it, and looks what anybody could see then and afterwards.
fn kill_and_run_again(world: &World, mut child: Child, wanted: &Facts, when: &str, say: &dyn Fn(&str)) {
    child.kill().unwrap();
    child.wait().unwrap();
    world.server.no_faults();
    let journal = world.journal();
    let last = journal.lines().last().map_or("nothing".to_owned(), |line| {
        let line: serde_json::Value = serde_json::from_str(line).unwrap_or_default();
        format!(
            "{} {}",
            line["event"].as_str().unwrap_or("half of"),
            line["step"].as_str().unwrap_or("a line")
        )
    });
    say(&last);
    // Whoever asks now fixes what these addresses mean.
    world.verdicts();
    let applied = world.apply();
    assert!(applied.is_ok(), "{when}, {last}: {:#}", applied.unwrap_err());
    assert_eq!(&world.facts(), wanted, "{when}");
    assert_eq!(world.verdicts(), [Verdict::Current; 4], "{when}");
    assert_eq!(world.server.changed(), [""; 0], "{when}");
}

#[test]
fn killed_at_every_line_of_the_journal() {
    let Some(world) = World::new() else { return };
    world.write(&world.plan().unwrap());
    assert!(begin(&world).wait().unwrap().success());
    let wanted = world.facts();
    let lines = world.journal().lines().count();
    let seen = RefCell::new(Vec::new());
    for number in 1..=lines {
        world.reset();
        world.write(&world.plan().unwrap());
        let child = begin(&world);
        let begun = Instant::now();
        while world.journal().lines().count() < number {
            assert!(begun.elapsed() < Duration::from_secs(60), "no line {number}");
            sleep(Duration::from_micros(200));
        }
        let say = |last: &str| seen.borrow_mut().push(last.to_owned());
        kill_and_run_again(&world, child, &wanted, &format!("line {number}"), &say);
    }
    println!("{lines} kills: after {}", seen.borrow().join(", "));
}

#[test]
fn killed_at_random_moments() {
    let Some(world) = World::new() else { return };
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let kills = number("MATHESAR_SOAK").unwrap_or(20);
    let mut seed = number("MATHESAR_SEED").unwrap_or_else(|| world.of_repo.start.unsigned_abs());
    println!("MATHESAR_SEED={seed} MATHESAR_SOAK={kills}");
    let prepare = || {
        world.reset();
        world.write(&world.plan().unwrap());
        // A network takes its time, and so each step has its share of the kills.
        for (method, part) in [("POST", "/"), ("PATCH", "/"), ("GET", "/releases/download/")] {
            world.server.fail(method, part, Fault::Slow(Duration::from_millis(60)), u32::MAX);
        }
    };
    let mut whole = u64::MAX;
    for _ in 0..2 {
        prepare();
        let begun = Instant::now();
        assert!(begin(&world).wait().unwrap().success());
        whole = whole.min(begun.elapsed().as_micros() as u64);
    }
    let wanted = world.facts();
    for number in 0..kills {
        prepare();
        // Knuth's: enough to choose moments.
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let moment = Duration::from_micros((seed >> 20) % whole);
        let child = begin(&world);
        sleep(moment);
        let say = |last: &str| println!("{number}: release, Apply ({last}) after {} ms", moment.as_millis());
        kill_and_run_again(&world, child, &wanted, &format!("kill {number}, after {moment:?}"), &say);
    }
}

#[test]
fn two_at_once() {
    let Some(world) = World::new() else { return };
    world.write(&world.plan().unwrap());
    assert!(begin(&world).wait().unwrap().success());
    let wanted = world.facts();
    world.reset();
    world.write(&world.plan().unwrap());
    let mut child = begin(&world);
    let begun = Instant::now();
    while world.journal().is_empty() {
        assert!(begun.elapsed() < Duration::from_secs(60), "nothing begins");
        sleep(Duration::from_millis(1));
    }
    is_refused(world.apply(), "another `release apply` or `release yank` is running");
    assert!(child.wait().unwrap().success());
    assert_eq!(world.facts(), wanted);
}

#[test]
fn a_withdrawal_is_killed_at_every_line_of_its_journal() {
    let Some(world) = World::new() else { return };
    let journal = || {
        let path = world.path("yank.journal/journal.jsonl");
        std::fs::read_to_string(path).unwrap_or_default().lines().count()
    };
    let prepare = || {
        world.reset();
        world.write(&world.plan().unwrap());
        world.apply().unwrap();
    };
    prepare();
    world.yank("2-1", false).unwrap();
    let (wanted, lines) = (world.facts(), journal());
    for number in 1..=lines {
        prepare();
        let mut child = command(&world).env("RELEASE_TEST_YANK", "2-1").spawn().unwrap();
        let begun = Instant::now();
        while journal() < number {
            assert!(begun.elapsed() < Duration::from_secs(60), "no line {number}");
            sleep(Duration::from_micros(200));
        }
        child.kill().unwrap();
        child.wait().unwrap();
        world.yank("2-1", false).unwrap();
        assert_eq!(world.facts(), wanted, "line {number}");
        assert_eq!(world.server.changed(), [""; 0], "line {number}");
    }
    println!("{lines} kills");
}

/// Killed after everybody sees the new index, and before what it supersedes is written down.
#[test]
fn a_step_that_was_not_ended_is_ended() {
    let Some(world) = World::new() else { return };
    world.write(&world.plan().unwrap());
    world.apply().unwrap();
    let wanted = world.facts();
    let path = world.path("packages/repository.json");
    let mut facts: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    facts["superseded"] = serde_json::json!({});
    std::fs::write(&path, facts.to_string()).unwrap();
    let journal = world.journal();
    let begun = journal.find("\"step\":\"repositories add\"").unwrap();
    let end = begun + journal[begun..].find('\n').unwrap() + 1;
    world.put_journal(&journal[..end]);
    world.apply().unwrap();
    assert_eq!(world.facts(), wanted);
}
