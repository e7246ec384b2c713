//! Who is measured: ours, and the others on the very files that ours holds.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use serde_json::json;
use walkdir::WalkDir;
use xshell::cmd;

use super::measure::{Output, Subject};

/// A built package of ours, unpacked.
pub(super) struct Payload {
    pub tree: PathBuf,
    /// Absolute path and mode of each file, sorted.
    pub files: Vec<(String, u32)>,
}

impl Payload {
    /// By dpkg-deb for a .deb, by bsdtar for the others.
    pub(super) fn of(package: &Path, tree: &Path) -> Result<Payload> {
        fs::create_dir_all(tree).with_context(|| format!("cannot create {}", tree.display()))?;
        let is_deb = package.extension().is_some_and(|ending| ending == "deb");
        let mut command = Command::new(if is_deb { "dpkg-deb" } else { "bsdtar" });
        match is_deb {
            true => command.arg("-x").arg(package).arg(tree),
            false => command.arg("-xpf").arg(package).arg("-C").arg(tree),
        };
        let status = command.status().with_context(|| format!("cannot run {command:?}"))?;
        if !status.success() {
            bail!("cannot unpack {}: {status}", package.display());
        }
        Payload::read(tree)
    }

    fn read(tree: &Path) -> Result<Payload> {
        let mut files = Vec::new();
        for entry in WalkDir::new(tree).min_depth(1).sort_by_file_name() {
            let entry = entry.with_context(|| format!("cannot list {}", tree.display()))?;
            let relative = entry.path().strip_prefix(tree).unwrap_or(entry.path()).display().to_string();
            // .PKGINFO, .MTREE, .INSTALL: makepkg's own, not installed.
            if entry.file_type().is_file() && !relative.starts_with('.') {
                let mode = entry.metadata().context("cannot read a mode")?.permissions().mode() & 0o7777;
                files.push((format!("/{relative}"), mode));
            }
        }
        if files.is_empty() {
            bail!("{} holds no file", tree.display());
        }
        Ok(Payload { tree: tree.to_owned(), files })
    }

    pub(super) fn bytes(&self) -> u64 {
        let size = |path: &str| fs::metadata(self.tree.join(&path[1..])).map_or(0, |data| data.len());
        self.files.iter().map(|(path, _)| size(path)).sum()
    }
}

/// The command of ours: the channel alone, from artifacts that are built already.
pub(super) fn ours(format: &'static str, channel: &str, ending: &'static str, out: &Path) -> Result<Subject> {
    let out = out.join(format!("ours-{format}"));
    let program = std::env::current_exe().context("cannot tell where xtask is")?;
    let mut command = Command::new(program);
    command.args(["dist", channel, "--force", "--out"]).arg(&out);
    Ok(Subject { format, name: "ours".into(), command, output: Output::Within(out, ending) })
}

/// nfpm with one compression.
pub(super) fn nfpm(
    nfpm: &Path,
    payload: &Payload,
    format: &'static str,
    compression: &'static str,
    out: &Path,
) -> Result<Subject> {
    let config = out.join(format!("nfpm-{format}-{compression}.yaml"));
    fs::write(&config, nfpm_config(payload, compression)?)
        .with_context(|| format!("cannot write {}", config.display()))?;
    let packager = if format == "pacman" { "archlinux" } else { format };
    let file = out.join(format!("nfpm-{format}-{compression}")).join("package");
    let mut command = Command::new(nfpm);
    command.args(["package", "--packager", packager, "--config"]).arg(&config).arg("--target").arg(&file);
    Ok(Subject { format, name: format!("nfpm {compression}"), command, output: Output::File(file) })
}

/// JSON, which is YAML too.
fn nfpm_config(payload: &Payload, compression: &str) -> Result<String> {
    let contents = payload.files.iter().map(|(path, mode)| {
        let source = payload.tree.join(&path[1..]);
        json!({ "src": source, "dst": path, "file_info": { "mode": mode } })
    });
    let config = json!({
        "name": "mathesar",
        "arch": "amd64",
        "version": "1.0.0",
        "release": "1",
        "maintainer": "Nobody <nobody@example.org>",
        "description": "the same files in another's package",
        "contents": contents.collect::<Vec<_>>(),
        "deb": { "compression": compression },
        "rpm": { "compression": compression },
    });
    serde_json::to_string_pretty(&config).context("cannot write nfpm's configuration")
}

