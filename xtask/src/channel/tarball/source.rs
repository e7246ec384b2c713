//! The source tarball: what git tracks, as it stands in the working tree, and what takes xtask to generate.

use std::ffi::OsStr;
use std::io::ErrorKind;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use walkdir::WalkDir;

use crate::archive::{Content, Tree};
use crate::artifact::Artifacts;
use crate::manifest::Package;

/// Folders of `generated` that a build from the tarball installs as they are; `bin` is what it builds itself.
const GENERATED: [&str; 4] = ["man", "completions", "share", "doc"];

const LOCK: &str = "packaging/app.lock";

/// A file of the checkout, by its path below the root.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Tracked {
    pub path: PathBuf,
    pub executable: bool,
}

/// The source tarball's contents.
pub(super) fn tree(package: &Package, artifacts: &Artifacts) -> Result<Tree> {
    let mut tree = Tree::default();
    for file in tracked(&package.root)?.iter().filter(|file| file.path != Path::new(LOCK)) {
        add(&mut tree, &package.root, file)?;
    }
    let release = artifacts.generated.join("share/release.toml");
    tree.file("packaging/mathesar.toml", 0o644, package.manifest_text.clone())?;
    // The checkout's may be of another release than the one of the manifest that was given.
    if let Some(lock) = &package.lock {
        tree.file(LOCK, 0o644, lock.clone())?;
    }
    tree.file("launcher/release.toml", 0o644, Content::From(release))?;
    for folder in GENERATED {
        for item in WalkDir::new(artifacts.generated.join(folder)) {
            let item = item.context("cannot list what has been generated")?;
            if item.file_type().is_file() {
                let below =
                    item.path().strip_prefix(&artifacts.generated).context("a path left its folder")?;
                let path = Path::new("generated").join(below);
                tree.file(path, 0o644, Content::From(item.into_path()))?;
            }
        }
    }
    Ok(tree)
}

fn add(tree: &mut Tree, root: &Path, file: &Tracked) -> Result<()> {
    let source = root.join(&file.path);
    let kind = match source.symlink_metadata() {
        Ok(metadata) => metadata.file_type(),
        // Removed from the working tree and not committed yet: the tarball is of the working tree.
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error).with_context(|| format!("cannot read {}", source.display())),
    };
    if kind.is_symlink() {
        let target =
            source.read_link().with_context(|| format!("cannot read the link {}", source.display()))?;
        tree.link(&file.path, target)
    } else if kind.is_file() {
        tree.file(&file.path, if file.executable { 0o755 } else { 0o644 }, Content::From(source))
    } else {
        bail!("cannot put {} into the source tarball: neither file nor link", source.display())
    }
}

/// What belongs to the checkout: what git tracks, or where this is no git checkout (an unpacked source tarball) all that is there.
pub(super) fn tracked(root: &Path) -> Result<Vec<Tracked>> {
    if root.join(".git").exists() { by_git(root) } else { by_walking(root) }
}

fn by_git(root: &Path) -> Result<Vec<Tracked>> {
    let mut git = Command::new("git");
    // A git hook sets these, and they would name another repository.
    for variable in ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX"] {
        git.env_remove(variable);
    }
    let output = git
        .arg("-C")
        .arg(root)
        .args(["ls-files", "--stage", "-z"])
        .output()
        .context("cannot run git, which lists the files of the source tarball")?;
    if !output.status.success() {
        bail!(
            "`git ls-files` failed in {}: {}",
            root.display(),
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    parse_stage(&output.stdout)
}

/// Reads `<mode> <object> <stage>\t<path>\0` records. The permissions are git's, as a checkout's depend on the umask.
fn parse_stage(listing: &[u8]) -> Result<Vec<Tracked>> {
    let mut files: Vec<Tracked> = Vec::new();
    for record in listing.split(|byte| *byte == 0).filter(|record| !record.is_empty()) {
        let read = || {
            let tab = record.iter().position(|byte| *byte == b'\t')?;
            let mode = record[..tab].split(|byte| *byte == b' ').next()?;
            Some((mode, PathBuf::from(OsStr::from_bytes(&record[tab + 1..]))))
        };
        let Some((mode, path)) = read() else {
            bail!("cannot read what git lists: {}", String::from_utf8_lossy(record));
        };
        if mode == b"160000" {
            bail!("cannot put the submodule {} into the source tarball", path.display());
        }
        // A path in conflict is listed once a stage.
        if files.last().is_none_or(|last| last.path != path) {
            files.push(Tracked { path, executable: mode == b"100755" });
        }
    }
    Ok(files)
}

fn by_walking(root: &Path) -> Result<Vec<Tracked>> {
    let mut files = Vec::new();
    let ours = |item: &walkdir::DirEntry| {
        item.depth() != 1 || !["target", "dist", ".git"].iter().any(|name| item.file_name() == *name)
    };
    for item in WalkDir::new(root).sort_by_file_name().into_iter().filter_entry(ours) {
        let item = item.with_context(|| format!("cannot list {}", root.display()))?;
        if item.file_type().is_dir() {
            continue;
        }
        let metadata = item.metadata().with_context(|| format!("cannot read {}", item.path().display()))?;
        let path = item.path().strip_prefix(root).context("a path left its folder")?.to_owned();
        files.push(Tracked { path, executable: metadata.permissions().mode() & 0o100 != 0 });
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_are_git_s() {
        let listing = b"100644 aa 0\ta b\n.txt\x00100755 bb 0\trun\x00120000 cc 0\tlink\x00";
        let files = parse_stage(listing).unwrap();
        let summary: Vec<_> =
            files.iter().map(|file| (file.path.to_str().unwrap(), file.executable)).collect();
        assert_eq!(summary, [("a b\n.txt", false), ("run", true), ("link", false)]);
    }

    #[test]
    fn a_path_in_conflict_comes_once() {
        let listing = b"100644 aa 1\tx\x00100644 bb 2\tx\x00100644 cc 3\tx\x00";
        assert_eq!(parse_stage(listing).unwrap().len(), 1);
    }

    #[test]
    fn a_submodule_is_refused() {
        let error = parse_stage(b"160000 aa 0\tvendor/x\x00").unwrap_err();
        assert_eq!(error.to_string(), "cannot put the submodule vendor/x into the source tarball");
        assert!(parse_stage(b"nonsense\x00").is_err());
    }
}
