//! `mathesar app verify`

use std::fmt::Write as _;

use crate::app::environment::{self, State};
use crate::app::packages::{Damaged, Look};
use crate::app::store::{Differences, Installed};
use crate::commands::{Context, print_report};
use crate::failure::{Exit, Failure};
use crate::terminal::verb;

/// Compare an installed release with what was unpacked
///
/// Every file of the release by its SHA-256. Those that differ are printed, one a line: `changed`, `missing` or `extra`, and its path below
/// the release's `tree`. Then every file of the Python packages in its environment: `package`, its name, and what it lacks. Exits with 1 where
/// anything differs. Static files and bytecode were made on this machine, and are not compared.
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
    let damaged = environment::damage(&release.path, Look::Digests)?;
    if differences.is_empty() && damaged.is_empty() {
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
    print_report(&text(&differences, &damaged))?;
    Err(failure(&release, &differences, &damaged).into())
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

fn text(differences: &Differences, damaged: &Damaged) -> String {
    let mut text = String::new();
    let all =
        [("changed", &differences.changed), ("missing", &differences.missing), ("extra", &differences.extra)];
    for (what, paths) in all {
        for path in paths {
            let _ = writeln!(text, "{what:<8} {path}");
        }
    }
    for line in damaged.lines() {
        let _ = writeln!(text, "{:<8} {line}", "package");
    }
    text
}

fn failure(release: &Installed, differences: &Differences, damaged: &Damaged) -> Failure {
    let count = differences.changed.len() + differences.missing.len() + differences.extra.len();
    let of = |count: usize, what: &str| match count {
        1 => format!("1 {what} is"),
        count => format!("{count} {what}s are"),
    };
    let failure = Failure::new(match (count, damaged.names().count()) {
        (0, packages) => {
            format!("{} not as installed for {}", of(packages, "Python package"), release.id)
        }
        (files, _) => format!("{} not as {} was unpacked", of(files, "file"), release.id),
    });
    match release.current {
        true => {
            failure.help("put them back: `mathesar stop`, `mathesar app install --again`, `mathesar start`")
        }
        false => failure.help(format!("put them back: `mathesar app install --again {}`", release.id)),
    }
    .help(format!(
        "see who may write there: `ls -ld {}`",
        crate::cure::path(&release.path.join(if count > 0 { "tree" } else { "venv" }))
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::packages::Damage;

    #[test]
    fn each_is_named() {
        let list = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let differences =
            Differences { changed: list(&["a.py", "b.py"]), missing: list(&["c"]), extra: list(&["d/e"]) };
        let damaged = Damaged(
            [(
                "Django".to_owned(),
                Damage { missing: ["django/x.py".to_owned()].into(), ..Damage::default() },
            )]
            .into(),
        );
        assert_eq!(
            text(&differences, &damaged),
            "changed  a.py\nchanged  b.py\nmissing  c\nextra    d/e\npackage  Django lacks django/x.py\n"
        );
    }
}
