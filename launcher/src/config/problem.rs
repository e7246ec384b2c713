//! What is wrong with a configuration, and how it is shown: place, line, caret, help.

use std::fmt::Write as _;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};
use serde_json::json;

/// A file that was read. The text is the masked one: secrets never reach a message.
#[derive(Debug)]
pub struct Source {
    pub path: PathBuf,
    pub masked: String,
}

/// How messages about text that is no TOML begin.
pub(crate) const NOT_TOML: &str = "this is not TOML";

/// A place in a file.
#[derive(Debug, Clone)]
pub struct Place {
    pub source: Arc<Source>,
    pub span: Range<usize>,
}

impl Place {
    /// Line and column, both from 1, the column in characters.
    pub fn line_column(&self) -> (usize, usize) {
        line_column(&self.source.masked, self.span.start)
    }
}

pub(crate) fn line_column(text: &str, offset: usize) -> (usize, usize) {
    let before = &text.as_bytes()[..offset.min(text.len())];
    let line_start = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
    (line, String::from_utf8_lossy(&before[line_start..]).chars().count() + 1)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    Error,
    /// Told, but nothing is refused for it.
    Warning,
}

/// One problem.
#[derive(Debug, Clone)]
pub struct Problem {
    pub severity: Severity,
    pub message: String,
    pub help: Option<String>,
    /// The setting that it is about, where it is about one.
    pub setting: Option<String>,
    /// A file, or a place in one.
    pub path: Option<PathBuf>,
    pub place: Option<Place>,
}

impl Problem {
    pub fn error(message: impl Into<String>) -> Problem {
        Problem {
            severity: Severity::Error,
            message: message.into(),
            help: None,
            setting: None,
            path: None,
            place: None,
        }
    }

    pub fn warning(message: impl Into<String>) -> Problem {
        Problem { severity: Severity::Warning, ..Problem::error(message) }
    }

    /// Whether the file cannot be understood, and so cannot be edited either.
    pub fn is_syntax(&self) -> bool {
        self.message.starts_with(NOT_TOML)
    }

    pub fn help(mut self, help: Option<String>) -> Problem {
        self.help = help;
        self
    }

    pub fn about(mut self, setting: &str) -> Problem {
        self.setting = Some(setting.to_owned());
        self
    }

    pub fn in_file(mut self, path: &Path) -> Problem {
        self.path = Some(path.to_owned());
        self
    }

    pub fn at(mut self, place: Option<Place>) -> Problem {
        if let Some(place) = &place {
            self.path = Some(place.source.path.clone());
        }
        self.place = place;
        self
    }

    /// As a person reads it; with colours, which the stream strips where nobody sees them.
    pub fn render(&self) -> String {
        let level = match self.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
        };
        let title = level.primary_title(self.message.as_str());
        let mut report = match &self.place {
            Some(place) => vec![title.element(self.snippet(place))],
            None => vec![Group::with_title(title)],
        };
        let mut text = without_lengths(&Renderer::styled().render(&report.split_off(0)));
        text.push('\n');
        if let (None, Some(path)) = (&self.place, &self.path)
            && !self.message.contains(&*path.to_string_lossy())
        {
            let _ = writeln!(text, " --> {}", path.display());
        }
        if let Some(help) = &self.help {
            let style = anstyle::AnsiColor::Cyan.on_default().bold();
            let _ = writeln!(text, "{style}help{style:#}: {help}");
        }
        text
    }

    fn snippet<'a>(&self, place: &'a Place) -> Snippet<'a, annotate_snippets::Annotation<'a>> {
        let text = &place.source.masked;
        // One line is quoted: a value over several lines says nothing more, and may be long.
        let start = floor(text, place.span.start.min(text.len()));
        let line_end = text[start..].find('\n').map_or(text.len(), |at| start + at);
        let line_end = if text[..line_end].ends_with('\r') { (line_end - 1).max(start) } else { line_end };
        let mut end = floor(text, place.span.end.clamp(start, line_end)).max(start);
        // Underlined whole, a secret would tell its length.
        if end > start && text[start..end].bytes().all(|byte| byte == b'*') {
            end = start + 1;
        }
        Snippet::source(text.as_str())
            .path(place.source.path.to_string_lossy())
            .annotation(AnnotationKind::Primary.span(start..end))
    }

    pub fn to_json(&self) -> serde_json::Value {
        let position = self.place.as_ref().map(Place::line_column);
        json!({
            "severity": match self.severity { Severity::Error => "error", Severity::Warning => "warning" },
            "message": self.message,
            "help": self.help,
            "setting": self.setting,
            "path": self.path.as_ref().map(|path| path.to_string_lossy()),
            "line": position.map(|(line, _)| line),
            "column": position.map(|(_, column)| column),
        })
    }
}

/// Hidden secrets in quoted lines, all of one length.
fn without_lengths(rendered: &str) -> String {
    let quoted = |line: &str| anstream::adapter::strip_str(line).to_string().contains(" | ");
    let lines = rendered.split_inclusive('\n').map(|line| match line.find("**") {
        Some(_) if quoted(line) => {
            let mut parts = line.split("**").peekable();
            let mut text = String::with_capacity(line.len());
            while let Some(part) = parts.next() {
                // What an odd number of them leaves over, between two or at the end.
                let rest = if text.ends_with('*') { part.trim_start_matches('*') } else { part };
                text.push_str(rest);
                if parts.peek().is_some() && !text.ends_with("********") {
                    text.push_str("********");
                }
            }
            text
        }
        _ => line.to_owned(),
    });
    lines.collect()
}

fn floor(text: &str, mut offset: usize) -> usize {
    while !text.is_char_boundary(offset) {
        offset -= 1;
    }
    offset
}

/// All problems, a blank line between them, and how many they are.
pub fn render_all(problems: &[Problem]) -> String {
    let mut text: Vec<String> = problems.iter().map(Problem::render).collect();
    let count = |severity| problems.iter().filter(|problem| problem.severity == severity).count();
    let several = |count: usize, what: &str| match count {
        1 => format!("1 {what}"),
        _ => format!("{count} {what}s"),
    };
    let mut counts = Vec::new();
    for (severity, word) in [(Severity::Error, "error"), (Severity::Warning, "warning")] {
        if count(severity) > 0 {
            counts.push(several(count(severity), word));
        }
    }
    if problems.len() > 1 {
        text.push(format!("{}\n", counts.join(", ")));
    }
    text.join("\n")
}

#[cfg(test)]
mod tests {
    use super::without_lengths;

    #[test]
    fn secrets_of_any_length_look_the_same() {
        for stars in ["**", "***", "*********", "**************************"] {
            assert_eq!(without_lengths(&format!("2 | key = {stars}\n")), "2 | key = ********\n");
            assert_eq!(
                without_lengths(&format!("2 | u://me:{stars}@h, {stars}")),
                "2 | u://me:********@h, ********"
            );
        }
        assert_eq!(without_lengths("2 | hosts = [\"*\"]"), "2 | hosts = [\"*\"]");
    }
}
