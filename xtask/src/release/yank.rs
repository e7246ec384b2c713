//! `release yank`: a version that nobody is to get any more.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use jiff::Timestamp;

use super::apply::{self, Folder};
use super::git;
use super::journal::{Journal, is_open};
use super::live::{Asker, CHANNELS, word};
use super::plan::Places;
use super::plan_file::Stage;
use super::steps::{DEPLOY, deploy};
use crate::http::{Http, Patience, Token};
use crate::manifest::{self, Outlet};
use crate::repo::{self, Key, served};
use crate::tools::Tools;
use crate::ui;
use crate::workspace::Workspace;

/// Withdraw a version from every channel
///
/// The AUR and the tap get the newest version before it that was not withdrawn itself, or none, where it is what they have; the repositories' indices no longer name it, and pacman's
/// database has the newest version before it; the GitHub release becomes a draft again, with a note, and its tag and files are kept. Then each
/// channel is asked whether it still serves it. The version is never published again: the next one has another revision. Where it is installed
/// it stays. Killed, it is run again.
#[derive(clap::Args)]
pub(super) struct Args {
    /// The version with its revision, as `0.12.0-1`
    #[arg(value_name = "VERSION")]
    version: String,
    /// Why, for whoever looks at the release afterwards
    #[arg(long, value_name = "TEXT", default_value = "do not use this version")]
    why: String,
    /// Say what would be done
    #[arg(long)]
    dry_run: bool,
    /// The folder that is served as the repositories
    #[arg(long, value_name = "DIR", requires = "key")]
    repositories: Option<PathBuf>,
    /// The key that signs them: its fingerprint, in gpg's key ring (GNUPGHOME)
    #[arg(long, value_name = "FINGERPRINT")]
    key: Option<String>,
    /// What brings the folder to where it is served: run by sh in DIR after it has changed, and once more where that was cut off
    #[arg(long, value_name = "COMMAND", requires = "repositories")]
    deploy: Option<String>,
    #[command(flatten)]
    places: Places,
}

const NO_FOLDER: &str =
    "the repositories serve it, and no folder was named\nhelp: --repositories DIR --key FINGERPRINT";

pub(super) struct Job<'a> {
    pub name: &'a str,
    pub version: &'a str,
    pub why: &'a str,
    pub asker: Asker<'a>,
    /// Where each channel is.
    pub at: Vec<(Outlet, String)>,
    pub folder: Option<Folder>,
    pub tools: &'a Tools,
    pub dry_run: bool,
    pub journal: &'a Path,
    pub now: Timestamp,
}

pub(super) fn run(args: &Args, workspace: &Workspace) -> Result<()> {
    let plain = |c: char| c.is_ascii_alphanumeric() || ".~+-".contains(c);
    if !args.version.contains('-') || !args.version.chars().all(plain) {
        bail!(
            "`{}` is no version with its revision\nhelp: cargo xtask release status",
            args.version.escape_default()
        );
    }
    let here = std::env::current_dir().context("cannot tell the current folder")?;
    let package = manifest::load(workspace, &workspace.manifest())?;
    let work = workspace.target.join("xtask/release");
    std::fs::create_dir_all(&work).with_context(|| format!("cannot create {}", work.display()))?;
    let _lock = apply::lock(&workspace.target.join("xtask/release.lock"))?;
    let folder = match (&args.repositories, &args.key) {
        (Some(dir), Some(key)) => {
            let deploy = args.deploy.clone();
            Some(Folder { dir: here.join(dir), key: Key::of_ring(key)?, date: None, deploy })
        }
        _ => None,
    };
    let clones = git::clones(&work)?;
    let known_hosts = workspace.root.join(&package.manifest.release.known_hosts);
    let known_hosts = std::fs::read_to_string(&known_hosts)
        .with_context(|| format!("cannot read {}", known_hosts.display()))?;
    let mut at = Vec::new();
    for channel in CHANNELS {
        match package.manifest.release.paused.get(&channel) {
            Some(paused) => ui::warning(format_args!("{} is paused: {}", word(channel), paused.why)),
            None => at.push((channel, args.places.at(channel, &package)?)),
        }
    }
    yank(&Job {
        name: package.name(),
        version: &args.version,
        why: &args.why,
        asker: Asker {
            http: &Http::new(Token::of_environment(), Patience::default()),
            api: &args.places.api(),
            known_hosts: &known_hosts,
            committer: &package.manifest.package.maintainer,
            work: clones.path(),
            deep: false,
        },
        at,
        folder,
        tools: &Tools::new(workspace),
        dry_run: args.dry_run,
        journal: &work.join(format!("v{}.yank.journal", args.version)),
        now: Timestamp::from_second(Timestamp::now().as_second())?,
    })
}

