//! The plan: what each channel serves, what it is to serve, and what follows from the two. No input, no output.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::manifest::{Outlet, Paused};

pub(super) const FORMAT: u32 = 1;

/// What `release plan` writes and `release apply` does, nothing else.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct Plan {
    pub format: u32,
    pub name: String,
    /// With the revision.
    pub version: String,
    pub tag: String,
    /// What the packages were made of, and the tag is to name.
    pub commit: String,
    pub made: Timestamp,
    /// Of the release, in Markdown.
    pub notes: String,
    /// `Name <address>`, who commits to the tap and the AUR.
    pub committer: String,
    /// `packaging/known_hosts` as it stood.
    pub known_hosts: String,
    /// Of GitHub, without a slash at its end.
    pub api: String,
    /// Homebrew's, for the repositories' page.
    pub tap: String,
    pub channels: Vec<Part>,
}

/// One channel's part.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct Part {
    pub channel: Outlet,
    /// Where it is, as a person or git would say it.
    pub at: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paused: Option<Paused>,
    /// What it served when it was asked.
    pub live: Live,
    pub items: Vec<Item>,
}

/// Of a channel as a whole.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct Live {
    /// The newest version that it serves.
    pub newest: Option<String>,
    /// GitHub's alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release: Option<Stage>,
    /// By `release yank`: it is never published again.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub withdrawn: bool,
    /// GitHub's alone: in words, what of the release was not made by a plan like this.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub foreign: Vec<String>,
    /// Of apt's index: afterwards apt refuses it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub valid_until: Option<Timestamp>,
}

/// `repo sign`, run daily, does its work while half of the index's 14 days is left: it has then failed for days.
const TOO_LATE: SignedDuration = SignedDuration::from_hours(4 * 24);

impl Live {
    /// The index was not signed again in time, and will be refused soon, or is already.
    pub(super) fn is_ending(&self, now: Timestamp) -> bool {
        self.valid_until.is_some_and(|end| end <= now + TOO_LATE)
    }
}

/// How far a GitHub release is. A later one is never taken back by `apply`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Stage {
    Absent,
    Draft,
    Published,
}

/// One file in a channel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct Item {
    /// What the channel calls it.
    pub name: String,
    /// Below `dist/`.
    pub path: String,
    pub size: u64,
    pub sha256: String,
    /// What of the served file has to be equal: its digest, or that of a package without its signature.
    pub content: String,
    /// The same of what is served now.
    pub live: Option<String>,
    pub action: Action,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Action {
    /// Nothing of the name is there.
    Create,
    /// A recipe that names the version before is replaced.
    Update,
    /// There already, with this digest.
    Same,
    /// Something else has the name, or is newer: refused.
    Conflict,
}

impl Action {
    pub(super) fn word(self) -> &'static str {
        match self {
            Action::Create => "create",
            Action::Update => "update",
            Action::Same => "same",
            Action::Conflict => "conflict",
        }
    }
}

/// Whether a channel's files mean one version for ever, or are the recipe of the newest.
pub(super) fn is_recipe(channel: Outlet) -> bool {
    matches!(channel, Outlet::Tap | Outlet::Aur)
}

/// What is to be done with one file.
pub(super) fn action(channel: Outlet, content: &str, live: Option<&str>, live_is_newer: bool) -> Action {
    match live {
        Some(live) if live == content => Action::Same,
        _ if live_is_newer && is_recipe(channel) => Action::Conflict,
        None => Action::Create,
        Some(_) if is_recipe(channel) => Action::Update,
        Some(_) => Action::Conflict,
    }
}

impl Part {
    /// What keeps it from being done, file by file.
    pub(super) fn conflicts(&self) -> impl Iterator<Item = &Item> {
        self.items.iter().filter(|item| item.action == Action::Conflict)
    }

    pub(super) fn is_done(&self) -> bool {
        let published = self.live.release.is_none_or(|stage| stage == Stage::Published);
        published && self.items.iter().all(|item| item.action == Action::Same)
    }
}

/// Why a plan does not fit any more what a channel serves now. What the plan itself would do, another run of it may have done already:
/// whatever is as it was or as it is to be, is well.
pub(super) fn stale(planned: &Part, now: &Part, version: &str) -> Vec<String> {
    let mut found = Vec::new();
    if let (Some(before), Some(after)) = (planned.live.release, now.live.release)
        && after < before
    {
        found.push(format!("the release was {before:?} and is {after:?}").to_lowercase());
    }
    for item in &planned.items {
        let live =
            now.items.iter().find(|other| other.name == item.name).and_then(|other| other.live.as_deref());
        if live != item.live.as_deref() && live != Some(&item.content) {
            let now = live.map_or("gone".to_owned(), |digest| format!("another one, {}", short(digest)));
            found.push(format!("{} is {now}", item.name));
        }
    }
    let newest = now.live.newest.as_deref();
    if newest != planned.live.newest.as_deref() && newest != Some(version) {
        let say = |version: Option<&str>| version.unwrap_or("nothing").to_owned();
        found.push(format!(
            "its newest version was {} and is {}",
            say(planned.live.newest.as_deref()),
            say(newest)
        ));
    }
    found
}

