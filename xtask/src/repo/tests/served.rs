//! What is served, as somebody finds it who has nothing but an address.

use super::*;

fn read(dir: &Path) -> Result<BTreeSet<String>> {
    let get = |path: &str| match fs::read(dir.join(path)) {
        Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => Ok(None),
        bytes => bytes.map(Some).map_err(Into::into),
    };
    crate::repo::served::indexed(&get, "probe")
}

/// The first file below with this end.
fn find(dir: &Path, end: &str) -> PathBuf {
    let all = folder::files(dir).unwrap();
    all.into_iter().find(|path| path.to_string_lossy().ends_with(end)).unwrap_or_else(|| panic!("{end}"))
}

fn spoil(path: &Path, from: &str, to: &str) {
    let text = fs::read_to_string(path).unwrap();
    assert!(text.contains(from), "{text}");
    fs::write(path, text.replacen(from, to, 1)).unwrap();
}

#[test]
fn what_readers_start_from_is_missed() {
    let Some(scene) = Scene::new() else { return };
    let (key, dir) = (scene.key(), scene.path("site"));
    build(&scene.site(&key, &scene.packages("1", "a"), 0), &dir).unwrap();
    assert!(read(&dir).unwrap().contains("probe_1-1_amd64.deb"));
    assert_eq!(read(&scene.path("nothing")).unwrap(), BTreeSet::new());
    for lost in [
        "apt/probe.asc",
        "apt/probe.sources",
        "InRelease",
        "/Release",
        "/Release.gpg",
        "dnf/probe.asc",
        "dnf/probe.repo",
        "dnf/mirrorlist",
        "repomd.xml",
        "repomd.xml.asc",
        "primary.xml.gz",
        "filelists.xml.gz",
        "pacman/probe.asc",
        "pacman/probe.conf",
        "probe.db",
        "probe.db.sig",
        "probe.files.sig",
        "pkg.tar.zst.sig",
    ] {
        let path = find(&dir, lost);
        let aside = scene.path("aside");
        fs::rename(&path, &aside).unwrap();
        let said = format!("{:#}", read(&dir).unwrap_err());
        let name = path.file_name().unwrap().to_str().unwrap();
        assert!(said.contains(name) && said.contains("not there"), "{lost}: {said}");
        fs::rename(&aside, &path).unwrap();
    }
    // Of the indices under their digests, each: apt fetches whichever it likes best.
    for path in folder::files(&dir.join("apt/dists/stable/main/binary-amd64/by-hash")).unwrap() {
        let bytes = fs::read(&path).unwrap();
        fs::write(&path, "another").unwrap();
        let said = format!("{:#}", read(&dir).unwrap_err());
        assert!(said.contains("has another digest"), "{said}");
        fs::write(&path, bytes).unwrap();
    }
    read(&dir).unwrap();
}

#[test]
fn what_readers_would_not_believe_is_told() {
    let Some(scene) = Scene::new() else { return };
    let (key, dir) = (scene.key(), scene.path("site"));
    build(&scene.site(&key, &scene.packages("1", "a"), 0), &dir).unwrap();
    let other = Key::throw_away(&scene.path("others"), "Another").unwrap().public().unwrap().armored;
    for (end, from, to, wanted) in [
        ("InRelease", "Suite: stable", "Suite: other", "InRelease has no good signature"),
        ("InRelease", "BEGIN PGP SIGNATURE", "BEGIN PGP NOTHING", "InRelease has no good signature"),
        (
            "InRelease",
            "PGP SIGNATURE-----\n\ni",
            "PGP SIGNATURE-----\n\nj",
            "InRelease has no good signature",
        ),
        ("/Release", "Suite: stable", "Suite: other", "Release.gpg is no good signature"),
        ("repomd.xml", "<revision>", "<revision>1", "repomd.xml.asc is no good signature"),
        ("mirrorlist", "http://127.0.0.1:1/", "http://evil.example/", "leads to http://evil.example/"),
    ] {
        let path = find(&dir, end);
        let before = fs::read(&path).unwrap();
        spoil(&path, from, to);
        let said = read(&dir).map_or_else(|said| format!("{said:#}"), |all| format!("{all:?}"));
        assert!(said.contains(wanted), "{end}: {said}");
        fs::write(&path, before).unwrap();
    }
    for (file, wanted) in [
        ("apt/probe.asc", "InRelease has no good signature"),
        ("dnf/probe.asc", "repomd.xml.asc is no good signature"),
        ("pacman/probe.asc", "probe.db.sig is no good signature"),
    ] {
        let before = fs::read(dir.join(file)).unwrap();
        for (text, wanted) in [(other.as_str(), wanted), ("nothing", "probe.asc holds no key")] {
            fs::write(dir.join(file), text).unwrap();
            let said = format!("{:#}", read(&dir).unwrap_err());
            assert!(said.contains(wanted), "{file}: {said}");
        }
        fs::write(dir.join(file), before).unwrap();
    }
    read(&dir).unwrap();
}
