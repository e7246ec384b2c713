//! What is listed, in which order, and what is said of archives that cannot be read.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use super::{manifest, packed};
use crate::backup::catalog::{
    Entry, Kind, Known, forget, free_name, known, list_in, newest, newest_in, newest_verified, remember,
};
use crate::backup::manifest::{self, MadeBy};
use crate::backup::origin::{Here, Whose, foreign};
use crate::config::Config;

fn config(text: &str) -> Config {
    crate::config::Loaded::with_text(Path::new("/mathesar.conf"), text).accept().unwrap()
}

struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Place {
        let folder = tempfile::tempdir().unwrap();
        for name in ["state/backups", "state/database/data/global", "disk", "usb"] {
            fs::create_dir_all(folder.path().join(name)).unwrap();
        }
        let place = Place(folder);
        place.cluster(7_578_218_837_474_934_831);
        place
    }

    /// The data that are there.
    fn cluster(&self, identifier: u64) {
        let control = self.state().join("database/data/global/pg_control");
        fs::write(control, identifier.to_ne_bytes()).unwrap();
    }

    fn here(&self) -> Here {
        Here::of(&self.state(), &config(""))
    }

    fn state(&self) -> PathBuf {
        self.0.path().canonicalize().unwrap().join("state")
    }

    fn disk(&self) -> PathBuf {
        self.0.path().canonicalize().unwrap().join("disk")
    }

    /// An archive of that day; its digest.
    fn make(&self, name: &str, day: u32, made_by: MadeBy) -> (PathBuf, String) {
        let path = self.0.path().canonicalize().unwrap().join(name);
        let mut manifest = manifest();
        manifest.created = format!("2026-11-{day:02}T06:50:00Z");
        manifest.made_by = made_by;
        manifest.state = self.state();
        let sealed = packed(&path, &manifest, |_| Ok(())).unwrap();
        (path, sealed.digest)
    }

    fn list(&self) -> Vec<Entry> {
        list_in(&self.here(), Some(&self.disk())).unwrap().all
    }

    fn names(&self) -> Vec<String> {
        self.list().iter().map(Entry::name).collect()
    }
}

#[test]
fn the_newest_come_first_from_wherever_they_are() {
    let place = Place::new();
    let nowhere = Here::of(Path::new("/nowhere"), &config(""));
    assert_eq!(list_in(&nowhere, Some(Path::new("/nowhere/else"))).unwrap().all, []);
    place.make("state/backups/mathesar-1-b.tar.zst", 3, MadeBy::Upgrade);
    place.make("disk/mathesar-1-a.tar.zst", 5, MadeBy::Timer);
    place.make("disk/mathesar-1-c.tar.zst", 4, MadeBy::Person);
    // Neither is one of ours: unfinished, or of somebody else's.
    fs::write(place.disk().join(".mathesar-1-d.tar.zst.1.new"), "x").unwrap();
    fs::write(place.disk().join("photos.tar.zst"), "x").unwrap();
    fs::create_dir(place.disk().join("mathesar-folder.tar.zst")).unwrap();
    let expected = ["mathesar-1-a.tar.zst", "mathesar-1-c.tar.zst", "mathesar-1-b.tar.zst"];
    assert_eq!(place.names(), expected);
    // Both settings name the same folder, one of them by a link.
    std::os::unix::fs::symlink(place.state().join("backups"), place.disk().join("link")).unwrap();
    let all = list_in(&place.here(), Some(&place.disk().join("link"))).unwrap().all;
    assert_eq!(all.len(), 1);

    // One that was made elsewhere is known while it is there.
    let (path, digest) = place.make("usb/mathesar-1-e.tar.zst", 9, MadeBy::Person);
    let new = Known::new(&path, None, &manifest());
    remember(&place.state(), &digest, new).unwrap();
    assert_eq!(place.names()[0], "mathesar-1-e.tar.zst");
    // A drill of a copy of it elsewhere hides neither, and of the two the one that is left stays known.
    let copy = place.state().join("copy");
    fs::copy(&path, &copy).unwrap();
    remember(&place.state(), &digest, Known::new(&copy, Some("2026-11-09T00:00:00Z".into()), &manifest()))
        .unwrap();
    let verified = || place.list().iter().filter(|entry| entry.verified.is_some()).count();
    assert_eq!((place.list().len(), verified()), (expected.len() + 2, 2));
    fs::remove_file(&copy).unwrap();
    assert_eq!((place.names()[0].as_str(), verified()), ("mathesar-1-e.tar.zst", 1));
    forget(&place.state(), &[&digest]).unwrap();
    assert_eq!(verified(), 1, "a copy of what was removed is known still");
    fs::remove_file(path).unwrap();
    assert_eq!(place.names(), expected);
}

