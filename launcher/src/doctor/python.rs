//! The interpreter that runs Mathesar, its environment, and what it has to load.

use std::path::{Path, PathBuf};

use super::ask::{bounded, last_line, said};
use super::{Check, Entry, Group, Known, Look};
use crate::app::environment::{self, State};
use crate::app::packages::Damaged;
use crate::app::pins::Pin;
use crate::app::python::{self, Choice};
use crate::app::{self, lookup};
use crate::application;
use crate::process::Program;

pub(super) static PYTHON: Entry = Entry {
    id: "python",
    group: Group::Python,
    title: "interpreter",
    doc: "The Python that runs Mathesar (of the release's environment, else the one that would be chosen) is of a supported version.",
};
pub(super) static ENVIRONMENT: Entry = Entry {
    id: "environment",
    group: Group::Python,
    title: "environment",
    doc: "The release's Python environment is there, its interpreter still runs and is of the same version, as after an upgrade of the distribution it may not be.",
};
pub(super) static CAIRO: Entry = Entry {
    id: "libcairo",
    group: Group::Python,
    title: "libcairo",
    doc: "That very interpreter can `import cairosvg`, which needs the system's libcairo: without it Mathesar does not start.",
};
pub(super) static PACKAGES: Entry = Entry {
    id: "packages",
    group: Group::Python,
    title: "packages",
    doc: "Django, gunicorn and the database driver can be imported from the environment, every package that the release asks for is installed, and every file of each is there in its size.",
};
pub(super) static INSTALLER: Entry = Entry {
    id: "installer",
    group: Group::Python,
    title: "uv or pip",
    doc: "What makes the environment is at hand: the `python.uv` of the settings, the pinned uv, one on PATH, or else `python -m venv` with pip.",
};
pub(super) static LIBC: Entry = Entry {
    id: "glibc",
    group: Group::Python,
    title: "C library",
    doc: "The C library is glibc of at least 2.34 (2.28 for the wheels alone): wheels and the embedded PostgreSQL need it.",
};

pub(super) const ENTRIES: &[&Entry] = &[&PYTHON, &ENVIRONMENT, &CAIRO, &PACKAGES, &INSTALLER, &LIBC];

#[derive(Debug, Clone)]
pub(super) struct Interpreter {
    pub path: PathBuf,
    pub version: (u32, u32, u32),
    /// It can load libcairo itself, whatever is installed for it.
    pub cairo: bool,
    /// It has venv and pip.
    pub venv: bool,
}

#[derive(Debug, Clone)]
pub(super) struct Facts {
    pub supported: ((u32, u32), (u32, u32)),
    pub interpreter: Result<Interpreter, String>,
    /// uv would fetch one.
    pub fetched: bool,
    /// None: no release is installed yet.
    pub environment: Known<State>,
    /// What the release needs can be read.
    pub requirements: bool,
    /// `import cairosvg` in it: its last words where that fails.
    pub cairosvg: Known<Result<(), String>>,
    pub packages: Known<Result<(), String>>,
    /// Which of them have lost files.
    pub damaged: Known<Damaged>,
    /// What is at hand to make an environment, in words.
    pub uv: Option<String>,
    /// `python.uv` names one that does not run.
    pub bad_uv: Option<PathBuf>,
    pub offline: bool,
    /// As `glibc 2.36`; none where it is not told.
    pub libc: Option<String>,
}

const AGAIN: &str = "build it again: `mathesar stop`, `mathesar app install --again`, `mathesar start`";

