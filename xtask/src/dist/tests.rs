//! Scheduling and publishing, with small channels in the place of the real ones.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Result, bail};
use tempfile::TempDir;

use super::index::{Entry, Index};
use super::schedule::{Built, Job};
use super::{publish, schedule, word};
use crate::artifact::Artifacts;
use crate::channel::{Channel, Context, testing};
use crate::digest;
use crate::manifest::{Package, Target};
use crate::tools::Tools;
use crate::workspace::Workspace;

const TARGET: Target = Target::ALL[0];
const OTHER: Target = Target::ALL[1];

/// A checkout and a dist/ of its own.
struct Scene {
    folder: TempDir,
    workspace: Workspace,
    package: Package,
    artifacts: Artifacts,
    tools: Tools,
    inputs: BTreeMap<&'static str, String>,
}

impl Scene {
    fn new() -> Scene {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("checkout");
        let target = root.join("target");
        Scene {
            package: testing::package(&root),
            tools: Tools { folder: target.join("tools") },
            workspace: Workspace { root, target },
            artifacts: Artifacts {
                generated: folder.path().into(),
                glibc: "2.34".into(),
                digest: String::new(),
            },
            inputs: ["one", "two", "bad"].map(|name| (name, format!("{name} as it was"))).into(),
            folder,
        }
    }

    fn dist(&self) -> PathBuf {
        self.folder.path().join("dist")
    }