#[test]
fn damaged_ones_are_listed_and_never_the_newest_good_one() {
    let place = Place::new();
    let (good, _) = place.make("disk/mathesar-1-a.tar.zst", 5, MadeBy::Timer);
    let whole = fs::read(&good).unwrap();
    for (name, content) in [
        ("mathesar-cut.tar.zst", &whole[..whole.len() - 1]),
        ("mathesar-empty.tar.zst", b"" as &[u8]),
        ("mathesar-text.tar.zst", &b"x".repeat(500)),
    ] {
        fs::write(place.disk().join(name), content).unwrap();
    }
    let newer = whole.clone();
    let at = newer.len() - 98 + 8 + "mathesar-backup-".len();
    fs::write(place.disk().join("mathesar-newer.tar.zst"), [&newer[..at], b"2", &newer[at + 1..]].concat())
        .unwrap();
    let all = place.list();
    let damaged: Vec<String> = all
        .iter()
        .filter_map(|entry| Some(format!("{}: {}", entry.name(), entry.damaged.as_ref()?)))
        .collect();
    assert_eq!(all.len(), 5);
    assert_eq!(damaged.len(), 4, "{damaged:?}");
    let why = |name: &str| damaged.iter().find(|text| text.starts_with(name)).unwrap();
    assert!(why("mathesar-cut").contains("is damaged: it does not end with its digest"), "{damaged:?}");
    assert!(why("mathesar-newer").contains("was made by a newer launcher"), "{damaged:?}");
    assert_eq!(newest(&all).unwrap().path, good);
    assert_eq!(newest_verified(&all), None);
    let json = all.iter().find(|entry| entry.path == good).unwrap().to_json();
    assert_eq!(
        (&json["made_by"], &json["version"], &json["kind"], &json["verified"], &json["damaged"]),
        (&"timer".into(), &"0.12.0".into(), &"physical".into(), &().into(), &().into())
    );
    let json = all.iter().find(|entry| entry.damaged.is_some()).unwrap().to_json();
    assert_eq!((&json["made_by"], &json["version"]), (&().into(), &().into()));
}

#[test]
fn a_drill_is_remembered_by_digest() {
    let place = Place::new();
    let (first, digest) = place.make("disk/mathesar-1-a.tar.zst", 5, MadeBy::Timer);
    place.make("disk/mathesar-1-b.tar.zst", 6, MadeBy::Timer);
    let at = |when: Option<&str>| Known::new(&first, when.map(str::to_owned), &manifest());
    remember(&place.state(), &digest, at(Some("2026-11-06T00:00:00Z"))).unwrap();
    // Seen again without a drill: it was verified all the same.
    remember(&place.state(), &digest, at(None)).unwrap();
    let all = place.list();
    assert_eq!(newest_verified(&all).unwrap().path, first);
    assert_eq!(all[1].verified.as_deref(), Some("2026-11-06T00:00:00Z"));
    // A copy under another name is the same backup.
    let renamed = place.disk().join("mathesar-renamed.tar.zst");
    fs::rename(&first, &renamed).unwrap();
    assert_eq!(newest_verified(&place.list()).unwrap().path, renamed);
    // Nonsense there costs that knowledge only.
    fs::write(place.state().join("backups.json"), "{").unwrap();
    assert_eq!((place.list().len(), newest_verified(&place.list())), (2, None));
    remember(&place.state(), &digest, at(None)).unwrap();
    forget(&place.state(), &["other"]).unwrap();
    assert_eq!(known(&place.state()).len(), 1);
    forget(&place.state(), &[&digest]).unwrap();
    assert!(known(&place.state()).is_empty());
}

