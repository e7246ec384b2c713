//! uv: which one, and an environment made with it.

use std::path::{Path, PathBuf};

use super::environment::{Cache, Requirements, both};
use super::packages::Damaged;
use super::pins::Pin;
use super::{Settings, files, tools};
use crate::failure::{Exit, Failure};
use crate::process::Program;
use crate::progress::Progress;

/// Versions on PATH that are known to do what is asked of them here.
const KNOWN_GOOD: std::ops::Range<(u32, u32)> = (0, 8)..(0, 14);

/// `python.uv`, else the pinned one where it is at hand, else a good one on PATH, else the pinned one fetched.
/// None: there is none, and pip is to do it.
pub(super) fn find(
    settings: &Settings,
    path: &[PathBuf],
    progress: &dyn Progress,
) -> Result<Option<PathBuf>, Failure> {
    if let Some(named) = &settings.uv {
        return match version(named) {
            Ok(_) => Ok(Some(named.clone())),
            Err(why) => {
                Err(Failure::new(format!("`python.uv` {} cannot be used", named.display()))
                    .cause(why)
                    .exit(Exit::Refused)
                    .help("choose another with `mathesar config set python.uv PATH`, or none with `mathesar config unset python.uv`"))
            }
        };
    }
    let mut offline = settings.clone();
    offline.network.offline = true;
    if let Ok(uv) = tools::uv(&offline, progress) {
        return Ok(Some(uv));
    }
    let on_path = path
        .iter()
        .map(|folder| folder.join("uv"))
        .find(|uv| uv.is_file() && version(uv).is_ok_and(|version| KNOWN_GOOD.contains(&version)));
    if on_path.is_some() || settings.network.offline || Pin::of("uv").is_none() {
        return Ok(on_path);
    }
    match tools::uv(settings, progress) {
        Ok(uv) => Ok(Some(uv)),
        // Somebody has changed the file: that is no reason to go on by another way.
        Err(failure) if failure.exit == Exit::Refused => Err(failure),
        // On a full disk pip would fail too, and say less.
        Err(failure) if is_full(&failure) => {
            Err(failure.help(format!("look for room: `df -h {}`", crate::cure::path(&settings.cache))))
        }
        Err(failure) => {
            let why = failure.whole();
            // pip would need more of it.
            if why.contains("No space left") {
                return Err(
                    failure.help(format!("look for room: `df -h {}`", crate::cure::path(&settings.cache)))
                );
            }
            progress.note(&format!("pip does what uv would do, slower: {why}"));
            Ok(None)
        }
    }
}

fn is_full(failure: &Failure) -> bool {
    let cause = std::error::Error::source(failure).and_then(|cause| cause.downcast_ref::<std::io::Error>());
    cause.is_some_and(|cause| cause.kind() == std::io::ErrorKind::StorageFull)
}

fn version(uv: &Path) -> Result<(u32, u32), String> {
    let output = Program::new(uv).arg("--version").run().map_err(|failure| failure.to_string())?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let mut numbers = text.strip_prefix("uv ").unwrap_or_default().split('.');
    match (numbers.next().map(str::parse), numbers.next().map(str::parse)) {
        (Some(Ok(major)), Some(Ok(minor))) => Ok((major, minor)),
        _ => Err(format!("`uv --version` says `{}`", text.trim())),
    }
}

fn program(uv: &Path, settings: &Settings) -> Result<Program, Failure> {
    let mut program = Program::new(uv)
        .envs(settings.network.variables(&settings.cache)?)
        .env("UV_CACHE_DIR", settings.cache.join("uv"))
        .env("UV_PYTHON_INSTALL_DIR", settings.store.join("python"))
        .env("UV_PYTHON_INSTALL_BIN", "0")
        .env("UV_NO_PROGRESS", "1")
        // No project of the folder that the launcher happens to be started in.
        .current_dir("/");
    if settings.network.offline {
        program = program.env("UV_OFFLINE", "1");
    }
    Ok(program)
}

/// Fetches a CPython that uv manages, into the store, and says where it is.
pub(super) fn managed_python(
    uv: &Path,
    (major, minor): (u32, u32),
    settings: &Settings,
) -> Result<PathBuf, Failure> {
    let version = format!("{major}.{minor}");
    let _ = program(uv, settings)?.args(["python", "install", &version]).run()?;
    let output = program(uv, settings)?
        .args(["python", "find", "--managed-python", "--no-project", &version])
        .run()?;
    Ok(PathBuf::from(String::from_utf8_lossy(&output.stdout).trim()))
}

/// An environment with all the packages, their bytecode compiled.
pub(super) fn build(
    uv: &Path,
    python: &Path,
    requirements: &Requirements,
    into: &Path,
    cache: Cache,
    settings: &Settings,
) -> Result<(), Failure> {
    let empty = || {
        let program = program(uv, settings)?
            .args(["venv", "--quiet", "--relocatable", "--no-project", "--python"])
            .args([python, into])
            .env("UV_PYTHON_DOWNLOADS", "never");
        program.run().map(drop)
    };
    empty()?;
    // Files that are at hand serve before the network: a machine without one needs only them. Where something is missing,
    // this fails within a moment.
    let brought = !settings.wheels().is_empty();
    let mut before = None;
    if (settings.cache.join("uv").is_dir() || brought) && !settings.network.offline {
        let mut here = settings.clone();
        here.network.offline = true;
        match install(uv, requirements, into, cache, &here)?.run() {
            Ok(_) => return Ok(()),
            // Without files of the person's, what uv's own cache lacks says nothing.
            Err(failure) => before = Some(failure).filter(|_| brought),
        }
        // One that was killed has left packages with a part of their files, which would be taken for whole ones.
        files::remove_tree(into)?;
        empty()?;
    }
    match (install(uv, requirements, into, cache, settings)?.run(), before) {
        (Err(failure), Some(before)) => Err(both(&before, &failure, settings)),
        (result, _) => result.map(drop),
    }
}

/// Takes these packages out of uv's cache, where what a power cut or a person has damaged would serve for ever.
pub(super) fn forget(uv: &Path, packages: &Damaged, settings: &Settings) -> Result<(), Failure> {
    program(uv, settings)?.args(["cache", "clean", "--quiet"]).args(packages.names()).run().map(drop)
}

fn install(
    uv: &Path,
    requirements: &Requirements,
    into: &Path,
    cache: Cache,
    settings: &Settings,
) -> Result<Program, Failure> {
    let mut install = program(uv, settings)?
        .args(["pip", "install", "--compile-bytecode", "--python"])
        .args([into.join("bin/python").as_path(), Path::new("-r"), &requirements.path])
        .env("UV_PYTHON_DOWNLOADS", "never");
    if cache == Cache::PassedBy {
        install = install.env("UV_NO_CACHE", "1");
    }
    if requirements.hashed {
        install = install.arg("--require-hashes");
    }
    for folder in settings.wheels() {
        install = install.arg("--find-links").arg(folder);
    }
    if let Some(url) = &settings.index_url {
        // Not as an argument: it may hold a password, and arguments are seen by everyone.
        install = install.env("UV_DEFAULT_INDEX", url);
    }
    Ok(install)
}
