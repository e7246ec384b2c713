//! An environment is ready when every file of every package is there, whatever was killed or damaged before.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use super::environment::{pythons, supported, with_uv};
use super::{Told, said};
use crate::app::environment::{STAMP, State, damage, ensure, state};
use crate::app::packages::Look;
use crate::app::pins::Pin;
use crate::app::{Settings, tools};
use crate::process::Program;
use crate::progress::Silent;

/// A wheel of this name and files at hand, so that no network is needed; what its RECORD says besides is not in it.
fn wheel(settings: &Settings, name: &str, files: &[&str], besides: &str) {
    let script = r"
import base64, hashlib, sys, zipfile
path, name, besides, *files = sys.argv[1:]
info = name + '-1.0.dist-info/'
texts = {file: ('# ' + file + '\n') * 9 for file in files}
texts[info + 'METADATA'] = 'Metadata-Version: 2.1\nName: ' + name + '\nVersion: 1.0\n'
texts[info + 'WHEEL'] = 'Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n'
record = ''
with zipfile.ZipFile(path, 'w') as wheel:
    for file, text in texts.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b'=').decode()
        record += file + ',sha256=' + digest + ',' + str(len(text)) + '\n'
        wheel.writestr(file, text)
    wheel.writestr(info + 'RECORD', record + besides + info + 'RECORD,,\n')
";
    let folder = settings.share.as_ref().unwrap().join("wheels");
    let path = folder.join(format!("{name}-1.0-py3-none-any.whl"));
    Program::new("python3").args(["-c", script]).arg(path).args([name, besides]).args(files).run().unwrap();
}

/// A release that asks for `good` and `other`, settings without network, and uv.
fn world(folder: &Path) -> Option<(PathBuf, Settings)> {
    let mut settings = with_uv(folder)?;
    settings.network.offline = true;
    wheel(&settings, "good", &["good/__init__.py", "good/core.py"], "");
    wheel(&settings, "other", &["other.py"], "");
    let release = folder.join("state/app/1-x");
    fs::create_dir_all(release.join("tree")).unwrap();
    fs::write(release.join("tree/requirements.txt"), "good==1.0\nother==1.0\n").unwrap();
    Some((release, settings))
}

fn imports(release: &Path) {
    let code = "import good.core, other";
    Program::new(release.join("venv/bin/python")).args(["-I", "-c", code]).run().unwrap();
}

fn site(release: &Path) -> PathBuf {
    let mut lib = fs::read_dir(release.join("venv/lib")).unwrap();
    lib.next().unwrap().unwrap().path().join("site-packages")
}

/// What uv keeps of `good/core.py`.
fn kept(settings: &Settings) -> PathBuf {
    let mut archives = fs::read_dir(settings.cache.join("uv/archive-v0")).unwrap();
    archives
        .find_map(|entry| Some(entry.unwrap().path().join("good/core.py")).filter(|path| path.is_file()))
        .unwrap()
}

/// The first of its two attempts, with what is at hand, is killed in the middle: the second has network.
#[test]
fn an_installer_that_was_killed_leaves_no_half_package() {
    let folder = tempfile::tempdir().unwrap();
    let Some((release, mut settings)) = world(folder.path()) else { return };
    let uv = tools::uv(&settings, &Silent).unwrap();
    settings.network.offline = false;
    // An index that has nothing: all is at hand.
    let index = folder.path().join("index");
    for name in ["good", "other"] {
        fs::create_dir_all(index.join(name)).unwrap();
        fs::write(index.join(name).join("index.html"), "<!DOCTYPE html><html><body></body></html>").unwrap();
    }
    settings.index_url = Some(format!("file://{}", index.display()));
    let killed = folder.path().join("killed");
    let script = format!(
        "#!/bin/sh\n'{uv}' \"$@\" || exit\nif [ \"$1\" = pip ] && [ \"$UV_OFFLINE\" ] && [ ! -e '{killed}' ]; then\n\
         touch '{killed}'; rm \"${{5%/bin/python}}\"/lib/python*/site-packages/good/core.py; kill -9 $$\nfi\n",
        uv = uv.display(),
        killed = killed.display(),
    );
    let wrapper = folder.path().join("uv");
    fs::write(&wrapper, script).unwrap();
    fs::set_permissions(&wrapper, fs::Permissions::from_mode(0o755)).unwrap();
    settings.uv = Some(wrapper);
    let (supported, told) = (supported(), Told::default());
    let result = ensure(&release, &pythons(&supported), &settings, &told);
    assert!(killed.exists(), "it was not killed: {result:?}");
    result.map_err(said).unwrap();
    imports(&release);
    assert!(!told.all().contains("once more"), "{}", told.all());
}

