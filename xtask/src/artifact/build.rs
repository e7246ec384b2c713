//! Builds the launcher for a target and generates what goes with it, unless nothing has changed since.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use xshell::cmd;

use super::{Artifacts, elf, pages, release_toml, texts, third_party};
use crate::digest;
use crate::files::{remove, replace_file, write_new};
use crate::manifest::{Package, Target};
use crate::workspace::Workspace;
use crate::{shell, ui};

/// Bring `target/xtask/<triple>/generated` up to date.
pub(crate) fn build(workspace: &Workspace, package: &Package, target: Target) -> Result<Artifacts> {
    let base = workspace.target.join("xtask").join(target.triple());
    let generated = base.join("generated");
    let stamp = base.join("generated.stamp");
    let inputs = inputs(workspace, package, target)?;
    if let Some(artifacts) = known(&generated, &stamp, &inputs) {
        return Ok(artifacts);
    }
    ui::verb("Building", format_args!("the launcher for {}", target.triple()));
    let binary = compile(workspace, target)?;
    let elf = elf::inspect(&binary)?;
    refuse_newer_glibc(&elf.glibc, &package.manifest.package.glibc)?;

    // Made beside and renamed, so that a killed run never leaves a folder that looks whole.
    let fresh = base.join("generated.new");
    remove(&fresh)?;
    write_all(workspace, package, target, &binary, &fresh)?;
    let digest = tree_digest(&fresh)?;
    remove(&stamp)?;
    remove(&generated)?;
    fs::rename(&fresh, &generated).with_context(|| format!("cannot rename {}", fresh.display()))?;
    replace_file(&stamp, &format!("{inputs}\n{digest}\n{}\n", elf.glibc))?;
    Ok(Artifacts { generated, glibc: elf.glibc, digest })
}

/// What an earlier run made of the same inputs, if it is still as it was.
fn known(generated: &Path, stamp: &Path, inputs: &str) -> Option<Artifacts> {
    let text = fs::read_to_string(stamp).ok()?;
    let mut lines = text.lines();
    let (old, digest, glibc) = (lines.next()?, lines.next()?, lines.next()?);
    if old != inputs || tree_digest(generated).ok()? != digest {
        return None;
    }
    Some(Artifacts { generated: generated.to_owned(), glibc: glibc.to_owned(), digest: digest.to_owned() })
}

fn tree_digest(folder: &Path) -> Result<String> {
    let mut parts = digest::Parts::default();
    parts.add_path(folder, ".")?;
    Ok(parts.finish())
}

/// Digest of all that the artifacts are made from.
fn inputs(workspace: &Workspace, package: &Package, target: Target) -> Result<String> {
    let mut parts = digest::Parts::default();
    parts.add("target", target.triple()).add("compiler", &compiler(workspace)?);
    parts.add("manifest", &package.manifest_text).add("epoch", &package.epoch.to_string());
    for path in [
        "Cargo.toml",
        "Cargo.lock",
        "rust-toolchain.toml",
        "launcher",
        "xtask/src/artifact",
        "xtask/src/template.rs",
        "packaging/templates",
        package.manifest.package.changelog.as_str(),
    ] {
        parts.add_path(&workspace.root, path)?;
    }
    Ok(parts.finish())
}

/// The compiler's own words on its version; a wrapper or another toolchain shows here.
fn compiler(workspace: &Workspace) -> Result<String> {
    let shell = shell::at(&workspace.root)?;
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    cmd!(shell, "{rustc} -vV").quiet().read().context("cannot ask rustc for its version")
}

fn compile(workspace: &Workspace, target: Target) -> Result<PathBuf> {
    let shell = shell::at(&workspace.root)?;
    let (cargo, triple) = (shell::cargo(), target.triple());
    let profile = profile_options(&shell.read_file("Cargo.toml")?)?;
    let mut build =
        cmd!(shell, "{cargo} build --release --locked --package mathesar --target {triple} {profile...}")
            .env("CARGO_TARGET_DIR", &workspace.target)
            // Incremental builds and a person's own flags do not belong in what strangers install.
            .env("CARGO_INCREMENTAL", "0")
            .env_remove("RUSTFLAGS")
            .env("CARGO_ENCODED_RUSTFLAGS", path_flags(&workspace.root)?.join("\u{1f}"));
    for (name, _) in std::env::vars_os().filter(|(name, _)| sets_profile(name)) {
        build = build.env_remove(name);
    }
    build.quiet().run().with_context(|| format!("cannot build the launcher for {triple}"))?;
    Ok(workspace.target.join(target.triple()).join("release/mathesar"))
}

/// Variables by which a person's shell would overrule Cargo.toml's `[profile.release]`.
fn sets_profile(name: &OsStr) -> bool {
    name.as_encoded_bytes().starts_with(b"CARGO_PROFILE_")
}

