//! Which Python runs Mathesar: found, and asked what it is.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::failure::{Exit, Failure};
use crate::process::Program;
use crate::release::Python as Supported;

/// An interpreter that answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Python {
    pub path: PathBuf,
    pub version: (u32, u32, u32),
    /// As `linux-x86_64`.
    pub platform: String,
    /// Whether `python -m venv` would work.
    pub venv: bool,
    /// Whether it can load libcairo, which Mathesar imports at start.
    pub cairo: bool,
}

impl Python {
    pub fn minor(&self) -> (u32, u32) {
        (self.version.0, self.version.1)
    }

    pub fn version_text(&self) -> String {
        let (major, minor, patch) = self.version;
        format!("{major}.{minor}.{patch}")
    }
}

/// What to use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Choice {
    System(Python),
    /// uv is to fetch one of this version; where it cannot, `otherwise` is the next best.
    Managed {
        version: (u32, u32),
        otherwise: Option<Python>,
    },
}

/// Where interpreters are looked for besides PATH.
#[derive(Debug, Clone, Default)]
pub struct Places {
    pub path: Vec<PathBuf>,
    pub home: Option<PathBuf>,
}

impl Places {
    pub fn of_this_process() -> Places {
        Places {
            path: std::env::var_os("PATH")
                .map(|path| std::env::split_paths(&path).collect())
                .unwrap_or_default(),
            home: std::env::home_dir(),
        }
    }

    /// Candidates of one version, best first.
    fn of(&self, (major, minor): (u32, u32)) -> Vec<PathBuf> {
        let name = format!("python{major}.{minor}");
        let mut folders: Vec<PathBuf> =
            self.path.iter().filter(|folder| folder.is_absolute()).cloned().collect();
        folders.extend(["/usr/bin", "/usr/local/bin"].map(PathBuf::from));
        for prefix in ["/opt/homebrew", "/usr/local", "/home/linuxbrew/.linuxbrew"] {
            folders.push(PathBuf::from(format!("{prefix}/opt/python@{major}.{minor}/bin")));
        }
        folders.push(PathBuf::from(format!(
            "/Library/Frameworks/Python.framework/Versions/{major}.{minor}/bin"
        )));
        if let Some(home) = &self.home {
            folders.extend(versions(&home.join(".pyenv/versions"), &format!("{major}.{minor}.")));
            folders.extend(versions(&home.join(".asdf/installs/python"), &format!("{major}.{minor}.")));
        }
        let mut found: Vec<PathBuf> = folders.iter().map(|folder| folder.join(&name)).collect();
        // A plain `python3` may be of that version too.
        found.extend(folders.iter().map(|folder| folder.join("python3")));
        found.retain(|path| path.is_file());
        found
    }
}

/// `bin` of each version of that minor in a version manager's folder, the newest patch first.
fn versions(folder: &Path, prefix: &str) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut found: Vec<(u32, PathBuf)> = entries
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name().to_string_lossy().into_owned();
            Some((name.strip_prefix(prefix)?.parse().ok()?, entry.path().join("bin")))
        })
        .collect();
    found.sort_by_key(|(patch, _)| std::cmp::Reverse(*patch));
    found.into_iter().map(|(_, bin)| bin).collect()
}

/// Chooses: `python.interpreter`, else a preferred version of the system, else one that uv fetches, else any supported.
pub fn choose(
    supported: &Supported,
    named: Option<&Path>,
    managed: bool,
    places: &Places,
) -> Result<Choice, Failure> {
    if let Some(path) = named {
        return choose_named(supported, path).map(Choice::System);
    }
    let mut asked = Asked::new();
    let mut told = Vec::new();
    for wanted in &supported.prefer {
        if let Some(python) = first(supported, *wanted, places, &mut asked, &mut told) {
            return Ok(Choice::System(python));
        }
    }
    // The oldest first: the index has more wheels for it.
    let rest = (supported.min.1..=supported.max.1).map(|minor| (supported.min.0, minor));
    let otherwise = rest
        .filter(|version| !supported.prefer.contains(version))
        .find_map(|version| first(supported, version, places, &mut asked, &mut told));
    match (managed.then(|| supported.prefer.first()).flatten(), otherwise) {
        (Some(version), otherwise) => Ok(Choice::Managed { version: *version, otherwise }),
        (None, Some(python)) => Ok(Choice::System(python)),
        (None, None) => Err(none_found(supported, &told)),
    }
}

/// No Python that would do, and what was found instead.
pub fn none_found(supported: &Supported, told: &[String]) -> Failure {
    let (min, max) = (text(supported.min), text(supported.max));
    let failure = Failure::new(format!("found no Python from {min} to {max}"))
        .exit(Exit::Refused)
        .help("install one, as `apt install python3 python3-venv` or `dnf install python3.12` do")
        .help("or name one: `mathesar config set python.interpreter PATH`");
    if told.is_empty() { failure } else { failure.cause(format!("found: {}", told.join("; "))) }
}

