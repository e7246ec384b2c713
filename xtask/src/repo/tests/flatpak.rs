//! Bundles of a small application, read by flatpak itself; one that is installed and run is part of `cargo xtask verify flatpak`.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::*;
use crate::repo::flatpak::State;

const ID: &str = "org.example.Probe";

impl Scene {
    /// A bundle of this version, in which one file has this text.
    fn bundle(&self, version: &str, text: &str) -> Vec<PathBuf> {
        let (tree, out) = (self.path("app"), self.path(&format!("dist-{version}-{text}")));
        let repository = self.path("built");
        for folder in [&tree, &repository] {
            remove(folder).unwrap();
        }
        fs::create_dir_all(tree.join("files/share")).unwrap();
        fs::create_dir_all(tree.join("export")).unwrap();
        fs::create_dir_all(&out).unwrap();
        fs::write(tree.join("files/share/text"), format!("{version} {text}\n")).unwrap();
        fs::write(tree.join("files/share/same"), "in all of them\n").unwrap();
        let runtime = "org.example.Runtime/x86_64/1";
        fs::write(
            tree.join("metadata"),
            format!("[Application]\nname={ID}\nruntime={runtime}\nsdk={runtime}\ncommand=probe\n"),
        )
        .unwrap();
        let shell = shell::at(self.folder.path()).unwrap();
        let bundle = out.join(format!("probe-{version}-1-x86_64.flatpak"));
        cmd!(shell, "flatpak build-export --disable-sandbox --arch=x86_64 {repository} {tree} master")
            .ignore_stdout()
            .ignore_stderr()
            .run()
            .unwrap();
        cmd!(shell, "flatpak build-bundle --arch=x86_64 {repository} {bundle} {ID} master").run().unwrap();
        vec![bundle]
    }
}

/// Somebody who has flatpak, and knows one key.
struct Reader {
    home: tempfile::TempDir,
    url: String,
}

impl Reader {
    /// Told of by the `.flatpakrepo` that is in a folder of repositories.
    fn new(dir: &Path) -> Reader {
        let reader = Reader {
            home: tempfile::tempdir().unwrap(),
            url: format!("file://{}/flatpak/repo", dir.display()),
        };
        let text = fs::read_to_string(dir.join("flatpak/probe.flatpakrepo")).unwrap();
        let file = reader.home.path().join("probe.flatpakrepo");
        fs::write(&file, text.replace("http://127.0.0.1:1/flatpak/repo/", &reader.url)).unwrap();
        let file = file.to_str().unwrap().to_owned();
        reader.flatpak(&["remote-add", "--from", "probe", &file]).unwrap();
        reader
    }

    /// The same, of another folder from here on.
    fn turns_to(&mut self, dir: &Path) {
        self.url = format!("file://{}/flatpak/repo", dir.display());
        let url = format!("--url={}", self.url);
        self.flatpak(&["remote-modify", &url, "probe"]).unwrap();
    }

    fn flatpak(&self, arguments: &[&str]) -> Result<String> {
        let shell = shell::at(self.home.path())?;
        let output = cmd!(shell, "flatpak --user {arguments...}")
            .env("HOME", self.home.path())
            .env("FLATPAK_USER_DIR", self.home.path().join("flatpak"))
            .env("LC_ALL", "C.UTF-8")
            .quiet()
            .ignore_status()
            .output()?;
        let told = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
        match output.status.success() {
            true => Ok(told(&output.stdout)),
            false => bail!("{}", told(&output.stderr)),
        }
    }

    /// What each commit that can be had is of, the newest first.
    fn subjects(&self) -> Result<Vec<String>> {
        let log = self.flatpak(&["remote-info", "--log", "probe", &format!("app/{ID}/x86_64/stable")])?;
        let subject = |line: &str| line.trim().strip_prefix("Subject: ").map(str::to_owned);
        Ok(log.lines().filter_map(subject).collect())
    }

    /// And pulls it, as an installation does it, which has all the digests and signatures looked at.
    fn pulls(&self, commit: &str) -> Result<()> {
        let shell = shell::at(self.home.path())?;
        let repository = self.home.path().join("flatpak/repo");
        let output = cmd!(shell, "ostree pull --repo={repository} --untrusted probe {commit}")
            .quiet()
            .ignore_status()
            .output()?;
        ensure(output.status.success(), String::from_utf8_lossy(&output.stderr).trim())
    }
}

fn ensure(well: bool, said: &str) -> Result<()> {
    anyhow::ensure!(well, "{said}");
    Ok(())
}

fn state(dir: &Path) -> State {
    State::read(&dir.join("flatpak")).unwrap()
}

