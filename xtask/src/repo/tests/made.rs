//! New repositories, and what stands in their way.

use super::*;

#[test]
fn what_is_there_is_never_replaced() {
    let Some(scene) = Scene::new() else { return };
    let (key, dir) = (scene.key(), scene.path("site"));
    let (one, other) = (scene.packages("1", "a"), scene.packages("1", "b"));
    fs::create_dir(&dir).unwrap();
    build(&scene.site(&key, &one, 0), &dir).unwrap();
    let before = tree(&dir);
    for packages in [&one, &other] {
        let refused = build(&scene.site(&key, packages, 60), &dir).unwrap_err();
        assert!(refused.is::<crate::Refused>() && refused.to_string().contains("repo add"), "{refused:#}");
        assert_eq!(tree(&dir), before);
    }
    assert!(!scene.path(".site.new").exists());
    let foreign = scene.path("foreign");
    fs::create_dir(&foreign).unwrap();
    fs::write(foreign.join("mine"), "").unwrap();
    build(&scene.site(&key, &one, 0), &foreign).unwrap_err();
    add(&scene.site(&key, &one, 0), &foreign).unwrap_err();
    assert_eq!(fs::read_dir(&foreign).unwrap().count(), 1);
}

#[test]
fn what_a_killed_run_moved_aside_is_put_back() {
    let Some(scene) = Scene::new() else { return };
    let (key, dir) = (scene.key(), scene.path("site"));
    let (one, two) = (scene.packages("1", "a"), scene.packages("2", "a"));
    build(&scene.site(&key, &one, 0), &dir).unwrap();
    let before = tree(&dir);
    let aside = || {
        fs::rename(&dir, scene.path(".site.old")).unwrap();
        copy(&scene.path(".site.old"), &scene.path(".site.new"));
    };
    aside();
    let refused = build(&scene.site(&key, &two, 60), &dir).unwrap_err();
    assert!(refused.is::<crate::Refused>(), "{refused:#}");
    assert_eq!(tree(&dir), before);
    aside();
    add(&scene.site(&key, &two, 60), &dir).unwrap();
    well(&scene.site(&key, &[], 60), &dir);
    let after = tree(&dir);
    assert!(fixed(&before).iter().all(|(name, digest)| after.get(name) == Some(digest)));
    for name in [".site.old", ".site.new"] {
        assert!(!scene.path(name).exists(), "{name}");
    }
}

#[test]
fn of_two_at_once_one_makes_it() {
    let Some(scene) = Scene::new() else { return };
    let (key, dir) = (scene.key(), scene.path("site"));
    let one = scene.packages("1", "a");
    let site = scene.site(&key, &one, 0);
    let results: Vec<Result<()>> = std::thread::scope(|scope| {
        let both = [0, 1].map(|_| scope.spawn(|| build(&site, &dir)));
        both.map(|one| one.join().unwrap()).into()
    });
    let refused: Vec<_> = results.into_iter().filter_map(Result::err).collect();
    assert!(refused.len() == 1 && refused[0].is::<crate::Refused>(), "{refused:?}");
    well(&scene.site(&key, &[], 0), &dir);
    assert!(!scene.path(".site.new").exists());
}

/// pacman's signature comes first, and is nobody's until its package follows.
#[test]
fn a_signature_of_another_build_is_replaced() {
    let Some(scene) = Scene::new() else { return };
    let (key, dir) = (scene.key(), scene.path("site"));
    let (two, other) = (scene.packages("2", "a"), scene.packages("2", "b"));
    build(&scene.site(&key, &scene.packages("1", "a"), 0), &dir).unwrap();
    let alone = |all: &[PathBuf]| -> Vec<PathBuf> {
        all.iter().filter(|path| path.to_string_lossy().ends_with(".zst")).cloned().collect()
    };
    let (two, other) = (alone(&two), alone(&other));
    let to = dir.join("pacman/x86_64/probe-2-1-x86_64.pkg.tar.zst");
    let signature = to.with_file_name("probe-2-1-x86_64.pkg.tar.zst.sig");
    let now = Timestamp::from_second(scene.start + 60).unwrap();
    key.sign(&["--detach-sign"], &two[0], &signature, now).unwrap();
    add(&scene.site(&key, &other, 60), &dir).unwrap();
    well(&scene.site(&key, &[], 60), &dir);
    // What an index has told of a name holds, also where the file was lost.
    fs::remove_file(&to).unwrap();
    let refused = add(&scene.site(&key, &two, 120), &dir).unwrap_err();
    assert!(refused.is::<crate::Refused>(), "{refused:#}");
    add(&scene.site(&key, &other, 120), &dir).unwrap();
    well(&scene.site(&key, &[], 120), &dir);
}

