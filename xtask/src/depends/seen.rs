//! Names in distributions whose lists are not asked: what somebody has seen there, when, and where.

use std::collections::BTreeMap;
use std::fs;

use anyhow::{Context as _, Result};
use jiff::civil::Date;
use serde::Deserialize;

use crate::manifest::Distribution;
use crate::workspace::Workspace;

/// Names change with a release, of which the slowest of these has one in two years.
pub(super) const OLD: i32 = 365;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    #[serde(default)]
    seen: Vec<Seen>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Seen {
    distribution: Distribution,
    name: String,
    pub version: String,
    on: String,
    source: String,
}

/// How it stands with a name.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Standing<'a> {
    Seen(&'a str),
    /// Days ago.
    TooLong(i32),
    Never,
}

#[derive(Debug)]
pub(super) struct Names(BTreeMap<(Distribution, String), (Seen, Date)>);

impl Names {
    pub(super) fn read(workspace: &Workspace) -> Result<Names> {
        let path = workspace.root.join("packaging/names.toml");
        let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        Names::parse(&text).with_context(|| format!("cannot read {}", path.display()))
    }

    fn parse(text: &str) -> Result<Names> {
        let table: Table = toml::from_str(text)?;
        let mut names = BTreeMap::new();
        for seen in table.seen {
            let on: Date =
                seen.on.parse().with_context(|| format!("`{}` is no date, as 2026-11-25 is", seen.on))?;
            anyhow::ensure!(
                seen.source.starts_with("https://"),
                "the source of {} is no https address",
                seen.name
            );
            let key = (seen.distribution, seen.name.clone());
            anyhow::ensure!(!names.contains_key(&key), "{} stands there twice", seen.name);
            names.insert(key, (seen, on));
        }
        Ok(Names(names))
    }

    pub(super) fn standing(&self, distribution: Distribution, name: &str, today: Date) -> Standing<'_> {
        match self.0.get(&(distribution, name.to_owned())) {
            None => Standing::Never,
            Some((seen, on)) => match (today - *on).get_days() {
                days if days > OLD => Standing::TooLong(days),
                _ => Standing::Seen(&seen.version),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "[[seen]]\ndistribution = \"homebrew\"\nname = \"cairo\"\nversion = \"1.18.4\"\non = \"2026-01-02\"\nsource = \"https://example.org/\"\n";

    #[test]
    fn what_was_seen_gets_old() {
        let names = Names::parse(TEXT).unwrap();
        let on = |date: &str, name| names.standing(Distribution::Homebrew, name, date.parse().unwrap());
        assert_eq!(on("2026-01-02", "cairo"), Standing::Seen("1.18.4"));
        assert_eq!(on("2027-01-02", "cairo"), Standing::Seen("1.18.4"));
        assert_eq!(on("2027-01-03", "cairo"), Standing::TooLong(366));
        assert_eq!(on("2026-01-02", "cairo2"), Standing::Never);
    }

    #[test]
    fn a_table_with_faults_is_refused() {
        for (from, to, says) in [
            ("2026-01-02", "yesterday", "is no date"),
            ("https://", "http://", "no https address"),
            ("version", "wersion", "unknown field"),
        ] {
            let error = format!("{:#}", Names::parse(&TEXT.replace(from, to)).unwrap_err());
            assert!(error.contains(says), "{error}");
        }
        let twice = format!("{TEXT}{TEXT}");
        assert!(Names::parse(&twice).unwrap_err().to_string().contains("twice"));
    }
}