/// dpkg-deb on the unpacked package with its own control files.
pub(super) fn dpkg_deb(package: &Path, compression: &str, out: &Path) -> Result<Subject> {
    let tree = out.join("dpkg-deb-tree");
    if !tree.exists() {
        let shell = crate::shell::at(out)?;
        cmd!(shell, "dpkg-deb -R {package} {tree}")
            .quiet()
            .run()
            .with_context(|| format!("cannot unpack {}", package.display()))?;
    }
    let file = out.join(format!("dpkg-deb-{compression}")).join("package.deb");
    let mut command = Command::new("dpkg-deb");
    command.args(["--root-owner-group", &format!("-Z{compression}"), "--build"]).arg(&tree).arg(&file);
    Ok(Subject {
        format: "deb",
        name: format!("dpkg-deb -Z{compression}"),
        command,
        output: Output::File(file),
    })
}

/// rpmbuild with one payload format (`w6.xzdio`); it only copies and packs.
pub(super) fn rpmbuild(rpmbuild: &Path, payload: &Payload, kind: &str, out: &Path) -> Result<Subject> {
    let spec = out.join(format!("{kind}.spec"));
    let made = out.join(format!("rpmbuild-{kind}"));
    fs::write(&spec, spec_text(payload)).with_context(|| format!("cannot write {}", spec.display()))?;
    let mut command = Command::new(rpmbuild);
    command.arg("-bb").arg("--define").arg(format!("_topdir {}", made.display()));
    command.arg("--define").arg(format!("_binary_payload {kind}")).arg(&spec);
    Ok(Subject {
        format: "rpm",
        name: format!("rpmbuild {kind}"),
        command,
        output: Output::Within(made, ".rpm"),
    })
}

fn spec_text(payload: &Payload) -> String {
    let files: String = payload
        .files
        .iter()
        .map(|(path, mode)| format!("%attr({mode:04o}, root, root) \"{path}\"\n"))
        .collect();
    format!(
        "%define __os_install_post %{{nil}}\n%define debug_package %{{nil}}\nName: mathesar\nVersion: 1.0.0\n\
         Release: 1\nSummary: the same files in another's package\nLicense: GPL-3.0-or-later\nAutoReqProv: no\n\
         %description\nThe same files.\n%install\nmkdir -p %{{buildroot}}\ncp -a {tree}/. %{{buildroot}}/\n\
         %files\n{files}",
        tree = crate::template::sh(&payload.tree.display().to_string()),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn payload() -> (tempfile::TempDir, Payload) {
        let folder = tempfile::tempdir().unwrap();
        let tree = folder.path().join("tree");
        fs::create_dir_all(tree.join("usr/bin")).unwrap();
        fs::write(tree.join("usr/bin/mathesar"), "x".repeat(1000)).unwrap();
        fs::set_permissions(tree.join("usr/bin/mathesar"), fs::Permissions::from_mode(0o755)).unwrap();
        fs::write(tree.join(".MTREE"), "y").unwrap();
        let payload = Payload::read(&tree).unwrap();
        (folder, payload)
    }

    #[test]
    fn what_is_staged() {
        let (_folder, payload) = payload();
        assert_eq!(payload.files, [("/usr/bin/mathesar".to_owned(), 0o755)]);
        assert_eq!(payload.bytes(), 1000);
    }

    #[test]
    fn nfpm_gets_every_file_with_its_mode() {
        let (_folder, payload) = payload();
        let config: serde_json::Value = serde_json::from_str(&nfpm_config(&payload, "xz").unwrap()).unwrap();
        assert_eq!(config["contents"][0]["dst"], "/usr/bin/mathesar");
        assert_eq!(config["contents"][0]["file_info"]["mode"], 0o755);
        assert_eq!(config["deb"]["compression"], "xz");
    }

    #[test]
    fn a_spec_lists_every_file() {
        let (_folder, payload) = payload();
        assert!(spec_text(&payload).ends_with("%files\n%attr(0755, root, root) \"/usr/bin/mathesar\"\n"));
    }
}