#[test]
fn what_an_upgrade_names_is_needed() {
    let place = Place::new();
    let (a, _) = place.make("disk/mathesar-1-a.tar.zst", 5, MadeBy::Upgrade);
    let (_, digest) = place.make("disk/mathesar-1-b.tar.zst", 6, MadeBy::Restore);
    place.make("disk/mathesar-1-c.tar.zst", 7, MadeBy::Upgrade);
    let aside = place.state().join("database/aside/7");
    fs::create_dir_all(&aside).unwrap();
    fs::write(place.state().join("transaction.json"), format!("{{\"x\": [{{\"backup\": {a:?}}}]}}")).unwrap();
    let copy = serde_json::json!({"created": "2026-11-08T00:00:00Z", "version": "0.11.0", "digest": digest});
    fs::write(aside.join("copy.json"), copy.to_string()).unwrap();
    let all = place.list();
    let needed: Vec<_> = all.iter().map(|entry| (entry.name(), entry.needed, entry.kind)).collect();
    let (name, physical) = (|text: &str| text.to_owned(), Some(Kind::Physical));
    assert_eq!(
        needed,
        [
            (name("7"), true, Some(Kind::Copy)),
            (name("mathesar-1-c.tar.zst"), false, physical),
            (name("mathesar-1-b.tar.zst"), true, physical),
            (name("mathesar-1-a.tar.zst"), true, physical),
        ]
    );
    // A copy on the data's own disk is no backup.
    assert_eq!(newest(&all).unwrap().name(), "mathesar-1-c.tar.zst");
    // What cannot be understood may name any of them.
    fs::write(aside.join("copy.json"), "{").unwrap();
    assert!(list_in(&place.here(), None).is_err());
}

#[test]
fn logical_ones_say_so_and_names_are_free() {
    let place = Place::new();
    let mut logical = manifest();
    logical.kind = manifest::Kind::Logical;
    logical.postgresql.system_identifier = None;
    packed(&place.disk().join("mathesar-x.tar.zst"), &logical, |_| Ok(())).unwrap();
    let entry = &place.list()[0];
    assert_eq!(entry.kind, Some(Kind::Logical));
    assert_eq!(entry.origin.as_deref(), Some("/home/me/state/socket:5432/mathesar_django 0123"));

    let time = UNIX_EPOCH + Duration::from_secs(1_795_416_600);
    for expected in ["", "-2", "-3"] {
        let path = free_name(&place.disk(), "0.12.0", time);
        assert_eq!(path, place.disk().join(format!("mathesar-0.12.0-20261123T065000Z{expected}.tar.zst")));
        File::create_new(path).unwrap();
    }
}

#[test]
fn a_folder_means_its_newest_of_ones_own() {
    let place = Place::new();
    let named =
        |folder: &Path| newest_in(&place.here(), folder).map(|path| path.file_name().unwrap().to_owned());
    assert_eq!(named(&place.disk()).unwrap_err().exit, crate::failure::Exit::Refused);
    place.make("disk/mathesar-1-a.tar.zst", 5, MadeBy::Person);
    let newer = place.make("disk/mathesar-1-b.tar.zst", 6, MadeBy::Person).0;
    assert_eq!(named(&place.disk()).unwrap(), "mathesar-1-b.tar.zst");
    // Another installation's, newer than both.
    let mut other = manifest();
    other.created = "2026-11-07T06:50:00Z".to_owned();
    other.postgresql.system_identifier = Some("7".to_owned());
    packed(&place.disk().join("mathesar-other.tar.zst"), &other, |_| Ok(())).unwrap();
    place.cluster(1);
    let failure = named(&place.disk()).unwrap_err();
    assert!(failure.to_string().ends_with("are of several installations"), "{failure}");
    place.cluster(7_578_218_837_474_934_831);
    assert_eq!(named(&place.disk()).unwrap(), newer.file_name().unwrap());
    // One of a clock that went wrong counts as the last of all.
    place.make("usb/mathesar-1-c.tar.zst", 5, MadeBy::Person);
    let mut future = manifest();
    future.created = "2999-01-01T00:00:00Z".to_owned();
    packed(&newer.parent().unwrap().parent().unwrap().join("usb/mathesar-f.tar.zst"), &future, |_| Ok(()))
        .unwrap();
    assert_eq!(named(&place.0.path().join("usb")).unwrap(), "mathesar-1-c.tar.zst");
}

#[test]
fn a_folder_that_cannot_be_read_hides_no_others() {
    let place = Place::new();
    place.make("state/backups/mathesar-1-a.tar.zst", 3, MadeBy::Timer);
    // Root may read every folder; this one nobody can.
    let odd = place.disk().join("file");
    fs::write(&odd, "").unwrap();
    let found = list_in(&place.here(), Some(&odd)).unwrap();
    assert_eq!(found.all.iter().map(Entry::name).collect::<Vec<_>>(), ["mathesar-1-a.tar.zst"]);
    assert_eq!(found.unread.len(), 1);
    assert!(found.unread[0].contains(&format!("cannot read {}", odd.display())), "{:?}", found.unread);
}

