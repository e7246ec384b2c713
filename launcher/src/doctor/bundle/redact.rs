//! Replaces secrets by `***`: those that are known, in every form, and what looks like one.

use std::path::PathBuf;

use serde_json::Value;

use super::{forms, known};
use crate::app::tools;
use crate::installation::Installation;
use crate::sensitive::is_sensitive;

const STARS: &str = "***";

/// Everything to the end of the line is theirs.
const WHOLE_LINE: &[&str] = &["authorization", "cookie"];

#[derive(Debug)]
pub(super) struct Redactor {
    /// Forms of all known secrets, the longest first.
    forms: Vec<String>,
    /// Secrets so short that they are only replaced where they stand alone.
    words: Vec<String>,
    /// Digests of what everybody can fetch.
    digests: Vec<String>,
}

impl Redactor {
    pub fn new(installation: &Installation, files: &[PathBuf]) -> Redactor {
        let installed = installation.store().list().unwrap_or_default();
        let tools = ["uv", tools::EMBEDDED].into_iter().filter_map(|tool| tools::pinned(tool).ok());
        let digests = std::iter::once(installation.pinned.sha256.clone())
            .chain(installed.into_iter().map(|release| release.sha256))
            .chain(tools.map(|pin| pin.sha256.to_owned()));
        Redactor { digests: digests.collect(), ..Redactor::of(known::secrets(installation, files)) }
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
        Redactor { forms, words, digests: Vec::new() }
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
        text.split_inclusive('\n')
            .map(|line| self.random(&assignments(&addresses(&rows(line)), true)))
            .collect()
    }

    /// Long words of letters and digits that no person has written: tokens, keys, digests of passwords.
    fn random(&self, line: &str) -> String {
        const LONGEST: usize = 32;
        let is_word = |c: char| c.is_ascii_alphanumeric() || "_+=-$".contains(c);
        let mut out = String::new();
        let mut rest = line;
        while let Some(start) = rest.find(is_word) {
            let length = rest[start..].find(|c| !is_word(c)).unwrap_or(rest.len() - start);
            let word = &rest[start..start + length];
            let digits = word.bytes().filter(u8::is_ascii_digit).count();
            let letters = word.bytes().filter(u8::is_ascii_alphabetic).count();
            let hidden = length >= LONGEST
                && digits >= 3
                && letters >= 3
                && !is_name(word)
                && !self.digests.iter().any(|digest| digest == word);
            out.push_str(&rest[..start]);
            out.push_str(if hidden { STARS } else { word });
            rest = &rest[start + length..];
        }
        out.push_str(rest);
        out
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
        rest = tail;
        // To the last `@`: passwords may hold slashes that nobody has encoded.
        let end = tail.find(|c: char| c.is_whitespace() || "\"'<>`".contains(c)).unwrap_or(tail.len());
        let authority = &tail[..tail[..end].find(['/', '?', '#']).unwrap_or(end)];
        // The launcher's own role is everybody's.
        let own = authority.strip_prefix("mathesar@").is_some_and(|_| tail[..end].matches('@').count() == 1);
        if is_place(authority) || own {
            continue;
        }
        if let Some(at) = tail[..end].rfind('@') {
            out.push_str(STARS);
            rest = &tail[at..];
        }
    }
    out.push_str(rest);
    out
}

