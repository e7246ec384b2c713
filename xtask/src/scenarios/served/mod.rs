//! `verify --from URL`: what the repositories at an address serve, installed as their page says, in machines that reach nothing else.

mod address;
mod flatpak;
pub(super) mod itself;
mod keys;
mod page;
mod serving;
mod visit;

use std::collections::BTreeSet;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use machines::{Base, Machine};

use super::guest::Guest;
use super::report::{Ended, Row};
use super::system::{self, Manager, System, Tree};
use super::{NotRun, Subject, finish, jobs, no_machine, queue, tell};
use crate::http::{Http, Patience};
use crate::repo::served;
use crate::workspace::Workspace;
use crate::{Usage, ui};

use address::Address;
use page::Block;
use visit::{KEY, NAME, PLAN, START, STEPS, Served, Step};

/// The page is a hundredth of this.
const LARGEST_PAGE: u64 = 1 << 20;
/// What names the packages, of one package manager.
const LARGEST_INDEX: u64 = 64 << 20;

#[derive(clap::Args, Default)]
#[command(next_help_heading = "What is served already")]
pub(super) struct Wanted {
    /// Instead of this checkout's packages, those that the repositories at this address serve, as their page says it to a visitor
    #[arg(long, value_name = "URL", value_parser = Address::parse)]
    from: Option<Address>,
    /// The version that has to be the newest there, as 0.12.0-1
    #[arg(long, value_name = "VERSION", requires = "from")]
    expect: Option<String>,
    /// The fingerprint of the key that package managers may trust afterwards; two, while one replaces the other
    #[arg(long, value_name = "FINGERPRINT", requires = "from", value_delimiter = ',', value_parser = keys::parse)]
    key: Vec<String>,
    /// A folder with `app` and `wheels` as in share/mathesar, so that it can be started without a network
    #[arg(long, value_name = "DIR", requires = "from")]
    at_hand: Option<PathBuf>,
}

/// A system, and what its visitor finds.
struct Job {
    system: System,
    lines: Vec<String>,
    /// None: its index names no package for this kind of computer.
    newest: Option<String>,
}

/// True: it was asked for, and is done.
pub(super) fn asked(args: &super::Args, workspace: &Workspace) -> Result<bool> {
    let Some(at) = &args.served.from else { return Ok(false) };
    run(args, at, workspace).map(|()| true)
}

fn run(args: &super::Args, at: &Address, workspace: &Workspace) -> Result<()> {
    if args.what.iter().any(|what| matches!(what, Subject::Mutations | Subject::Depends)) {
        return Err(Usage(
            "`mutations` and `depends` are about this checkout, and --from about what is served\nhelp: cargo xtask verify --from URL [all|apt|dnf|pacman]"
                .to_owned(),
        )
        .into());
    }
    let at_hand = args.served.at_hand.as_deref().map(at_hand).transpose()?.unwrap_or_default();
    let steps = wanted(&args.only)?;
    if let Some(why) = machines::missing() {
        return Err(no_machine(&why));
    }
    let begun = Instant::now();
    let blocks = fetch(at)?;
    let ids: Vec<&str> = blocks.iter().map(|block| block.id.as_str()).collect();
    ui::verb("Served", format_args!("{}: {}", at.url, ids.join(", ")));
    let jobs = jobs_of(args, at, &blocks)?;
    let store = workspace.target.join("machines");
    let at_once = args.jobs.or(std::thread::available_parallelism().ok()).map_or(1, NonZeroUsize::get);
    let not_here = |system: &System, step: &Step| match step.name {
        PLAN | START if system.manager == Manager::Flatpak => Some(
            "plan, start: what the application runs on is Flathub's, and a machine reaches nothing but the repositories",
        ),
        KEY if args.served.key.is_empty() => Some("key: --key does not say which it is to be"),
        START if at_hand.is_empty() => Some(
            "start: --at-hand names no release of Mathesar, and a machine reaches nothing but the repositories",
        ),
        _ => None,
    };
    let mut rows = queue::run(&jobs, at_once, &|job| {
        let here = steps.iter().filter(|step| not_here(&job.system, step).is_none());
        let here: Vec<_> = here.map(|step| (step.name, step.run)).collect();
        let mut rows = tell(&job.system, &here, || boot(job, at, &args.served, &store, &at_hand));
        let of_it = |step: &Step| Some(not_run(job.system.name(), step.name, not_here(&job.system, step)?));
        rows.extend(steps.iter().filter_map(of_it));
        rows.sort_by_key(|row| STEPS.iter().position(|step| step.name == row.scenario));
        rows
    });
    rows.extend(not_by_machines(args, &ids));
    if let Some(why) = rows.iter().map(|row| row.ended.impossible()).collect::<Option<Vec<_>>>() {
        return Err(NotRun(why.join("; ")).into());
    }
    finish(&rows, begun)
}

fn not_run(system: String, scenario: &'static str, why: &'static str) -> Row {
    Row { system, scenario, ended: Ended::Impossible(why), took: Duration::ZERO }
}

