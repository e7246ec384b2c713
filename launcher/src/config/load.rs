//! Puts a configuration together: defaults < mathesar.conf < conf.d < environment < flags.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::document;
use super::kind::{Value, Wrong};
use super::problem::{Place, Problem, Severity, Source, render_all};
use super::setting::Setting;
use super::{SETTINGS, read, semantic, text, variables};
use crate::failure::{Exit, Failure};
use crate::layout::{Environment, Layout};

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    Default,
    File { path: PathBuf, line: usize, column: usize },
    Environment(String),
    Flag(String),
}

impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Origin::Default => f.write_str("default"),
            Origin::File { path, line, column } => write!(f, "{}:{line}:{column}", path.display()),
            Origin::Environment(name) => write!(f, "environment {name}"),
            Origin::Flag(name) => write!(f, "{name}"),
        }
    }
}

/// A value, where it comes from, and the place for messages.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub value: Value,
    pub origin: Origin,
    pub place: Option<Place>,
}

/// The settings in force.
#[derive(Debug)]
pub struct Config {
    /// As SETTINGS.
    pub(crate) entries: Vec<Entry>,
    /// Further variables for Mathesar.
    pub env: BTreeMap<String, (String, Origin)>,
}

/// What the environment and the command line add to the files.
#[derive(Debug, Default)]
pub struct Outside<'a> {
    pub environment: Environment,
    /// Whether Mathesar's own variables count: in `mathesar run`, never in a developer's shell.
    pub service_variables: bool,
    /// Setting, flag as typed, value.
    pub flags: &'a [(&'a str, &'a str, &'a str)],
}

/// A configuration with everything that is wrong with it.
#[derive(Debug)]
pub struct Loaded {
    pub config: Config,
    pub problems: Vec<Problem>,
    /// Files that exist and were read.
    pub files: Vec<PathBuf>,
}

/// Loads a layout's configuration.
pub fn load(layout: &Layout, outside: &Outside<'_>) -> Loaded {
    let (files, problems) = read::files(layout);
    let mut loaded = load_files(&files, outside);
    loaded.problems.splice(0..0, problems);
    loaded
}

/// Loads these files, later ones over earlier ones; missing ones count as empty.
pub fn load_files(files: &[PathBuf], outside: &Outside<'_>) -> Loaded {
    load_texts(files, outside, None)
}

/// Loads a layout's configuration as it would be with another text in one of its files.
pub(crate) fn load_with(layout: &Layout, outside: &Outside<'_>, path: &Path, text: &str) -> Loaded {
    let (mut files, _) = read::files(layout);
    if !files.iter().any(|file| file == path) {
        files.push(path.to_owned());
        files[1..].sort();
    }
    load_texts(&files, outside, Some((path, text)))
}

fn load_texts(files: &[PathBuf], outside: &Outside<'_>, instead: Option<(&Path, &str)>) -> Loaded {
    let mut loaded = Loaded::defaults();
    for path in files {
        match instead {
            Some((of, text)) if of == path => {
                loaded.add_text(path, text);
                continue;
            }
            _ => {}
        }
        match read::read(path) {
            Ok(Some(text)) => loaded.add_text(path, &text),
            Ok(None) => {}
            Err(problem) => loaded.problems.push(*problem),
        }
    }
    loaded.add_environment(outside);
    for (name, flag, value) in outside.flags {
        loaded.add_words(name, Origin::Flag((*flag).to_owned()), value);
    }
    loaded.add_env_file();
    let mut found = semantic::check(&loaded.config);
    // A warning may only be what an error left behind.
    if loaded.problems.iter().any(|problem| problem.severity == Severity::Error) {
        found.retain(|problem| problem.severity == Severity::Error);
    }
    loaded.problems.extend(found);
    loaded
}

impl Loaded {
    fn defaults() -> Loaded {
        let entry = |setting: &Setting| Entry {
            value: setting.default_value(),
            origin: Origin::Default,
            place: None,
        };
        let config = Config { entries: SETTINGS.iter().map(entry).collect(), env: BTreeMap::new() };
        Loaded { config, problems: Vec::new(), files: Vec::new() }
    }

    /// One file's text alone.
    pub fn with_text(path: &Path, text: &str) -> Loaded {
        let mut loaded = Loaded::defaults();
        loaded.add_text(path, text);
        loaded
    }

    fn add_text(&mut self, path: &Path, text: &str) {
        self.files.push(path.to_owned());
        document::read(path, text, &mut self.config, &mut self.problems);
    }

    /// The configuration, or all its errors as one refusal. Warnings are for `config check`.
    pub fn accept(self) -> Result<Config, Failure> {
        let errors: Vec<Problem> =
            self.problems.into_iter().filter(|problem| problem.severity == Severity::Error).collect();
        if errors.is_empty() {
            return Ok(self.config);
        }
        Err(Failure::told(Exit::Refused, render_all(&errors)))
    }

    fn add_environment(&mut self, outside: &Outside<'_>) {
        let variables = &outside.environment;
        let get = |name: &str| Some(variables.get(name)?.to_string_lossy().into_owned());
        for setting in SETTINGS {
            // The later ones win.
            for name in setting.usual_variables {
                self.add_variable(setting, name, get(name));
            }
            if outside.service_variables {
                for name in setting.service_variables {
                    // Django's users write True.
                    let value = get(name).map(|value| match value.to_lowercase().as_str() {
                        lower @ ("true" | "false") => lower.to_owned(),
                        _ => value,
                    });
                    self.add_variable(setting, name, value);
                }
            }
        }
        if outside.service_variables {
            match variables::database_url(get) {
                Some(url) => {
                    self.add_words("database.url", Origin::Environment("POSTGRES_HOST".to_owned()), &url);
                }
                None => {
                    if let Some(name) = get("POSTGRES_DB") {
                        self.add_words("database.name", Origin::Environment("POSTGRES_DB".to_owned()), &name);
                    }
                }
            }
        }
        for setting in SETTINGS {
            let name = setting.variable();
            self.add_variable(setting, &name, get(&name));
        }
        let names = variables.variables.keys().map(|name| name.to_string_lossy().into_owned());
        for (name, near) in variables::unknown(names) {
            let help = near.map(|near| format!("did you mean {near}?"));
            self.problems.push(Problem::warning(format!("the variable {name} is no setting's")).help(help));
        }
    }

