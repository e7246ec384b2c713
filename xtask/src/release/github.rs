//! The GitHub release: a draft, its assets, its publication. Each of these looks first whether it was done already, and only then does it.

use anyhow::{Context as _, Result, anyhow, bail};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::ours::Ours;
use super::plan_file::{Item, Stage};
use crate::http::{Answer, Http, Meaning, Passing, refused, safe};
use crate::{Refused, digest};

/// A token that ends within this time may end in the middle.
const LEFT: i64 = 3600;
/// Sooner than this people are warned.
const SOON: i64 = 14 * 24 * 3600;

/// At the end of the name of a release that was taken back.
const WITHDRAWN: &str = " (withdrawn)";

pub(super) struct Github<'a> {
    pub http: &'a Http,
    /// Of the API, without a slash at its end.
    pub api: &'a str,
    /// `owner/name`
    pub repository: &'a str,
}

#[derive(Debug, Clone)]
pub(super) struct Release {
    pub id: u64,
    pub stage: Stage,
    pub upload: String,
    /// By `withdraw`.
    pub withdrawn: bool,
    /// The commit that a draft's tag is to name.
    pub target: String,
    pub title: String,
    pub text: String,
    pub assets: Vec<Asset>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Asset {
    pub id: u64,
    pub name: String,
    /// False: an upload was cut, and nobody can fetch it.
    pub whole: bool,
    pub size: u64,
    /// Older ones have none.
    pub digest: Option<String>,
    pub url: String,
}

impl Github<'_> {
    pub(super) fn url(&self, rest: &str) -> String {
        format!("{}/repos/{}{rest}", self.api, self.repository)
    }

    /// Whether the token may do what is to be done, and for how long yet. In words.
    pub(super) fn credentials(&self) -> Result<String> {
        if self.http.token.is_none() {
            bail!(
                "no token for {}\nhelp: put one into GITHUB_TOKEN that may write the repository's contents",
                self.repository
            );
        }
        let answer = self.http.api("GET", &self.url(""), None)?.with_context(|| {
            format!(
                "the token in GITHUB_TOKEN does not see {}\nhelp: give it the right to write this repository's contents",
                self.repository
            )
        })?;
        let json = answer.json()?;
        self.refuse_renamed(json["full_name"].as_str().unwrap_or(self.repository))?;
        credentials(&answer, &json, Timestamp::now())
    }

    /// It still answers to its old name, but takes nothing by it.
    fn refuse_renamed(&self, name: &str) -> Result<()> {
        match name.eq_ignore_ascii_case(self.repository) {
            true => Ok(()),
            false => bail!(
                "{} is called {} at GitHub now\nhelp: change `package.repository` in packaging/mathesar.toml, then plan again",
                self.repository,
                name.escape_debug()
            ),
        }
    }

    /// The release of this tag. Drafts are only in the list, and only for whoever may write.
    pub(super) fn release(&self, tag: &str) -> Result<Option<Release>> {
        let mut found: Vec<Value> = Vec::new();
        if let Some(answer) = self.http.api("GET", &self.url(&format!("/releases/tags/{tag}")), None)? {
            found.push(answer.json()?);
        }
        if found.is_empty() && self.http.token.is_some() {
            let all = self.pages(&self.url("/releases"))?;
            found.extend(all.into_iter().filter(|release| release["tag_name"] == tag));
        }
        match found.as_slice() {
            [] => Ok(None),
            [one] => self.of_json(one).map(Some),
            several => bail!(Refused(format!(
                "{} has {} drafts for {tag}\nhelp: delete all of them but one: https://github.com/{}/releases",
                self.repository,
                several.len(),
                self.repository
            ))),
        }
    }

    /// The versions that were taken back. Without a token nobody sees drafts.
    pub(super) fn withdrawn(&self) -> Result<Vec<String>> {
        if self.http.token.is_none() {
            return Ok(Vec::new());
        }
        let all = self.pages(&self.url("/releases"))?;
        let names = all.iter().filter_map(|one| one["name"].as_str()?.strip_suffix(WITHDRAWN));
        Ok(names.map(str::to_owned).collect())
    }

    /// The version of the newest release that is published.
    pub(super) fn newest(&self) -> Result<Option<String>> {
        let Some(answer) = self.http.api("GET", &self.url("/releases/latest"), None)? else {
            return Ok(None);
        };
        let json = answer.json()?;
        Ok(json["tag_name"].as_str().map(|tag| tag.strip_prefix('v').unwrap_or(tag).to_owned()))
    }