fn commits(dir: &Path) -> Vec<String> {
    state(dir).versions.into_iter().map(|version| version.commit).collect()
}

/// What is known by its digest, but for signatures beside it.
fn by_digest(dir: &Path) -> BTreeMap<String, String> {
    let mut all = tree(dir);
    all.retain(|name, _| {
        ["/objects/", "/summaries/", "/bundles/"].iter().any(|part| name.contains(part))
            && ![".commitmeta", ".sig"].iter().any(|end| name.ends_with(end))
    });
    all
}

#[test]
fn a_bundle_is_added_and_nothing_that_was_served_changes() {
    let Some(scene) = Scene::new() else { return };
    let (key, dir) = (scene.key(), scene.path("site"));
    let (one, two, other) = (scene.bundle("1", "a"), scene.bundle("2", "a"), scene.bundle("2", "b"));
    build(&scene.site(&key, &one, 0), &dir).unwrap();
    well(&scene.site(&key, &[], 0), &dir);
    let reader = Reader::new(&dir);
    assert_eq!(reader.subjects().unwrap(), ["probe 1-1"]);
    let before = by_digest(&dir);
    add(&scene.site(&key, &two, 60), &dir).unwrap();
    well(&scene.site(&key, &[], 60), &dir);
    assert_eq!(reader.subjects().unwrap(), ["probe 2-1", "probe 1-1"]);
    let after = tree(&dir);
    for (name, digest) in before {
        assert_eq!(after.get(&name), Some(&digest), "{name}");
    }
    for commit in commits(&dir) {
        reader.pulls(&commit).unwrap();
    }
    let page = fs::read_to_string(dir.join("index.html")).unwrap();
    assert!(page.contains("flatpak install --user http://127.0.0.1:1/flatpak/probe.flatpakref"), "{page}");
    let reference = fs::read_to_string(dir.join("flatpak/probe.flatpakref")).unwrap();
    assert!(reference.contains(&format!("\nName={ID}\nBranch=stable\n")), "{reference}");
    // The same again is nothing; another one of that name, and a clock that went backwards, are refused before anything is written.
    add(&scene.site(&key, &two, 120), &dir).unwrap();
    assert_eq!(tree(&dir), after);
    for (packages, at) in [(&other, 180), (&scene.bundle("3", "a"), -60)] {
        let refused = add(&scene.site(&key, packages, at), &dir).unwrap_err();
        assert!(refused.is::<crate::Refused>(), "{refused:#}");
        assert_eq!(tree(&dir), after);
    }
    // Who publishes an older version does not take the newer one from anybody.
    add(&scene.site(&key, &scene.bundle("1.5", "a"), 240), &dir).unwrap();
    assert_eq!(reader.subjects().unwrap()[0], "probe 2-1");
    // Made once more, the commits are the same.
    let again = scene.path("again");
    build(&scene.site(&key, &one, 0), &again).unwrap();
    add(&scene.site(&key, &two, 60), &again).unwrap();
    assert_eq!(commits(&again), commits(&dir));
}

#[test]
fn old_versions_go_and_withdrawn_ones_give_way() {
    let Some(scene) = Scene::new() else { return };
    let (key, dir) = (scene.key(), scene.path("site"));
    let all: Vec<Vec<PathBuf>> = (1..=4).map(|number| scene.bundle(&number.to_string(), "a")).collect();
    let at = |number: usize, after| Site { keep: Some(3), ..scene.site(&key, &all[number], after) };
    build(&at(0, 0), &dir).unwrap();
    let reader = Reader::new(&dir);
    let first = commits(&dir)[0].clone();
    for number in 1..4 {
        add(&at(number, 60 * number as i64), &dir).unwrap();
        well(&scene.site(&key, &[], 600), &dir);
    }
    let [second, third, fourth] = commits(&dir).try_into().unwrap();
    reader.pulls(&second).unwrap();
    // Whoever has read an older index still gets what it names.
    reader.pulls(&first).unwrap();
    let late = 2 * 24 * 3600;
    add(&at(3, late), &dir).unwrap();
    well(&scene.site(&key, &[], late), &dir);
    assert!(!dir.join("flatpak/bundles/probe-1-1-x86_64.flatpak").exists());
    assert!(!tree(&dir).keys().any(|name| name.ends_with(&format!("{}.commit", &first[2..]))));
    assert!(reader.pulls(&first).is_ok(), "it is there already");
    let other = Reader::new(&dir);
    other.pulls(&first).unwrap_err();
    for commit in [&second, &third, &fourth] {
        other.pulls(commit).unwrap();
    }

    let site = |after| Site { keep: Some(3), ..scene.site(&key, &[], after) };
    withdraw(&site(late + 60), &dir, "4-1").unwrap();
    well(&site(late + 60), &dir);
    assert_eq!(reader.subjects().unwrap()[0], "probe 3-1");
    assert_ne!(commits(&dir).last(), Some(&third), "who has the fourth is given a later commit");
    withdraw(&site(late + 120), &dir, "2-1").unwrap();
    withdraw(&site(late + 180), &dir, "3-1").unwrap();
    well(&site(late + 180), &dir);
    assert_eq!(commits(&dir), [""; 0]);
    assert!(!reader.flatpak(&["remote-ls", "probe"]).unwrap().contains(ID));
    // A later version is one like any other.
    add(&Site { keep: Some(3), ..scene.site(&key, &scene.bundle("5", "a"), late + 240) }, &dir).unwrap();
    well(&site(late + 240), &dir);
    assert_eq!(reader.subjects().unwrap()[0], "probe 5-1");
}

