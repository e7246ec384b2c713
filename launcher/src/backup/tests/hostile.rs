//! Archives that nobody's launcher has made: whole, with a digest that is right, and with entries that are not.

use std::fs;
use std::io::Write as _;
use std::path::PathBuf;

use tar::EntryType;

use super::{manifest, names, said};
use crate::app::digest;
use crate::backup::archive::{MANIFEST, check, read_manifest, unpack};
use crate::backup::manifest::Manifest;
use crate::progress::Silent;

type Entry<'a> = (&'a str, EntryType, u32, &'a [u8], &'a str);

/// As bytes say it: `tar` itself would refuse to write most of these.
fn entry(out: &mut Vec<u8>, (name, kind, mode, body, link): Entry<'_>) {
    head(out, (name, kind, mode, body, link), body.len() as u64);
    out.extend_from_slice(body);
    out.resize(out.len().next_multiple_of(512), 0);
}

fn head(out: &mut Vec<u8>, (name, kind, mode, _, link): Entry<'_>, size: u64) {
    let mut header = tar::Header::new_ustar();
    header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
    header.as_old_mut().linkname[..link.len()].copy_from_slice(link.as_bytes());
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(size);
    header.set_cksum();
    out.extend_from_slice(header.as_bytes());
}

/// Compressed and sealed as by a launcher of this format.
fn sealed(tar: &[u8], format: u8) -> Vec<u8> {
    let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 1).unwrap();
    encoder.write_all(tar).unwrap();
    encoder.write_all(&[0; 1024]).unwrap();
    with_digest(encoder.finish().unwrap(), format)
}

fn with_digest(mut packed: Vec<u8>, format: u8) -> Vec<u8> {
    let text = format!("mathesar-backup-{format} sha256 {}\n", digest::of_bytes(&packed));
    packed.extend(0x184D_2A5E_u32.to_le_bytes());
    packed.extend((text.len() as u32).to_le_bytes());
    packed.extend(text.bytes());
    packed
}

fn begun(manifest: &Manifest) -> Vec<u8> {
    let mut tar = Vec::new();
    entry(&mut tar, (MANIFEST, EntryType::Regular, 0o600, &manifest.to_bytes().unwrap(), ""));
    tar
}

fn run(archive: &[u8]) -> Result<Vec<PathBuf>, String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.tar.zst");
    fs::write(&path, archive).unwrap();
    let inside = folder.path().join("inside");
    fs::create_dir(&inside).unwrap();
    match unpack(&path, &inside.join("into"), &|_| true, &Silent) {
        Ok(_) => Ok(names(&inside.join("into"))),
        Err(failure) => {
            // Nothing is left, neither inside nor beside.
            assert_eq!((names(&inside).len(), names(folder.path()).len()), (0, 2));
            Err(said(failure, folder.path()))
        }
    }
}

#[test]
fn hostile_entries_are_refused() {
    use EntryType as E;
    let file = |name: &'static str| (name, E::Regular, 0o644, b"x".as_slice(), "");
    let of = |name: &'static str, kind| (name, kind, 0o644, b"".as_slice(), "");
    let link = |name: &'static str, to: &'static str| (name, E::Symlink, 0o777, b"".as_slice(), to);
    let mut text = String::new();
    for entries in [
        vec![file("../x")],
        vec![file("media/../../x")],
        vec![file("/etc/x")],
        vec![link("media/a", "/etc")],
        vec![link("media/a", "..")],
        // Into another part, which is moved somewhere else.
        vec![link("media/a", "../secrets/secret-key")],
        vec![link("media", "secrets")],
        vec![link("media/a/b", "../../x")],
        vec![link("media/a", "")],
        // Resolved below whatever `d` links to, this would be outside.
        vec![file("m/a/b/f"), link("m/a/b/d", "../.."), link("m/l", "a/b/d/..")],
        vec![link("m/a", "b"), file("m/a/x")],
        vec![link("m/a", "b"), file("m/a")],
        vec![link("m/a", "b"), ("m/a", E::Directory, 0o755, b"", "")],
        vec![("a", E::Link, 0o644, b"", "b")],
        vec![of("a", E::Char)],
        vec![of("a", E::Block)],
        vec![of("a", E::Fifo)],
        vec![of("a", E::GNUSparse)],
        vec![of("a", E::XGlobalHeader)],
        vec![("a", E::Regular, 0o4755, b"", "")],
        vec![("a", E::Directory, 0o2755, b"", "")],
        vec![file("a"), file("a")],
        vec![file("a"), file("./a")],
        vec![file("a"), file("a/b")],
        vec![file("a/b"), ("a", E::Directory, 0o755, b"", "")],
        vec![file(MANIFEST)],
        vec![file(".")],
        vec![("././@LongLink", E::GNULongName, 0o644, b"../../x\0", ""), file("a")],
        vec![("x", E::XHeader, 0o644, b"16 path=../../x\n", ""), file("a")],
    ] {
        let mut tar = begun(&manifest());
        entries.into_iter().for_each(|one| entry(&mut tar, one));
        text.push_str(&run(&sealed(&tar, 1)).unwrap_err());
    }
    insta::assert_snapshot!(text);
}