/// A digest as people compare it.
pub(super) fn short(digest: &str) -> &str {
    digest.get(..12).unwrap_or(digest)
}

/// Of a channel, in `release status`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Verdict {
    Current,
    Paused,
    Behind,
    WrongDigest,
    Unreachable,
}

/// What a channel serves against what it ought to.
pub(super) fn verdict(part: &Part, version: &str, now: Timestamp) -> Verdict {
    let other = |item: &Item| item.live.as_deref().is_some_and(|live| live != item.content);
    let of_this_version = !is_recipe(part.channel) || part.live.newest.as_deref() == Some(version);
    match () {
        () if part.live.is_ending(now) => Verdict::Behind,
        () if part.is_done() => Verdict::Current,
        () if of_this_version && part.items.iter().any(other) => Verdict::WrongDigest,
        () if part.paused.is_some() => Verdict::Paused,
        () => Verdict::Behind,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(name: &str, live: Option<&str>) -> Item {
        Item {
            name: name.into(),
            path: name.into(),
            size: 1,
            sha256: "new".into(),
            content: "new".into(),
            live: live.map(str::to_owned),
            action: action(Outlet::Github, "new", live, false),
        }
    }

    fn part(channel: Outlet, newest: &str, live: Option<&str>) -> Part {
        let mut one = item("a", live);
        one.action = action(channel, "new", live, false);
        Part {
            channel,
            at: String::new(),
            paused: None,
            live: Live { newest: Some(newest.into()), ..Live::default() },
            items: vec![one],
        }
    }

    #[test]
    fn what_is_to_be_done_with_a_file() {
        for (channel, live, newer, wanted) in [
            (Outlet::Github, None, false, Action::Create),
            (Outlet::Github, Some("new"), false, Action::Same),
            (Outlet::Github, Some("old"), false, Action::Conflict),
            (Outlet::Repositories, Some("old"), false, Action::Conflict),
            (Outlet::Repositories, None, true, Action::Create),
            (Outlet::Tap, Some("old"), false, Action::Update),
            (Outlet::Tap, Some("old"), true, Action::Conflict),
            (Outlet::Aur, None, false, Action::Create),
            (Outlet::Aur, Some("new"), true, Action::Same),
        ] {
            assert_eq!(action(channel, "new", live, newer), wanted, "{channel:?} {live:?} {newer}");
        }
    }

    #[test]
    fn a_plan_is_stale_by_what_others_did_and_not_by_what_itself_did() {
        let planned = part(Outlet::Tap, "1-1", Some("old"));
        let says = |now: Part| stale(&planned, &now, "2-1").join("; ");
        assert_eq!(says(planned.clone()), "");
        assert_eq!(says(part(Outlet::Tap, "2-1", Some("new"))), "");
        let other = part(Outlet::Tap, "1-2", Some("0123456789abcdef"));
        assert_eq!(says(other), "a is another one, 0123456789ab; its newest version was 1-1 and is 1-2");
        assert_eq!(says(part(Outlet::Tap, "1-1", None)), "a is gone");
        let stage = |stage| Part {
            live: Live { release: Some(stage), ..Live::default() },
            items: Vec::new(),
            ..planned.clone()
        };
        let says = |before, after| stale(&stage(before), &stage(after), "2-1").join("; ");
        assert_eq!(says(Stage::Absent, Stage::Published), "");
        assert_eq!(says(Stage::Published, Stage::Draft), "the release was published and is draft");
    }

    #[test]
    fn each_state_of_a_channel() {
        let now = Timestamp::UNIX_EPOCH;
        let says = |part: &Part| verdict(part, "2-1", now);
        assert_eq!(says(&part(Outlet::Github, "2-1", Some("new"))), Verdict::Current);
        assert_eq!(says(&part(Outlet::Github, "1-1", None)), Verdict::Behind);
        assert_eq!(says(&part(Outlet::Github, "2-1", Some("old"))), Verdict::WrongDigest);
        // A recipe of an older version is another file, and nothing is wrong with it.
        assert_eq!(says(&part(Outlet::Tap, "1-1", Some("old"))), Verdict::Behind);
        assert_eq!(says(&part(Outlet::Tap, "2-1", Some("old"))), Verdict::WrongDigest);
        let paused = Some(Paused { since: "2026-07-30".into(), why: "closed".into() });
        let closed = |live| Part { paused: paused.clone(), ..part(Outlet::Aur, "1-1", live) };
        assert_eq!(says(&closed(Some("old"))), Verdict::Paused);
        assert_eq!(says(&closed(Some("new"))), Verdict::Current);
        // A draft is served to nobody.
        let mut draft = part(Outlet::Github, "1-1", Some("new"));
        draft.live.release = Some(Stage::Draft);
        assert_eq!(says(&draft), Verdict::Behind);
        // All is there, and apt will soon not believe it.
        let mut index = part(Outlet::Repositories, "2-1", Some("new"));
        for (days, wanted) in [(5, Verdict::Current), (4, Verdict::Behind), (-1, Verdict::Behind)] {
            index.live.valid_until = Some(now + SignedDuration::from_hours(24 * days));
            assert_eq!(says(&index), wanted, "{days}");
        }
    }
}