/// Whether this can only be where something is, and not a user's name with the beginning of a password: this machine or an IP
/// address, with or without a port, or a domain without one. An `@` further on is a part of the path then.
fn is_place(authority: &str) -> bool {
    let port = |port: &str| port.parse::<u16>().is_ok();
    let host = match authority.rsplit_once(':') {
        Some((host, number)) if port(number) => host,
        _ => authority,
    };
    let ip = host.trim_start_matches('[').trim_end_matches(']');
    if host == "localhost" || ip.parse::<std::net::IpAddr>().is_ok() {
        return true;
    }
    let label = |label: &str| {
        !label.is_empty()
            && label.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
    };
    let last = authority.rsplit('.').next().unwrap_or_default();
    authority.contains('.')
        && authority.split('.').all(label)
        && authority.len() <= 60
        && last.bytes().all(|byte| byte.is_ascii_lowercase())
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
        // `password=None` is worth to be known; and `name==1.2` is a package's version.
        let version = !all && rest.starts_with("==") && value.starts_with(|c: char| c.is_ascii_digit());
        out.push_str(&rest[..between]);
        match value[..end].trim() {
            "" => {}
            nothing if version || matches!(nothing, "None" | "null" | "(redacted)") => {
                out.push_str(&value[..end]);
            }
            _ => out.push_str(STARS),
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

/// Whether a person has put this together, as `0015_alter_role_unique_together` or `cp312-manylinux_2_17_x86_64`: all its parts are
/// a word, a number, or a word and a number. What is random is not so, in any of its parts.
fn is_name(word: &str) -> bool {
    let made = |part: &str| {
        let letters = part.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(part.len());
        let (text, number) = part.split_at(letters);
        let small = text.bytes().skip(1).all(|byte| byte.is_ascii_lowercase());
        let written = small || text.bytes().all(|byte| byte.is_ascii_uppercase());
        written && text.len() <= 16 && number.len() <= 8 && number.bytes().all(|byte| byte.is_ascii_digit())
    };
    word.contains(['_', '-']) && word.split(['_', '-']).all(made) && !grouped(word)
}

/// Keys that people are given to type, in groups of one length; and UUIDs.
fn grouped(word: &str) -> bool {
    let parts: Vec<&str> = word.split(['_', '-']).collect();
    let mixed = |part: &&&str| {
        part.bytes().any(|byte| byte.is_ascii_digit()) && part.bytes().any(|byte| byte.is_ascii_alphabetic())
    };
    let alike = parts.iter().all(|part| part.len() == parts[0].len());
    parts.iter().filter(mixed).count() >= 4 || alike && parts[0].len() >= 4
}

/// Rows that PostgreSQL's DETAIL quotes: its own log has none, but the exceptions of Python do.
fn rows(line: &str) -> String {
    for (before, behind) in [("Failing row contains (", ')'), (")=(", ')')] {
        let at = match before {
            ")=(" => line.find("Key (").and_then(|key| Some(key + line[key..].find(before)?)),
            _ => line.find(before),
        };
        if let Some(at) = at {
            let from = at + before.len();
            let to = line.rfind(behind).filter(|to| *to >= from).unwrap_or(line.trim_end().len());
            return format!("{}{STARS}{}", &line[..from], &line[to..]);
        }
    }
    line.to_owned()
}

fn private_keys(text: &str) -> String {
    /// Longer ones have no end here: the log breaks off, or somebody has only spoken of one.
    const LONGEST: usize = 200;
    let ends = |line: &str| line.contains("-----END") && line.contains("PRIVATE KEY");
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let mut kept = String::new();
    let mut at = 0;
    while let Some(line) = lines.get(at) {
        at += 1;
        if !(line.contains("-----BEGIN") && line.contains("PRIVATE KEY")) {
            kept.push_str(line);
            continue;
        }
        let behind = &lines[at..lines.len().min(at + LONGEST)];
        at += match (ends(line), behind.iter().position(|line| ends(line))) {
            (true, _) => 0,
            (false, Some(end)) => end + 1,
            (false, None) => match behind.iter().take_while(|line| is_of_key(line)).count() {
                0 => 0,
                // With the shorter line that is its last.
                most => most + 1,
            },
        };
    }
    kept
}

/// A line of a key, behind whatever a log has put before it.
fn is_of_key(line: &str) -> bool {
    let last = line.split_whitespace().next_back().unwrap_or_default();
    let base64 = |c: char| c.is_ascii_alphanumeric() || "+/=".contains(c);
    last.len() >= 32 && last.chars().all(base64)
        || last.is_empty()
        || ["Proc-Type:", "DEK-Info:"].iter().any(|header| line.contains(header))
}

#[cfg(test)]
#[path = "redact_tests.rs"]
mod tests;
