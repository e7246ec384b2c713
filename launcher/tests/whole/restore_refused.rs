//! Backups that are not restored: refused before anything is touched, or taken back because they do not work.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use mathesar::backup::archive;
use mathesar::progress::Silent;
use serde_json::{Value, json};

use crate::disk::Disk;
use crate::harness::{Home, Output};
use crate::machine::{copy_tree, give, tree};
use crate::restore::{backed_up, backup_of, shown, uploads};
use crate::upgrade::{fill, precious, rita_reads};
use crate::witness::{Random, kills};

/// What may not change: all that is precious, and the folders in which something could be left.
fn untouched(home: &Home) -> Vec<String> {
    let state = &home.layout.state;
    let mut all: Vec<String> =
        ["secrets", "media", "backups", "staging", "database/aside", "restored-settings"]
            .iter()
            .flat_map(|name| tree(&state.join(name)))
            // An empty folder of work is no trace.
            .filter(|line| !line.starts_with(&format!("{} ", state.join("database/aside").display())))
            .collect();
    all.extend(tree(&home.layout.config));
    all
}

#[test]
fn a_spoilt_backup_touches_nothing() {
    let Some(home) = Home::prepared() else { return };
    let (backup, before, table) = backed_up(&home);
    let untouched_before = untouched(&home);
    let whole = fs::read(&backup).unwrap();
    let mut random = Random::new(7);
    let spoilt = home.folder().join("spoilt.tar.zst");
    let count = kills();
    for number in 0..count + 3 {
        let mut bytes = whole.clone();
        let what = if number < count {
            let at = random.below(bytes.len() as u64) as usize;
            bytes[at] ^= 1 << random.below(8);
            format!("byte {at} of {}", whole.len())
        } else {
            let (length, what) = match number - count {
                0 => (bytes.len() - 1, "the last byte is missing"),
                1 => (bytes.len() / 2, "half of it is missing"),
                _ => (0, "all of it is missing"),
            };
            bytes.truncate(length);
            what.to_owned()
        };
        fs::write(&spoilt, &bytes).unwrap();
        give(&spoilt, home.user);
        // A backup of what is here is wanted, and not made for this.
        let output = home.mathesar(&["restore", "--yes", &shown(&spoilt)]);
        assert_eq!(output.status, 4, "{what}: {}", output.stderr);
        println!("{what}: {}", output.stderr.lines().next().unwrap_or_default());
        assert_eq!(home.status()["state"], "running", "{what}");
        assert_eq!(untouched(&home), untouched_before, "{what}");
    }
    assert_eq!(precious(&home), before);
    rita_reads(&home, &table);
}

/// An archive that begins as this one, with another manifest; its rest is missing, as nobody is to look at it.
pub fn with_manifest(home: &Home, backup: &Path, change: impl FnOnce(&mut Value)) -> PathBuf {
    let mut manifest = serde_json::to_value(archive::read_manifest(backup).unwrap()).unwrap();
    change(&mut manifest);
    let path = home.folder().join("other.tar.zst");
    let _ = fs::remove_file(&path);
    // By hand: the writer itself knows no newer format.
    let text = manifest.to_string();
    let mut builder = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_ustar();
    header.set_size(text.len() as u64);
    header.set_mode(0o600);
    builder.append_data(&mut header, "manifest.json", text.as_bytes()).unwrap();
    let mut bytes = zstd::stream::encode_all(&builder.into_inner().unwrap()[..], 1).unwrap();
    let digest = format!("mathesar-backup-1 sha256 {}\n", mathesar::app::digest::of_bytes(&bytes));
    bytes.extend(0x184D_2A5E_u32.to_le_bytes());
    bytes.extend(u32::try_from(digest.len()).unwrap().to_le_bytes());
    bytes.extend(digest.as_bytes());
    fs::write(&path, bytes).unwrap();
    give(&path, home.user);
    path
}