impl Facts {
    pub fn gather(look: &Look) -> Facts {
        let installation = &look.installation;
        let supported = &installation.pinned.python;
        let settings = installation.app();
        let pythons = installation.pythons();
        let release = look.current();
        let environment =
            release.as_ref().map(|release| environment::state(&release.path)).map_err(Clone::clone);
        let in_release = match (&release, &environment) {
            (Ok(release), Ok(State::Ready)) => Some(application::interpreter(&release.path)),
            _ => None,
        };
        let imports = |code: &str| match (&in_release, &environment) {
            (Some(python), _) => import(python, code),
            (None, Ok(_)) => Err("the environment is not ready".to_owned()),
            (None, Err(why)) => Err(why.clone()),
        };
        let path = release.as_ref().map(|release| release.path.clone()).unwrap_or_default();
        let damaged = match &release {
            Ok(release) => environment::damage(&release.path, app::packages::Look::Sizes)
                .map_err(|failure| failure.whole()),
            Err(why) => Err(why.clone()),
        };
        let mut fetched = false;
        let interpreter = match &in_release {
            Some(path) => python::probe(path).map(|found| of(path, &found)),
            None => match python::choose(
                supported,
                settings.interpreter.as_deref(),
                settings.managed,
                &pythons.places,
            ) {
                Ok(Choice::System(found)) => Ok(of(&found.path, &found)),
                Ok(Choice::Managed { otherwise: Some(found), .. }) => {
                    fetched = true;
                    Ok(of(&found.path, &found))
                }
                Ok(Choice::Managed { version: (major, minor), .. }) => {
                    fetched = true;
                    Err(format!("uv fetches a Python {major}.{minor} at the start"))
                }
                Err(failure) => Err(failure.to_string()),
            },
        };
        let runs = |uv: &Path| said(Program::new(uv).arg("--version"));
        let bad_uv = settings.uv.clone().filter(|uv| runs(uv).is_none());
        Facts {
            supported: (supported.min, supported.max),
            cairosvg: imports("import cairosvg"),
            packages: imports(environment::NEEDED),
            damaged,
            interpreter,
            fetched,
            environment,
            requirements: environment::Requirements::of(&path).path.is_file(),
            uv: uv(&settings, &pythons.places.path),
            bad_uv,
            offline: settings.network.offline,
            libc: libc(),
        }
    }
}

fn of(path: &Path, found: &python::Python) -> Interpreter {
    Interpreter { path: path.to_owned(), version: found.version, cairo: found.cairo, venv: found.venv }
}

fn import(python: &Path, code: &str) -> Known<Result<(), String>> {
    // -B: nothing is written for a look.
    let output = bounded(Program::new(python).args(["-I", "-B", "-c", code]).current_dir("/"))?;
    Ok(if output.status.success() { Ok(()) } else { Err(last_line(&output)) })
}

/// Looked for as `app::environment` does, but nothing is unpacked or fetched.
fn uv(settings: &app::Settings, path: &[PathBuf]) -> Option<String> {
    if let Some(named) = &settings.uv {
        return said(Program::new(named).arg("--version")).map(|version| format!("{version} (`python.uv`)"));
    }
    if let Some(pin) = Pin::of("uv") {
        let carried =
            lookup::places(&pin.wanted(), "wheels", settings).iter().any(|(path, _)| path.is_file());
        if carried || pin.folder(settings).is_dir() {
            return Some(format!("uv {}, the pinned one", pin.version));
        }
    }
    let on_path = path.iter().map(|folder| folder.join("uv")).find(|uv| uv.is_file());
    if let Some(uv) = on_path {
        return said(Program::new(&uv).arg("--version"))
            .map(|version| format!("{version} ({})", uv.display()));
    }
    let pin = Pin::of("uv").filter(|_| !settings.network.offline)?;
    Some(format!("uv {}, fetched when it is needed", pin.version))
}

fn libc() -> Option<String> {
    if !cfg!(target_os = "linux") {
        return None;
    }
    said(Program::new("getconf").arg("GNU_LIBC_VERSION"))
}

pub(super) fn checks(facts: &Facts) -> Vec<Check> {
    vec![
        python_range(facts),
        environment_state(facts),
        cairo(facts),
        packages(facts),
        installer(facts),
        glibc(facts),
    ]
}

fn python_range(facts: &Facts) -> Check {
    let (min, max) = facts.supported;
    let range = format!("{}.{} to {}.{}", min.0, min.1, max.0, max.1);
    match &facts.interpreter {
        Err(why) if facts.fetched => PYTHON.ok(why.clone()),
        Err(why) => PYTHON
            .problem(why.clone())
            .cause(format!("this release runs on Python {range}"))
            .cure("install one, as `apt install python3 python3-venv` or `dnf install python3.12` do")
            .cure("or name one: `mathesar config set python.interpreter PATH`"),
        Ok(found) => {
            let (major, minor, patch) = found.version;
            let text = format!("Python {major}.{minor}.{patch} ({})", found.path.display());
            match (min..=max).contains(&(major, minor)) {
                true => PYTHON.ok(text),
                false => PYTHON.problem(format!("{text}, and this release runs on {range}")).cure(
                    "choose another: `mathesar config set python.interpreter PATH`, then `mathesar restart`",
                ),
            }
        }
    }
}

