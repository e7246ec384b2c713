//! A version that is withdrawn.

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
