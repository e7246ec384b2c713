//! `pin` and `bump` on a small copy of the checkout.

use std::fs;

use super::tarball::tests::{files, pack};
use super::*;
use crate::{Refused, bump};

const COPIED: [&str; 4] = ["packaging/mathesar.toml", "Cargo.toml", "Cargo.lock", "CHANGELOG.md"];
/// Newer than any real one.
const NEW: &str = "999.1.0";

struct Checkout {
    _folder: tempfile::TempDir,
    workspace: Workspace,
}

impl Checkout {
    fn new() -> Checkout {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().to_owned();
        let real = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        fs::create_dir(root.join("packaging")).unwrap();
        // A release, a manifest and a changelog of their own: what `pin` and `bump` do to the real ones changes nothing here.
        let text = include_str!("../testdata/mathesar.toml");
        let version = parse(text).unwrap().package.version;
        let copy = |path: &str| fs::read_to_string(real.join(path)).unwrap();
        let cargo = edit::put_cargo_version(&copy("Cargo.toml"), &version).unwrap();
        let lock = edit::put_cargo_lock(&copy("Cargo.lock"), &version).unwrap();
        let changelog = format!("# Changelog\n\nNewest first.\n\n## {version}-1 (2026-11-23)\n- First.\n");
        for (path, text) in [("Cargo.toml", cargo), ("Cargo.lock", lock), ("CHANGELOG.md", changelog)] {
            fs::write(root.join(path), text).unwrap();
        }
        // Two Pythons to prove instead of five.
        let manifest = root.join("packaging/mathesar.toml");
        let (before, after) = text.split_once("\npython = ").unwrap();
        let (_, after) = after.split_once('\n').unwrap();
        let range = "{ min = \"3.11\", max = \"3.12\", prefer = [\"3.12\"] }";
        fs::write(&manifest, format!("{before}\npython = {range}\n{after}")).unwrap();
        Checkout { _folder: folder, workspace: Workspace { target: root.join("target"), root } }
    }

    fn read(&self, path: &str) -> String {
        fs::read_to_string(self.workspace.root.join(path)).unwrap()
    }

    /// Every file outside `target`, with its text.
    fn everything(&self) -> Vec<(PathBuf, String)> {
        walkdir::WalkDir::new(&self.workspace.root)
            .sort_by_file_name()
            .into_iter()
            .map(|entry| entry.unwrap().into_path())
            .filter(|path| path.is_file() && !path.starts_with(&self.workspace.target))
            .map(|path| (path.clone(), fs::read_to_string(&path).unwrap()))
            .collect()
    }

    fn tarball(&self, version: &str, requirements: &str) -> PathBuf {
        fs::create_dir_all(&self.workspace.target).unwrap();
        let path = self.workspace.target.join("release.tar.gz");
        fs::write(&path, pack(&files(version, requirements))).unwrap();
        path
    }

    fn pin(&self, version: &str, file: &Path, sha256: Option<&str>) -> Result<()> {
        let args = Args {
            version: version.to_owned(),
            from: Some(file.to_owned()),
            sha256: sha256.map(str::to_owned),
            offline: false,
        };
        run_with(&args, &self.workspace, &tools())
    }

    fn bump(&self, version: Option<&str>) -> Result<()> {
        use clap::Parser as _;
        #[derive(clap::Parser)]
        struct Line {
            #[command(flatten)]
            args: bump::Args,
        }
        let mut line = vec!["bump", "-m", "First change.", "-m", "Second change."];
        line.extend(version.iter().flat_map(|version| ["--version", version]));
        bump::run(&Line::parse_from(line).args, &self.workspace)
    }
}

/// Those of the real checkout: they are installed once.
fn tools() -> Tools {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned();
    let target = match std::env::var_os("CARGO_TARGET_DIR") {
        Some(folder) => root.join(folder),
        None => root.join("target"),
    };
    Tools::new(&Workspace { root, target })
}

/// Lines that are in one text only.
fn changes(before: &str, after: &str) -> String {
    let mut text = String::new();
    for (sign, lines, others) in [('-', before, after), ('+', after, before)] {
        for line in lines.lines().filter(|line| !others.lines().any(|other| other == *line)) {
            text.push_str(&format!("{sign}{line}\n"));
        }
    }
    text
}

#[test]
fn refusals_leave_everything_as_it_was() {
    let checkout = Checkout::new();
    let before = checkout.everything();
    let present = parse(&checkout.read("packaging/mathesar.toml")).unwrap().app.version;

    let other = checkout.tarball(&present, "idna==3.10\n");
    let error = checkout.pin(&present, &other, None).unwrap_err();
    assert!(error.is::<Refused>(), "{error:#}");
    assert!(error.to_string().contains(&format!("cargo xtask pin {present} --sha256")), "{error:#}");
    let error = checkout.pin(&present, &other, Some(&"0".repeat(64))).unwrap_err();
    assert!(error.is::<Refused>(), "{error:#}");
    let error = checkout.pin(NEW, &other, None).unwrap_err().to_string();
    assert!(error.contains(&format!("is Mathesar {present}, not {NEW}")), "{error}");
    let error = checkout.pin("0.1.0", &other, None).unwrap_err().to_string();
    assert!(error.contains("0.1.0 is older than"), "{error}");
    assert!(checkout.pin("new", &other, None).is_err());
    assert!(checkout.pin(NEW, Path::new("/nonexistent"), None).is_err());

    assert_eq!(checkout.everything(), before);
}

