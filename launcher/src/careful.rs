//! What another user may have written, read and shown by root: the service's user owns its folders, and what talks there.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use rustix::fs::{Mode, OFlags};
use serde_json::Value;

use crate::failure::{Exit, Failure};

/// None of the small files that are read before anything else is known comes near this.
const LONGEST: u64 = 64 * 1024;

/// A file, and nothing that only looks like one: a pipe would wait for a writer, a link lead elsewhere.
pub(crate) fn open(path: &Path) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOFOLLOW | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = File::from(rustix::fs::open(path, flags, Mode::empty())?);
    match file.metadata()?.is_file() {
        true => Ok(file),
        false => Err(io::Error::new(ErrorKind::InvalidData, "it is no regular file")),
    }
}

/// For words that are added to what is there, or stand in its place. Where a link lies, they would go into a file that whoever
/// made it has chosen; a pipe would wait for a reader.
pub(crate) fn open_log(path: &Path, anew: bool) -> Result<File, Failure> {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
    // For its owner alone: requests and errors tell about people.
    let opened = OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o600)
        .custom_flags(flags.bits().cast_signed())
        .open(path)
        .and_then(|file| match file.metadata()?.is_file() {
            true if anew => file.set_len(0).map(|()| file),
            true => Ok(file),
            false => Err(io::Error::new(ErrorKind::InvalidData, "it is no regular file")),
        });
    opened.map_err(|cause| {
        let place = crate::cure::path(path);
        match path.symlink_metadata() {
            Ok(found) if found.is_symlink() => Failure::new(format!("cannot write {}", path.display()))
                .cause("it is a link, and nobody knows whose file it leads to")
                .exit(Exit::Refused)
                .help(format!("see where it leads, `ls -l {place}`, and remove it: `rm {place}`")),
            _ => Failure::io("write", path, cause),
        }
    })
}

/// No file that a setting names comes near this.
const LARGEST_NAMED: u64 = 4 << 20;

/// A file that a person has named, whole. It may be a link: keys are handed over so. A pipe would wait for a writer for
/// ever, and `/dev/zero` never ends.
pub(crate) fn read_named(path: &Path) -> io::Result<Vec<u8>> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = File::from(rustix::fs::open(path, flags, Mode::empty())?);
    if !file.metadata()?.is_file() {
        return Err(io::Error::new(ErrorKind::InvalidData, "it is no regular file"));
    }
    let mut bytes = Vec::new();
    file.take(LARGEST_NAMED + 1).read_to_end(&mut bytes)?;
    match bytes.len() as u64 > LARGEST_NAMED {
        true => Err(io::Error::new(ErrorKind::InvalidData, "it is larger than 4 MiB")),
        false => Ok(bytes),
    }
}

/// What a small file holds.
pub(crate) fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    open(path)?.take(LONGEST + 1).read_to_end(&mut bytes)?;
    match bytes.len() as u64 > LONGEST {
        true => Err(io::Error::new(ErrorKind::InvalidData, format!("it is longer than {LONGEST} bytes"))),
        false => Ok(bytes),
    }
}

pub(crate) fn read_text(path: &Path) -> io::Result<String> {
    String::from_utf8(read(path)?).map_err(|_| io::Error::new(ErrorKind::InvalidData, "it is no text"))
}

/// A terminal obeys control characters, and somebody else may have chosen them. Lines and tabs stay.
pub(crate) fn harmless(text: &str) -> String {
    let shown = |c: char| match c {
        '\t' | '\n' => c.to_string(),
        // The others turn around what stands beside them.
        c if c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}') => {
            c.escape_default().to_string()
        }
        c => c.to_string(),
    };
    text.chars().map(shown).collect()
}

/// The same for every text in an answer.
pub(crate) fn harmless_value(value: Value) -> Value {
    match value {
        Value::String(text) => Value::String(harmless(&text)),
        Value::Array(all) => Value::Array(all.into_iter().map(harmless_value).collect()),
        Value::Object(all) => {
            let tame = all.into_iter().map(|(name, value)| (harmless(&name), harmless_value(value)));
            Value::Object(tame.collect())
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_small_regular_files_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        std::fs::write(path("small"), "x").unwrap();
        assert_eq!(read(&path("small")).unwrap(), b"x");
        std::fs::write(path("large"), vec![b'x'; 65 * 1024]).unwrap();
        std::os::unix::fs::symlink("/dev/zero", path("zero")).unwrap();
        std::os::unix::fs::symlink("small", path("link")).unwrap();
        std::fs::create_dir(path("folder")).unwrap();
        let made = std::process::Command::new("mkfifo").arg(path("pipe")).status().unwrap();
        assert!(made.success());
        for name in ["large", "zero", "link", "folder", "pipe"] {
            assert!(read(&path(name)).is_err(), "{name}");
        }
        assert_eq!(read(&path("none")).unwrap_err().kind(), ErrorKind::NotFound);
    }

    #[test]
    fn logs_are_written_through_no_link() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        std::fs::create_dir(path("log")).unwrap();
        std::fs::write(path("precious"), "kept").unwrap();
        std::os::unix::fs::symlink("../precious", path("log/one")).unwrap();
        for anew in [true, false] {
            let failure = open_log(&path("log/one"), anew).unwrap_err();
            assert!(failure.whole().contains("it is a link"), "{}", failure.whole());
            assert!(failure.helps()[0].contains("`rm "), "{failure:?}");
        }
        assert!(std::process::Command::new("mkfifo").arg(path("log/pipe")).status().unwrap().success());
        assert!(open_log(&path("log/pipe"), false).is_err());
        assert_eq!(std::fs::read(path("precious")).unwrap(), b"kept");
        // The folder itself may be one.
        std::os::unix::fs::symlink("log", path("linked")).unwrap();
        let write = |anew, text: &str| {
            io::Write::write_all(&mut open_log(&path("linked/two"), anew).unwrap(), text.as_bytes()).unwrap();
            std::fs::read_to_string(path("log/two")).unwrap()
        };
        assert_eq!(
            (write(true, "a"), write(false, "b"), write(true, "c")),
            ("a".into(), "ab".into(), "c".into())
        );
    }

    #[test]
    fn what_a_person_names_may_be_a_link_but_has_an_end() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        std::fs::write(path("key"), "x").unwrap();
        std::os::unix::fs::symlink("key", path("link")).unwrap();
        assert_eq!(read_named(&path("link")).unwrap(), b"x");
        File::create(path("large")).unwrap().set_len(LARGEST_NAMED + 1).unwrap();
        assert!(std::process::Command::new("mkfifo").arg(path("pipe")).status().unwrap().success());
        for wrong in [path("large"), path("pipe"), folder.path().to_owned(), "/dev/zero".into()] {
            let why = read_named(&wrong).unwrap_err();
            assert!(matches!(why.kind(), ErrorKind::InvalidData), "{}: {why}", wrong.display());
        }
        assert_eq!(read_named(&path("none")).unwrap_err().kind(), ErrorKind::NotFound);
    }

    #[test]
    fn a_terminal_is_not_led() {
        assert_eq!(harmless("a\u{1b}[2J\r\u{9b}m\tb\nc\u{202e}"), "a\\u{1b}[2J\\r\\u{9b}m\tb\nc\\u{202e}");
        let value = harmless_value(serde_json::json!({ "a": ["\u{7}", 1] }));
        assert_eq!(value, serde_json::json!({ "a": ["\\u{7}", 1] }));
    }
}