#[test]
fn what_does_not_fit_is_refused_with_what_to_do() {
    let Some(home) = Home::prepared() else { return };
    let (backup, before, _) = backed_up(&home);
    let untouched_before = untouched(&home);
    let refused = |path: &Path, wanted: &[&str]| {
        let output = home.mathesar(&["restore", "--yes", "--without-backup", &shown(path)]);
        assert_eq!(output.status, 4, "{wanted:?}: {}", output.stderr);
        for text in wanted {
            assert!(output.stderr.contains(text), "{text}: {}", output.stderr);
        }
        assert_eq!(home.status()["state"], "running", "{wanted:?}");
        assert_eq!(untouched(&home), untouched_before, "{wanted:?}");
        println!("{}", output.stderr);
    };
    let changed = |change: &dyn Fn(&mut Value)| with_manifest(&home, &backup, |value| change(value));
    refused(&changed(&|value| value["format"] = json!(2)), &["was made by a newer launcher"]);
    refused(
        &changed(&|value| value["postgresql"]["major"] = json!(11)),
        &["PostgreSQL 11", "`portable/*.dump` in it can be read by any"],
    );
    refused(
        &changed(&|value| value["app"]["version"] = json!("1.0.0\u{1b}[2J")),
        &["`app.version` is no version"],
    );
    refused(&changed(&|value| value["kind"] = json!("logical")), &["made by pg_dump", "pg_restore"]);
    refused(
        &changed(&|value| value["internal_database"] = json!("elsewhere")),
        &["mathesar config set database.name elsewhere"],
    );
    refused(
        &changed(&|value| value["unpacked_bytes"] = json!(1_u64 << 60)),
        &["too little room", "are needed and", "for the backup, unpacked in", "mathesar backup prune"],
    );
    refused(Path::new("nothing.tar.zst"), &["there is no backup nothing.tar.zst", "mathesar backup list"]);
    // Its manifest is all that is in it.
    refused(&changed(&|_| {}), &["backup_manifest"]);

    home.ok(&["stop"]);
    home.conf("[app]\nsecret-key = \"another key, of somebody who is wrong\"\n");
    let output = home.mathesar(&["restore", "--yes", "--without-backup", &shown(&backup)]);
    assert_eq!(output.status, 4, "{output:?}");
    assert!(output.stderr.contains("mathesar config unset app.secret-key"), "{}", output.stderr);
    home.conf("[database]\nurl = \"postgresql://somebody@127.0.0.1:1/x\"\n");
    let output = home.mathesar(&["restore", "--yes", "--without-backup", &shown(&backup)]);
    assert_eq!(output.status, 4, "{output:?}");
    assert!(output.stderr.contains("mathesar config unset database.url"), "{}", output.stderr);
    home.conf("");
    home.ok(&["start"]);
    assert_eq!(precious(&home), before);
}

/// The same archive with something changed in it, sealed anew: by somebody who knows how.
pub fn sealed_anew(home: &Home, backup: &Path, change: impl FnOnce(&Path)) -> PathBuf {
    let (folder, path) = (home.folder().join("opened"), home.folder().join("sealed.tar.zst"));
    let _ = fs::remove_dir_all(&folder);
    archive::unpack(backup, &folder, &|_| true, &Silent).unwrap();
    change(&folder);
    let _ = fs::remove_file(&path);
    let mut writer = archive::Writer::new(fs::File::create_new(&path).unwrap(), 1).unwrap();
    let manifest = fs::read(folder.join("manifest.json")).unwrap();
    writer.bytes("manifest.json", 0o600, &manifest).unwrap();
    fs::remove_file(folder.join("manifest.json")).unwrap();
    for entry in fs::read_dir(&folder).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().to_string_lossy().into_owned();
        match entry.file_type().unwrap().is_dir() {
            true => writer.tree(&name, &entry.path(), &Silent).unwrap(),
            false => writer.file(&name, &entry.path()).unwrap(),
        }
    }
    writer.finish().unwrap();
    give(&path, home.user);
    path
}

