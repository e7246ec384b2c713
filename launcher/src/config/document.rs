//! One file's settings, read with every mistake in it.

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::kind::{Value, type_name};
use super::load::{Config, Entry, Origin, wrong_value};
use super::mask::mask;
use super::problem::{NOT_TOML, Place, Problem, Source, line_column};
use super::setting::Setting;
use super::{SECTIONS, suggest, variables};

/// More mistakes in one file come from one cause, and help nobody.
const MOST: usize = 30;

struct Reader<'a> {
    source: Arc<Source>,
    config: &'a mut Config,
    problems: Vec<Problem>,
}

/// Reads a file's text into the configuration.
pub(crate) fn read(path: &Path, text: &str, config: &mut Config, problems: &mut Vec<Problem>) {
    let (table, errors) = DeTable::parse_recoverable(text);
    let mut secrets = Vec::new();
    secret_spans("", table.get_ref(), &mut secrets);
    let masked = mask(text, &secrets, errors.is_empty());
    let source = Arc::new(Source { path: path.to_owned(), masked });
    let mut reader = Reader { source, config, problems: Vec::new() };

    let mut broken_lines: Vec<usize> = Vec::new();
    for error in &errors {
        // The end of a text that breaks off has no span.
        let span = error.span().unwrap_or(text.len()..text.len());
        let line = line_column(text, span.start).0;
        if !broken_lines.contains(&line) {
            broken_lines.push(line);
            reader.report(Problem::error(format!("{NOT_TOML}: {}", error.message())), span);
        }
    }
    reader.top(table.get_ref());

    // What recovery made of a broken line is noise, and below a broken header nobody knows which section it is.
    let header =
        |line: &usize| text.lines().nth(line - 1).is_some_and(|line| line.trim_start().starts_with('['));
    let lost_from = broken_lines.iter().copied().filter(header).min().unwrap_or(usize::MAX);
    let on_broken_line = |problem: &Problem| {
        let line = problem.place.as_ref().map(|place| place.line_column().0);
        !problem.is_syntax() && line.is_some_and(|line| line >= lost_from || broken_lines.contains(&line))
    };
    let mut found: Vec<Problem> =
        reader.problems.into_iter().filter(|problem| !on_broken_line(problem)).collect();
    found.sort_by_key(|problem| problem.place.as_ref().map(|place| place.span.start));
    let more = found.len().saturating_sub(MOST);
    found.truncate(MOST);
    problems.extend(found);
    if more > 0 {
        problems.push(Problem::error(format!("{more} more in {}", path.display())).in_file(path));
    }
}

fn secret_spans(prefix: &str, table: &DeTable<'_>, spans: &mut Vec<Range<usize>>) {
    for (key, value) in table.iter() {
        let name =
            if prefix.is_empty() { key.get_ref().to_string() } else { format!("{prefix}.{}", key.get_ref()) };
        let secret = Setting::find(&name).is_some_and(|(_, setting)| setting.secret);
        match value.get_ref() {
            DeValue::Table(inner) if prefix.is_empty() && name != "env" => secret_spans(&name, inner, spans),
            DeValue::Table(inner) if name == "env" => {
                spans.extend(inner.iter().map(|(_, value)| value.span()));
            }
            _ if secret => spans.push(value.span()),
            _ => {}
        }
    }
}

type Item<'a, 'i> = (&'a Spanned<std::borrow::Cow<'i, str>>, &'a Spanned<DeValue<'i>>);

impl Reader<'_> {
    fn report(&mut self, problem: Problem, span: Range<usize>) {
        let place = Place { source: Arc::clone(&self.source), span };
        self.problems.push(problem.at(Some(place)));
    }

    fn top(&mut self, table: &DeTable<'_>) {
        for item in table.iter() {
            let (key, value) = item;
            let name = key.get_ref().as_ref();
            let inner = value.get_ref().as_table();
            let section = SECTIONS.iter().find(|section| section.name == name && !name.is_empty());
            match (section, inner) {
                _ if name == "env" => self.env(item),
                (Some(section), Some(inner)) => {
                    for item in inner.iter() {
                        self.setting(&format!("{}.{}", section.name, item.0.get_ref()), item);
                    }
                }
                (Some(_), None) => {
                    let found = type_name(value.get_ref());
                    let problem = Problem::error(format!("`{name}` must be a table, not {found}"))
                        .help(Some(format!("write [{name}], and its settings below it")));
                    self.report(problem, value.span());
                }
                (None, Some(_)) if Setting::find(name).is_none() => {
                    let names = SECTIONS.iter().map(|section| section.name).chain(["env"]);
                    let near = suggest::nearest(name, names.filter(|name| !name.is_empty()));
                    let help = near.map(|near| format!("did you mean [{near}]?"));
                    self.report(Problem::error(format!("unknown section [{name}]")).help(help), key.span());
                }
                _ => self.setting(name, item),
            }
        }
    }

    fn setting(&mut self, name: &str, (key, value): Item<'_, '_>) {
        let Some((index, setting)) = Setting::find(name) else {
            let help = match suggest::setting(name) {
                Some(near) => Some(format!("did you mean `{near}`?")),
                None => Some("`mathesar config show` lists all settings".to_owned()),
            };
            let problem = Problem::error(format!("unknown setting `{name}`")).help(help).about(name);
            return self.report(problem, key.span());
        };
        let empty = value.get_ref().as_str() == Some("");
        let read = match empty && setting.default.is_none() {
            true => Ok(Value::Unset),
            false => setting.kind.read_toml(value),
        };
        match read {
            Ok(value) => {
                let (line, column) = line_column(&self.source.masked, key.span().start);
                let origin = Origin::File { path: self.source.path.clone(), line, column };
                let place = Some(Place { source: Arc::clone(&self.source), span: key.span() });
                self.config.entries[index] = Entry { value, origin, place };
            }
            Err(wrongs) => {
                for wrong in wrongs {
                    let span = wrong.span.clone().unwrap_or(value.span());
                    self.report(wrong_value(setting, &wrong), span);
                }
            }
        }
    }

    fn env(&mut self, (_, value): Item<'_, '_>) {
        let Some(table) = value.get_ref().as_table() else {
            let problem =
                Problem::error(format!("`env` must be a table, not {}", type_name(value.get_ref())));
            let help = "write [env], and below it NAME = \"value\"".to_owned();
            return self.report(problem.help(Some(help)).about("env"), value.span());
        };
        for (key, value) in table.iter() {
            let name = key.get_ref().as_ref();
            if let Some((why, help)) = variables::refusal(name) {
                let message = format!("`{}` cannot be passed on: it {why}", name.escape_debug());
                self.report(Problem::error(message).help(help).about(&format!("env.{name}")), key.span());
                continue;
            }
            match value.get_ref() {
                DeValue::String(text) if !text.contains('\0') => {
                    let (line, column) = line_column(&self.source.masked, key.span().start);
                    let origin = Origin::File { path: self.source.path.clone(), line, column };
                    self.config.env.insert(name.to_owned(), (text.to_string(), origin));
                }
                other => {
                    let message = format!("`env.{name}` must be a string, not {}", type_name(other));
                    let help = "put the value in quotes".to_owned();
                    let problem = Problem::error(message).help(Some(help)).about(&format!("env.{name}"));
                    self.report(problem, value.span());
                }
            }
        }
    }
}
