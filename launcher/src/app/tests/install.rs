use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use tar::EntryType;

use super::environment::{supported, with_uv};
use super::unpack::{entry, gzip};
use super::{Told, said};
use crate::app::install::install;
use crate::app::store::{FROM_BACKUP, Store};
use crate::app::{digest, lookup};
use crate::progress::Silent;
use crate::release::{Postgresql, Release};

const MANAGE: &str = "import os, sys
assert sys.argv[1] == 'collectstatic' and os.environ['POSTGRES_HOST'] and os.environ['SECRET_KEY'], sys.argv
os.makedirs('static', exist_ok=True)
open('static/app.css', 'w').write('body {}')
";

/// A small release, as upstream packs it: flat.
pub fn tarball(folder: &Path, version: &str) -> PathBuf {
    let mut tar = Vec::new();
    let init = format!("default_app_config = 'x'\n__version__ = \"{version}\"\n");
    entry(&mut tar, "manage.py", EntryType::Regular, 0o755, MANAGE.as_bytes(), "");
    entry(&mut tar, "requirements.txt", EntryType::Regular, 0o644, b"idna==3.10\n", "");
    entry(&mut tar, "mathesar/__init__.py", EntryType::Regular, 0o644, init.as_bytes(), "");
    entry(&mut tar, "LICENSE", EntryType::Regular, 0o644, b"GPL", "");
    let path = folder.join(format!("upstream-{version}.tar.gz"));
    fs::write(&path, gzip(&tar)).unwrap();
    path
}

pub fn pin(tarball: &Path, version: &str) -> Release {
    Release {
        version: version.to_owned(),
        url: format!("file://{}", tarball.display()),
        sha256: digest::of_file(tarball).unwrap().0,
        size: None,
        python: supported(),
        postgresql: Postgresql { min: 14, max: 18 },
    }
}

#[test]
fn releases_are_installed_verified_switched_and_pruned() {
    let folder = tempfile::tempdir().unwrap();
    let Some(settings) = with_uv(folder.path()) else { return };
    let first = pin(&tarball(folder.path(), "1.0.0"), "1.0.0");
    let told = Told::default();
    let one = install(&first, None, &settings, &told).unwrap();
    assert!(one.complete && !one.current && !one.named);
    assert_eq!(one.id, format!("1.0.0-{}", &first.sha256[..12]));
    assert_eq!(fs::read(one.path.join("tree/static/app.css")).unwrap(), b"body {}");
    assert!(one.path.join("tree/LICENSE").metadata().unwrap().permissions().readonly());
    assert!(one.path.join("tree/mathesar/__pycache__").is_dir());
    // Again: nothing is left to do.
    let told = Told::default();
    assert_eq!(install(&first, None, &settings, &told).unwrap(), one);
    assert_eq!(told.all(), "");

    let store = Store::new(&settings.store);
    assert_eq!(store.current().unwrap(), None);
    store.activate(&one.id).unwrap();
    assert_eq!(store.current().unwrap().unwrap().id, one.id);

    // A file that is named is taken under its own digest, and holds.
    let second = tarball(folder.path(), "2.0.0");
    let two = install(&first, Some(&second), &settings, &Silent).unwrap();
    assert!(two.named && two.version == "2.0.0");
    assert_eq!(store.held().as_deref(), Some(two.id.as_str()));
    let third = tarball(folder.path(), "3.0.0");
    let three = install(&pin(&third, "3.0.0"), None, &settings, &Silent).unwrap();
    let four = install(&pin(&tarball(folder.path(), "4.0.0"), "4.0.0"), None, &settings, &Silent).unwrap();
    assert_eq!(store.list().unwrap().len(), 4);

    // Neither the current one, nor the held one, nor one that somebody needs.
    fs::create_dir(settings.store.join("foreign")).unwrap();
    assert_eq!(store.prune(0, std::slice::from_ref(&three.id), &Silent).unwrap(), [four.id.as_str()]);
    store.hold(None).unwrap();
    assert_eq!(store.prune(1, &[], &Silent).unwrap(), [two.id.as_str()]);
    assert_eq!(store.prune(0, &[], &Silent).unwrap(), [three.id.as_str()]);
    assert!(settings.store.join("foreign").is_dir());
    assert_eq!(store.list().unwrap().len(), 1);
    assert!(said(store.find("2.0.0").unwrap_err()).contains("exit 4\nerror: `2.0.0` is not installed"));

    // What is no longer as it was unpacked is named.
    assert!(store.verify(&one.id).unwrap().is_empty());
    let tree = one.path.join("tree");
    crate::app::files::make_writable(&tree).unwrap();
    fs::write(tree.join("LICENSE"), "MIT").unwrap();
    fs::write(tree.join("evil.py"), "").unwrap();
    fs::remove_file(tree.join("requirements.txt")).unwrap();
    let found = store.verify(&one.id).unwrap();
    assert_eq!(
        (found.changed, found.missing, found.extra),
        (vec!["LICENSE".to_owned()], vec!["requirements.txt".to_owned()], vec!["evil.py".to_owned()])
    );
    assert!(!store.find(&one.id).unwrap().complete);
    // The list of digests is covered itself.
    let list = one.path.join("tree.sha256");
    let text =
        fs::read_to_string(&list).unwrap().replace(&digest::of_bytes(b"GPL"), &digest::of_bytes(b"MIT"));
    fs::write(&list, text).unwrap();
    assert!(said(store.verify(&one.id).unwrap_err()).contains("is not what was written at unpacking"));
}

