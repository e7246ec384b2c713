//! The same without the launcher, as a person types it: one command after another.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

use super::instance::{Instance, remove};
use super::stage::Stage;
use super::web;

/// Processes that are ended when somebody forgets to.
struct Running<'a> {
    stage: &'a Stage,
    data: PathBuf,
    gunicorn: Option<Child>,
    postgres: bool,
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        let _ = self.end();
    }
}

impl Running<'_> {
    fn end(&mut self) -> Result<()> {
        if let Some(mut gunicorn) = self.gunicorn.take() {
            let _ = kill_process(Pid::from_child(&gunicorn), Signal::TERM);
            gunicorn.wait().context("cannot wait for gunicorn")?;
        }
        if std::mem::take(&mut self.postgres) {
            let mut stop = self.stage.command(&self.stage.binaries.server("pg_ctl"));
            finish(stop.args(["stop", "--silent", "--wait", "--mode=fast", "--pgdata"]).arg(&self.data))?;
        }
        Ok(())
    }

    fn postgres(&mut self, options: &str) -> Result<()> {
        let mut start = self.stage.command(&self.stage.binaries.server("pg_ctl"));
        start.args(["start", "--silent", "--wait", "--pgdata"]).arg(&self.data);
        start.arg("--log").arg(self.data.join("by-hand.log")).args(["--options", options]);
        finish(&mut start)?;
        self.postgres = true;
        Ok(())
    }

    /// Until the first page.
    fn gunicorn(&mut self, app: &App, workers: &str) -> Result<()> {
        let mut command = app.python(self.stage);
        command.args(["-m", "gunicorn", "config.wsgi", "--preload", "--workers", workers]);
        command.arg("--bind").arg(format!("127.0.0.1:{}", self.stage.port));
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let child = self.gunicorn.insert(command.spawn().context("cannot run gunicorn")?);
        web::wait(self.stage.port, child)
    }
}

/// Mathesar's tree, its environment, and its database.
struct App {
    tree: PathBuf,
    python: PathBuf,
    socket: PathBuf,
    media: PathBuf,
}

impl App {
    fn python(&self, stage: &Stage) -> Command {
        let mut command = stage.command(&self.python);
        command.current_dir(&self.tree).env("DJANGO_SETTINGS_MODULE", "config.settings.production");
        command.env("POSTGRES_DB", "mathesar_django").env("POSTGRES_USER", "mathesar");
        command.env("POSTGRES_HOST", &self.socket).env("POSTGRES_PORT", "5432");
        command.env("SECRET_KEY", "by hand").env("MEDIA_ROOT", &self.media);
        command.env("ALLOWED_HOSTS", "localhost,127.0.0.1");
        command
    }
}

/// As many as the launcher takes on this machine.
fn workers() -> String {
    let (processors, memory) = mathesar::server::gunicorn::machine();
    mathesar::server::gunicorn::workers(processors, memory).to_string()
}

/// Starts what the launcher has installed: the same files, the same database.
pub(super) fn start(stage: &Stage, installed: &Instance) -> Result<f64> {
    let (state, workers) = (installed.state(), workers());
    let release = state.join("app/current");
    let app = App {
        tree: release.join("tree"),
        python: release.join("venv/bin/python"),
        socket: installed.socket(stage)?,
        media: state.join("media"),
    };
    let data = state.join("database/data");
    let mut running = Running { stage, data, gunicorn: None, postgres: false };
    let begun = Instant::now();
    running.postgres("")?;
    running.gunicorn(&app, &workers)?;
    let took = begun.elapsed().as_secs_f64();
    running.end()?;
    stage.settle();
    Ok(took)
}

/// An upgrade as a careful person does it: seconds between the last page of the old release and the first of the new one.
/// `new`: the newer release, as the launcher has prepared it. Afterwards the data are as they were.
pub(super) fn upgrade(stage: &Stage, installed: &Instance, socket: &Path, new: &Path) -> Result<f64> {
    let (state, workers) = (installed.state(), workers());
    let app = |release: &Path| App {
        tree: release.join("tree"),
        python: release.join("venv/bin/python"),
        socket: socket.to_owned(),
        media: state.join("media"),
    };
    let data = state.join("database/data");
    let copy = data.with_file_name("by-hand");
    let mut running = Running { stage, data: data.clone(), gunicorn: None, postgres: false };
    running.postgres("")?;
    running.gunicorn(&app(&state.join("app/current")), &workers)?;
    stage.settle();
    let begun = Instant::now();
    running.end()?;
    finish(stage.command(Path::new("cp")).arg("-a").arg(&data).arg(&copy))?;
    running.postgres("")?;
    finish(app(new).python(stage).args(["manage.py", "migrate", "--noinput"]))?;
    running.gunicorn(&app(new), &workers)?;
    let took = begun.elapsed().as_secs_f64();
    running.end()?;
    remove(&data)?;
    fs::rename(&copy, &data).with_context(|| format!("cannot rename {}", copy.display()))?;
    stage.settle();
    Ok(took)
}

