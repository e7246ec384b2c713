//! `release apply`: exactly what a plan says, between two lines of a journal each.

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, anyhow, bail};
use jiff::Timestamp;

use super::http::{Http, Patience, Token};
use super::journal::{Journal, interrupted};
use super::live::{Asker, Version, recipes, word};
use super::plan_file::{FORMAT, Item, Part, Plan, Stage, stale};
use super::{plan, show, status};
use crate::files::{remove, replace_bytes};
use crate::manifest::Outlet;
use crate::repo::{self, Facts, Key, Site};
use crate::tools::Tools;
use crate::workspace::Workspace;
use crate::{Refused, digest, ui};

/// Do exactly what a plan says
///
/// In this order: the credentials are tried; a draft of the GitHub release is made, with every file; it is published, which makes the tag;
/// every address is fetched and its digest compared; then the repositories, the tap and the AUR; then the state of all. What is there
/// already, with the same digest, is left as it is, and nothing is ever overwritten by another one. Before and after each step a line goes to
/// a journal beside the plan. Killed, or cut off the network, it is run again. A plan that does not fit any more what is served, or files that
/// have changed since, are refused with exit code 4. The token comes from GITHUB_TOKEN; git's keys from ssh's agent.
#[derive(clap::Args)]
pub(super) struct Args {
    /// What `release plan` has written
    #[arg(value_name = "PLAN")]
    plan: PathBuf,
    /// Look at everything, and say what would be done
    #[arg(long)]
    dry_run: bool,
    /// What is published, as it was when it was planned
    #[arg(long, value_name = "DIR", default_value = "dist")]
    dist: PathBuf,
    /// The folder that is served as the repositories; made if it is not there
    #[arg(long, value_name = "DIR", requires = "key")]
    repositories: Option<PathBuf>,
    /// The key that signs them: its fingerprint, in gpg's key ring (GNUPGHOME)
    #[arg(long, value_name = "FINGERPRINT")]
    key: Option<String>,
}

/// The folder behind the repositories' address.
pub(super) struct Folder {
    pub dir: PathBuf,
    pub key: Key,
    /// Instead of now: for the same bytes again.
    pub date: Option<Timestamp>,
}

pub(super) struct Job<'a> {
    pub plan: &'a Path,
    pub dist: &'a Path,
    pub lock: &'a Path,
    pub http: &'a Http,
    pub folder: Option<Folder>,
    pub tools: &'a Tools,
    pub dry_run: bool,
}

pub(super) fn run(args: &Args, workspace: &Workspace) -> Result<()> {
    let here = std::env::current_dir().context("cannot tell the current folder")?;
    let dist = plan::Places { dist: args.dist.clone(), ..plan::Places::default() }.dist(workspace, &here);
    let folder = match (&args.repositories, &args.key) {
        (Some(dir), Some(key)) => Some(Folder { dir: here.join(dir), key: Key::of_ring(key)?, date: None }),
        _ => None,
    };
    let folders = workspace.target.join("xtask");
    fs::create_dir_all(&folders).with_context(|| format!("cannot create {}", folders.display()))?;
    apply(&Job {
        plan: &here.join(&args.plan),
        dist: &dist,
        lock: &folders.join("release.lock"),
        http: &Http::new(Token::of_environment(), Patience::default()),
        folder,
        tools: &Tools::new(workspace),
        dry_run: args.dry_run,
    })
}

pub(super) fn read(path: &Path) -> Result<(Plan, String)> {
    let bytes = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    let again = "help: cargo xtask release plan";
    let plan: Plan = serde_json::from_slice(&bytes)
        .with_context(|| format!("{} is no plan that this xtask understands\n{again}", path.display()))?;
    if plan.format != FORMAT {
        bail!("{} is of format {}, and this xtask knows {FORMAT} only\n{again}", path.display(), plan.format);
    }
    Ok((plan, digest::bytes(&bytes)))
}

pub(super) fn apply(job: &Job<'_>) -> Result<()> {
    let _lock = lock(job.lock)?;
    let (plan, sha256) = read(job.plan)?;
    plan::refuse_conflicts(&plan)?;
    let beside = journal_folder(job.plan);
    let work = beside.join("work");
    let asker = Asker {
        http: job.http,
        api: &plan.api,
        known_hosts: &plan.known_hosts,
        committer: &plan.committer,
        work: &work,
        deep: false,
    };
    let release = Release { job, plan: &plan, asker, work: &work };
    let now = release.look()?;
    if job.dry_run {
        anstream::print!("{}", show::plan(&Plan { channels: now, ..plan.clone() }));
        ui::verb("Unchanged", "this was a dry run");
        return Ok(());
    }
    let mut journal = Journal::open(&beside, &format!("{}.jsonl", &sha256[..12]))?;
    if let Some(step) = interrupted(&journal.lines) {
        ui::verb("Resuming", format_args!("an earlier run ended in the middle of: {step}"));
    }
    release.steps(&mut journal, &now)?;
    remove(&work)
}

pub(super) fn journal_folder(plan: &Path) -> PathBuf {
    let name = plan.file_name().unwrap_or_default().to_string_lossy().into_owned();
    plan.with_file_name(format!("{name}.journal"))
}

