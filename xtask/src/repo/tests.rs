//! Real repositories of small packages, read by nobody but us; real package managers read them in `cargo xtask verify`.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use jiff::Timestamp;
use xshell::cmd;

use super::*;
use crate::files::remove;
use crate::shell;
use crate::tools::Tools;
use crate::workspace::Workspace;

mod flatpak;
mod made;
mod rotation;
mod served;

pub(crate) struct Scene {
    pub folder: tempfile::TempDir,
    pub fingerprint: String,
    /// The key is no older.
    pub start: i64,
    pub tools: Tools,
    _key: Key,
}

impl Scene {
    /// None: a program is absent, and was said.
    pub(crate) fn new() -> Option<Scene> {
        let folder = tempfile::tempdir().unwrap();
        let workspace = Workspace { root: folder.path().to_owned(), target: folder.path().join("target") };
        let tools = Tools::new(&workspace);
        for program in [
            "gpg",
            "apt-ftparchive",
            "dpkg-deb",
            "rpmbuild",
            "rpmsign",
            "createrepo_c",
            "repo-add",
            "bsdtar",
            "flatpak",
            "ostree",
        ] {
            if tools.find(program).is_none() {
                println!("not run: {program} is not on PATH");
                return None;
            }
        }
        let key = Key::throw_away(&folder.path().join("keys"), "A test").unwrap();
        let start = Timestamp::now().as_second();
        Some(Scene { fingerprint: key.fingerprint.clone(), start, tools, _key: key, folder })
    }

    pub(crate) fn key(&self) -> Key {
        Key::at(&self.folder.path().join("keys"), &self.fingerprint)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Packages of each kind of this version, in which one file has this text.
    pub(crate) fn packages(&self, version: &str, text: &str) -> Vec<PathBuf> {
        let to = self.path(&format!("dist-{version}-{text}"));
        let tree = self.path("tree");
        remove(&tree).unwrap();
        fs::create_dir_all(tree.join("usr/share/probe")).unwrap();
        fs::create_dir_all(&to).unwrap();
        fs::write(tree.join("usr/share/probe/text"), format!("{version} {text}\n")).unwrap();
        let shell = shell::at(&tree).unwrap();
        fs::write(
            tree.join(".PKGINFO"),
            format!(
                "pkgname = probe\npkgver = {version}-1\npkgdesc = x\nsize = 9\narch = x86_64\nbuilddate = 1\n"
            ),
        )
        .unwrap();
        let package = to.join(format!("probe-{version}-1-x86_64.pkg.tar.zst"));
        cmd!(shell, "bsdtar --zstd -cf {package} .PKGINFO usr").run().unwrap();
        fs::remove_file(tree.join(".PKGINFO")).unwrap();
        let spec = self.path("probe.spec");
        fs::write(
            &spec,
            format!(
                "Name: probe\nVersion: {version}\nRelease: 1\nSummary: x\nLicense: MIT\nBuildArch: noarch\n%description\nx\n\
                 %install\nmkdir -p %{{buildroot}}/usr/share/probe; echo '{version} {text}' >%{{buildroot}}/usr/share/probe/text\n\
                 %files\n/usr/share/probe/text\n"
            ),
        )
        .unwrap();
        let (top, out) =
            (format!("_topdir {}", self.path("rpm").display()), format!("_rpmdir {}", to.display()));
        let flat = "_rpmfilename %%{NAME}-%%{VERSION}-%%{RELEASE}.%%{ARCH}.rpm";
        cmd!(shell, "rpmbuild -bb --quiet --define {top} --define {out} --define {flat} {spec}")
            .ignore_stderr()
            .run()
            .unwrap();
        fs::create_dir(tree.join("DEBIAN")).unwrap();
        let control = format!(
            "Package: probe\nVersion: {version}-1\nArchitecture: amd64\nMaintainer: A B <a.b@users.noreply.github.com>\nDescription: x\n"
        );
        fs::write(tree.join("DEBIAN/control"), control).unwrap();
        let deb = to.join(format!("probe_{version}-1_amd64.deb"));
        cmd!(shell, "dpkg-deb --root-owner-group --build . {deb}").ignore_stdout().run().unwrap();
        super::packages(&to).unwrap()
    }

    /// `after`: so many seconds after the beginning.
    pub(crate) fn site<'a>(&'a self, key: &'a Key, packages: &'a [PathBuf], after: i64) -> Site<'a> {
        let now = Timestamp::from_second(self.start + after).unwrap();
        Site { packages, now, ..Site::new(key, "http://127.0.0.1:1", "probe", &self.tools) }
    }
}

