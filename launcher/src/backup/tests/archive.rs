//! What is packed comes out as it was; whatever is no longer as it was packed does not come out at all.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, File, Permissions};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use super::{Notes, Random, manifest, names, packed, said, seed};
use crate::app::files;
use crate::backup::archive::{MANIFEST, Unpacked, Writer, check, claimed, read_manifest, unpack};
use crate::failure::Exit;
use crate::progress::Silent;

/// Folders, files and links of all kinds that a cluster and a media folder have, about 2 MB.
fn sample(top: &Path) {
    let mut random = Random(seed());
    let file = |name: &OsStr, mode, content: &[u8]| {
        let path = top.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
    };
    file(OsStr::new("PG_VERSION"), 0o600, b"15\n");
    file(OsStr::new("global/pg_control"), 0o600, &random.bytes(8192));
    file(OsStr::new("pg_wal/000000010000000000000001"), 0o600, &vec![0; 1 << 20]);
    file(OsStr::new("empty"), 0o644, b"");
    for number in 0..40 {
        let size = random.below(50_000) as usize;
        let content = if number % 2 == 0 { random.bytes(size) } else { vec![b'a' + number; size] };
        file(OsStr::new(&format!("base/{}/{number}", number % 3)), 0o640, &content);
    }
    file(OsStr::from_bytes(b"not utf-8 \xff\xfe"), 0o444, b"x");
    file(OsStr::new("line\nbreak"), 0o400, b"x");
    for length in [99, 100, 101, 155, 255] {
        file(OsStr::new(&format!("{}/{}", "d".repeat(length), "f".repeat(length))), 0o600, b"long");
        file(OsStr::new(&format!("{}/\n{}", "d".repeat(length), "g".repeat(length - 1))), 0o600, b"long");
    }
    // Of these, with `cluster/` before them, some just fit into a header, and some do not.
    for length in 88..96 {
        file(OsStr::new(&"n".repeat(length)), 0o600, b"long");
    }
    for length in 98..103 {
        symlink("t".repeat(length), top.join(format!("link {length}"))).unwrap();
    }
    file(OsStr::new("closed/inside"), 0o700, b"x");
    fs::set_permissions(top.join("closed"), Permissions::from_mode(0o500)).unwrap();
    fs::create_dir(top.join("none in it")).unwrap();
    symlink("../PG_VERSION", top.join("base/link")).unwrap();
    symlink(format!("base/{}", "l".repeat(200)), top.join("long link")).unwrap();
}

type Tree = BTreeMap<PathBuf, (u32, i64, Vec<u8>)>;

/// Everything below, with mode, time and content.
fn tree(top: &Path) -> Tree {
    let mut all = BTreeMap::new();
    files::walk(top, &mut |path, meta| {
        let content = match (meta.is_file(), meta.is_symlink()) {
            (true, _) => fs::read(path).unwrap(),
            (_, true) => fs::read_link(path).unwrap().as_os_str().as_bytes().to_vec(),
            _ => b"folder".to_vec(),
        };
        let (mode, time) = if meta.is_file() { (meta.mode(), meta.mtime()) } else { (meta.mode(), 0) };
        let mode = if meta.is_symlink() { 0 } else { mode };
        all.insert(path.strip_prefix(top).unwrap().to_owned(), (mode, time, content));
    })
    .unwrap();
    all
}

fn pack_sample(folder: &Path) -> PathBuf {
    let from = folder.join("from");
    sample(&from);
    let archive = folder.join("a.tar.zst");
    let sealed = packed(&archive, &manifest(), |writer| {
        writer.tree("cluster", &from, &Silent)?;
        writer.file("secrets/secret-key", &from.join("PG_VERSION"))?;
        writer.bytes("checks.json", 0o600, b"{}")
    })
    .unwrap();
    assert_eq!(sealed.bytes, archive.metadata().unwrap().len());
    assert_eq!(sealed.digest, check(&archive, &Silent).unwrap());
    assert_eq!(sealed.digest, claimed(&archive).unwrap());
    archive
}

#[test]
fn what_was_packed_comes_out() {
    let folder = tempfile::tempdir().unwrap();
    let archive = pack_sample(folder.path());
    assert_eq!(read_manifest(&archive).unwrap(), manifest());
    let into = folder.path().join("into");
    assert_eq!(
        unpack(&archive, &into, &|_| true, &Silent).unwrap(),
        Unpacked { manifest: manifest(), digest: claimed(&archive).unwrap() }
    );
    assert_eq!(tree(&into.join("cluster")), tree(&folder.path().join("from")));
    assert_eq!(names(&into), ["checks.json", "cluster", "manifest.json", "secrets"].map(PathBuf::from));
    assert_eq!(fs::read(into.join(MANIFEST)).unwrap(), manifest().to_bytes().unwrap());
    assert_eq!(into.metadata().unwrap().mode() & 0o777, 0o700);

    // Only what is wanted.
    let some = folder.path().join("some");
    unpack(&archive, &some, &|name| name.starts_with("cluster/base/1/"), &Silent).unwrap();
    assert_eq!(names(&some), [PathBuf::from("cluster")]);
    assert_eq!(tree(&some.join("cluster/base/1")).len(), 14);

    // What is there already is somebody's.
    let failure = unpack(&archive, &into, &|_| true, &Silent).unwrap_err();
    assert!(failure.to_string().starts_with("cannot create"), "{failure}");
    assert_eq!(names(&into).len(), 4);
}

