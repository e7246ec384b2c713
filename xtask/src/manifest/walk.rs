//! The manifest's tree against the schema of its types. Every key and value is looked at whatever else is wrong, and
//! the outcome always deserialises: a stand-in takes the place of what is missing or of another type. What is sound is
//! in `spans`, so that later checks know what they may judge.

use std::collections::BTreeMap;
use std::ops::Range;

use serde_json::{Map, Value};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::check;
use super::problem::{Problem, did_you_mean, ticked};

/// Where each sound value stands, by its path, as `file/3/dest`.
pub(crate) type Spans = BTreeMap<String, Range<usize>>;

/// Walks a document.
pub(super) struct Walk<'a> {
    pub text: &'a str,
    pub schema: &'a Value,
    pub problems: Vec<Problem>,
    pub spans: Spans,
}

impl<'a> Walk<'a> {
    pub(super) fn document(&mut self, table: &Spanned<DeTable<'_>>) -> Value {
        // A missing table would be written at the end of the file.
        let end = self.text.trim_end().len();
        self.table(table.get_ref(), end..end, self.schema, "")
    }

    fn value(&mut self, node: &Spanned<DeValue<'_>>, schema: &'a Value, path: &str) -> Value {
        let span = node.span();
        let schema = self.branch(node.get_ref(), schema);
        let value = match (node.get_ref(), kind(schema)) {
            (DeValue::Table(table), Some("object")) => {
                self.spans.insert(path.to_owned(), span.clone());
                self.table(table, span, schema, path)
            }
            (DeValue::Array(items), Some("array")) => {
                self.spans.insert(path.to_owned(), span.clone());
                if items.is_empty() && schema["minItems"].as_u64().is_some_and(|least| least > 0) {
                    self.problems.push(Problem::new(
                        format!("{} is empty", name(path)),
                        span,
                        "nothing in it",
                    ));
                }
                let rule = schema["x-check-items"].as_str();
                let items = items.iter().enumerate().map(|(index, item)| {
                    let path = format!("{path}/{index}");
                    let value = self.value(item, &schema["items"], &path);
                    self.check(rule, &value, item.span(), &path);
                    value
                });
                Value::Array(items.collect())
            }
            (DeValue::String(text), Some("string")) => {
                self.spans.insert(path.to_owned(), span.clone());
                self.string(text, span, schema, path)
            }
            (DeValue::Integer(number), Some("integer")) => {
                match i128::from_str_radix(number.as_str(), number.radix()) {
                    Ok(number) if fits(number, schema) => {
                        self.spans.insert(path.to_owned(), span);
                        Value::from(number as u64)
                    }
                    _ => {
                        let title = format!("{} is out of range", name(path));
                        self.problems.push(Problem::new(title, span, "not a number that makes sense here"));
                        stand_in(self.schema, schema)
                    }
                }
            }
            (DeValue::Boolean(yes), Some("boolean")) => {
                self.spans.insert(path.to_owned(), span);
                Value::from(*yes)
            }
            (found, wanted) => {
                let problem =
                    wrong_type(found, wanted.unwrap_or("string"), self.alternatives(schema), span, path);
                self.problems.push(problem);
                return stand_in(self.schema, schema);
            }
        };
        self.check(schema["x-check"].as_str(), &value, node.span(), path);
        value
    }

