use std::fs::{self, File, FileTimes, Permissions};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, SystemTime};

use super::fixture::{EPOCH, Fixture, git_add, run};
use super::*;

const BINARY: &str = "mathesar-0.12.0-1-x86_64-linux-gnu.tar.gz";
const SOURCE: &str = "mathesar-0.12.0-1-src.tar.gz";

fn listing(archive: &Path) -> String {
    run(Command::new("tar")
        .env("TZ", "UTC")
        .env("LC_ALL", "C")
        .args(["--numeric-owner", "-tvzf"])
        .arg(archive))
    // Size and time: of no interest, and the latter the same everywhere.
    .lines()
    .map(|line| {
        let mut words = line.split_whitespace();
        let (mode, owner) = (words.next().unwrap(), words.next().unwrap());
        format!("{mode} {owner} {}\n", words.skip(3).collect::<Vec<_>>().join(" "))
    })
    .collect()
}

fn text_of(archive: &Path, member: &str) -> String {
    run(Command::new("tar").arg("-xOzf").arg(archive).arg(member))
}

#[test]
fn the_binary_tarball_is_the_installed_tree() {
    let out = Fixture::new().build(&CHANNEL, &[]);
    insta::assert_snapshot!(listing(&out.path().join(BINARY)));
}

#[test]
fn its_readme() {
    let out = Fixture::new().build(&CHANNEL, &[]);
    let stem = BINARY.strip_suffix(".tar.gz").unwrap();
    insta::assert_snapshot!(text_of(&out.path().join(BINARY), &format!("{stem}/README.txt")));
}

/// What README.txt says, done: the commands are taken from it.
#[test]
fn its_readme_installs_and_removes() {
    let out = Fixture::new().build(&CHANNEL, &[]);
    let root = tempfile::tempdir().unwrap();
    let stem = BINARY.strip_suffix(".tar.gz").unwrap();
    let readme = text_of(&out.path().join(BINARY), &format!("{stem}/README.txt"));
    let command = |with: &str| readme.lines().find(|line| line.trim().starts_with(with)).unwrap().trim();
    let here = root.path().display().to_string();
    let sh = |script: &str| run(Command::new("sh").arg("-euc").arg(script).current_dir(out.path()));
    let install = command("tar -xzf").replace("-C /", &format!("-C {here}"));
    sh(&install);
    assert!(root.path().join("usr/bin/mathesar").is_file());
    assert!(!root.path().join("README.txt").exists());
    let config = root.path().join("etc/mathesar/mathesar.conf");
    fs::write(&config, "edited").unwrap();
    sh(&format!("{install} --exclude={stem}/etc"));
    assert_eq!(fs::read_to_string(&config).unwrap(), "edited");
    for path in sh(command("tar -tzf")).lines() {
        fs::remove_file(root.path().join(path.trim_start_matches('/'))).unwrap();
    }
    let left =
        walkdir::WalkDir::new(root.path()).into_iter().flatten().filter(|item| !item.file_type().is_dir());
    assert_eq!(left.count(), 0);
}

#[test]
fn the_source_tarball_is_what_git_tracks_and_what_is_generated() {
    let fixture = Fixture::new();
    let root = &fixture.package.root;
    fixture.file("launcher/src/main.rs", "fn main() {}\n");
    fixture.file("tool", "#!/bin/sh\n");
    fs::set_permissions(root.join("tool"), Permissions::from_mode(0o775)).unwrap();
    fixture.file("removed", "");
    symlink("tool", root.join("link")).unwrap();
    fixture.file(&format!("{}/deep", "long-name-".repeat(20)), "");
    git_add(root);
    fs::remove_file(root.join("removed")).unwrap();
    fixture.file("untracked", "");
    fixture.file("launcher/src/main.rs", "fn main() { changed() }\n");
    // A file system without permissions, or another umask: the index counts.
    fs::set_permissions(root.join("tool"), Permissions::from_mode(0o600)).unwrap();
    fs::set_permissions(root.join("LICENSE"), Permissions::from_mode(0o777)).unwrap();
    let out = fixture.build(&CHANNEL, &[]);
    let archive = out.path().join(SOURCE);
    insta::assert_snapshot!(listing(&archive));
    let member = |path: &str| text_of(&archive, &format!("mathesar-0.12.0-1-src/{path}"));
    assert_eq!(member("launcher/src/main.rs"), "fn main() { changed() }\n");
    assert_eq!(member("packaging/mathesar.toml"), fixture.package.manifest_text);
    assert_eq!(member("launcher/release.toml"), "made up: build:share/release.toml\n");
    assert!(reads(&fixture.package).contains(&"launcher/src/main.rs".to_owned()));
}

