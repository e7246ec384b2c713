//! One thing that goes wrong at a time.

use std::time::Duration;

use serde_json::json;

use super::super::plan;
use super::super::plan_file::{Action, Verdict};
use super::stand_in::{Fault, TOKEN};
use super::world::{PATIENCE, World, http, is_refused};
use crate::http::{Http, Patience, Token};
use crate::manifest::{Outlet, Paused};

#[test]
fn a_whole_release() {
    let Some(world) = World::new() else { return };
    let planned = world.plan().unwrap();
    let actions = |channel: Outlet| -> Vec<Action> {
        let part = planned.channels.iter().find(|part| part.channel == channel).unwrap();
        part.items.iter().map(|item| item.action).collect()
    };
    assert_eq!(actions(Outlet::Github), [Action::Create; 6]);
    assert_eq!(actions(Outlet::Repositories), [Action::Create; 3]);
    assert_eq!(actions(Outlet::Tap), [Action::Update]);
    assert_eq!(actions(Outlet::Aur), [Action::Create; 2]);
    use Verdict::{Behind, Current};
    assert_eq!(world.verdicts(), [Behind; 4]);
    world.write(&planned);
    let before = world.facts();
    world.apply_with(&http(), true).unwrap();
    assert_eq!((world.facts(), world.journal()), (before, String::new()), "a dry run changes nothing");
    let asked = world.server.requests();
    assert!(asked.iter().all(|request| request.starts_with("GET ")), "{asked:?}");
    world.apply().unwrap();
    assert_eq!(world.verdicts(), [Current; 4]);
    let journal = world.journal();
    println!("{journal}");
    let steps: Vec<String> = journal
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
        .filter(|line| line["event"] == "done")
        .map(|line| line["step"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(steps.first().map(String::as_str), Some("credentials"));
    let ends = [
        "github publish",
        "github check",
        "repositories add",
        "repositories check",
        "tap push",
        "aur push",
        "status",
    ];
    assert_eq!(steps[steps.len() - ends.len()..], ends);
    let secret = walkdir::WalkDir::new(world.of_repo.folder.path()).into_iter().flatten().any(|entry| {
        std::fs::read(entry.path())
            .is_ok_and(|bytes| bytes.windows(TOKEN.len()).any(|part| part == TOKEN.as_bytes()))
    });
    assert!(!secret, "the token is in a file");
    let message = world.show("tap", "main");
    assert!(message.contains("probe 2-1") && message.contains("Author: A B <a@localhost>"), "{message}");
    // Once more it changes nothing, and asks for nothing to be changed.
    let (after, ends) = (world.facts(), world.server.requests());
    assert!(ends.iter().any(|request| request.starts_with("PATCH ")), "{ends:?}");
    world.apply().unwrap();
    let asked = world.server.requests();
    assert!(asked.iter().all(|request| request.starts_with("GET ")), "{asked:?}");
    assert_eq!(world.facts(), after);
    assert!(world.plan().unwrap().channels.iter().all(|part| part.is_done()));
    assert_eq!(world.server.changed(), [""; 0]);
}

#[test]
fn trouble_that_passes_is_waited_for() {
    let Some(world) = World::new() else { return };
    world.write(&world.plan().unwrap());
    world.apply().unwrap();
    let wanted = world.facts();
    for (method, part, fault, times) in [
        ("GET", "/releases", Fault::Status(500), 3),
        ("POST", "/uploads/", Fault::Status(502), 2),
        ("POST", "/uploads/", Fault::CutUpload, 2),
        ("POST", "/uploads/", Fault::CutAnswer, 1),
        ("POST", "/releases", Fault::CutAnswer, 1),
        ("PATCH", "/releases/", Fault::CutAnswer, 1),
        ("POST", "/uploads/", Fault::Limited(1), 1),
        ("GET", "/assets", Fault::LimitedUntil(0), 1),
        ("POST", "/uploads/", Fault::Slow(Duration::from_millis(300)), 2),
        ("GET", "/releases/download/", Fault::Status(404), 1),
        ("GET", "/packages/dnf/Packages/", Fault::Status(404), 1),
    ] {
        world.reset();
        world.write(&world.plan().unwrap());
        world.server.fail(method, part, fault.clone(), times);
        // Another one in the middle of the first.
        let applied = world.apply();
        assert!(applied.is_ok(), "{method} {part} {fault:?}: {:#}", applied.unwrap_err());
        assert_eq!(world.facts(), wanted, "{method} {part} {fault:?}");
        assert_eq!(world.server.changed(), [""; 0], "{method} {part} {fault:?}");
    }
}

#[test]
fn trouble_that_stays_is_told_and_the_same_command_goes_on() {
    let Some(world) = World::new() else { return };
    world.write(&world.plan().unwrap());
    world.apply().unwrap();
    let wanted = world.facts();
    let says = |method, part, fault: Fault, text: &str| {
        world.reset();
        world.write(&world.plan().unwrap());
        world.server.fail(method, part, fault, 1000);
        let error = format!("{:#}", world.apply().unwrap_err());
        assert!(error.contains(text) && !error.contains(TOKEN), "{text}: {error}");
        world.server.no_faults();
        world.apply().unwrap();
        assert_eq!(world.facts(), wanted, "{text}");
    };
    says(
        "POST",
        "/uploads/",
        Fault::Status(401),
        "401 (as it was told to)\nhelp: the token in GITHUB_TOKEN is wrong",
    );
    says("POST", "/releases", Fault::Status(403), "needs the right to write contents");
    says("POST", "/uploads/", Fault::Limited(3600), "takes no more for 3600 s");
    says("PATCH", "/releases/", Fault::LimitedUntil(600), " takes no more for 60");
    says("POST", "/uploads/", Fault::CutUpload, "/uploads/");
    says("PATCH", "/releases/", Fault::Status(500), "500 (as it was told to)");
    says("GET", "/releases/download/", Fault::Status(404), "does not serve it yet");
    // A server that says nothing.
    world.reset();
    world.write(&world.plan().unwrap());
    world.server.fail("POST", "/uploads/", Fault::Slow(Duration::from_secs(2)), 1000);
    let hasty = Patience { silence: Duration::from_millis(300), tries: 2, ..PATIENCE };
    let error = world.apply_with(&Http::new(Some(Token::of(TOKEN)), hasty), false).unwrap_err();
    assert!(format!("{error:#}").contains("timeout"), "{error:#}");
}

#[test]
fn credentials_are_tried_before_anything_is_changed() {
    let Some(world) = World::new() else { return };
    world.write(&world.plan().unwrap());
    let before = world.facts();
    let says = |http: &Http, text: &str| {
        let error = format!("{:#}", world.apply_with(http, false).unwrap_err());
        assert!(error.contains(text), "{text}: {error}");
        assert_eq!(world.facts(), before, "{text}");
    };
    says(&Http::new(Some(Token::of("wrong")), PATIENCE), "Bad credentials");
    says(&Http::new(None, PATIENCE), "no token for");
    world.server.change(|state| state["renamed"] = json!("other/name"));
    let error = format!("{:#}", world.apply().unwrap_err());
    assert!(error.contains("mathesar-launcher is called other/name at GitHub now\nhelp: "), "{error}");
    world.server.change(|state| drop(state.as_object_mut().unwrap().remove("renamed")));
    // The server is in 2020 by our clock, or we are wrong: it is the server that ends the token.
    let years = 7 * 365 * 24 * 3600;
    world.server.clock(-years, Some("2019-01-01 00:00:00 UTC"));
    says(&http(), "ends at 2019-01-01T00:00:00Z, too soon");
    world.server.clock(years, Some("2030-01-01 00:00:00 UTC"));
    says(&http(), "ends at 2030-01-01T00:00:00Z, too soon");
    world.server.clock(-years, Some("2025-01-01 00:00:00 UTC"));
    world.server.change(|state| state["tags"]["v2-1"] = json!("an-other"));
    let error = world.apply().unwrap_err();
    assert!(format!("{error:#}").contains("the tag v2-1 is there already"), "{error:#}");
    world.server.change(|state| state["tags"] = json!({}));
    world.server.change(|state| state["commits"] = json!([]));
    is_refused(world.apply(), "does not have the commit c0ffee");
    world.server.change(|state| state["commits"] = json!(["c0ffee"]));
    // Ended by our clock, and by the server's for years not.
    world.apply().unwrap();
}

#[test]
fn what_does_not_fit_any_more_is_refused() {
    let Some(world) = World::new() else { return };
    let planned = world.plan().unwrap();
    world.write(&planned);
    let before = world.facts();
    let deb = world.path("dist/probe_2-1_amd64.deb");
    let bytes = std::fs::read(&deb).unwrap();
    std::fs::write(&deb, b"another").unwrap();
    is_refused(world.apply(), "probe_2-1_amd64.deb has changed since it was planned");
    std::fs::write(&deb, bytes).unwrap();
    assert_eq!(world.facts(), before);
    // Somebody publishes another version in the tap; the plan knows of the one before.
    world.push("tap", "Formula/probe.rb", "class Probe < Formula\n  version \"1.5\"\nend\n");
    is_refused(world.apply(), "tap: Formula/probe.rb is another one");
    // A newer one is nothing to go back from.
    world.push("tap", "Formula/probe.rb", "class Probe < Formula\n  version \"3\"\nend\n");
    let newer = world.plan().unwrap();
    is_refused(plan::refuse_conflicts(&newer), "1 in conflict");
    // Planned, it is refused all the same.
    world.write(&newer);
    is_refused(world.apply(), "1 in conflict");
    world.reset();
    // Something else stands there.
    world.write(&planned);
    world.push("tap", "README", "theirs");
    world.apply().unwrap();
    assert_eq!(world.show("tap", "main:README"), "theirs");
    assert!(world.verdicts().iter().all(|verdict| *verdict == Verdict::Current));
}

#[test]
fn nothing_is_overwritten_by_another_one() {
    let Some(world) = World::new() else { return };
    world.write(&world.plan().unwrap());
    world.apply().unwrap();
    let before = world.facts();
    // The same names, made again, with other bytes; only the tarball, so that every channel but one agrees.
    std::fs::write(world.path("dist/probe-2-1-src.tar.gz"), "other").unwrap();
    let planned = world.plan().unwrap();
    let conflicts: Vec<&str> =
        planned.channels.iter().flat_map(|part| part.conflicts()).map(|item| item.name.as_str()).collect();
    assert_eq!(conflicts, ["probe-2-1-src.tar.gz"]);
    is_refused(plan::refuse_conflicts(&planned), "raise the revision");
    world.write(&planned);
    is_refused(world.apply(), "raise the revision");
    assert_eq!(world.facts(), before);
    use Verdict::{Current, WrongDigest};
    assert_eq!(world.verdicts(), [WrongDigest, Current, Current, Current]);
    // A draft that somebody else has begun, with another file, after it was planned.
    world.reset();
    world.write(&world.plan().unwrap());
    world.server.change(|state| {
        let asset =
            json!({ "id": 7, "name": "SHA256SUMS", "state": "uploaded", "size": 1, "digest": "sha256:0" });
        state["releases"] = json!([{
            "id": 8, "tag_name": "v2-1", "draft": true, "assets": [asset],
            "target_commitish": "c0ffee", "name": "2-1", "body": "- New.\n",
        }]);
    });
    is_refused(world.apply(), "github: SHA256SUMS is another one");
    world.server.change(|state| state["releases"][0]["assets"][0]["digest"] = json!(null));
    let error = world.apply().unwrap_err();
    assert!(format!("{error:#}").contains("is not there"), "{error:#}");
}

#[test]
fn a_paused_channel_is_left_alone() {
    let Some(world) = World::new() else { return };
    let mut draft = world.draft();
    let closed = Paused { since: "2026-07-30".into(), why: "takes no pushes".into() };
    draft.channels[3].paused = Some(closed.clone());
    draft.channels[3].at = "/nowhere/aur.git".into();
    let planned = plan::make(draft, &http(), &world.path("work")).unwrap();
    assert_eq!(planned.channels[3].paused, Some(closed));
    let shown = super::super::show::plan(&planned);
    assert!(shown.contains("paused  takes no pushes (since 2026-07-30)"), "{shown}");
    let aur = world.facts().2;
    world.write(&planned);
    world.apply().unwrap();
    assert_eq!(world.facts().2, aur);
    // Without a token GitHub is paused, and so is what names its files.
    world.reset();
    let planned = plan::make(world.draft(), &Http::new(None, PATIENCE), &world.path("work")).unwrap();
    let whys: Vec<String> = planned
        .channels
        .iter()
        .map(|part| part.paused.clone().map(|one| one.why).unwrap_or_default())
        .collect();
    let names = "it names the files of the GitHub release, which is paused";
    assert_eq!(whys, ["GITHUB_TOKEN is not set", "", names, names]);
    // One that does not answer is no reason to go on.
    let mut draft = world.draft();
    draft.channels[3].at = "/nowhere/aur.git".into();
    let error = plan::make(draft, &http(), &world.path("work")).unwrap_err();
    assert!(format!("{error:#}").starts_with("cannot tell what aur serves\nhelp: "), "{error:#}");
}

#[test]
fn a_channel_that_fails_does_not_keep_the_others() {
    let Some(world) = World::new() else { return };
    world.write(&world.plan().unwrap());
    let hook = world.path("tap.git/hooks/pre-receive");
    std::fs::create_dir_all(hook.parent().unwrap()).unwrap();
    std::fs::write(&hook, "#!/bin/sh\necho closed >&2\nexit 1\n").unwrap();
    std::fs::set_permissions(&hook, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let error = world.apply().unwrap_err();
    assert_eq!(error.to_string(), "not done: tap\nhelp: run the same command again");
    use Verdict::{Behind, Current};
    assert_eq!(world.verdicts(), [Current, Current, Behind, Current]);
    std::fs::remove_file(&hook).unwrap();
    world.apply().unwrap();
    assert_eq!(world.verdicts(), [Current; 4]);
}

#[test]
fn repositories_that_are_served_elsewhere_are_brought_there() {
    let Some(world) = World::new() else { return };
    world.deploy_by(
        "test -z \"${GITHUB_TOKEN-}\"; test -e ../once || { touch ../once; exit 1; }; cp -a . ../packages/",
    );
    world.write(&world.plan().unwrap());
    let said = format!("{:#}", world.apply().unwrap_err());
    assert!(said.contains("not done: repositories"), "{said}");
    use Verdict::{Behind, Current};
    assert_eq!(world.verdicts(), [Current, Behind, Current, Current]);
    world.apply().unwrap();
    assert_eq!(world.verdicts(), [Current; 4]);
    let journal = world.journal();
    assert_eq!(journal.matches("\"repositories deploy\"").count(), 4, "{journal}");
    world.apply().unwrap();
    assert_eq!(world.journal().matches("\"repositories deploy\"").count(), 4, "nothing is left to bring");
}

#[test]
fn an_expired_key_is_told_before_anything_is_changed() {
    let Some(world) = World::new() else { return };
    world.write(&world.plan().unwrap());
    let before = world.facts();
    // It is one of 30 days.
    let later = world.of_repo.start + 31 * 24 * 3600;
    let error = format!("{:#}", world.apply_at(later).unwrap_err());
    let help = format!("help: cargo xtask release keys {}", world.of_repo.fingerprint);
    assert!(error.contains("cannot sign\n") && error.contains(&help), "{error}");
    assert_eq!(world.facts(), before);
    world.apply().unwrap();
    assert_eq!(world.verdicts(), [Verdict::Current; 4]);
}

/// A file system of its own, which is unmounted with its value.
struct Disk(std::path::PathBuf);

impl Disk {
    /// None: it cannot be made here, and that was said.
    fn new(place: std::path::PathBuf, size: u64) -> Option<Disk> {
        std::fs::create_dir_all(&place).unwrap();
        let disk = Disk(place);
        if !disk.mount(&format!("size={size}")) {
            eprintln!("not run: no file system can be mounted here, which takes root");
            return None;
        }
        Some(disk)
    }

    fn mount(&self, options: &str) -> bool {
        let mut mount = std::process::Command::new("mount");
        let mount = mount.args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(&self.0);
        mount.stderr(std::process::Stdio::null()).status().is_ok_and(|status| status.success())
    }

    fn grow(&self) {
        assert!(self.mount("remount,size=64m"));
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

#[test]
fn a_full_disk_ends_it_and_with_room_the_same_command_goes_on() {
    let Some(world) = World::new() else { return };
    world.write(&world.plan().unwrap());
    world.apply().unwrap();
    let wanted = world.facts();
    // From where nothing can be written to where all but the last bytes can.
    let mut seen = std::collections::BTreeSet::new();
    for pages in [1, 6, 16, 28, 44, 96] {
        world.reset();
        let deployed = "find ../packages -mindepth 1 -delete; cp -a . ../packages/";
        let Some(disk) = Disk::new(world.path("folder"), 64 << 20) else { return };
        world.deploy_by(deployed);
        world.write(&world.plan().unwrap());
        let used = rustix::fs::statvfs(&disk.0).unwrap();
        let used = (used.f_blocks - used.f_bfree) * used.f_frsize;
        assert!(disk.mount(&format!("remount,size={}", used + pages * 4096)));
        if let Err(error) = world.apply() {
            let error = format!("{error:#}");
            assert!(error.starts_with("not done: repositories"), "{pages}: {error}");
            seen.insert("full");
            // What people read is one state or the other, whole.
            world.check_repositories("folder");
        } else {
            seen.insert("enough");
        }
        disk.grow();
        world.apply().unwrap();
        assert_eq!(world.facts(), wanted, "{pages}");
        assert_eq!(world.server.changed(), [""; 0], "{pages}");
    }
    assert_eq!(Vec::from_iter(seen), ["enough", "full"]);
}
