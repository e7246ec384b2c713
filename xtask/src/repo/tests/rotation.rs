//! One key takes the other's place.

use super::*;

/// A repository with version 1, and both keys: A signs, B will.
struct Turn {
    scene: Scene,
    a: Key,
    b: Key,
    dir: PathBuf,
}

const KEYRING: &str = "apt/pool/main/probe/probe-archive-keyring_";

impl Turn {
    fn new() -> Option<Turn> {
        let mut scene = Scene::new()?;
        let b = Key::throw_away(&scene.path("next"), "The next").unwrap();
        // Neither key is younger.
        scene.start = Timestamp::now().as_second();
        let (a, dir) = (scene.key(), scene.path("site"));
        build(&scene.site(&a, &scene.packages("1", "a"), 0), &dir).unwrap();
        Some(Turn { scene, a, b, dir })
    }

    fn announce(&self, after: i64) {
        sign(&Site { next: Some(&self.b), ..self.scene.site(&self.a, &[], after) }, &self.dir).unwrap();
        well(&self.scene.site(&self.a, &[], after), &self.dir);
    }

    /// Whose keys a file has, by their places in `A`, `B`.
    fn knows(&self, file: &Path) -> String {
        let listed = self.a.gpg(&["--with-colons", "--show-keys", file.to_str().unwrap()]).unwrap();
        let knows = |key: &Key| listed.contains(&key.fingerprint);
        [("A", knows(&self.a)), ("B", knows(&self.b))]
            .iter()
            .filter(|(_, yes)| *yes)
            .map(|(name, _)| *name)
            .collect()
    }

    /// Of apt's, dnf's and pacman's file, and of the package that apt's index names.
    fn known(&self) -> [String; 4] {
        let file = |kind: &str| self.knows(&self.dir.join(kind).join("probe.asc"));
        let index = fs::read_to_string(self.dir.join("apt/dists/stable/main/binary-arm64/Packages")).unwrap();
        let named: Vec<&str> = index.lines().filter_map(|line| line.strip_prefix("Filename: ")).collect();
        assert_eq!(named.len(), 1, "{index}");
        let deb = self.dir.join("apt").join(named[0]);
        let shell = shell::at(self.scene.folder.path()).unwrap();
        shell.remove_path("unpacked").unwrap();
        cmd!(shell, "dpkg-deb --extract {deb} unpacked").run().unwrap();
        let keyring = self.scene.path("unpacked/usr/share/keyrings/probe-archive-keyring.asc");
        [file("apt"), file("dnf"), file("pacman"), self.knows(&keyring)]
    }

    fn keyrings(&self) -> Vec<String> {
        let names =
            tree(&self.dir).into_keys().filter_map(|name| Some(name.strip_prefix(KEYRING)?.to_owned()));
        names.collect()
    }
}

#[test]
fn an_announcement_is_taken_back() {
    const DAY: i64 = 24 * 3600;
    let Some(turn) = Turn::new() else { return };
    let (scene, dir) = (&turn.scene, &turn.dir);
    turn.announce(DAY);
    assert_eq!(turn.known(), ["AB"; 4]);
    let site = |after| Site { no_next: true, ..scene.site(&turn.a, &[], after) };
    sign(&site(2 * DAY), dir).unwrap();
    well(&scene.site(&turn.a, &[], 2 * DAY), dir);
    assert_eq!(turn.known(), ["A"; 4]);
    // Nobody has been told of it any more.
    let refused = sign(&scene.site(&turn.b, &[], 2 * DAY), dir).unwrap_err();
    assert!(refused.to_string().contains("was not announced"), "{refused:#}");
    let before = tree(dir);
    sign(&site(2 * DAY + 60), dir).unwrap();
    assert_eq!(tree(dir), before, "once is enough");
}