/// The release profile once more, as options: these win over a person's `~/.cargo/config.toml`, the workspace's own
/// Cargo.toml does not.
fn profile_options(workspace: &str) -> Result<Vec<String>> {
    let workspace: toml::Table = workspace.parse().context("cannot read Cargo.toml")?;
    let profile = workspace.get("profile").and_then(|profile| profile.get("release"));
    let profile = profile.and_then(toml::Value::as_table).context("Cargo.toml has no [profile.release]")?;
    let option = |(key, value): (&String, &toml::Value)| format!("--config=profile.release.{key}={value}");
    Ok(profile.iter().map(option).collect())
}

/// Panic messages name source files; these flags keep the builder's folders out of them.
fn path_flags(root: &Path) -> Result<Vec<String>> {
    let mut flags = vec![format!("--remap-path-prefix={}=/build", root.display())];
    let home = std::env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cargo")));
    // A registry's folder is named after the mirror in use; each becomes the same.
    if let Some(registries) = home.map(|home| home.join("registry/src")).filter(|folder| folder.is_dir()) {
        for entry in
            fs::read_dir(&registries).with_context(|| format!("cannot list {}", registries.display()))?
        {
            let folder = entry.with_context(|| format!("cannot list {}", registries.display()))?.path();
            flags.push(format!("--remap-path-prefix={}=/cargo", folder.display()));
        }
    }
    Ok(flags)
}

fn refuse_newer_glibc(needed: &str, allowed: &str) -> Result<()> {
    let number = |text: &str| text.split('.').map(|part| part.parse().unwrap_or(0)).collect::<Vec<u32>>();
    if number(needed) > number(allowed) {
        bail!(
            "the launcher needs glibc {needed}, and the manifest promises {allowed}; build on a distribution with glibc {allowed} or older"
        );
    }
    Ok(())
}

fn write_all(
    workspace: &Workspace,
    package: &Package,
    target: Target,
    binary: &Path,
    out: &Path,
) -> Result<()> {
    let name = package.name();
    let program = fs::read(binary).with_context(|| format!("cannot read {}", binary.display()))?;
    write_new(&out.join("bin").join(name), &program, 0o755)?;
    let mut texts = pages::man(package)?;
    texts.extend(pages::completions(package));
    let app_id = &package.manifest.flatpak.app_id;
    let first = package.changelog.len() == 1 && package.manifest.package.revision == 1;
    texts.extend([
        ("share/release.toml".to_owned(), release_toml::release_toml(&package.manifest.app)),
        (format!("share/{name}.desktop"), texts::desktop_entry(package)?),
        (format!("share/{app_id}.metainfo.xml"), texts::metainfo(package)?),
        ("share/lintian-overrides".to_owned(), texts::lintian_overrides(name, first)?),
        ("doc/copyright".to_owned(), texts::copyright(package)?),
        ("doc/changelog".to_owned(), texts::debian_changelog(package)),
        ("doc/THIRD-PARTY.txt".to_owned(), third_party::notices(workspace, target)?),
    ]);
    for (path, text) in texts {
        write_new(&out.join(path), text.as_bytes(), 0o644)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shell_does_not_set_the_profile() {
        assert!(sets_profile(OsStr::new("CARGO_PROFILE_RELEASE_OPT_LEVEL")));
        assert!(!sets_profile(OsStr::new("CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_LINKER")));
    }

    /// Only what was made of the same inputs, and is as it was made, is taken for done.
    #[test]
    fn an_earlier_build_is_known_while_it_is_whole() {
        let folder = tempfile::tempdir().unwrap();
        let (generated, stamp) = (folder.path().join("generated"), folder.path().join("stamp"));
        write_new(&generated.join("bin/mathesar"), b"x", 0o755).unwrap();
        let digest = tree_digest(&generated).unwrap();
        assert!(known(&generated, &stamp, "inputs").is_none(), "no stamp");
        fs::write(&stamp, format!("inputs\n{digest}\n")).unwrap();
        assert!(known(&generated, &stamp, "inputs").is_none(), "half a stamp");
        fs::write(&stamp, format!("inputs\n{digest}\n2.34\n")).unwrap();
        assert_eq!(known(&generated, &stamp, "inputs").unwrap().glibc, "2.34");
        assert!(known(&generated, &stamp, "others").is_none(), "other inputs");
        fs::write(generated.join("bin/mathesar"), "tampered").unwrap();
        assert!(known(&generated, &stamp, "inputs").is_none(), "tampered with");
    }

    #[test]
    fn the_profile_becomes_options() {
        let options = profile_options("[profile.release]\nopt-level = \"s\"\ncodegen-units = 1\n").unwrap();
        assert_eq!(
            options,
            ["--config=profile.release.codegen-units=1", "--config=profile.release.opt-level=\"s\""]
        );
        assert!(profile_options("[profile.dev]\ndebug = 1\n").is_err());
    }

    #[test]
    fn glibc_is_compared_as_numbers() {
        assert!(refuse_newer_glibc("2.34", "2.34").is_ok());
        assert!(refuse_newer_glibc("2.9", "2.34").is_ok());
        assert!(refuse_newer_glibc("2.36", "2.34").is_err());
    }
}