/// Digests prove nothing to whoever has made them: such archives get nothing to run, and nothing outside of themselves.
#[test]
fn what_somebody_has_made_to_do_harm_does_none() {
    let Some(home) = Home::prepared() else { return };
    let (backup, before, table) = backed_up(&home);
    let mark = home.folder().join("harm");
    let recovers = sealed_anew(&home, &backup, |folder| {
        let conf = folder.join("cluster/postgresql.auto.conf");
        let command = format!("restore_command = 'touch {}; false'\n", mark.display());
        fs::write(&conf, fs::read_to_string(&conf).unwrap() + &command).unwrap();
        fs::write(folder.join("cluster/recovery.signal"), "").unwrap();
    });
    for args in [&["backup", "verify"][..], &["restore", "--yes", "--without-backup"]] {
        let output = home.mathesar(&[args, &[&shown(&recovers)]].concat());
        assert_eq!(output.status, 4, "{}", output.stderr);
        assert!(output.stderr.contains("holds recovery.signal"), "{}", output.stderr);
    }
    assert!(!mark.exists(), "its command was run");
    let leads_out = sealed_anew(&home, &backup, |folder| {
        let checks = folder.join("checks.json");
        let mut value: Value = serde_json::from_str(&fs::read_to_string(&checks).unwrap()).unwrap();
        value["dumps"][0]["file"] = json!("/dev/ptmx");
        fs::write(checks, value.to_string()).unwrap();
    });
    let output = home.mathesar(&["backup", "verify", &shown(&leads_out)]);
    assert_eq!(output.status, 4, "{}", output.stderr);
    assert!(output.stderr.contains("names a portable copy \"/dev/ptmx\""), "{}", output.stderr);
    assert_eq!(precious(&home), before);
    rita_reads(&home, &table);
}

/// Whole to the byte, and yet nothing that the application could work with.
#[test]
fn one_that_does_not_work_is_taken_back() {
    let Some(broken) = Home::prepared() else { return };
    broken.ok(&["start"]);
    fill(&broken);
    broken.sql("mathesar_django", "DROP TABLE django_session CASCADE");
    let backup = backup_of(&broken);
    broken.ok(&["stop"]);
    let carry = |home: &Home| {
        let copy = home.folder().join("moved.tar.zst");
        fs::copy(&backup, &copy).unwrap();
        give(&copy, home.user);
        shown(&copy)
    };
    let failed = |output: &Output| {
        assert_eq!(output.status, 1, "{}", output.stderr);
        for text in ["the backup was not restored", "django_session", "everything is as it was before"] {
            assert!(output.stderr.contains(text), "{text}: {}", output.stderr);
        }
        println!("{}", output.stderr);
    };

    let Some(home) = Home::prepared() else { return };
    let (_, before, table) = backed_up(&home);
    failed(&home.mathesar(&["restore", "--yes", "--without-backup", &carry(&home)]));
    assert_eq!(home.status()["state"], "running");
    assert_eq!(precious(&home), before);
    rita_reads(&home, &table);
    let left = tree(&home.layout.state.join("database/aside"));
    assert!(left.len() <= 1, "{left:#?}");
    let pending = home.status()["pending"].clone();
    assert_eq!(pending, json!([]), "a restore that failed is no upgrade that did");

    // Where nothing was, nothing is.
    let Some(empty) = Home::installed() else { return };
    let config = fs::read(empty.layout.config_file()).unwrap();
    fs::remove_file(empty.layout.config_file()).unwrap();
    failed(&empty.mathesar(&["restore", &carry(&empty)]));
    empty.nobody_left();
    for name in
        ["database/data", "secrets", "media", "restored-settings", "transaction.json", "migrated.json"]
    {
        assert!(!empty.layout.state.join(name).exists(), "{name}");
    }
    assert!(!empty.layout.config_file().exists());
    empty.write(&empty.layout.config_file(), config);
    empty.ok(&["start"]);
    empty.create_admin();
}

