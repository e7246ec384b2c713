//! `mathesar backup verify`

use std::path::PathBuf;

use serde_json::{Value, json};

use crate::backup::catalog;
use crate::backup::drill::{self, Outcome, Report};
use crate::backup::manifest::lacking;
use crate::backup::staging;
use crate::commands::Context;
use crate::commands::app::handed;
use crate::failure::Failure;
use crate::interrupt::Listening;
use crate::terminal::{Terminal, time};
use crate::user;

/// Restore a backup beside everything, to see that it can be
///
/// Unpacks it, starts a PostgreSQL on it that nobody else reaches, compares every table's rows with what was written down when the backup
/// was made, and asks the application. Nothing of it stays, and what runs is left alone. A good one counts as verified from then on:
/// `backup list`, `status` and `doctor` say so.
///
/// Ends with 4 where a restore would refuse the file for what is in it, and with 1 where something else is wrong: other rows than it should
/// hold, say, or an application that does not work with it. One that lacks a whole database (`backup create` has said so) is looked at like any
/// other, and told to be incomplete: `lacks` and its row of the table name what is missing.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Which one: a file, a folder (the newest in it), or its name in the folder of backups; without it the newest
    #[arg(value_name = "BACKUP")]
    backup: Option<PathBuf>,

    /// As one JSON object, for scripts
    ///
    /// At least: `path`, `created`, `verified` (true or false), `checks` (array), `tables` (array with `database`, `schema`, `table`, `rows`,
    /// `result`), `not_compared` (array with `database`, `why`) and `lacks` (array: databases that are not in this backup, and belong into it).
    #[arg(long)]
    json: bool,

    /// BACKUP is standard input already, opened by root
    #[arg(long, hide = true, requires = "backup")]
    on_stdin: bool,
}

pub(crate) fn run(args: &Args, context: &Context) -> anyhow::Result<()> {
    let _listening = Listening::begin();
    if user::is_to_become_another(&context.layout, &context.environment) {
        user::make_run_folder(&context.layout);
        let file = args.backup.as_deref().and_then(handed::open);
        let more = file.is_some().then(|| "--on-stdin".into());
        user::become_service_user(std::env::args_os().skip(1).chain(more), file)?;
    }
    user::ordinary(&context.layout, &context.environment)?;
    let installation = context.installation(false)?;
    let terminal = Terminal::new();
    let report = match &args.backup {
        Some(name) if args.on_stdin => {
            let shown = context.environment.current.join(name);
            let copy = handed::Copy::of(
                std::io::stdin().lock(),
                &shown,
                &staging::above(&installation.layout.state),
            )?;
            drill::verify(&installation, &copy.found.path, &shown, &terminal)
        }
        name => {
            let path = catalog::find(&installation, name.as_deref())?;
            drill::verify(&installation, &path, &path, &terminal)
        }
    };
    terminal.end();
    let report = report.inspect_err(|failure| {
        if args.json {
            let cause = std::error::Error::source(failure).map(ToString::to_string);
            let path = args.backup.as_ref().map(|name| name.display().to_string());
            let value =
                json!({ "path": path, "verified": false, "error": failure.to_string(), "cause": cause });
            // The error is told all the same.
            let _ = crate::commands::print_json_report(value);
        }
    })?;
    match args.json {
        true => crate::commands::print_json_report(to_json(&report))?,
        false => crate::commands::print_report(&text(&report))?,
    }
    if report.is_good() {
        return Ok(());
    }
    let bad: Vec<String> = report
        .parts
        .iter()
        .filter_map(|(name, outcome)| Some(format!("{name}: {}", outcome.wrong()?)))
        .chain(report.tables.iter().filter(|(_, judgement)| !judgement.is_good()).map(
            |(table, judgement)| format!("{}.{}.{}: {judgement}", table.database, table.schema, table.table),
        ))
        .collect();
    Err(Failure::new(format!("{} is not what was backed up", report.path.display()))
        .exit(report.exit())
        .cause(bad.join("\n             "))
        .help("make another one: `mathesar backup create`")
        .into())
}

