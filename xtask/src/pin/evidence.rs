//! What speaks for a digest, and what against it.

use anyhow::Result;

use crate::Refused;
use crate::manifest::App;

/// What GitHub's API said of the release's tarball.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Reported {
    Digest(String),
    /// It could not be asked, or has no digest; why.
    Unknown(String),
    NotAsked,
}

impl Reported {
    pub(super) fn digest(&self) -> Option<&str> {
        match self {
            Reported::Digest(digest) => Some(digest),
            Reported::Unknown(_) | Reported::NotAsked => None,
        }
    }
}

/// Lines to show, or the refusal. Nobody overrules a contradiction; only a digest given by hand replaces a pinned one.
pub(super) fn judge(
    version: &str,
    digest: &str,
    present: &App,
    given: Option<&str>,
    reported: &Reported,
) -> Result<Vec<String>> {
    let mut notes = Vec::new();
    match given {
        Some(given) if given != digest => {
            return refuse(format!("the tarball has SHA-256 {digest}, --sha256 says {given}"));
        }
        Some(_) => notes.push("equal to --sha256".to_owned()),
        None => {}
    }
    match reported {
        Reported::Digest(reported) if reported != digest => {
            return refuse(format!("the tarball has SHA-256 {digest}, GitHub reports {reported} for {version}"));
        }
        Reported::Digest(_) => notes.push(
            "equal to what GitHub reports: the same origin as the file, so this shows a whole download, not its author"
                .to_owned(),
        ),
        Reported::Unknown(why) => notes.push(format!("not compared with GitHub's: {why}")),
        Reported::NotAsked => notes.push("not compared with GitHub's: --offline".to_owned()),
    }
    if present.version == version {
        if present.sha256 == digest {
            notes.push("equal to the digest that the manifest has already".to_owned());
        } else if given.is_none() {
            return refuse(format!(
                "the manifest pins {version} with SHA-256 {}, this tarball has {digest}\n\
                 help: a release does not change; if you know why this one did, and have its digest from a second source: \
                 cargo xtask pin {version} --sha256 {digest}",
                present.sha256
            ));
        } else {
            notes.push(format!("the manifest's digest of {version} is replaced: it was {}", present.sha256));
        }
    } else if given.is_none() && reported.digest().is_none() {
        notes.push("compared with nothing: it is trusted because the file has it".to_owned());
    }
    Ok(notes)
}

fn refuse<T>(why: String) -> Result<T> {
    Err(Refused(why).into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::{PostgresRange, PythonRange};

    fn present() -> App {
        App {
            version: "1.0.0".into(),
            url: "https://example.org/1.0.0/m.tar.gz".into(),
            sha256: "aa".into(),
            size: None,
            python: PythonRange { min: "3.10".into(), max: "3.14".into(), prefer: Vec::new() },
            postgresql: PostgresRange { min: 14, max: 18 },
        }
    }

    #[test]
    fn verdicts() {
        let reported = |digest: &str| Reported::Digest(digest.to_owned());
        let mut all = String::new();
        for (version, digest, given, reported) in [
            ("1.0.0", "aa", None, Reported::NotAsked),
            ("1.0.0", "bb", None, Reported::NotAsked),
            ("1.0.0", "bb", None, reported("bb")),
            ("1.0.0", "bb", Some("bb"), reported("bb")),
            ("1.0.0", "bb", Some("bb"), reported("aa")),
            ("1.0.0", "aa", Some("cc"), reported("aa")),
            ("1.1.0", "bb", None, reported("bb")),
            ("1.1.0", "bb", None, reported("cc")),
            ("1.1.0", "bb", None, Reported::Unknown("no network".into())),
            ("1.1.0", "bb", Some("bb"), Reported::NotAsked),
        ] {
            all.push_str(&format!("{version} {digest} given {given:?} reported {reported:?}\n"));
            match judge(version, digest, &present(), given, &reported) {
                Ok(notes) => notes.iter().for_each(|note| all.push_str(&format!("    digest {note}\n"))),
                Err(error) => {
                    assert!(error.is::<Refused>());
                    all.push_str(&format!("    REFUSED {error}\n"));
                }
            }
        }
        insta::assert_snapshot!(all);
    }
}
