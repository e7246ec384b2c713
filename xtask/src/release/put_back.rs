//! Which recipe a channel gets when the version that it has is withdrawn.

use std::collections::BTreeSet;

use anyhow::{Result, bail};

use super::git::{Remote, version_of};
use super::yank::Job;
use crate::manifest::Outlet;
use crate::repo::{Facts, served};

impl Job<'_> {
    /// The newest one before it that was not withdrawn itself; where there is none, nothing stands there.
    pub(super) fn put_back(&self, channel: Outlet, at: &str) -> Result<String> {
        let remote = self.asker.remote(channel, at);
        remote.fetch()?;
        let paths = self.paths(channel);
        let back = self.last_good(&remote, &paths[0])?;
        let mut files = Vec::new();
        for path in paths {
            let then = back.as_ref().map(|(commit, _)| remote.read_at(commit, &path)).transpose()?.flatten();
            if then.is_some() || remote.read(&path)?.is_some() {
                files.push((path, then));
            }
        }
        let message = format!("{}{}\n\n{}", self.title(), self.version, self.why);
        let fits = || match self.version_of(&remote, channel)?.as_deref() == Some(self.version) {
            true => Ok(()),
            false => bail!("{at} has another version meanwhile\nhelp: run the same command again"),
        };
        let pushed = remote.push(&files, &message, self.now, &fits)?;
        let version = back.map_or("no version".to_owned(), |(_, version)| version);
        Ok(format!("{version} again, {pushed}"))
    }

    /// Of a commit that does so.
    fn title(&self) -> String {
        format!("{}: withdraw ", self.name)
    }

    /// The commit, and the version. Others may have changed the recipe of the same version since, and it stays the same version.
    fn last_good(&self, remote: &Remote<'_>, path: &str) -> Result<Option<(String, String)>> {
        let changes = remote.changes(path)?;
        let mut withdrawn = self.withdrawn()?;
        let told = changes.iter().filter_map(|(_, title)| title.strip_prefix(&self.title()));
        withdrawn.extend(told.map(str::to_owned));
        for (commit, _) in changes {
            let Some(text) = remote.read_at(&commit, path)? else { continue };
            let Some(version) = version_of(path, &String::from_utf8_lossy(&text)) else { continue };
            // A newer one that somebody has taken out by hand had its reason.
            if served::is_newer(self.version, &version) && !withdrawn.contains(&version) {
                return Ok(Some((commit, version)));
            }
        }
        Ok(None)
    }

    /// By what any channel knows: a channel that has gone on to another version was not asked for it then.
    fn withdrawn(&self) -> Result<BTreeSet<String>> {
        let mut all = BTreeSet::new();
        for (channel, at) in &self.at {
            match channel {
                Outlet::Github => all.extend(self.asker.github(at).withdrawn()?),
                Outlet::Repositories => {
                    let get = |path: &str| self.asker.http.get(&format!("{at}/{path}"));
                    all.extend(served::withdrawn(&get)?);
                }
                _ => {}
            }
        }
        if let Some(folder) = &self.folder
            && let Some(facts) = Facts::read(&folder.dir)?
        {
            all.extend(facts.withdrawn);
        }
        Ok(all)
    }
}