fn choose_named(supported: &Supported, path: &Path) -> Result<Python, Failure> {
    let help = "choose another with `mathesar config set python.interpreter PATH`, or none with `mathesar config unset python.interpreter`";
    let wrong = |failure: Failure| failure.exit(Exit::Refused).help(help);
    let python = probe(path).map_err(|why| {
        wrong(Failure::new(format!("`python.interpreter` {} cannot be used", path.display())).cause(why))
    })?;
    if !(supported.min..=supported.max).contains(&python.minor()) {
        let (min, max) = (text(supported.min), text(supported.max));
        let found = python.version_text();
        let path = path.display();
        return Err(wrong(Failure::new(format!(
            "`python.interpreter` {path} is Python {found}; this release runs on {min} to {max}"
        ))));
    }
    Ok(python)
}

/// What was answered, by `same`: each question is a start of Python.
type Asked = BTreeMap<PathBuf, Result<Python, String>>;

fn first(
    supported: &Supported,
    wanted: (u32, u32),
    places: &Places,
    asked: &mut Asked,
    told: &mut Vec<String>,
) -> Option<Python> {
    for path in places.of(wanted) {
        let same = same(&path);
        let new = !asked.contains_key(&same);
        let result = asked.entry(same).or_insert_with(|| probe(&path));
        match result {
            Ok(python) if python.minor() == wanted => return Some(python.clone()),
            Ok(python) if !(supported.min..=supported.max).contains(&python.minor()) && new => {
                told.push(format!("{} ({})", path.display(), python.version_text()));
            }
            Err(why) if new => told.push(format!("{} ({why})", path.display())),
            _ => {}
        }
    }
    None
}

/// One name for `/bin/python3`, `/usr/bin/python3` and `/usr/bin/python3.11`. Links are followed within their folder only: in
/// an environment `python3` leads to the system's, and is another interpreter all the same.
fn same(path: &Path) -> PathBuf {
    let mut path = match (path.parent().map(Path::canonicalize), path.file_name()) {
        (Some(Ok(folder)), Some(name)) => folder.join(name),
        _ => return path.to_owned(),
    };
    // No chain of links is longer on any system.
    for _ in 0..40 {
        match std::fs::read_link(&path) {
            Ok(target) if target.components().count() == 1 => path.set_file_name(target),
            _ => break,
        }
    }
    path
}

/// Isolated, so that nobody's PYTHON* or site packages answer; names of libcairo as cairocffi tries them.
const QUESTION: &str = "
import sys, json
def cairo():
    import ctypes, ctypes.util
    for name in ('libcairo.so.2', 'libcairo.2.dylib', None):
        try:
            name = name or ctypes.util.find_library('cairo')
            if name:
                ctypes.CDLL(name)
                return True
        except OSError:
            pass
    return False
def there(name):
    from importlib.util import find_spec
    return find_spec(name) is not None
import sysconfig
print(json.dumps({
    'version': sys.version_info[:3], 'platform': sysconfig.get_platform(), 'path': sys.executable,
    'usual': sys.implementation.name == 'cpython' and not sysconfig.get_config_var('Py_GIL_DISABLED'),
    'venv': there('venv') and there('ensurepip'), 'cairo': cairo()}))
";

/// Runs an interpreter and asks it.
pub fn probe(path: &Path) -> Result<Python, String> {
    let output = Program::new(path).args(["-I", "-c", QUESTION]).run().map_err(|failure| {
        let cause = std::error::Error::source(&failure).map(ToString::to_string).unwrap_or_default();
        format!("does not run: {}", cause.lines().map(str::trim).take(2).collect::<Vec<_>>().join(", "))
    })?;
    let answer: Value =
        serde_json::from_slice(&output.stdout).map_err(|_| "gives no sensible answer".to_owned())?;
    let number = |index: usize| answer["version"][index].as_u64().and_then(|n| u32::try_from(n).ok());
    let version = match (number(0), number(1), number(2)) {
        (Some(major), Some(minor), Some(patch)) => (major, minor, patch),
        _ => return Err("gives no version".to_owned()),
    };
    if answer["usual"] != true {
        return Err("is no usual CPython".to_owned());
    }
    // A version manager's shim answers with what stands behind it, which is what an environment must point at.
    let real = answer["path"].as_str().filter(|path| !path.is_empty()).map_or(path.to_owned(), PathBuf::from);
    Ok(Python {
        path: real,
        version,
        platform: answer["platform"].as_str().unwrap_or_default().to_owned(),
        venv: answer["venv"] == true,
        cairo: answer["cairo"] == true,
    })
}

/// Told before anything is installed: without it nothing starts.
pub fn require_cairo(python: &Python) -> Result<(), Failure> {
    if python.cairo {
        return Ok(());
    }
    Err(Failure::new(format!(
        "{} cannot load libcairo, without which Mathesar does not start",
        python.path.display()
    ))
    .exit(Exit::Refused)
    .help(
        "install it: `apt install libcairo2`, `dnf install cairo`, `pacman -S cairo` or `brew install cairo`",
    ))
}

fn text((major, minor): (u32, u32)) -> String {
    format!("{major}.{minor}")
}
