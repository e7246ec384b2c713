//! The steps of a release. Each looks what is there, does what is missing, and nothing else.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, anyhow, bail};

use super::apply::{Folder, Job};
use super::journal::{Journal, is_open};
use super::live::{Asker, Version, recipes, word};
use super::ours::Ours;
use super::plan_file::{Item, Part, Plan, Stage, stale};
use super::{ours, plan, status};
use crate::files::{remove, replace_bytes};
use crate::manifest::Outlet;
use crate::repo::{self, Facts, Site};
use crate::{Refused, digest, ui};

const ADD: &str = "repositories add";
pub(super) const DEPLOY: &str = "repositories deploy";
const NO_FOLDER: &str = "the repositories have to change, and no folder was named\nhelp: cargo xtask release apply PLAN --repositories DIR --key FINGERPRINT";

/// A plan that is being done.
pub(super) struct Release<'a> {
    pub job: &'a Job<'a>,
    pub plan: &'a Plan,
    pub asker: Asker<'a>,
    pub work: &'a Path,
}

impl Release<'_> {
    fn of(&self) -> Version<'_> {
        Version::of(self.plan)
    }

    /// Whether the files are those that were planned, and the channels as they were. Gives what they are now.
    pub(super) fn look(&self) -> Result<Vec<Part>> {
        let mut found = Vec::new();
        let active = |part: &&Part| part.paused.is_none();
        for item in self.plan.channels.iter().filter(active).flat_map(|part| &part.items) {
            self.bytes(item)?;
        }
        let mut reasons = Vec::new();
        for part in &self.plan.channels {
            if part.paused.is_some() {
                found.push(part.clone());
                continue;
            }
            let now = self.ask(part)?;
            let of_it = stale(part, &now, &self.plan.version);
            reasons.extend(of_it.into_iter().map(|reason| format!("{}: {reason}", word(part.channel))));
            let folder = part.channel == Outlet::Repositories && !now.is_done() && self.job.folder.is_none();
            if folder && !self.job.dry_run {
                bail!(NO_FOLDER);
            }
            found.push(now);
        }
        plan::refuse_withdrawn(&found, &self.plan.version)?;
        ours::refuse(self.plan, &found)?;
        match reasons.is_empty() {
            true => Ok(found),
            false => bail!(Refused(format!(
                "the plan does not fit any more what is served: {}\nhelp: plan again: `cargo xtask release plan`",
                reasons.join("; ")
            ))),
        }
    }

    fn ask(&self, part: &Part) -> Result<Part> {
        let asked = self.asker.ask(part.channel, &part.at, &self.of(), &part.items);
        asked.with_context(|| format!("cannot tell what {} serves", word(part.channel)))
    }

    /// Read once, so that what is published is what was looked at.
    fn bytes(&self, item: &Item) -> Result<Vec<u8>> {
        let path = self.job.dist.join(&item.path);
        let bytes = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        if digest::bytes(&bytes) != item.sha256 {
            bail!(Refused(format!(
                "{} has changed since it was planned\nhelp: plan again: `cargo xtask release plan`",
                path.display()
            )));
        }
        Ok(bytes)
    }

    pub(super) fn steps(&self, journal: &mut Journal, now: &[Part]) -> Result<()> {
        let active =
            |channel: Outlet| now.iter().find(|part| part.channel == channel && part.paused.is_none());
        self.step(journal, "credentials", || self.credentials(now))?;
        if let Some(part) = active(Outlet::Github) {
            self.github(journal, part)?;
        }
        // None of these needs another: the others go on where one cannot.
        let mut failed = Vec::new();
        let mut of = |channel: Outlet, done: Result<()>| {
            if let Err(error) = done {
                let refused = error.is::<Refused>();
                ui::error(&error.context(format!("{} is not done", word(channel))));
                failed.push((word(channel), refused));
            }
        };
        if let Some(part) = active(Outlet::Repositories) {
            of(Outlet::Repositories, self.repositories(journal, part));
        }
        for channel in [Outlet::Tap, Outlet::Aur] {
            if let Some(part) = active(channel) {
                let name = format!("{} push", word(channel));
                of(channel, self.step(journal, &name, || self.push(part)));
            }
        }
        let parts: Vec<(Part, Option<anyhow::Error>)> = self
            .plan
            .channels
            .iter()
            .map(|part| match self.asker.ask(part.channel, &part.at, &self.of(), &part.items) {
                Ok(now) => (Part { paused: part.paused.clone(), ..now }, None),
                Err(error) => (part.clone(), Some(error)),
            })
            .collect();
        let ended = self.step(journal, "status", || match status::judge(&parts, &self.plan.version) {
            // It was planned to be one.
            Err(error) if status::is_paused(&error) => Ok(error.to_string()),
            judged => judged.map(|()| String::new()),
        });
        if failed.is_empty() {
            return ended;
        }
        let names: Vec<&str> = failed.iter().map(|(name, _)| *name).collect();
        let text = |help: &str| format!("not done: {}\nhelp: {help}", names.join(", "));
        // What was refused is so again, however often it is run.
        match failed.iter().any(|(_, refused)| *refused) {
            false => Err(anyhow!(text("run the same command again"))),
            true => Err(anyhow!(Refused(text("mend what was refused: cargo xtask release status --live")))),
        }
    }

    fn step(&self, journal: &mut Journal, name: &str, work: impl FnOnce() -> Result<String>) -> Result<()> {
        let note = journal.step(name, work)?;
        let note = if note.is_empty() { note } else { format!(": {note}") };
        ui::verb("Done", format_args!("{name}{note}"));
        Ok(())
    }

    /// All of them before anything is changed.
    pub(super) fn credentials(&self, now: &[Part]) -> Result<String> {
        let mut notes = Vec::new();
        for part in now.iter().filter(|part| part.paused.is_none() && !part.is_done()) {
            match part.channel {
                Outlet::Github => {
                    let github = self.asker.github(&part.at);
                    notes.push(format!("the token of GitHub: {}", github.credentials()?));
                    github.commit(&Ours::of(self.plan))?;
                }
                // `look` has refused to go on without a folder.
                Outlet::Repositories => {
                    let tried = self.job.folder.as_ref().map(|folder| self.try_folder(folder, part));
                    notes.extend(tried.transpose()?);
                }
                channel => self.asker.remote(channel, &part.at).try_push(channel)?,
            }
        }
        Ok(notes.join("; "))
    }

    fn try_folder(&self, folder: &Folder, part: &Part) -> Result<String> {
        let packages: Vec<PathBuf> = part.items.iter().map(|item| self.job.dist.join(&item.path)).collect();
        let site = folder.site(&part.at, &self.plan.name, self.job.tools);
        folder.try_change(&Site { packages: &packages, ..site }, is_served(part))
    }

    fn github(&self, journal: &mut Journal, part: &Part) -> Result<()> {
        let (github, ours) = (self.asker.github(&part.at), Ours::of(self.plan));
        if !part.is_done() {
            let mut draft = None;
            self.step(journal, "github draft", || {
                let release = github.draft(&ours, &part.items)?;
                let id = release.id;
                draft = Some(release);
                Ok(format!("release {id}"))
            })?;
            let draft = draft.context("a step without a release")?;
            for item in &part.items {
                self.step(journal, &format!("github upload {}", item.name), || {
                    let there = github.asset(draft.id, &draft.upload, &item.name, &self.bytes(item)?)?;
                    Ok(if there { "there already" } else { "uploaded" }.to_owned())
                })?;
            }
            if draft.stage != Stage::Published {
                self.step(journal, "github publish", || {
                    github.publish(draft.id, &ours, &part.items).map(|()| self.plan.tag.clone())
                })?;
            }
        }
        self.step(journal, "github check", || {
            github.check_tag(&ours)?;
            self.until(part, |asker| Asker { deep: true, ..*asker })
        })
    }

    fn repositories(&self, journal: &mut Journal, part: &Part) -> Result<()> {
        // Everybody may see it already while what it supersedes is not yet written down.
        let open = [ADD, DEPLOY].iter().any(|step| is_open(&journal.lines, step));
        if !part.is_done() || open {
            self.step(journal, ADD, || self.add(part))?;
            if let Some(folder) = &self.job.folder
                && let Some(command) = &folder.deploy
            {
                self.step(journal, DEPLOY, || deploy(command, &folder.dir))?;
            }
        }
        self.step(journal, "repositories check", || self.until(part, |asker| Asker { ..*asker }))
    }

    /// Asks until it is served as planned: there are caches in between.
    fn until<'a>(&'a self, part: &Part, how: impl Fn(&Asker<'a>) -> Asker<'a>) -> Result<String> {
        let asker = how(&self.asker);
        let patience = self.job.http.patience;
        for number in 0..patience.tries {
            let now = asker.ask(part.channel, &part.at, &self.of(), &part.items)?;
            if now.is_done() {
                return Ok(format!("{} with the right digest", now.items.len()));
            }
            if let Some(item) = now.conflicts().next() {
                bail!(Refused(format!("{} is served with another digest", item.name)));
            }
            if number + 1 < patience.tries {
                self.job.http.pause(number);
            }
        }
        bail!(
            "{} does not serve it yet, though all of it was published there\nhelp: cargo xtask release status --live",
            part.at
        )
    }

    fn add(&self, part: &Part) -> Result<String> {
        let folder = self.job.folder.as_ref().context(NO_FOLDER)?;
        let staged = self.work.join("packages");
        remove(&staged)?;
        fs::create_dir_all(&staged).with_context(|| format!("cannot create {}", staged.display()))?;
        let mut packages = Vec::new();
        for item in &part.items {
            let to = staged.join(&item.name);
            replace_bytes(&to, &self.bytes(item)?, 0o644)?;
            packages.push(to);
        }
        let site = folder.site(&part.at, &self.plan.name, self.job.tools);
        let site = Site { packages: &packages, tap: Some(&self.plan.tap), ..site };
        folder.try_change(&site, is_served(part))?;
        match Facts::read(&folder.dir)? {
            Some(_) => repo::add(&site, &folder.dir)?,
            None => repo::build(&site, &folder.dir)?,
        }
        Ok(format!("{} packages", packages.len()))
    }

    fn push(&self, part: &Part) -> Result<String> {
        let mut files = Vec::new();
        for item in &part.items {
            files.push((item.name.clone(), Some(self.bytes(item)?)));
        }
        let remote = self.asker.remote(part.channel, &part.at);
        let message = format!(
            "{} {}\n\nMade of {} by `cargo xtask release apply`, as {} names it.",
            self.plan.name, self.plan.version, self.plan.commit, self.plan.tag
        );
        let planned = self.plan.channels.iter().find(|other| other.channel == part.channel).unwrap_or(part);
        // Somebody may have pushed another recipe since it was looked at.
        let fits = || {
            let (live, found) = recipes(&remote, &part.items)?;
            let items = part.items.iter().zip(found).map(|(item, live)| Item { live, ..item.clone() });
            let now = Part { live, items: items.collect(), ..part.clone() };
            match stale(planned, &now, &self.plan.version).as_slice() {
                [] => Ok(()),
                reasons => bail!(Refused(format!(
                    "somebody else has pushed to {}: {}\nhelp: plan again: `cargo xtask release plan`",
                    part.at,
                    reasons.join("; ")
                ))),
            }
        };
        remote.push(&files, &message, self.plan.made, &fits)
    }
}

/// Whether somebody reads repositories at the address.
fn is_served(part: &Part) -> bool {
    part.live.newest.is_some() || part.live.valid_until.is_some()
}

/// What it says goes where this program's own words go, as it may take minutes.
pub(super) fn deploy(command: &str, dir: &Path) -> Result<String> {
    let mut sh = Command::new("sh");
    sh.args(["-euc", command]).current_dir(dir).stdin(Stdio::null()).stdout(std::io::stderr());
    // The token for the GitHub release is not for it.
    let status = sh.env_remove("GITHUB_TOKEN").status().context("cannot run sh")?;
    match status.success() {
        true => Ok(String::new()),
        false => bail!("what --deploy names ended with {status}\nhelp: run the same command again"),
    }
}