/// What share/mathesar has of it, as a machine sees it.
fn at_hand(dir: &Path) -> Result<Vec<(PathBuf, &'static str)>> {
    let mut binds = Vec::new();
    for (name, to) in [("app", "/usr/share/mathesar/app"), ("wheels", "/usr/share/mathesar/wheels")] {
        let folder = dir.join(name);
        let folder = folder.canonicalize().ok().filter(|folder| folder.is_dir());
        let folder = folder.ok_or_else(|| {
            Usage(format!(
                "{} has no folder `{name}`\nhelp: app/mathesar-VERSION.tar.gz and wheels/*.whl, as share/mathesar takes them",
                dir.display()
            ))
        })?;
        binds.push((folder, to));
    }
    Ok(binds)
}

/// Up to the last whose name is asked for.
fn wanted(only: &[String]) -> Result<&'static [Step]> {
    let last = STEPS.iter().rposition(|step| jobs::is_named(step.name, only));
    let last = last.ok_or_else(|| jobs::unnamed(only, STEPS.iter().map(|step| step.name).collect()))?;
    Ok(&STEPS[..=last])
}

fn client(largest: u64) -> Http {
    let mut http = Http::new(None, Patience { tries: 3, ..Patience::default() });
    http.largest = largest;
    http
}

/// The page's blocks.
fn fetch(at: &Address) -> Result<Vec<Block>> {
    let url = format!("{}/index.html", at.url);
    let page = client(LARGEST_PAGE).get(&url)?.with_context(|| {
        format!("{url} is not there\nhelp: the address of what `cargo xtask repo build` has made, as it was told by --url")
    })?;
    let page = String::from_utf8(page).with_context(|| format!("{url} is not UTF-8"))?;
    page::blocks(&page).with_context(|| format!("cannot understand {url}"))
}

/// The names of files that the indices have.
fn indexed(at: &Address) -> Result<BTreeSet<String>> {
    let http = client(LARGEST_INDEX);
    let get = |path: &str| http.get(&format!("{}/{path}", at.url));
    served::indexed(&get, NAME)
}

fn jobs_of(args: &super::Args, at: &Address, blocks: &[Block]) -> Result<Vec<Job>> {
    let named: Vec<Manager> = args.what.iter().filter_map(|what| what.manager()).collect();
    let all = args.what.contains(&Subject::All);
    // Whoever asks for brew alone asks for none of these.
    if !(args.what.is_empty() || all || !named.is_empty()) {
        return Ok(Vec::new());
    }
    let indexed = indexed(at)?;
    let mut systems = system::chosen(if all { &[] } else { &named }, &args.on, all)?;
    if args.what.is_empty() && args.on.is_empty() {
        // Nothing is compiled here: it takes no longer than the others.
        systems.extend(system::chosen(&[Manager::Flatpak], &[], false)?);
    }
    let mut jobs = Vec::new();
    for system in systems {
        let (id, ending) = files_of(system.manager);
        let Some(block) = blocks.iter().find(|block| block.id == id) else {
            ensure!(!named.contains(&system.manager), "the page at {} has no block for {id}", at.url);
            continue;
        };
        let of_it: BTreeSet<String> =
            indexed.iter().filter(|file| file.ends_with(&ending)).cloned().collect();
        jobs.push(Job { system, lines: block.lines.clone(), newest: served::newest(&of_it, NAME) });
    }
    ensure!(!jobs.is_empty(), "the page at {} has no block for what is asked for", at.url);
    Ok(jobs)
}

/// The name of its block, and how its packages for this kind of computer are called at their end.
fn files_of(manager: Manager) -> (&'static str, String) {
    let cpu = std::env::consts::ARCH;
    match manager {
        Manager::Apt => ("apt", format!("_{}.deb", if cpu == "aarch64" { "arm64" } else { "amd64" })),
        Manager::Dnf => ("dnf", format!(".{cpu}.rpm")),
        Manager::Pacman => ("pacman", format!("-{cpu}.pkg.tar.zst")),
        Manager::Flatpak => ("flatpak", format!("-{cpu}.flatpak")),
    }
}

/// The block that nobody enters here yet.
fn not_by_machines(args: &super::Args, ids: &[&str]) -> Option<Row> {
    let all = args.what.is_empty() || args.what.contains(&Subject::All);
    let wanted = if all { ids.contains(&"brew") } else { args.what.contains(&Subject::Brew) };
    let why = "a tap is no part of the repositories; `verify brew` is about this checkout's formula";
    wanted.then(|| not_run("brew".to_owned(), STEPS[0].name, why))
}

fn boot<'a>(
    job: &'a Job,
    at: &Address,
    wanted: &Wanted,
    store: &Path,
    at_hand: &[(PathBuf, &'static str)],
) -> Result<Guest<'a, Served>> {
    let newest = job
        .newest
        .clone()
        .with_context(|| format!("the index at {} names no {NAME} for {}", at.url, std::env::consts::ARCH))?;
    let served = Served {
        at: at.clone(),
        lines: job.lines.clone(),
        newest,
        expect: wanted.expect.clone(),
        keys: wanted.key.clone(),
        way: None,
    };
    let base = Base::debian(store, &job.system.recipe(Tree::Usual), &|what| ui::verb("Machine", what))?;
    let binds: Vec<(&Path, &str)> = at_hand.iter().map(|(here, there)| (here.as_path(), *there)).collect();
    let machine = Rc::new(Machine::boot(base, store, &binds)?);
    let mut guest = Guest::over(&job.system, machine, served)?;
    guest.packages.way = Some(guest.way(at.inside(), (at.host.clone(), at.port))?);
    Ok(guest)
}

#[cfg(test)]
mod tests;