/// Everything, step by step, in a new folder; each step with its seconds.
pub(super) fn from_nothing(
    stage: &Stage,
    installed: &Instance,
    cache: &Path,
    name: &str,
) -> Result<Vec<(&'static str, f64)>> {
    let folder = stage.folder(name)?;
    let interpreter = interpreter(installed)?;
    let app = App {
        tree: folder.join("app"),
        python: folder.join("venv/bin/python"),
        socket: folder.clone(),
        media: folder.join("media"),
    };
    let workers = workers();
    let mut running = Running { stage, data: folder.join("data"), gunicorn: None, postgres: false };
    let mut steps = Vec::new();
    timed(&mut steps, "unpack", || {
        finish(stage.command(Path::new("mkdir")).arg(&app.tree))?;
        finish(stage.command(Path::new("tar")).arg("-xzf").arg(stage.tarball()).arg("-C").arg(&app.tree))
    })?;
    timed(&mut steps, "environment", || {
        let uv = || {
            let mut command = stage.command(&stage.uv());
            command.env("UV_CACHE_DIR", cache.join("uv")).env("UV_OFFLINE", "1").env("UV_NO_PROGRESS", "1");
            command
        };
        finish(uv().args(["venv", "--quiet", "--python"]).arg(&interpreter).arg(folder.join("venv")))?;
        let mut install = uv();
        install.args(["pip", "install", "--quiet", "--compile-bytecode", "--python"]).arg(&app.python);
        finish(install.arg("-r").arg(app.tree.join("requirements.txt")))
    })?;
    timed(&mut steps, "cluster", || {
        let mut initdb = stage.command(&stage.binaries.server("initdb"));
        initdb.args(["--encoding=UTF8", "--locale=C.UTF-8", "--data-checksums", "--auth=trust"]);
        finish(initdb.args(["--username=postgres", "--pgdata"]).arg(&running.data))
    })?;
    timed(&mut steps, "database", || {
        running.postgres(&format!("-c listen_addresses= -k {}", folder.display()))?;
        let mut psql = stage.command(&stage.binaries.client("psql"));
        psql.args(["-XAtqw", "--username=postgres", "--dbname=postgres", "--host"]).arg(&folder);
        finish(psql.args([
            "-c",
            "CREATE ROLE mathesar LOGIN CREATEDB CREATEROLE",
            "-c",
            "CREATE DATABASE mathesar_django OWNER mathesar",
            "-c",
            "CREATE DATABASE mathesar OWNER mathesar",
        ]))
    })?;
    timed(&mut steps, "tables and static files", || {
        finish(app.python(stage).args(["-m", "mathesar.install"]))
    })?;
    timed(&mut steps, "serve", || running.gunicorn(&app, &workers))?;
    running.end()?;
    remove(&folder)?;
    stage.settle();
    Ok(steps)
}

fn timed(
    steps: &mut Vec<(&'static str, f64)>,
    name: &'static str,
    work: impl FnOnce() -> Result<()>,
) -> Result<()> {
    let begun = Instant::now();
    work()?;
    steps.push((name, begun.elapsed().as_secs_f64()));
    Ok(())
}

/// The Python that the launcher has chosen.
fn interpreter(installed: &Instance) -> Result<PathBuf> {
    let path = installed.state().join("app/current/venv/mathesar.json");
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let stamp: serde_json::Value =
        serde_json::from_str(&text).context("cannot read the environment's stamp")?;
    let interpreter = stamp["interpreter"].as_str().map(PathBuf::from);
    interpreter.context("the environment's stamp names no interpreter")
}

pub(super) fn finish(command: &mut Command) -> Result<()> {
    // A file, as a server that goes on in the background would keep a pipe open.
    let mut said = tempfile::tempfile().context("cannot create a temporary file")?;
    let copy = said.try_clone().context("cannot share a temporary file")?;
    command.stdout(Stdio::null()).stderr(copy);
    let status = command.status().with_context(|| format!("cannot run {command:?}"))?;
    if status.success() {
        return Ok(());
    }
    use std::io::{Read as _, Seek as _};
    let mut text = String::new();
    said.rewind().and_then(|()| said.read_to_string(&mut text)).context("cannot read a temporary file")?;
    // A moment, so that what it has started is not in the way of the cleaning up.
    std::thread::sleep(Duration::from_millis(100));
    bail!("{} ended with {status}: {}", command.get_program().display(), text.trim())
}