    fn table(&mut self, table: &DeTable<'_>, header: Range<usize>, schema: &'a Value, path: &str) -> Value {
        let mut out = Map::new();
        let mut taken_for = Vec::new();
        let properties = schema["properties"].as_object();
        for (key, node) in table {
            let id = key.get_ref().as_ref();
            let path = join(path, id);
            if id.chars().any(check::forbidden) || id == "\n" {
                let title = format!("a control character in the key {id:?}");
                self.problems.push(Problem::new(title, key.span(), "has a control character"));
            } else if let Some(property) = properties.and_then(|properties| properties.get(id)) {
                out.insert(id.to_owned(), self.value(node, property, &path));
            } else if schema["additionalProperties"].is_object() {
                let span = if node.span().is_empty() { key.span() } else { node.span() };
                let value = self.value(node, &schema["additionalProperties"], &path);
                self.spans.insert(path, span);
                out.insert(id.to_owned(), value);
            } else {
                let free = properties.into_iter().flat_map(Map::keys).map(String::as_str);
                let meant = did_you_mean(id, free.filter(|known| !table.contains_key(*known)));
                self.unknown(id, key.span(), &path, properties, meant);
                // Its value is looked at as if the key were right.
                if let Some((meant, property)) = meant.zip(meant.and_then(|meant| properties?.get(meant))) {
                    self.value(node, property, &path);
                    taken_for.push(meant);
                }
            }
        }
        let required = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str);
        let missing: Vec<&str> = required.filter(|key| !out.contains_key(*key)).collect();
        for key in &missing {
            let property = properties.map_or(&Value::Null, |properties| &properties[*key]);
            out.insert((*key).to_owned(), stand_in(self.schema, self.resolve(property)));
        }
        self.missing(
            missing.into_iter().filter(|key| !taken_for.contains(key)).collect(),
            header,
            schema,
            path,
        );
        Value::Object(out)
    }

    fn unknown(
        &mut self,
        id: &str,
        span: Range<usize>,
        path: &str,
        properties: Option<&'a Map<String, Value>>,
        meant: Option<&str>,
    ) {
        let parent = path.rsplit_once('/').map_or("", |(parent, _)| parent);
        let problem =
            Problem::new(format!("unknown key `{id}` in {}", table_name(parent)), span, "unknown key");
        let elsewhere = self.home_of(id);
        let help = match (meant, elsewhere) {
            (Some(meant), _) => format!("did you mean `{meant}`?"),
            (None, Some(table)) => format!("`{id}` belongs in {}", table_name(&table)),
            (None, None) => {
                let known = properties.into_iter().flat_map(Map::keys).map(String::as_str);
                format!("known here: {}", ticked(known, "and"))
            }
        };
        self.problems.push(problem.help(help));
    }

    /// The one top-level table that has such a key.
    fn home_of(&self, id: &str) -> Option<String> {
        let tables = self.schema["properties"].as_object()?;
        let mut homes = tables.iter().filter(|(_, table)| {
            self.resolve(table)["properties"].as_object().is_some_and(|keys| keys.contains_key(id))
        });
        homes.next().filter(|_| homes.next().is_none()).map(|(table, _)| table.clone())
    }

    fn missing(&mut self, missing: Vec<&str>, header: Range<usize>, schema: &'a Value, path: &str) {
        if missing.is_empty() {
            return;
        }
        let what = match (path, missing.len()) {
            ("", 1) => "table",
            ("", _) => "tables",
            (_, 1) => "key",
            _ => "keys",
        };
        let list = ticked(missing.iter().copied(), "and");
        let title = match path.strip_prefix("dependency/").and_then(|rest| rest.strip_suffix("/names")) {
            Some(logical) => format!("dependency `{logical}` is not mapped for {list}"),
            None => format!("missing {what} {list} in {}", table_name(path)),
        };
        let label =
            if missing.len() > 3 { "expected here".to_owned() } else { format!("{list} expected here") };
        let mut problem = Problem::new(title, header, label);
        problem.help = match schema["x-missing"].as_str() {
            Some(help) => Some(help.to_owned()),
            None => missing.first().and_then(|key| {
                let description = schema["properties"][*key]["description"].as_str()?;
                (missing.len() == 1).then(|| format!("`{key}`: {}", description.replace('\n', " ")))
            }),
        };
        self.problems.push(problem);
    }

    fn string(&mut self, text: &str, span: Range<usize>, schema: &'a Value, path: &str) -> Value {
        // A checkout on Windows may have its line ends; TOML means the same by both.
        let text = &text.replace("\r\n", "\n");
        if let Some(bad) = text.chars().find(|character| check::forbidden(*character)) {
            let title = format!("control character U+{:04X} in {}", u32::from(bad), name(path));
            self.problems.push(Problem::new(title, span, "not allowed in any value"));
            self.spans.remove(path);
            return stand_in(self.schema, schema);
        }
        let Some(choices) = choices(schema) else { return Value::from(text.as_str()) };
        if choices.contains(&text.as_str()) {
            return Value::from(text.as_str());
        }
        let title = format!("unknown value `{text}` of {}", name(path));
        let problem =
            Problem::new(title, span, format!("expected {}", ticked(choices.iter().copied(), "or")));
        let synonym = check::synonym(text).filter(|synonym| choices.contains(synonym));
        self.problems.push(match did_you_mean(text, choices.iter().copied()).or(synonym) {
            Some(meant) => problem.help(format!("did you mean `{meant}`?")),
            None => problem,
        });
        self.spans.remove(path);
        stand_in(self.schema, schema)
    }

    fn check(&mut self, rule: Option<&str>, value: &Value, span: Range<usize>, path: &str) {
        let Some(rule) = rule.and_then(check::rule) else { return };
        if !self.spans.contains_key(path) {
            return;
        }
        let text = match value {
            Value::String(text) => text.clone(),
            Value::Number(number) => number.to_string(),
            _ => return,
        };
        let Err(mut fault) = (rule.check)(&text) else { return };
        for fault in std::mem::take(&mut fault.more).into_iter().chain([fault]) {
            let place = within(self.text, &span, &text, fault.at);
            let mut problem = Problem::new(fault.title, place, fault.label);
            problem.help = fault.help;
            self.problems.push(problem);
        }
        self.spans.remove(path);
    }

    /// The schema that `$ref` leads to, and of several alternatives the one that fits the value's type.
    fn branch(&self, node: &DeValue<'_>, schema: &'a Value) -> &'a Value {
        let schema = self.resolve(schema);
        let Some(branches) = schema["anyOf"].as_array() else { return schema };
        let wanted = match node {
            DeValue::String(_) => "string",
            DeValue::Array(_) => "array",
            DeValue::Table(_) => "object",
            DeValue::Integer(_) => "integer",
            DeValue::Boolean(_) => "boolean",
            DeValue::Float(_) | DeValue::Datetime(_) => return schema,
        };
        branches
            .iter()
            .map(|branch| self.resolve(branch))
            .find(|branch| kind(branch) == Some(wanted))
            .unwrap_or(schema)
    }

    fn alternatives(&self, schema: &'a Value) -> Vec<String> {
        let branches = schema["anyOf"].as_array().into_iter().flatten();
        branches.filter_map(|branch| kind(self.resolve(branch)).map(str::to_owned)).collect()
    }

    fn resolve(&self, schema: &'a Value) -> &'a Value {
        resolve(self.schema, schema)
    }
}

