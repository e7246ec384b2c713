//! Settings, places, secrets, release: sound facts, and how each is broken.

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use super::{Broken, NOT_CHECKED, PROBLEM, WARNING, break_each};
use crate::app::store::Differences;
use crate::doctor::{backup, disk, network, places, release, secrets, settings};
use crate::parents::{Weak, Why};

const GB: u64 = 1_000_000_000;

pub fn settings() -> Vec<Broken> {
    let good = settings::Facts {
        files: vec!["/c/mathesar.conf".into()],
        errors: Vec::new(),
        warnings: Vec::new(),
        missing: Vec::new(),
        unreadable: Vec::new(),
        debug: false,
        public: None,
    };
    break_each(
        &good,
        settings::checks,
        &[
            ("settings", "a mistake in conf.d", PROBLEM, |f| {
                f.errors.push("/c/conf.d/a:1:1: unknown".into())
            }),
            ("settings", "a setting without effect", WARNING, |f| f.warnings.push("no effect".into())),
            ("setting-files", "password-file names nothing", PROBLEM, |f| f.missing.push("names /x".into())),
            ("setting-files", "a file of root's", PROBLEM, |f| {
                f.unreadable.push(("database.password-file".into(), "/x".into()));
            }),
            ("debug", "debug on loopback", WARNING, |f| f.debug = true),
            ("debug", "debug on a public address", PROBLEM, |f| {
                (f.debug, f.public) = (true, Some("it listens on 0.0.0.0:80".into()));
            }),
        ],
    )
}

pub fn network() -> Vec<Broken> {
    let good = network::Facts {
        offline: false,
        proxy: Some(("http://proxy:3128".into(), false)),
        http_only: false,
        no_proxy: vec!["localhost".into()],
        service: false,
        ca_file: Some("/ca.pem".into()),
        certificates: Some(1),
    };
    break_each(
        &good,
        network::checks,
        &[
            ("proxy-settings", "NO_PROXY without localhost", WARNING, |f| f.no_proxy.clear()),
            ("proxy-settings", "HTTPS_PROXY of the shell, and a unit", WARNING, |f| {
                (f.proxy, f.service) = (Some(("http://p:1".into(), true)), true);
            }),
            ("proxy-settings", "HTTP_PROXY alone", WARNING, |f| (f.proxy, f.http_only) = (None, true)),
            ("proxy-settings", "offline", NOT_CHECKED, |f| f.offline = true),
            ("certificates", "a ca-file in DER", PROBLEM, |f| f.certificates = Some(0)),
            ("certificates", "a ca-file that cannot be read", PROBLEM, |f| f.certificates = None),
            ("certificates", "a system without any", WARNING, |f| (f.ca_file, f.certificates) = (None, None)),
        ],
    )
}

pub fn places() -> Vec<Broken> {
    use places::State;
    const THERE: State = State::There { folder: true, uid: 7, mode: 0o700, writable: true, readable: true };
    let place = |name, path: &str| places::Place { name, path: path.into(), state: THERE, weak: None };
    const WEAK: fn() -> Option<Weak> = || Some(Weak { folder: "/srv".into(), why: Why::Everybody(0o777) });
    let good = places::Facts {
        uid: 7,
        places: vec![place("state", "/s"), place("cache", "/c")],
        config: vec![place("settings", "/e"), place("settings", "/e/mathesar.conf")],
        owner: 0,
    };
    break_each(
        &good,
        places::checks,
        &[
            ("places", "another user's media folder that cannot be written", PROBLEM, |f| {
                f.places[0].name = "media";
                f.places[0].state =
                    State::There { folder: true, uid: 7, mode: 0o755, writable: false, readable: true };
            }),
            ("places", "the state folder is a file", PROBLEM, |f| {
                f.places[0].state =
                    State::There { folder: false, uid: 7, mode: 0o600, writable: true, readable: true };
            }),
            ("places", "a cache of root's", PROBLEM, |f| {
                f.places[1].state =
                    State::There { folder: true, uid: 0, mode: 0o755, writable: false, readable: true };
            }),
            ("places", "a read-only disk", PROBLEM, |f| {
                f.places[0].state =
                    State::There { folder: true, uid: 7, mode: 0o700, writable: false, readable: true };
            }),
            ("places", "missing below a folder of root's", PROBLEM, |f| {
                f.places[0].state = State::Missing { parent: "/".into(), writable: false };
            }),
            ("places", "another user asks", PROBLEM, |f| {
                f.places[0].state = State::Hidden { by: "/h".into(), cure: "`ls`".to_owned() }
            }),
            ("config-folder", "another user asks", PROBLEM, |f| {
                f.config[0].state = State::Hidden { by: "/h".into(), cure: "`ls`".to_owned() };
            }),
            ("places", "chmod 777", WARNING, |f| {
                f.places[0].state =
                    State::There { folder: true, uid: 7, mode: 0o777, writable: true, readable: true };
            }),
            ("places", "everybody may exchange the state folder", WARNING, |f| f.places[0].weak = WEAK()),
            ("config-folder", "everybody may exchange it", WARNING, |f| f.config[0].weak = WEAK()),
            ("config-folder", "mathesar.conf is root's alone", PROBLEM, |f| {
                f.config[1].state =
                    State::There { folder: false, uid: 0, mode: 0o600, writable: false, readable: false };
            }),
            ("config-folder", "everybody may write it", PROBLEM, |f| {
                f.config[1].state =
                    State::There { folder: false, uid: 0, mode: 0o666, writable: true, readable: true };
            }),
            ("config-folder", "it belongs to somebody else", PROBLEM, |f| {
                f.config[1].state =
                    State::There { folder: false, uid: 8, mode: 0o644, writable: false, readable: true };
            }),
        ],
    )
}

