//! Static files, collected ahead, and bytecode: the release's folder is not written any more when it runs.

use std::path::Path;

use super::{digest, files};
use crate::failure::Failure;
use crate::process::Program;
use crate::progress::Progress;

pub(super) const STAMP: &str = "static.done";

/// The settings module cannot be read without these; nothing is connected to, nothing is signed.
const PLACEHOLDERS: &[(&str, &str)] = &[
    ("POSTGRES_DB", "unused"),
    ("POSTGRES_USER", "unused"),
    ("POSTGRES_HOST", "localhost"),
    ("POSTGRES_PORT", "1"),
    ("SECRET_KEY", "only for collecting static files: nothing is signed with it"),
    ("ALLOWED_HOSTS", "localhost"),
    ("DJANGO_SETTINGS_MODULE", "config.settings.production"),
];

/// Whether they are, and the bytecode is of the environment that is there now.
pub fn are_collected(release: &Path) -> bool {
    let stamp = std::fs::read_to_string(release.join(STAMP)).unwrap_or_default();
    release.join("tree/static").is_dir() && of_environment(release).is_ok_and(|now| now == stamp.trim())
}

/// They are to be collected again.
pub fn forget(release: &Path) -> Result<(), Failure> {
    files::remove_tree(&release.join(STAMP))?;
    files::sync_folder(release)
}

fn of_environment(release: &Path) -> Result<String, Failure> {
    Ok(digest::of_file(&release.join("venv").join(super::environment::STAMP))?.0)
}

/// Collects static files into `tree/static`, compiles the tree's bytecode, and makes the tree read-only.
pub fn ensure(release: &Path, progress: &dyn Progress) -> Result<(), Failure> {
    if are_collected(release) {
        return Ok(());
    }
    collect(release, progress)?;
    stamp(release, progress)
}

/// The work, without the stamp that says it is done.
pub fn collect(release: &Path, progress: &dyn Progress) -> Result<(), Failure> {
    progress.start("Collecting static files");
    let tree = release.join("tree");
    let python = release.join("venv/bin/python");
    // Read-only from an earlier time, with another interpreter's bytecode.
    files::make_writable(&tree)?;
    let media = tempfolder(release)?;
    // Neither reads what the other writes: `static` is nobody's code.
    let (collected, compiled) = std::thread::scope(|scope| {
        let compiled = scope.spawn(|| compile(&python, &tree));
        let collected = Program::new(&python)
            .args(["manage.py", "collectstatic", "--noinput", "--clear", "--verbosity", "0"])
            .envs(PLACEHOLDERS.iter().copied())
            .env("MEDIA_ROOT", &media)
            // LOCALE_PATHS is relative.
            .current_dir(&tree)
            .run();
        (collected, compiled.join())
    });
    files::remove_tree(&media)?;
    collected?;
    compiled.map_err(|_| Failure::new("the compiling of bytecode has panicked"))??;
    files::make_read_only(&tree)
}

/// Says of which environment they are, which is settled.
pub fn stamp(release: &Path, progress: &dyn Progress) -> Result<(), Failure> {
    let stamp = of_environment(release)?;
    files::write(&release.join(STAMP), format!("{stamp}\n").as_bytes())?;
    progress.done("Collected static files");
    Ok(())
}

/// Files that are no Python 3 are there too (templates): what cannot be compiled is compiled when it is imported.
fn compile(python: &Path, tree: &Path) -> Result<(), Failure> {
    let arguments = ["-I", "-m", "compileall", "-q", "-x", r"^\./static/", "."];
    Program::new(python).args(arguments).current_dir(tree).output().map(drop)
}

fn tempfolder(release: &Path) -> Result<std::path::PathBuf, Failure> {
    let folder = files::beside(&release.join("media"), "new");
    files::create_folder(&folder)?;
    Ok(folder)
}
