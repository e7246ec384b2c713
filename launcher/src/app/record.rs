//! What is in a release's folder: the tree, what it was when it was unpacked, and where it came from.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use serde_json::{Value, json};

use super::lookup::{Found, Whence};
use super::unpack::{self, Limits};
use super::{digest, files};
use crate::failure::{Exit, Failure};
use crate::progress::Progress;

pub(super) const RECORD: &str = "installed.json";
pub(super) const CONTENTS: &str = "tree.sha256";

/// Unpacks into a folder beside the store's releases, with the record of what was unpacked; says the version.
pub(super) fn fill(
    new: &Path,
    tarball: &Found,
    source: &str,
    progress: &dyn Progress,
) -> Result<String, Failure> {
    let tree = new.join("tree");
    let limits = Limits::default();
    let unpacked = unpack::unpack(&tarball.path, &tarball.sha256, &tree, &limits, progress)?;
    let version = version_of(&tree, &tarball.path)?;
    let contents = contents(&tree)?;
    let text: String = contents.iter().map(|(path, what)| format!("{what}  {path}\n")).collect();
    files::write(&new.join(CONTENTS), text.as_bytes())?;
    let record = json!({
        "version": version,
        "sha256": tarball.sha256,
        "source": source,
        "named": tarball.whence == Whence::Named,
        "contents": digest::of_bytes(text.as_bytes()),
        "files": unpacked.files,
        "bytes": unpacked.bytes,
    });
    files::write(&new.join(RECORD), format!("{record:#}\n").as_bytes())?;
    Ok(version)
}

pub(super) fn record(release: &Path) -> Result<Value, Failure> {
    let path = release.join(RECORD);
    let text = fs::read(&path).map_err(|cause| Failure::io("read", &path, cause))?;
    serde_json::from_slice(&text)
        .map_err(|cause| Failure::new(format!("cannot understand {}", path.display())).cause(cause))
}

pub(crate) fn made_here(path: &str) -> bool {
    path.starts_with("static/") || path.split('/').any(|part| part == "__pycache__")
}

/// As it stands in the list of contents.
pub(super) fn name_in(tree: &Path, path: &Path) -> String {
    path.strip_prefix(tree).unwrap_or(path).to_string_lossy().escape_default().to_string()
}

/// Every file and link with what it holds.
pub(super) fn contents(tree: &Path) -> Result<BTreeMap<String, String>, Failure> {
    let mut found = BTreeMap::new();
    let mut failed = None;
    files::walk(tree, &mut |path, metadata| {
        let name = name_in(tree, path);
        if metadata.is_dir() || made_here(&name) {
            return;
        }
        let what = if metadata.is_symlink() {
            fs::read_link(path)
                .map(|target| format!("link:{}", digest::of_bytes(target.as_os_str().as_encoded_bytes())))
                .map_err(|cause| Failure::io("read", path, cause))
        } else {
            let kind = if metadata.permissions().mode() & 0o100 != 0 { "program" } else { "file" };
            digest::of_file(path).map(|(digest, _)| format!("{kind}:{digest}"))
        };
        match what {
            Ok(what) => drop(found.insert(name, what)),
            Err(failure) => drop(failed.get_or_insert(failure)),
        }
    })
    .map_err(|cause| Failure::io("read", tree, cause))?;
    failed.map_or(Ok(found), Err)
}

/// Where a release says which one it is.
const NAMES_IT: &str = "mathesar/__init__.py";

/// `__version__` of what was unpacked; that it can be served at all is seen here too.
fn version_of(tree: &Path, tarball: &Path) -> Result<String, Failure> {
    let wrong = |what: String| {
        Failure::new(format!("{} is no release of Mathesar: {what}", tarball.display())).exit(Exit::Refused)
    };
    for needed in ["manage.py", "requirements.txt", NAMES_IT] {
        if !tree.join(needed).is_file() {
            return Err(wrong(format!("it has no `{needed}`")));
        }
    }
    let path = tree.join(NAMES_IT);
    let text = fs::read_to_string(&path).map_err(|cause| Failure::io("read", &path, cause))?;
    version_in(&text).ok_or_else(|| wrong("`mathesar/__init__.py` gives no `__version__`".to_owned()))
}

/// What a tarball says that it is, without its being unpacked.
pub fn version_of_tarball(tarball: &Path) -> Result<String, Failure> {
    let text = unpack::peek(tarball, NAMES_IT)?;
    text.and_then(|text| version_in(&text)).ok_or_else(|| {
        Failure::new(format!("{} is no release of Mathesar: it gives no version", tarball.display()))
            .exit(Exit::Refused)
            .help("a release is a file like `mathesar-0.11.0.tar.gz`, from Mathesar's releases page")
    })
}

fn version_in(text: &str) -> Option<String> {
    let version = text.lines().find_map(|line| {
        let value = line.strip_prefix("__version__")?.trim_start().strip_prefix('=')?;
        Some(value.trim().trim_matches(['"', '\'']).to_owned())
    });
    let usual = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '+' | '-' | '_');
    version
        .filter(|version| version.starts_with(|c: char| c.is_ascii_digit()) && version.len() < 40)
        .filter(|version| version.chars().all(usual))
}
