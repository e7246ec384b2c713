//! Whatever the bytes are, the reader answers: the manifest is fine, or here is what is wrong. It never panics.

use super::{Root, real};

/// xorshift64*: the same sequence on every machine.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % sides.max(1)
    }
}

fn mutate(text: &str, dice: &mut Dice) -> Vec<u8> {
    let mut lines: Vec<&str> = text.split_inclusive('\n').collect();
    if lines.is_empty() {
        // Cut to nothing by the mutation before.
        lines.push("\n");
    }
    let at = dice.roll(lines.len());
    match dice.roll(10) {
        0 => drop(lines.remove(at)),
        1 => lines.insert(at, lines[dice.roll(lines.len())]),
        2 => {
            let other = dice.roll(lines.len());
            lines.swap(at, other);
        }
        _ => {}
    }
    let mut bytes = lines.concat().into_bytes();
    bytes.push(b'\n');
    let at = dice.roll(bytes.len());
    match dice.roll(8) {
        0 => bytes[at] ^= 1 << dice.roll(8),
        1 => bytes[at] = dice.roll(256) as u8,
        2 => bytes.truncate(at),
        3 => drop(bytes.remove(at)),
        4 => bytes.insert(at, b"\"'[]{}=#.,\\\n\r\t\0"[dice.roll(15)]),
        5 => drop(bytes.splice(at..at, "ü\u{202e}\u{feff}😀".bytes())),
        6 => drop(bytes.drain(at..(at + dice.roll(200)).min(bytes.len()))),
        _ => {}
    }
    bytes
}

#[test]
fn mutations_of_the_manifest() {
    let root = Root::new();
    let text = real();
    let mut dice = Dice(0x6d61_7468_6573_6172);
    let mut refused = 0;
    for _ in 0..800 {
        let mut bytes = mutate(&text, &mut dice);
        for _ in 0..dice.roll(3) {
            bytes = mutate(&String::from_utf8_lossy(&bytes), &mut dice);
        }
        let report = root.report(&bytes);
        if report != "fine" {
            refused += 1;
            assert!(
                report.starts_with("error: ") && report.contains(" in packaging/mathesar.toml"),
                "{report}"
            );
        }
    }
    assert!(refused > 300, "{refused}");
}

/// Values of another type everywhere: each `key = value` line in turn.
#[test]
fn every_value_of_every_other_type() {
    let root = Root::new();
    let text = real();
    let lines: Vec<&str> = text.lines().collect();
    for (index, line) in lines.iter().enumerate() {
        let Some((key, _)) = line.split_once(" = ") else { continue };
        // Every distribution is named for each dependency: two of them are enough.
        let earlier = lines[..index].iter().filter(|line| line.starts_with(&format!("{key} = "))).count();
        if earlier > 1 {
            continue;
        }
        for value in
            ["\"\"", "\"\\n\"", "-1", "1.5", "nan", "true", "2026-01-01", "[]", "[[]]", "{}", "{ none = 1 }"]
        {
            let new = format!("{key} = {value}");
            let mut lines = lines.clone();
            lines[index] = &new;
            let report = root.report(lines.join("\n").as_bytes());
            assert!(!report.contains("cannot read the manifest"), "{new}: {report}");
        }
    }
}

#[test]
fn strange_files() {
    let root = Root::new();
    let text = real();
    let deep = |open: &str, close: &str| format!("x = {}1{}\n", open.repeat(20_000), close.repeat(20_000));
    let cases: Vec<Vec<u8>> = vec![
        Vec::new(),
        b"\0".to_vec(),
        vec![0; 1 << 20],
        vec![0xff; 1 << 20],
        vec![b'['; 1 << 20],
        vec![b'\n'; 1 << 20],
        "\u{feff}".into(),
        format!("\u{feff}{text}").into(),
        format!("{text}\u{feff}").into(),
        text.replace('\n', "\r\n").into(),
        text.replace('\n', "\r").into(),
        text.clone().into_bytes().iter().flat_map(|byte| [*byte, 0]).collect(),
        deep("[", "]").into(),
        deep("{ a = ", " }").into(),
        format!("{}x = 1\n", "a.".repeat(20_000)).into(),
        format!("[{}x]\n", "a.".repeat(20_000)).into(),
        format!("[package]\nname = \"{}\"\n", "x".repeat(1 << 20)).into(),
        format!("[package]\n{}", (0..20_000).map(|n| format!("k{n} = {n}\n")).collect::<String>()).into(),
        "[[file]]\n".repeat(20_000).into(),
        format!(
            "{text}{}",
            "\n[[file]]\nsource = \"LICENSE\"\ndest = \"/usr/share/doc/x\"\nkind = \"doc\"\n".repeat(2000)
        )
        .into(),
    ];
    for (index, bytes) in cases.iter().enumerate() {
        let report = root.report(bytes);
        let fine = report == "fine";
        assert!(fine || report.contains("error: "), "case {index}: {report}");
        assert!(report.len() < 200_000, "case {index}: a report of {} bytes", report.len());
    }
}

/// A byte order mark is no character of the manifest: places behind it are right.
#[test]
fn a_byte_order_mark_moves_nothing() {
    let root = Root::new();
    let bad = "[package]\nrevision = \"1\"\n";
    let marked = root.report(format!("\u{feff}{bad}").as_bytes());
    assert!(marked.contains("packaging/mathesar.toml:2:12"), "{marked}");
    assert_eq!(root.report(format!("\u{feff}{}", real()).as_bytes()), "fine");
}
