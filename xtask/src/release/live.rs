//! What each channel serves, asked of the channel itself.

use std::path::Path;

use anyhow::{Context as _, Result, bail};

use super::git::{self, Remote};
use super::github::Github;
use super::ours::Ours;
use super::plan_file::{Item, Live, Part, Plan, Stage, action};
use super::wanted;
use crate::digest;
use crate::dist::Index;
use crate::http::Http;
use crate::manifest::Outlet;
use crate::repo::served;

pub(super) const CHANNELS: [Outlet; 4] = [Outlet::Github, Outlet::Repositories, Outlet::Tap, Outlet::Aur];

/// By which channels are asked.
pub(super) struct Asker<'a> {
    pub http: &'a Http,
    pub api: &'a str,
    pub known_hosts: &'a str,
    pub committer: &'a str,
    /// Folder for clones.
    pub work: &'a Path,
    /// Fetch what GitHub has told a digest of, too.
    pub deep: bool,
}

/// Of which package.
pub(super) struct Version<'a> {
    pub name: &'a str,
    /// With the revision.
    pub version: &'a str,
    pub tag: &'a str,
    /// None: what its release is to say is not known here, and not compared.
    pub ours: Option<Ours<'a>>,
}

impl<'a> Version<'a> {
    pub(super) fn of(plan: &'a Plan) -> Version<'a> {
        let ours = Some(Ours::of(plan));
        Version { name: &plan.name, version: &plan.version, tag: &plan.tag, ours }
    }
}

pub(super) fn word(channel: Outlet) -> &'static str {
    match channel {
        Outlet::Github => "github",
        Outlet::Repositories => "repositories",
        Outlet::Tap => "tap",
        Outlet::Aur => "aur",
    }
}

/// A channel's files as they lie in `dist/`, of which nothing is known to be served.
pub(super) fn local(channel: Outlet, index: &Index, dist: &Path) -> Result<Vec<Item>> {
    let mut items = Vec::new();
    for wanted in wanted::of(channel, index)? {
        let path = dist.join(&wanted.path);
        let bytes = std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        items.push(item(channel, wanted.name, wanted.path, &bytes)?);
    }
    Ok(items)
}

pub(super) fn item(channel: Outlet, name: String, path: String, bytes: &[u8]) -> Result<Item> {
    let content = content(channel, &name, bytes)?;
    Ok(Item {
        name,
        path,
        size: bytes.len() as u64,
        sha256: digest::bytes(bytes),
        action: action(channel, &content, None, false),
        content,
        live: None,
    })
}

/// The repositories alone sign what they serve.
fn content(channel: Outlet, name: &str, bytes: &[u8]) -> Result<String> {
    match channel {
        Outlet::Repositories => served::content(name, bytes),
        _ => Ok(digest::bytes(bytes)),
    }
}

impl Asker<'_> {
    pub(super) fn github<'a>(&'a self, at: &'a str) -> Github<'a> {
        Github { http: self.http, api: self.api, repository: at }
    }

    pub(super) fn remote<'a>(&'a self, channel: Outlet, at: &'a str) -> Remote<'a> {
        Remote {
            url: at,
            known_hosts: self.known_hosts,
            committer: self.committer,
            folder: git::folder(self.work, word(channel)),
        }
    }

    /// The channel's part with what is served now, and what follows for each file.
    pub(super) fn ask(&self, channel: Outlet, at: &str, of: &Version<'_>, items: &[Item]) -> Result<Part> {
        let (live, found) = match channel {
            Outlet::Github => self.ask_github(at, of, items)?,
            Outlet::Repositories => self.ask_repositories(at, of, items)?,
            Outlet::Tap | Outlet::Aur => self.ask_git(channel, at, items)?,
        };
        let newer = live.newest.as_deref().is_some_and(|newest| served::is_newer(newest, of.version));
        let items = items.iter().zip(found).map(|(item, live)| Item {
            action: action(channel, &item.content, live.as_deref(), newer),
            live,
            ..item.clone()
        });
        Ok(Part { channel, at: at.to_owned(), paused: None, live, items: items.collect() })
    }

    fn ask_github(&self, at: &str, of: &Version<'_>, items: &[Item]) -> Result<(Live, Vec<Option<String>>)> {
        let github = self.github(at);
        let newest = github.newest()?;
        of.ours.map(|ours| github.is_tagged(&ours)).transpose()?;
        let Some(release) = github.release(of.tag)? else {
            return Ok((
                Live { newest, release: Some(Stage::Absent), ..Live::default() },
                vec![None; items.len()],
            ));
        };
        let mut found = Vec::new();
        for item in items {
            let asset = release.assets.iter().find(|asset| asset.name == item.name && asset.whole);
            found.push(match asset {
                Some(asset) if self.deep && release.stage == Stage::Published => {
                    self.http.get(&asset.url)?.map(|bytes| digest::bytes(&bytes))
                }
                Some(asset) => Some(github.digest(asset)?),
                None => None,
            });
        }
        let foreign = of.ours.map_or_else(Vec::new, |ours| ours.differences(&release, items));
        let (stage, withdrawn) = (Some(release.stage), release.withdrawn);
        Ok((Live { newest, release: stage, withdrawn, foreign, ..Live::default() }, found))
    }

    fn ask_repositories(
        &self,
        at: &str,
        of: &Version<'_>,
        items: &[Item],
    ) -> Result<(Live, Vec<Option<String>>)> {
        let get = |path: &str| self.http.get(&format!("{at}/{path}"));
        let indexed = served::indexed(&get, of.name)?;
        let mut found = Vec::new();
        for item in items {
            let Some(place) = served::place(of.name, &item.name) else {
                bail!("{} is for no architecture that the repositories have", item.name);
            };
            let served = get(&place)?.map(|bytes| served::content(&item.name, &bytes)).transpose()?;
            // A file that no index names yet is no package; another one of its name is in the way all the same.
            found.push(served.filter(|content| *content != item.content || indexed.contains(&item.name)));
        }
        let (newest, valid_until) = (served::newest(&indexed, of.name), served::valid_until(&get)?);
        let withdrawn =
            served::withdrawn(&get).with_context(|| format!("cannot read {at}/repository.json"))?;
        let withdrawn = withdrawn.contains(of.version);
        Ok((Live { newest, valid_until, withdrawn, ..Live::default() }, found))
    }

    fn ask_git(&self, channel: Outlet, at: &str, items: &[Item]) -> Result<(Live, Vec<Option<String>>)> {
        let remote = self.remote(channel, at);
        remote.fetch()?;
        recipes(&remote, items)
    }
}

/// What stands in the clone as it is.
pub(super) fn recipes(remote: &Remote<'_>, items: &[Item]) -> Result<(Live, Vec<Option<String>>)> {
    let (mut live, mut found) = (Live::default(), Vec::new());
    for item in items {
        let bytes = remote.read(&item.name)?;
        if let Some(version) =
            bytes.as_ref().and_then(|bytes| git::version_of(&item.name, &String::from_utf8_lossy(bytes)))
        {
            live.newest = Some(version);
        }
        found.push(bytes.map(|bytes| digest::bytes(&bytes)));
    }
    Ok((live, found))
}
