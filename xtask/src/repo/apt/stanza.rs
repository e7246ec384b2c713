//! One package in an index of packages: what apt-ftparchive has said about it, kept as it was said.

use anyhow::{Context as _, Result};

use super::super::names::Named;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::repo) struct Stanza {
    pub named: Named,
    /// Below the repository.
    pub file: String,
    pub sha256: String,
    pub size: u64,
    /// Its lines, each with an end.
    pub text: String,
}

pub(in crate::repo) fn parse(text: &str) -> Result<Vec<Stanza>> {
    text.split("\n\n").map(str::trim_end).filter(|one| !one.trim().is_empty()).map(one).collect()
}

fn one(text: &str) -> Result<Stanza> {
    let field = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.map(|value| value.trim().to_owned())
            .with_context(|| format!("an entry of an index without `{name}`:\n{text}"))
    };
    Ok(Stanza {
        named: Named {
            name: field("Package")?,
            architecture: field("Architecture")?,
            version: field("Version")?,
        },
        file: field("Filename")?,
        sha256: field("SHA256")?,
        size: field("Size")?.parse().context("a size in an index of packages is no number")?,
        text: format!("{}\n", text.trim_start_matches('\n')),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_is_read_and_said_again() {
        let one = |version: &str| {
            format!(
                "Package: mathesar\nVersion: {version}\nArchitecture: amd64\nDescription: x\n Size: not this\nFilename: pool/a_{version}.deb\nSize: 7\nSHA256: ab\n"
            )
        };
        let text = format!("{}\n{}\n", one("1-1"), one("1-2"));
        let all = parse(&text).unwrap();
        assert_eq!(
            (all[1].file.as_str(), all[1].size, all[1].named.version.as_str()),
            ("pool/a_1-2.deb", 7, "1-2")
        );
        assert_eq!(all.iter().map(|one| one.text.clone()).collect::<Vec<_>>(), [one("1-1"), one("1-2")]);
        assert!(parse("Package: x\n").unwrap_err().to_string().contains("`Architecture`"));
        assert_eq!(parse("\n\n").unwrap(), []);
    }
}
