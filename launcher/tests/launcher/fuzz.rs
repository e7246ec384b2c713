//! Damaged configurations: whatever the bytes, `check` ends with 0 or 4 and never panics.

use std::path::Path;

use mathesar::config::{Loaded, Outside, load_files, render_all};

use crate::Test;

/// A small generator with a seed: the same run everywhere.
struct Random(u64);

impl Random {
    fn next(&mut self, below: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) as usize) % below.max(1)
    }
}

const VALID: &str = "env-file = \"/x\"\n[server]\nlisten = \"127.0.0.1:8000\" # é\nhosts = [\"a.example\", '*']\nworkers = 4\n\
    [database]\nurl = \"postgresql://é@h:5432/d\"\npassword = '''\nx\ny'''\n[log]\nlevel = \"info\"\nkeep = 0x5\n[env]\nA = \"b\"\n";

const PIECES: &[&str] = &[
    "[",
    "]",
    "[[",
    "\"",
    "'''",
    "\"\"\"",
    "=",
    ".",
    "#",
    "\n",
    "\r",
    "\r\n",
    "\\u0000",
    "\\",
    "é",
    "\u{feff}",
    "🦀",
    "{",
    "}",
    ",",
    "env",
    "[env]",
    "server",
    "1979-05-27",
    "0x",
    "-9223372036854775808",
    "1e999",
    "nan",
    "://a:b@",
    "\0",
    "\u{202e}",
];

fn damaged(random: &mut Random) -> String {
    let mut text: Vec<char> = VALID.chars().collect();
    for _ in 0..=random.next(6) {
        let at = random.next(text.len() + 1);
        let end = (at + random.next(12)).min(text.len());
        let piece: Vec<char> = PIECES[random.next(PIECES.len())].chars().collect();
        match random.next(3) {
            0 => drop(text.splice(at..end, piece)),
            1 => drop(text.splice(at..at, piece)),
            _ => drop(text.drain(at..end)),
        }
    }
    text.into_iter().collect()
}

#[test]
fn damaged_settings_never_panic() {
    let mut random = Random(20_261_123);
    for _ in 0..4000 {
        let text = damaged(&mut random);
        let loaded = Loaded::with_text(Path::new("fuzz.conf"), &text);
        let shown = render_all(&loaded.problems);
        assert!(loaded.problems.is_empty() == shown.is_empty(), "{text:?}");
    }
}

#[test]
fn random_bytes_never_panic() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("fuzz.conf");
    let mut random = Random(7);
    for length in 0..600 {
        let bytes: Vec<u8> = (0..length).map(|_| random.next(256) as u8).collect();
        std::fs::write(&path, &bytes).unwrap();
        render_all(&load_files(std::slice::from_ref(&path), &Outside::default()).problems);
    }
}

#[test]
fn the_binary_ends_properly_too() {
    let mut random = Random(42);
    for _ in 0..25 {
        let text = damaged(&mut random);
        let (status, ..) =
            Test::new().file("f.conf", &text).args(&["config", "check", "HOME/f.conf"]).output();
        assert!(status == 0 || status == 4, "{status}: {text:?}");
    }
}