    fn of_json(&self, json: &Value) -> Result<Release> {
        let id = json["id"].as_u64().context("a release without an id")?;
        let upload = json["upload_url"].as_str().context("a release without an upload_url")?;
        let upload = upload.split('{').next().unwrap_or_default().to_owned();
        uploads_to(&upload, self.api)?;
        let stage = if json["draft"].as_bool() == Some(true) { Stage::Draft } else { Stage::Published };
        let assets = self.pages(&self.url(&format!("/releases/{id}/assets")))?;
        let text = |key: &str| json[key].as_str().unwrap_or_default().to_owned();
        Ok(Release {
            id,
            stage,
            upload,
            withdrawn: text("name").ends_with(WITHDRAWN),
            target: text("target_commitish"),
            title: text("name"),
            text: text("body"),
            assets: assets.iter().map(asset).collect::<Result<_>>()?,
        })
    }

    fn pages(&self, url: &str) -> Result<Vec<Value>> {
        let mut all = Vec::new();
        for page in 1.. {
            let answer = self.http.api("GET", &format!("{url}?per_page=100&page={page}"), None)?;
            let Some(answer) = answer else { break };
            let Value::Array(found) = answer.json()? else { bail!("{url}: no list came back") };
            let last = found.len() < 100;
            all.extend(found);
            if last {
                break;
            }
        }
        Ok(all)
    }

    /// A draft, or what is published already. With more than these files, or with other words, it is somebody else's.
    pub(super) fn draft(&self, ours: &Ours<'_>, items: &[Item]) -> Result<Release> {
        self.persistently(|| {
            if let Some(release) = self.release(ours.tag)? {
                ours.refuse(self.repository, &ours.differences(&release, items))?;
                return Ok(release);
            }
            let body = json!({
                "tag_name": ours.tag, "target_commitish": ours.commit, "name": ours.title(), "body": ours.notes, "draft": true,
            });
            let url = self.url("/releases");
            let answer = self.http.once("POST", &url, Some(&body))?;
            well(&format!("POST {url}"), &answer)?;
            self.of_json(&answer.json()?)
        })
    }

    /// An asset with these bytes. True: it was there.
    pub(super) fn asset(&self, release: u64, upload: &str, name: &str, bytes: &[u8]) -> Result<bool> {
        let (wanted, assets) = (digest::bytes(bytes), self.url(&format!("/releases/{release}/assets")));
        let mut was_there = true;
        self.persistently(|| {
            let all = self.pages(&assets)?.iter().map(asset).collect::<Result<Vec<_>>>()?;
            if let Some(found) = all.into_iter().find(|one| one.name == name) {
                if found.whole {
                    return match self.digest(&found)? {
                        digest if digest == wanted => Ok(()),
                        digest => Err(other(name, &digest, &wanted)),
                    };
                }
                // Half of an upload, which nobody was ever served.
                self.http.api("DELETE", &self.url(&format!("/releases/assets/{}", found.id)), None)?;
            }
            was_there = false;
            let url = format!("{upload}?name={}", name.replace('+', "%2B"));
            let answer = self.http.upload(&url, "application/octet-stream", bytes)?;
            if answer.exists_already() {
                return Err(anyhow!(Passing::new(format!("{name} appeared meanwhile"))));
            }
            well(&format!("POST {url}"), &answer)?;
            let made = asset(&answer.json()?)?;
            if made.name != name {
                self.http.api("DELETE", &self.url(&format!("/releases/assets/{}", made.id)), None)?;
                bail!(
                    "GitHub would call {name} {}\nhelp: choose another name in packaging/mathesar.toml",
                    made.name
                );
            }
            match made.digest {
                Some(digest) if digest != wanted => Err(other(name, &digest, &wanted)),
                _ => Ok(()),
            }
        })?;
        Ok(was_there)
    }

    /// GitHub's own word on it, or else by fetching it.
    pub(super) fn digest(&self, asset: &Asset) -> Result<String> {
        if let Some(digest) = &asset.digest {
            return Ok(digest.clone());
        }
        let bytes = self.http.get(&asset.url)?.with_context(|| format!("{} is not there", asset.url))?;
        Ok(digest::bytes(&bytes))
    }

    /// Also makes the tag. Somebody may have changed it while it was filled.
    pub(super) fn publish(&self, release: u64, ours: &Ours<'_>, items: &[Item]) -> Result<()> {
        let now = self.release(ours.tag)?.with_context(|| format!("the release {} is gone", ours.tag))?;
        ours.refuse(self.repository, &ours.differences(&now, items))?;
        self.patch(release, &json!({ "draft": false }))
    }

    /// A draft again, with a note: nobody can fetch it, and its tag and files are kept. Again, it says the same.
    pub(super) fn withdraw(&self, release: u64, version: &str, why: &str) -> Result<()> {
        let body = format!("Withdrawn: {why}\n");
        self.patch(release, &json!({ "draft": true, "name": format!("{version}{WITHDRAWN}"), "body": body }))
    }