pub fn disk() -> Vec<Broken> {
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_416_600);
    let disk = |names: &[&'static str], free| disk::Disk {
        names: names.to_vec(),
        path: "/d".into(),
        free,
        total: 100 * GB,
        free_inodes: 1_000_000,
        inodes: 2_000_000,
    };
    let good = disk::Facts {
        disks: vec![disk(&["state", "media"], 50 * GB), disk(&["temporary files"], GB / 5)],
        logs: Some(("/l".into(), 30_000_000, 60_000_000)),
        log_gone: false,
        now,
        newest: Some(("/s/lock".into(), now - Duration::from_secs(5))),
    };
    break_each(
        &good,
        disk::checks,
        &[
            ("disk-space", "100 MB left", PROBLEM, |f| f.disks[0].free = 100_000_000),
            ("disk-space", "10 MB left in /tmp", PROBLEM, |f| f.disks[1].free = 10_000_000),
            ("disk-space", "4 % left", WARNING, |f| f.disks[0].free = 4 * GB),
            ("disk-space", "1 GB left on a small disk", WARNING, |f| {
                (f.disks[0].free, f.disks[0].total) = (GB, 10 * GB);
            }),
            ("inodes", "none left", PROBLEM, |f| f.disks[0].free_inodes = 12),
            ("inodes", "too few for an upgrade", WARNING, |f| f.disks[0].free_inodes = 20_000),
            ("log-size", "other files in the log folder", WARNING, |f| {
                f.logs = Some(("/l".into(), GB, 60_000_000))
            }),
            ("log-size", "no log while it runs", WARNING, |f| f.log_gone = true),
            ("log-size", "the journal", NOT_CHECKED, |f| f.logs = None),
            ("clock", "1970", PROBLEM, |f| f.now = SystemTime::UNIX_EPOCH),
            ("clock", "an hour before the newest file", PROBLEM, |f| f.now -= Duration::from_secs(3600)),
        ],
    )
}

pub fn secrets() -> Vec<Broken> {
    use secrets::Key;
    let good = secrets::Facts {
        exposed: Vec::new(),
        folder: "/s/secrets".into(),
        folder_mode: Some(0o700),
        foreign: Vec::new(),
        key: Key::Fits,
        configured: false,
    };
    break_each(
        &good,
        secrets::checks,
        &[
            ("secrets", "chmod 644 secret-key", PROBLEM, |f| {
                f.exposed.push(("/s/secrets/secret-key".into(), 0o644))
            }),
            ("secrets", "a secret of root's", PROBLEM, |f| f.foreign.push(PathBuf::from("/s/secrets/x"))),
            ("secrets", "chmod 755 secrets", WARNING, |f| f.folder_mode = Some(0o755)),
            ("secrets", "before the first start", NOT_CHECKED, |f| f.folder_mode = None),
            ("secret-key", "removed", PROBLEM, |f| f.key = Key::Gone),
            ("secret-key", "removed with its fingerprint", PROBLEM, |f| f.key = Key::Lost),
            ("secret-key", "another in the file", PROBLEM, |f| f.key = Key::Another),
            ("secret-key", "another in the settings", PROBLEM, |f| {
                (f.key, f.configured) = (Key::Another, true)
            }),
            ("secret-key", "two lines", PROBLEM, |f| f.key = Key::Unreadable("must hold one line".into())),
            ("secret-key", "before the first start", NOT_CHECKED, |f| f.key = Key::NotYet),
        ],
    )
}