#[test]
fn what_is_no_package_is_refused_before_anything_is_written() {
    let Some(scene) = Scene::new() else { return };
    let (key, dir) = (scene.key(), scene.path("site"));
    build(&scene.site(&key, &scene.packages("1", "a"), 0), &dir).unwrap();
    let before = tree(&dir);
    let (two, other) = (scene.packages("2", "a"), scene.packages("2", "b"));
    let refuses = |packages: &[PathBuf], what: &str| {
        let refused = add(&scene.site(&key, packages, 60), &dir).unwrap_err();
        assert!(refused.is::<crate::Refused>() && refused.to_string().contains(what), "{what}: {refused:#}");
        assert_eq!(tree(&dir), before, "{what}");
    };
    let odd = scene.path("odd");
    fs::create_dir(&odd).unwrap();
    for name in [
        "probe_3-1_amd64.deb",
        "probe-3-1.noarch.rpm",
        "probe-3-1-x86_64.pkg.tar.zst",
        "probe-3-1-x86_64.flatpak",
    ] {
        let path = odd.join(name);
        fs::write(&path, "garbage").unwrap();
        refuses(&[&two[..], &[path]].concat(), "is not published");
    }
    for package in &two {
        let file = package.file_name().unwrap().to_str().unwrap();
        // Cut in its last part, and another version than its name says.
        let (cut, renamed) = (odd.join(file), odd.join(file.replace("-2-", "-3-").replace("_2-", "_3-")));
        let bytes = fs::read(package).unwrap();
        fs::write(&cut, &bytes[..bytes.len() - 40]).unwrap();
        fs::write(&renamed, &bytes).unwrap();
        refuses(&[cut], "is not published");
        refuses(&[renamed], "as whose name says otherwise");
        let strange = odd.join(file.replace("probe", "probe<&>\n"));
        fs::write(&strange, &bytes).unwrap();
        refuses(&[strange], "is not called as packages are");
    }
    refuses(&[two, other].concat(), "are two of one name");
}

#[test]
fn how_many_are_kept_is_remembered_and_signing_drops_nothing() {
    let Some(scene) = Scene::new() else { return };
    let (key, dir) = (scene.key(), scene.path("site"));
    let all: Vec<PathBuf> = (1..=6).flat_map(|number| scene.packages(&number.to_string(), "a")).collect();
    build(&Site { keep: Some(10), ..scene.site(&key, &all, 0) }, &dir).unwrap();
    let dropped = || Facts::read(&dir).unwrap().unwrap().superseded;
    let is_package = |path: &String| names::parse(path.rsplit('/').next().unwrap()).is_some();
    sign(&Site { again: true, ..scene.site(&key, &[], 60) }, &dir).unwrap();
    add(&scene.site(&key, &scene.packages("7", "a"), 120), &dir).unwrap();
    withdraw(&scene.site(&key, &[], 180), &dir, "7-1").unwrap();
    let gone: Vec<String> = dropped().into_keys().filter(is_package).collect();
    assert!(gone.iter().all(|path| path.contains("probe-7-1") || path.contains("probe_7-1")), "{gone:?}");
    // Of a repository that does not know the number.
    let facts = Facts { keep: None, ..Facts::read(&dir).unwrap().unwrap() };
    facts.write(&dir).unwrap();
    sign(&Site { again: true, ..scene.site(&key, &[], 240) }, &dir).unwrap();
    assert!(!dropped().into_keys().any(|path| path.contains("1-1.")), "{:?}", dropped());
    well(&scene.site(&key, &[], 240), &dir);
}
