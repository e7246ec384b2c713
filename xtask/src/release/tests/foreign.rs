//! What somebody else has made at GitHub is not taken for ours.

use std::thread::sleep;
use std::time::Duration;

use serde_json::{Value, json};

use super::super::{plan, show};
use super::stand_in::Fault;
use super::world::{World, http, is_refused};

/// As `apply` makes it.
fn draft() -> Value {
    json!({
        "id": 8, "tag_name": "v2-1", "draft": true, "assets": [],
        "target_commitish": "c0ffee", "name": "2-1", "body": "- New.\n",
    })
}

fn odd_file() -> Value {
    json!([{ "id": 7, "name": "installer.exe", "state": "uploaded", "size": 1, "digest": "sha256:0" }])
}

#[test]
fn a_release_that_somebody_else_has_made_is_refused() {
    let Some(world) = World::new() else { return };
    world.write(&world.plan().unwrap());
    let put = |key: &str, value: Value| {
        let mut release = draft();
        release[key] = value;
        world.server.change(|state| state["releases"] = json!([release]));
    };
    for (key, value, what) in [
        ("target_commitish", json!("badc0de"), "it is for the commit badc0de, not c0ffee"),
        ("name", json!("Theirs"), "it is called `Theirs`, not `2-1`"),
        ("body", json!("Run this."), "its text is another one"),
        ("body", Value::Null, "its text is another one"),
        ("assets", odd_file(), "it has the file `installer.exe`"),
    ] {
        put(key, value);
        let before = world.facts();
        let planned = world.plan().unwrap();
        is_refused(plan::refuse_conflicts(&planned), what);
        assert!(show::plan(&planned).contains("conflict  release v2-1\n"), "{}", show::plan(&planned));
        for dry_run in [true, false] {
            let applied = world.apply_with(&http(), dry_run);
            let said = format!("{:#}", applied.as_ref().unwrap_err());
            assert!(said.contains("help: ") && said.contains("`gh release delete v2-1`"), "{said}");
            is_refused(applied, what);
        }
        assert_eq!(world.facts(), before, "{what}");
    }
    // Of an earlier run of ours, though GitHub's page has changed the ends of its lines.
    put("body", json!("- New.\r\n"));
    world.apply().unwrap();
    // Published, its words are the maintainers' to mend, and its files are not.
    world.server.change(|state| state["releases"][0]["body"] = json!("- New, and better said."));
    world.apply().unwrap();
    world.server.change(|state| {
        let odd = odd_file()[0].clone();
        state["releases"][0]["assets"].as_array_mut().unwrap().push(odd);
    });
    is_refused(plan::refuse_conflicts(&world.plan().unwrap()), "it has the file `installer.exe`");
    is_refused(world.apply(), "it has the file `installer.exe`");
}

/// While the files are uploaded.
#[test]
fn what_somebody_adds_meanwhile_is_not_published() {
    let Some(world) = World::new() else { return };
    world.write(&world.plan().unwrap());
    // All but the last step is done.
    world.server.fail("PATCH", "/releases/", Fault::Status(422), 1);
    world.apply().unwrap_err();
    std::thread::scope(|scope| {
        world.server.requests();
        world.server.change(|state| {
            let assets = state["releases"][0]["assets"].as_array_mut().unwrap();
            assets.retain(|asset| asset["name"] != "SHA256SUMS");
        });
        world.server.fail("POST", "/uploads/", Fault::Slow(Duration::from_millis(500)), 1);
        let applied = scope.spawn(|| world.apply());
        while !world.server.requests().iter().any(|request| request.starts_with("POST ")) {
            sleep(Duration::from_millis(1));
        }
        world.server.change(|state| {
            state["releases"][0]["assets"].as_array_mut().unwrap().push(odd_file()[0].clone());
        });
        is_refused(applied.join().unwrap(), "it has the file `installer.exe`");
    });
    assert_eq!(world.server.facts()["releases"][0]["draft"], true);
}

#[test]
fn a_tag_is_followed_to_its_commit() {
    let Some(world) = World::new() else { return };
    world.write(&world.plan().unwrap());
    let tag = |commit: &str| {
        world.server.change(|state| {
            state["tags"]["v2-1"] = json!({ "type": "tag", "sha": "one" });
            state["tag-objects"] = json!({
                "one": { "type": "tag", "sha": "two" }, "two": { "type": "commit", "sha": commit },
            });
        });
    };
    tag("badc0de");
    let before = world.facts();
    let there = "the tag v2-1 is there already, for the commit badc0de";
    is_refused(world.apply(), there);
    is_refused(world.plan().map(drop), there);
    world.server.change(|state| state["tags"]["v2-1"]["type"] = json!("tree"));
    is_refused(world.apply(), "names no commit");
    world.server.change(|state| state["tag-objects"] = json!({}));
    tag("badc0de");
    assert_eq!(world.facts(), before);
    tag("c0ffee");
    world.apply().unwrap();
}

/// GitHub makes the tag, and somebody else may be faster.
#[test]
fn the_tag_is_looked_at_once_more_when_it_is_published() {
    let Some(world) = World::new() else { return };
    world.write(&world.plan().unwrap());
    std::thread::scope(|scope| {
        world.server.fail("PATCH", "/releases/", Fault::Slow(Duration::from_millis(500)), 1);
        let applied = scope.spawn(|| world.apply());
        while !world.server.requests().iter().any(|request| request.starts_with("PATCH ")) {
            sleep(Duration::from_millis(1));
        }
        world.server.change(|state| state["tags"]["v2-1"] = json!("badc0de"));
        is_refused(applied.join().unwrap(), "for the commit badc0de");
    });
    assert!(world.show("tap", "main:Formula/probe.rb").contains("\"1\""), "nothing leads to it");
}