fn environment_state(facts: &Facts) -> Check {
    let cure = "`mathesar restart` builds it again; without starting it: `mathesar app install`";
    match &facts.environment {
        Err(why) => ENVIRONMENT.not_checked(why.clone()),
        Ok(State::Ready) => ENVIRONMENT.ok("there, and its interpreter runs"),
        Ok(State::Missing) => ENVIRONMENT.problem("missing").cure(cure),
        Ok(State::Stale(why)) if !facts.requirements => {
            ENVIRONMENT.problem("no longer fits").cause(why.clone()).cure(super::release::FILES_BACK)
        }
        Ok(State::Stale(why)) => ENVIRONMENT.problem("no longer fits").cause(why.clone()).cure(cure),
    }
}

fn cairo(facts: &Facts) -> Check {
    let cure =
        "install it: `apt install libcairo2`, `dnf install cairo`, `pacman -S cairo` or `brew install cairo`";
    match (&facts.cairosvg, &facts.interpreter) {
        (Ok(Ok(())), _) => CAIRO.ok("`import cairosvg` works in the environment"),
        (Ok(Err(said)), Ok(found)) if !found.cairo => CAIRO
            .problem(format!("{} cannot load it, and Mathesar does not start without", found.path.display()))
            .cause(said.clone())
            .cure(cure),
        (Ok(Err(said)), _) => CAIRO
            .problem("the library is there, but `import cairosvg` fails in the environment")
            .cause(said.clone())
            .cure(AGAIN),
        (Err(_), Ok(found)) if !found.cairo => CAIRO
            .problem(format!("{} cannot load it, and Mathesar does not start without", found.path.display()))
            .cure(cure),
        (Err(_), Ok(found)) => CAIRO.ok(format!("{} can load it", found.path.display())),
        (Err(why), Err(_)) => CAIRO.not_checked(why.clone()),
    }
}

fn packages(facts: &Facts) -> Check {
    match (&facts.packages, &facts.damaged) {
        (Ok(_), Ok(damaged)) if !damaged.is_empty() => PACKAGES
            .problem("the environment has lost files of packages, or they were changed")
            .cause(damaged.to_string())
            .cure(AGAIN),
        (Ok(Ok(())), _) => PACKAGES
            .ok("Django, gunicorn and psycopg can be imported, and no package or file of one is missing"),
        (Ok(Err(said)), _) => {
            PACKAGES.problem("the environment lacks some, or they are broken").cause(said.clone()).cure(AGAIN)
        }
        (Err(why), _) => PACKAGES.not_checked(why.clone()),
    }
}

fn installer(facts: &Facts) -> Check {
    if let Some(uv) = &facts.bad_uv {
        return INSTALLER
            .problem(format!("`python.uv` {} does not run", uv.display()))
            .cure("`mathesar config unset python.uv`");
    }
    let pip = facts.interpreter.as_ref().is_ok_and(|found| found.venv);
    match (&facts.uv, pip) {
        (Some(uv), _) => INSTALLER.ok(uv.clone()),
        (None, true) => INSTALLER.ok("no uv, but venv and pip are there"),
        (None, false) => {
            let check =
                INSTALLER.problem("neither uv nor venv and pip are there, so no environment can be made");
            let check = if facts.offline {
                check.cause("`network.offline` is on, so uv is not fetched")
            } else {
                check
            };
            check.cure("`apt install python3-venv`, or name a uv: `mathesar config set python.uv PATH`")
        }
    }
}

fn glibc(facts: &Facts) -> Check {
    let Some(libc) = &facts.libc else {
        return LIBC.not_checked("this system does not tell a version of glibc");
    };
    let mut numbers = libc.strip_prefix("glibc ").unwrap_or_default().split('.').map(str::parse::<u32>);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(major)), Some(Ok(minor))) if (major, minor) >= (2, 34) => LIBC.ok(libc.clone()),
        (Some(Ok(major)), Some(Ok(minor))) if (major, minor) >= (2, 28) => LIBC
            .warning(format!("{libc} is older than the packages are made for (2.34)"))
            .cure("upgrade the distribution, or run the container image"),
        (Some(Ok(_)), Some(Ok(_))) => LIBC
            .problem(format!("{libc} is too old for Mathesar's Python packages (2.28)"))
            .cure("upgrade the distribution, or run the container image"),
        _ => LIBC
            .problem(format!("`{libc}` is no glibc"))
            .cause("on musl, Mathesar's Python packages have no wheels")
            .cure("use a distribution with glibc, or the container image"),
    }
}
