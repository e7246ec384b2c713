//! What `cargo xtask repo` is asked for.

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use jiff::Timestamp;

use super::site::VALID_DAYS;
use super::{Key, Site, add, build, check, keys, made, packages, sign};
use crate::tools::Tools;
use crate::workspace::Workspace;

/// Make, extend, check and re-sign repositories that apt, dnf and pacman install from
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(clap::Subcommand)]
enum What {
    Build(Build),
    Add(Add),
    Sign(Sign),
    Check(Check),
}

/// Make signed repositories of the packages that are in a folder
///
/// DIR gets one folder for each package manager, with the packages, the signed index, the public key and the lines of configuration that
/// name it, and a page for people. It is made beside and renamed once it is whole. Where repositories are already, they are not replaced:
/// `repo add` adds to them. A package manager whose index this machine cannot make is left out, and that is said.
#[derive(clap::Args)]
struct Build {
    /// Where to: a folder that is empty, or not there
    #[arg(value_name = "DIR")]
    dir: PathBuf,
    #[command(flatten)]
    how: How,
    /// The address that DIR will be served at
    #[arg(long, value_name = "URL")]
    url: String,
}

/// Add the packages that are in a folder to repositories that people read from meanwhile
///
/// Packages come first, then the index, and last the one file that names it: a reader at any instant sees the old state or the new one, whole.
/// A file that was published once is never changed; another one of its name is refused before anything is written. Of each package the newest
/// versions stay in the index; what no index names any more is removed a day later. Killed at any moment, it is run again.
#[derive(clap::Args)]
struct Add {
    /// What `repo build` has made
    #[arg(value_name = "DIR")]
    dir: PathBuf,
    #[command(flatten)]
    how: How,
}

/// Sign the indices that are there again, before they expire
///
/// apt believes an index until its Valid-Until. To be run daily: it does nothing as long as more than half of the time is left.
#[derive(clap::Args)]
struct Sign {
    /// What `repo build` has made
    #[arg(value_name = "DIR")]
    dir: PathBuf,
    /// The key to sign with: its fingerprint, in gpg's key ring (GNUPGHOME)
    #[arg(long, value_name = "FINGERPRINT")]
    key: String,
    /// The key that will sign: its public half is published from now on, until it signs
    #[arg(long, value_name = "FINGERPRINT")]
    next: Option<String>,
    /// Take back that another key was announced: its public half is published no more
    #[arg(long, conflicts_with = "next")]
    no_next: bool,
    /// Also where it is not time yet; also with a key that nobody was told of before
    #[arg(long)]
    again: bool,
}

/// Check every signature, digest and date that a package manager would look at
///
/// Ends with exit code 1 where something is wrong, each finding a line.
#[derive(clap::Args)]
struct Check {
    /// What `repo build` has made
    #[arg(value_name = "DIR")]
    dir: PathBuf,
    /// The key that has to have signed it: its fingerprint, in gpg's key ring (GNUPGHOME)
    #[arg(long, value_name = "FINGERPRINT")]
    key: String,
}

#[derive(clap::Args)]
struct How {
    /// Where the packages are, as `cargo xtask dist` leaves them
    #[arg(long, value_name = "DIR", default_value = "dist")]
    dist: PathBuf,
    /// The key to sign with: its fingerprint, in gpg's key ring (GNUPGHOME)
    #[arg(long, value_name = "FINGERPRINT")]
    key: String,
    /// The key that will sign: its public half is published from now on, until it signs
    #[arg(long, value_name = "FINGERPRINT")]
    next: Option<String>,
    /// How many versions of each package the index keeps from now on; pacman's has the newest alone [at first: 5]
    #[arg(long, value_name = "NUMBER")]
    keep: Option<usize>,
    /// For how many days apt believes the index
    #[arg(long, value_name = "DAYS", default_value_t = VALID_DAYS)]
    valid_days: i64,
    /// The time of publication instead of now, as `2026-11-26T12:00:00Z`: the same time gives the same bytes, but for signatures
    #[arg(long, value_name = "TIME")]
    date: Option<Timestamp>,
}

pub(crate) fn run(args: &Args, workspace: &Workspace) -> Result<()> {
    let here = std::env::current_dir().context("cannot tell the current folder")?;
    let tools = Tools::new(workspace);
    let given = |how: &How| match how.dist.as_os_str() == "dist" {
        true => workspace.root.join("dist"),
        false => here.join(&how.dist),
    };
    match &args.what {
        What::Build(args) => {
            let packages = packages(&given(&args.how))?;
            let (key, next) = (Key::of_ring(&args.how.key)?, keys::next(args.how.next.as_ref())?);
            let manifest = crate::manifest::load(workspace, &workspace.manifest())?;
            let site = Site {
                packages: &packages,
                next: next.as_ref(),
                tap: Some(manifest.manifest.homebrew.tap.as_str()),
                ..Site::new(&key, args.url.trim_end_matches('/'), manifest.name(), &tools)
            };
            build(&args.how.apply(site), &here.join(&args.dir))
        }
        What::Add(args) => {
            let dir = here.join(&args.dir);
            let (packages, key, facts) =
                (packages(&given(&args.how))?, Key::of_ring(&args.how.key)?, made(&dir)?);
            let next = keys::next(args.how.next.as_ref())?;
            let site = Site {
                packages: &packages,
                next: next.as_ref(),
                ..Site::new(&key, &facts.url, &facts.name, &tools)
            };
            add(&args.how.apply(site), &dir)
        }
        What::Sign(args) => {
            let dir = here.join(&args.dir);
            let (key, facts) = (Key::of_ring(&args.key)?, made(&dir)?);
            let next = keys::next(args.next.as_ref())?;
            let site = Site::new(&key, &facts.url, &facts.name, &tools);
            sign(&Site { again: args.again, next: next.as_ref(), no_next: args.no_next, ..site }, &dir)
        }
        What::Check(args) => {
            let dir = here.join(&args.dir);
            let (key, facts) = (Key::of_ring(&args.key)?, made(&dir)?);
            check::run(&Site::new(&key, &facts.url, &facts.name, &tools), &dir)
        }
    }
}

impl How {
    fn apply<'a>(&self, site: Site<'a>) -> Site<'a> {
        let now = self.date.unwrap_or(site.now);
        Site { keep: self.keep, valid_days: self.valid_days, now, ..site }
    }
}