#[test]
fn bombs_are_refused_before_they_are_written() {
    let zeros = vec![0; 4 << 20];
    let mut small = manifest();
    small.unpacked_bytes = 1000;
    let most = small.most();

    // One that is too large, says its header; nothing of it is read.
    let mut tar = begun(&small);
    head(&mut tar, ("cluster/x", EntryType::Regular, 0o600, b"", ""), most + 1);
    let text = run(&sealed(&tar, 1)).unwrap_err();
    assert!(text.contains("it unpacks to far more than it says"), "{text}");

    // One within twice what is said, for which nobody has looked for room.
    let free = rustix::fs::statvfs(std::env::temp_dir()).unwrap();
    let free = free.f_bavail * free.f_frsize;
    let mut half = manifest();
    half.unpacked_bytes = free / 2 + (64 << 20);
    let mut tar = begun(&half);
    head(&mut tar, ("cluster/x", EntryType::Regular, 0o600, b"", ""), free + 1);
    let text = run(&sealed(&tar, 1)).unwrap_err();
    assert!(text.contains("too little room") && text.contains("beyond what it says"), "{text}");

    // Many that are too large together.
    let mut tar = begun(&small);
    for number in 0..=most / zeros.len() as u64 {
        entry(&mut tar, (&format!("cluster/{number}"), EntryType::Regular, 0o600, &zeros, ""));
    }
    let bomb = sealed(&tar, 1);
    assert!(bomb.len() < tar.len() / 1000);
    let text = run(&bomb).unwrap_err();
    assert!(text.contains("it unpacks to far more than it says"), "{text}");

    // A name that long would be read into memory whole; zeros after the end would be read for hours.
    for kind in [EntryType::GNULongName, EntryType::GNULongLink, EntryType::XHeader] {
        let mut tar = begun(&small);
        entry(&mut tar, ("x", kind, 0o644, &zeros, ""));
        entry(&mut tar, ("a", EntryType::Regular, 0o644, b"", ""));
        let text = run(&sealed(&tar, 1)).unwrap_err();
        assert!(text.contains("caused by: it unpacks to far more than it says"), "{kind:?}: {text}");
    }
    let mut tar = begun(&small);
    tar.extend(&zeros);
    let text = run(&sealed(&tar, 1)).unwrap_err();
    assert!(text.contains("caused by: it unpacks to far more than it says"), "{text}");
}

#[test]
fn a_newer_format_is_told_from_damage() {
    let newer = "made by a newer launcher\n  caused by: it has the format 2, and";
    let mut later: serde_json::Value = serde_json::from_slice(&manifest().to_bytes().unwrap()).unwrap();
    later["format"] = 2.into();
    later["made_by"] = "something that only that launcher knows".into();
    let mut tar = Vec::new();
    entry(&mut tar, (MANIFEST, EntryType::Regular, 0o600, later.to_string().as_bytes(), ""));
    let text = run(&sealed(&tar, 1)).unwrap_err();
    assert!(text.starts_with("exit 4\n") && text.contains(newer), "{text}");
    let text = run(&sealed(&begun(&manifest()), 2)).unwrap_err();
    assert!(text.starts_with("exit 4\n") && text.contains(newer), "{text}");

    // What is added within the format is passed over.
    later["format"] = 1.into();
    later["made_by"] = "person".into();
    later["added"] = "later".into();
    let mut tar = Vec::new();
    entry(&mut tar, (MANIFEST, EntryType::Regular, 0o600, later.to_string().as_bytes(), ""));
    assert_eq!(run(&sealed(&tar, 1)).unwrap(), [PathBuf::from(MANIFEST)]);
}

#[test]
fn what_is_no_backup_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.tar.zst");
    let mut other = Vec::new();
    entry(&mut other, ("photos/1", EntryType::Regular, 0o600, b"x", ""));
    let mut nonsense = Vec::new();
    entry(&mut nonsense, (MANIFEST, EntryType::Regular, 0o600, b"{\"format\": 1", ""));
    let mut ends_early = begun(&manifest());
    head(&mut ends_early, ("cluster/x", EntryType::Regular, 0o600, b"", ""), 5000);
    let two = [sealed(&begun(&manifest()), 1), sealed(&begun(&manifest()), 1)].concat();
    let mut text = String::new();
    for archive in [
        b"no archive at all, but long enough to hold a trailer at its very end, which is not there either, as you see".to_vec(),
        with_digest(b"no frame".to_vec(), 1),
        sealed(&other, 1),
        sealed(&nonsense, 1),
        sealed(&[], 1),
        sealed(&ends_early, 1),
        // A frame of somebody else's between content and digest, and a digest that is right for both.
        with_digest(two, 1),
    ] {
        text.push_str(&run(&archive).unwrap_err());
    }
    insta::assert_snapshot!(text);
    // Listing sees it too, where it is at the beginning.
    fs::write(&path, sealed(&other, 1)).unwrap();
    assert!(read_manifest(&path).is_err());
    assert!(check(&path, &Silent).is_ok(), "the digest alone is right");
}