    fn add_variable(&mut self, setting: &Setting, name: &str, value: Option<String>) {
        if let Some(value) = value {
            self.add_words(setting.name, Origin::Environment(name.to_owned()), &value);
        }
    }

    fn add_words(&mut self, name: &str, origin: Origin, value: &str) {
        let Some((index, setting)) = Setting::find(name) else { return };
        match from_text(setting, value) {
            Ok(value) => self.config.entries[index] = Entry { value, origin, place: None },
            Err(wrong) => {
                let problem = wrong_value(setting, &wrong);
                self.problems.push(Problem { message: format!("{origin}: {}", problem.message), ..problem });
            }
        }
    }

    /// `[env]` wins over the file.
    fn add_env_file(&mut self) {
        let Some(path) = self.config.path("env-file") else { return };
        let text = match read::read(&path) {
            Ok(Some(text)) => text,
            Ok(None) => {
                let problem =
                    Problem::error(format!("`env-file` names {}, which does not exist", path.display()));
                let (index, _) = Setting::find("env-file").unwrap_or((0, &SETTINGS[0]));
                self.problems.push(problem.about("env-file").at(self.config.entries[index].place.clone()));
                return;
            }
            Err(problem) => return self.problems.push(problem.about("env-file")),
        };
        let keep_names = |line: &str| match line.split_once('=') {
            Some((name, value)) => format!("{name}={}", "*".repeat(value.len())),
            None => "*".repeat(line.len()),
        };
        let masked: Vec<String> = text.lines().map(keep_names).collect();
        let source = Arc::new(Source { path: path.clone(), masked: masked.join("\n") });
        let mut start = 0;
        for (number, line) in text.lines().enumerate() {
            let length = source.masked.split('\n').nth(number).map_or(0, str::len);
            let place = Place { source: Arc::clone(&source), span: start..start + length };
            start += length + 1;
            match variables::env_file_line(line) {
                Ok(None) => {}
                Ok(Some((name, value))) => match variables::refusal(name) {
                    Some((why, help)) => {
                        let problem = Problem::error(format!("`{name}` cannot be passed on: it {why}"));
                        self.problems.push(problem.help(help).about("env-file").at(Some(place)));
                    }
                    None => {
                        let origin = Origin::File { path: path.clone(), line: number + 1, column: 1 };
                        self.config.env.entry(name.to_owned()).or_insert((value.to_owned(), origin));
                    }
                },
                Err(what) => {
                    self.problems.push(Problem::error(what).about("env-file").at(Some(place)));
                }
            }
        }
    }
}

/// A variable's or an argument's text: lists are split at commas, and an empty text unsets what may be unset.
pub(crate) fn from_text(setting: &Setting, text: &str) -> Result<Value, Wrong> {
    if text.is_empty() && setting.default.is_none() {
        return Ok(Value::Unset);
    }
    match setting.kind {
        super::kind::Kind::List(_) => {
            setting.kind.read_words(&text.split(',').map(str::trim).collect::<Vec<_>>())
        }
        _ => setting.kind.read_words(&[text]),
    }
}

/// The one sentence about a wrong value, from a file, the command line or the environment.
pub(crate) fn wrong_value(setting: &Setting, wrong: &Wrong) -> Problem {
    let expected = setting.kind.expected();
    // Nobody's secret is repeated.
    let found = if setting.secret || wrong.found.contains("://") && wrong.found.contains('@') {
        String::new()
    } else {
        format!(", not {}", wrong.found)
    };
    let message = match (&setting.kind, wrong.element) {
        (super::kind::Kind::List(of), true) => {
            format!("each item of `{}` must be {}{found}", setting.name, of.expected())
        }
        _ => format!("`{}` must be {expected}{found}", setting.name),
    };
    let help = wrong.help.clone().filter(|_| !setting.secret);
    Problem::error(message).help(help).about(setting.name)
}

impl Config {
    /// A setting's value; a name that does not exist is not set.
    pub fn get(&self, name: &str) -> &Value {
        Setting::find(name).map_or(&Value::Unset, |(index, _)| &self.entries[index].value)
    }

    pub fn origin(&self, name: &str) -> Origin {
        Setting::find(name).map_or(Origin::Default, |(index, _)| self.entries[index].origin.clone())
    }

    pub fn text(&self, name: &str) -> Option<&str> {
        match self.get(name) {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    pub fn path(&self, name: &str) -> Option<PathBuf> {
        self.text(name).map(PathBuf::from)
    }

    pub fn bool(&self, name: &str) -> bool {
        *self.get(name) == Value::Bool(true)
    }

    /// None also for `auto`.
    pub fn integer(&self, name: &str) -> Option<i64> {
        match self.get(name) {
            Value::Integer(number) => Some(*number),
            _ => None,
        }
    }

    pub fn list(&self, name: &str) -> &[String] {
        match self.get(name) {
            Value::List(items) => items,
            _ => &[],
        }
    }

    pub fn duration(&self, name: &str) -> Option<Duration> {
        self.text(name).and_then(text::duration)
    }

    /// In bytes.
    pub fn size(&self, name: &str) -> Option<u64> {
        self.text(name).and_then(text::size)
    }
}
