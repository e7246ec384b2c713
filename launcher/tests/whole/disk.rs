//! Disks that are full or read-only, files that are not what they should be, and files that are nobody's business.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::json;

use crate::harness::{Home, PATIENCE};
use crate::http::{ADMIN, call};
use crate::machine::{give, make_folder, tree};

/// A small disk. Declared before its home, as a home's folder is removed while the disk is still there.
pub struct Disk {
    place: PathBuf,
    above: PathBuf,
}

impl Disk {
    pub fn mount(home: &Home, place: &Path, size: &str) -> Option<Disk> {
        make_folder(place, home.folder(), home.user);
        let disk = Disk { place: place.to_owned(), above: home.folder().to_owned() };
        if !rustix::process::geteuid().is_root() || !disk.run("tmpfs", size) {
            println!("not run: no disk can be mounted here");
            return None;
        }
        give(place, home.user);
        fs::set_permissions(place, fs::Permissions::from_mode(0o700)).unwrap();
        Some(disk)
    }

    fn run(&self, kind: &str, options: &str) -> bool {
        let command =
            Command::new("mount").args(["-t", "tmpfs", "-o", options, kind]).arg(&self.place).status();
        command.is_ok_and(|status| status.success())
    }

    pub fn resize(&self, size: &str) {
        assert!(self.run("tmpfs", &format!("remount,{size}")));
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.place).status();
        let _ = fs::remove_dir_all(&self.above);
    }
}

#[test]
fn a_full_disk_is_said_and_more_room_is_all_it_takes() {
    let disk;
    let Some(home) = Home::bare() else { return };
    let state = &home.layout.state;
    disk = match Disk::mount(&home, state, "size=30m") {
        Some(disk) => disk,
        None => return,
    };
    let failed = home.mathesar(&["start"]);
    assert_eq!(failed.status, 1, "{failed:?}");
    assert!(failed.stderr.contains("No space left on device"), "{}", failed.stderr);
    println!("{}", failed.stderr);
    home.nobody_left();
    let left: Vec<_> = tree(state).into_iter().filter(|line| line.contains(".new")).collect();
    assert!(left.is_empty(), "half-made things fill the disk: {left:#?}");
    disk.resize("size=900m");
    home.ok(&["start"]);
    home.create_admin();
    let table = home.table("people", "cats");

    // Now it fills up while it runs.
    let mut rows = 0;
    let mut add = |text: &str| {
        let mut row = table.clone();
        row["record_def"] = json!({"name": format!("{rows} {text}")});
        let added = matches!(call(home.port, ADMIN, "records.add", &row, PATIENCE), Some(Ok(_)));
        rows += u32::from(added);
        added
    };
    assert!(add("before"));
    let fill = state.join("fill");
    let mut file = fs::File::create(&fill).unwrap();
    while file.write_all(&[1; 65536]).is_ok() {}
    drop(file);
    let much = "x".repeat(2_000_000);
    for _ in 0..30 {
        add(&much);
    }
    let status = home.mathesar(&["status", "--json"]);
    assert!([0, 3].contains(&status.status) && status.stdout.contains("\"state\""), "{status:?}");
    home.ok(&["stop"]);
    home.nobody_left();
    let started = home.mathesar(&["start"]);
    println!("start on a full disk: {}\n{}", started.status, started.stderr);
    let said = "are free on the disk of";
    assert!(started.status == 0 || started.status == 1 && started.stderr.contains(said), "{started:?}");
    fs::remove_file(&fill).unwrap();
    home.ok(&["start"]);
    home.until("the page", || home.try_get("/auth/login/").is_some_and(|answer| answer.status == 200));
    let count: u32 = home.sql("people", "SELECT count(*) FROM cats").parse().unwrap();
    assert!(count >= rows, "{rows} rows were acknowledged, {count} are there");
    println!("{rows} rows were acknowledged around a full disk, {count} are there");
    home.ok(&["stop"]);
}

#[test]
fn a_configuration_that_cannot_be_written_is_no_obstacle() {
    let Some(mut home) = Home::prepared() else { return };
    let (folder, file) = (home.layout.config.clone(), home.layout.config_file());
    // As in a container whose settings are mounted: there is no file, and none can be made.
    fs::remove_file(&file).unwrap();
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o555)).unwrap();
    home.set_variable("MATHESAR_SERVER_LISTEN", format!("127.0.0.1:{}", home.port));
    let started = home.ok(&["start"]);
    assert!(started.stderr.contains("going on without a file of settings"), "{}", started.stderr);
    assert_eq!(home.get("/auth/login/").0, 302);
    assert!(!file.exists());
    let set = home.mathesar(&["config", "set", "server.workers", "3"]);
    assert!(set.status == 1 && set.stderr.contains("Permission denied"), "{set:?}");
    home.ok(&["restart", "--everything"]);
    home.ok(&["stop"]);

    // One that may not even be read is an obstacle.
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).unwrap();
    home.write(&file, "[server]\n");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o000)).unwrap();
    let refused = home.mathesar(&["start"]);
    assert!(refused.status != 0 && refused.stderr.contains("Permission denied"), "{refused:?}");
    assert!(refused.stderr.contains(&file.display().to_string()), "{refused:?}");
    home.nobody_left();
}

#[test]
fn a_configuration_that_is_not_utf_8_is_refused_and_nothing_is_changed() {
    let Some(home) = Home::prepared() else { return };
    let text = fs::read(home.layout.config_file()).unwrap();
    home.write(&home.layout.config_file(), [&text[..], b"# Gr\xfc\xdfe\n"].concat());
    let before = tree(home.folder());
    for command in ["start", "run", "plan", "setup"] {
        let refused = home.mathesar(&[command]);
        assert_eq!(refused.status, 4, "{command}: {refused:?}");
        assert!(
            refused.stderr.contains("UTF-8") && refused.stderr.contains("mathesar.conf:4:"),
            "{}",
            refused.stderr
        );
    }
    assert_eq!(tree(home.folder()), before);
    // Who only looks, or wants it to end, is not kept from it.
    assert_eq!(home.status()["state"], "stopped");
    home.ok(&["stop"]);
    home.write(&home.layout.config_file(), text);
    home.ok(&["start"]);
}

#[test]
fn foreign_files_survive_and_do_no_harm() {
    let Some(home) = Home::prepared() else { return };
    let state = home.layout.state.clone();
    let foreign = [
        "notes.txt",
        "app/README",
        "app/old/readme",
        "app/2.0.0-0123456789ab/x",
        "app/.hidden",
        "database/diary",
        "database/data.old/x",
        "secrets/note",
        "secrets/more/note",
        "media/mia/cat.png",
        "socket/x",
        "lost+found/x",
    ];
    for name in foreign {
        home.write(&state.join(name), name);
    }
    for name in ["gunicorn.txt", "old.sock"] {
        home.write(&home.layout.run.join(name), name);
    }
    // A dangling link, and one that leads out.
    std::os::unix::fs::symlink("/nonexistent", state.join("app/dangling")).unwrap();
    std::os::unix::fs::symlink("/", state.join("secrets/out")).unwrap();
    home.ok(&["plan"]);
    home.ok(&["start"]);
    home.create_admin();
    home.ok(&["restart"]);
    home.ok(&["restart", "--everything"]);
    assert_eq!(home.get("/auth/login/").0, 200);
    home.ok(&["stop"]);
    for name in foreign {
        assert_eq!(fs::read_to_string(state.join(name)).unwrap(), name);
    }
    assert!(fs::symlink_metadata(state.join("app/dangling")).is_ok());
    assert!(home.layout.run.join("gunicorn.txt").exists());
}
