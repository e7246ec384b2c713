//! `python -m venv` and pip: where there is no uv.

use std::path::Path;

use super::environment::{Cache, Requirements, both};
use super::python::Python;
use super::{Settings, files, packages, pip};
use crate::failure::{Exit, Failure};
use crate::process::Program;

pub(super) fn build(
    python: &Python,
    requirements: &Requirements,
    into: &Path,
    cache: Cache,
    settings: &Settings,
) -> Result<(), Failure> {
    if !python.venv {
        let (major, minor) = python.minor();
        return Err(Failure::new(format!("{} has no `venv` and `ensurepip`", python.path.display()))
            .exit(Exit::Refused)
            .help(format!("on Debian and Ubuntu: `apt install python{major}.{minor}-venv`")));
    }
    let empty =
        || Program::new(&python.path).args(["-I", "-m", "venv"]).arg(into).current_dir("/").run().map(drop);
    empty()?;
    let binary = into.join("bin/python");
    // As with uv: what is at hand comes first. pip's own cache needs the index, so only folders of wheels count.
    let mut before = None;
    if !settings.wheels().is_empty() && !settings.network.offline {
        let mut here = settings.clone();
        here.network.offline = true;
        let untouched = packages::installed(into);
        match run(install(&binary, requirements, cache, &here)?, requirements) {
            Ok(()) => return Ok(()),
            Err(failure) => before = Some(failure),
        }
        // As with uv; but making an empty one takes seconds here.
        if packages::installed(into) != untouched {
            files::remove_tree(into)?;
            empty()?;
        }
    }
    match (run(install(&binary, requirements, cache, settings)?, requirements), before) {
        (Err(failure), Some(before)) => Err(both(&before, &failure, settings)),
        (result, _) => result,
    }
}

/// With what it says in a form to read; its arguments are the launcher's business.
fn run(install: Program, requirements: &Requirements) -> Result<(), Failure> {
    install.run().map(drop).map_err(|failure| match std::error::Error::source(&failure) {
        Some(cause) => Failure::new(format!("`pip install -r {}` failed", requirements.path.display()))
            .exit(failure.exit)
            .cause(pip::readable(&cause.to_string())),
        None => failure,
    })
}

fn install(
    binary: &Path,
    requirements: &Requirements,
    cache: Cache,
    settings: &Settings,
) -> Result<Program, Failure> {
    let mut install = Program::new(binary)
        .args(["-I", "-m", "pip", "install", "--disable-pip-version-check", "--no-input", "--compile"])
        .args([Path::new("--cache-dir"), &settings.cache.join("pip"), Path::new("-r"), &requirements.path])
        .envs(settings.network.variables(&settings.cache)?)
        .env("PIP_DEFAULT_TIMEOUT", settings.network.timeout.as_secs().max(1).to_string())
        .current_dir("/");
    if cache == Cache::PassedBy {
        install = install.arg("--no-cache-dir");
    }
    if requirements.hashed {
        install = install.arg("--require-hashes");
    }
    if settings.network.offline {
        install = install.arg("--no-index");
    }
    for folder in settings.wheels() {
        install = install.arg("--find-links").arg(folder);
    }
    if let Some(url) = &settings.index_url {
        install = install.env("PIP_INDEX_URL", url);
    }
    Ok(install)
}

/// pip writes where it stands into scripts: they are to say where it will stand.
pub(super) fn relocate(from: &Path, to: &Path) -> Result<(), Failure> {
    let folder = from.join("bin");
    let (old, new) = (from.to_string_lossy(), to.to_string_lossy());
    let entries = std::fs::read_dir(&folder).map_err(|cause| Failure::io("read", &folder, cause))?;
    for entry in entries.flatten() {
        let path = entry.path();
        let is_file = entry.file_type().is_ok_and(|kind| kind.is_file());
        let Some(text) = std::fs::read_to_string(&path).ok().filter(|text| is_file && text.contains(&*old))
        else {
            continue;
        };
        let mode = entry.metadata().map_err(|cause| Failure::io("read", &path, cause))?.permissions();
        files::write(&path, text.replace(&*old, &new).as_bytes())?;
        std::fs::set_permissions(&path, mode)
            .map_err(|cause| Failure::io("change the mode of", &path, cause))?;
    }
    Ok(())
}