#[test]
fn another_key_signs() {
    let Some(mut scene) = Scene::new() else { return };
    let next = Key::throw_away(&scene.path("next"), "The next").unwrap();
    scene.start = Timestamp::now().as_second();
    let (key, dir) = (scene.key(), scene.path("site"));
    build(&scene.site(&key, &scene.bundle("1", "a"), 0), &dir).unwrap();
    let (mut awake, mut slept) = (Reader::new(&dir), Reader::new(&dir));
    sign(&Site { next: Some(&next), ..scene.site(&key, &[], 60) }, &dir).unwrap();
    well(&scene.site(&key, &[], 60), &dir);
    // What an update does for every source that something is installed from.
    awake.flatpak(&["remote-modify", "--update-metadata", "probe"]).unwrap();
    let two = scene.bundle("2", "a");
    add(&scene.site(&next, &two, 120), &dir).unwrap();
    well(&scene.site(&next, &[], 120), &dir);
    check::run(&scene.site(&key, &[], 120), &dir).unwrap_err();
    assert_eq!(awake.subjects().unwrap(), ["probe 2-1", "probe 1-1"]);
    for commit in commits(&dir) {
        awake.pulls(&commit).unwrap();
        Reader::new(&dir).pulls(&commit).unwrap();
    }
    let refuses = |reader: &Reader| {
        let said = reader.flatpak(&["remote-ls", "probe"]).unwrap_err().to_string();
        assert!(said.contains("public key not found"), "{said}");
    };
    refuses(&slept);

    // Somebody else's at that address.
    let strangers = scene.path("strangers");
    let stranger = Key::throw_away(&scene.path("others"), "Another").unwrap();
    build(&scene.site(&stranger, &two, 180), &strangers).unwrap();
    for reader in [&mut awake, &mut slept] {
        reader.turns_to(&strangers);
        refuses(reader);
        let said = reader.pulls(&commits(&strangers)[0]).unwrap_err().to_string();
        assert!(said.contains("public key not found"), "{said}");
    }
}

#[test]
fn what_is_wrong_is_found() {
    let Some(scene) = Scene::new() else { return };
    let (key, dir) = (scene.key(), scene.path("site"));
    build(&scene.site(&key, &scene.bundle("1", "a"), 0), &dir).unwrap();
    let site = scene.site(&key, &[], 0);
    let found = |broken: &Path| {
        let mut problems = Problems::default();
        crate::repo::flatpak::check(&site, &broken.join("flatpak"), &mut problems).unwrap();
        problems.texts().join("\n")
    };
    assert_eq!(found(&dir), "");
    let spoil = |name: &str, end: &str| {
        let broken = scene.path(&format!("broken-{}", format!("{name}{end}").replace('/', "-")));
        copy(&dir, &broken);
        let inside = |path: &&PathBuf| {
            let path = path.to_string_lossy();
            path.contains(name) && path.ends_with(end)
        };
        let files = folder::files(&broken.join("flatpak/repo")).unwrap();
        let files: Vec<&PathBuf> = files.iter().filter(inside).collect();
        assert!(!files.is_empty(), "no {name} {end}");
        for path in files {
            let mut bytes = fs::read(path).unwrap();
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
            fs::write(path, bytes).unwrap();
        }
        found(&broken)
    };
    for (name, end) in [
        ("/objects/", ".filez"),
        ("/objects/", ".dirtree"),
        ("/objects/", ".commitmeta"),
        ("/deltas/", "/superblock"),
        ("/summaries/", ".idx.sig"),
        ("/repo/summary.idx", ""),
    ] {
        assert_ne!(spoil(name, end), "", "{name} {end}");
    }
}