    fn schedule(&self, channels: &[&'static Channel], forced: &[&str]) -> Result<Vec<Built>> {
        let Scene { workspace, package, artifacts, tools, inputs, .. } = self;
        schedule::run(&Job { workspace, package, artifacts, target: TARGET, tools, inputs }, channels, forced)
    }

    /// What a channel would have built: files by their path.
    fn built(&self, channel: &'static str, files: &[(&str, &str)]) -> Built {
        let folder = self.folder.path().join("built").join(channel);
        for (path, text) in files {
            let path = folder.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        Built { channel, folder }
    }

    fn publish(&self, built: &[Built]) -> Result<Index> {
        publish::publish(&self.dist(), &self.package, TARGET, &self.inputs, built)
    }

    /// One channel published, and dist.json then changed by somebody.
    fn published_and_edited(&self, edit: impl FnOnce(&mut Index)) {
        self.publish(&[self.built("one", &[("a/one.deb", "1")])]).unwrap();
        let mut index = Index::read(&self.dist()).unwrap();
        edit(&mut index);
        fs::write(self.dist().join(Index::FILE), serde_json::to_string(&index).unwrap()).unwrap();
    }

    /// The files in dist/, dist.json and SHA256SUMS not counted.
    fn listing(&self) -> Vec<String> {
        let mut files = schedule::files(&self.dist()).unwrap();
        files.retain(|file| file != Index::FILE && file != "SHA256SUMS");
        files
    }
}

fn entry(path: &str, channel: &str, target: Target) -> Entry {
    let text = digest::bytes(b"victim");
    Entry {
        path: path.into(),
        channel: channel.into(),
        target: target.triple().into(),
        size: 6,
        sha256: text,
    }
}

fn no_path(_: &Package) -> Vec<String> {
    Vec::new()
}

fn available(_: &Tools) -> Option<String> {
    None
}

const fn channel(
    name: &'static str,
    needs: &'static [&'static str],
    build: fn(&Context<'_>) -> Result<()>,
) -> Channel {
    Channel { name, needs, by_name: false, reads: no_path, unavailable: available, build }
}

fn write_one(ctx: &Context<'_>) -> Result<()> {
    Ok(fs::write(ctx.out.join("one"), "1")?)
}

/// Made from what the first has made.
fn copy_one(ctx: &Context<'_>) -> Result<()> {
    Ok(fs::write(ctx.out.join("two"), fs::read_to_string(ctx.needed[0].join("one"))? + "2")?)
}

fn fail(ctx: &Context<'_>) -> Result<()> {
    fs::write(ctx.out.join("half"), "")?;
    bail!("no luck")
}

fn panic(_: &Context<'_>) -> Result<()> {
    panic!("on purpose")
}

static ONE: Channel = channel("one", &[], write_one);
static TWO: Channel = channel("two", &["one"], copy_one);
static BAD: Channel = channel("bad", &[], fail);
static ONE_FAILS: Channel = channel("one", &[], fail);
static ONE_PANICS: Channel = channel("one", &[], panic);

#[test]
fn a_channel_is_built_after_those_it_needs_and_once() {
    static RUNS: AtomicUsize = AtomicUsize::new(0);
    fn count(ctx: &Context<'_>) -> Result<()> {
        RUNS.fetch_add(1, Ordering::SeqCst);
        write_one(ctx)
    }
    static COUNTED: Channel = channel("one", &[], count);
    let mut scene = Scene::new();
    let channels: &[&'static Channel] = &[&COUNTED, &TWO];
    let runs = |scene: &Scene, forced: &[&str]| {
        let built = scene.schedule(channels, forced).unwrap();
        assert_eq!(fs::read_to_string(built[1].folder.join("two")).unwrap(), "12");
        (RUNS.load(Ordering::SeqCst), built[0].folder.clone())
    };
    let (first, folder) = runs(&scene, &[]);
    assert_eq!(first, 1);
    assert_eq!(runs(&scene, &[]).0, 1, "nothing changed");
    assert_eq!(runs(&scene, &["two"]).0, 1, "another one is forced");
    assert_eq!(runs(&scene, &["one"]).0, 2, "forced");
    fs::write(folder.join("one"), "tampered").unwrap();
    assert_eq!(runs(&scene, &[]).0, 3, "what was built is no longer what was built");
    fs::write(folder.join("more"), "").unwrap();
    assert_eq!(runs(&scene, &[]).0, 4, "a file more");
    assert!(!folder.join("more").exists());
    fs::remove_file(folder.join("one")).unwrap();
    assert_eq!(runs(&scene, &[]).0, 5, "a file less");
    scene.inputs.insert("one", "changed".into());
    assert_eq!(runs(&scene, &[]).0, 6, "other inputs");
    assert_eq!(runs(&scene, &[]).0, 6, "the same as the last time");
}

#[test]
fn one_failure_fails_all_and_is_not_taken_for_a_build() {
    let scene = Scene::new();
    let error = scene.schedule(&[&ONE, &BAD], &[]).unwrap_err();
    assert_eq!(error.to_string(), "nothing was published: bad could not be built");
    // Half of a package is no package at the next run either.
    assert!(scene.schedule(&[&ONE, &BAD], &[]).is_err());
    assert!(scene.schedule(&[&ONE], &[]).is_ok());
}

#[test]
fn who_needs_what_failed_is_told() {
    let scene = Scene::new();
    let error = scene.schedule(&[&ONE_FAILS, &TWO], &[]).unwrap_err();
    assert_eq!(error.to_string(), "nothing was published: one, two could not be built");
}

/// A channel that panicked must not leave another one waiting for it.
#[test]
fn who_needs_what_panicked_does_not_wait_for_ever() {
    let (sender, receiver) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let scene = Scene::new();
        let run = std::panic::AssertUnwindSafe(|| scene.schedule(&[&ONE_PANICS, &TWO], &[]).map(drop));
        sender.send(std::panic::catch_unwind(run).is_err()).unwrap();
    });
    let ended = receiver.recv_timeout(std::time::Duration::from_secs(60));
    assert_eq!(ended, Ok(true), "the panic is told");
}

#[test]
fn publishes_with_digests() {
    let scene = Scene::new();
    let index = scene.publish(&[scene.built("one", &[("a/one.deb", "1"), ("b", "2")])]).unwrap();
    assert_eq!(scene.listing(), ["a/one.deb", "b"]);
    assert_eq!(Index::read(&scene.dist()).unwrap(), index);
    let sums = fs::read_to_string(scene.dist().join("SHA256SUMS")).unwrap();
    assert_eq!(sums, format!("{}  a/one.deb\n{}  b\n", digest::bytes(b"1"), digest::bytes(b"2")));
    assert_eq!((index.files[0].size, index.files[0].channel.as_str()), (1, "one"));
    assert_eq!(index.inputs["x86_64-unknown-linux-gnu/one"], "one as it was");
}

#[test]
fn another_channel_of_the_same_state_is_kept_and_one_of_an_earlier_state_removed() {
    let mut scene = Scene::new();
    scene.publish(&[scene.built("one", &[("a/one.deb", "1")])]).unwrap();
    scene.publish(&[scene.built("two", &[("two.rpm", "2")])]).unwrap();
    assert_eq!(scene.listing(), ["a/one.deb", "two.rpm"]);
    assert_eq!(Index::read(&scene.dist()).unwrap().inputs.len(), 2);
    scene.inputs.insert("one", "changed since".into());
    let index = scene.publish(&[scene.built("two", &[])]).unwrap();
    assert_eq!(scene.listing(), ["two.rpm"]);
    assert!(!scene.dist().join("a").exists(), "its folder goes too");
    assert_eq!(index.files.len(), 1);
    assert!(!index.inputs.contains_key("x86_64-unknown-linux-gnu/one"));
}

#[test]
fn what_a_channel_no_longer_makes_is_removed() {
    let scene = Scene::new();
    scene.publish(&[scene.built("one", &[("old", "1"), ("same", "1")])]).unwrap();
    fs::remove_file(scene.folder.path().join("built/one/old")).unwrap();
    scene.publish(&[scene.built("one", &[])]).unwrap();
    assert_eq!(scene.listing(), ["same"]);
}

#[test]
fn somebody_s_own_file_in_dist_stays() {
    let scene = Scene::new();
    scene.publish(&[scene.built("one", &[("a/one.deb", "1")])]).unwrap();
    fs::write(scene.dist().join("a/notes"), "mine").unwrap();
    scene.publish(&[scene.built("two", &[("two", "2")])]).unwrap();
    assert_eq!(scene.listing(), ["a/notes", "a/one.deb", "two"]);
}

#[test]
fn a_tampered_file_is_published_again() {
    let scene = Scene::new();
    let built = [scene.built("one", &[("a/one.deb", "1")])];
    let file = scene.dist().join("a/one.deb");
    scene.publish(&built).unwrap();
    fs::write(&file, "tampered").unwrap();
    scene.publish(&built).unwrap();
    assert_eq!(fs::read_to_string(&file).unwrap(), "1");
    // A link to the very same bytes can be other bytes tomorrow.
    let elsewhere = scene.folder.path().join("elsewhere");
    fs::rename(&file, &elsewhere).unwrap();
    symlink(&elsewhere, &file).unwrap();
    scene.publish(&built).unwrap();
    assert!(file.symlink_metadata().unwrap().is_file());
}

#[test]
fn a_kept_channel_whose_file_was_tampered_with_is_removed() {
    let scene = Scene::new();
    scene.publish(&[scene.built("one", &[("a/one.deb", "1")])]).unwrap();
    fs::write(scene.dist().join("a/one.deb"), "tampered").unwrap();
    let index = scene.publish(&[scene.built("two", &[("two", "2")])]).unwrap();
    assert_eq!(scene.listing(), ["two"]);
    assert_eq!(index.inputs.len(), 1);
}

#[test]
fn what_is_as_it_was_is_not_written() {
    let scene = Scene::new();
    let built = [scene.built("one", &[("a/one.deb", "1")])];
    scene.publish(&built).unwrap();
    let inode = |name: &str| {
        use std::os::unix::fs::MetadataExt as _;
        scene.dist().join(name).metadata().unwrap().ino()
    };
    let names = ["a/one.deb", "SHA256SUMS", Index::FILE];
    let before = names.map(inode);
    scene.publish(&built).unwrap();
    assert_eq!(names.map(inode), before);
}

#[test]
fn the_other_target_s_files_are_kept_while_the_version_is_the_same() {
    let scene = Scene::new();
    scene.published_and_edited(|index| {
        index.files[0].target = OTHER.triple().into();
        index.inputs = BTreeMap::from([(format!("{}/one", OTHER.triple()), "any".to_owned())]);
    });
    scene.publish(&[scene.built("two", &[("two", "2")])]).unwrap();
    assert_eq!(scene.listing(), ["a/one.deb", "two"]);
    let changes: [fn(&mut Package); 3] = [
        |package| package.manifest.package.revision += 1,
        |package| package.manifest.package.version = "9.9.9".into(),
        |package| package.epoch += 1,
    ];
    for change in changes {
        let mut scene = Scene::new();
        scene.published_and_edited(|index| {
            index.files[0].target = OTHER.triple().into();
            index.inputs = BTreeMap::from([(format!("{}/one", OTHER.triple()), "any".to_owned())]);
        });
        change(&mut scene.package);
        scene.publish(&[scene.built("two", &[("two", "2")])]).unwrap();
        assert_eq!(scene.listing(), ["two"]);
    }
}

#[test]
fn two_channels_that_make_one_file_are_refused_before_anything_is_written() {
    let scene = Scene::new();
    let built = [scene.built("one", &[("same", "1")]), scene.built("two", &[("same", "2")])];
    let error = scene.publish(&built).unwrap_err();
    assert_eq!(error.to_string(), "same is made by one and by two");
    assert!(!scene.dist().exists());
}

#[test]
fn nothing_outside_is_read_listed_or_removed_on_the_word_of_dist_json() {
    let scene = Scene::new();
    let victim = scene.folder.path().join("victim");
    fs::write(&victim, "victim").unwrap();
    let absolute = victim.to_str().unwrap().to_owned();
    scene.published_and_edited(|index| {
        // An endless file would be read for ever, to see whether it is as listed.
        for path in ["../victim", &absolute, "/dev/zero", "", ".", "a/../../victim", "x\ny"] {
            for (channel, target) in [("two", TARGET), ("gone", TARGET), ("one", OTHER)] {
                index.files.push(entry(path, channel, target));
                index.inputs.insert(format!("{}/{channel}", target.triple()), "two as it was".into());
            }
        }
    });
    let index = scene.publish(&[scene.built("one", &[])]).unwrap();
    assert!(victim.exists());
    let paths: Vec<&str> = index.files.iter().map(|file| file.path.as_str()).collect();
    assert_eq!(paths, ["a/one.deb"]);
    assert_eq!(fs::read_to_string(scene.dist().join("SHA256SUMS")).unwrap().lines().count(), 1);
}

#[test]
fn a_folder_that_dist_json_takes_for_a_file_stays() {
    let scene = Scene::new();
    scene.published_and_edited(|index| index.files.push(entry("a", "gone", TARGET)));
    scene.publish(&[scene.built("one", &[])]).unwrap();
    assert_eq!(scene.listing(), ["a/one.deb"]);
}

#[test]
fn links_in_dist_do_not_lead_out() {
    let scene = Scene::new();
    let outside = scene.folder.path().join("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("precious"), "victim").unwrap();
    scene.published_and_edited(|index| index.files.push(entry("link/precious", "gone", TARGET)));
    symlink(&outside, scene.dist().join("link")).unwrap();
    scene.publish(&[scene.built("one", &[])]).unwrap();
    assert!(outside.join("precious").exists());

    let error = scene.publish(&[scene.built("two", &[("link/two", "2")])]).unwrap_err();
    assert!(error.to_string().contains("is a link, and leads out of"), "{error}");
    assert!(!outside.join("two").exists());
}

#[test]
fn a_dist_json_that_is_none_is_made_anew() {
    for text in ["", "{}", "[]", "null", "\u{0}", "{\"format\":2}"] {
        let scene = Scene::new();
        scene.publish(&[scene.built("one", &[("one", "1")])]).unwrap();
        fs::write(scene.dist().join(Index::FILE), text).unwrap();
        assert_eq!(Index::read(&scene.dist()), None, "{text}");
        scene.publish(&[scene.built("one", &[])]).unwrap();
        assert_eq!(Index::read(&scene.dist()).unwrap().files.len(), 1);
    }
    let scene = Scene::new();
    scene.published_and_edited(|index| index.format += 1);
    assert_eq!(Index::read(&scene.dist()), None, "a later format");
}

#[test]
fn an_install_command_names_a_file_and_survives_a_shell() {
    assert_eq!(word(Path::new("dist/x_1-1_amd64.deb")), "./dist/x_1-1_amd64.deb");
    assert_eq!(word(Path::new("/tmp/out/x.deb")), "/tmp/out/x.deb");
    assert_eq!(word(Path::new("it's $(here)/x.deb")), r"'./it'\''s $(here)/x.deb'");
}
