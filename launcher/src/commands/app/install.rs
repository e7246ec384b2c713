//! `mathesar app install`

use std::path::PathBuf;

use super::handed;
use crate::app::store::Installed;
use crate::commands::{Context, PATIENCE, walking};
use crate::control;
use crate::failure::{Exit, Failure};
use crate::installation::Installation;
use crate::steps::{Step, Wanted};
use crate::supervise::Request;
use crate::terminal::{note, verb};
use crate::user;

/// Install the pinned release, or one from a file
///
/// Fetches the release's tarball, verifies its SHA-256, unpacks it, builds its Python environment and collects its static files. Whatever is
/// there already stays; Mathesar may run meanwhile. The release is installed beside the others: `mathesar upgrade` makes it the current one, or
/// where none is yet, `mathesar start` or `mathesar migrate`.
///
/// What lies in share/mathesar/app and share/mathesar/wheels beside the program, or in the cache, is not fetched.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Take this tarball, not the pinned one
    ///
    /// It is taken under its own SHA-256, which is shown and recorded: verify it yourself. The release is held then: a newer pin of a newer
    /// package does not replace it, until `mathesar upgrade` is told to.
    #[arg(long, value_name = "FILE")]
    from: Option<PathBuf>,

    /// Use no network
    ///
    /// As the setting `network.offline`. Says which file is missing, and where to put it.
    #[arg(long)]
    offline: bool,

    /// Put a release's files back as they were packed
    ///
    /// For what `mathesar app verify` has found; its Python environment is built anew. The current release, unless VERSION names another; Mathesar has to be stopped for
    /// the current one.
    #[arg(long, value_name = "VERSION", num_args = 0..=1, default_missing_value = "")]
    again: Option<String>,

    /// FILE is standard input already, opened by root
    #[arg(long, hide = true, requires = "from")]
    on_stdin: bool,
}

pub(crate) fn run(args: &Args, context: &Context) -> anyhow::Result<()> {
    user::make_all_folders(&context.layout, &context.environment);
    handed::over(context, args.from.as_deref())?;
    user::ordinary(&context.layout, &context.environment)?;
    let offline = [("network.offline", "--offline", "true")];
    let flags = if args.offline { &offline[..] } else { &[] };
    let installation = Installation::load_with(&context.environment, &context.layout, false, flags)?;
    let (store, pinned) = (installation.store(), installation.pinned.clone());

    let mut copy = None;
    let file = match &args.from {
        Some(path) => Some(handed::file(path, args.on_stdin, context, &installation.app(), &mut copy)?),
        None => None,
    };
    let repaired = match &args.again {
        Some(version) => {
            to_repair(&installation, version, file.as_ref().map(|(found, _)| found.sha256.as_str()))?
        }
        None => None,
    };
    let wanted = match (&repaired, file) {
        (Some(release), file) => {
            Wanted::Again { id: release.id.clone(), tarball: file.map(|(found, _)| found) }
        }
        (None, Some((found, source))) => Wanted::File { found, source },
        (None, None) => Wanted::Next,
    };

    // Nobody is served by this, so nobody needs to be administrator before.
    let holds = args.from.is_some() && repaired.is_none();
    let walked = walking::walk_with(installation, "app install", &[Step::Static], |world| {
        world.for_admin = true;
        world.wanted = wanted;
        world.holds = holds;
    })?;
    drop(copy);
    let release = walked.world.release()?;
    let did = [Step::Release, Step::Python, Step::Static].iter().any(|step| walked.changed.contains(step));
    let what = format!("Mathesar {} in {}", release.version, release.path.display());
    match (did, &repaired) {
        (true, Some(_)) => verb("Repaired", what),
        (true, None) => verb("Installed", what),
        (false, _) => verb("Unchanged", format_args!("{what} is installed already")),
    }
    let held = store.held().is_some_and(|id| id == release.id);
    if holds {
        note("it is held: no newer pin replaces it until `mathesar upgrade` is told to");
    } else if held && release.sha256 != pinned.sha256 && repaired.is_none() {
        note(format_args!(
            "it is held; this launcher's Mathesar {} comes with `mathesar upgrade`",
            pinned.version
        ));
    }
    match store.current()? {
        Some(current) if current.id == release.id => {}
        Some(current)
            if crate::steps::compare(&release.version, &current.version) == std::cmp::Ordering::Less =>
        {
            note(format_args!(
                "Mathesar {} stays the current one: {} is older, and an older one may not understand its tables",
                current.version, release.version
            ));
        }
        Some(current) => note(format_args!(
            "Mathesar {} stays the current one; `mathesar upgrade{}` makes {} the current one",
            current.version,
            if holds { format!(" --to {}", release.id) } else { String::new() },
            release.version
        )),
        None => note("`mathesar start` starts it; `mathesar migrate` makes its tables only"),
    }
    Ok(())
}

/// The release whose files are put back; none: nothing of it is installed, so it is installed as usual.
fn to_repair(
    installation: &Installation,
    version: &str,
    digest: Option<&str>,
) -> Result<Option<Installed>, Failure> {
    let store = installation.store();
    let release = match (version, digest) {
        ("", Some(digest)) => store.list()?.into_iter().find(|there| there.sha256 == digest),
        ("", None) => match store.current()? {
            Some(current) => Some(current),
            None => {
                let next = store.held().unwrap_or_else(|| {
                    let pinned = &installation.pinned;
                    crate::app::store::Store::id(&pinned.version, &pinned.sha256)
                });
                store.list()?.into_iter().find(|there| there.id == next)
            }
        },
        (version, _) => Some(store.find(version)?),
    };
    let runs = || control::ask_here(&installation.layout, Request::Status, PATIENCE).is_ok();
    if release.as_ref().is_some_and(|release| release.current) && runs() {
        return Err(Failure::new("Mathesar runs from these files").exit(Exit::Refused).help(
            "stop it first: `mathesar stop`, then `mathesar app install --again`, then `mathesar start`",
        ));
    }
    Ok(release)
}