/// Who builds from an unpacked source tarball gets the same source tarball.
#[test]
fn the_source_tarball_of_a_source_tarball_is_the_same() {
    let fixture = Fixture::new();
    fixture.file("tool", "#!/bin/sh\n");
    fs::set_permissions(fixture.package.root.join("tool"), Permissions::from_mode(0o755)).unwrap();
    git_add(&fixture.package.root);
    let out = fixture.build(&CHANNEL, &[]);
    let unpacked = tempfile::tempdir().unwrap();
    run(Command::new("tar").arg("-xzf").arg(out.path().join(SOURCE)).arg("-C").arg(unpacked.path()));
    let mut again = Fixture::new();
    again.package.root = unpacked.path().join("mathesar-0.12.0-1-src");
    for ignored in ["target/debug/x", "dist/x", ".git/nothing"] {
        // .git would be taken for a checkout; walking leaves it out as well.
        if !ignored.starts_with(".git") {
            again.file(ignored, "");
        }
    }
    let second = again.build(&CHANNEL, &[]);
    assert_eq!(listing(&out.path().join(SOURCE)), listing(&second.path().join(SOURCE)));
    assert!(fs::read(out.path().join(SOURCE)).unwrap() == fs::read(second.path().join(SOURCE)).unwrap());
}

#[test]
fn a_lock_of_another_release_stays_out() {
    let mut fixture = Fixture::new();
    fixture.file("packaging/app.lock", "of the checkout\n");
    let out = fixture.build(&CHANNEL, &[]);
    assert!(!listing(&out.path().join(SOURCE)).contains("app.lock"));
    fixture.package.lock = Some("of the manifest\n".into());
    let out = fixture.build(&CHANNEL, &[]);
    let lock = text_of(&out.path().join(SOURCE), "mathesar-0.12.0-1-src/packaging/app.lock");
    assert_eq!(lock, "of the manifest\n");
}

#[test]
fn the_bytes_depend_on_no_time_umask_or_folder() {
    let build = |seconds: u64, mode: u32| {
        let fixture = Fixture::new();
        fixture.file("tool", "#!/bin/sh\n");
        fs::set_permissions(fixture.package.root.join("tool"), Permissions::from_mode(0o755)).unwrap();
        git_add(&fixture.package.root);
        for folder in [&fixture.package.root, &fixture.artifacts.generated] {
            for item in walkdir::WalkDir::new(folder).into_iter().flatten() {
                if item.file_type().is_file()
                    && !item.path().components().any(|part| part.as_os_str() == ".git")
                {
                    let time = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
                    let file = File::options().write(true).open(item.path()).unwrap();
                    file.set_times(FileTimes::new().set_modified(time)).unwrap();
                    fs::set_permissions(item.path(), Permissions::from_mode(mode)).unwrap();
                }
            }
        }
        let out = fixture.build(&CHANNEL, &[]);
        [BINARY, SOURCE].map(|name| fs::read(out.path().join(name)).unwrap())
    };
    let [older, newer] = [build(EPOCH - 1_000_000, 0o600), build(EPOCH + 1_000_000, 0o666)];
    assert!(older == newer);
}
