//! The types of settings: what each accepts, from TOML or from words of the command line and environment.

use std::ops::Range;

use toml::Spanned;
use toml::de::DeValue;

use super::text;

/// What a setting holds.
#[derive(Debug, Clone, Copy)]
pub enum Kind {
    Bool,
    Integer {
        min: i64,
        max: i64,
    },
    /// `auto`, or a whole number.
    Auto {
        min: i64,
        max: i64,
    },
    Text,
    /// Absolute, as the service has no folder that it is started in.
    Path,
    /// The same, of a folder that is filled: not the system's own.
    Folder,
    Duration {
        /// In seconds: 0 where no time at all makes sense.
        least: u64,
    },
    /// In bytes.
    Size {
        min: u64,
        max: u64,
    },
    /// Where to listen: IP address and port, or `unix:` and a path.
    Address,
    /// A host name as browsers send it.
    Host,
    /// An IP address, or a network such as 10.0.0.0/8.
    Network,
    /// What NO_PROXY names: a host, a domain and all below it, an IP address or a network, with or without a port.
    Direct,
    Url(&'static [&'static str]),
    /// `postgresql://user@host:5432/database`, without a password.
    DatabaseUrl,
    DatabaseName,
    Choice(&'static [&'static str]),
    List(&'static Kind),
}

/// A checked value. Durations, sizes and addresses stay the text that was written; `text` has their readers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    Unset,
    Bool(bool),
    Integer(i64),
    Text(String),
    List(Vec<String>),
}

/// What is wrong with a value: what was found instead, where, and what would help.
#[derive(Debug)]
pub(crate) struct Wrong {
    pub found: String,
    pub span: Option<Range<usize>>,
    pub help: Option<String>,
    /// A list's element is wrong, not the list.
    pub element: bool,
}

impl Kind {
    /// "must be …", for messages and the reference.
    pub fn expected(&self) -> String {
        match self {
            Kind::Bool => "`true` or `false`".to_owned(),
            Kind::Integer { min, max } => format!("a whole number from {min} to {max}"),
            Kind::Auto { min, max } => format!("`auto` or a whole number from {min} to {max}"),
            Kind::Text => "a string".to_owned(),
            Kind::Path => "an absolute path".to_owned(),
            Kind::Folder => "an absolute path of a folder that is not the system's".to_owned(),
            Kind::Duration { least: 0 } => "a duration such as `30s`, `5m`, `12h` or `30d`".to_owned(),
            Kind::Duration { least } => {
                format!("a duration such as `30s`, `5m`, `12h` or `30d`, and at least `{least}s`")
            }
            Kind::Size { min, max } => {
                let (min, max) = (text::shown_size(*min), text::shown_size(*max));
                format!("a size such as `512MB` or `10GB`, from `{min}` to `{max}`")
            }
            Kind::Address => "an IP address and port such as `127.0.0.1:8000`, or `unix:/path`".to_owned(),
            Kind::Host => "a host name such as `mathesar.example.org`".to_owned(),
            Kind::Network => "an IP address or a network such as `10.0.0.0/8`".to_owned(),
            Kind::Url(schemes) => {
                let schemes: Vec<_> = schemes.iter().map(|scheme| format!("`{scheme}://`")).collect();
                format!("an address that begins with {}", any_of(&schemes))
            }
            Kind::DatabaseUrl => "an address such as `postgresql://user@host:5432/database`".to_owned(),
            Kind::Direct => "a host, a domain or a network such as `.example.org` or `10.0.0.0/8`".to_owned(),
            Kind::DatabaseName => {
                "a name of at most 63 bytes: letters, digits, `_`, `-` and `.`, the first none of the last two"
                    .to_owned()
            }
            Kind::Choice(choices) => {
                any_of(&choices.iter().map(|choice| format!("`{choice}`")).collect::<Vec<_>>())
            }
            Kind::List(of) => format!("a list; each item {}", of.expected()),
        }
    }

    /// Whether it is written in quotes.
    fn is_text(&self) -> bool {
        !matches!(self, Kind::Bool | Kind::Integer { .. } | Kind::List(_))
    }

    /// Reads a value of a file.
    pub(crate) fn read_toml(&self, value: &Spanned<DeValue<'_>>) -> Result<Value, Vec<Wrong>> {
        let span = Some(value.span());
        let wrong = |found: String, help: Option<String>| {
            vec![Wrong { found, span: Some(value.span()), help, element: false }]
        };
        match (self, value.get_ref()) {
            (Kind::Bool, DeValue::Boolean(on)) => Ok(Value::Bool(*on)),
            (Kind::Integer { min, max } | Kind::Auto { min, max }, DeValue::Integer(integer)) => {
                let digits = integer.as_str().replace('_', "");
                let digits = digits.trim_start_matches(['+']);
                match i64::from_str_radix(digits, integer.radix()) {
                    Ok(number) if (min..=max).contains(&&number) => Ok(Value::Integer(number)),
                    _ => Err(wrong(format!("`{}`", integer.as_str()), None)),
                }
            }
            (Kind::List(of), DeValue::Array(items)) => {
                let mut texts = Vec::new();
                let mut wrongs = Vec::new();
                for item in items.iter() {
                    match of.read_toml(item) {
                        Ok(Value::Text(text)) => texts.push(text),
                        Ok(other) => texts.push(other.words().join(",")),
                        Err(list) => {
                            wrongs.extend(list.into_iter().map(|wrong| Wrong { element: true, ..wrong }))
                        }
                    }
                }
                if wrongs.is_empty() { Ok(Value::List(texts)) } else { Err(wrongs) }
            }
            (kind, DeValue::String(text)) if kind.is_text() => {
                kind.read_text(text).map_err(|(found, help)| wrong(found, help))
            }
            (Kind::List(_), DeValue::String(text)) => {
                Err(wrong(format!("`{text}`"), Some(format!("put it in brackets: [\"{text}\"]"))))
            }
            (Kind::Bool | Kind::Integer { .. }, DeValue::String(text)) => {
                let help = self.read_text(text).is_ok().then(|| format!("write it without quotes: {text}"));
                Err(vec![Wrong { found: "a string".to_owned(), span, help, element: false }])
            }
            (kind, DeValue::Integer(integer)) if kind.is_text() => {
                let help = match kind.read_text(integer.as_str()) {
                    Ok(_) => Some(format!("put it in quotes: \"{}\"", integer.as_str())),
                    Err((_, help)) => help,
                };
                Err(wrong(format!("`{}`", integer.as_str()), help))
            }
            (_, DeValue::Boolean(on)) => Err(wrong(format!("`{on}`"), None)),
            (_, other) => Err(wrong(type_name(other).to_owned(), None)),
        }
    }

