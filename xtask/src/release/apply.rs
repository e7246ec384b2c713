//! `release apply`: exactly what a plan says, between two lines of a journal each.

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use jiff::Timestamp;

use super::journal::{Journal, interrupted};
use super::live::Asker;
use super::plan_file::{FORMAT, Plan};
use super::steps::Release;
use super::{git, plan, show};
use crate::dist::is_plain;
use crate::files::remove;
use crate::http::{Http, Patience, Token};
use crate::repo::{self, Key, Site};
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
    /// What brings the folder to where it is served: run by sh in DIR after it has changed, and once more where that was cut off
    #[arg(long, value_name = "COMMAND", requires = "repositories")]
    deploy: Option<String>,
}

/// The folder behind the repositories' address.
pub(super) struct Folder {
    pub dir: PathBuf,
    pub key: Key,
    /// Instead of now: for the same bytes again.
    pub date: Option<Timestamp>,
    /// For `sh -c`; none: what is in the folder is served.
    pub deploy: Option<String>,
}

impl Folder {
    /// Whether the key signs, at the time at which it will be asked to: an expired one does not.
    pub(super) fn try_key(&self) -> Result<String> {
        let scratch = tempfile::tempdir().context("cannot create a temporary folder")?;
        let (text, signature) = (scratch.path().join("text"), scratch.path().join("signature"));
        fs::write(&text, "x").with_context(|| format!("cannot write {}", text.display()))?;
        let fingerprint = &self.key.fingerprint;
        let signed =
            self.key.sign(&["--detach-sign"], &text, &signature, self.date.unwrap_or_else(Timestamp::now));
        signed.with_context(|| {
            format!("the key {fingerprint} cannot sign\nhelp: cargo xtask release keys {fingerprint}")
        })?;
        Ok(format!("the key {fingerprint} signs"))
    }

    pub(super) fn site<'a>(&'a self, at: &'a str, name: &'a str, tools: &'a Tools) -> Site<'a> {
        let site = Site { quiet: true, ..Site::new(&self.key, at, name, tools) };
        Site { now: self.date.unwrap_or(site.now), ..site }
    }

    /// Whatever would refuse to sign or to change it, asked before any other channel is changed.
    pub(super) fn try_change(&self, site: &Site<'_>, is_served: bool) -> Result<String> {
        let signs = self.try_key()?;
        repo::try_change(site, &self.dir, is_served)?;
        Ok(signs)
    }
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
        (Some(dir), Some(key)) => {
            let deploy = args.deploy.clone();
            Some(Folder { dir: here.join(dir), key: Key::of_ring(key)?, date: None, deploy })
        }
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
    refuse_odd(&plan, path)?;
    if plan.format != FORMAT {
        bail!("{} is of format {}, and this xtask knows {FORMAT} only\n{again}", path.display(), plan.format);
    }
    Ok((plan, digest::bytes(&bytes)))
}

/// Anyone may have edited it: what does not lie below dist/ is nobody's to publish.
fn refuse_odd(plan: &Plan, path: &Path) -> Result<()> {
    let items = plan.channels.iter().flat_map(|part| &part.items);
    match items.flat_map(|item| [&item.path, &item.name]).find(|path| !is_plain(path)) {
        None => Ok(()),
        Some(odd) => bail!(Refused(format!(
            "{} names a file that is not below dist/: {}\nhelp: cargo xtask release plan",
            path.display(),
            odd.escape_debug()
        ))),
    }
}

pub(super) fn apply(job: &Job<'_>) -> Result<()> {
    let _lock = lock(job.lock)?;
    let (plan, sha256) = read(job.plan)?;
    plan::refuse_conflicts(&plan)?;
    let beside = journal_folder(job.plan);
    let work = beside.join("work");
    let clones = git::clones(&beside)?;
    let asker = Asker {
        http: job.http,
        api: &plan.api,
        known_hosts: &plan.known_hosts,
        committer: &plan.committer,
        work: clones.path(),
        deep: false,
    };
    let release = Release { job, plan: &plan, asker, work: &work };
    let now = release.look()?;
    if job.dry_run {
        release.credentials(&now)?;
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
pub(super) fn lock(path: &Path) -> Result<File> {
    let file = File::create(path).with_context(|| format!("cannot write {}", path.display()))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => bail!(Refused(format!(
            "another `release apply` or `release yank` is running ({})\nhelp: wait for it, then run this again",
            path.display()
        ))),
        Err(TryLockError::Error(error)) => {
            Err(error).with_context(|| format!("cannot lock {}", path.display()))
        }
    }
}
