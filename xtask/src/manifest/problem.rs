//! What is wrong with a manifest, and how it is shown: the form of rustc's messages.

use std::fmt;
use std::ops::Range;

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};

/// As many are shown in full; who has more has another file in hand.
const SHOWN: usize = 60;

/// Something that is wrong at one place of the manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problem {
    pub title: String,
    /// Bytes of the manifest's text.
    pub span: Range<usize>,
    pub label: String,
    /// Further places that it is about.
    pub others: Vec<Other>,
    pub help: Option<String>,
}

/// A second place, in the manifest or in a file that it names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Other {
    /// Path and text, where it is not the manifest.
    pub file: Option<(String, String)>,
    pub span: Range<usize>,
    pub label: String,
}

impl Problem {
    pub(crate) fn new(title: impl Into<String>, span: Range<usize>, label: impl Into<String>) -> Problem {
        Problem { title: title.into(), span, label: label.into(), others: Vec::new(), help: None }
    }

    pub(crate) fn help(mut self, help: impl Into<String>) -> Problem {
        self.help = Some(help.into());
        self
    }

    /// Points to another place of the manifest too.
    pub(crate) fn and(mut self, span: Range<usize>, label: impl Into<String>) -> Problem {
        self.others.push(Other { file: None, span, label: label.into() });
        self
    }

    /// Points to a place of another file too.
    pub(crate) fn elsewhere(
        mut self,
        path: impl Into<String>,
        text: impl Into<String>,
        span: Range<usize>,
        label: impl Into<String>,
    ) -> Problem {
        self.others.push(Other { file: Some((path.into(), text.into())), span, label: label.into() });
        self
    }
}

/// Everything that is wrong with one manifest, by position. Its `Display` is the complete report, without colours.
#[derive(Debug, Clone)]
pub(crate) struct Problems {
    path: String,
    text: String,
    list: Vec<Problem>,
}

impl Problems {
    /// `path` as the reader knows it; `text` is what the spans count in.
    pub(crate) fn new(path: impl Into<String>, text: impl Into<String>, mut list: Vec<Problem>) -> Problems {
        list.sort_by(|a, b| (a.span.start, a.span.end).cmp(&(b.span.start, b.span.end)));
        list.dedup();
        Problems { path: path.into(), text: text.into(), list }
    }

    /// For a terminal; whoever prints it leaves the colours out where they are not wanted.
    pub(crate) fn styled(&self) -> String {
        self.render(&Renderer::styled())
    }

    fn render(&self, renderer: &Renderer) -> String {
        let mut report = String::new();
        for problem in self.list.iter().take(SHOWN) {
            report.push_str(&renderer.render(&[self.group(problem)]));
            report.push_str("\n\n");
        }
        if self.list.len() > SHOWN {
            report.push_str(&format!("… and {} more\n\n", self.list.len() - SHOWN));
        }
        let noun = if self.list.len() == 1 { "problem" } else { "problems" };
        report.push_str(&format!("{} {noun} in {}", self.list.len(), self.path));
        report
    }

    fn group<'a>(&'a self, problem: &'a Problem) -> Group<'a> {
        let mut here = vec![(AnnotationKind::Primary, problem.span.clone(), problem.label.as_str())];
        for other in problem.others.iter().filter(|other| other.file.is_none()) {
            here.push((AnnotationKind::Context, other.span.clone(), &other.label));
        }
        let mut group =
            Level::ERROR.primary_title(&problem.title).element(snippet(&self.path, &self.text, here));
        for other in &problem.others {
            if let Some((path, text)) = &other.file {
                let there = vec![(AnnotationKind::Context, other.span.clone(), other.label.as_str())];
                group = group.element(snippet(path, text, there));
            }
        }
        match &problem.help {
            Some(help) => group.element(Level::HELP.message(help.as_str())),
            None => group,
        }
    }
}

/// Only the lines that are pointed to are given: a renderer that is handed a whole file reads it again for each message.
fn snippet<'a>(
    path: &'a str,
    text: &'a str,
    marks: Vec<(AnnotationKind, Range<usize>, &'a str)>,
) -> Snippet<'a, annotate_snippets::Annotation<'a>> {
    let first = floor(text, marks.iter().map(|(_, span, _)| span.start).min().unwrap_or(0));
    let last = floor(text, marks.iter().map(|(_, span, _)| span.end).max().unwrap_or(0)).max(first);
    let start = text[..first].rfind('\n').map_or(0, |at| at + 1);
    let end = text[last..].find('\n').map_or(text.len(), |at| last + at);
    let number = text[..start].bytes().filter(|byte| *byte == b'\n').count() + 1;
    let annotations = marks.into_iter().map(|(kind, span, label)| {
        let from = floor(text, span.start);
        let to = floor(text, span.end).max(from);
        kind.span(from - start..to - start).label(label)
    });
    Snippet::source(&text[start..end]).line_start(number).path(path).annotations(annotations)
}

/// The next character boundary at or below `at`.
fn floor(text: &str, at: usize) -> usize {
    text.floor_char_boundary(at.min(text.len()))
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(&Renderer::plain()))
    }
}

impl std::error::Error for Problems {}

/// ``did you mean `maintainer`?``, where one of `known` is near `word`.
pub(crate) fn did_you_mean<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word = word.to_lowercase().replace('_', "-");
    let near = known.into_iter().map(|name| {
        let lower = name.to_lowercase().replace('_', "-");
        (strsim::damerau_levenshtein(&word, &lower), name)
    });
    let (distance, name) = near.min_by_key(|(distance, _)| *distance)?;
    (distance <= name.chars().count().max(3) / 3).then_some(name)
}

/// `` `a`, `b` and `c` ``
pub(crate) fn ticked<'a>(names: impl IntoIterator<Item = &'a str>, last: &str) -> String {
    let names: Vec<String> = names.into_iter().map(|name| format!("`{name}`")).collect();
    match names.split_last() {
        Some((only, [])) => only.clone(),
        Some((end, rest)) => format!("{} {last} {end}", rest.join(", ")),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_near_name_is_offered_and_a_far_one_is_not() {
        let known = ["maintainer", "name", "license"];
        assert_eq!(did_you_mean("maintaner", known), Some("maintainer"));
        assert_eq!(did_you_mean("Name", known), Some("name"));
        assert_eq!(did_you_mean("flavour", known), None);
    }

    #[test]
    fn spans_outside_the_text_or_inside_a_character_are_harmless() {
        for span in [0..0, 1..2, 2..900, 900..901, usize::MAX - 1..usize::MAX] {
            let report = Problems::new("f", "aü\n", vec![Problem::new("t", span, "l")]).to_string();
            assert!(report.contains("error: t"), "{report}");
        }
    }
}
