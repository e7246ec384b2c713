//! What of a GitHub release has to be ours: somebody else's is neither added to nor published, whatever tag it has.

use anyhow::{Result, bail};

use super::github::Release;
use super::plan_file::{Item, Part, Plan, Stage};
use crate::Refused;

/// What is written of a release when it is made.
#[derive(Clone, Copy)]
pub(super) struct Ours<'a> {
    pub tag: &'a str,
    pub commit: &'a str,
    pub notes: &'a str,
}

impl<'a> Ours<'a> {
    pub(super) fn of(plan: &'a Plan) -> Ours<'a> {
        Ours { tag: &plan.tag, commit: &plan.commit, notes: &plan.notes }
    }

    pub(super) fn title(&self) -> &'a str {
        self.tag.strip_prefix('v').unwrap_or(self.tag)
    }

    /// In words, what is not as it is made here with these files. A title and a text that are published are the maintainers' to mend, and
    /// the commit is then the tag's.
    pub(super) fn differences(&self, release: &Release, items: &[Item]) -> Vec<String> {
        let mut found = Vec::new();
        if release.stage == Stage::Draft {
            if release.target != self.commit {
                let target = release.target.escape_debug();
                found.push(format!("it is for the commit {target}, not {}", self.commit));
            }
            if release.title != self.title() {
                found.push(format!(
                    "it is called `{}`, not `{}`",
                    release.title.escape_debug(),
                    self.title()
                ));
            }
            if !same_text(&release.text, self.notes) {
                found.push("its text is another one".to_owned());
            }
        }
        let planned = |name: &str| items.iter().any(|item| item.name == name);
        let strange = release.assets.iter().filter(|asset| !planned(&asset.name));
        found.extend(strange.map(|asset| format!("it has the file `{}`", asset.name.escape_debug())));
        found
    }

    pub(super) fn refuse(&self, repository: &str, differences: &[String]) -> Result<()> {
        match differences {
            [] => Ok(()),
            several => bail!(Refused(format!(
                "the release {} of {repository} is not the planned one: {}\nhelp: look at who has made it, then delete it by hand: \
                 `gh release delete {}`",
                self.tag,
                several.join("; "),
                self.tag
            ))),
        }
    }
}

/// What plan and apply refuse before anything else is done.
pub(super) fn refuse(plan: &Plan, parts: &[Part]) -> Result<()> {
    let mut active = parts.iter().filter(|part| part.paused.is_none());
    active.try_for_each(|part| Ours::of(plan).refuse(&part.at, &part.live.foreign))
}

/// GitHub's page gives a text that was looked at other ends of lines.
fn same_text(one: &str, other: &str) -> bool {
    one.lines().map(str::trim_end).eq(other.lines().map(str::trim_end))
}
