//! A suite's Release: which indices there are, with their digests, and how long that is to be believed.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use anyhow::{Context as _, Result};
use jiff::{SignedDuration, Timestamp};

use super::super::Site;
use super::SUITE;

/// As apt reads it (RFC 1123 by way of the repository format: always in UTC).
const DATE: &str = "%a, %d %b %Y %H:%M:%S UTC";

#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::repo) struct Release {
    pub date: Timestamp,
    pub valid_until: Timestamp,
    pub architectures: Vec<String>,
    /// SHA-256 and size by path below the suite.
    pub files: BTreeMap<String, (String, u64)>,
}

impl Release {
    pub(super) fn new(site: &Site<'_>, architectures: &BTreeSet<&str>) -> Release {
        Release {
            date: site.now,
            valid_until: site.now + SignedDuration::from_hours(24 * site.valid_days),
            architectures: architectures.iter().map(|one| (*one).to_owned()).collect(),
            files: BTreeMap::new(),
        }
    }

    /// More than half of its time is left.
    pub(super) fn is_fresh(&self, site: &Site<'_>) -> bool {
        site.now + SignedDuration::from_hours(12 * site.valid_days) < self.valid_until
    }

    /// What is served now; none: nothing is.
    pub(super) fn read(suite: &Path) -> Result<Option<Release>> {
        let path = suite.join("InRelease");
        match fs::read_to_string(&path) {
            Err(cause) if cause.kind() == ErrorKind::NotFound => Ok(None),
            text => {
                let text = text.with_context(|| format!("cannot read {}", path.display()))?;
                parse(&text).with_context(|| format!("cannot understand {}", path.display())).map(Some)
            }
        }
    }

    pub(super) fn text(&self) -> String {
        let date =
            |time: Timestamp| jiff::fmt::strtime::format(DATE, &time.to_zoned(jiff::tz::TimeZone::UTC));
        let date = |time| date(time).unwrap_or_default();
        // Label and Origin never change: apt then refuses the update.
        let mut text = format!(
            "Origin: Mathesar Everywhere\nLabel: Mathesar\nSuite: {SUITE}\nCodename: {SUITE}\nDate: {}\nValid-Until: {}\n\
             Acquire-By-Hash: yes\nArchitectures: {}\nComponents: main\nDescription: Mathesar's launcher\nSHA256:\n",
            date(self.date),
            date(self.valid_until),
            self.architectures.join(" "),
        );
        for (path, (digest, size)) in &self.files {
            text.push_str(&format!(" {digest} {size:>16} {path}\n"));
        }
        text
    }
}

pub(in crate::repo) fn parse(text: &str) -> Result<Release> {
    // The signature's lines hold no field.
    let field = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        line.with_context(|| format!("`{name}` is missing"))
    };
    let date = |name: &str| -> Result<Timestamp> {
        let said = field(name)?;
        let time = jiff::fmt::strtime::parse(DATE, said).and_then(|parsed| parsed.to_datetime());
        let zoned = time.and_then(|time| time.to_zoned(jiff::tz::TimeZone::UTC));
        Ok(zoned.with_context(|| format!("`{said}` is no date"))?.timestamp())
    };
    let mut files = BTreeMap::new();
    let lines =
        text.lines().skip_while(|line| *line != "SHA256:").skip(1).take_while(|line| line.starts_with(' '));
    for line in lines {
        let mut parts = line.split_whitespace();
        let (Some(digest), Some(size), Some(path)) = (parts.next(), parts.next(), parts.next()) else {
            anyhow::bail!("`{line}` names no file");
        };
        let size = size.parse().with_context(|| format!("`{line}` has no size"))?;
        files.insert(path.to_owned(), (digest.to_owned(), size));
    }
    Ok(Release {
        date: date("Date")?,
        valid_until: date("Valid-Until")?,
        architectures: field("Architectures")?.split(' ').map(str::to_owned).collect(),
        files,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let release = Release {
            date: Timestamp::from_second(1_795_652_401).unwrap(),
            valid_until: Timestamp::from_second(1_796_862_001).unwrap(),
            architectures: vec!["amd64".into(), "arm64".into()],
            files: BTreeMap::from([("main/binary-amd64/Packages".to_owned(), ("ab".repeat(32), 1234))]),
        };
        insta::assert_snapshot!(release.text());
        let signed = format!(
            "-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA512\n\n{}-----BEGIN PGP SIGNATURE-----\nx\n",
            release.text()
        );
        assert_eq!(parse(&signed).unwrap(), release);
        assert!(
            parse(&signed.replace("Valid-Until", "Until")).unwrap_err().to_string().contains("`Valid-Until`")
        );
    }
}
