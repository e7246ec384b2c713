//! `mathesar doctor`

use std::fs::OpenOptions;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use super::Context;
use crate::app::files;
use crate::doctor::{self, Check, Finding, Look, RootFacts, bundle};
use crate::failure::{Exit, Failure};
use crate::layout::Scope;
use crate::relay::Input;
use crate::terminal::verb;

/// Look for whatever keeps Mathesar from starting, answering or staying safe
///
/// Each check has a finding, its cause, and the command that mends it. Nothing is changed or started; what only a running Mathesar could tell is
/// not checked while it is stopped. Exits with 0 where there is no problem (warnings are none), with 1 otherwise.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// As one JSON object, for scripts
    ///
    /// `problems`, `warnings` and `not_checked` are numbers, `checks` an array of objects with `id`, `group`, `title`, `finding` (ok, warning, problem,
    /// not-checked), `text`, `cause` (or null) and `cures`.
    #[arg(long, conflicts_with = "bundle")]
    json: bool,

    /// Write an archive for a bug report, without secrets
    ///
    /// A .tar.gz with this report, status, plan, settings, versions, the last lines of the log, and the names of files. Secrets that are known, and
    /// what looks like one, are replaced by `***`; look through it before you send it to somebody. `-` writes it to standard output.
    #[arg(long, value_name = "FILE")]
    bundle: Option<PathBuf>,

    /// What root has read is on standard input: this process is the service's user.
    #[arg(long, hide = true)]
    from_root: bool,
}

pub(crate) fn run(args: &Args, context: &Context) -> anyhow::Result<()> {
    let to_file = args.bundle.as_deref().filter(|path| *path != Path::new("-"));
    if let Some(path) = to_file.filter(|path| path.symlink_metadata().is_ok()) {
        return Err(bundle::exists(path).into());
    }
    if context.layout.scope == Scope::System && context.environment.uid == 0 {
        return Ok(as_root(args, to_file, context)?);
    }
    crate::user::ordinary(&context.layout, &context.environment)?;
    let root = if args.from_root { from_stdin()? } else { RootFacts::default() };
    // One that does not answer is a finding, not the end.
    let status = super::status::status(context).unwrap_or_else(|failure| {
        let said = format!("{failure}");
        Map::from_iter([("state".to_owned(), json!("silent")), ("message".to_owned(), json!(said))])
    });
    let look = Look::new(&context.environment, &context.layout, status, root)?;
    let checks = doctor::examine(&look);
    match &args.bundle {
        None if args.json => super::print_json_report(doctor::to_json(&checks))?,
        None => super::print_report(&doctor::text(&checks))?,
        Some(path) => {
            let archive = bundle::archive(&look, &checks, &reports(&look))?;
            match to_file {
                Some(path) => bundle::write(path, &archive)?,
                None => {
                    let mut stdout = std::io::stdout().lock();
                    let written = stdout.write_all(&archive).and_then(|()| stdout.flush());
                    written.map_err(|cause| Failure::new("cannot write to standard output").cause(cause))?;
                }
            }
            // root tells it itself.
            if !args.from_root {
                verb("Wrote", path.display());
            }
            summary(&checks);
        }
    }
    // It was said already.
    match doctor::count(&checks, Finding::Problem) {
        0 => Ok(()),
        _ => Err(Failure::told(Exit::Failed, String::new()).into()),
    }
}

fn summary(checks: &[Check]) {
    for check in checks.iter().filter(|check| check.finding == Finding::Problem) {
        let first = check.text.lines().next().unwrap_or_default();
        verb("Problem", format_args!("{}: {first}", check.entry.title));
    }
}

/// The same texts that `config show` and `plan` print.
fn reports(look: &Look) -> bundle::Reports {
    let plan = super::plan::now(&look.installation);
    bundle::Reports {
        config: super::config::listing(&look.installation.config),
        plan: plan.iter().map(super::plan::text).collect(),
        status: Value::Object(look.status.clone()),
    }
}

fn from_stdin() -> Result<RootFacts, Failure> {
    let mut text = String::new();
    std::io::stdin()
        .read_to_string(&mut text)
        .map_err(|cause| Failure::new("cannot read from standard input").cause(cause))?;
    let value: Value = serde_json::from_str(&text).map_err(|cause| {
        Failure::new("`--from-root` is for the launcher itself").cause(cause).exit(Exit::Usage)
    })?;
    Ok(RootFacts::from_json(&value))
}

/// Reads what only root may read, and lets the service's user do the rest. The archive is written by root, who may write
/// where that user may not.
fn as_root(args: &Args, to_file: Option<&Path>, context: &Context) -> Result<(), Failure> {
    let mut program = crate::user::as_service_user(false)?;
    let command = &mut program.command;
    command.args(context.global_args()).args(["doctor", "--from-root"]);
    command.args(args.json.then_some("--json"));
    command.args(args.bundle.as_ref().map(|_| "--bundle=-"));
    let listen = crate::config::load(&context.layout, &super::config::outside(context)).config;
    let port = listen.text("server.listen").and_then(|listen| listen.rsplit_once(':')?.1.parse().ok());
    let root = RootFacts::gather(&context.layout, port, args.bundle.is_some());
    let beside = to_file.map(|path| files::beside(path, "new"));
    let output = beside.as_ref().map(|beside| {
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(beside);
        file.map_err(|cause| bundle::not_written(to_file.unwrap_or(beside), cause))
    });
    let result = program.run(Input::Text(root.to_json().to_string().into_bytes()), output.transpose()?);
    let code = result.as_ref().ok().copied();
    if let (Some(beside), Some(path)) = (&beside, to_file) {
        // With a code of 1 it may have found problems and written all the same.
        let written = matches!(code, Some(0 | 1)) && beside.metadata().is_ok_and(|found| found.len() > 0);
        let placed = if written { bundle::place(beside, path) } else { Ok(()) };
        let _ = std::fs::remove_file(beside);
        placed?;
        if written {
            verb("Wrote", path.display());
        }
    }
    result?;
    match code {
        Some(0) => Ok(()),
        Some(2) => Err(Failure::told(Exit::Usage, String::new())),
        Some(4) => Err(Failure::told(Exit::Refused, String::new())),
        _ => Err(Failure::told(Exit::Failed, String::new())),
    }
}
