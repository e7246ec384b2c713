//! CHANGELOG.md, from which Debian's changelog and the metainfo's releases are made.

use anyhow::{Context as _, Result, bail};
use jiff::civil::Date;

/// One entry of the changelog.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Release {
    /// `0.12.0-1`
    pub version: String,
    pub date: Date,
    /// Each item in one line.
    pub items: Vec<String>,
}

/// Reads `## <version>-<revision> (<yyyy-mm-dd>)` headings and the `- ` items under them; other text is for people.
pub(crate) fn parse(text: &str) -> Result<Vec<Release>> {
    let mut releases: Vec<Release> = Vec::new();
    let mut in_item = false;
    for (index, line) in text.lines().enumerate() {
        let number = index + 1;
        if let Some(heading) = line.strip_prefix("## ") {
            let (version, date) =
                heading.strip_suffix(')').and_then(|heading| heading.split_once(" (")).with_context(
                    || format!("line {number}: expected `## <version>-<revision> (<yyyy-mm-dd>)`"),
                )?;
            let date: Date =
                date.parse().with_context(|| format!("line {number}: cannot read the date `{date}`"))?;
            releases.push(Release { version: version.to_owned(), date, items: Vec::new() });
            in_item = false;
        } else if let Some(release) = releases.last_mut() {
            if let Some(item) = line.strip_prefix("- ") {
                release.items.push(item.trim().to_owned());
                in_item = true;
            } else if line.starts_with("  ") && in_item {
                if let Some(item) = release.items.last_mut() {
                    item.push(' ');
                    item.push_str(line.trim());
                }
            } else {
                in_item = false;
            }
        }
    }
    match releases.iter().find(|release| release.items.is_empty()) {
        Some(empty) => bail!("the entry {} has no item", empty.version),
        None if releases.is_empty() => bail!("no entry found"),
        None => Ok(releases),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_go_over_lines() {
        let releases = parse("# Changelog\n\n## 1.0-2 (2026-01-02)\n- one\n  more\n- two\n\ntext\n").unwrap();
        assert_eq!(releases[0].version, "1.0-2");
        assert_eq!(releases[0].items, ["one more", "two"]);
    }

    #[test]
    fn a_heading_without_a_date_is_refused() {
        assert!(parse("## 1.0-2\n- one\n").is_err());
        assert!(parse("nothing\n").is_err());
    }
}