/// Every file with its digest; nothing hidden: the lock, and what a killed run left, which the next one removes.
pub(crate) fn tree(folder: &Path) -> BTreeMap<String, String> {
    let name = |path: &PathBuf| path.strip_prefix(folder).unwrap().to_string_lossy().into_owned();
    let all = folder::files(folder).unwrap();
    all.iter()
        .map(|path| (name(path), crate::digest::file(path).unwrap()))
        .filter(|(name, _)| !name.starts_with('.'))
        .collect()
}

/// What readers know by a name that never means anything else.
fn fixed(tree: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let fixed = |name: &str| {
        ["/pool/", "/by-hash/", "/Packages/", "/index/", ".pkg.tar.zst"]
            .iter()
            .any(|part| name.contains(part))
    };
    tree.iter().filter(|(name, _)| fixed(name)).map(|(name, digest)| (name.clone(), digest.clone())).collect()
}

#[track_caller]
fn well(site: &Site<'_>, dir: &Path) {
    check::run(site, dir).unwrap();
}

#[test]
fn a_version_is_added_and_nothing_that_was_served_changes() {
    let Some(scene) = Scene::new() else { return };
    let (key, dir) = (scene.key(), scene.path("site"));
    let (one, two, other) = (scene.packages("1", "a"), scene.packages("2", "a"), scene.packages("2", "b"));
    build(&scene.site(&key, &one, 0), &dir).unwrap();
    well(&scene.site(&key, &[], 0), &dir);
    let before = tree(&dir);
    add(&scene.site(&key, &two, 60), &dir).unwrap();
    well(&scene.site(&key, &[], 60), &dir);
    let after = tree(&dir);
    for (name, digest) in fixed(&before) {
        assert_eq!(after.get(&name), Some(&digest), "{name}");
    }
    assert!(fs::read_to_string(dir.join("index.html")).unwrap().contains("Version 2-1."));
    // The same again is nothing, and another one of that name is refused before anything is written.
    add(&scene.site(&key, &two, 120), &dir).unwrap();
    assert_eq!(tree(&dir), after);
    let refused = add(&scene.site(&key, &other, 180), &dir).unwrap_err();
    assert!(refused.is::<crate::Refused>(), "{refused:#}");
    assert_eq!(tree(&dir), after);
    // Made at once, at the same times, it is the same to the byte, signatures too.
    let again = scene.path("again");
    build(&scene.site(&key, &one, 0), &again).unwrap();
    add(&scene.site(&key, &two, 60), &again).unwrap();
    assert_eq!(tree(&again), after);
    // A clock that went backwards would be believed by nobody.
    let refused = add(&scene.site(&key, &other, -60), &dir).unwrap_err();
    assert!(refused.is::<crate::Refused>(), "{refused:#}");
    let three = scene.packages("3", "a");
    let refused = add(&scene.site(&key, &three, -60), &dir).unwrap_err();
    assert!(format!("{refused:#}").contains("clock"), "{refused:#}");
}

#[test]
fn old_versions_leave_the_index_and_later_the_folder() {
    let Some(scene) = Scene::new() else { return };
    let (key, dir) = (scene.key(), scene.path("site"));
    let all: Vec<Vec<PathBuf>> = (1..=4).map(|number| scene.packages(&number.to_string(), "a")).collect();
    let at = |number: usize, after| Site { keep: Some(2), ..scene.site(&key, &all[number], after) };
    build(&at(0, 0), &dir).unwrap();
    for number in 1..4 {
        add(&at(number, 60 * number as i64), &dir).unwrap();
        well(&scene.site(&key, &[], 600), &dir);
    }
    let index = fs::read_to_string(dir.join("apt/dists/stable/main/binary-amd64/Packages")).unwrap();
    let versions = index.lines().filter_map(|line| line.strip_prefix("Version: "));
    // The keyring's is a date.
    let versions: Vec<&str> = versions.filter(|version| version.ends_with("-1")).collect();
    assert_eq!(versions, ["3-1", "4-1"]);
    let there = |number: usize| {
        all[number].iter().all(|path| {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            tree(&dir).keys().any(|path| path.ends_with(&format!("/{name}")))
        })
    };
    assert!((0..4).all(there), "whoever has read an older index still gets what it names");
    // A day later.
    add(&at(3, 200_000), &dir).unwrap();
    well(&scene.site(&key, &[], 200_000), &dir);
    assert_eq!((0..4).map(there).collect::<Vec<_>>(), [false, false, true, true]);
    assert_eq!(fs::read_dir(dir.join("dnf/index")).unwrap().count(), 1);
}

