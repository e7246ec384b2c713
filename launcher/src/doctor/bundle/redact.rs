//! Replaces secrets by `***`: those that are known, in every form, and what looks like one.

use std::path::PathBuf;

use serde_json::Value;

use super::{forms, known};
use crate::installation::Installation;

const STARS: &str = "***";

/// Ends of names whose values are nobody's business.
const SENSITIVE: &[&str] = &[
    "password",
    "passwd",
    "passphrase",
    "pwd",
    "pass",
    "secret",
    "token",
    "apikey",
    "api_key",
    "api-key",
    "accesskey",
    "access_key",
    "access-key",
    "accountkey",
    "account_key",
    "secret_key",
    "secret-key",
    "secretkey",
    "private_key",
    "signing_key",
    "encryption_key",
    "credential",
    "credentials",
    "connection_string",
    "connection-string",
    "signature",
    "authorization",
    "cookie",
    "sessionid",
    "session_key",
    "csrftoken",
    "csrfmiddlewaretoken",
    "dsn",
];
/// Everything to the end of the line is theirs.
const WHOLE_LINE: &[&str] = &["authorization", "cookie"];

#[derive(Debug)]
pub(super) struct Redactor {
    /// Forms of all known secrets, the longest first.
    forms: Vec<String>,
    /// Secrets so short that they are only replaced where they stand alone.
    words: Vec<String>,
}

impl Redactor {
    pub fn new(installation: &Installation, files: &[PathBuf]) -> Redactor {
        Redactor::of(known::secrets(installation, files))
    }

    pub fn of(mut secrets: Vec<String>) -> Redactor {
        secrets.retain(|secret| !secret.trim().is_empty() && secret != STARS && secret != "(redacted)");
        secrets.sort();
        secrets.dedup();
        let (long, words): (Vec<String>, Vec<String>) =
            secrets.into_iter().partition(|secret| secret.len() >= 4);
        let mut forms: Vec<String> = long.iter().flat_map(|secret| forms::of(secret)).collect();
        forms.sort_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
        forms.dedup();
        Redactor { forms, words }
    }

    fn known(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for form in &self.forms {
            if text.contains(form.as_str()) {
                text = text.replace(form.as_str(), STARS);
            }
        }
        for word in &self.words {
            text = replace_word(&text, word);
        }
        text
    }

    /// A text that the launcher has written: its words are known to be harmless.
    pub fn own(&self, text: &str) -> String {
        let text = self.known(text);
        text.split_inclusive('\n').map(|line| assignments(&addresses(line), false)).collect()
    }

    /// A text of others: logs, units.
    pub fn foreign(&self, text: &str) -> String {
        let text = private_keys(&self.known(text));
        text.split_inclusive('\n').map(|line| random(&assignments(&addresses(line), true))).collect()
    }

    /// Each string of it; the structure stays.
    pub fn json(&self, value: &Value) -> Value {
        match value {
            Value::String(text) => Value::String(self.own(text)),
            Value::Array(items) => Value::Array(items.iter().map(|item| self.json(item)).collect()),
            Value::Object(fields) => Value::Object(
                fields.iter().map(|(name, value)| (self.known(name), self.json(value))).collect(),
            ),
            Value::Number(number)
                if self.forms.iter().any(|form| number.to_string().contains(form.as_str())) =>
            {
                Value::String(STARS.to_owned())
            }
            other => other.clone(),
        }
    }
}

pub(super) fn is_sensitive(name: &str) -> bool {
    let name = name.trim().trim_matches(['"', '\'', '\\']).to_lowercase();
    if ["file", "path", "fingerprint"].iter().any(|end| name.ends_with(end)) {
        return false;
    }
    SENSITIVE.iter().any(|word| name.ends_with(word))
}

fn replace_word(text: &str, word: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    let mut before: Option<char> = None;
    while let Some(at) = rest.find(word) {
        let previous = rest[..at].chars().next_back().or(before);
        let end = at + word.len();
        let next = rest[end..].chars().next();
        let apart = |c: Option<char>| c.is_none_or(|c| !c.is_alphanumeric());
        out.push_str(&rest[..at]);
        out.push_str(if apart(previous) && apart(next) { STARS } else { word });
        before = word.chars().next_back();
        rest = &rest[end..];
    }
    out.push_str(rest);
    out
}

