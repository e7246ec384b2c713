//! `release status`: whether every channel serves what it ought to.

use std::collections::BTreeMap;
use std::fmt;

use anyhow::{Context as _, Result, bail};
use jiff::Timestamp;
use serde::Serialize;

use super::live::{Asker, CHANNELS, Version, item, local, word};
use super::plan::Places;
use super::plan_file::{Item, Live, Part, Verdict, verdict};
use super::{git, show, wanted};
use crate::dist::Index;
use crate::http::{Http, Patience, Token};
use crate::manifest::{self, Outlet};
use crate::workspace::Workspace;
use crate::{digest, table, ui};

/// Say of every channel whether it serves the newest version, with the right digests
///
/// The newest version is the one in dist/, or else the one that is published as the newest GitHub release, by its SHA256SUMS. A channel is
/// current, behind, paused, of a wrong digest, or unreachable. Ends with 0 where all are current, with 5 where some are paused and the
/// others current, and else with 3. To be run daily.
#[derive(clap::Args)]
pub(super) struct Args {
    /// Fetch also what GitHub tells the digest of, as anybody would, and compare
    #[arg(long)]
    live: bool,
    /// Print the state as JSON on standard output
    #[arg(long)]
    json: bool,
    /// Do not look into dist/: what counts is what GitHub has published
    #[arg(long)]
    published: bool,
    #[command(flatten)]
    places: Places,
}

/// Told already; its exit code is its own.
#[derive(Debug)]
pub(crate) struct NotCurrent {
    pub code: u8,
    text: &'static str,
}

impl fmt::Display for NotCurrent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text)
    }
}

impl std::error::Error for NotCurrent {}

const WRONG: u8 = 3;
const PAUSED: u8 = 5;

/// Every channel is current, but for those that are paused.
pub(super) fn is_paused(error: &anyhow::Error) -> bool {
    error.downcast_ref::<NotCurrent>().is_some_and(|state| state.code == PAUSED)
}

/// A line of `--json`.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct State<'a> {
    channel: Outlet,
    state: Verdict,
    at: &'a str,
    wanted: &'a str,
    newest: Option<&'a str>,
    paused: Option<&'a manifest::Paused>,
    trouble: Option<String>,
    files: &'a [Item],
}

type Asked = (Part, Option<anyhow::Error>);

pub(super) fn run(args: &Args, workspace: &Workspace) -> Result<()> {
    let here = std::env::current_dir().context("cannot tell the current folder")?;
    let package = manifest::load(workspace, &workspace.manifest())?;
    let known_hosts = workspace.root.join(&package.manifest.release.known_hosts);
    let known_hosts = std::fs::read_to_string(&known_hosts)
        .with_context(|| format!("cannot read {}", known_hosts.display()))?;
    let (http, api) = (Http::new(Token::of_environment(), Patience::default()), args.places.api());
    let clones = git::clones(&workspace.target.join("xtask/release"))?;
    let asker = Asker {
        http: &http,
        api: &api,
        known_hosts: &known_hosts,
        committer: &package.manifest.package.maintainer,
        work: clones.path(),
        deep: args.live,
    };
    let dist = args.places.dist(workspace, &here);
    let index = Index::read(&dist).filter(|_| !args.published);
    let at = |channel| args.places.at(channel, &package);
    let (version, items) = match &index {
        Some(index) => {
            let all = CHANNELS.into_iter().map(|channel| Ok((channel, local(channel, index, &dist)?)));
            (format!("{}-{}", index.version, index.revision), all.collect::<Result<_>>()?)
        }
        None => published(&asker, &at(Outlet::Github)?)?,
    };
    let of = Version { name: package.name(), version: &version, tag: &format!("v{version}"), ours: None };
    let mut asked: Vec<Asked> = Vec::new();
    for channel in CHANNELS {
        let (at, items) = (at(channel)?, &items[&channel]);
        let paused = package.manifest.release.paused.get(&channel).cloned();
        asked.push(match asker.ask(channel, &at, &of, items) {
            Ok(part) => (Part { paused, ..part }, None),
            Err(error) => {
                (Part { channel, at, paused, live: Live::default(), items: items.clone() }, Some(error))
            }
        });
    }
    if args.json {
        let states: Vec<State<'_>> = asked.iter().map(|one| state(one, &version)).collect();
        println!("{}", serde_json::to_string_pretty(&states)?);
        return ended(&asked, &version);
    }
    judge(&asked, &version)
}

