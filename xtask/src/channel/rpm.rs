//! The RPM package for Fedora, RHEL and openSUSE, made by the tool cargo-generate-rpm from a throw-away Cargo.toml.

mod render;
#[cfg(test)]
mod tests;

use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};
use flate2::{Compression, GzBuilder};

use super::{Channel, Context, stage};
use crate::artifact::elf;
use crate::manifest::{FileChannel, Package};
use crate::tools::Tools;

pub(crate) const CHANNEL: Channel = Channel { name: "rpm", needs: &[], reads, unavailable, build };

const TOOL: &str = "cargo-generate-rpm";

fn reads(package: &Package) -> Vec<String> {
    vec![package.manifest.rpm.scripts.clone()]
}

fn tool(tools: &Tools) -> PathBuf {
    tools.folder.join("bin").join(TOOL)
}

fn unavailable(tools: &Tools) -> Option<String> {
    // Only ours: another version of it makes other bytes.
    let tool = tool(tools);
    (!tool.is_file()).then(|| format!("there is no {}", tool.display()))
}

fn build(ctx: &Context<'_>) -> Result<()> {
    let package = ctx.package;
    let files = package.installed(FileChannel::Rpm, &ctx.artifacts.generated)?;
    let program = elf::inspect(&ctx.artifacts.generated.join("bin/mathesar"))?;
    let manifest =
        render::manifest(package, &files, &program, &ctx.artifacts.glibc, ctx.target, &scripts(package)?)?;

    let root = ctx.work.join(render::ROOT);
    for file in &files {
        let content = stage::read(&file.source)?;
        let content = if render::is_compressed(file) { gzip(&content)? } else { content };
        let to = root.join(render::destination(file).trim_start_matches('/'));
        stage::put(&to, &content, file.mode, package.epoch)?;
    }
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
        // It does nothing but the restart after an upgrade.
        post_uninstall_script: if package.manifest.service.restart { script("postun.sh")? } else { None },
    })
}

/// As `gzip -9n`: no name, no time.
fn gzip(content: &[u8]) -> Result<Vec<u8>> {
    let mut encoder = GzBuilder::new().mtime(0).write(Vec::new(), Compression::best());
    encoder.write_all(content).and_then(|()| encoder.finish()).context("cannot compress a manual page")
}

fn run(ctx: &Context<'_>) -> Result<()> {
    let program = tool(ctx.tools);
    let out = ctx.out.join(ctx.package.rpm_file(ctx.target));
    let output = Command::new(&program)
        .current_dir(ctx.work)
        .args(["--arch", ctx.target.cpu(), "--auto-req", "disabled", "--payload-compress", "xz"])
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
