//! An installation below one folder, run by the launcher.

use std::cell::{Cell, RefCell};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context as _, Result, bail};
use serde_json::Value;
use xshell::cmd;

use super::stage::Stage;
use super::web;
use crate::shell;

pub(super) struct Instance {
    home: PathBuf,
    running: Cell<bool>,
    words: RefCell<String>,
    /// Ends it when something else has failed.
    stop: RefCell<Command>,
}

impl Drop for Instance {
    fn drop(&mut self) {
        if self.running.get() {
            let _ = self.stop.borrow_mut().output();
        }
    }
}

impl Instance {
    /// With the cache of uv that was named, if one was.
    pub(super) fn fresh(stage: &Stage, name: &str) -> Result<Instance> {
        let instance = Instance::named(stage, name)?;
        if let Some(from) = &stage.uv_cache {
            let to = instance.home.join("cache/uv");
            fs::create_dir(instance.home.join("cache")).context("cannot create a cache")?;
            let shell = shell::at(&instance.home)?;
            cmd!(shell, "cp -a {from} {to}").quiet().run()?;
            stage.give(&instance.home)?;
        }
        Ok(instance)
    }

    /// With a cache that another has filled.
    pub(super) fn with_cache(stage: &Stage, name: &str, cache: &Path) -> Result<Instance> {
        let instance = Instance::named(stage, name)?;
        rename(cache, &instance.home.join("cache"))?;
        Ok(instance)
    }

    fn named(stage: &Stage, name: &str) -> Result<Instance> {
        let home = stage.folder(name)?;
        let mut stop = stage.command(&stage.launcher());
        stop.arg("--home").arg(&home).arg("stop");
        Ok(Instance { home, running: Cell::new(false), words: RefCell::default(), stop: RefCell::new(stop) })
    }

    pub(super) fn home(&self) -> PathBuf {
        self.home.clone()
    }

    pub(super) fn state(&self) -> PathBuf {
        self.home.join("state")
    }

    /// Starts it, and says how many seconds that took. Without `offline` what is missing is fetched.
    pub(super) fn start(&self, stage: &Stage, offline: bool) -> Result<f64> {
        let mut command = stage.command(&stage.launcher());
        command.arg("--home").arg(&self.home).arg("start");
        command.env("MATHESAR_SERVER_LISTEN", format!("127.0.0.1:{}", stage.port));
        command.env("MATHESAR_PYTHON_UV", stage.uv());
        if offline {
            command.env("MATHESAR_NETWORK_OFFLINE", "true");
        }
        for name in ["UV_DEFAULT_INDEX", "PIP_INDEX_URL"] {
            if let Some(index) = std::env::var_os(name) {
                command.env("MATHESAR_PYTHON_INDEX_URL", index);
            }
        }
        self.running.set(true);
        let begun = Instant::now();
        let output = command.output().context("cannot run the launcher")?;
        let seconds = begun.elapsed().as_secs_f64();
        *self.words.borrow_mut() = String::from_utf8_lossy(&output.stderr).into_owned();
        if !output.status.success() {
            bail!("`mathesar start` failed: {}", self.words().trim());
        }
        match web::status(stage.port) {
            status if web::is_first_page(status) => Ok(seconds),
            other => bail!("`mathesar start` has ended, and the first page answers {other:?}"),
        }
    }

    /// What the last start said.
    pub(super) fn words(&self) -> String {
        self.words.borrow().clone()
    }

    pub(super) fn stop(&self, stage: &Stage) -> Result<()> {
        let output = self.stop.borrow_mut().output().context("cannot run the launcher")?;
        if !output.status.success() {
            bail!("`mathesar stop` failed: {}", String::from_utf8_lossy(&output.stderr).trim());
        }
        self.running.set(false);
        stage.settle();
        Ok(())
    }

    /// Another command of the launcher; what it said.
    pub(super) fn does(&self, stage: &Stage, arguments: &[&str]) -> Result<String> {
        let mut command = stage.command(&stage.launcher());
        command.arg("--home").arg(&self.home).args(arguments).env("MATHESAR_PYTHON_UV", stage.uv());
        command.env("MATHESAR_NETWORK_OFFLINE", "true");
        let output = command.output().context("cannot run the launcher")?;
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        if !output.status.success() {
            bail!("`mathesar {}` failed: {}", arguments.join(" "), text.trim());
        }
        Ok(text)
    }

    fn status(&self, stage: &Stage) -> Result<Value> {
        let mut command = stage.command(&stage.launcher());
        let output = command.arg("--home").arg(&self.home).args(["status", "--json"]).output();
        let output = output.context("cannot run the launcher")?;
        serde_json::from_slice(&output.stdout).context("cannot read what `mathesar status --json` says")
    }

    /// Of `mathesar run`.
    pub(super) fn pid(&self, stage: &Stage) -> Result<u32> {
        let status = self.status(stage)?;
        let pid = status["pid"].as_u64().and_then(|pid| u32::try_from(pid).ok());
        pid.context("`mathesar status --json` tells no pid")
    }

    /// The folder of the database's socket.
    pub(super) fn socket(&self, stage: &Stage) -> Result<PathBuf> {
        let status = self.status(stage)?;
        let socket = status["database"]["socket"].as_str().map(PathBuf::from);
        socket.context("`mathesar status --json` tells no socket")
    }

    /// Puts the cache where others find it.
    pub(super) fn take_cache(&self, stage: &Stage) -> Result<PathBuf> {
        let cache = stage.work().join("cache");
        self.give_back(&cache)?;
        Ok(cache)
    }

    pub(super) fn give_back(&self, cache: &Path) -> Result<()> {
        rename(&self.home.join("cache"), cache)
    }

    pub(super) fn remove(&self) -> Result<()> {
        remove(&self.home)
    }
}

/// With `rm`, which removes what is in read-only folders where root calls, and after `chmod` for others.
pub(super) fn remove(folder: &Path) -> Result<()> {
    let shell = shell::at(&std::env::temp_dir())?;
    cmd!(shell, "chmod -R u+w {folder}").quiet().run()?;
    cmd!(shell, "rm -rf {folder}").quiet().run()?;
    Ok(())
}

fn rename(from: &Path, to: &Path) -> Result<()> {
    fs::rename(from, to).with_context(|| format!("cannot rename {} to {}", from.display(), to.display()))
}
