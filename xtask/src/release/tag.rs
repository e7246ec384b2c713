//! The tag of a release names the commit that its packages are made of, and no other.

use anyhow::{Result, anyhow, bail};

use super::github::Github;
use super::ours::Ours;
use crate::Refused;
use crate::http::Passing;

/// An annotated tag names a tag that names a tag …: nobody does that.
const NESTED: usize = 4;

impl Github<'_> {
    /// The tag may not name another commit; and one that GitHub does not have cannot be tagged.
    pub(super) fn commit(&self, ours: &Ours<'_>) -> Result<()> {
        self.is_tagged(ours)?;
        let there = self.http.api("GET", &self.url(&format!("/git/commits/{}", ours.commit)), None)?;
        there.map(drop).ok_or_else(|| {
            anyhow!(Refused(format!(
                "{} does not have the commit {}\nhelp: git push",
                self.repository, ours.commit
            )))
        })
    }

    /// Whether the tag is there. One that names another commit is refused.
    pub(super) fn is_tagged(&self, ours: &Ours<'_>) -> Result<bool> {
        match self.tagged(ours.tag)? {
            None => Ok(false),
            Some(sha) if sha == ours.commit => Ok(true),
            Some(sha) => bail!(Refused(format!(
                "the tag {} is there already, for the commit {sha}, and the packages are made of {}\nhelp: raise the revision: \
                 `cargo xtask bump`",
                ours.tag, ours.commit
            ))),
        }
    }

    /// The commit that a tag names. An annotated one names an object of its own, which names the commit, or another such.
    fn tagged(&self, tag: &str) -> Result<Option<String>> {
        let Some(mut answer) = self.http.api("GET", &self.url(&format!("/git/ref/tags/{tag}")), None)? else {
            return Ok(None);
        };
        for _ in 0..NESTED {
            let json = answer.json()?;
            let sha = json["object"]["sha"].as_str().unwrap_or_default();
            let next = match json["object"]["type"].as_str() {
                Some("commit") => return Ok(Some(sha.to_owned())),
                Some("tag") => self.http.api("GET", &self.url(&format!("/git/tags/{sha}")), None)?,
                _ => None,
            };
            let Some(next) = next else { break };
            answer = next;
        }
        bail!(Refused(format!(
            "the tag {tag} is there already, and names no commit\nhelp: raise the revision: `cargo xtask bump`"
        )))
    }

    /// Published, it is. GitHub may take its time to show it.
    pub(super) fn check_tag(&self, ours: &Ours<'_>) -> Result<()> {
        self.persistently(|| match self.is_tagged(ours)? {
            true => Ok(()),
            false => Err(anyhow!(Passing::new(format!("{} has no tag {} yet", self.repository, ours.tag)))),
        })
    }
}