/// By hand, years later, without a launcher.
#[test]
fn tar_and_zstd_understand_it() {
    let folder = tempfile::tempdir().unwrap();
    let archive = pack_sample(folder.path());
    let into = folder.path().join("by hand");
    fs::create_dir(&into).unwrap();
    let run = |program: &str, args: &[&OsStr]| std::process::Command::new(program).args(args).output();
    let found = |program: &str| run(program, &["--version".as_ref()]).is_ok_and(|out| out.status.success());
    if !found("tar") || !found("zstd") {
        eprintln!("not run: no tar, or no zstd, in PATH");
        return;
    }
    let args: [&OsStr; 5] =
        ["--zstd".as_ref(), "-xpf".as_ref(), archive.as_ref(), "-C".as_ref(), into.as_ref()];
    let output = run("tar", &args).unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    assert_eq!(tree(&into.join("cluster")), tree(&folder.path().join("from")));
    let output = run("zstd", &["-t".as_ref(), archive.as_ref()]).unwrap();
    assert!(output.status.success(), "{output:?}");
}

/// Refused by everyone who reads all of it, and nothing is left beside.
fn refused(archive: &Path, inside: &Path, how: &str) -> String {
    let failure = match unpack(archive, &inside.join("into"), &|_| true, &Silent) {
        Ok(_) => panic!("unpacked, {how}"),
        Err(failure) => failure,
    };
    assert_eq!(failure.exit, Exit::Refused, "{how}: {failure}");
    assert!(names(inside).is_empty(), "{how}: {:?}", names(inside));
    assert!(check(archive, &Silent).is_err_and(|failure| failure.exit == Exit::Refused), "{how}");
    said(failure, archive.parent().unwrap())
}

#[test]
fn a_flipped_byte_is_seen_wherever_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let archive = pack_sample(folder.path());
    let inside = folder.path().join("inside");
    fs::create_dir(&inside).unwrap();
    let good = fs::read(&archive).unwrap();
    let mut random = Random(seed());
    let mut places: Vec<usize> = (0..100).map(|_| random.below(good.len() as u64) as usize).collect();
    // Frame header and first block; the end of the frame; the digest.
    places.extend((0..24).chain(good.len() - 110..good.len()));
    let mut kinds = BTreeMap::new();
    for place in &places {
        let mut bad = good.clone();
        bad[*place] ^= 1 + random.below(255) as u8;
        fs::write(&archive, &bad).unwrap();
        let text = refused(&archive, &inside, &format!("byte {place} of {}", good.len()));
        let what = if text.contains("damaged") { "damaged" } else { "made by a newer launcher" };
        *kinds.entry(what).or_insert(0) += 1;
    }
    fs::write(&archive, &good).unwrap();
    unpack(&archive, &inside.join("into"), &|_| true, &Silent).unwrap();
    println!("{} flipped bytes of {}, all refused: {kinds:?}", places.len(), good.len());
}

#[test]
fn shorter_and_longer_ones_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let archive = pack_sample(folder.path());
    let inside = folder.path().join("inside");
    fs::create_dir(&inside).unwrap();
    let good = fs::read(&archive).unwrap();
    let mut random = Random(seed());
    let mut lengths: Vec<usize> = (0..60).map(|_| random.below(good.len() as u64) as usize).collect();
    lengths.extend((0..5).chain(good.len() - 105..good.len()));
    for length in &lengths {
        fs::write(&archive, &good[..*length]).unwrap();
        refused(&archive, &inside, &format!("cut at {length}"));
        assert!(read_manifest(&archive).is_err() && claimed(&archive).is_err());
    }
    println!("cut at {} lengths, all refused", lengths.len());
    let half = good.len() / 2;
    let end = good.len() - 98;
    for (how, bad) in [
        ("one byte more", [&good[..], b"\0"].concat()),
        ("a frame more", [&good[..], &good[end..]].concat()),
        ("twice", [&good[..], &good].concat()),
        ("a hole", [&good[..half], &good[half + 1..]].concat()),
        ("a byte in the middle", [&good[..half], b"x", &good[half..]].concat()),
        ("a byte before the digest", [&good[..end], b"x", &good[end..]].concat()),
        ("the digest alone", good[end..].to_vec()),
        ("nothing", Vec::new()),
    ] {
        fs::write(&archive, &bad).unwrap();
        refused(&archive, &inside, how);
    }
}