#[test]
fn pins() {
    let uv = match tools().python_tool("uv") {
        Ok(uv) => uv,
        Err(error) => {
            eprintln!("not run: {error:#}");
            return;
        }
    };
    let checkout = Checkout::new();
    let before = COPIED.map(|path| checkout.read(path));
    let everything = checkout.everything();

    // What cannot be locked is not pinned.
    let broken = checkout.tarball(NEW, "idna==3.10\nidna==3.9\n");
    let error = format!("{:#}", checkout.pin(NEW, &broken, None).unwrap_err());
    assert!(error.contains("pip\" \"compile\"") && error.contains("unsatisfiable"), "{error}");
    assert_eq!(checkout.everything(), everything);

    let tarball = checkout.tarball(NEW, "idna==3.10\n");
    let (sha256, size) = tarball::measure(&tarball).unwrap();
    checkout.pin(NEW, &tarball, None).unwrap();

    let mut all = String::new();
    for (path, before) in COPIED.iter().zip(&before) {
        let after = checkout.read(path);
        let comments = |text: &str| text.matches('#').count();
        assert!(comments(&after) >= comments(before), "{path} lost a comment");
        all.push_str(&format!("== {path}\n{}", changes(before, &after)));
    }
    for path in ["launcher/release.toml", lock::PATH, lock::SOURCES] {
        all.push_str(&format!("== {path}\n{}", checkout.read(path)));
    }
    let manifest = parse(&before[0]).unwrap();
    let resolver = lock::version_of(&uv).unwrap();
    for (what, name) in [
        (sha256.as_str(), "[digest]"),
        (&size.to_string(), "[size]"),
        (&manifest.app.sha256, "[old digest]"),
        (&manifest.app.version, "[old]"),
        (&edit::today().unwrap().to_string(), "[date]"),
        (&resolver, "[uv]"),
    ] {
        all = all.replace(what, name);
    }
    insta::assert_snapshot!("pinned", all);

    // Again: nothing to do.
    let pinned = checkout.everything();
    checkout.pin(NEW, &tarball, None).unwrap();
    assert_eq!(checkout.everything(), pinned);

    // The same version with other contents, and a digest given by hand.
    let other = checkout.tarball(NEW, "idna==3.11\n");
    assert!(checkout.pin(NEW, &other, None).is_err());
    assert_eq!(checkout.everything(), pinned);
    let (other_sha256, _) = tarball::measure(&other).unwrap();
    checkout.pin(NEW, &other, Some(&other_sha256)).unwrap();
    assert_eq!(lock::belongs_to(&checkout.read(lock::PATH)), Some(other_sha256.as_str()));
    assert!(checkout.read("packaging/mathesar.toml").contains(&other_sha256));
}

#[test]
fn bumps() {
    let checkout = Checkout::new();
    let before = COPIED.map(|path| checkout.read(path));
    let package = parse(&before[0]).unwrap().package;
    checkout.bump(None).unwrap();
    let manifest = checkout.read("packaging/mathesar.toml");
    let raised = package.revision + 1;
    assert_eq!(
        changes(&before[0], &manifest),
        format!("-revision = {}\n+revision = {raised}\n", package.revision)
    );
    let date = edit::today().unwrap();
    assert_eq!(
        changes(&before[3], &checkout.read("CHANGELOG.md")),
        format!("+## {}-{raised} ({date})\n+- First change.\n+- Second change.\n", package.version)
    );
    assert_eq!(checkout.read("Cargo.lock"), before[2]);

    let after = checkout.everything();
    assert!(checkout.bump(Some(&package.version)).is_err());
    assert!(checkout.bump(Some("0.0.1")).unwrap_err().to_string().contains("is older than"));
    assert!(checkout.bump(Some("1.0")).is_err());
    assert_eq!(checkout.everything(), after);

    checkout.bump(Some(NEW)).unwrap();
    let manifest = parse(&checkout.read("packaging/mathesar.toml")).unwrap();
    assert_eq!((manifest.package.version.as_str(), manifest.package.revision), (NEW, 1));
    assert_eq!(
        checkout.read("Cargo.toml"),
        before[1].replace(&format!("\"{}\"", package.version), &format!("\"{NEW}\""))
    );
    assert_eq!(checkout.read("Cargo.lock").matches(NEW).count(), 3);
}