/// First the recipes, which lead to the files; the files last.
pub(super) fn yank(job: &Job<'_>) -> Result<()> {
    let mut serving = Vec::new();
    for (channel, at) in job.at.iter().rev() {
        if job.serves(*channel, at)? {
            serving.push((*channel, at.as_str()));
        }
    }
    if job.dry_run {
        for (channel, at) in &serving {
            ui::verb("Serves", format_args!("{}: {} ({at})", word(*channel), job.version));
        }
        // Whoever names the folder means to do it; others only ask, and need no right to anything.
        return if job.folder.is_some() { job.credentials(&serving) } else { Ok(()) };
    }
    let mut journal = Journal::open(job.journal, "journal.jsonl")?;
    // Nobody may be served it any more while what the index before named is not yet written down, or not all of it is deployed.
    for (channel, at) in job.at.iter().filter(|(channel, _)| *channel == Outlet::Repositories) {
        let open = [step(*channel).as_str(), DEPLOY].iter().any(|step| is_open(&journal.lines, step));
        let served = serving.iter().any(|(other, _)| other == channel);
        serving.extend((open && !served).then_some((*channel, at.as_str())));
    }
    journal.step("credentials", || job.credentials(&serving).map(|()| String::new()))?;
    for (channel, at) in &serving {
        let note = journal.step(&step(*channel), || job.withdraw(*channel, at))?;
        ui::verb("Withdrew", format_args!("{} from {}: {note}", job.version, word(*channel)));
        if *channel == Outlet::Repositories
            && let Some(folder) = &job.folder
            && let Some(command) = &folder.deploy
        {
            journal.step(DEPLOY, || deploy(command, &folder.dir))?;
        }
    }
    journal.step("check", || {
        for (channel, at) in &job.at {
            if job.serves(*channel, at)? {
                bail!("{} still serves {}\nhelp: run the same command again", word(*channel), job.version);
            }
        }
        Ok(String::new())
    })?;
    ui::verb("Checked", format_args!("no channel that is not paused serves {}", job.version));
    Ok(())
}

fn step(channel: Outlet) -> String {
    format!("{} withdraw", word(channel))
}

impl Job<'_> {
    fn tag(&self) -> String {
        format!("v{}", self.version)
    }

    fn serves(&self, channel: Outlet, at: &str) -> Result<bool> {
        let what = || format!("cannot tell what {} serves", word(channel));
        match channel {
            Outlet::Github => {
                let release = self.asker.github(at).release(&self.tag()).with_context(what)?;
                Ok(release.is_some_and(|release| release.stage == Stage::Published))
            }
            Outlet::Repositories => {
                let get = |path: &str| self.asker.http.get(&format!("{at}/{path}"));
                let indexed = served::indexed(&get, self.name).with_context(what)?;
                Ok(indexed.iter().any(|file| served::is_of(file, self.name, self.version)))
            }
            channel => {
                let remote = self.asker.remote(channel, at);
                remote.fetch().with_context(what)?;
                Ok(self.version_of(&remote, channel)?.as_deref() == Some(self.version))
            }
        }
    }

    pub(super) fn version_of(&self, remote: &git::Remote<'_>, channel: Outlet) -> Result<Option<String>> {
        let path = self.paths(channel).swap_remove(0);
        let text = remote.read(&path)?.map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        Ok(text.and_then(|text| git::version_of(&path, &text)))
    }

    /// The one that tells the version is the first.
    pub(super) fn paths(&self, channel: Outlet) -> Vec<String> {
        match channel {
            Outlet::Tap => vec![format!("Formula/{}.rb", self.name)],
            _ => vec![".SRCINFO".into(), "PKGBUILD".into(), format!("{}.install", self.name)],
        }
    }

    /// Whatever would refuse it, before the first channel is changed.
    fn credentials(&self, serving: &[(Outlet, &str)]) -> Result<()> {
        for (channel, at) in serving {
            match channel {
                Outlet::Github => self.asker.github(at).credentials().map(drop)?,
                Outlet::Repositories => {
                    let folder = self.folder.as_ref().context(NO_FOLDER)?;
                    folder.try_change(&folder.site(at, self.name, self.tools), true)?;
                }
                channel => self.asker.remote(*channel, at).try_push(*channel)?,
            }
        }
        Ok(())
    }

    fn withdraw(&self, channel: Outlet, at: &str) -> Result<String> {
        match channel {
            Outlet::Github => {
                let github = self.asker.github(at);
                let release = github.release(&self.tag())?.context("the release is gone meanwhile")?;
                github.withdraw(release.id, self.version, self.why).map(|()| "a draft now".to_owned())
            }
            Outlet::Repositories => {
                let folder = self.folder.as_ref().context(NO_FOLDER)?;
                let site = folder.site(at, self.name, self.tools);
                repo::withdraw(&site, &folder.dir, self.version).map(|()| "out of every index".to_owned())
            }
            channel => self.put_back(channel, at),
        }
    }
}
