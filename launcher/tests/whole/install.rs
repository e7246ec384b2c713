//! What may be missing when a release is installed: packages, a network, a Python.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use mathesar::app::python::{self, Choice, Places};
use zip::write::SimpleFileOptions;

use crate::harness::Home;
use crate::sample::release_requiring;

/// A package that nobody has published.
fn wheel(name: &str, version: &str) -> Vec<u8> {
    let info = format!("{name}-{version}.dist-info");
    let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let mut add = |path: String, text: String| {
        zip.start_file(path, SimpleFileOptions::default()).unwrap();
        zip.write_all(text.as_bytes()).unwrap();
    };
    add(format!("{name}.py"), String::new());
    add(format!("{info}/METADATA"), format!("Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"));
    let tags = "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n";
    add(format!("{info}/WHEEL"), tags.to_owned());
    let record = format!("{name}.py,,\n{info}/METADATA,,\n{info}/WHEEL,,\n{info}/RECORD,,\n");
    add(format!("{info}/RECORD"), record);
    zip.finish().unwrap().into_inner()
}

#[test]
fn a_package_that_cannot_be_installed_is_named_and_mended() {
    let Some(home) = Home::bare() else { return };
    home.pin(&release_requiring("iniconfig==99.1"));
    let failed = home.mathesar(&["start"]);
    assert_eq!(failed.status, 1, "{failed:?}");
    for said in ["cannot install the Python packages", "iniconfig==99.1", "help: "] {
        assert!(failed.stderr.contains(said), "{said}: {}", failed.stderr);
    }
    println!("{}", failed.stderr);
    home.nobody_left();
    let status = home.status();
    assert_eq!(status["state"], "failed", "{status:#}");
    assert!(status["message"].as_str().unwrap().contains("iniconfig==99.1"), "{status:#}");
    home.write(&home.layout.cache.join("wheels/iniconfig-99.1-py3-none-any.whl"), wheel("iniconfig", "99.1"));
    home.ok(&["start"]);
    assert_eq!(home.get("/auth/login/").0, 302);
    assert_eq!(home.status()["state"], "running");
}

#[test]
fn what_is_finished_stays_when_another_step_fails() {
    let Some(home) = Home::bare() else { return };
    // The server ends at its start, while packages are installed beside it.
    let bin = home.folder().join("home/bin");
    fs::create_dir(&bin).unwrap();
    for name in ["initdb", "pg_ctl", "psql", "pg_isready", "pg_basebackup", "pg_controldata", "pg_dump"] {
        std::os::unix::fs::symlink(home.server_program(name), bin.join(name)).unwrap();
    }
    let real = home.server_program("postgres");
    let script =
        format!("#!/bin/sh\ncase $1 in -D) sleep 1; exit 1;; esac\nexec {} \"$@\"\n", real.display());
    home.write(&bin.join("postgres"), script);
    fs::set_permissions(bin.join("postgres"), fs::Permissions::from_mode(0o755)).unwrap();
    home.conf(&format!("[database]\nbin = \"{}\"\n", bin.display()));
    let failed = home.mathesar(&["start"]);
    assert!(failed.status == 1 && failed.stderr.contains("PostgreSQL"), "{failed:?}");
    assert!(failed.stderr.contains("Prepared Python"), "{failed:?}");
    home.nobody_left();
    home.conf("");
    let plan = home.ok(&["plan"]).stdout;
    let said = home.ok(&["start"]).stderr;
    assert!(!said.contains("Prepared Python"), "{plan}\n{said}");
    assert_eq!(home.get("/auth/login/").0, 302);
}

