//! `release plan`: what is to be published against what is, as a file.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, anyhow, bail};
use jiff::Timestamp;

use super::live::{Asker, CHANNELS, Version, local, word};
use super::plan_file::{FORMAT, Live, Part, Plan};
use super::{gate, git, ours, show};
use crate::dist::Index;
use crate::files::replace_file;
use crate::http::{Http, Patience, Token, refuse_password};
use crate::manifest::{self, Outlet, Package, Paused};
use crate::scenarios::record;
use crate::workspace::Workspace;
use crate::{Refused, ui};

/// Ask every channel what it serves, and write down what is to be done
///
/// Reads dist/dist.json and changes nothing anywhere. Each file is one of: create, update (a recipe of the version before), same, conflict
/// (another one has its name: refused). A channel may be paused, with the reason and since when. Refused, with exit code 4, where something
/// is not pinned, committed, built or verified, and where there is a conflict; each reason is told. Done by `release apply`.
#[derive(clap::Args)]
pub(super) struct Args {
    /// Where to write the plan; below target/, by its version, if it is not said
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Print the plan as JSON on standard output
    #[arg(long)]
    json: bool,
    /// Leave this channel out, as if it was paused
    #[arg(long, value_name = "CHANNEL", value_delimiter = ',')]
    without: Vec<Outlet>,
    /// What `cargo xtask verify` has written, where it ran elsewhere
    #[arg(long, value_name = "FILE")]
    verified: Option<PathBuf>,
    #[command(flatten)]
    places: Places,
}

/// Where the channels are, where it is not where the manifest says.
#[derive(Debug, Clone, Default, clap::Args)]
pub(super) struct Places {
    /// What is published, as `cargo xtask dist` leaves it
    #[arg(long, value_name = "DIR", default_value = "dist")]
    pub dist: PathBuf,
    /// GitHub's API; GITHUB_API_URL, if it is not said, else github.com's own
    #[arg(long, value_name = "URL")]
    pub api: Option<String>,
    /// Where the repositories are served, instead of where the manifest says
    #[arg(long, value_name = "URL")]
    pub repositories_url: Option<String>,
    /// The tap's git repository, instead of the one that the manifest names
    #[arg(long, value_name = "URL")]
    pub tap: Option<String>,
    /// The AUR's git repository, likewise
    #[arg(long, value_name = "URL")]
    pub aur: Option<String>,
}

impl Places {
    pub(super) fn dist(&self, workspace: &Workspace, here: &Path) -> PathBuf {
        match self.dist.as_os_str() == "dist" {
            true => workspace.root.join("dist"),
            false => here.join(&self.dist),
        }
    }

    pub(super) fn api(&self) -> String {
        let of_environment = || std::env::var("GITHUB_API_URL").ok().filter(|url| !url.is_empty());
        let url = self.api.clone().or_else(of_environment);
        url.unwrap_or_else(|| "https://api.github.com".to_owned()).trim_end_matches('/').to_owned()
    }

    pub(super) fn at(&self, channel: Outlet, package: &Package) -> Result<String> {
        let at = self.place(channel, package)?;
        refuse_password(&at).map(|()| at)
    }

    fn place(&self, channel: Outlet, package: &Package) -> Result<String> {
        let manifest = &package.manifest;
        Ok(match channel {
            Outlet::Github => {
                let repository = &manifest.package.repository;
                let path = repository.strip_prefix("https://github.com/").with_context(|| {
                    format!("{repository} is not at GitHub\nhelp: cargo xtask release plan --without github,tap,aur")
                })?;
                path.trim_end_matches('/').trim_end_matches(".git").to_owned()
            }
            Outlet::Repositories => {
                let url = self.repositories_url.as_ref().unwrap_or(&manifest.release.repositories);
                url.trim_end_matches('/').to_owned()
            }
            Outlet::Tap => match &self.tap {
                Some(url) => url.clone(),
                None => {
                    let tap = manifest.homebrew.tap.replacen('/', "/homebrew-", 1);
                    format!("ssh://git@github.com/{tap}.git")
                }
            },
            Outlet::Aur => match &self.aur {
                Some(url) => url.clone(),
                None => format!("ssh://aur@aur.archlinux.org/{}.git", manifest.arch.aur_name),
            },
        })
    }
}

