//! `mathesar app verify`

use std::fmt::Write as _;

use crate::app::environment::{self, State};
use crate::app::store::{Differences, Installed};
use crate::commands::{Context, print};
use crate::failure::{Exit, Failure};
use crate::terminal::verb;

/// Compare an installed release with what was unpacked
///
/// Every file of the release by its SHA-256. Those that differ are printed, one a line: `changed`, `missing` or `extra`, and its path below
/// the release's `tree`. Exits with 1 then. Static files and bytecode were made on this machine, and are not compared.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The release, by its version or as `mathesar app list` names it
    ///
    /// The current one, unless given.
    version: Option<String>,
}

pub(crate) fn run(args: &Args, context: &Context) -> anyhow::Result<()> {
    crate::user::ordinary(&context.layout, &context.environment)?;
    let installation = context.installation(false)?;
    let store = installation.store();
    let release = match &args.version {
        Some(version) => store.find(version)?,
        None => match store.current()? {
            Some(current) => current,
            None => return Err(none_current(&store.list()?).into()),
        },
    };
    let differences = store.verify(&release.id)?;
    if differences.is_empty() {
        verb("Verified", format_args!("{}: every file is as it was unpacked", release.id));
        match environment::state(&release.path) {
            State::Ready => {}
            State::Missing => crate::terminal::note("it has no Python environment yet"),
            State::Stale(why) => {
                crate::terminal::note(format_args!("its Python environment is to be built anew: {why}"));
            }
        }
        return Ok(());
    }
    print(&text(&differences))?;
    Err(failure(&release, &differences).into())
}

fn none_current(installed: &[Installed]) -> Failure {
    let refused = |what: &str| Failure::new(what).exit(Exit::Refused);
    match installed {
        [] => refused("Mathesar is not installed yet").help("install it: `mathesar app install`"),
        [one, ..] => refused("no release is the current one")
            .help(format!("name one: `mathesar app verify {}`", one.id))
            .help("all that are installed: `mathesar app list`"),
    }
}

fn text(differences: &Differences) -> String {
    let mut text = String::new();
    let all =
        [("changed", &differences.changed), ("missing", &differences.missing), ("extra", &differences.extra)];
    for (what, paths) in all {
        for path in paths {
            let _ = writeln!(text, "{what:<8} {path}");
        }
    }
    text
}

fn failure(release: &Installed, differences: &Differences) -> Failure {
    let count = differences.changed.len() + differences.missing.len() + differences.extra.len();
    let what = match count {
        1 => "1 file is".to_owned(),
        count => format!("{count} files are"),
    };
    let failure = Failure::new(format!("{what} not as {} was unpacked", release.id));
    match release.current {
        true => {
            failure.help("put them back: `mathesar stop`, `mathesar app install --again`, `mathesar start`")
        }
        false => failure.help(format!("put them back: `mathesar app install --again {}`", release.id)),
    }
    .help(format!("see who may write there: `ls -ld {}`", release.path.join("tree").display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_named() {
        let list = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let differences =
            Differences { changed: list(&["a.py", "b.py"]), missing: list(&["c"]), extra: list(&["d/e"]) };
        assert_eq!(text(&differences), "changed  a.py\nchanged  b.py\nmissing  c\nextra    d/e\n");
    }
}