/// Of a database that belongs into the backup.
const ABSENT: &str = "not in this backup";

fn text(report: &Report) -> String {
    let mut text = String::new();
    let name = |table: &crate::backup::checks::Table| format!("{}.{}", table.schema, table.table);
    let widest = |of: &dyn Fn(&crate::backup::checks::Table) -> usize| {
        report.tables.iter().map(|(table, _)| of(table)).max().unwrap_or(0)
    };
    let others = report
        .not_compared
        .iter()
        .map(|(name, _)| name)
        .chain(report.lacks.iter().map(|lack| &lack.database));
    let first = others.map(|name| name.chars().count()).max().unwrap_or(0);
    let first = widest(&|table| table.database.chars().count()).max(first).max(8);
    let second = widest(&|table| name(table).chars().count()).max(5);
    text += &format!("{:first$}  {:second$}  {:>12}  result\n", "database", "table", "rows");
    for (table, judgement) in &report.tables {
        text +=
            &format!("{:first$}  {:second$}  {:>12}  {judgement}\n", table.database, name(table), table.rows);
    }
    for lack in &report.lacks {
        let why = lack.why.replace(char::is_control, " ");
        text += &format!("{:first$}  {:second$}  {:>12}  {ABSENT}: {why}\n", lack.database, "-", "-");
    }
    for (database, why) in &report.not_compared {
        text += &format!("{database:first$}  {:second$}  {:>12}  not compared: {why}\n", "-", "-");
    }
    text.push('\n');
    for (name, outcome) in &report.parts {
        text += &match outcome {
            Outcome::Good(what) => format!("{name:<16} ok: {what}\n"),
            Outcome::NotRun(why) => format!("{name:<16} not run: {why}\n"),
            Outcome::Bad(why) | Outcome::Refused(why) => format!("{name:<16} WRONG: {why}\n"),
        };
    }
    let rows: u64 = report.tables.iter().map(|(table, _)| table.rows).sum();
    text + &format!(
        "\n{}: {} of Mathesar {}, made {}; {} tables, {rows} rows, in {}\n",
        report.path.display(),
        match (report.is_good(), lacking(report.lacks.iter().map(|lack| lack.database.as_str()))) {
            (true, None) => "a good backup".to_owned(),
            (true, Some(lacks)) => format!("incomplete: {lacks}; what it holds is good, and is"),
            (false, _) => "NOT a good backup".to_owned(),
        },
        report.version,
        report.created,
        report.tables.len(),
        time(report.took)
    )
}

fn to_json(report: &Report) -> Value {
    let checks: Vec<Value> = report
        .parts
        .iter()
        .map(|(name, outcome)| {
            let (result, text) = match outcome {
                Outcome::Good(text) => ("ok", text),
                Outcome::NotRun(text) => ("not run", text),
                Outcome::Bad(text) | Outcome::Refused(text) => ("wrong", text),
            };
            json!({ "check": name, "result": result, "text": text })
        })
        .collect();
    let tables: Vec<Value> = report
        .tables
        .iter()
        .map(|(table, judgement)| {
            json!({
                "database": table.database,
                "schema": table.schema,
                "table": table.table,
                "rows": table.rows,
                "checksum": table.checksum,
                "result": judgement.to_string(),
            })
        })
        .collect();
    let not_compared: Vec<Value> = report
        .not_compared
        .iter()
        .map(|(database, why)| json!({ "database": database, "why": why }))
        .chain(
            report
                .lacks
                .iter()
                .map(|lack| json!({ "database": lack.database, "why": format!("{ABSENT}: {}", lack.why) })),
        )
        .collect();
    json!({
        "path": report.path.display().to_string(),
        "created": report.created,
        "version": report.version,
        "digest": report.digest,
        "verified": report.is_good(),
        "at": report.at,
        "checks": checks,
        "tables": tables,
        "not_compared": not_compared,
        "lacks": report.lacks.iter().map(|lack| &lack.database).collect::<Vec<_>>(),
        "seconds": report.took.as_secs_f64(),
    })
}