#[test]
fn old_both_new() {
    let Some(turn) = Turn::new() else { return };
    let (scene, dir) = (&turn.scene, &turn.dir);
    assert_eq!(turn.known(), ["A"; 4]);
    let today = Timestamp::from_second(scene.start).unwrap().strftime("%Y.%m.%d").to_string();
    assert_eq!(turn.keyrings(), [format!("{today}_all.deb")]);
    let sources = fs::read_to_string(dir.join("apt/probe.sources")).unwrap();
    assert!(sources.ends_with("\nSigned-By: /usr/share/keyrings/probe-archive-keyring.asc\n"), "{sources}");
    let old = tree(dir);
    // Nobody was told of it.
    let refused = sign(&scene.site(&turn.b, &[], 1), dir).unwrap_err();
    assert!(
        refused.is::<crate::Refused>() && refused.to_string().contains("was not announced"),
        "{refused:#}"
    );
    assert_eq!(tree(dir), old);

    turn.announce(2);
    assert_eq!(turn.known(), ["AB"; 4]);
    assert_eq!(turn.keyrings(), [format!("{today}.1_all.deb"), format!("{today}_all.deb")]);
    let both = tree(dir);
    // It is kept without being said again, and is nothing again.
    sign(&scene.site(&turn.a, &[], 3), dir).unwrap();
    assert_eq!(tree(dir), both);
    let two = scene.packages("2", "a");
    add(&scene.site(&turn.a, &two, 4), dir).unwrap();
    assert_eq!(turn.known(), ["AB"; 4]);
    let page = fs::read_to_string(dir.join("index.html")).unwrap();
    for key in [&turn.a, &turn.b] {
        assert!(page.contains(&format!("pacman-key --lsign-key {}", key.fingerprint)), "{page}");
    }

    sign(&scene.site(&turn.b, &[], 5), dir).unwrap();
    well(&scene.site(&turn.b, &[], 5), dir);
    check::run(&scene.site(&turn.a, &[], 5), dir).unwrap_err();
    assert_eq!(turn.known(), ["B", "AB", "AB", "B"], "A has signed packages of dnf and pacman");
    let refused = sign(&scene.site(&turn.a, &[], 6), dir).unwrap_err();
    assert!(refused.to_string().contains("was not announced"), "{refused:#}");
    let now = tree(dir);
    for (name, digest) in fixed(&old).into_iter().chain(fixed(&both)) {
        assert_eq!(now.get(&name), Some(&digest), "{name}");
    }

    // A is forgotten with the last file that it has signed, not before.
    let three = scene.packages("3", "a");
    let late = |packages, after| Site { keep: Some(1), ..scene.site(&turn.b, packages, after) };
    add(&late(&three, 7), dir).unwrap();
    well(&late(&[], 7), dir);
    assert_eq!(turn.known(), ["B", "AB", "AB", "B"], "who has read the index before still asks for them");
    add(&late(&three, 8 + 24 * 3600), dir).unwrap();
    well(&late(&[], 8 + 24 * 3600), dir);
    assert_eq!(turn.known(), ["B"; 4]);
    assert!(!fs::read_to_string(dir.join("index.html")).unwrap().contains(&turn.a.fingerprint));
    assert_eq!(turn.keyrings(), [format!("{today}.2_all.deb")]);
}

#[test]
fn a_lost_key_is_replaced_at_once() {
    let Some(turn) = Turn::new() else { return };
    sign(&Site { again: true, ..turn.scene.site(&turn.b, &[], 1) }, &turn.dir).unwrap();
    well(&turn.scene.site(&turn.b, &[], 1), &turn.dir);
    assert_eq!(turn.known(), ["B", "AB", "AB", "B"]);
    let said = |key: &Key, next| sign(&Site { next: Some(next), ..turn.scene.site(key, &[], 2) }, &turn.dir);
    assert!(said(&turn.b, &turn.b).unwrap_err().to_string().contains("signs already"));
}

#[test]
fn killed_while_the_key_changes_it_is_run_again() {
    let Some(turn) = Turn::new() else { return };
    turn.announce(2);
    let two = turn.scene.packages("2", "a");
    // Who knows both keys: what neither of them has signed, and all else that is wrong.
    let problems = |dir: &Path| {
        let keys = Facts::read(dir).unwrap().unwrap().keys;
        let by = |key: &Key| -> Vec<String> {
            let site = Site { keys: keys.clone(), ..turn.scene.site(key, &[], 60) };
            let all =
                for_readers(&site, dir).into_iter().map(|text| text.replace(&key.fingerprint, "the key"));
            // The facts come first, and the package and the files of keys after.
            all.filter(|text| {
                !text.contains("holds other keys") && !text.contains(".asc holds something else")
            })
            .collect()
        };
        let of_b = by(&turn.b);
        by(&turn.a).into_iter().filter(|text| of_b.contains(text)).collect()
    };
    survives_kills(&turn.scene, &turn.dir, ("next", &turn.b), &two, &problems);
}

#[test]
fn a_keyring_package_is_as_debian_wants_it() {
    let Some(turn) = Turn::new() else { return };
    turn.announce(2);
    let shell = shell::at(&turn.dir.join("apt/pool/main/probe")).unwrap();
    let deb = turn.dir.join(format!("{KEYRING}{}", turn.keyrings()[0]));
    let said = cmd!(shell, "dpkg-deb --contents {deb}").read().unwrap();
    for line in said.lines() {
        assert!(line.contains(" root/root ") && line.contains(" 00:00 "), "{line}");
    }
    // The same, from an empty folder on another moment of the day.
    let again = turn.scene.path("again");
    let one = turn.scene.packages("1", "a");
    build(&turn.scene.site(&turn.a, &one, 1), &again).unwrap();
    let first = format!("{KEYRING}{}", turn.keyrings()[1]);
    assert_eq!(tree(&again)[&first], tree(&turn.dir)[&first]);
    if cmd!(shell, "lintian --version").ignore_stdout().run().is_err() {
        return println!("not run: lintian is not on PATH");
    }
    let said = cmd!(shell, "lintian --no-cfg --allow-root --profile debian -I --pedantic {deb}")
        .ignore_status()
        .read()
        .unwrap();
    assert_eq!(said, "");
}