/// Where it stood, a person's file is in the way of nothing any more, and is not lost.
#[test]
fn a_persons_file_in_a_release_is_put_aside() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::new(&folder.path().join("app"));
    let found = lookup::named(&tarball(folder.path(), "1.0.0")).unwrap();
    let place = store.folder.join(Store::id("1.0.0", &found.sha256));
    let aside =
        |number: &str| place.with_file_name(format!("{}{number}", place.file_name().unwrap().display()));
    // Under the name of a release that comes.
    fs::create_dir_all(&place).unwrap();
    fs::write(place.join("mine.txt"), "1").unwrap();
    let told = Told::default();
    let release = store.add(&found, "a file", &told).unwrap();
    assert_eq!(release.path, place);
    assert!(told.all().contains("is none itself; moved to "), "{}", told.all());
    assert_eq!(fs::read(aside(".aside").join("mine.txt")).unwrap(), b"1");
    // In one that is put back, by a person or by itself.
    crate::app::files::make_read_only(&place.join("tree")).unwrap();
    for (number, itself) in [(".aside2", false), (".aside3", true)] {
        fs::set_permissions(place.join("tree/mathesar"), fs::Permissions::from_mode(0o755)).unwrap();
        fs::write(place.join("mine.txt"), "2").unwrap();
        fs::write(place.join("tree/mathesar/mine.py"), "3").unwrap();
        fs::create_dir_all(place.join("tree/mathesar/__pycache__")).unwrap();
        fs::write(place.join("tree/mathesar/__pycache__/x.pyc"), "").unwrap();
        let told = Told::default();
        if itself {
            fs::set_permissions(place.join("tree"), fs::Permissions::from_mode(0o755)).unwrap();
            fs::remove_file(place.join("tree/LICENSE")).unwrap();
            store.add(&found, "a file", &told).unwrap();
        } else {
            store.restore(&release, &found, &told).unwrap();
        }
        assert!(told.all().contains("note 2 files (mine.txt, …) in "), "{}", told.all());
        assert_eq!(fs::read(aside(number).join("mine.txt")).unwrap(), b"2");
        assert_eq!(fs::read(aside(number).join("tree/mathesar/mine.py")).unwrap(), b"3");
        assert!(store.verify(&release.id).unwrap().is_empty());
    }
    // In one that goes.
    fs::write(place.join("mine.txt"), "4").unwrap();
    let told = Told::default();
    assert_eq!(store.prune(0, &[], &told).unwrap(), [release.id.as_str()]);
    assert!(told.all().contains("note mine.txt in "), "{}", told.all());
    assert_eq!(fs::read(aside(".aside4").join("mine.txt")).unwrap(), b"4");
    assert_eq!(store.list().unwrap(), []);
}

/// Under the name of an official release a backup may bring anything: the tarball of that name counts, when it comes.
#[test]
fn what_a_backup_has_brought_is_not_taken_for_the_tarball() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::new(&folder.path().join("app"));
    let path = tarball(folder.path(), "1.0.0");
    let found = lookup::named(&path).unwrap();
    let release = store.add(&found, "a file", &Silent).unwrap();
    let manage = release.path.join("tree/manage.py");
    let poison = || {
        fs::set_permissions(&manage, fs::Permissions::from_mode(0o644)).unwrap();
        fs::write(&manage, "poison").unwrap();
        fs::write(release.path.join(FROM_BACKUP), "").unwrap();
        fs::create_dir_all(release.path.join("venv/bin")).unwrap();
    };
    poison();
    let again = store.add(&found, "a file", &Silent).unwrap();
    assert_eq!(fs::read_to_string(&manage).unwrap(), MANAGE);
    assert!(!again.is_from_backup() && !release.path.join("venv").exists());
    assert!(store.verify(&again.id).unwrap().is_empty());
}

#[test]
fn a_tarball_of_something_else_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let settings = super::settings(folder.path());
    let mut tar = Vec::new();
    entry(&mut tar, "manage.py", EntryType::Regular, 0o755, b"", "");
    let path = folder.path().join("x.tar.gz");
    fs::write(&path, gzip(&tar)).unwrap();
    let text = said(install(&pin(&path, "1"), Some(&path), &settings, &Silent).unwrap_err());
    assert!(text.contains("x.tar.gz is no release of Mathesar: it has no `requirements.txt`"), "{text}");
    for version in ["../../x", "", "1.0/2"] {
        let path = folder.path().join("y.tar.gz");
        let mut tar = Vec::new();
        for name in ["manage.py", "requirements.txt"] {
            entry(&mut tar, name, EntryType::Regular, 0o644, b"", "");
        }
        let init = format!("__version__ = '{version}'\n");
        entry(&mut tar, "mathesar/__init__.py", EntryType::Regular, 0o644, init.as_bytes(), "");
        fs::write(&path, gzip(&tar)).unwrap();
        let text = said(install(&pin(&path, "1"), Some(&path), &settings, &Silent).unwrap_err());
        assert!(text.contains("gives no `__version__`"), "{text}");
    }
    let left: Vec<_> =
        fs::read_dir(&settings.store).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, [".lock"], "nothing else is left");
}
