//! From the file to a [`Package`].

use std::collections::HashSet;
use std::ops::Range;
use std::path::Path;

use anyhow::{Context as _, Result};
use jiff::tz::TimeZone;
use toml::de::DeTable;

use super::problem::{Problem, Problems};
use super::schema::SCHEMA;
use super::walk::{Spans, Walk};
use super::{Manifest, Package, Release, changelog, cross};
use crate::workspace::Workspace;

/// Reads and checks a manifest. All that is wrong with it comes as one [`Problems`].
pub(crate) fn load(workspace: &Workspace, path: &Path) -> Result<Package> {
    let bytes = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    let shown = path.strip_prefix(&workspace.root).unwrap_or(path).display().to_string();
    let (manifest, manifest_text) = parse(&bytes, &shown, &workspace.root)?;
    let changelog_path = workspace.root.join(&manifest.package.changelog);
    let text = std::fs::read_to_string(&changelog_path)
        .with_context(|| format!("cannot read {}", changelog_path.display()))?;
    let changelog =
        changelog::parse(&text).with_context(|| format!("cannot read {}", changelog_path.display()))?;
    let lock = lock(workspace, &manifest)?;
    let epoch = match workspace.epoch()? {
        Some(epoch) => epoch,
        None => date_of(&changelog)?,
    };
    Ok(Package { root: workspace.root.clone(), manifest, manifest_text, changelog, lock, epoch })
}

/// Checks the bytes of a manifest; `shown` is its path for people, `root` where its relative sources start.
pub(crate) fn parse(bytes: &[u8], shown: &str, root: &Path) -> Result<(Manifest, String), Problems> {
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => {
            let at = error.valid_up_to();
            let problem = Problem::new("the manifest is not UTF-8", at..at + 1, "not a character");
            return Err(Problems::new(shown, String::from_utf8_lossy(bytes), vec![problem]));
        }
    };
    let (tree, errors) = DeTable::parse_recoverable(text);
    if !errors.is_empty() {
        return Err(Problems::new(shown, text, syntax(text, &errors)));
    }
    let mut walk = Walk { text, schema: &SCHEMA, problems: Vec::new(), spans: Spans::new() };
    let value = walk.document(&tree);
    let (mut problems, spans) = (walk.problems, walk.spans);
    match serde_json::from_value::<Manifest>(value) {
        Ok(manifest) => {
            problems.extend(cross::check(&manifest, &spans, root));
            match problems.is_empty() {
                true => Ok((manifest, text.to_owned())),
                false => Err(Problems::new(shown, text, problems)),
            }
        }
        Err(error) => {
            // The walk gives what deserialises; should the two differ, that is said rather than hidden.
            problems.push(Problem::new(
                format!("cannot read the manifest: {error}"),
                0..0,
                "somewhere in it",
            ));
            Err(Problems::new(shown, text, problems))
        }
    }
}

/// More errors than this are of a file that is no TOML.
const MOST: usize = 1000;

/// The parser goes on after an error; what it says next on the same line mostly follows from the first.
fn syntax(text: &str, errors: &[toml::de::Error]) -> Vec<Problem> {
    let mut lines = HashSet::new();
    let mut tables = HashSet::new();
    let mut twice = 0..0;
    let mut problems = Vec::new();
    for error in errors.iter().take(MOST) {
        let span = error.span().unwrap_or(0..0);
        let start = text.floor_char_boundary(span.start.min(text.len()));
        let line = text[..start].rfind('\n');
        if !lines.insert(line) {
            continue;
        }
        let whole = text[line.map_or(0, |at| at + 1)..].lines().next().unwrap_or_default();
        let in_array = ["missing comma between array elements", "unexpected `=` in array"];
        if in_array.iter().any(|said| error.message().starts_with(said))
            && let Some(open) = unclosed(text, start, whole)
        {
            // All that follows has been read as items of this array.
            let problem = Problem::new("an array that nothing closes", open, "no `]` for this");
            problems.push(problem.and(span, "read as an item of it"));
            break;
        }
        if error.message().starts_with("duplicate key") {
            // A second table of a name: its keys, and further ones of the name, follow from it.
            let again = whole.starts_with('[') && !tables.insert(whole.trim_end().to_owned());
            if again || twice.contains(&start) {
                if again {
                    twice = start..section_end(text, start);
                }
                continue;
            }
            if whole.starts_with('[') {
                twice = start..section_end(text, start);
            }
        }
        let (title, label) = error.message().split_once(", ").unwrap_or((error.message(), "here"));
        let word = text[start..].split(|c: char| c.is_whitespace() || c == '#').next().unwrap_or_default();
        problems.push(match (title, label) {
            ("string values must be quoted", _) if word.is_empty() => {
                Problem::new("missing value", span, "expected a value")
            }
            ("string values must be quoted", _) | ("invalid float", "expected `nan`") => {
                Problem::new("a string without quotes", span, "expected quotes, or `true` or `false`")
                    .help(format!("{word:?}, if it is a string"))
            }
            ("unexpected leading zero", _) => Problem::new(title, span, "no number begins with 0")
                .help(format!("in quotes, if it is a mode: `\"{word}\"`")),
            ("duplicate key", _) => Problem::new(title, span, "there is one of this name before it"),
            (_, "expected nothing") => Problem::new(title, span, "expected nothing more"),
            _ => Problem::new(title, span, label),
        });
    }
    problems
}

/// The bracket of an array that was begun before `at` and swallowed a `key = value` or `[table]` that stands there.
fn unclosed(text: &str, at: usize, line: &str) -> Option<Range<usize>> {
    let key = line.split_once('=').map_or("", |(key, _)| key.trim_end());
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '"');
    if !line.starts_with('[') && (key.is_empty() || !key.chars().all(plain)) {
        return None;
    }
    // The nearest line above that begins an array; the lines between are its items.
    let mut end = at;
    while let Some(start) = text[..end].trim_end_matches('\n').rfind('\n').map(|at| at + 1) {
        let above = &text[start..end];
        if let Some((key, value)) = above.split_once('=')
            && key.trim_end().chars().all(plain)
            && value.trim_start().starts_with('[')
        {
            let open = start + above.find('[')?;
            return Some(open..open + 1);
        }
        end = start;
    }
    None
}

/// Where the table whose header is at `at` ends: at the next header.
fn section_end(text: &str, at: usize) -> usize {
    let after = text[at..].find('\n').map_or(text.len(), |line| at + line);
    text[after..].find("\n[").map_or(text.len(), |header| after + header + 1)
}

/// `packaging/app.lock`, if it is of this release: a line `# release-sha256: DIGEST` says so.
fn lock(workspace: &Workspace, manifest: &Manifest) -> Result<Option<String>> {
    let path = workspace.root.join("packaging/app.lock");
    if !path.is_file() {
        return Ok(None);
    }
    let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let line = format!("# release-sha256: {}", manifest.app.sha256);
    Ok(text.lines().any(|found| found.trim_end() == line).then_some(text))
}

fn date_of(changelog: &[Release]) -> Result<u64> {
    let newest = changelog.first().context("the changelog is empty")?;
    let time = newest.date.to_zoned(TimeZone::UTC).context("cannot read the changelog's date")?;
    u64::try_from(time.timestamp().as_second()).context("the changelog's newest date is before 1970")
}
