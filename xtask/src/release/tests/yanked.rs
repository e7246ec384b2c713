//! A version that is withdrawn.

use serde_json::json;

use super::super::plan;
use super::world::{World, is_refused};

#[test]
fn a_version_is_withdrawn_and_never_published_again() {
    let Some(world) = World::new() else { return };
    world.write(&world.plan().unwrap());
    world.yank("2-1", false).unwrap();
    world.apply().unwrap();
    let (served, tap) = (world.facts(), world.show("tap", "main:Formula/probe.rb"));
    assert!(tap.contains("\"2\""), "{tap}");
    world.yank("2-1", true).unwrap();
    assert_eq!(world.facts(), served, "a dry run changes nothing");
    world.yank("2-1", false).unwrap();
    assert!(world.show("tap", "main:Formula/probe.rb").contains("\"1\""));
    assert_eq!(world.show("aur", "main:"), "tree main:", "it had nothing before");
    let release = &world.server.facts()["releases"][0];
    assert_eq!((&release["draft"], &release["name"]), (&true.into(), &"2-1 (withdrawn)".into()));
    let keyring = |file: &String| file.starts_with("probe-archive-keyring_");
    assert_eq!(
        world.indexed().into_iter().filter(|file| !keyring(file)).collect::<Vec<_>>(),
        ["probe-1-1-x86_64.pkg.tar.zst", "probe-1-1.noarch.rpm", "probe_1-1_amd64.deb"]
    );
    world.check_repositories("packages");
    // Again, it is nothing.
    let after = world.facts();
    world.yank("2-1", false).unwrap();
    assert_eq!(world.facts(), after);
    is_refused(world.apply(), "2-1 was withdrawn");
    is_refused(plan::refuse_conflicts(&world.plan().unwrap()), "2-1 was withdrawn");
    is_refused(world.add_to_repositories(), "2-1 of probe was withdrawn");
}

#[test]
fn where_they_are_served_elsewhere_the_withdrawal_is_brought_there_too() {
    let Some(world) = World::new() else { return };
    let bring = "cp -a . ../packages/";
    world.deploy_by(bring);
    world.write(&world.plan().unwrap());
    world.apply().unwrap();
    let fails_once = format!("test -e ../once || {{ touch ../once; exit 1; }}; {bring}");
    std::fs::write(world.path("deploy"), fails_once).unwrap();
    let said = format!("{:#}", world.yank("2-1", false).unwrap_err());
    assert!(said.contains("what --deploy names ended with"), "{said}");
    assert!(world.indexed().contains(&"probe_2-1_amd64.deb".to_owned()), "nobody has brought it there yet");
    world.yank("2-1", false).unwrap();
    assert!(!world.indexed().iter().any(|file| file.contains("2-1")), "{:?}", world.indexed());
    world.check_repositories("packages");
}

fn formula(world: &World) -> String {
    world.show("tap", "main:Formula/probe.rb")
}

/// Of the same version, after it was published.
#[test]
fn what_somebody_has_mended_in_a_recipe_does_not_keep_it() {
    let Some(world) = World::new() else { return };
    world.write(&world.plan().unwrap());
    world.apply().unwrap();
    world.push("tap", "Formula/probe.rb", "class Probe < Formula\n  version \"2\"\n  # Mended.\nend\n");
    world.push("tap", "Formula/probe.rb", "class Probe < Formula\n  version \"2\"\n  # Mended twice.\nend\n");
    world.yank("2-1", false).unwrap();
    assert_eq!(formula(&world), "class Probe < Formula\n  version \"1\"\nend");
}

#[test]
fn what_was_withdrawn_earlier_does_not_come_back() {
    let Some(world) = World::new() else { return };
    let older = |version: &str| {
        let text = format!("class Probe < Formula\n  version \"{version}\"\nend\n");
        world.push("tap", "Formula/probe.rb", &text);
    };
    let prepare = |versions: &[&str]| {
        world.reset();
        versions.iter().for_each(|version| older(version));
        world.write(&world.plan().unwrap());
        world.apply().unwrap();
    };
    // The repositories know of it: the tap has gone on, and was not asked.
    prepare(&["0.9", "1"]);
    world.yank("1-1", false).unwrap();
    assert!(formula(&world).contains("\"2\""));
    world.yank("2-1", false).unwrap();
    assert!(formula(&world).contains("\"0.9\""), "{}", formula(&world));
    // GitHub knows of it.
    prepare(&["0.9", "1", "1.5"]);
    world.server.change(|state| {
        let draft = json!({
            "id": 90, "tag_name": "v1.5-1", "draft": true, "name": "1.5-1 (withdrawn)", "assets": [],
        });
        state["releases"].as_array_mut().unwrap().push(draft);
    });
    world.yank("2-1", false).unwrap();
    assert!(formula(&world).contains("\"1\""), "{}", formula(&world));
    // The tap's own history does; and what is newer and was taken out by hand is no earlier one.
    prepare(&["3", "1"]);
    world.yank("2-1", false).unwrap();
    assert!(formula(&world).contains("\"1\""), "{}", formula(&world));
    world.push("tap", "Formula/probe.rb", "class Probe < Formula\n  version \"2\"\n  revision 1\nend\n");
    world.yank("2-2", false).unwrap();
    assert!(formula(&world).contains("\"1\""), "{}", formula(&world));
    // None is left: nothing stands there.
    world.yank("1-1", false).unwrap();
    assert_eq!(world.show("tap", "main:"), "tree main:");
    let again = world.facts();
    world.yank("1-1", false).unwrap();
    assert_eq!(world.facts(), again);
}