fn resolve<'s>(root: &'s Value, schema: &'s Value) -> &'s Value {
    match schema["$ref"].as_str().and_then(|reference| reference.strip_prefix('#')) {
        Some(pointer) => root.pointer(pointer).unwrap_or(&Value::Null),
        None => schema,
    }
}

/// The JSON type, without `null`: TOML has none.
fn kind(schema: &Value) -> Option<&str> {
    match &schema["type"] {
        Value::String(kind) => Some(kind),
        Value::Array(kinds) => kinds.iter().filter_map(Value::as_str).find(|kind| *kind != "null"),
        _ if schema["oneOf"].is_array() => Some("string"),
        _ => None,
    }
}

fn choices(schema: &Value) -> Option<Vec<&str>> {
    let plain = schema["enum"].as_array().map(|values| values.iter().filter_map(Value::as_str).collect());
    let told = || schema["oneOf"].as_array();
    plain.or_else(|| told().map(|values| values.iter().filter_map(|value| value["const"].as_str()).collect()))
}

fn fits(number: i128, schema: &Value) -> bool {
    let most = if schema["format"] == "uint32" { i128::from(u32::MAX) } else { i128::from(i64::MAX) };
    (0..=most).contains(&number)
}

/// Something that deserialises.
fn stand_in(root: &Value, schema: &Value) -> Value {
    let schema = resolve(root, schema);
    if let Some(first) = choices(schema).and_then(|choices| choices.first().copied().map(str::to_owned)) {
        return first.into();
    }
    match kind(schema) {
        Some("object") => {
            let required = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str);
            required.map(|key| (key.to_owned(), stand_in(root, &schema["properties"][key]))).collect()
        }
        Some("array") => Value::Array(Vec::new()),
        Some("integer") => Value::from(0),
        Some("boolean") => Value::from(false),
        _ => Value::from(""),
    }
}