/// `://user:password@` and `://user@`.
fn addresses(line: &str) -> String {
    let mut out = String::new();
    let mut rest = line;
    while let Some(at) = rest.find("://") {
        let (head, tail) = rest.split_at(at + 3);
        out.push_str(head);
        // To the last `@`: passwords may hold slashes that nobody has encoded.
        let end = tail.find(|c: char| c.is_whitespace() || "\"'<>`".contains(c)).unwrap_or(tail.len());
        rest = tail;
        if let Some(at) = tail[..end].rfind('@') {
            out.push_str(STARS);
            rest = &tail[at..];
        }
    }
    out.push_str(rest);
    out
}

/// `password=…`, `"token": "…"`, `Cookie: …`, `PASSWORD '…'`. With `all`, names before a colon or a quote count too.
fn assignments(line: &str, all: bool) -> String {
    let is_name = |c: char| c.is_alphanumeric() || c == '_' || c == '-';
    let mut out = String::new();
    let mut rest = line;
    while let Some(start) = rest.find(is_name) {
        let length = rest[start..].find(|c| !is_name(c)).unwrap_or(rest.len() - start);
        let (name_end, name) = (start + length, &rest[start..start + length]);
        out.push_str(&rest[..name_end]);
        rest = &rest[name_end..];
        if !is_sensitive(name) {
            continue;
        }
        let Some((between, quote)) = separator(rest, all) else { continue };
        let value = &rest[between..];
        let whole = WHOLE_LINE.iter().any(|word| name.to_lowercase().ends_with(word));
        let end = match quote {
            Some(quote) => closing(value, quote),
            None if whole => value.trim_end_matches(['\n', '\r']).len(),
            None => value.find(|c: char| c.is_whitespace() || ",;&)]}\"'".contains(c)).unwrap_or(value.len()),
        };
        out.push_str(&rest[..between]);
        if !value[..end].trim().is_empty() {
            out.push_str(STARS);
        }
        rest = &value[end..];
    }
    out.push_str(rest);
    out
}

/// How many bytes stand between a name and its value, and the quote in which the value stands.
fn separator(rest: &str, all: bool) -> Option<(usize, Option<char>)> {
    let mut at = 0;
    let skip = |at: usize, what: &[char]| at + (rest[at..].len() - rest[at..].trim_start_matches(what).len());
    at = skip(at, &['"', '\'', '\\', ']']);
    let spaces = skip(at, &[' ', '\t']);
    let next = rest[spaces..].chars().next()?;
    let assigned = next == '=' || (all && next == ':');
    // SQL: PASSWORD 'x'
    let stated = all && spaces > at && matches!(next, '\'' | '"');
    if assigned {
        at = skip(spaces, &['=', ':', '>']);
        at = skip(at, &[' ', '\t']);
    } else if stated {
        at = spaces;
    } else {
        return None;
    }
    at = skip(at, &['\\']);
    match rest[at..].chars().next() {
        Some(quote @ ('"' | '\'')) => Some((at + 1, Some(quote))),
        Some(_) => Some((at, None)),
        None => None,
    }
}

/// Where a quoted text ends: at the quote that nothing escapes, or with the line.
fn closing(value: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in value.char_indices() {
        match c {
            '\n' => return at,
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            c if c == quote => return at,
            _ => {}
        }
    }
    value.len()
}

/// Long words of letters and digits that no person has written: tokens, keys, digests of passwords.
fn random(line: &str) -> String {
    const LONGEST: usize = 32;
    let is_word = |c: char| c.is_ascii_alphanumeric() || "_+=-$".contains(c);
    let mut out = String::new();
    let mut rest = line;
    while let Some(start) = rest.find(is_word) {
        let length = rest[start..].find(|c| !is_word(c)).unwrap_or(rest.len() - start);
        let word = &rest[start..start + length];
        let digits = word.bytes().filter(u8::is_ascii_digit).count();
        let letters = word.bytes().filter(u8::is_ascii_alphabetic).count();
        out.push_str(&rest[..start]);
        out.push_str(if length >= LONGEST && digits >= 3 && letters >= 3 { STARS } else { word });
        rest = &rest[start + length..];
    }
    out.push_str(rest);
    out
}

fn private_keys(text: &str) -> String {
    let mut inside = false;
    let keep = |line: &&str| {
        let begins = line.contains("-----BEGIN") && line.contains("PRIVATE KEY");
        let hidden = inside || begins;
        inside = (inside || begins) && !(line.contains("-----END") && line.contains("PRIVATE KEY"));
        !hidden
    };
    text.split_inclusive('\n').filter(keep).collect()
}

#[cfg(test)]
#[path = "redact_tests.rs"]
mod tests;
