//! One pinned program into `target/tools/<name>/`, whole or not at all.
//!
//! `<name>/bin/<name>` is the program and `<name>/pin` the digest of the pin it was made from. Everything is prepared in
//! `.partial-<name>/` and renamed; an installation that was killed is repeated, and cargo goes on where it was. A program
//! without a `pin` file was put there by a person (or a continuous integration's cache): it is used as it is.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};

use super::pins::{self, How, Pin};
use super::{Tools, is_executable, on_path};
use crate::files::remove;
use crate::ui;

impl Tools {
    /// Where a pinned program is, if it is there and its pin is still the same.
    pub(super) fn installed(&self, name: &str) -> Option<PathBuf> {
        let pin = pins::all().ok()?.into_iter().find(|pin| pin.name == name)?;
        self.current(&pin)
    }

    fn current(&self, pin: &Pin) -> Option<PathBuf> {
        let home = self.folder.join(&pin.name);
        let program = home.join("bin").join(&pin.name);
        if !is_executable(&program) {
            return None;
        }
        match fs::read_to_string(home.join("pin")) {
            Ok(stamp) => (stamp.trim() == pin.digest()).then_some(program),
            Err(error) => (error.kind() == std::io::ErrorKind::NotFound).then_some(program),
        }
    }

    pub(super) fn install(&self, name: &str) -> Result<PathBuf> {
        let Some(pin) = pins::all()?.into_iter().find(|pin| pin.name == name) else {
            bail!("`{name}` is not pinned in packaging/tools.toml or packaging/tools.lock");
        };
        if let Some(program) = self.current(&pin) {
            return Ok(program);
        }
        let folder = &self.folder;
        fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
        let _lock = lock(&folder.join(format!(".lock-{name}")), name)?;
        // Another process may have installed it while this one waited.
        if let Some(program) = self.current(&pin) {
            return Ok(program);
        }
        self.make(&pin).with_context(|| format!("cannot install {name} {}", pin.version))?;
        self.current(&pin)
            .with_context(|| format!("{name} is not in {} after its installation", folder.display()))
    }

    fn make(&self, pin: &Pin) -> Result<()> {
        let partial = self.folder.join(format!(".partial-{}", pin.name));
        let root = partial.join("root");
        remove(&root)?;
        fs::create_dir_all(root.join("bin")).with_context(|| format!("cannot create {}", root.display()))?;
        ui::verb("Installing", format!("{} {} below {}", pin.name, pin.version, self.folder.display()));
        match &pin.how {
            How::Cargo { config } => cargo(pin, config, &partial)?,
            How::Python { requirements } => python(pin, requirements, &partial)?,
        }
        let stamp = root.join("pin");
        fs::write(&stamp, pin.digest()).with_context(|| format!("cannot write {}", stamp.display()))?;
        let home = self.folder.join(&pin.name);
        let old = partial.join("old");
        remove(&old)?;
        if home.exists() {
            rename(&home, &old)?;
        }
        rename(&root, &home)?;
        remove(&partial)
    }
}

fn cargo(pin: &Pin, config: &str, partial: &Path) -> Result<()> {
    let file = partial.join("config.toml");
    fs::write(&file, config).with_context(|| format!("cannot write {}", file.display()))?;
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.arg("install").arg("--locked").arg("--force").arg("--config").arg(&file);
    command.arg("--root").arg(partial.join("root")).arg("--target-dir").arg(partial.join("build"));
    command.arg(format!("{}@={}", pin.name, pin.version));
    // Away from the checkout: its .cargo/config.toml is not for other people's programs, nor are a caller's target and
    // wrapper of one.
    command.current_dir("/").env_remove("CARGO_BUILD_TARGET").env_remove("RUSTC_WORKSPACE_WRAPPER");
    execute(&mut command)
}

/// Only the program itself is kept: all three are native programs, and a virtual environment cannot be moved.
fn python(pin: &Pin, requirements: &str, partial: &Path) -> Result<()> {
    let Some(python) = on_path("python3") else {
        bail!("python3 is not on PATH\nhelp: apt-get install python3 python3-venv");
    };
    let environment = partial.join("venv");
    let file = partial.join("requirements.txt");
    fs::write(&file, requirements).with_context(|| format!("cannot write {}", file.display()))?;
    execute(Command::new(python).args(["-m", "venv", "--clear"]).arg(&environment))
        .context("cannot make a Python environment\nhelp: apt-get install python3-venv")?;
    execute(
        Command::new(environment.join("bin/python"))
            .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"])
            .args(["--only-binary", ":all:", "--require-hashes", "-r"])
            .arg(&file),
    )?;
    let made = environment.join("bin").join(&pin.name);
    let kept = partial.join("root/bin").join(&pin.name);
    fs::copy(&made, &kept)
        .with_context(|| format!("cannot copy {} to {}", made.display(), kept.display()))?;
    Ok(())
}

/// Its output goes to standard error: standard output is for results.
fn execute(command: &mut Command) -> Result<()> {
    let shown = format!("{command:?}").replace('"', "");
    let status = command
        .stdin(Stdio::null())
        .stdout(std::io::stderr())
        .status()
        .with_context(|| format!("cannot run `{shown}`"))?;
    if !status.success() {
        bail!("`{shown}` ended with {status}");
    }
    Ok(())
}

fn lock(path: &Path, name: &str) -> Result<File> {
    let file = File::options().create(true).truncate(false).write(true).open(path);
    let file = file.with_context(|| format!("cannot open {}", path.display()))?;
    if let Err(std::fs::TryLockError::WouldBlock) = file.try_lock() {
        ui::verb("Waiting", format!("for another `cargo xtask` that installs {name}"));
        file.lock().with_context(|| format!("cannot lock {}", path.display()))?;
    }
    Ok(file)
}

fn rename(from: &Path, to: &Path) -> Result<()> {
    fs::rename(from, to).with_context(|| format!("cannot rename {} to {}", from.display(), to.display()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn seeded(name: &str) -> (tempfile::TempDir, Tools, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let tools = Tools { folder: folder.path().to_owned() };
        let program = folder.path().join(name).join("bin").join(name);
        fs::create_dir_all(program.parent().unwrap()).unwrap();
        fs::write(&program, "#!/bin/sh\n").unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        (folder, tools, program)
    }

    #[test]
    fn what_a_person_put_there_is_used_as_it_is() {
        let (_folder, tools, program) = seeded("cargo-generate-rpm");
        assert_eq!(tools.cargo_generate_rpm().unwrap(), program);
        assert_eq!(tools.find("cargo-generate-rpm"), Some(program));
    }

    #[test]
    fn another_pin_makes_it_stale() {
        let (folder, tools, program) = seeded("uv");
        let stamp = folder.path().join("uv/pin");
        fs::write(&stamp, "0000").unwrap();
        assert_eq!(tools.installed("uv"), None);
        let pin = pins::all().unwrap().into_iter().find(|pin| pin.name == "uv").unwrap();
        fs::write(&stamp, pin.digest()).unwrap();
        assert_eq!(tools.installed("uv"), Some(program));
    }

    #[test]
    fn what_is_not_pinned_is_refused() {
        let (_folder, tools, _) = seeded("uv");
        let error = tools.python_tool("black").unwrap_err();
        assert_eq!(
            error.to_string(),
            "`black` is not pinned in packaging/tools.toml or packaging/tools.lock"
        );
    }
}