#[test]
fn what_is_damaged_in_the_cache_is_passed_by() {
    let folder = tempfile::tempdir().unwrap();
    let Some((release, settings)) = world(folder.path()) else { return };
    let supported = supported();
    ensure(&release, &pythons(&supported), &settings, &Silent).map_err(said).unwrap();
    let ways: [fn(&Path); 3] = [
        // After a power cut.
        |path| fs::write(path, "").unwrap(),
        |path| fs::remove_file(path).unwrap(),
        // As many bytes.
        |path| fs::write(path, fs::read_to_string(path).unwrap().replace('#', "\0")).unwrap(),
    ];
    for damage in ways {
        damage(&kept(&settings));
        fs::remove_file(release.join("venv").join(STAMP)).unwrap();
        let told = Told::default();
        ensure(&release, &pythons(&supported), &settings, &told).map_err(said).unwrap();
        assert!(
            told.all().contains("once more, past what was kept of earlier times: good "),
            "{}",
            told.all()
        );
        imports(&release);
        // The cache serves again.
        fs::remove_file(release.join("venv").join(STAMP)).unwrap();
        let told = Told::default();
        ensure(&release, &pythons(&supported), &settings, &told).map_err(said).unwrap();
        assert!(!told.all().contains("once more"), "{}", told.all());
    }
}

#[test]
fn a_package_that_is_packed_so_is_taken_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let Some((release, settings)) = world(folder.path()) else { return };
    wheel(&settings, "other", &["other.py"], "never.py,,7\n");
    // uv writes down what it finds, whatever the package says.
    let uv = Pin::of("uv").unwrap().file_name();
    fs::remove_file(settings.share.as_ref().unwrap().join("wheels").join(uv)).unwrap();
    let (supported, told) = (supported(), Told::default());
    let mut pythons = pythons(&supported);
    pythons.places.path.retain(|folder| !folder.join("uv").is_file());
    ensure(&release, &pythons, &settings, &told).map_err(said).unwrap();
    assert!(told.all().contains("note taken as it was packed: other lacks never.py"), "{}", told.all());
    imports(&release);
    assert_eq!(damage(&release, Look::Digests).unwrap().to_string(), "");
    fs::remove_file(site(&release).join("other.py")).unwrap();
    assert_eq!(damage(&release, Look::Sizes).unwrap().to_string(), "other lacks other.py");
}

#[test]
fn what_is_lost_later_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let Some((release, settings)) = world(folder.path()) else { return };
    let supported = supported();
    assert!(damage(&release, Look::Sizes).unwrap().is_empty(), "there is nothing yet");
    ensure(&release, &pythons(&supported), &settings, &Silent).map_err(said).unwrap();
    assert!(damage(&release, Look::Digests).unwrap().is_empty());
    fs::remove_dir_all(site(&release).join("good")).unwrap();
    let found = damage(&release, Look::Sizes).unwrap();
    assert_eq!(found.to_string(), "good lacks 2 files, good/__init__.py among them");
    // Every start asks only this, which costs nothing.
    assert_eq!(state(&release), State::Ready);
    fs::remove_file(release.join("venv").join(STAMP)).unwrap();
    assert_eq!(state(&release), State::Missing);
    ensure(&release, &pythons(&supported), &settings, &Silent).map_err(said).unwrap();
    imports(&release);
}