    /// Whatever it says, it says the same however often.
    fn patch(&self, release: u64, body: &Value) -> Result<()> {
        let url = self.url(&format!("/releases/{release}"));
        let answer = self.http.api("PATCH", &url, Some(body))?;
        answer.map(drop).with_context(|| format!("{url} is gone"))
    }

    /// Looks again and does again, until it is done or cannot be.
    pub(super) fn persistently<T>(&self, mut work: impl FnMut() -> Result<T>) -> Result<T> {
        let mut number = 0;
        loop {
            match work() {
                Err(error) if error.is::<Passing>() && number + 1 < self.http.patience.tries => {
                    self.http.pause(number);
                }
                done => return done,
            }
            number += 1;
        }
    }
}

fn well(what: &str, answer: &Answer) -> Result<()> {
    match answer.meaning(Timestamp::now()) {
        Meaning::Well => Ok(()),
        _ => Err(refused(what, answer.status, &answer.words())),
    }
}

fn other(name: &str, found: &str, wanted: &str) -> anyhow::Error {
    anyhow!(Refused(format!(
        "another {name} is in the release already: its digest is {found}, not {wanted}\nhelp: raise the revision, `cargo xtask bump`, \
         and build again; a draft that nobody has seen can be deleted at GitHub"
    )))
}

fn asset(json: &Value) -> Result<Asset> {
    let text = |key: &str| json[key].as_str().with_context(|| format!("an asset without `{key}`"));
    Ok(Asset {
        id: json["id"].as_u64().context("an asset without an id")?,
        name: text("name")?.to_owned(),
        whole: json["state"] == "uploaded",
        size: json["size"].as_u64().unwrap_or_default(),
        digest: json["digest"].as_str().and_then(|digest| digest.strip_prefix("sha256:")).map(str::to_owned),
        url: text("browser_download_url")?.to_owned(),
    })
}

/// The token follows: it goes to GitHub's own hosts, whatever the answer says.
fn uploads_to(url: &str, api: &str) -> Result<()> {
    safe(url)?;
    let host = |url: &str| url.split("://").nth(1).and_then(|rest| rest.split('/').next()).map(str::to_owned);
    let theirs = host(url) == host(api);
    let public =
        host(api).as_deref() == Some("api.github.com") && host(url).as_deref() == Some("uploads.github.com");
    if theirs || public { Ok(()) } else { bail!("{api} wants uploads to go to {url}, which is not its own") }
}

/// From what GitHub says of the repository.
fn credentials(answer: &Answer, repository: &Value, now: Timestamp) -> Result<String> {
    let name = repository["full_name"].as_str().unwrap_or_default();
    if repository["permissions"]["push"].as_bool() != Some(true) {
        bail!(
            "the token in GITHUB_TOKEN may not write to {name}\nhelp: give it the right to write this repository's contents"
        );
    }
    // Classic tokens tell their scopes, others do not.
    if let Some(scopes) = answer.header("x-oauth-scopes").filter(|scopes| !scopes.trim().is_empty()) {
        let fits = |scope: &str| matches!(scope.trim(), "repo" | "public_repo");
        if !scopes.split(',').any(fits) {
            bail!(
                "the token in GITHUB_TOKEN has the scopes {scopes}\nhelp: it needs `repo` or `public_repo`"
            );
        }
    }
    let Some(text) = answer.header("github-authentication-token-expiration") else {
        return Ok("it tells no end".to_owned());
    };
    let end = expiry(text).with_context(|| format!("cannot understand when the token ends: {text}"))?;
    // GitHub ends it by its own clock.
    let left = end.as_second() - answer.date().unwrap_or(now).as_second();
    match left {
        ..LEFT => bail!(
            "the token in GITHUB_TOKEN ends at {end}, too soon to finish\nhelp: make another one: https://github.com/settings/tokens"
        ),
        LEFT..SOON => {
            crate::ui::warning(format_args!("the token in GITHUB_TOKEN ends at {end}"));
            Ok(format!("it ends at {end}"))
        }
        _ => Ok(format!("it ends at {end}")),
    }
}

/// `2026-12-01 00:00:00 UTC`, or with `+0200` in the last place.
fn expiry(text: &str) -> Option<Timestamp> {
    if let Some(date) = text.trim().strip_suffix(" UTC") {
        return format!("{}Z", date.replacen(' ', "T", 1)).parse().ok();
    }
    jiff::fmt::strtime::parse("%Y-%m-%d %H:%M:%S %z", text.trim()).ok()?.to_timestamp().ok()
}

#[cfg(test)]
#[path = "github_tests.rs"]
mod tests;
