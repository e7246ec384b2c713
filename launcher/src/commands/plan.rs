//! `mathesar plan`

use serde_json::{Value, json};

use super::{Context, PATIENCE};
use crate::control;
use crate::failure::{Exit, Failure};
use crate::installation::Installation;
use crate::steps::{self, Download, Outlook, Serving, State};
use crate::supervise::Request;
use crate::terminal::size;

/// Say what `mathesar start` would do now, step by step
///
/// Downloads with address, size and digest; files and folders that would be written; what would be started, as whom and where. Nothing is
/// changed or fetched. Exits with 4 where a step would be refused.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// As one JSON array, for scripts
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args, context: &Context) -> anyhow::Result<()> {
    // Whatever is told about folders, programs and rights is about the user that would do it.
    crate::user::ordinary(&context.layout, &context.environment)?;
    let installation = context.installation(false)?;
    if let Err(failure) = control::ask_here(&context.layout, Request::Status, PATIENCE)
        && control::is_silent(&failure)
    {
        return Err(failure.exit(Exit::Refused).into());
    }
    let plan = now(&installation);
    match args.json {
        true => super::print_json_report(Value::Array(plan.iter().map(to_json).collect()))?,
        false => super::print_report(&plan.iter().map(text).collect::<String>())?,
    }
    match plan.iter().find(|outlook| outlook.state == State::Refused) {
        Some(refused) => Err(Failure::new(format!("`mathesar start` would be refused: {}", refused.text))
            .exit(refused.exit.unwrap_or(Exit::Refused))
            .into()),
        None => Ok(()),
    }
}

/// What a launcher that runs does already is not to be done.
pub(super) fn now(installation: &Installation) -> Vec<Outlook> {
    let answer = control::ask_here(&installation.layout, Request::Status, PATIENCE).ok();
    let serving = answer.map(|answer| {
        let status = &answer.value;
        let pending = status["pending"].as_array().into_iter().flatten();
        Serving {
            address: status["address"].as_str().unwrap_or_default().to_owned(),
            workers: status["workers"].as_u64(),
            ready: matches!(status["state"].as_str(), Some("running" | "degraded")),
            pending: pending.filter_map(Value::as_str).map(str::to_owned).collect(),
        }
    });
    steps::outlook(installation, serving.as_ref())
}

pub(super) fn text(outlook: &Outlook) -> String {
    let mark = match outlook.state {
        State::Done => "there",
        State::Do => "to do",
        State::Refused => "REFUSED",
    };
    let mut text = format!("{:<13} {mark:<8} {}\n", outlook.step.name(), outlook.text);
    let mut more = |what: &str, line: String| text.push_str(&format!("{:<13} {what:<8} {line}\n", ""));
    for download in &outlook.downloads {
        more(if download.present.is_some() { "have" } else { "fetch" }, shown(download));
        download.sha256.iter().for_each(|digest| more("", format!("SHA-256 {digest}")));
    }
    outlook.writes.iter().for_each(|path| more("write", path.display().to_string()));
    outlook.notes.iter().for_each(|note| more("note", note.clone()));
    text
}

fn shown(download: &Download) -> String {
    let bytes = match (download.size, &download.sha256) {
        (Some(bytes), _) => size(bytes),
        (None, Some(_)) => "its size does not stand in the pin".to_owned(),
        (None, None) => "the index tells their sizes".to_owned(),
    };
    match &download.present {
        Some(path) => format!("{} ({}, {bytes})", download.name, path.display()),
        None => format!("{} from {} ({bytes})", download.name, download.url),
    }
}

fn to_json(outlook: &Outlook) -> Value {
    let downloads = outlook.downloads.iter().map(|download| {
        json!({
            "name": download.name,
            "url": download.url,
            "size": download.size,
            "sha256": download.sha256,
            "present": download.present,
        })
    });
    json!({
        "step": outlook.step.name(),
        "state": match outlook.state { State::Done => "done", State::Do => "todo", State::Refused => "refused" },
        "text": outlook.text,
        "downloads": downloads.collect::<Vec<_>>(),
        "writes": outlook.writes,
        "notes": outlook.notes,
    })
}
