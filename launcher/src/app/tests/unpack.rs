use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;

use flate2::Compression;
use flate2::write::GzEncoder;
use tar::{Builder, EntryType, Header};

use super::said;
use crate::app::digest;
use crate::app::unpack::{Limits, Unpacked, unpack};
use crate::progress::Silent;

/// An entry as bytes say it: `tar` itself would refuse to write most of these.
pub fn entry(out: &mut Vec<u8>, name: &str, kind: EntryType, mode: u32, body: &[u8], link: &str) {
    let mut header = Header::new_ustar();
    header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
    header.as_old_mut().linkname[..link.len()].copy_from_slice(link.as_bytes());
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(body.len() as u64);
    header.set_cksum();
    out.extend_from_slice(header.as_bytes());
    out.extend_from_slice(body);
    out.resize(out.len().div_ceil(512) * 512, 0);
}

pub fn gzip(tar: &[u8]) -> Vec<u8> {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
    gzip.write_all(tar).unwrap();
    gzip.write_all(&[0; 1024]).unwrap();
    gzip.finish().unwrap()
}

fn run(tar: &[u8], limits: &Limits) -> Result<Unpacked, String> {
    let folder = tempfile::tempdir().unwrap();
    let tarball = folder.path().join("a.tar.gz");
    let bytes = gzip(tar);
    fs::write(&tarball, &bytes).unwrap();
    let into = folder.path().join("inside/tree");
    fs::create_dir(folder.path().join("inside")).unwrap();
    let result = unpack(&tarball, &digest::of_bytes(&bytes), &into, limits, &Silent);
    if result.is_err() {
        // Nothing is left, neither inside nor beside.
        assert_eq!(fs::read_dir(folder.path().join("inside")).unwrap().count(), 0);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
    }
    result.map_err(|failure| said(failure).replace(&*tarball.to_string_lossy(), "TARBALL"))
}

fn refused(entries: &[(&str, EntryType, u32, &[u8], &str)]) -> String {
    let mut tar = Vec::new();
    for (name, kind, mode, body, link) in entries {
        entry(&mut tar, name, *kind, *mode, body, link);
    }
    let limits = Limits { entries: 50, single: 1 << 20, total: 3 << 20, path: 80, ..Limits::default() };
    run(&tar, &limits).unwrap_err()
}

#[test]
fn hostile_entries_are_refused() {
    use EntryType as E;
    let file = |name: &'static str| (name, E::Regular, 0o644, b"x".as_slice(), "");
    let of = |name: &'static str, kind| (name, kind, 0o644, b"".as_slice(), "");
    let link = |name: &'static str, to: &'static str| (name, E::Symlink, 0o777, b"".as_slice(), to);
    let big = vec![0; (1 << 20) + 1];
    let mut text = String::new();
    for entries in [
        vec![file("../x")],
        vec![file("a/../../x")],
        vec![file("/etc/x")],
        vec![link("a", "/etc")],
        vec![link("a", "..")],
        vec![link("a/b", "../../x")],
        // Resolved below whatever `d` links to, this would be outside.
        vec![file("a/b/f"), link("a/b/d", "../.."), link("l", "a/b/d/..")],
        vec![link("x/d", ".."), link("x/l", "d/..")],
        vec![link("a", "b"), file("a/x")],
        vec![link("a", "b"), file("a")],
        vec![("a", E::Link, 0o644, b"", "b")],
        vec![of("a", E::Char)],
        vec![of("a", E::Block)],
        vec![of("a", E::Fifo)],
        vec![of("a", E::GNUSparse)],
        vec![("a", E::Regular, 0o4755, b"", "")],
        vec![("a", E::Directory, 0o2755, b"", "")],
        vec![file("a"), file("a")],
        vec![file("a"), file("./a")],
        vec![file("a"), file("a/b")],
        vec![("a", E::Regular, 0o644, &big, "")],
        vec![
            ("a", E::Regular, 0o644, &big[1..], ""),
            ("b", E::Regular, 0o644, &big[1..], ""),
            ("c", E::Regular, 0o644, &big[1..], ""),
            file("d"),
        ],
        vec![file("a\u{1b}[2Jb")],
        vec![file("a\nb")],
        vec![link("a", "\u{7}b")],
        vec![link("a", "../\u{1b}[2J")],
        vec![file("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa")],
    ] {
        text.push_str(&refused(&entries));
    }
    insta::assert_snapshot!(text);
}