    /// Reads words of the command line, or a variable split at commas where a list is wanted.
    pub(crate) fn read_words(&self, words: &[&str]) -> Result<Value, Wrong> {
        let wrong = |(found, help)| Wrong { found, span: None, help, element: false };
        match (self, words) {
            (Kind::List(of), words) => {
                let mut texts = Vec::new();
                for word in words.iter().filter(|word| !word.is_empty()) {
                    of.read_text(word).map_err(|reason| Wrong { element: true, ..wrong(reason) })?;
                    texts.push((*word).to_owned());
                }
                Ok(Value::List(texts))
            }
            (_, [word]) => self.read_text(word).map_err(wrong),
            (_, words) => Err(wrong((format!("{} values", words.len()), None))),
        }
    }

    /// Reads one text; the error is what was found and what would help.
    fn read_text(&self, input: &str) -> Result<Value, (String, Option<String>)> {
        let found = || match input {
            "" => "an empty string".to_owned(),
            _ => format!("`{}`", input.escape_debug()),
        };
        if input.contains('\0') {
            return Err(("a text with a NUL character".to_owned(), None));
        }
        let checked = match self {
            Kind::Bool => match input {
                "true" | "1" => return Ok(Value::Bool(true)),
                "false" | "0" => return Ok(Value::Bool(false)),
                _ => Err(None),
            },
            Kind::Auto { .. } if input == "auto" => Ok(()),
            Kind::Integer { min, max } | Kind::Auto { min, max } => match input.parse::<i64>() {
                Ok(number) if (*min..=*max).contains(&number) => return Ok(Value::Integer(number)),
                _ => Err(None),
            },
            Kind::Text => Ok(()),
            Kind::Path => text::path(input),
            Kind::Folder => text::folder(input),
            Kind::Duration { least } => match text::duration(input) {
                Some(duration) if duration.as_secs() >= *least => Ok(()),
                Some(_) => Err(None),
                None => Err(text::with_unit(input, "s")),
            },
            Kind::Size { min, max } => match text::size(input) {
                Some(size) if (*min..=*max).contains(&size) => Ok(()),
                Some(_) => Err(None),
                None => Err(text::with_unit(input, "MB")),
            },
            Kind::Address => text::address(input),
            Kind::Host => text::host(input),
            Kind::Network => text::network(input),
            Kind::Direct => text::direct(input),
            Kind::Url(schemes) => text::url(input, schemes),
            Kind::DatabaseUrl => text::database_url(input),
            Kind::DatabaseName => text::database_name(input),
            Kind::Choice(choices) if choices.contains(&input) => Ok(()),
            Kind::Choice(choices) => Err(super::suggest::nearest(input, choices.iter().copied())
                .map(|near| format!("did you mean `{near}`?"))),
            Kind::List(_) => Err(None),
        };
        checked.map(|()| Value::Text(input.to_owned())).map_err(|help| (found(), help))
    }
}

impl Value {
    /// The words that `config get` prints, a line each.
    pub fn words(&self) -> Vec<String> {
        match self {
            Value::Unset => Vec::new(),
            Value::Bool(on) => vec![on.to_string()],
            Value::Integer(number) => vec![number.to_string()],
            Value::Text(text) => vec![text.clone()],
            Value::List(items) => items.clone(),
        }
    }

    /// As toml_edit writes it.
    pub fn to_toml(&self) -> toml_edit::Value {
        match self {
            Value::Unset => "".into(),
            Value::Bool(on) => (*on).into(),
            Value::Integer(number) => (*number).into(),
            Value::Text(text) => text.as_str().into(),
            Value::List(items) => toml_edit::Value::Array(items.iter().map(String::as_str).collect()),
        }
    }

    pub fn to_json(&self) -> serde_json::Value {
        match self {
            Value::Unset => serde_json::Value::Null,
            Value::Bool(on) => (*on).into(),
            Value::Integer(number) => (*number).into(),
            Value::Text(text) => text.as_str().into(),
            Value::List(items) => items.as_slice().into(),
        }
    }
}

/// What a value of a file is, for a person.
pub(crate) fn type_name(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a number with a fraction",
        DeValue::Boolean(_) => "`true` or `false`",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

/// `a`, `b` or `c`
fn any_of(items: &[String]) -> String {
    match items {
        [] => String::new(),
        [one] => one.clone(),
        [most @ .., last] => format!("{} or {last}", most.join(", ")),
    }
}