#[test]
fn what_is_chosen_by_itself_is_ones_own() {
    let place = Place::new();
    let (own, _) = place.make("disk/mathesar-1-own.tar.zst", 3, MadeBy::Timer);
    let (earlier, digest) = place.make("disk/mathesar-1-earlier.tar.zst", 2, MadeBy::Timer);
    let other = |name: &str, change: &dyn Fn(&mut manifest::Manifest)| {
        let mut manifest = manifest();
        manifest.state = "/theirs/state".into();
        manifest.created = "2026-11-09T06:50:00Z".to_owned();
        change(&mut manifest);
        let path = place.disk().join(format!("mathesar-{name}.tar.zst"));
        (packed(&path, &manifest, |_| Ok(())).unwrap().digest, Known::new(&path, None, &manifest))
    };
    // On one server of a folder of the network, all of them: by its cluster, by its place, or by nothing.
    let (theirs, known) =
        other("theirs", &|manifest| manifest.postgresql.system_identifier = Some("7".to_owned()));
    other("cloned", &|manifest| manifest.state = "/elsewhere".into());
    other("silent", &|manifest| manifest.postgresql.system_identifier = None);
    // That it was tried here makes it nobody's own.
    let tried = Known { verified: Some("2026-11-10T00:00:00Z".to_owned()), ..known };
    remember(&place.state(), &theirs, tried).unwrap();
    let whose = || {
        let mut all: Vec<(String, Whose)> = place
            .list()
            .iter()
            .map(|entry| (entry.name().split(['-', '.']).rev().nth(2).unwrap().to_owned(), entry.whose))
            .collect();
        all.sort_by(|a, b| a.0.cmp(&b.0));
        all
    };
    let words =
        |expected: [(&str, Whose); 5]| expected.map(|(name, whose)| (name.to_owned(), whose)).to_vec();
    assert_eq!(
        whose(),
        words([
            ("cloned", Whose::Another),
            ("earlier", Whose::Own),
            ("own", Whose::Own),
            ("silent", Whose::Unknown),
            ("theirs", Whose::Another),
        ])
    );
    let all = place.list();
    assert_eq!((newest(&all).unwrap().path.clone(), newest_verified(&all)), (own, None));
    assert_eq!(foreign(&all), 3);
    assert_eq!(all.iter().filter(|entry| entry.to_json()["own"] == false).count(), 3);

    // Their data were restored here: what was made here before is of earlier ones, and theirs is chosen
    // by itself, and still not removed.
    let made_here = Known { made_here: true, ..Known::new(&earlier, None, &manifest()) };
    remember(&place.state(), &digest, made_here).unwrap();
    place.cluster(7);
    assert_eq!(
        whose(),
        words([
            ("cloned", Whose::Another),
            ("earlier", Whose::Earlier),
            ("own", Whose::Another),
            ("silent", Whose::Unknown),
            ("theirs", Whose::Brought),
        ])
    );
    let all = place.list();
    assert_eq!(newest_verified(&all).unwrap().name(), "mathesar-theirs.tar.zst");
    assert_eq!(newest(&all), newest_verified(&all));

    // A server of the user's: by its address and the key, as every machine has a localhost.
    fs::create_dir(place.state().join("secrets")).unwrap();
    fs::write(place.state().join("secrets/secret-key.fingerprint"), "0123\n").unwrap();
    let here =
        Here::of(&place.state(), &config("[database]\nurl = \"postgresql://me@localhost/its%20own\"\n"));
    for (number, key, expected) in
        [(1, Some("0123"), Whose::Own), (2, Some("4567"), Whose::Another), (3, None, Whose::Unknown)]
    {
        other(&format!("logical{number}"), &|manifest| {
            manifest.kind = manifest::Kind::Logical;
            manifest.state = place.state();
            manifest.socket = Some("localhost".into());
            manifest.internal_database = "its own".to_owned();
            manifest.postgresql.system_identifier = None;
            manifest.secret_key_fingerprint = key.map(str::to_owned);
        });
        let all = list_in(&here, Some(&place.disk())).unwrap().all;
        let found = all.iter().find(|entry| entry.name().contains(&format!("logical{number}"))).unwrap();
        assert_eq!(found.whose, expected, "{key:?}");
    }
}
