//! CHANGELOG.md, from which Debian's changelog and the metainfo's releases are made.

use anyhow::{Context as _, Result, bail};
use jiff::civil::Date;

use super::check::forbidden;

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
        if line.contains(|character: char| forbidden(character) && character != '\t') {
            bail!("line {number}: a control character: {line:?}");
        }
        if let Some(heading) = line.strip_prefix("## ") {
            let (version, date) =
                heading.strip_suffix(')').and_then(|heading| heading.split_once(" (")).with_context(
                    || format!("line {number}: expected `## <version>-<revision> (<yyyy-mm-dd>)`"),
                )?;
            let date: Date =
                date.parse().with_context(|| format!("line {number}: cannot read the date `{date}`"))?;
            // Debian's changelog has it in parentheses, and ends the header's first part there.
            if version.is_empty() || !version.chars().all(|c| c.is_ascii_alphanumeric() || ".+~-".contains(c))
            {
                bail!("line {number}: `{version}` is no version");
            }
            if date.year() < 1970 {
                bail!("line {number}: the date {date} is before 1970");
            }
            releases.push(Release { version: version.to_owned(), date, items: Vec::new() });
            in_item = false;
        } else if let Some(release) = releases.last_mut() {
            if let Some(item) = line.strip_prefix("- ") {
                if item.trim().is_empty() {
                    bail!("line {number}: an item that says nothing");
                }
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

    #[test]
    fn what_another_format_would_read_otherwise_is_refused() {
        for (bad, why) in [
            (
                "## 1) unstable; urgency=low (2026-01-02)\n- one\n",
                "line 1: `1) unstable; urgency=low` is no version",
            ),
            ("## 1-1 (-000001-01-02)\n- one\n", "line 1: the date -000001-01-02 is before 1970"),
            ("## 1-1 (2026-01-02)\n- \n", "line 2: an item that says nothing"),
            ("## 1-1 (2026-01-02)\n- o\u{1b}[31m\n", "line 2: a control character: \"- o\\u{1b}[31m\""),
            ("## 1-1 (2026-01-02)\n- o\u{2028}x: y\n", "line 2: a control character: \"- o\\u{2028}x: y\""),
            ("## 1-1 (2026-01-02)\ntext\n", "the entry 1-1 has no item"),
        ] {
            assert_eq!(parse(bad).unwrap_err().to_string(), why);
        }
    }
}