#[test]
fn a_file_that_changes_meanwhile_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("uploaded");
    // A FIFO would wait; a folder is no file.
    let failure = packed(&folder.path().join("a"), &manifest(), |to| to.file("media/x", folder.path()));
    assert!(failure.unwrap_err().to_string().ends_with("is no file"));
    // /proc's files are longer than their size: they "grow" while they are read.
    if Path::new("/proc/version").exists() {
        let grown = packed(&folder.path().join("b"), &manifest(), |to| {
            to.file("media/x", Path::new("/proc/version"))
        });
        let text = said(grown.unwrap_err(), folder.path());
        assert!(text.contains("error: /proc/version has changed while it was read"), "{text}");
    }
    fs::write(&path, vec![0; 1 << 20]).unwrap();
    let shrinking = Shrinking(path.clone());
    fs::create_dir(folder.path().join("media")).unwrap();
    fs::rename(&path, folder.path().join("media/uploaded")).unwrap();
    let shrinking = Shrinking(shrinking.0.parent().unwrap().join("media/uploaded"));
    let shrunk = packed(&folder.path().join("c"), &manifest(), |to| {
        to.tree("media", &folder.path().join("media"), &shrinking)
    });
    let text = said(shrunk.unwrap_err(), &folder.path().canonicalize().unwrap());
    assert!(text.contains("error: FOLDER/media/uploaded has changed while it was read"), "{text}");
}

/// Cuts a file off as soon as something of it was read.
struct Shrinking(PathBuf);

impl crate::progress::Progress for Shrinking {
    fn start(&self, _: &str) {}
    fn bytes(&self, _: u64, _: Option<u64>) {
        File::options().write(true).open(&self.0).unwrap().set_len(10).unwrap();
    }
    fn note(&self, _: &str) {}
    fn done(&self, _: &str) {}
}

#[test]
fn what_cannot_be_kept_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let media = folder.path().join("media");
    fs::create_dir_all(media.join("a")).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(media.join("socket")).unwrap();
    rustix::fs::mkfifoat(rustix::fs::CWD, media.join("fifo"), rustix::fs::Mode::RUSR).unwrap();
    symlink("/etc", media.join("absolute")).unwrap();
    symlink("../../x", media.join("a/out")).unwrap();
    symlink("../a", media.join("a/in")).unwrap();
    fs::write(media.join("set-id"), b"x").unwrap();
    fs::set_permissions(media.join("set-id"), Permissions::from_mode(0o4755)).unwrap();
    let notes = Notes::default();
    let archive = folder.path().join("a.tar.zst");
    packed(&archive, &manifest(), |to| to.tree("media", &media, &notes)).unwrap();
    let top = format!("{}/", media.canonicalize().unwrap().display());
    let said: Vec<String> = notes.all().iter().map(|note| note.replace(&top, "")).collect();
    assert_eq!(
        said,
        [
            "a/out is left out: it is a link out of the folder, to ../../x",
            "absolute is left out: it is a link out of the folder, to /etc",
            "fifo is left out: it is a named pipe",
            "socket is left out: it is a socket",
        ]
    );
    // What was packed can be unpacked.
    let into = folder.path().join("into");
    unpack(&archive, &into, &|name| name.starts_with("media"), &Silent).unwrap();
    assert_eq!(names(&into.join("media")), ["a", "set-id"].map(PathBuf::from));
    assert_eq!(names(&into.join("media/a")), [PathBuf::from("in")]);
    assert_eq!(into.join("media/set-id").metadata().unwrap().mode() & 0o7777, 0o755);
}

/// What could not be unpacked is not packed either.
#[test]
fn more_than_the_manifest_allows_is_not_packed() {
    let folder = tempfile::tempdir().unwrap();
    let mut small = manifest();
    small.unpacked_bytes = 10;
    let big = folder.path().join("big");
    File::create(&big).unwrap().set_len(small.most() + 1).unwrap();
    let failure = packed(&folder.path().join("a"), &small, |to| to.file("media/big", &big)).unwrap_err();
    assert_eq!(failure.to_string(), "the backup has become much larger than it was to be");
    let mut writer = Writer::new(File::create_new(folder.path().join("b")).unwrap(), 1).unwrap();
    let failure = writer.bytes("media/x", 0o600, b"").unwrap_err();
    assert_eq!(failure.to_string(), "a backup has to begin with its manifest");
}

#[test]
fn a_full_disk_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let Ok(full) = File::options().write(true).open("/dev/full") else {
        eprintln!("not run: no /dev/full");
        return;
    };
    let result = Writer::new(full, 1).and_then(|mut writer| {
        writer.bytes(MANIFEST, 0o600, &manifest().to_bytes()?)?;
        writer.finish()
    });
    let text = said(result.unwrap_err(), folder.path());
    assert!(
        text.contains("caused by: No space left on device") && text.contains("help: make room"),
        "{text}"
    );
}
