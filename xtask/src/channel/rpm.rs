//! The RPM package for Fedora, RHEL and openSUSE, made by the tool cargo-generate-rpm from a throw-away Cargo.toml.

mod render;
#[cfg(test)]
mod tests;

use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};

use super::{Channel, Context, stage};
use crate::artifact::elf;
use crate::manifest::{FileChannel, Package};
use crate::tools::Tools;

pub(crate) const CHANNEL: Channel =
    Channel { name: "rpm", needs: &[], by_name: false, reads, unavailable, build };

const TOOL: &str = "cargo-generate-rpm";

fn reads(package: &Package) -> Vec<String> {
    vec![package.manifest.rpm.scripts.clone()]
}

fn unavailable(_: &Tools) -> Option<String> {
    // Its tool is pinned and installed at the first build: another version of it makes other bytes.
    None
}

fn build(ctx: &Context<'_>) -> Result<()> {
    let package = ctx.package;
    let files = package.installed(FileChannel::Rpm, &ctx.artifacts.generated)?;
    let files = stage::with_compressed_pages(files);
    let program = elf::inspect(&ctx.artifacts.generated.join("bin/mathesar"))?;
    let manifest =
        render::manifest(package, &files, &program, &ctx.artifacts.glibc, ctx.target, &scripts(package)?)?;

    stage::stage(&files, &ctx.work.join(render::ROOT), package.epoch)?;
    let text =
        toml::to_string(&manifest).context("cannot serialise the Cargo.toml for cargo-generate-rpm")?;
    stage::put(&ctx.work.join("Cargo.toml"), text.as_bytes(), 0o644, package.epoch)?;
    run(ctx).context("cannot build the .rpm")
}

/// The scriptlets that are there.
fn scripts(package: &Package) -> Result<render::Scripts> {
    let folder = package.root.join(&package.manifest.rpm.scripts);
    let script = |name: &str| -> Result<Option<String>> {
        let path = folder.join(name);
        if !path.is_file() {
            return Ok(None);
        }
        let text = String::from_utf8(stage::read(&path)?)
            .with_context(|| format!("{} is not UTF-8", path.display()))?;
        Ok(Some(text))
    };
    Ok(render::Scripts {
        pre_install_script: script("pre.sh")?,
        post_install_script: script("post.sh")?,
        pre_uninstall_script: script("preun.sh")?,
        // The file does nothing but the restart after an upgrade.
        post_uninstall_script: if package.manifest.service.restart { script("postun.sh")? } else { None },
    })
}

fn run(ctx: &Context<'_>) -> Result<()> {
    let program = ctx.tools.cargo_generate_rpm()?;
    let out = ctx.out.join(ctx.package.rpm_file(ctx.target));
    let output = Command::new(&program)
        .current_dir(ctx.work)
        .args(["--arch", ctx.target.cpu(), "--auto-req", "disabled", "--payload-compress", "zstd"])
        .args(["--source-date", &ctx.package.epoch.to_string()])
        .arg("--output")
        .arg(&out)
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot run {}", program.display()))?;
    if !output.status.success() {
        bail!("{TOOL} failed ({}):\n{}", output.status, String::from_utf8_lossy(&output.stderr));
    }
    if !out.is_file() {
        bail!("{TOOL} wrote no {}", out.display());
    }
    Ok(())
}
