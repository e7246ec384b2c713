//! cargo-deb in a process of its own: it reads the environment, and the channels are threads of one process.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;

use anyhow::{Context as _, Result, bail};
use cargo_deb::config::{BuildOptions, DebugSymbolOptions};
use cargo_deb::listener::Listener;
use cargo_deb::{CargoDeb, CargoLockingFlags, OutputPath};

use crate::workspace::Workspace;

/// Makes one .deb from a generated Cargo.toml.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The generated Cargo.toml.
    pub manifest: PathBuf,
    /// The .deb.
    pub out: PathBuf,
    /// What the program was built for, as a Rust target triple.
    pub triple: String,
    /// Time stamp of everything inside, in seconds since 1970.
    pub epoch: u64,
}

/// cargo-deb writes the running program's file name into the maintainer scripts ("Automatically added by"): this one,
/// whatever xtask or a test is called.
const NAME: &str = "cargo-deb";

/// Runs this program again, as `internal-deb`.
pub(super) fn spawn(args: &Args) -> Result<()> {
    let work = args.manifest.parent().context("the manifest lies in no folder")?;
    let program = work.join(NAME);
    let myself = std::env::current_exe().context("cannot tell where xtask is")?;
    if std::fs::hard_link(&myself, &program).is_err() {
        // Another file system.
        std::fs::copy(&myself, &program).with_context(|| format!("cannot write {}", program.display()))?;
    }
    let output = command(&program, args)
        .env("SOURCE_DATE_EPOCH", args.epoch.to_string())
        .env("CARGO_TARGET_DIR", work.join("target"))
        // Other versions and settings of xz split the work among processors, which gives other bytes.
        .env("XZ_DEFAULTS", "--threads=1")
        .env_remove("XZ_OPT")
        .envs(path_with_cargo())
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot run {}", program.display()))?;
    std::fs::remove_file(&program).with_context(|| format!("cannot remove {}", program.display()))?;
    if !output.status.success() {
        bail!(
            "cargo-deb failed ({}):\n{}{}",
            output.status,
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
    }
    if !args.out.is_file() {
        bail!("cargo-deb wrote no {}", args.out.display());
    }
    Ok(())
}

#[cfg(not(test))]
fn command(program: &Path, args: &Args) -> Command {
    let mut command = Command::new(program);
    command
        .arg("internal-deb")
        .args([&args.manifest, &args.out])
        .arg(&args.triple)
        .arg(args.epoch.to_string());
    command
}

/// The program that tests run in has libtest's command line, so one of its tests takes the place of the sub-command.
#[cfg(test)]
fn command(program: &Path, args: &Args) -> Command {
    let mut command = Command::new(program);
    command
        .args(["--exact", "channel::deb::child::tests::as_the_child", "--ignored", "--nocapture"])
        .env("INTERNAL_DEB_MANIFEST", &args.manifest)
        .env("INTERNAL_DEB_OUT", &args.out)
        .env("INTERNAL_DEB_TRIPLE", &args.triple);
    command
}

/// cargo-deb runs `cargo` by name; cargo tells where it is, also where PATH does not.
fn path_with_cargo() -> Option<(&'static str, std::ffi::OsString)> {
    let cargo = PathBuf::from(std::env::var_os("CARGO")?);
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(cargo.parent().map(PathBuf::from));
    Some(("PATH", std::env::join_paths(folders).ok()?))
}

/// The sub-command.
pub(crate) fn run(args: &Args, _: &Workspace) -> Result<()> {
    make(args)
}

fn make(args: &Args) -> Result<()> {
    let listener = Warnings::default();
    let job = CargoDeb {
        options: BuildOptions {
            manifest_path: Some(&args.manifest),
            rust_target_triples: vec![&args.triple],
            // The program is stripped already.
            debug: DebugSymbolOptions {
                generate_dbgsym_package: Some(false),
                separate_debug_symbols: Some(false),
                compress_debug_symbols: None,
                strip_override: Some(false),
            },
            cargo_locking_flags: CargoLockingFlags { offline: true, ..CargoLockingFlags::default() },
            ..BuildOptions::default()
        },
        no_build: true,
        deb_output: Some(OutputPath { path: &args.out, is_dir: false }),
        ..CargoDeb::default()
    };
    job.process(&listener).with_context(|| format!("cannot make {}", args.out.display()))?;
    let warnings = listener.0.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    if !warnings.is_empty() {
        // Its warnings are about what it guessed or left out: a package like that is not ours.
        bail!("cargo-deb warns:\n{}", warnings.join("\n"));
    }
    Ok(())
}

/// Keeps the warnings, says nothing else.
#[derive(Default)]
struct Warnings(Mutex<Vec<String>>);

impl Listener for Warnings {
    fn warning(&self, text: String) {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(text);
    }
    fn info(&self, _: String) {}
    fn progress(&self, _: &str, _: String) {}
    fn generated_archive(&self, _: &Path) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[ignore = "no test: what `command` runs"]
    fn as_the_child() {
        let Some(manifest) = std::env::var_os("INTERNAL_DEB_MANIFEST") else { return };
        let variable = |name| std::env::var(name).unwrap();
        make(&Args {
            manifest: manifest.into(),
            out: variable("INTERNAL_DEB_OUT").into(),
            triple: variable("INTERNAL_DEB_TRIPLE"),
            epoch: variable("SOURCE_DATE_EPOCH").parse().unwrap(),
        })
        .unwrap();
    }
}
