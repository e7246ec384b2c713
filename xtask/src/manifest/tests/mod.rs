//! The manifest as a whole: the real one is fine, and each bad one says so well.

mod bad;
mod fuzz;

use std::path::Path;

use super::read::parse;

/// A repository with every file that the manifest names.
struct Root {
    folder: tempfile::TempDir,
}

impl Root {
    fn new() -> Root {
        let root = Root { folder: tempfile::tempdir().unwrap() };
        root.write("CHANGELOG.md", "# Changelog\n\n## 0.12.0-1 (2026-11-23)\n- First.\n");
        root.write("LICENSE", "text\n");
        for file in ["mathesar.conf", "mathesar.svg"] {
            root.write(&format!("packaging/files/{file}"), "text\n");
        }
        let unit = "[Unit]\nDescription=Mathesar\n\n[Service]\nUser=mathesar\nGroup=mathesar\n";
        root.write("packaging/files/mathesar.service", unit);
        root.write("packaging/files/mathesar@.service", unit);
        for name in ["mathesar-backup", "mathesar-backup@"] {
            root.write(&format!("packaging/files/{name}.service"), unit);
            root.write(&format!("packaging/files/{name}.timer"), "[Timer]\nOnCalendar=daily\n");
        }
        let tmpfiles = "z /etc/mathesar/mathesar.conf 0640 root mathesar -\n";
        root.write("packaging/files/mathesar.tmpfiles", tmpfiles);
        root.write("packaging/files/mathesar.sysusers", "u mathesar - \"Mathesar\" /var/lib/mathesar\n");
        root.write("packaging/deb/postinst", "#!/bin/sh\nset -e\n#DEBHELPER#\n");
        root.write("packaging/rpm/post.sh", "true\n");
        root
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    fn report(&self, bytes: &[u8]) -> String {
        match parse(bytes, "packaging/mathesar.toml", self.path()) {
            Ok(_) => "fine".to_owned(),
            Err(problems) => problems.to_string(),
        }
    }
}

/// A manifest as the real one was; `pin` and `bump` change that, and must not change what is expected here. What the
/// real one says is checked by `cargo xtask check`, which is a test as well.
fn real() -> String {
    include_str!("../../testdata/mathesar.toml").to_owned()
}

#[test]
fn a_good_manifest_is_fine() {
    let root = Root::new();
    assert_eq!(root.report(real().as_bytes()), "fine");
    let (manifest, text) = parse(real().as_bytes(), "m", root.path()).unwrap();
    assert_eq!(manifest.package.name, "mathesar");
    assert_eq!(text, real());
}

#[test]
fn windows_line_ends_change_nothing() {
    let root = Root::new();
    assert_eq!(root.report(real().replace('\n', "\r\n").as_bytes()), "fine");
}

#[test]
fn sources_start_at_the_root_wherever_the_manifest_is() {
    let root = Root::new();
    let elsewhere = tempfile::tempdir().unwrap();
    let path = elsewhere.path().join("other.toml");
    std::fs::write(&path, real()).unwrap();
    let workspace =
        crate::workspace::Workspace { root: root.path().to_owned(), target: root.path().join("target") };
    let package = super::load(&workspace, &path).unwrap();
    assert_eq!(package.root, root.path());
    assert_eq!(package.full_version(), "0.12.0-1");
    assert!(package.lock.is_none());
    if std::env::var_os("SOURCE_DATE_EPOCH").is_none() {
        assert_eq!(package.epoch, 1_795_392_000, "no commit here: the changelog's date");
    }
}

#[test]
fn a_lock_of_another_release_is_left_out() {
    let root = Root::new();
    root.write("packaging/mathesar.toml", &real());
    let workspace =
        crate::workspace::Workspace { root: root.path().to_owned(), target: root.path().join("target") };
    let load = || super::load(&workspace, &workspace.manifest()).unwrap();
    root.write("packaging/app.lock", "# release-sha256: 1234\n");
    assert!(load().lock.is_none());
    let lock = format!("# release-sha256: {}\nx==1\n", load().manifest.app.sha256);
    root.write("packaging/app.lock", &lock);
    assert_eq!(load().lock, Some(lock));
}

#[test]
fn problems_come_back_as_themselves() {
    let root = Root::new();
    root.write("packaging/mathesar.toml", &real().replace("revision = 1", "revision = 0"));
    let workspace =
        crate::workspace::Workspace { root: root.path().to_owned(), target: root.path().join("target") };
    let error = super::load(&workspace, &workspace.manifest()).unwrap_err();
    let problems = error.downcast_ref::<super::Problems>().unwrap();
    assert!(problems.to_string().contains(" --> packaging/mathesar.toml:"), "{problems}");
    assert!(problems.to_string().ends_with("1 problem in packaging/mathesar.toml"), "{problems}");
    assert!(!problems.to_string().contains('\u{1b}') && problems.styled().contains('\u{1b}'));
}
