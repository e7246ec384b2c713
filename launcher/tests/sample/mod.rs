//! The sample application's releases and its Python environment, for every test that needs something to install.
//!
//! A test crate takes it by `#[path = "../sample/mod.rs"] mod sample;`.

// Each test crate uses what it needs of this.
#![allow(dead_code)]

pub mod environment;

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use flate2::{Compression, GzBuilder};
use sha2::{Digest as _, Sha256};

/// The versions of Python and PostgreSQL that the application is for.
const RANGES: &str = r#"
[python]
min = "3.10"
max = "3.14"
prefer = ["3.12", "3.11"]

[postgresql]
min = 14
max = 18
"#;

/// A release as its makers would have published it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SampleRelease {
    pub version: String,
    pub tarball: PathBuf,
    /// Lower-case hexadecimal.
    pub sha256: String,
    pub size: u64,
    /// A whole release.toml, with a file:// address.
    pub release_toml: String,
}

impl SampleRelease {
    /// release.toml for a release that is fetched from elsewhere.
    pub fn release_toml_at(&self, url: &str) -> String {
        let SampleRelease { version, sha256, size, .. } = self;
        format!("version = \"{version}\"\nurl = \"{url}\"\nsha256 = \"{sha256}\"\nsize = {size}\n{RANGES}")
    }

    /// A manifest for `cargo xtask dist --manifest`: packaging/mathesar.toml around this release, with a changelog of its
    /// own. The manifest allows https:// alone, so the launcher gets the tarball from `share/mathesar/app` or `--from`.
    pub fn manifest(&self) -> PathBuf {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let text = fs::read_to_string(root.join("packaging/mathesar.toml")).unwrap();
        let mut document: toml_edit::DocumentMut = text.parse().unwrap();
        // A manifest names files below the checkout only, and cargo's target folder may be elsewhere.
        let changelog = format!("target/sample/{}/CHANGELOG.md", self.version);
        fs::create_dir_all(root.join(&changelog).parent().unwrap()).unwrap();
        let entry = format!("# Changelog\n\n## {}-1 (2026-11-23)\n- The sample application.\n", self.version);
        write(&root.join(&changelog), entry.as_bytes());

        document["package"]["version"] = toml_edit::value(&self.version);
        document["package"]["revision"] = toml_edit::value(1);
        document["package"]["changelog"] = toml_edit::value(changelog);
        let app = &mut document["app"];
        app["version"] = toml_edit::value(&self.version);
        app["url"] = toml_edit::value(format!("https://localhost/{}/mathesar.tar.gz", self.version));
        app["sha256"] = toml_edit::value(&self.sha256);
        let path = self.tarball.with_file_name("mathesar.toml");
        write(&path, document.to_string().as_bytes());
        path
    }
}

/// Makes the tarball of a version: `1.0.0`, `2.0.0` (migrates), or `3.0.0` in a variant: `fails` (a migration, half-way),
/// `hangs` (a migration, for ever) or `dead` (migrates, boots, and answers nobody). The same bytes every time.
pub fn release(version: &str, variant: Option<&str>) -> SampleRelease {
    let overlays: Vec<String> = match (version, variant) {
        ("1.0.0", None) => vec!["base".into()],
        ("2.0.0", None) => vec!["base".into(), "v2".into()],
        ("3.0.0", Some(variant @ ("fails" | "hangs" | "dead"))) => {
            vec!["base".into(), "v2".into(), format!("v3-{variant}")]
        }
        _ => panic!("the sample application has no {version} {variant:?}"),
    };
    let folders: Vec<PathBuf> = overlays.iter().map(|overlay| sources().join(overlay)).collect();
    let name = variant.map_or(version.to_owned(), |variant| format!("{version}-{variant}"));
    pack(version, &name, &folders)
}

/// Version 1.0.0 with one more line in its requirements.
pub fn release_requiring(line: &str) -> SampleRelease {
    let overlay = tempfile::tempdir().unwrap();
    let base = sources().join("base");
    let text = fs::read_to_string(base.join("requirements.txt")).unwrap();
    fs::write(overlay.path().join("requirements.txt"), format!("{text}{line}\n")).unwrap();
    pack("1.0.0", "1.0.0-requiring", &[base, overlay.path().to_owned()])
}

fn pack(version: &str, name: &str, folders: &[PathBuf]) -> SampleRelease {
    let bytes = tarball(folders);
    let sha256: String = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    // Named by its content: tests of another build of the same target folder may be reading theirs.
    let folder = work_folder().join(format!("{name}-{}", &sha256[..12]));
    fs::create_dir_all(&folder).unwrap();
    let path = folder.join("mathesar.tar.gz");
    write(&path, &bytes);
    let mut release = SampleRelease {
        version: version.to_owned(),
        sha256,
        size: bytes.len() as u64,
        release_toml: String::new(),
        tarball: path,
    };
    release.release_toml = release.release_toml_at(&format!("file://{}", release.tarball.display()));
    release
}

/// Whole or not at all, and only when it differs: other tests may be reading it.
fn write(path: &Path, bytes: &[u8]) {
    if fs::read(path).ok().as_deref() == Some(bytes) {
        return;
    }
    let mut file = tempfile::NamedTempFile::new_in(path.parent().unwrap()).unwrap();
    file.write_all(bytes).unwrap();
    file.as_file().set_permissions(fs::Permissions::from_mode(0o644)).unwrap();
    file.persist(path).unwrap();
}

/// The folder that the application is written in.
pub fn sources() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sample-app")
}

/// Shared by all tests of this target folder, and kept.
pub fn work_folder() -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("sample");
    fs::create_dir_all(&folder).unwrap();
    folder
}

/// A flat .tar.gz of these folders, later ones over earlier ones.
fn tarball(folders: &[PathBuf]) -> Vec<u8> {
    let mut entries = std::collections::BTreeMap::new();
    for folder in folders {
        collect(folder, folder, &mut entries);
    }
    let gzip = GzBuilder::new().write(Vec::new(), Compression::default());
    let mut builder = tar::Builder::new(gzip);
    for (name, source) in &entries {
        let mut header = tar::Header::new_ustar();
        // No clock, no owner and no umask of the machine: one source makes one digest.
        header.set_mtime(1_000_000_000);
        if source.is_dir() {
            header.set_entry_type(tar::EntryType::Directory);
            header.set_mode(0o755);
            header.set_size(0);
            builder.append_data(&mut header, format!("{name}/"), std::io::empty()).unwrap();
        } else {
            let content = fs::read(source).unwrap();
            let executable = fs::metadata(source).unwrap().permissions().mode() & 0o100 != 0;
            header.set_mode(if executable { 0o755 } else { 0o644 });
            header.set_size(content.len() as u64);
            builder.append_data(&mut header, name, &content[..]).unwrap();
        }
    }
    builder.into_inner().unwrap().finish().unwrap()
}

fn collect(root: &Path, folder: &Path, entries: &mut std::collections::BTreeMap<String, PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
        // Somebody has run Python in the sources.
        if name.ends_with("__pycache__") || name.ends_with(".pyc") {
            continue;
        }
        if path.is_dir() {
            collect(root, &path, entries);
        }
        entries.insert(name, path);
    }
}
