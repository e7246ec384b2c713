//! From the file to a [`Package`].

use std::collections::HashSet;
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
    let mut problems = Vec::new();
    for error in errors.iter().take(MOST) {
        let span = error.span().unwrap_or(0..0);
        let start = text.floor_char_boundary(span.start.min(text.len()));
        let line = text[..start].rfind('\n');
        if !lines.insert(line) {
            continue;
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

/// `packaging/app.lock`, if it is of this release: it names the tarball's digest.
fn lock(workspace: &Workspace, manifest: &Manifest) -> Result<Option<String>> {
    let path = workspace.root.join("packaging/app.lock");
    if !path.is_file() {
        return Ok(None);
    }
    let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(text.contains(&manifest.app.sha256).then_some(text))
}

fn date_of(changelog: &[Release]) -> Result<u64> {
    let newest = changelog.first().context("the changelog is empty")?;
    let time = newest.date.to_zoned(TimeZone::UTC).context("cannot read the changelog's date")?;
    u64::try_from(time.timestamp().as_second()).context("the changelog's newest date is before 1970")
}