/// Prints the table, and says by an error whether something is not current.
pub(super) fn judge(asked: &[Asked], version: &str) -> Result<()> {
    let now = Timestamp::now();
    let rows = asked.iter().map(|(part, trouble)| {
        let text = trouble.as_ref().map(|error| format!("{error:#}"));
        show::state(part, of(part, trouble.is_some(), version), text.as_deref(), version, now)
    });
    anstream::print!("{}", table::render(&show::STATE, rows));
    ended(asked, version)
}

fn of(part: &Part, trouble: bool, version: &str) -> Verdict {
    match trouble {
        // Closed is a reason not to answer.
        true if part.paused.is_some() => Verdict::Paused,
        true => Verdict::Unreachable,
        false => verdict(part, version, Timestamp::now()),
    }
}

fn ended(asked: &[Asked], version: &str) -> Result<()> {
    let verdicts: Vec<Verdict> =
        asked.iter().map(|(part, trouble)| of(part, trouble.is_some(), version)).collect();
    match verdicts.iter().max() {
        None | Some(Verdict::Current) => {
            ui::verb("Current", format_args!("every channel serves {version}"));
            Ok(())
        }
        Some(Verdict::Paused) => {
            bail!(NotCurrent { code: PAUSED, text: "a channel is paused" })
        }
        Some(_) => bail!(NotCurrent { code: WRONG, text: "a channel does not serve what it ought to" }),
    }
}

fn state<'a>((part, trouble): &'a Asked, version: &'a str) -> State<'a> {
    State {
        channel: part.channel,
        state: of(part, trouble.is_some(), version),
        at: &part.at,
        wanted: version,
        newest: part.live.newest.as_deref(),
        paused: part.paused.as_ref(),
        trouble: trouble.as_ref().map(|error| format!("{error:#}")),
        files: &part.items,
    }
}

/// The newest release at GitHub, and what each channel has to serve of it, by the SHA256SUMS that was published with it.
fn published(asker: &Asker<'_>, at: &str) -> Result<(String, BTreeMap<Outlet, Vec<Item>>)> {
    let github = asker.github(at);
    let none = "nothing is published at GitHub, and dist/ holds nothing\nhelp: cargo xtask dist";
    let version = github.newest()?.context(none)?;
    let release = github.release(&format!("v{version}"))?.context(none)?;
    let fetch = |name: &str| -> Result<Vec<u8>> {
        let asset = release.assets.iter().find(|asset| asset.name == name);
        let asset = asset.with_context(|| format!("the release v{version} has no {name}"))?;
        asker.http.get(&asset.url)?.with_context(|| format!("{} is not there", asset.url))
    };
    let sums = fetch(wanted::SUMS)?;
    let digests: BTreeMap<String, String> = String::from_utf8_lossy(&sums)
        .lines()
        .filter_map(|line| line.split_once("  "))
        .map(|(digest, path)| (path.to_owned(), digest.to_owned()))
        .collect();
    let mut all = BTreeMap::new();
    for channel in CHANNELS {
        let mut items = Vec::new();
        for wanted in wanted::of_names(channel, &digests.keys().cloned().collect())? {
            // Of a package that is signed again by its repository, what lies under the signature has to be compared.
            if wanted.name == wanted::SUMS
                || (channel == Outlet::Repositories && wanted.name.ends_with(".rpm"))
            {
                let bytes = fetch(&wanted.path)?;
                let expected = digests.get(&wanted.path);
                if expected.is_some_and(|expected| *expected != digest::bytes(&bytes)) {
                    bail!("{} of {} is not what its SHA256SUMS says", wanted.path, word(Outlet::Github));
                }
                items.push(item(channel, wanted.name, wanted.path, &bytes)?);
                continue;
            }
            let sha256 = digests.get(&wanted.path).cloned().unwrap_or_default();
            let of_bytes = item(channel, wanted.name, wanted.path, &[]);
            items.push(Item { sha256: sha256.clone(), content: sha256, size: 0, ..of_bytes? });
        }
        all.insert(channel, items);
    }
    Ok((version, all))
}
