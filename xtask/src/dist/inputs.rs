//! The digest of everything that a channel is made from. The same in every checkout of the same state.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};

use crate::artifact::Artifacts;
use crate::channel;
use crate::digest;
use crate::manifest::{Package, Target};
use crate::tools::Tools;
use crate::workspace::Workspace;

/// By channel. A channel's digest holds those of the channels that it needs.
pub(crate) fn digests(
    workspace: &Workspace,
    package: &Package,
    artifacts: &Artifacts,
    target: Target,
    tools: &Tools,
) -> Result<BTreeMap<&'static str, String>> {
    let common = common(workspace, package, artifacts, target)?;
    let mut digests: BTreeMap<&'static str, String> = BTreeMap::new();
    for channel in channel::ALL {
        let mut parts = digest::Parts::default();
        parts.add("channel", channel.name).add("common", &common);
        for needed in channel.needs {
            let digest =
                digests.get(needed).with_context(|| format!("{} is built before {needed}", channel.name))?;
            parts.add(needed, digest);
        }
        for path in (channel.reads)(package) {
            parts.add_path(&workspace.root, &path)?;
        }
        // A channel that cannot be built on this machine has inputs all the same: its digest tells an old file from a present one.
        parts.add("available", if (channel.unavailable)(tools).is_some() { "no" } else { "yes" });
        digests.insert(channel.name, parts.finish());
    }
    Ok(digests)
}

fn common(workspace: &Workspace, package: &Package, artifacts: &Artifacts, target: Target) -> Result<String> {
    let mut parts = digest::Parts::default();
    parts.add("target", target.triple()).add("artifacts", &artifacts.digest).add("glibc", &artifacts.glibc);
    parts.add("manifest", &package.manifest_text).add("epoch", &package.epoch.to_string());
    parts.add("lock", package.lock.as_deref().unwrap_or("none"));
    // Templates are compiled into xtask from the channels' own folders, which `reads` names.
    for path in [
        "xtask/src/archive.rs",
        "xtask/src/artifact",
        "xtask/src/channel",
        "xtask/src/files.rs",
        "xtask/src/manifest",
        "xtask/src/template.rs",
        "Cargo.lock",
        package.manifest.package.changelog.as_str(),
    ] {
        parts.add_path(&workspace.root, path)?;
    }
    for entry in package.manifest.file.iter().filter(|entry| !entry.source.starts_with("build:")) {
        let folder = match entry.source.rsplit_once('/') {
            Some((folder, name)) if name.contains('*') => folder,
            _ => &entry.source,
        };
        parts.add_path(&workspace.root, folder)?;
    }
    Ok(parts.finish())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::channel::testing;

    struct Scene {
        workspace: Workspace,
        package: Package,
        artifacts: Artifacts,
        tools: Tools,
    }

    /// What a channel is made from is in its digest: else an old package would be taken for a new one.
    #[test]
    fn inputs_tell_what_changed() {
        let folder = tempfile::tempdir().unwrap();
        let (root, target) = (folder.path().join("root"), folder.path().join("target"));
        let mut scene = Scene {
            package: testing::package(&root),
            tools: Tools { folder: target.join("tools") },
            artifacts: Artifacts { generated: target.clone(), glibc: "2.34".into(), digest: String::new() },
            workspace: Workspace { root, target },
        };
        let digests = |scene: &Scene| {
            let Scene { workspace, package, artifacts, tools } = scene;
            digests(workspace, package, artifacts, Target::ALL[0], tools).unwrap()
        };
        let mut before = digests(&scene);
        assert_eq!(before, digests(&scene));
        let mut changed = |scene: &Scene| {
            let after = digests(scene);
            let names: Vec<&str> = after
                .iter()
                .filter(|(name, digest)| before[*name] != **digest)
                .map(|(name, _)| *name)
                .collect();
            before = after;
            names.join(" ")
        };
        let all = "aur bundle deb flatpak homebrew pacman rpm sbom tarball";
        scene.package.lock = Some("idna==3.10".into());
        assert_eq!(changed(&scene), all, "the lock");
        scene.package.epoch += 1;
        assert_eq!(changed(&scene), all, "the time");
        scene.package.manifest_text.push('#');
        assert_eq!(changed(&scene), all, "the manifest");
        scene.artifacts.digest.push('1');
        assert_eq!(changed(&scene), all, "the launcher");
        scene.artifacts.glibc = "2.35".into();
        assert_eq!(changed(&scene), all, "glibc");
        let write = |path: &str| {
            let path = scene.workspace.root.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "x").unwrap();
        };
        for path in ["packaging/files/mathesar.conf", "CHANGELOG.md", "Cargo.lock", "xtask/src/archive.rs"] {
            write(path);
            assert_eq!(changed(&scene), all, "{path}");
        }
        write("README.md");
        let names = changed(&scene);
        assert!(
            ["tarball", "aur", "pacman"].iter().all(|name| names.contains(name)),
            "and who needs it: {names}"
        );
        assert!(!names.contains("deb"), "{names}");
        write("packaging/deb/postinst");
        assert!(changed(&scene).split(' ').any(|name| name == "deb"));
        write("packaging/rpm/post.sh");
        assert!(changed(&scene).split(' ').any(|name| name == "rpm"));
    }
}