#[test]
fn an_index_is_signed_again_in_time() {
    let Some(scene) = Scene::new() else { return };
    let (key, dir) = (scene.key(), scene.path("site"));
    build(&scene.site(&key, &scene.packages("1", "a"), 0), &dir).unwrap();
    let day = 24 * 3600;
    let before = tree(&dir);
    sign(&scene.site(&key, &[], day), &dir).unwrap();
    assert_eq!(tree(&dir), before);
    let late = scene.site(&key, &[], 15 * day);
    let said = check::run(&late, &dir).unwrap_err();
    assert!(said.to_string().starts_with("1 of what package managers look at"), "{said:#}");
    sign(&late, &dir).unwrap();
    well(&late, &dir);
    assert_eq!(fixed(&tree(&dir)), fixed(&before));
    // All of it, by itself and with another signature.
    let again = Site { again: true, ..scene.site(&key, &[], 16 * day) };
    sign(&again, &dir).unwrap();
    well(&again, &dir);
}

#[test]
fn everything_that_is_wrong_is_found_at_once() {
    let Some(scene) = Scene::new() else { return };
    let (key, dir) = (scene.key(), scene.path("site"));
    build(&scene.site(&key, &scene.packages("1", "a"), 0), &dir).unwrap();
    let spoil = |name: &str| {
        let path = dir.join(name);
        let mut bytes = fs::read(&path).unwrap();
        let last = bytes.len() - 1;
        bytes[last] ^= 1;
        fs::write(path, bytes).unwrap();
    };
    spoil("apt/pool/main/probe/probe_1-1_amd64.deb");
    spoil("dnf/Packages/probe-1-1.noarch.rpm");
    spoil("pacman/x86_64/probe-1-1-x86_64.pkg.tar.zst");
    fs::remove_file(dir.join("apt/dists/stable/Release.gpg")).unwrap();
    let mut problems = Problems::default();
    for kind in KINDS.iter().filter(|kind| dir.join(kind.name).is_dir()) {
        (kind.check)(&scene.site(&key, &[], 0), &dir.join(kind.name), &mut problems).unwrap();
    }
    let all = problems.texts().join("\n");
    for part in [
        "probe_1-1_amd64.deb has the digest",
        "noarch.rpm has the digest",
        "rpm says",
        "zst has the digest",
        "zst.sig is no good",
        "Release.gpg",
    ] {
        assert!(all.contains(part), "{part}: {all}");
    }
    // Somebody else's signatures are none.
    let other = Key::throw_away(&scene.path("others"), "Another").unwrap();
    let said = check::run(&scene.site(&other, &[], 0), &dir).unwrap_err();
    assert!(said.to_string().contains("is wrong in"), "{said:#}");
}

/// Not a test by itself: the child that others kill.
#[test]
#[ignore = "the child of `killed_at_any_moment_it_is_run_again`"]
fn child() {
    let Some(folder) = std::env::var_os("REPO_TEST_FOLDER").map(PathBuf::from) else { return };
    let workspace = Workspace { root: folder.clone(), target: folder.join("target") };
    let tools = Tools::new(&workspace);
    let fingerprint = std::env::var("REPO_TEST_KEY").unwrap();
    let home = PathBuf::from(std::env::var_os("REPO_TEST_HOME").unwrap());
    // Not dropped: it would end an agent that the others use.
    let key = std::mem::ManuallyDrop::new(Key::at(&home, &fingerprint));
    let found = packages(&folder.join("dist-2-a")).unwrap();
    let now: i64 = std::env::var("REPO_TEST_NOW").unwrap().parse().unwrap();
    let now = Timestamp::from_second(now).unwrap();
    let site = Site { packages: &found, now, ..Site::new(&key, "http://127.0.0.1:1", "probe", &tools) };
    add(&site, &PathBuf::from(std::env::var_os("REPO_TEST_DIR").unwrap())).unwrap();
}

