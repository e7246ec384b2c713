use std::io::Write as _;
use std::time::SystemTime;

use super::*;
use crate::supervise::log::{Rotated, Sink as _};

fn lines(text: &str) -> Vec<String> {
    text.lines().map(str::to_owned).collect()
}

fn shown(book: &Logbook, select: &Select, last: Option<usize>) -> (Vec<String>, Follower) {
    let mut all = Vec::new();
    let follower = book
        .show(select, last, &mut |line| {
            all.push(String::from_utf8_lossy(line).into_owned());
            Ok(ControlFlow::Continue(()))
        })
        .unwrap();
    (all, follower)
}

fn caught_up(follower: &mut Follower) -> Vec<String> {
    let mut all = Vec::new();
    let _ = follower
        .catch_up(&mut |line| {
            all.push(String::from_utf8_lossy(line).into_owned());
            Ok(ControlFlow::Continue(()))
        })
        .unwrap();
    all
}

fn book(files: &[(&str, &str)]) -> (tempfile::TempDir, Logbook) {
    let folder = tempfile::tempdir().unwrap();
    files.iter().for_each(|(name, text)| fs::write(folder.path().join(name), text).unwrap());
    let book = Logbook::new(&folder.path().join("mathesar.log"));
    (folder, book)
}

#[test]
fn all_files_are_one_log() {
    let (_folder, book) = book(&[
        ("mathesar.log.10", "a\nb\n"),
        ("mathesar.log.9", "c\n"),
        ("mathesar.log.1", "d\ne\n"),
        ("mathesar.log", "f\n"),
        ("mathesar.log.old", "x\n"),
        ("mathesar.log.0", "x\n"),
        ("launcher.err", "x\n"),
    ]);
    let all = Select::default();
    assert_eq!(shown(&book, &all, None).0.join(""), "abcdef");
    assert_eq!(shown(&book, &all, Some(100)).0.join(""), "abcdef");
    assert_eq!(shown(&book, &all, Some(4)).0.join(""), "cdef");
    assert_eq!(shown(&book, &all, Some(0)).0.join(""), "");
    let (_folder, empty) = self::book(&[]);
    assert!(!empty.exists().unwrap() && shown(&empty, &all, Some(5)).0.is_empty());
}

/// Lines longer than a block, empty ones, and an end that is still being written.
#[test]
fn the_end_is_found_from_the_end() {
    let long = "x".repeat(200_000);
    let text = format!("one\n\n{long}\nlast\nbegun");
    let (_folder, book) = book(&[("mathesar.log", &text)]);
    let all = Select::default();
    assert_eq!(shown(&book, &all, Some(2)).0, [long.clone(), "last".into()]);
    assert_eq!(shown(&book, &all, Some(9)).0, ["one".into(), String::new(), long, "last".into()]);
    let (_, mut follower) = shown(&book, &all, Some(1));
    assert_eq!(caught_up(&mut follower), Vec::<String>::new());
    fs::OpenOptions::new().append(true).open(book.path()).unwrap().write_all(b" ended\nmore").unwrap();
    assert_eq!(caught_up(&mut follower), ["begun ended"]);
}

#[test]
fn sources_and_times_are_selected() {
    let text = "2026-11-23T06:50:00Z launcher: a\n2026-11-23T06:50:01Z gunicorn: b\nforeign\n\
                2026-11-23T06:50:02Z postgresql: c\n2026-11-23T06:50:02Z gunicorn: d\n";
    let (_folder, book) = book(&[("mathesar.log", text)]);
    let select = |source, since: Option<&str>| Select { source, since: since.map(str::to_owned) };
    let gunicorn = select(Some(Source::Gunicorn), None);
    let ends = |select: &Select, last| {
        let lines = shown(&book, select, last).0;
        lines.iter().filter_map(|line| line.chars().last()).collect::<String>()
    };
    assert_eq!(ends(&gunicorn, None), "bd");
    assert_eq!(ends(&gunicorn, Some(1)), "d");
    for last in [None, Some(50)] {
        assert_eq!(ends(&select(None, Some("2026-11-23T06:50:01Z")), last), "bncd");
        assert_eq!(ends(&select(Some(Source::Gunicorn), Some("2026-11-23T06:50:02Z")), last), "d");
        assert_eq!(ends(&select(None, Some("2027-11-23T06:50:01Z")), last), "");
    }
}

/// However often the file is put aside between two looks, each line is shown once and in order.
#[test]
fn a_follower_survives_rotation() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log/mathesar.log");
    let sink = Rotated::open(&path, 400, 5).unwrap();
    let book = Logbook::new(&path);
    let (_, mut follower) = shown(&book, &Select::default(), Some(0));
    let (mut written, mut seen) = (0, Vec::new());
    for burst in [1, 0, 3, 7, 12, 1, 30, 2, 16] {
        for _ in 0..burst {
            written += 1;
            sink.line("gunicorn", &format!("line number {written}"));
        }
        seen.extend(caught_up(&mut follower));
    }
    let numbers: Vec<u32> =
        seen.iter().map(|line| line.rsplit(' ').next().unwrap().parse().unwrap()).collect();
    // 400 bytes are eight or nine lines, six files are fifty: nothing was lost in between.
    assert_eq!(numbers, (1..=written).collect::<Vec<_>>());
    assert!(path.with_extension("log.5").exists());
}

#[test]
fn a_follower_survives_removal_and_truncation() {
    let (folder, book) = book(&[("mathesar.log", "a\n"), ("mathesar.log.1", "old\n")]);
    fs::File::open(folder.path().join("mathesar.log.1"))
        .unwrap()
        .set_modified(SystemTime::UNIX_EPOCH)
        .unwrap();
    let (_, mut follower) = shown(&book, &Select::default(), Some(0));
    fs::remove_file(book.path()).unwrap();
    assert_eq!(caught_up(&mut follower), Vec::<String>::new());
    fs::write(book.path(), "b\nc\n").unwrap();
    assert_eq!(caught_up(&mut follower), lines("b\nc"));
    fs::write(book.path(), "d\n").unwrap();
    assert_eq!(caught_up(&mut follower), ["d"]);
}