#[test]
fn killed_at_any_moment_a_bundle_is_added_again() {
    let Some(scene) = Scene::new() else { return };
    let (key, first) = (scene.key(), scene.path("first"));
    let (one, two) = (scene.bundle("1", "a"), scene.bundle("2", "a"));
    build(&scene.site(&key, &one, 0), &first).unwrap();
    let undisturbed = scene.path("undisturbed");
    copy(&first, &undisturbed);
    let begun = std::time::Instant::now();
    assert!(begin(&scene, ("keys", &key), &undisturbed).wait().unwrap().success());
    let whole = begun.elapsed();
    let served = by_digest(&first);
    const KILLS: u32 = 8;
    let mut seen = 0;
    for round in 0..KILLS {
        let dir = scene.path(&format!("site-{round}"));
        copy(&first, &dir);
        let reader = Reader::new(&dir);
        let mut child = begin(&scene, ("keys", &key), &dir);
        std::thread::sleep(whole * (2 * round + 1) / (2 * KILLS));
        child.kill().unwrap();
        child.wait().unwrap();
        // Whoever reads now finds the old or the new, whole.
        let subjects = reader.subjects().unwrap_or_else(|said| panic!("round {round}: {said:#}"));
        let newest = subjects.len() == 2;
        assert_eq!(subjects.last().map(String::as_str), Some("probe 1-1"), "round {round}");
        for commit in commits(if newest { &undisturbed } else { &first }) {
            reader.pulls(&commit).unwrap_or_else(|said| panic!("round {round}: {said:#}"));
        }
        let now = tree(&dir);
        for (name, digest) in &served {
            assert_eq!(now.get(name), Some(digest), "{name} in round {round}");
        }
        seen += u32::from(!newest && now != tree(&first));
        add(&scene.site(&key, &two, 60), &dir).unwrap();
        well(&scene.site(&key, &[], 60), &dir);
        assert_eq!(state(&dir).versions, state(&undisturbed).versions, "round {round}");
        remove(&dir).unwrap();
    }
    println!("{KILLS} kills, {seen} of them in the middle");
}

#[test]
fn read_over_and_over_while_it_is_published() {
    const VERSIONS: usize = 12;
    const READS: usize = 10;
    let Some(scene) = Scene::new() else { return };
    let (key, dir) = (scene.key(), scene.path("site"));
    build(&scene.site(&key, &scene.bundle("1", "a"), 0), &dir).unwrap();
    let (published, read) = (AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|threads| {
        let reading = threads.spawn(|| {
            // Somebody new each time, who has nothing of an earlier index.
            while !published.load(Ordering::Relaxed) {
                let reader = Reader::new(&dir);
                let newest = reader.flatpak(&["remote-info", "--show-commit", "probe", ID])?;
                reader.pulls(&newest).with_context(|| format!("{newest} of {:?}", reader.subjects()))?;
                read.fetch_add(1, Ordering::Relaxed);
            }
            anyhow::Ok(())
        });
        let mut number = 1;
        while !reading.is_finished() && (number < VERSIONS || read.load(Ordering::Relaxed) < READS) {
            number += 1;
            let bundle = scene.bundle(&number.to_string(), "a");
            let site = Site { keep: Some(3), ..scene.site(&key, &bundle, 60 * number as i64) };
            add(&site, &dir).unwrap();
        }
        published.store(true, Ordering::Relaxed);
        let failed = reading.join().unwrap();
        println!(
            "read {} times while {number} versions were published: {failed:?}",
            read.load(Ordering::Relaxed)
        );
        failed.unwrap();
        assert_eq!(Reader::new(&dir).subjects().unwrap()[0], format!("probe {number}-1"));
    });
}

/// A difference between commits is called after these, and tells the time at which it was made.
#[test]
fn a_difference_that_a_killed_run_left_is_replaced() {
    let Some(scene) = Scene::new() else { return };
    let (key, dir, whole) = (scene.key(), scene.path("site"), scene.path("whole"));
    let two = scene.bundle("2", "a");
    build(&scene.site(&key, &scene.bundle("1", "a"), 0), &dir).unwrap();
    copy(&dir, &whole);
    add(&scene.site(&key, &two, 60), &whole).unwrap();
    let mut left = 0;
    for path in folder::files(&whole.join("flatpak/repo/deltas")).unwrap() {
        let to = dir.join(path.strip_prefix(&whole).unwrap());
        if !to.exists() {
            fs::create_dir_all(to.parent().unwrap()).unwrap();
            fs::write(to, "another").unwrap();
            left += 1;
        }
    }
    assert!(left > 0);
    add(&scene.site(&key, &two, 60), &dir).unwrap();
    well(&scene.site(&key, &[], 60), &dir);
}
