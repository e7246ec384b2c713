//! What the checkers look at: the repository, dist/, and the tree that the packages install.

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use tempfile::TempDir;
use walkdir::WalkDir;
use xshell::cmd;

use crate::tools::{Family, Tools};

pub(crate) struct Scene {
    pub root: PathBuf,
    pub dist: PathBuf,
    /// The tree that the packages install; empty where dist/ has nothing to unpack.
    pub payload: PathBuf,
    /// For whatever a checker needs to write; every user may look in.
    pub work: PathBuf,
    pub tools: Tools,
    pub family: Family,
    pub is_root: bool,
    _folder: TempDir,
}

impl Scene {
    pub(crate) fn new(root: &Path, dist: &Path, tools: Tools) -> Result<Scene> {
        let folder = TempDir::with_prefix("mathesar-lint-").context("cannot create a temporary folder")?;
        let work = folder.path().to_owned();
        // makepkg refuses root, so the user `nobody` has to come in here.
        fs::set_permissions(&work, fs::Permissions::from_mode(0o755))
            .with_context(|| format!("cannot open {} to others", work.display()))?;
        let payload = work.join("payload");
        unpack(dist, &payload)?;
        Ok(Scene {
            root: root.to_owned(),
            dist: dist.to_owned(),
            payload,
            work,
            tools,
            family: Family::here(),
            is_root: rustix::process::geteuid().is_root(),
            _folder: folder,
        })
    }

    pub(crate) fn dist(&self, folder: &str, prefix: &str, suffix: &str) -> Vec<PathBuf> {
        matching(&self.dist.join(folder), prefix, suffix)
    }

    pub(crate) fn repository(&self, folder: &str, prefix: &str, suffix: &str) -> Vec<PathBuf> {
        matching(&self.root.join(folder), prefix, suffix)
    }

    pub(crate) fn payload(&self, folder: &str, prefix: &str, suffix: &str) -> Vec<PathBuf> {
        matching(&self.payload.join(folder), prefix, suffix)
    }

    /// A file as reports name it.
    pub(crate) fn shown(&self, file: &Path) -> String {
        let inside = file.strip_prefix(&self.payload).map(|rest| Path::new("/").join(rest));
        let relative = file.strip_prefix(&self.root).map(Path::to_owned);
        inside.or(relative).unwrap_or_else(|_| file.to_owned()).display().to_string()
    }
}

/// The files of one folder whose name begins and ends so, sorted.
fn matching(folder: &Path, prefix: &str, suffix: &str) -> Vec<PathBuf> {
    let entries = WalkDir::new(folder).min_depth(1).max_depth(1).sort_by_file_name().into_iter().flatten();
    let fits = |name: &str| {
        name.len() >= prefix.len() + suffix.len() && name.starts_with(prefix) && name.ends_with(suffix)
    };
    entries
        .filter(|entry| entry.file_type().is_file() && fits(&entry.file_name().to_string_lossy()))
        .map(walkdir::DirEntry::into_path)
        .collect()
}

/// The binary tarball, which needs no program to read; else the .deb.
fn unpack(dist: &Path, payload: &Path) -> Result<()> {
    fs::create_dir_all(payload).with_context(|| format!("cannot create {}", payload.display()))?;
    if let Some(tarball) = matching(dist, "", "-linux-gnu.tar.gz").first() {
        return untar(tarball, payload).with_context(|| format!("cannot unpack {}", tarball.display()));
    }
    let Some(deb) = matching(dist, "", ".deb").into_iter().next() else { return Ok(()) };
    if crate::tools::on_path("dpkg-deb").is_none() {
        return Ok(());
    }
    let shell = crate::shell::at(payload)?;
    cmd!(shell, "dpkg-deb -x {deb} {payload}")
        .quiet()
        .run()
        .with_context(|| format!("cannot unpack {}", deb.display()))
}

/// Without the top folder.
fn untar(tarball: &Path, payload: &Path) -> Result<()> {
    let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(File::open(tarball)?));
    for entry in archive.entries()? {
        let mut entry = entry?;
        let path: PathBuf = entry.path()?.components().skip(1).collect();
        let plain = path.components().all(|part| matches!(part, std::path::Component::Normal(_)));
        if !plain || !entry.header().entry_type().is_file() {
            continue;
        }
        let to = payload.join(&path);
        if let Some(parent) = to.parent() {
            fs::create_dir_all(parent)?;
        }
        entry.unpack(&to)?;
    }
    Ok(())
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A repository and a dist/ of these files, and a scene over both.
    pub(crate) fn scene(files: &[(&str, &str)]) -> (TempDir, Scene) {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let tools = Tools { folder: root.path().join("tools") };
        let scene = Scene::new(root.path(), &root.path().join("dist"), tools).unwrap();
        (root, scene)
    }

    /// A binary tarball of these files.
    pub(crate) fn tarball(path: &Path, files: &[(&str, &str)]) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let gzip = flate2::write::GzEncoder::new(File::create(path).unwrap(), flate2::Compression::fast());
        let mut builder = tar::Builder::new(gzip);
        for (name, text) in files {
            let mut header = tar::Header::new_gnu();
            header.set_size(text.len() as u64);
            header.set_mode(if name.starts_with("usr/bin/") { 0o755 } else { 0o644 });
            builder.append_data(&mut header, format!("top/{name}"), text.as_bytes()).unwrap();
        }
        builder.into_inner().unwrap().finish().unwrap();
    }

    #[test]
    fn the_payload_comes_out_of_the_tarball() {
        let root = tempfile::tempdir().unwrap();
        let dist = root.path().join("dist");
        tarball(&dist.join("mathesar-1-1-x86_64-linux-gnu.tar.gz"), &[("usr/share/man/man1/a.1", "x")]);
        let scene = Scene::new(root.path(), &dist, Tools { folder: root.path().to_owned() }).unwrap();
        let found = scene.payload("usr/share/man/man1", "", ".1");
        assert_eq!(found.len(), 1);
        assert_eq!(scene.shown(&found[0]), "/usr/share/man/man1/a.1");
        assert_eq!(scene.dist("", "mathesar-", ".tar.gz").len(), 1);
    }

    #[test]
    fn an_empty_dist_has_no_payload() {
        let (_root, scene) = scene(&[("dist/SHA256SUMS", "")]);
        assert!(scene.payload("usr/share", "", "").is_empty());
    }
}