#[test]
fn bombs_are_refused() {
    let mut many = Vec::new();
    for number in 0..60 {
        entry(&mut many, &format!("f{number}"), EntryType::Regular, 0o644, b"", "");
    }
    let text = run(&many, &Limits { entries: 50, ..Limits::default() }).unwrap_err();
    assert!(text.contains("its entry `f50` is one of more than 50"), "{text}");

    let zeros = vec![0; 64 << 20];
    let mut bomb = Vec::new();
    entry(&mut bomb, "zeros", EntryType::Regular, 0o644, &zeros, "");
    let text = run(&bomb, &Limits::default()).unwrap_err();
    assert!(text.starts_with("exit 4\nerror: the archive is refused: it unpacks to far more"), "{text}");

    // A name that long would be read into memory whole.
    let mut name = Vec::new();
    entry(&mut name, "././@LongLink", EntryType::GNULongName, 0o644, &zeros, "");
    let text = run(&name, &Limits::default()).unwrap_err();
    assert!(text.starts_with("exit 4\nerror: the archive is refused: it unpacks to far more"), "{text}");
}

#[test]
fn a_release_comes_out_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let long = format!("{}/{}", "d".repeat(120), "f".repeat(120));
    let mut builder = Builder::new(GzEncoder::new(Vec::new(), Compression::default()));
    for (name, mode) in [("bin/run", 0o755), ("manage.py", 0o664), (long.as_str(), 0o600)] {
        let mut header = Header::new_gnu();
        header.set_mode(mode);
        header.set_size(2);
        builder.append_data(&mut header, name, b"hi".as_slice()).unwrap();
    }
    let mut header = Header::new_gnu();
    header.set_entry_type(EntryType::Symlink);
    header.set_mode(0o777);
    header.set_size(0);
    builder.append_link(&mut header, "bin/up", "../manage.py").unwrap();
    let bytes = builder.into_inner().unwrap().finish().unwrap();
    let tarball = folder.path().join("a.tar.gz");
    fs::write(&tarball, &bytes).unwrap();
    let into = folder.path().join("tree");
    let unpacked = unpack(&tarball, &digest::of_bytes(&bytes), &into, &Limits::default(), &Silent).unwrap();
    assert_eq!(unpacked, Unpacked { files: 6, bytes: 6 });
    assert_eq!(fs::read(into.join("bin/up")).unwrap(), b"hi");
    assert_eq!(fs::read(into.join(&long)).unwrap(), b"hi");
    let mode = |name: &str| into.join(name).metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!(mode("bin/run") & 0o700, 0o700);
    assert_eq!(mode("manage.py") & 0o111, 0);

    // Truncated, damaged, and followed by something that the digest knows nothing of.
    let longer = [bytes.clone(), b"more".to_vec()].concat();
    for other in [bytes[..bytes.len() / 2].to_vec(), b"no gzip".to_vec(), longer] {
        fs::write(&tarball, &other).unwrap();
        let into = folder.path().join("other");
        assert!(unpack(&tarball, &digest::of_bytes(&bytes), &into, &Limits::default(), &Silent).is_err());
        assert!(!into.exists());
    }
}

#[test]
fn a_full_disk_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let disk = folder.path().join("disk");
    fs::create_dir(&disk).unwrap();
    let mount = std::process::Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=512k", "tmpfs"])
        .arg(&disk)
        .output();
    if !mount.as_ref().is_ok_and(|output| output.status.success()) {
        eprintln!("not run: no tmpfs can be mounted here ({mount:?})");
        return;
    }
    let mut tar = Vec::new();
    entry(&mut tar, "big", EntryType::Regular, 0o644, &vec![0; 1 << 20], "");
    let bytes = gzip(&tar);
    let tarball = folder.path().join("a.tar.gz");
    fs::write(&tarball, &bytes).unwrap();
    let result = unpack(&tarball, &digest::of_bytes(&bytes), &disk.join("tree"), &Limits::default(), &Silent);
    let left = fs::read_dir(&disk).unwrap().count();
    assert!(std::process::Command::new("umount").arg(&disk).status().unwrap().success());
    let text = said(result.unwrap_err());
    assert!(
        text.contains("caused by: No space left on device") && text.contains("help: look for room"),
        "{text}"
    );
    assert_eq!(left, 0);
}