#[test]
fn without_a_network_the_files_are_enough_also_when_python_vanishes() {
    let Some(mut home) = Home::bare() else { return };
    let tarball = home.share().join("app/mathesar-1.0.0.tar.gz");
    let aside = home.folder().join("aside.tar.gz");
    fs::rename(&tarball, &aside).unwrap();
    let warm = home.layout.cache.join("uv");
    let shared = fs::read_link(&warm).unwrap();
    fs::remove_file(&warm).unwrap();
    home.conf("[network]\noffline = true\n");

    let plan = home.mathesar(&["plan"]);
    assert!(plan.stdout.contains("mathesar-1.0.0.tar.gz"), "{plan:?}");
    let failed = home.mathesar(&["start"]);
    assert_eq!(failed.status, 4, "{failed:?}");
    assert!(failed.stderr.contains("mathesar-1.0.0.tar.gz is not on this machine"), "{}", failed.stderr);
    println!("{}", failed.stderr);
    // The help says where to put it.
    let place = home.layout.cache.join("downloads/mathesar-1.0.0.tar.gz");
    assert!(
        failed.stderr.contains(&format!("`cp mathesar-1.0.0.tar.gz {}`", place.display())),
        "{}",
        failed.stderr
    );
    home.write(&place, fs::read(&aside).unwrap());

    let failed = home.mathesar(&["start"]);
    assert_eq!(failed.status, 4, "{failed:?}");
    assert!(failed.stderr.contains("cannot install the Python packages"), "{}", failed.stderr);
    assert!(
        failed.stderr.contains(&home.layout.cache.join("wheels").display().to_string()),
        "{}",
        failed.stderr
    );
    println!("{}", failed.stderr);
    let _ = fs::remove_dir_all(&warm);
    std::os::unix::fs::symlink(shared, &warm).unwrap();

    let python = own_python(&home);
    let path = std::env::var("PATH").unwrap();
    if let Some(python) = &python {
        home.set_variable("PATH", format!("{}:{path}", python.join("bin").display()));
    }
    home.ok(&["start"]);
    assert_eq!(home.get("/auth/login/").0, 302);
    let Some(python) = python else { return };
    let stamp = home.layout.state.join("app/current/venv/mathesar.json");
    let stamp = || fs::read_to_string(&stamp).unwrap();
    assert!(stamp().contains(&python.display().to_string()), "{}", stamp());
    home.ok(&["stop"]);

    // A distribution's upgrade: the interpreter is another one, and there is no network now either, though nobody said so.
    fs::rename(&python, python.with_extension("old")).unwrap();
    home.conf("");
    home.set_variable("HTTPS_PROXY", "http://127.0.0.1:9");
    let plan = home.ok(&["plan"]).stdout;
    assert!(plan.contains("python        to do"), "{plan}");
    let started = home.ok(&["start"]);
    let said = "building the Python environment again: ";
    assert!(started.stderr.contains(said) && started.stderr.contains("is gone"), "{}", started.stderr);
    println!("{}", started.stderr);
    assert!(!stamp().contains(&python.display().to_string()), "{}", stamp());
    assert_eq!(home.get("/auth/login/").0, 302);
    let again = home.mathesar(&["restart", "--everything"]);
    assert!(again.status == 0 && !again.stderr.contains(said), "{again:?}");
}

#[test]
fn an_installation_from_a_file_that_broke_off_is_gone_on_with() {
    let Some(home) = Home::bare() else { return };
    let broken = release_requiring("iniconfig==99.1");
    let file = home.folder().join("mathesar.tar.gz");
    fs::copy(&broken.tarball, &file).unwrap();
    let failed = home.mathesar(&["app", "install", "--from", file.to_str().unwrap()]);
    assert_eq!(failed.status, 1, "{failed:?}");
    // Not with the pinned one.
    let id = format!("app/{}-{}", broken.version, &broken.sha256[..12]);
    let plan = home.ok(&["plan"]).stdout;
    assert!(plan.contains(&format!("{id}, held")), "{plan}");
    for command in ["start", "setup"] {
        let failed = home.mathesar(&[command]);
        assert!(failed.status == 1 && failed.stderr.contains("iniconfig==99.1"), "{failed:?}");
    }
}

/// A Python of this home's own, that may vanish: the system's program, with the system's library.
fn own_python(home: &Home) -> Option<PathBuf> {
    let supported = mathesar::release::Python { min: (3, 10), max: (3, 12), prefer: vec![(3, 12), (3, 11)] };
    let places = Places { path: vec!["/usr/bin".into(), "/usr/local/bin".into()], home: None };
    let Ok(Choice::System(system)) = python::choose(&supported, None, false, &places) else {
        println!("not run: the system has no Python whose upgrade could be tried");
        return None;
    };
    let folder = home.folder().join("python");
    fs::create_dir_all(folder.join("bin")).unwrap();
    let (major, minor) = system.minor();
    let program = folder.join(format!("bin/python{major}.{minor}"));
    fs::copy(&system.path, &program).unwrap();
    let library = system.path.parent().unwrap().parent().unwrap().join("lib");
    std::os::unix::fs::symlink(library, folder.join("lib")).unwrap();
    let works = python::probe(&program);
    if let Err(why) = &works {
        println!("not run: a copy of {} does not run: {why}", system.path.display());
    }
    works.is_ok().then_some(folder)
}