fn wrong_type(
    found: &DeValue<'_>,
    wanted: &str,
    alternatives: Vec<String>,
    span: Range<usize>,
    path: &str,
) -> Problem {
    let words = |kind: &str| match kind {
        "object" => "a table",
        "array" => "an array",
        "integer" => "an integer",
        "boolean" => "`true` or `false`",
        _ => "a string",
    };
    let expected = match alternatives.is_empty() {
        true => words(wanted).to_owned(),
        false => alternatives.iter().map(|kind| words(kind)).collect::<Vec<_>>().join(" or "),
    };
    let is = match found {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "an integer",
        DeValue::Float(_) => "a float",
        DeValue::Boolean(_) => "a boolean",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "an array",
        DeValue::Table(_) => "a table",
    };
    let problem = Problem::new(format!("{} is {is}", name(path)), span, format!("expected {expected}"));
    match (found, wanted) {
        (DeValue::String(text), "integer") if text.parse::<u64>().is_ok() => {
            problem.help(format!("without quotes: `{text}`"))
        }
        (DeValue::String(text), "boolean") if matches!(text.as_ref(), "true" | "false") => {
            problem.help(format!("without quotes: `{text}`"))
        }
        (DeValue::Integer(number), "string") if number.radix() == 8 => {
            problem.help(format!("in quotes, without `0o`: `\"0{}\"`", number.as_str()))
        }
        (DeValue::Integer(number), "string") => problem.help(format!("in quotes: `\"{number}\"`")),
        (DeValue::Float(number), "string") => problem.help(format!("in quotes: `\"{}\"`", number.as_str())),
        (DeValue::String(text), "array") => problem.help(format!("in brackets: `[{:?}]`", text.as_ref())),
        _ => problem,
    }
}

/// Bytes `at` of a string's value as bytes of the text, where that part is written without escapes; else all of it.
fn within(text: &str, span: &Range<usize>, value: &str, at: Option<Range<usize>>) -> Range<usize> {
    let found = || {
        let (at, raw) = (at?, text.get(span.clone())?);
        if let Some(offset) = raw.find(value) {
            return Some(span.start + offset + at.start..span.start + offset + at.end);
        }
        let part = value.get(at).filter(|part| !part.is_empty() && raw.matches(part).count() == 1)?;
        raw.find(part).map(|offset| span.start + offset..span.start + offset + part.len())
    };
    found().unwrap_or_else(|| span.clone())
}

fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}/{key}") }
}

/// `file/3/dest` as `` `file.dest` ``.
fn name(path: &str) -> String {
    let parts: Vec<&str> = path.split('/').filter(|part| part.parse::<usize>().is_err()).collect();
    format!("`{}`", parts.join("."))
}

fn table_name(path: &str) -> String {
    let parts: Vec<&str> = path.split('/').filter(|part| part.parse::<usize>().is_err()).collect();
    match (path, path.rsplit('/').next().is_some_and(|last| last.parse::<usize>().is_ok())) {
        ("", _) => "the manifest".to_owned(),
        (_, true) => format!("`[[{}]]`", parts.join(".")),
        (_, false) => format!("`[{}]`", parts.join(".")),
    }
}