pub fn release() -> Vec<Broken> {
    let good = release::Facts {
        current: Ok(release::Current {
            id: "1.0.0-abc".into(),
            version: "1.0.0".into(),
            complete: true,
            is_pinned: true,
            held: false,
            static_files: true,
            differences: Ok(Differences::default()),
        }),
        fresh: false,
        dangling: false,
        pinned: "1.0.0".into(),
        pin: Ok(()),
    };
    fn current(facts: &mut release::Facts) -> &mut release::Current {
        facts.current.as_mut().unwrap()
    }
    break_each(
        &good,
        release::checks,
        &[
            ("release", "`current` removed", PROBLEM, |f| f.current = Err("no release is current".into())),
            ("release", "`current` points nowhere", PROBLEM, |f| {
                (f.current, f.dangling) = (Err("none".into()), true);
            }),
            ("release", "its environment removed", PROBLEM, |f| current(f).complete = false),
            ("release", "its tree removed", PROBLEM, |f| {
                let current = current(f);
                (current.complete, current.differences) = (false, Err("cannot read tree".into()));
            }),
            ("release", "before the first start", NOT_CHECKED, |f| {
                (f.current, f.fresh) = (Err("nothing is installed yet".into()), true);
            }),
            ("release-files", "a file edited", PROBLEM, |f| {
                current(f).differences =
                    Ok(Differences { changed: vec!["manage.py".into()], ..Differences::default() });
            }),
            ("release-files", "a file removed and one added", PROBLEM, |f| {
                let (missing, extra) = (vec!["a".into()], vec!["b".into()]);
                current(f).differences = Ok(Differences { missing, extra, ..Differences::default() });
            }),
            ("release-files", "the list itself edited", PROBLEM, |f| {
                current(f).differences = Err("tree.sha256 is not what was written".into());
            }),
            ("pinned-release", "a newer package", WARNING, |f| current(f).is_pinned = false),
            ("pinned-release", "release.toml broken", PROBLEM, |f| f.pin = Err("`sha256` is missing".into())),
            ("static-files", "tree/static removed", PROBLEM, |f| current(f).static_files = false),
        ],
    )
}

pub fn backup() -> Vec<Broken> {
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_416_600);
    let made = |days: u64| backup::Made {
        at: now - Duration::from_secs(days * 86_400),
        path: "/b/x".into(),
        incomplete: None,
    };
    let good = backup::Facts {
        found: Ok(backup::Found {
            newest: Some(made(0)),
            verified: Some(made(1)),
            others: 0,
            damaged: Vec::new(),
        }),
        now,
        folder: "/b".into(),
        unusable: None,
        same_disk: Some(false),
    };
    fn found(facts: &mut backup::Facts) -> &mut backup::Found {
        facts.found.as_mut().unwrap()
    }
    break_each(
        &good,
        backup::checks,
        &[
            ("last-backup", "none was ever made", WARNING, |f| {
                (found(f).newest, found(f).verified) = (None, None);
            }),
            ("last-backup", "only other installations have made some", WARNING, |f| {
                (found(f).newest, found(f).verified, found(f).others) = (None, None, 2);
            }),
            ("last-backup", "it lacks a database", WARNING, |f| {
                found(f).verified.as_mut().unwrap().incomplete = Some("lacks people".to_owned());
            }),
            ("last-backup", "none was ever verified", WARNING, |f| found(f).verified = None),
            ("last-backup", "the last verified one is of last week", WARNING, |f| {
                found(f).verified.as_mut().unwrap().at -= Duration::from_secs(7 * 86_400);
            }),
            ("last-backup", "the folder is root's alone", WARNING, |f| {
                f.found = Err(backup::Unknown::Unreadable("cannot read /b: permission denied".into()));
            }),
            ("last-backup", "before the first start", NOT_CHECKED, |f| {
                f.found = Err(backup::Unknown::Fresh);
            }),
            ("damaged-backups", "one was cut off", WARNING, |f| found(f).damaged.push("/b/y".into())),
            ("damaged-backups", "before the first start", NOT_CHECKED, |f| {
                f.found = Err(backup::Unknown::Fresh);
            }),
            ("backup-disk", "the data's own disk", WARNING, |f| f.same_disk = Some(true)),
            ("backup-disk", "cannot be written to", PROBLEM, |f| f.unusable = Some("read-only".to_owned())),
            ("backup-disk", "before the first start", NOT_CHECKED, |f| f.same_disk = None),
        ],
    )
}
