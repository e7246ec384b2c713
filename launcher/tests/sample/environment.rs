//! The Python environment of the sample application: made once for a target folder, as it costs half a minute.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use mathesar::process::Program;
use sha2::{Digest as _, Sha256};

/// The environment's folder (`bin/python`, `bin/gunicorn`), or why there can be none.
pub fn environment() -> Result<PathBuf, String> {
    let python = python().ok_or("no Python 3.10-3.12 on PATH")?;
    let requirements = super::sources().join("base/requirements.txt");
    let mut digest = Sha256::new_with_prefix(fs::read(&requirements).unwrap());
    digest.update(python.to_string_lossy().as_bytes());
    let key: String = digest.finalize()[..6].iter().map(|byte| format!("{byte:02x}")).collect();
    let folder = super::work_folder().join(format!("venv-{key}"));

    // Tests run at the same time; one makes it, the others wait.
    let lock = File::create(folder.with_extension("lock")).unwrap();
    lock.lock().unwrap();
    // Written last: an environment without it was interrupted.
    let complete = folder.join("complete");
    if !complete.exists() {
        let _ = fs::remove_dir_all(&folder);
        make(&python, &folder, &requirements)?;
        File::create(complete).unwrap();
    }
    let imports = Program::new(folder.join("bin/python")).args(["-c", "import cairosvg"]);
    imports.run().map_err(|_| "libcairo is missing")?;
    Ok(folder)
}

fn make(python: &Path, folder: &Path, requirements: &Path) -> Result<(), String> {
    let said = |failure: mathesar::failure::Failure| {
        format!(
            "{failure}{}",
            std::error::Error::source(&failure).map(|cause| format!(": {cause}")).unwrap_or_default()
        )
    };
    Program::new(python).args(["-m", "venv"]).arg(folder).run().map_err(said)?;
    // pip's settings are the machine's business: which index, through which proxy.
    let settings = std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("PIP_"));
    Program::new(folder.join("bin/python"))
        .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r"])
        .arg(requirements)
        .envs(settings)
        .run()
        .map(drop)
        .map_err(said)
}

/// A Python for which every wheel exists.
fn python() -> Option<PathBuf> {
    let wanted = "import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 12)); ";
    let path = std::env::var_os("PATH")?;
    ["python3.12", "python3.11", "python3", "python3.10"]
        .iter()
        .flat_map(|name| std::env::split_paths(&path).map(|folder| folder.join(name)).collect::<Vec<_>>())
        .filter(|candidate| candidate.is_file())
        .find(|candidate| Program::new(candidate).args(["-c", wanted]).run().is_ok())
}
