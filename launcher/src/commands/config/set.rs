//! `mathesar config set`

use std::io::Read as _;

use anyhow::Context as _;

use super::{Context, Name};
use crate::config::{self, Config, Edit, Kind, Loaded, Origin, Problem, Setting, Severity, render_all};
use crate::failure::{Exit, Failure};
use crate::foreign;
use crate::layout::Scope;

/// Change one setting and keep everything else in the file, comments included
///
/// In system mode conf.d/90-local.conf is written, else mathesar.conf. A wrong value is refused, and nothing is written.
/// The change takes effect at `mathesar restart`, where mathesar.conf(5) does not say otherwise.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// `section.key`, or `env.NAME`
    #[arg(value_parser = super::Names, hide_possible_values = true)]
    name: String,

    /// The value; of a list, each item as one argument
    #[arg(value_name = "VALUE", required_unless_present = "stdin", allow_hyphen_values = true)]
    values: Vec<String>,

    /// Read the value from standard input: other users can see arguments, but not this
    ///
    /// One line end at the end is dropped.
    #[arg(long, conflicts_with = "values")]
    stdin: bool,
}

pub(crate) fn run(args: &Args, context: &Context) -> anyhow::Result<()> {
    let values = if args.stdin { vec![standard_input()?] } else { args.values.clone() };
    let value = match Name::parse(&args.name)? {
        Name::Setting(setting) => typed(setting, &values)?,
        Name::Variable(_) => match values.as_slice() {
            [value] if !value.contains('\0') => value.as_str().into(),
            _ => {
                anyhow::bail!(Failure::new(format!("`{}` must be one string", args.name)).exit(Exit::Refused))
            }
        },
    };
    set(&args.name, value, context)?;
    Ok(())
}

/// Writes a checked value, and says so. Returns whether anything changed.
pub(crate) fn set(name: &str, value: toml_edit::Value, context: &Context) -> Result<bool, Failure> {
    let changed = change(name, &Edit::Set(value), context)?;
    let path = context.layout.writable_config();
    match changed {
        true => super::super::verb("Set", format_args!("{name} in {}", path.display())),
        false => super::super::verb("Unchanged", format_args!("{name} in {}", path.display())),
    }
    tell_if_overruled(name, context);
    warn_of_what_is_not_there(name, context);
    Ok(changed)
}

fn typed(setting: &Setting, values: &[String]) -> Result<toml_edit::Value, Failure> {
    let words: Vec<&str> = match (&setting.kind, values) {
        // `set server.hosts ''` empties the list, and `a,b` is what variables take.
        (Kind::List(_), values) => values.iter().flat_map(|value| value.split(',')).map(str::trim).collect(),
        (_, values) => values.iter().map(String::as_str).collect(),
    };
    let read = match words.as_slice() {
        [word] => config::from_text(setting, word),
        words => setting.kind.read_words(words),
    };
    read.map(|value| value.to_toml()).map_err(|wrong| {
        let problem = config::wrong_value(setting, &wrong);
        let failure = Failure::new(problem.message).exit(Exit::Refused);
        match problem.help {
            Some(help) => failure.help(help),
            None => failure,
        }
    })
}

fn standard_input() -> anyhow::Result<String> {
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text).context("cannot read the value from standard input")?;
    let line = text.strip_suffix('\n').unwrap_or(&text);
    Ok(line.strip_suffix('\r').unwrap_or(line).to_owned())
}

/// Edits the file that is ours to write. A change that makes something wrong which was not wrong before is refused.
pub(super) fn change(name: &str, edit: &Edit, context: &Context) -> Result<bool, Failure> {
    let path = context.layout.writable_config();
    // What is written there, others read and change.
    if let Some(foreign) = foreign::settings(&context.layout, context.environment.uid) {
        return Err(foreign.refusal());
    }
    let now = super::load(context);
    let mut others = now.problems;
    others.extend(config::misplaced(&now.config, &context.layout));
    // The first setting comes into the file that explains them all; a package has brought its own.
    let fresh = context.layout.scope != Scope::System && path.symlink_metadata().is_err();
    config::write(&path, context.layout.scope, |before| {
        let before = if fresh && before.is_empty() { config::TEMPLATE } else { before };
        let check = |text: &str| {
            let mut loaded = Loaded::with_text(&path, text);
            loaded.problems.retain(|problem| problem.severity == Severity::Error);
            loaded.problems
        };
        let already = check(before);
        let broken: Vec<Problem> = already.iter().filter(|problem| problem.is_syntax()).cloned().collect();
        if !broken.is_empty() {
            return Err(Failure::told(Exit::Refused, render_all(&broken)));
        }
        let after = config::edit(before, name, edit)
            .map_err(|cause| Failure::new(format!("cannot change {}", path.display())).cause(cause))?;
        let loaded = config::load_with(&context.layout, &super::outside(context), &path, &after);
        let mut with = loaded.problems;
        with.extend(config::misplaced(&loaded.config, &context.layout));
        let known = |problem: &Problem| {
            others
                .iter()
                .chain(&already)
                .any(|other| other.message == problem.message && other.setting == problem.setting)
        };
        with.retain(|problem| problem.severity == Severity::Error && !known(problem));
        match with.as_slice() {
            [] => Ok(after),
            new => Err(Failure::told(Exit::Refused, render_all(new))),
        }
    })
}

/// It may come later, and is an error until then: `config check` says the same.
fn warn_of_what_is_not_there(name: &str, context: &Context) {
    let Loaded { config, .. } = super::load(context);
    let mut problems = config::missing_files(&config);
    problems.extend(config::unfit_here(&config));
    problems.retain(|problem| problem.setting.as_deref() == Some(name));
    problems.iter_mut().for_each(|problem| problem.severity = Severity::Warning);
    if !problems.is_empty() {
        anstream::eprint!("{}", crate::cure::addressed_helps(&render_all(&problems)));
    }
}

/// Says so when a later file or a variable overrules what was written.
fn tell_if_overruled(name: &str, context: &Context) {
    let Loaded { config, .. } = super::load(context);
    let written = context.layout.writable_config();
    let overruled = |origin: &Origin| match origin {
        Origin::Default => false,
        Origin::File { path, .. } => *path != written,
        Origin::Environment(_) | Origin::Flag(_) => true,
    };
    let origin = origin_of(&config, name);
    if overruled(&origin) {
        super::super::note(format_args!("{origin} sets {name} too, and wins"));
    }
}

pub(super) fn origin_of(config: &Config, name: &str) -> Origin {
    match name.strip_prefix("env.") {
        Some(variable) => config.env.get(variable).map_or(Origin::Default, |(_, origin)| origin.clone()),
        None => config.origin(name),
    }
}
