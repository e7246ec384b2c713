//! What would be refused in the end is so before anybody can see anything.

use std::fs;
use std::thread::sleep;
use std::time::Duration;

use serde_json::{Value, json};

use super::super::plan;
use super::stand_in::Fault;
use super::world::{World, http, is_refused};

fn edit(world: &World, name: &str, how: impl FnOnce(&mut Value)) {
    let path = world.path(name);
    let mut facts: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    how(&mut facts);
    fs::write(&path, facts.to_string()).unwrap();
}

/// The index of apt is of a day that has not come yet.
fn postdate(world: &World, folder: &str) {
    let path = world.path(folder).join("apt/dists/stable/InRelease");
    let text = fs::read_to_string(&path).unwrap();
    let lines = text.lines().map(|line| match line.starts_with("Date: ") {
        true => "Date: Fri, 01 Jan 2100 00:00:00 UTC\n".to_owned(),
        false => format!("{line}\n"),
    });
    fs::write(&path, lines.collect::<String>()).unwrap();
}

/// What is wrong with a folder, and how that is said.
type Trouble = (fn(&World), &'static str);

/// Each makes the folder one that is refused, and why. It is another one than what is served.
const TROUBLE: [Trouble; 6] = [
    (
        |world| {
            edit(world, "folder/repository.json", |facts| {
                facts["keys"]["present"]["fingerprint"] = json!("F00")
            })
        },
        "F00 signs here",
    ),
    (
        |world| {
            edit(world, "folder/repository.json", |facts| facts["url"] = json!("https://other.example.org"))
        },
        "is made to be served at https://other.example.org, and not at http",
    ),
    (|world| postdate(world, "folder"), "the index was signed at 2100-01-01"),
    (
        |world| edit(world, "folder/repository.json", |facts| facts["withdrawn"] = json!(["2-1"])),
        "2-1 of probe was withdrawn",
    ),
    (|world| fs::remove_dir_all(world.path("folder")).unwrap(), "holds no repositories, and http"),
    (
        |world| {
            fs::remove_dir_all(world.path("folder")).unwrap();
            fs::create_dir(world.path("folder")).unwrap();
        },
        "holds no repositories, and http",
    ),
];

#[test]
fn nothing_is_published_where_the_repositories_would_be_refused() {
    let Some(world) = World::new() else { return };
    for (make, because) in TROUBLE {
        world.reset();
        world.deploy_by("cp -a . ../packages/");
        world.write(&world.plan().unwrap());
        make(&world);
        let before = world.facts();
        for dry_run in [true, false] {
            let applied = world.apply_with(&http(), dry_run);
            assert!(!format!("{:#}", applied.as_ref().unwrap_err()).contains("run the same command again"));
            is_refused(applied, because);
            assert_eq!(world.facts(), before, "{because}");
        }
    }
}

#[test]
fn nothing_is_withdrawn_where_the_repositories_would_be_refused() {
    let Some(world) = World::new() else { return };
    for (make, because) in TROUBLE.into_iter().filter(|(_, because)| !because.contains("withdrawn")) {
        world.reset();
        world.deploy_by("cp -a . ../packages/");
        world.write(&world.plan().unwrap());
        world.apply().unwrap();
        make(&world);
        let before = world.facts();
        for dry_run in [true, false] {
            is_refused(world.yank("2-1", dry_run), because);
            assert_eq!(world.facts(), before, "{because}");
        }
    }
    // The token as well, which is used last.
    world.reset();
    world.write(&world.plan().unwrap());
    world.apply().unwrap();
    let before = world.facts();
    world.server.clock(0, Some("2019-01-01 00:00:00 UTC"));
    let said = format!("{:#}", world.yank("2-1", false).unwrap_err());
    assert!(said.contains("too soon to finish"), "{said}");
    assert_eq!(world.facts(), before);
}

#[test]
fn a_version_that_the_repositories_know_as_withdrawn_is_not_planned() {
    let Some(world) = World::new() else { return };
    let planned = world.plan().unwrap();
    edit(&world, "packages/repository.json", |facts| facts["withdrawn"] = json!(["1-9", "2-1"]));
    is_refused(plan::refuse_conflicts(&world.plan().unwrap()), "2-1 was withdrawn");
    world.write(&planned);
    is_refused(world.apply(), "2-1 was withdrawn");
}

#[test]
fn a_plan_that_somebody_has_edited_uploads_nothing_else() {
    let Some(world) = World::new() else { return };
    let planned = world.plan().unwrap();
    fs::write(world.path("victim"), "secret").unwrap();
    let before = world.facts();
    for odd in ["../victim", "/etc/passwd", "", "a/../../victim"] {
        let mut edited = planned.clone();
        edited.channels[0].items[0].path = odd.into();
        world.write(&edited);
        is_refused(world.apply(), "names a file that is not below dist/: ");
        let mut edited = planned.clone();
        edited.channels[1].items[0].name = odd.into();
        world.write(&edited);
        is_refused(world.apply(), "names a file that is not below dist/: ");
        assert_eq!(world.facts(), before);
    }
}

/// A `release status` beside it, or git that a killed run has left behind, uses another folder.
#[test]
fn the_clones_of_others_are_left_alone() {
    let Some(world) = World::new() else { return };
    fs::create_dir_all(world.path("work/tap.git/clone")).unwrap();
    fs::create_dir_all(world.path("plan.json.journal/work/tap.git/clone")).unwrap();
    world.write(&world.plan().unwrap());
    assert!(world.path("work/tap.git/clone").is_dir());
    world.apply_with(&http(), true).unwrap();
    assert!(world.path("plan.json.journal/work/tap.git/clone").is_dir());
}

/// Somebody changes the folder while the files go to GitHub.
#[test]
fn what_is_refused_later_is_not_to_be_run_again() {
    let Some(world) = World::new() else { return };
    world.write(&world.plan().unwrap());
    world.server.fail("PATCH", "/releases/", Fault::Slow(Duration::from_millis(500)), 1);
    std::thread::scope(|scope| {
        world.server.requests();
        let applied = scope.spawn(|| world.apply());
        while !world.server.requests().iter().any(|request| request.starts_with("PATCH ")) {
            sleep(Duration::from_millis(1));
        }
        edit(&world, "packages/repository.json", |facts| facts["url"] = json!("https://other.example.org"));
        let applied = applied.join().unwrap();
        let said = format!("{:#}", applied.as_ref().unwrap_err());
        assert!(!said.contains("run the same command again"), "{said}");
        is_refused(applied, "not done: repositories");
    });
}