/// One at a time in a checkout. Elsewhere somebody else may do the same: both then end with the same, or one is refused.
fn lock(path: &Path) -> Result<File> {
    let file = File::create(path).with_context(|| format!("cannot write {}", path.display()))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => bail!(Refused(format!(
            "another `release apply` is running ({})\nhelp: wait for it, then run this again",
            path.display()
        ))),
        Err(TryLockError::Error(error)) => {
            Err(error).with_context(|| format!("cannot lock {}", path.display()))
        }
    }
}

struct Release<'a> {
    job: &'a Job<'a>,
    plan: &'a Plan,
    asker: Asker<'a>,
    work: &'a Path,
}

impl Release<'_> {
    fn of(&self) -> Version<'_> {
        Version { name: &self.plan.name, version: &self.plan.version, tag: &self.plan.tag }
    }

    /// Whether the files are those that were planned, and the channels as they were. Gives what they are now.
    fn look(&self) -> Result<Vec<Part>> {
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
                bail!(
                    "the repositories have to change, and no folder was named\nhelp: cargo xtask release apply PLAN --repositories DIR --key FINGERPRINT"
                );
            }
            found.push(now);
        }
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

    fn steps(&self, journal: &mut Journal, now: &[Part]) -> Result<()> {
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
        let ended = self
            .step(journal, "status", || status::judge(&parts, &self.plan.version).map(|()| String::new()));
        match failed.as_slice() {
            [] => match ended {
                // A paused channel was planned to be one.
                Err(error)
                    if error
                        .downcast_ref::<super::NotCurrent>()
                        .is_some_and(|state| state.code == status::PAUSED) =>
                {
                    Ok(())
                }
                ended => ended,
            },
            failed => {
                let names: Vec<&str> = failed.iter().map(|(name, _)| *name).collect();
                let text = format!("not done: {}\nhelp: run the same command again", names.join(", "));
                match failed.iter().all(|(_, refused)| *refused) {
                    true => Err(anyhow!(Refused(text))),
                    false => Err(anyhow!(text)),
                }
            }
        }
    }

    fn step(&self, journal: &mut Journal, name: &str, work: impl FnOnce() -> Result<String>) -> Result<()> {
        let note = journal.step(name, work)?;
        let note = if note.is_empty() { note } else { format!(": {note}") };
        ui::verb("Done", format_args!("{name}{note}"));
        Ok(())
    }

    /// All of them before anything is changed.
    fn credentials(&self, now: &[Part]) -> Result<String> {
        let mut notes = Vec::new();
        for part in now.iter().filter(|part| part.paused.is_none() && !part.is_done()) {
            match part.channel {
                Outlet::Github => {
                    let github = self.asker.github(&part.at);
                    notes.push(format!("the token of GitHub: {}", github.credentials()?));
                    github.commit(&self.plan.tag, &self.plan.commit)?;
                }
                Outlet::Repositories => {}
                channel => {
                    let taken = self.asker.remote(channel, &part.at).would_take();
                    taken.with_context(|| {
                        format!("{} would not take a push\nhelp: ssh-add -l", word(part.channel))
                    })?;
                }
            }
        }
        Ok(notes.join("; "))
    }

    fn github(&self, journal: &mut Journal, part: &Part) -> Result<()> {
        let github = self.asker.github(&part.at);
        if !part.is_done() {
            let mut draft = None;
            self.step(journal, "github draft", || {
                let release = github.draft(&self.plan.tag, &self.plan.commit, &self.plan.notes)?;
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
                    github.publish(draft.id).map(|()| self.plan.tag.clone())
                })?;
            }
        }
        self.step(journal, "github check", || self.until(part, |asker| Asker { deep: true, ..*asker }))
    }

    fn repositories(&self, journal: &mut Journal, part: &Part) -> Result<()> {
        if !part.is_done() {
            self.step(journal, "repositories add", || self.add(part))?;
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
        let folder = self.job.folder.as_ref().context("no folder for the repositories")?;
        let staged = self.work.join("packages");
        remove(&staged)?;
        fs::create_dir_all(&staged).with_context(|| format!("cannot create {}", staged.display()))?;
        let mut packages = Vec::new();
        for item in &part.items {
            let to = staged.join(&item.name);
            replace_bytes(&to, &self.bytes(item)?, 0o644)?;
            packages.push(to);
        }
        let mut site = Site {
            packages: &packages,
            tap: Some(&self.plan.tap),
            quiet: true,
            ..Site::new(&folder.key, &part.at, &self.plan.name, self.job.tools)
        };
        site.now = folder.date.unwrap_or(site.now);
        match Facts::read(&folder.dir)? {
            Some(facts) if facts.url != part.at => bail!(Refused(format!(
                "{} is made to be served at {}, and the plan is for {}\nhelp: name another folder",
                folder.dir.display(),
                facts.url,
                part.at
            ))),
            Some(_) => repo::add(&site, &folder.dir)?,
            None => repo::build(&site, &folder.dir)?,
        }
        Ok(format!("{} packages", packages.len()))
    }

    fn push(&self, part: &Part) -> Result<String> {
        let mut files = Vec::new();
        for item in &part.items {
            files.push((item.name.clone(), self.bytes(item)?));
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
