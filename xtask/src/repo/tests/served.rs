//! What is served, as somebody finds it who has nothing but an address.

use super::*;

fn read(dir: &Path) -> Result<BTreeSet<String>> {
    let get = |path: &str| match fs::read(dir.join(path)) {
        Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => Ok(None),
        bytes => bytes.map(Some).map_err(Into::into),
    };
    crate::repo::served::indexed(&get, "probe")
}

/// What is wrong; or, of what a killed publication may have left, which package managers' packages are still there.
fn said(dir: &Path) -> String {
    match read(dir) {
        Err(cause) => format!("{cause:#}"),
        Ok(all) => ["1-1_amd64.deb", ".rpm", ".zst"]
            .map(|end| all.iter().any(|file| file.ends_with(end)).to_string())
            .join(" "),
    }
}

const WITHOUT: [(&str, &str); 3] =
    [("apt", "false true true"), ("dnf", "true false true"), ("pacman", "true true false")];

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
        let (said, name) = (said(&dir), path.file_name().unwrap().to_str().unwrap());
        let mut without = WITHOUT.iter().filter(|(kind, _)| path.starts_with(dir.join(kind)));
        let named = said.contains(name) && said.contains("not there");
        assert!(named || without.any(|(_, all)| said == *all), "{lost}: {said}");
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
        ("/Release", "Suite: stable", "Suite: other", WITHOUT[0].1),
        ("repomd.xml", "<revision>", "<revision>1", "repomd.xml.asc is no good signature"),
        ("mirrorlist", "http://127.0.0.1:1/", "http://evil.example/", "leads to http://evil.example/"),
    ] {
        let path = find(&dir, end);
        let before = fs::read(&path).unwrap();
        spoil(&path, from, to);
        let said = said(&dir);
        assert!(said.contains(wanted), "{end}: {said}");
        fs::write(&path, before).unwrap();
    }
    for (file, wanted) in [
        ("apt/probe.asc", "InRelease has no good signature"),
        ("dnf/probe.asc", "repomd.xml.asc is no good signature"),
        ("pacman/probe.asc", WITHOUT[2].1),
    ] {
        let before = fs::read(dir.join(file)).unwrap();
        for (text, wanted) in [(other.as_str(), wanted), ("nothing", "probe.asc holds no key")] {
            fs::write(dir.join(file), text).unwrap();
            let said = said(&dir);
            assert!(said.contains(wanted), "{file}: {said}");
        }
        fs::write(dir.join(file), before).unwrap();
    }
    read(&dir).unwrap();
}

/// Nothing signs the files by which a machine comes to know a repository, so they are compared with what is made.
#[test]
fn other_lines_than_were_made_are_found() {
    let Some(scene) = Scene::new() else { return };
    let (key, dir) = (scene.key(), scene.path("site"));
    build(&scene.site(&key, &scene.packages("1", "a"), 0), &dir).unwrap();
    for file in [
        "apt/probe.asc",
        "apt/probe.sources",
        "dnf/probe.asc",
        "dnf/probe.repo",
        "dnf/mirrorlist",
        "pacman/probe.asc",
        "pacman/probe.conf",
        "index.html",
    ] {
        let before = fs::read_to_string(dir.join(file)).unwrap();
        let other = match file.ends_with(".asc") {
            true => format!("{before}\n"),
            false => before.replace("http://127.0.0.1:1", "http://evil.example"),
        };
        assert_ne!(other, before, "{file}");
        fs::write(dir.join(file), other).unwrap();
        let said = check::run(&scene.site(&key, &[], 0), &dir).unwrap_err();
        assert!(said.to_string().starts_with("1 of what"), "{file}: {said:#}");
        fs::remove_file(dir.join(file)).unwrap();
        assert!(check::run(&scene.site(&key, &[], 0), &dir).is_err(), "{file}");
        fs::write(dir.join(file), before).unwrap();
    }
    well(&scene.site(&key, &[], 0), &dir);
    // What an interrupted run has left: no index names it, and the page is the one before.
    let two = scene.packages("2", "a");
    let deb = two.iter().find(|path| path.to_string_lossy().ends_with(".deb")).unwrap();
    fs::copy(deb, dir.join("apt/pool/main/probe").join(deb.file_name().unwrap())).unwrap();
    well(&scene.site(&key, &[], 0), &dir);
}