/// Where the database is lost and cannot be backed up, what is left of it is kept aside all the same.
#[test]
fn what_is_broken_is_replaced_and_kept() {
    let Some(home) = Home::prepared() else { return };
    let (backup, before, table) = backed_up(&home);
    home.ok(&["stop"]);
    let data = home.layout.state.join("database/data");
    fs::remove_file(data.join("global/pg_control")).unwrap();
    let refused = home.mathesar(&["restore", "--yes", &shown(&backup)]);
    assert_ne!(refused.status, 0);
    assert!(refused.stderr.contains("mathesar restore --without-backup"), "{}", refused.stderr);
    assert!(!home.layout.state.join("database/aside").join("unpacked").exists());
    home.ok(&["restore", "--yes", "--without-backup", &shown(&backup)]);
    home.ok(&["start"]);
    assert_eq!(precious(&home), before);
    rita_reads(&home, &table);

    // The database's folder is gone, the uploaded files are not: they count, too.
    home.ok(&["stop"]);
    fs::remove_dir_all(home.layout.state.join("database")).unwrap();
    let own = home.layout.state.join("media/mine.txt");
    home.write(&own, "mine");
    let refused = home.mathesar(&["restore", &shown(&backup)]);
    assert_eq!(refused.status, 4, "{}", refused.stderr);
    home.ok(&["restore", "--yes", &shown(&backup)]);
    home.ok(&["start"]);
    assert_eq!(precious(&home), before);
    assert!(!own.exists());
    let aside = uploads(&home.layout.state.join("aside"));
    assert!(aside.iter().any(|(_, text)| text == "mine"), "{aside:?}");
}

/// What was unpacked by one that was killed goes when Mathesar starts, and its place can be used again.
#[test]
fn a_disk_that_fills_up_leaves_the_old_one() {
    let disk;
    let Some(home) = Home::prepared() else { return };
    let state = home.layout.state.clone();
    let before_disk = home.folder().join("state-before");
    fs::rename(&state, &before_disk).unwrap();
    disk = match Disk::mount(&home, &state, "size=900m") {
        Some(disk) => disk,
        None => return,
    };
    for entry in fs::read_dir(&before_disk).unwrap() {
        let entry = entry.unwrap();
        copy_tree(&entry.path(), &state.join(entry.file_name()), home.user, false);
    }
    let (backup, before, table) = backed_up(&home);
    let outside = home.folder().join("outside.tar.zst");
    fs::copy(&backup, &outside).unwrap();
    give(&outside, home.user);
    let fill = state.join("fill");
    let mut outcomes = std::collections::BTreeMap::<String, u32>::new();
    for moment in ["aside", "restore-unpacked", "transaction.json", "old"] {
        home.sql("people", "INSERT INTO cats (name) VALUES ('since')");
        let mut running = home.spawn("full", &["restore", "--yes", "--without-backup", &shown(&outside)]);
        let aside = state.join("database/aside");
        let any = |name: &str| tree(&aside).iter().any(|line| line.contains(name));
        home.until(moment, || {
            running.try_wait().unwrap().is_some()
                || match moment {
                    "aside" => any("/unpacked/cluster/"),
                    "restore-unpacked" => any("/unpacked/checks.json"),
                    "transaction.json" => state.join("transaction.json").exists(),
                    _ => any("/database/old "),
                }
        });
        let dd = Command::new("dd")
            .args(["if=/dev/zero", "bs=64k"])
            .arg(format!("of={}", fill.display()))
            .output();
        assert!(!dd.unwrap().status.success(), "the disk is not full");
        let status = running.wait().unwrap();
        let words = home.words("full");
        fs::remove_file(&fill).unwrap();
        home.ok(&["start"]);
        let count = home.sql("people", "SELECT count(*) FROM cats");
        let new = count == "3";
        println!("full at {moment}: exit {:?}, {}\n{words}", status.code(), if new { "new" } else { "old" });
        assert!(new || count == "4", "{count}");
        assert!(!status.success() || new, "{words}");
        assert_eq!(precious(&home), before, "{moment}");
        rita_reads(&home, &table);
        *outcomes.entry(if new { "new" } else { "old" }.to_owned()).or_default() += 1;
        home.sql("people", "DELETE FROM cats WHERE name = 'since'");
    }
    println!("{outcomes:?}");
    home.ok(&["stop"]);
    drop(disk);
}