#[test]
fn killed_at_any_moment_it_is_run_again() {
    let Some(scene) = Scene::new() else { return };
    let (key, first) = (scene.key(), scene.path("first"));
    let (one, two) = (scene.packages("1", "a"), scene.packages("2", "a"));
    build(&scene.site(&key, &one, 0), &first).unwrap();
    survives_kills(&scene, &first, ("keys", &key), &two, &|dir| for_readers(&scene.site(&key, &[], 60), dir));
}

/// The child that adds the second version with this key.
fn begin(scene: &Scene, (home, key): (&str, &Key), dir: &Path) -> std::process::Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "repo::tests::child"])
        .env("REPO_TEST_FOLDER", scene.folder.path())
        .env("REPO_TEST_HOME", scene.path(home))
        .env("REPO_TEST_KEY", &key.fingerprint)
        .env("REPO_TEST_DIR", dir)
        .env("REPO_TEST_NOW", (scene.start + 60).to_string())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// The second version is added to copies of a folder by a child that is killed; `problems` is what readers of it see.
fn survives_kills(
    scene: &Scene,
    first: &Path,
    (home, key): (&str, &Key),
    two: &[PathBuf],
    problems: &dyn Fn(&Path) -> Vec<String>,
) {
    let served = fixed(&tree(first));
    let undisturbed = scene.path("undisturbed");
    copy(first, &undisturbed);
    let begun = std::time::Instant::now();
    assert!(begin(scene, (home, key), &undisturbed).wait().unwrap().success());
    let whole = begun.elapsed();
    let wanted = tree(&undisturbed);
    let mut seen = 0;
    const KILLS: u32 = 8;
    for round in 0..KILLS {
        let dir = scene.path(&format!("site-{round}"));
        copy(first, &dir);
        let mut child = begin(scene, (home, key), &dir);
        std::thread::sleep(whole * (2 * round + 1) / (2 * KILLS));
        child.kill().unwrap();
        child.wait().unwrap();
        // Whoever reads now finds a whole repository, and what they were told of before.
        assert_eq!(problems(&dir), [""; 0], "round {round}");
        let now = tree(&dir);
        for (name, digest) in &served {
            assert_eq!(now.get(name), Some(digest), "{name} in round {round}");
        }
        seen += u32::from(now.len() != tree(first).len() && now != wanted);
        add(&scene.site(key, two, 60), &dir).unwrap();
        well(&scene.site(key, &[], 60), &dir);
        assert_eq!(tree(&dir), wanted, "round {round}");
        remove(&dir).unwrap();
    }
    println!("{KILLS} kills, {seen} of them in the middle");
}

/// pacman's two databases are replaced one after the other.
#[test]
fn killed_between_two_databases_it_is_run_again() {
    let Some(scene) = Scene::new() else { return };
    let (key, dir) = (scene.key(), scene.path("site"));
    let (one, two) = (scene.packages("1", "a"), scene.packages("2", "a"));
    build(&scene.site(&key, &one, 0), &dir).unwrap();
    let names = ["probe.db", "probe.db.sig"].map(|name| dir.join("pacman/x86_64").join(name));
    let before = names.clone().map(|path| fs::read(path).unwrap());
    add(&scene.site(&key, &two, 60), &dir).unwrap();
    let wanted = tree(&dir);
    for (path, bytes) in names.iter().zip(&before) {
        fs::write(path, bytes).unwrap();
    }
    add(&scene.site(&key, &two, 60), &dir).unwrap();
    assert_eq!(tree(&dir), wanted);
}

/// What is wrong for whoever reads: apt reads InRelease and what lies under digests, not the copies for others.
fn for_readers(site: &Site<'_>, dir: &Path) -> Vec<String> {
    let mut problems = Problems::default();
    for kind in KINDS.iter().filter(|kind| dir.join(kind.name).is_dir()) {
        (kind.check)(site, &dir.join(kind.name), &mut problems).unwrap();
    }
    let copies = |text: &&String| {
        text.contains("/Release.gpg ")
            || text.contains("/Packages") && text.contains("/dists/") && !text.contains("/by-hash/")
    };
    problems.texts().iter().filter(|text| !copies(text)).cloned().collect()
}

pub(crate) fn copy(from: &Path, to: &Path) {
    let shell = shell::at(Path::new("/")).unwrap();
    cmd!(shell, "cp -a {from} {to}").run().unwrap();
}
