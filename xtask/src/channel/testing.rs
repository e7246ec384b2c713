//! What the tests of the channels build from: the real manifest and packaging files around a small program.

use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use super::{Channel, Context};
use crate::artifact::{Artifacts, elf, lintian_overrides};
use crate::manifest::{Manifest, Package, Target};
use crate::tools::Tools;

/// Every character that some format treats in its own way.
pub(super) const NASTY: &str = r##"it's "quoted" $HOME \n #{y}: %{name} %% 100% `id` <grün>"##;

pub(super) const EPOCH: u64 = 1_700_000_000;

pub(super) struct Fixture {
    pub folder: TempDir,
    pub package: Package,
    pub artifacts: Artifacts,
    pub tools: Tools,
    pub target: Target,
}

/// The checkout's root.
pub(crate) fn checkout() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// The manifest of `testdata`: what `pin` and `bump` change must not change what is expected here.
pub(crate) fn package(root: &Path) -> Package {
    let text = include_str!("../testdata/mathesar.toml").to_owned();
    let manifest: Manifest = toml::from_str(&text).unwrap();
    Package {
        root: root.to_owned(),
        manifest,
        manifest_text: text,
        changelog: Vec::new(),
        lock: None,
        epoch: EPOCH,
    }
}

fn write(path: &Path, content: &[u8]) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, content).unwrap();
}

impl Fixture {
    pub fn new() -> Fixture {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("checkout");
        let generated = folder.path().join("generated");
        let package = package(&root);
        for (name, content) in [
            ("man/mathesar.1", MAN.replace("SECTION", "1")),
            ("man/mathesar.conf.5", MAN.replace("SECTION", "5")),
            ("completions/mathesar.bash", "complete -W 'start stop' mathesar\n".into()),
            ("completions/_mathesar", "#compdef mathesar\n".into()),
            ("completions/mathesar.fish", "complete -c mathesar -f\n".into()),
            ("share/release.toml", "version = \"0.12.0\"\n".into()),
            (
                "share/mathesar.desktop",
                "[Desktop Entry]\nType=Application\nName=Mathesar\nIcon=mathesar\nKeywords=database;\nExec=mathesar open\n".into(),
            ),
            ("share/org.example.Mathesar.metainfo.xml", "<component/>\n".into()),
            ("share/lintian-overrides", lintian_overrides("mathesar", true).unwrap()),
            ("doc/copyright", COPYRIGHT.into()),
            ("doc/changelog", CHANGELOG.into()),
            ("doc/THIRD-PARTY.txt", "None.\n".into()),
        ] {
            write(&generated.join(name), content.as_bytes());
        }
        write(&generated.join("bin/mathesar"), &std::fs::read("/bin/true").unwrap());
        for name in ["packaging/deb", "packaging/rpm", "packaging/files"] {
            for entry in std::fs::read_dir(checkout().join(name)).unwrap() {
                let entry = entry.unwrap();
                write(&root.join(name).join(entry.file_name()), &std::fs::read(entry.path()).unwrap());
            }
        }
        // Not yet what they are to be, where others have not written them.
        for (name, content) in [
            ("packaging/files/mathesar.conf", "# settings\n"),
            ("packaging/files/mathesar.svg", "<svg xmlns='http://www.w3.org/2000/svg'/>\n"),
            ("LICENSE", "the licence\n"),
        ] {
            write(&root.join(name), content.as_bytes());
        }
        let glibc = elf::inspect(&generated.join("bin/mathesar")).unwrap().glibc;
        Fixture {
            artifacts: Artifacts { generated, glibc, digest: String::new() },
            tools: tools(),
            target: *Target::ALL.iter().find(|target| target.cpu() == std::env::consts::ARCH).unwrap(),
            package,
            folder,
        }
    }

    /// Builds into a folder of its own and gives the one file that is there.
    pub fn build(&self, channel: &Channel, name: &str) -> anyhow::Result<PathBuf> {
        let work = self.folder.path().join(name).join("work");
        let out = self.folder.path().join(name).join("out");
        std::fs::create_dir_all(&work).unwrap();
        std::fs::create_dir_all(&out).unwrap();
        (channel.build)(&Context {
            package: &self.package,
            artifacts: &self.artifacts,
            target: self.target,
            work: &work,
            out: &out,
            needed: &[],
            tools: &self.tools,
        })?;
        let mut files: Vec<_> = std::fs::read_dir(&out).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert_eq!(files.len(), 1, "{files:?}");
        Ok(files.remove(0))
    }

    /// Gives every source the same time and other permissions.
    pub fn touch(&self, seconds: u64, mode: u32) {
        use std::os::unix::fs::PermissionsExt as _;
        let time = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(seconds);
        for folder in [&self.package.root, &self.artifacts.generated] {
            for entry in walkdir::WalkDir::new(folder) {
                let entry = entry.unwrap();
                if entry.file_type().is_file() {
                    std::fs::File::options()
                        .append(true)
                        .open(entry.path())
                        .unwrap()
                        .set_modified(time)
                        .unwrap();
                    std::fs::set_permissions(entry.path(), std::fs::Permissions::from_mode(mode)).unwrap();
                }
            }
        }
    }
}

/// Where this checkout's tools are, as `cargo xtask` finds them.
fn tools() -> Tools {
    let folder =
        std::env::var_os("XTASK_TOOLS").map_or_else(|| checkout().join("target/tools"), PathBuf::from);
    Tools { folder }
}

/// False, and said so, where the machine lacks a program that a test needs.
pub(super) fn has(program: &str) -> bool {
    let found = std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default())
        .any(|folder| folder.join(program).is_file());
    if !found {
        eprintln!("not run: `{program}` is not installed");
    }
    found
}

/// What a program prints; it has to succeed.
pub(super) fn read(command: &mut Command) -> String {
    let output = command.env("LC_ALL", "C.UTF-8").env("TZ", "UTC").output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

const MAN: &str = r#".TH mathesar SECTION "2023-11-14" "mathesar 0.12.0"
.SH NAME
mathesar \- a program
.SH SYNOPSIS
\fBmathesar\fR
.SH DESCRIPTION
Text.
"#;

const COPYRIGHT: &str = "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/
Upstream-Name: mathesar

Files: *
Copyright: 2026 somebody
License: GPL-3+
 On Debian systems, the full text is in /usr/share/common-licenses/GPL-3.
";

const CHANGELOG: &str = "mathesar (0.12.0-1) unstable; urgency=medium

  * First packages.

 -- Mathesar Everywhere <mathesar-everywhere@users.noreply.github.com>  Tue, 14 Nov 2023 22:13:20 +0000
";