pub(super) fn run(args: &Args, workspace: &Workspace) -> Result<()> {
    let here = std::env::current_dir().context("cannot tell the current folder")?;
    let package = manifest::load(workspace, &workspace.manifest())?;
    let dist = args.places.dist(workspace, &here);
    let index = index(&dist)?;
    let head = workspace.head()?;
    let verified = args.verified.as_ref().map_or_else(|| record::path(workspace), |path| here.join(path));
    let record = record::read(&verified)?;
    let problems = gate::problems(&package, head.as_ref(), record.as_ref(), &index, &dist)?;
    for problem in &problems {
        ui::error(&anyhow!("{problem}"));
    }
    for text in gate::left_out(&package, &index) {
        ui::warning(text);
    }
    if !problems.is_empty() {
        bail!(Refused(format!("{} of what has to be true before publishing is not", problems.len())));
    }
    let known_hosts = workspace.root.join(&package.manifest.release.known_hosts);
    let mut draft = Plan {
        format: FORMAT,
        name: package.name().to_owned(),
        version: package.full_version(),
        tag: package.tag(),
        commit: head.map(|head| head.commit).unwrap_or_default(),
        made: Timestamp::from_second(Timestamp::now().as_second())?,
        notes: notes(&package),
        committer: package.manifest.package.maintainer.clone(),
        known_hosts: std::fs::read_to_string(&known_hosts)
            .with_context(|| format!("cannot read {}", known_hosts.display()))?,
        api: args.places.api(),
        tap: package.manifest.homebrew.tap.clone(),
        channels: Vec::new(),
    };
    for channel in CHANNELS {
        draft.channels.push(Part {
            channel,
            at: args.places.at(channel, &package)?,
            paused: package.manifest.release.paused.get(&channel).cloned(),
            live: Live::default(),
            items: local(channel, &index, &dist)?,
        });
    }
    for part in draft.channels.iter_mut().filter(|part| args.without.contains(&part.channel)) {
        part.paused = Some(paused(draft.made, "left out by --without"));
    }
    let work = workspace.target.join("xtask/release");
    let http = Http::new(Token::of_environment(), Patience::default());
    let plan = make(draft, &http, &work)?;
    match args.json {
        true => println!("{}", serde_json::to_string_pretty(&plan)?),
        false => anstream::print!("{}", show::plan(&plan)),
    }
    refuse_conflicts(&plan)?;
    let to =
        args.out.as_ref().map_or_else(|| work.join(format!("{}.json", plan.tag)), |path| here.join(path));
    write(&plan, &to)?;
    ui::verb("Planned", format_args!("{}", to.display()));
    if plan.channels.iter().all(|part| part.paused.is_some() || part.is_done()) {
        ui::verb("Unchanged", "every channel that is not paused serves it");
    } else {
        ui::help(format_args!("cargo xtask release apply {} --dry-run", to.display()));
    }
    Ok(())
}

pub(super) fn index(dist: &Path) -> Result<Index> {
    Index::read(dist).with_context(|| {
        format!("{} cannot be read\nhelp: cargo xtask dist", dist.join(Index::FILE).display())
    })
}

/// Asks all channels. Whatever it is told, nothing is changed anywhere.
pub(super) fn make(mut plan: Plan, http: &Http, work: &Path) -> Result<Plan> {
    let clones = git::clones(work)?;
    let asker = Asker {
        http,
        api: &plan.api,
        known_hosts: &plan.known_hosts,
        committer: &plan.committer,
        work: clones.path(),
        deep: false,
    };
    let of = Version::of(&plan);
    let mut parts = Vec::new();
    for part in &plan.channels {
        let paused = part.paused.clone().or_else(|| {
            (part.channel == Outlet::Github && http.token.is_none())
                .then(|| paused(plan.made, "GITHUB_TOKEN is not set"))
        });
        let asked = asker.ask(part.channel, &part.at, &of, &part.items);
        parts.push(match (asked, paused) {
            (Ok(part), paused) => Part { paused, ..part },
            // It may well not answer, either.
            (Err(_), Some(paused)) => Part { paused: Some(paused), ..part.clone() },
            // To leave the channel out is no way around it.
            (Err(error), None) if error.is::<Refused>() => return Err(error),
            (Err(error), None) => {
                let name = word(part.channel);
                return Err(error.context(format!(
                    "cannot tell what {name} serves\nhelp: to publish all the same without it: --without {name}"
                )));
            }
        });
    }
    // What the tap and the AUR name has to be there.
    let waits =
        parts.iter().any(|part| part.channel == Outlet::Github && part.paused.is_some() && !part.is_done());
    for part in parts.iter_mut().filter(|part| super::plan_file::is_recipe(part.channel)) {
        if waits && part.paused.is_none() && !part.is_done() {
            part.paused =
                Some(paused(plan.made, "it names the files of the GitHub release, which is paused"));
        }
    }
    plan.channels = parts;
    Ok(plan)
}

fn paused(since: Timestamp, why: &str) -> Paused {
    Paused { since: since.strftime("%Y-%m-%d").to_string(), why: why.to_owned() }
}

pub(super) fn refuse_withdrawn(parts: &[Part], version: &str) -> Result<()> {
    match parts.iter().any(|part| part.live.withdrawn) {
        false => Ok(()),
        true => bail!(Refused(format!(
            "{version} was withdrawn\nhelp: raise the revision, `cargo xtask bump`, and build again"
        ))),
    }
}

pub(super) fn refuse_conflicts(plan: &Plan) -> Result<()> {
    refuse_withdrawn(&plan.channels, &plan.version)?;
    ours::refuse(plan, &plan.channels)?;
    let count = plan
        .channels
        .iter()
        .filter(|part| part.paused.is_none())
        .map(|part| part.conflicts().count())
        .sum::<usize>();
    match count {
        0 => Ok(()),
        _ => bail!(Refused(format!(
            "{count} in conflict: something else is published under the name already\nhelp: raise the revision, `cargo xtask bump`, and \
             build again"
        ))),
    }
}

pub(super) fn write(plan: &Plan, to: &Path) -> Result<()> {
    if let Some(folder) = to.parent() {
        std::fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
    }
    replace_file(to, &format!("{}\n", serde_json::to_string_pretty(plan)?))
}

fn notes(package: &Package) -> String {
    let version = package.full_version();
    let entry = package.changelog.iter().find(|entry| entry.version == version);
    entry.into_iter().flat_map(|entry| &entry.items).map(|item| format!("- {item}\n")).collect()
}
