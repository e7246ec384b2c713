//! A small checkout for the tests of the tarballs and of what is made of them: the real manifest, invented files.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::artifact::Artifacts;
use crate::channel::{Channel, Context};
use crate::manifest::{FileEntry, Manifest, Package, Target};
use crate::tools::Tools;

/// Everything that a shell, makepkg or `.SRCINFO` could stumble over.
pub(crate) const NASTY: &str =
    r##"it's "quoted", $x `y` \z\\ #{y} ${HOME} $(id): 100% !v ~ größe 表 &<>|;*?[a]"##;

/// 2026-01-02 03:04:05 UTC.
pub(crate) const EPOCH: u64 = 1_767_323_045;

pub(crate) struct Fixture {
    _folder: TempDir,
    pub package: Package,
    pub artifacts: Artifacts,
    pub target: Target,
}

impl Fixture {
    pub(crate) fn new() -> Fixture {
        Fixture::with(|text| text)
    }

    pub(crate) fn nasty() -> Fixture {
        Fixture::with(|text| {
            let summary = text.lines().find(|line| line.starts_with("summary = ")).unwrap().to_owned();
            text.replace(&summary, &format!("summary = '''{NASTY}'''"))
        })
    }

    /// A checkout whose manifest is that of `testdata` after `change`.
    pub(crate) fn with(change: impl Fn(String) -> String) -> Fixture {
        let folder = tempfile::tempdir().unwrap();
        let manifest_text = change(include_str!("../../testdata/mathesar.toml").to_owned());
        let manifest: Manifest = toml::from_str(&manifest_text).unwrap();
        let (root, generated) = (folder.path().join("checkout"), folder.path().join("generated"));
        for entry in &manifest.file {
            invent(entry, &root, &generated);
        }
        fs::write(root.join("packaging/mathesar.toml"), "# the manifest of the checkout\n").unwrap();
        let package =
            Package { root, manifest, manifest_text, changelog: Vec::new(), lock: None, epoch: EPOCH };
        let artifacts = Artifacts { generated, glibc: "2.34".into(), digest: String::new() };
        Fixture { _folder: folder, package, artifacts, target: Target::X86_64Gnu }
    }

    pub(crate) fn generated(&self) -> &Path {
        &self.artifacts.generated
    }

    /// Builds `channel`; its `out` folder.
    pub(crate) fn build(&self, channel: &Channel, needed: &[&TempDir]) -> TempDir {
        let (work, out) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let needed: Vec<PathBuf> = needed.iter().map(|folder| folder.path().to_owned()).collect();
        let tools = Tools { folder: work.path().join("tools") };
        let ctx = Context {
            package: &self.package,
            artifacts: &self.artifacts,
            target: self.target,
            work: work.path(),
            out: out.path(),
            needed: &needed,
            tools: &tools,
        };
        (channel.build)(&ctx).unwrap();
        out
    }

    /// Puts a file into the checkout.
    pub(crate) fn file(&self, path: &str, text: &str) {
        put(&self.package.root.join(path), text.as_bytes());
    }
}

fn invent(entry: &FileEntry, root: &Path, generated: &Path) {
    let path = match entry.source.strip_prefix("build:") {
        Some(rest) => generated.join(rest.replace('*', "mathesar")),
        None => root.join(entry.source.replace('*', "mathesar")),
    };
    match entry.source.as_str() {
        // An ELF program, which is linked to libc and not to libgcc_s.
        "build:bin/mathesar" => put(&path, &fs::read("/bin/true").unwrap()),
        source => put(&path, format!("made up: {source}\n").as_bytes()),
    }
}

fn put(path: &Path, bytes: &[u8]) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}

/// The checkout as git sees it, with everything committed to the index.
pub(crate) fn git_add(root: &Path) {
    for args in [&["init", "--quiet"][..], &["add", "--all"]] {
        let status = std::process::Command::new("git").arg("-C").arg(root).args(args).status().unwrap();
        assert!(status.success());
    }
}

/// What a command that has to succeed prints.
pub(crate) fn run(command: &mut std::process::Command) -> String {
    let output = command.output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8(text).unwrap();
    assert!(output.status.success(), "{command:?}: {text}");
    text
}

/// Says that a check cannot be made here, past the test harness, which would keep it from a test that passes.
pub(crate) fn not_run(what: &str, why: &str) {
    let _ = writeln!(std::io::stderr(), "not run: {what}: {why}");
}

/// Whether `program` is here; else says that `what` is not run.
pub(crate) fn has(program: &str, what: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).any(|folder| folder.join(program).is_file());
    if !found {
        not_run(what, &format!("no `{program}` on this machine"));
    }
    found
}
